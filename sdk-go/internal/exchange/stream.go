package exchange

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Stream is a response whose body is read piece by piece.
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

var errIdle = errors.New("nothing came for too long")

// Open sends a request once. Its answer must begin within limit, and its body must not pause for longer than patience.
//
// Open adds the key to the request's headers, so the request must not be shared.
func (e *Exchange) Open(parent context.Context, request *http.Request, limit, patience time.Duration) (*Stream, *Failure) {
	if failure := e.authorize(request); failure != nil {
		return nil, failure
	}
	ctx, cancel := context.WithCancelCause(parent)
	s := &Stream{exchange: e, parent: parent, ctx: ctx, cancel: cancel, patience: patience}
	s.timer = time.AfterFunc(limit, func() { cancel(errIdle) })
	response, failure := e.follow(parent, ctx, request)
	if failure != nil {
		s.Close()
		return nil, failure
	}
	s.response, s.Status, s.Header = response, response.StatusCode, response.Header
	return s.checkStatus()
}

// checkStatus returns the stream of a success. Of any other answer it reads the body, and returns the failure.
func (s *Stream) checkStatus() (*Stream, *Failure) {
	if s.Status >= 200 && s.Status < 300 {
		s.timer.Reset(s.patience)
		return s, nil
	}
	defer s.Close()
	if s.Status == http.StatusSwitchingProtocols {
		return nil, &Failure{Reason: ErrorStatus, Answer: &Answer{Status: s.Status, Header: s.Header}}
	}
	// If the body cannot be read, the failure has the status alone.
	body, _ := s.exchange.body(s.parent, s.ctx, s.response)
	if s.parent.Err() != nil {
		return nil, s.exchange.cancelled(s.parent)
	}
	return nil, s.exchange.failureOf(&Answer{Status: s.Status, Header: s.Header, Body: body})
}

// Read reads the next bytes. Its errors are io.EOF or of the type [*Failure].
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

// Close ends the connection, unless the whole body was read.
func (s *Stream) Close() error {
	s.timer.Stop()
	// Before the body is closed, so that Close does not wait for the rest of it.
	s.cancel(nil)
	if s.response != nil {
		return s.response.Body.Close()
	}
	return nil
}
