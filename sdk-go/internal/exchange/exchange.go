// Package exchange sends a call: it adds the key, limits each try, and pauses between tries. retry.go decides what follows from an answer.
package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// MaxAnswer is the size in bytes of the largest answer that is read into memory. The server's largest list is a tenth of it.
const MaxAnswer = 64 << 20

// Exchange holds what all calls of a client share.
type Exchange struct {
	HTTP *http.Client
	// Authorization returns the header with the key. It is a function so that printing an Exchange does not print the key.
	Authorization func() string
	// Redact removes the key from a text that a server may have sent back.
	Redact func(string) string
	// Origin is the scheme and the host of the server.
	Origin string
	// Path is the base URL's path, escaped, without a slash at its end.
	Path   string
	Logger *slog.Logger
}

// Call is one call of the API. The generated client sends through its Do, as it would through an [http.Client].
type Call struct {
	Exchange *Exchange
	// Timeout limits each try.
	Timeout time.Duration
	// Deadline limits all tries and the pauses between them; 0: no limit.
	Deadline   time.Duration
	MaxRetries int
	// Attempts is the number of tries so far.
	Attempts int
	// Answer is the last answer, of any status.
	Answer *Answer
}

// Answer is a response with its whole body.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Reason is the kind of a [Failure].
type Reason int

// Why a call failed.
const (
	// ErrorStatus: the server answered with an error status.
	ErrorStatus Reason = iota
	// Redirected: the answer is a redirect that is not followed.
	Redirected
	// Disconnected: the connection failed, or ended within the answer.
	Disconnected
	// TimedOut: no whole answer arrived in time.
	TimedOut
	// Cancelled: the caller's context ended.
	Cancelled
	// TooLarge: the answer is too large to be read.
	TooLarge
	// Unsendable: the request cannot be sent.
	Unsendable
)

// Failure describes why a call failed.
type Failure struct {
	Reason  Reason
	Message string
	// Answer is set for ErrorStatus, Redirected and TooLarge.
	Answer *Answer
	// Err is the cause, or nil.
	Err error
}

func (f *Failure) Error() string { return f.Message }

// errTimedOut is the cause of the end of a try that takes too long.
var errTimedOut = errors.New("the time of a try is over")

// Do sends the request, with retries. The returned response is always nil: on success the whole answer is in c.Answer.
//
// Do adds the key to the request's headers, so the request must not be shared.
func (c *Call) Do(request *http.Request) (*http.Response, error) {
	ctx, began := request.Context(), time.Now()
	left := func() time.Duration { return c.Deadline - time.Since(began) }
	if failure := c.Exchange.authorize(request); failure != nil {
		return nil, failure
	}
	for {
		limit := c.Timeout
		if c.Deadline > 0 {
			limit = min(limit, left())
		}
		c.Attempts++
		failure := c.try(ctx, request, limit)
		if failure == nil {
			return nil, nil
		}
		wait, again := c.Exchange.retryAfterFailure(c.Attempts, c.MaxRetries, failure)
		if !again || (c.Deadline > 0 && wait >= left()) {
			return nil, failure
		}
		c.Exchange.Logger.LogAttrs(ctx, slog.LevelDebug, "the call is tried again", slog.Int("attempts", c.Attempts), slog.Duration("wait", wait), slog.String("error", failure.Message))
		if failure := c.Exchange.Sleep(ctx, wait); failure != nil {
			return nil, failure
		}
	}
}

// retryAfterFailure returns how long to wait before the next try, and whether there is one.
func (e *Exchange) retryAfterFailure(tried, maxRetries int, failure *Failure) (time.Duration, bool) {
	status, retryAfter := NoStatus, time.Duration(-1)
	switch failure.Reason {
	case ErrorStatus:
		status, retryAfter = failure.Answer.Status, RetryAfter(failure.Answer.Header.Get("Retry-After"), time.Now())
	case Disconnected, TimedOut:
	default:
		return 0, false
	}
	return Decide(tried, maxRetries, status, retryAfter, rand.Float64())
}

// Sleep waits. It fails at once if the context ends.
func (e *Exchange) Sleep(ctx context.Context, wait time.Duration) *Failure {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return e.cancelled(ctx)
	}
}

