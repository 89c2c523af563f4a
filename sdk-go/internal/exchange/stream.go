package exchange

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

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
// The request's headers get the key, so nobody else may have them.
func (e *Exchange) Open(parent context.Context, request *http.Request, limit, patience time.Duration) (*Stream, *Failure) {
	if failure := e.seal(request); failure != nil {
		return nil, failure
	}
	ctx, cancel := context.WithCancelCause(parent)
	s := &Stream{exchange: e, parent: parent, ctx: ctx, cancel: cancel, patience: patience}
	s.timer = time.AfterFunc(limit, func() { cancel(errSilent) })
	response, failure := e.follow(parent, ctx, request)
	if failure != nil {
		s.Close()
		return nil, failure
	}
	s.response, s.Status, s.Header = response, response.StatusCode, response.Header
	return s.begun()
}

// begun gives the stream of a success; the body of any other answer is read.
func (s *Stream) begun() (*Stream, *Failure) {
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
	return nil, s.exchange.judge(&Answer{Status: s.Status, Header: s.Header, Body: body})
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
