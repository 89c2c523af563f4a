package meetbot

import (
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"mime"
	"net/http"
	"time"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/api"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/exchange"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/sse"
)

// silence: the server shows a sign of life every 15 seconds; without any for so long the connection is dead.
const silence = 45 * time.Second

// Watch goes over the job's events from its first, each as it happens, and ends after the job's last event, or with an error.
//
// A connection that breaks is taken up where it broke, so that no event is missed or comes twice. To leave the loop closes the connection.
func (c *Client) Watch(ctx context.Context, jobID string, options ...CallOption) iter.Seq2[*TimelineEvent, error] {
	return func(yield func(*TimelineEvent, error) bool) {
		if c == nil || c.core == nil {
			yield(nil, configurationError("the client was not made by NewClient"))
			return
		}
		w := watch{client: c, jobID: jobID, options: options}
		w.patience.maxRetries = c.options.with(options).maxRetries
		w.patience.event()
		for {
			more, failure := w.connect(ctx, yield)
			if !more {
				return
			}
			if failure == nil {
				if w.over {
					return
				}
				// A stream that ends before the job does is one that broke.
				failure = &Error{Kind: ErrConnection, Transient: true, Message: "the stream of events of " + jobID + " ends before the job does"}
			}
			wait, again := w.patience.again(failure, rand.Float64())
			if again {
				if given := c.core.exchange.Sleep(ctx, wait); given == nil {
					continue
				} else {
					failure = c.core.failureError(given)
				}
			}
			if failure.Kind != ErrConfiguration {
				failure.Attempts = w.patience.tried
			}
			yield(nil, failure)
			return
		}
	}
}

// watch is where a watch stands.
type watch struct {
	client   *Client
	jobID    string
	options  []CallOption
	parser   sse.Parser
	patience patience
	// over: the last event that came was one of the job's end.
	over bool
}

// connect reads one connection to its end; more is false where the loop was left.
func (w *watch) connect(ctx context.Context, yield func(*TimelineEvent, error) bool) (more bool, wrong *Error) {
	w.parser = w.parser.Again()
	stream, wrong := w.open(ctx)
	if wrong != nil {
		return true, wrong
	}
	defer stream.Close()
	piece := make([]byte, 16<<10)
	for {
		n, ended := stream.Read(piece)
		if n > 0 {
			w.patience.alive()
		}
		found, tooLarge := w.parser.Feed(piece[:n])
		for _, data := range found {
			event, err := read[TimelineEvent]([]byte(data))
			if err != nil {
				return true, w.client.core.redacted(decodeError("an event of the stream cannot be read", []byte(data), err))
			}
			w.patience.event()
			w.over = event.Data.Status.IsFinal() || event.Event == EventFinalized || event.Event == EventFailed
			if !yield(event, nil) {
				return false, nil
			}
		}
		var failure *exchange.Failure
		switch {
		case tooLarge != nil:
			return true, &Error{Kind: ErrDecode, Message: tooLarge.Error(), Err: tooLarge}
		case errors.As(ended, &failure):
			return true, w.client.core.failureError(failure)
		case ended == io.EOF:
			return true, nil
		}
	}
}

// open asks for the stream.
func (w *watch) open(ctx context.Context) (*exchange.Stream, *Error) {
	params := &api.ListEventsParams{LastEventID: set(w.parser.LastID)}
	send := func(to *api.Client) (*http.Response, error) { return to.ListEvents(ctx, w.jobID, params) }
	stream, wrong := w.client.open(ctx, w.options, "text/event-stream", silence, send)
	if wrong != nil {
		return nil, wrong
	}
	if media, _, _ := mime.ParseMediaType(stream.Header.Get("Content-Type")); media != "text/event-stream" {
		stream.Close()
		return nil, &Error{Kind: ErrDecode, Status: stream.Status, Message: "the events of " + w.jobID + " are no stream of events but " + w.client.core.redact(stream.Header.Get("Content-Type"))}
	}
	return stream, nil
}

// opener is a doer that opens a stream. It gives no response: the stream has all of it.
type opener struct {
	attempt  *attempt
	patience time.Duration
	stream   *exchange.Stream
}

func (o *opener) Do(request *http.Request) (*http.Response, error) {
	limit := o.attempt.options.timeout
	if deadline := o.attempt.options.deadline; deadline > 0 {
		limit = min(limit, deadline)
	}
	o.attempt.call.Attempts = 1
	stream, failure := o.attempt.core.exchange.Open(request.Context(), request, limit, o.patience)
	if failure != nil {
		return nil, failure
	}
	o.stream = stream
	return nil, nil
}

// open makes one try of a call whose answer is read piece by piece.
func (c *Client) open(ctx context.Context, options []CallOption, accepted string, patience time.Duration, send func(*api.Client) (*http.Response, error)) (*exchange.Stream, *Error) {
	a, wrong := c.prepare(ctx, options)
	if wrong != nil {
		return nil, wrong
	}
	a.accepted = accepted
	o := &opener{attempt: a, patience: patience}
	if _, err := send(a.client(o)); err != nil {
		wrong = a.failed(err)
		a.end(wrong)
		return nil, wrong
	}
	a.ended.Status, a.ended.RequestID = o.stream.Status, o.stream.Header.Get("X-Request-Id")
	a.end(nil)
	return o.stream, nil
}

// patience says when a watch connects again, and when it gives up: pure.
//
// A stream that gives anything, a sign of life too, has not failed: only connections since count against maxRetries. The pauses grow until an event comes, so
// that a server that answers and cuts at once is not asked all the time.
type patience struct {
	maxRetries int
	// tried is how many connections have ended since the last event, most how many may.
	tried, most int
}

// alive: the stream has given something.
func (p *patience) alive() { p.most = p.tried + p.maxRetries }

// event: an event has come.
func (p *patience) event() { p.tried, p.most = 0, p.maxRetries }

// again is how long to wait before the next connection; false when there have been enough.
func (p *patience) again(failure *Error, jitter float64) (time.Duration, bool) {
	p.tried++
	status, retryAfter := failure.Status, time.Duration(-1)
	switch {
	case status != 0 && failure.Kind != ErrDecode:
		if failure.RetryAfter > 0 {
			retryAfter = failure.RetryAfter
		}
	case !failure.Transient:
		return 0, false
	}
	return exchange.Decide(p.tried, p.most, status, retryAfter, jitter)
}

func (c *core) redacted(e *Error) *Error {
	e.Message, e.Body = c.redact(e.Message), []byte(c.redact(string(e.Body)))
	return e
}