// try sends the request once, and reads the answer.
func (c *Call) try(parent context.Context, request *http.Request, limit time.Duration) *Failure {
	e := c.Exchange
	c.Answer = nil
	ctx, cancel := context.WithTimeoutCause(parent, limit, errTimedOut)
	// Only after the body is read: the cancellation would cut it off.
	defer cancel()
	response, failure := e.follow(parent, ctx, request)
	if failure != nil {
		return failure
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusSwitchingProtocols {
		// Its body has no end.
		c.Answer = &Answer{Status: response.StatusCode, Header: response.Header}
		return &Failure{Reason: ErrorStatus, Answer: c.Answer}
	}
	body, failure := e.body(parent, ctx, response)
	if failure != nil {
		return failure
	}
	c.Answer = &Answer{Status: response.StatusCode, Header: response.Header, Body: body}
	return e.failureOf(c.Answer)
}

// send sends the request once, with ctx, which ends no later than parent, the caller's context.
func (e *Exchange) send(parent, ctx context.Context, request *http.Request) (*http.Response, *Failure) {
	request = request.WithContext(ctx)
	if request.GetBody != nil {
		body, err := request.GetBody()
		if err != nil {
			return nil, &Failure{Reason: Unsendable, Message: "the body cannot be sent again", Err: err}
		}
		request.Body = body
	}
	response, err := e.HTTP.Do(request)
	if err != nil {
		return nil, e.broken(parent, ctx, request, err)
	}
	return response, nil
}

// authorize adds the key to the request. It fails if a header is invalid, or the request's origin is not the client's.
func (e *Exchange) authorize(request *http.Request) *Failure {
	for name, values := range request.Header {
		for _, value := range values {
			if !ValidHeader(name, value) {
				return &Failure{Reason: Unsendable, Message: "the header " + name + " holds what no header can"}
			}
		}
	}
	if request.URL.Scheme+"://"+request.URL.Host != e.Origin {
		return &Failure{Reason: Unsendable, Message: "the request leads to another server than the client's"}
	}
	request.Header.Set("Authorization", e.Authorization())
	return nil
}

// body reads the whole body, up to MaxAnswer.
func (e *Exchange) body(parent, ctx context.Context, response *http.Response) ([]byte, *Failure) {
	tooLarge := func() *Failure {
		return &Failure{Reason: TooLarge, Message: "the answer is larger than 64 MiB", Answer: &Answer{Status: response.StatusCode, Header: response.Header}}
	}
	size := response.ContentLength
	if size > MaxAnswer {
		return nil, tooLarge()
	}
	// The answer to a HEAD has a length, and no body.
	if size > 0 && size <= 1<<20 && response.Body != http.NoBody {
		body := make([]byte, size)
		if _, err := io.ReadFull(response.Body, body); err != nil {
			return nil, e.broken(parent, ctx, response.Request, err)
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, MaxAnswer+1))
	switch {
	case err != nil:
		return nil, e.broken(parent, ctx, response.Request, err)
	case len(body) > MaxAnswer:
		return nil, tooLarge()
	}
	return body, nil
}

// failureOf returns the failure that an answer means; nil if it is a success.
func (e *Exchange) failureOf(answer *Answer) *Failure {
	location := answer.Header.Get("Location")
	switch {
	case answer.Status >= 200 && answer.Status < 300:
		return nil
	case answer.Status >= 300 && answer.Status < 400 && location != "":
		message := fmt.Sprintf("the call is redirected to %q: is the base URL right?", e.Redact(withoutQuery(location)))
		return &Failure{Reason: Redirected, Message: message, Answer: answer}
	}
	return &Failure{Reason: ErrorStatus, Answer: answer}
}

// broken returns the failure of a connection that could not be made, or broke.
func (e *Exchange) broken(parent, ctx context.Context, request *http.Request, err error) *Failure {
	if parent.Err() != nil {
		return e.cancelled(parent)
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	where := request.Method + " " + e.shown(request.URL) + ": "
	var timeout net.Error
	if cause := context.Cause(ctx); cause != nil {
		return &Failure{Reason: TimedOut, Message: where + "no whole answer in time: " + cause.Error(), Err: e.clean(err)}
	} else if errors.As(err, &timeout) && timeout.Timeout() {
		return &Failure{Reason: TimedOut, Message: where + e.Redact(err.Error()), Err: e.clean(err)}
	}
	return &Failure{Reason: Disconnected, Message: where + truncated(e.Redact(err.Error())) + hint(request.URL, err.Error()), Err: e.clean(err)}
}

// clean returns the error without the key, which a server that does not speak HTTP may have sent back.
func (e *Exchange) clean(err error) error {
	if text := err.Error(); e.Redact(text) != text {
		return errors.New(e.Redact(text))
	}
	return err
}

// cancelled returns the failure of a call whose context has ended.
func (e *Exchange) cancelled(ctx context.Context) *Failure {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err {
		err = errors.Join(err, cause)
	}
	return &Failure{Reason: Cancelled, Message: "the call was given up: " + strings.ReplaceAll(err.Error(), "\n", ": "), Err: err}
}

// shown returns a URL for an error message, without its query, which may be a signature.
func (e *Exchange) shown(address *url.URL) string {
	return e.Redact(withoutQuery(address.Redacted()))
}

func withoutQuery(address string) string {
	address, _, _ = strings.Cut(address, "?")
	return address
}

// tlsRecord matches net/http's quote of a TLS alert or handshake that came in place of an answer: the record's kind, and version 3.x.
var tlsRecord = regexp.MustCompile(`malformed HTTP response "\\x1[56]\\x03\\x0[0-4]`)

// truncated cuts a text to 400 bytes: net/http quotes the whole first line of an answer that is not HTTP.
func truncated(text string) string {
	const most = 400
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// hint returns a likely reason, or an empty text.
func hint(address *url.URL, message string) string {
	switch {
	case strings.Contains(message, "server gave HTTP response to HTTPS client"):
		return "; is the server reached with http://, and not with https://?"
	case address.Scheme == "http" && tlsRecord.MatchString(message):
		return "; the server does not speak plain HTTP there: is it reached with https://, and not with http://?"
	}
	return ""
}

// ValidHeader reports whether a header can be sent.
func ValidHeader(name, value string) bool {
	if name == "" {
		return false
	}
	for _, letter := range []byte(name) {
		token := letter >= 'a' && letter <= 'z' || letter >= 'A' && letter <= 'Z' || letter >= '0' && letter <= '9'
		if !token && strings.IndexByte("!#$%&'*+-.^_`|~", letter) < 0 {
			return false
		}
	}
	for _, letter := range []byte(value) {
		if letter < ' ' && letter != '\t' || letter == 0x7f {
			return false
		}
	}
	return true
}
