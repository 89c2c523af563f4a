// Package meetbottest is for tests of programs that use meetbot: a server that is played in memory, jobs, and signed webhooks.
package meetbottest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
)

// Key is the API key of the clients that a [Server] makes.
const Key = "mb_test_0123456789abcdefghijklmnopqrstuvwxyz"

const firstJob = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ"

// Job is a job as the server shows a new one, changed by change, which may be nil.
func Job(change func(*meetbot.Job)) *meetbot.Job {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	job := &meetbot.Job{
		ID: firstJob, MeetingURL: "https://sandbox.meetbot.dev/two-speakers", Platform: meetbot.PlatformSandbox, DisplayName: "meetbot", Status: meetbot.StatusQueued,
		Recording: meetbot.Recording{State: meetbot.RecordingOff, Permission: meetbot.PermissionNotRequired},
		AutoLeave: meetbot.AutoLeave{AfterEntryDelaySeconds: 600, AfterSilenceSeconds: 1200, AfterSoloSeconds: 60, AfterMaxSeconds: 14400},
		CreatedAt: at, UpdatedAt: at,
	}
	if change != nil {
		change(job)
	}
	return job
}

// Request is one that a [Server] got.
type Request struct {
	// Method and Path are those of the request; the path is with its query.
	Method, Path string
	// Header has its headers.
	Header http.Header
	// Body is its body.
	Body []byte
}

// Server plays the server without a network: jobs can be dispatched, asked for, listed, cancelled and controlled, and answers of your own be given. It may be used
// by many goroutines.
type Server struct {
	mutex      sync.Mutex
	closed     bool
	jobs       []*meetbot.Job
	requests   []Request
	script     []func(*http.Request) (*http.Response, error)
	dispatches map[string]dispatched
}

// dispatched is what a POST was answered, for others with the same Idempotency-Key.
type dispatched struct {
	body   string
	status int
	job    *meetbot.Job
}

// NewServer makes a server, which is closed with the test.
func NewServer(t testing.TB) *Server {
	s := &Server{dispatches: map[string]dispatched{}}
	t.Cleanup(s.Close)
	return s
}

// Client makes a client of this server.
func (s *Server) Client(options ...meetbot.Option) *meetbot.Client {
	own := []meetbot.Option{meetbot.WithAPIKey(Key), meetbot.WithBaseURL("http://meetbot.test"), meetbot.WithHTTPClient(&http.Client{Transport: s})}
	client, err := meetbot.NewClient(append(own, options...)...)
	if err != nil {
		panic("meetbottest: " + err.Error())
	}
	return client
}

// Requests are all requests so far.
func (s *Server) Requests() []Request {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]Request(nil), s.requests...)
}

// Close lets all further calls fail.
func (s *Server) Close() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.closed = true
}

// SetJob changes a job. It panics where there is none with this id.
func (s *Server) SetJob(id string, change func(*meetbot.Job)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	job := s.job(id)
	if job == nil {
		panic("meetbottest: there is no job " + id)
	}
	change(job)
}

// AnswerNext gives this answer to the next request that has none yet. The body is sent as it is where it is bytes or a string, and as JSON otherwise; header may
// be nil.
func (s *Server) AnswerNext(status int, body any, header http.Header) {
	s.next(func(request *http.Request) (*http.Response, error) { return answer(request, status, body, header), nil })
}

// FailNext lets the next request that has no answer yet fail with this error, as a connection that breaks does.
func (s *Server) FailNext(err error) {
	s.next(func(*http.Request) (*http.Response, error) { return nil, err })
}

func (s *Server) next(play func(*http.Request) (*http.Response, error)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.script = append(s.script, play)
}

// RoundTrip answers a request: a Server is an [http.RoundTripper], which clients of your own can send through.
func (s *Server) RoundTrip(request *http.Request) (*http.Response, error) {
	var body []byte
	if request.Body != nil {
		var err error
		body, err = io.ReadAll(request.Body)
		_ = request.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	if err := request.Context().Err(); err != nil {
		return nil, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed {
		return nil, errors.New("the server of this test is closed")
	}
	s.requests = append(s.requests, Request{Method: request.Method, Path: request.URL.RequestURI(), Header: request.Header.Clone(), Body: body})
	if len(s.script) > 0 {
		play := s.script[0]
		s.script = s.script[1:]
		return play(request)
	}
	status, said := s.play(request, body)
	return answer(request, status, said, nil), nil
}

func answer(request *http.Request, status int, body any, header http.Header) *http.Response {
	sent := http.Header{"Content-Type": {"application/json"}}
	for name, values := range header {
		sent[http.CanonicalHeaderKey(name)] = values
	}
	var text []byte
	switch body := body.(type) {
	case nil:
	case []byte:
		text = body
	case string:
		text = []byte(body)
	default:
		var err error
		if text, err = json.Marshal(body); err != nil {
			panic("meetbottest: " + err.Error())
		}
	}
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: sent, ContentLength: int64(len(text)),
		Body: io.NopCloser(bytes.NewReader(text)), Request: request,
	}
}

func (s *Server) job(id string) *meetbot.Job {
	for _, job := range s.jobs {
		if job.ID == id {
			return job
		}
	}
	return nil
}

func refusal(code, message string) map[string]string {
	return map[string]string{"error": code, "message": message}
}

// play answers as the real server does.
func (s *Server) play(request *http.Request, body []byte) (int, any) {
	_, path, _ := strings.Cut(request.URL.Path, "/api/v1/")
	parts, method := strings.Split(path, "/"), request.Method
	switch {
	case path == "jobs" && method == http.MethodPost:
		return s.dispatch(request.Header.Get("Idempotency-Key"), body)
	case path == "jobs" && method == http.MethodGet:
		return s.list(request.URL.Query())
	case parts[0] == "jobs" && len(parts) > 1:
		job := s.job(parts[1])
		switch {
		case job == nil:
			return http.StatusNotFound, refusal("not_found", "there is no such job")
		case len(parts) == 2 && method == http.MethodGet:
			return http.StatusOK, job
		case len(parts) == 2 && method == http.MethodDelete:
			if !job.Status.IsFinal() {
				job.Status, job.LeaveReason = meetbot.StatusCancelled, meetbot.LeaveCancelled
			}
			return http.StatusNoContent, nil
		case len(parts) == 3 && method == http.MethodPost && verbs[parts[2]]:
			return http.StatusOK, result(job, parts[2])
		}
	}
	return http.StatusNotImplemented, refusal("not_played", "the server of this test does not play "+method+" "+request.URL.Path+": AnswerNext can")
}
