package exchange

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// MaxRedirects is how many redirects a download follows.
const MaxRedirects = 5

// Stream is an answer whose body is read piece by piece.
type Stream struct {
	Status int
	Header http.Header

	exchange *Exchange
	parent   context.Context
	ctx      context.Context
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	patience time.Duration
	response *http.Response
}

var errSilent = errors.New("nothing came for too long")

// Open sends a request once, whose answer has to begin within limit, and whose body may be silent for no longer than patience.
//
// With follow, redirects are followed, without the key. The request's headers get the key, so nobody else may have them.
func (e *Exchange) Open(parent context.Context, request *http.Request, limit, patience time.Duration, follow bool) (*Stream, *Failure) {
	if failure := e.seal(request); failure != nil {
		return nil, failure
	}
	ctx, cancel := context.WithCancelCause(parent)
	s := &Stream{exchange: e, parent: parent, ctx: ctx, cancel: cancel, patience: patience}
	s.timer = time.AfterFunc(limit, func() { cancel(errSilent) })
	for range MaxRedirects + 1 {
		response, failure := e.send(parent, ctx, request)
		if failure != nil {
			s.Close()
			return nil, failure
		}
		s.response, s.Status, s.Header = response, response.StatusCode, response.Header
		next := target(response)
		if next == nil || !follow || isUpgrade(request.URL, next) {
			return s.begun(request)
		}
		response.Body.Close()
		request = elsewhere(ctx, request, next)
	}
	s.Close()
	return nil, &Failure{Reason: Redirected, Message: "more than 5 redirects, the last to " + e.shown(request.URL), Answer: &Answer{Status: s.Status, Header: s.Header}}
}

// begun gives the stream of a success; the body of any other answer is read.
func (s *Stream) begun(request *http.Request) (*Stream, *Failure) {
	if s.Status >= 200 && s.Status < 300 {
		s.timer.Reset(s.patience)
		return s, nil
	}
	defer s.Close()
	if s.Status == http.StatusSwitchingProtocols {
		return nil, &Failure{Reason: Refused, Answer: &Answer{Status: s.Status, Header: s.Header}}
	}
	// The status says enough when the body cannot be read.
	body, _ := s.exchange.body(s.parent, s.ctx, s.response)
	if s.parent.Err() != nil {
		return nil, s.exchange.cancelled(s.parent)
	}
	return nil, s.exchange.judge(request, &Answer{Status: s.Status, Header: s.Header, Body: body})
}

// Read reads the next bytes; its errors but io.EOF are of the type [*Failure].
func (s *Stream) Read(to []byte) (int, error) {
	n, err := s.response.Body.Read(to)
	if err != nil && err != io.EOF {
		return n, s.exchange.broken(s.parent, s.ctx, s.response.Request, err)
	}
	if err == nil {
		s.timer.Reset(s.patience)
	}
	return n, err
}

// Close ends the connection, unless all was read.
func (s *Stream) Close() error {
	s.timer.Stop()
	// Before the body: what is still to come is not waited for.
	s.cancel(nil)
	if s.response != nil {
		return s.response.Body.Close()
	}
	return nil
}

// elsewhere is the request to where a redirect leads: neither the key nor what the caller adds for the server goes there.
func elsewhere(ctx context.Context, request *http.Request, next *url.URL) *http.Request {
	redirected := request.Clone(ctx)
	redirected.URL, redirected.Host, redirected.Header = next, next.Host, http.Header{}
	for _, name := range []string{"Accept", "Accept-Encoding", "Range", "User-Agent"} {
		if value := request.Header.Get(name); value != "" {
			redirected.Header.Set(name, value)
		}
	}
	return redirected
}

// target is where an answer leads; nil where it leads nowhere.
func target(response *http.Response) *url.URL {
	if response.StatusCode < 300 || response.StatusCode > 399 {
		return nil
	}
	next, err := response.Location()
	if err != nil || (next.Scheme != "http" && next.Scheme != "https") || next.Host == "" {
		return nil
	}
	return next
}

// isUpgrade says whether a redirect only leads from http:// to https://: what is asked there without the key is refused, with words that mislead.
func isUpgrade(from, to *url.URL) bool {
	return from.Scheme == "http" && to.Scheme == "https" && from.Hostname() == to.Hostname() && from.Path == to.Path
}
