package meetbot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/meetbottest"
)

const jobID = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ"

// as gives the one error that every error is.
func as(t testing.TB, err error) *meetbot.Error {
	t.Helper()
	var found *meetbot.Error
	if !errors.As(err, &found) {
		t.Fatalf("it is no error of the SDK's: %v", err)
	}
	return found
}

func TestACallIsTriedAgainWithTheSameKeyAndPausesThatGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := meetbottest.NewServer(t)
		server.FailNext(io.ErrUnexpectedEOF)
		server.AnswerNext(503, "<html>", nil)
		server.AnswerNext(429, map[string]string{"error": "rate_limited"}, http.Header{"Retry-After": {"7"}})
		began := time.Now()
		var response meetbot.Response
		job, err := server.Client().DispatchBot(t.Context(), meetbot.DispatchBotParams{MeetingURL: "https://m.example/1"}, meetbot.WithResponse(&response))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 7*time.Second || took > 9*time.Second {
			t.Errorf("it took %v", took)
		}
		keys := map[string]bool{}
		for _, request := range server.Requests() {
			keys[request.Header.Get("Idempotency-Key")] = true
		}
		if len(server.Requests()) != 4 || len(keys) != 1 || keys[""] || response.Attempts != 4 || response.Status != 201 || job.Status != meetbot.StatusQueued {
			t.Errorf("%v %+v", keys, response)
		}
	})
}

func TestRetryAfterInItsThreeFormsIsWaitedFor(t *testing.T) {
	for name, form := range map[string]func(time.Time) string{
		"seconds": func(time.Time) string { return "20" },
		"date":    func(now time.Time) string { return now.Add(20 * time.Second).UTC().Format(http.TimeFormat) },
		"RFC 850": func(now time.Time) string {
			return now.Add(20 * time.Second).UTC().Format("Monday, 02-Jan-06 15:04:05 GMT")
		},
		"C's asctime": func(now time.Time) string { return now.Add(20 * time.Second).UTC().Format(time.ANSIC) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, began := meetbottest.NewServer(t), time.Now()
				server.AnswerNext(503, nil, http.Header{"Retry-After": {form(began)}})
				if _, err := server.Client().ListBots(t.Context(), meetbot.ListBotsParams{}); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != 20*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestADeadlineEndsACallThatWouldHaveToWaitBeyondIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, began := meetbottest.NewServer(t), time.Now()
		for range 4 {
			server.AnswerNext(503, map[string]string{"error": "unavailable"}, http.Header{"Retry-After": {"20"}})
		}
		_, err := server.Client(meetbot.WithDeadline(30*time.Second)).GetBot(t.Context(), jobID)
		if e := as(t, err); !errors.Is(err, meetbot.ErrServer) || e.Attempts != 2 || e.RetryAfter != 20*time.Second || !e.Transient {
			t.Errorf("%#v", e)
		}
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestATryThatTakesTooLongIsCancelledAndRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		hanging := meetbot.WithHTTPClient(&http.Client{Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
			tries++
			<-request.Context().Done()
			return nil, request.Context().Err()
		})})
		mb := client(t, "http://meetbot.test", hanging, meetbot.WithTimeout(2*time.Second), meetbot.WithMaxRetries(1))
		_, err := mb.GetBot(t.Context(), jobID)
		if e := as(t, err); !errors.Is(err, meetbot.ErrTimeout) || !errors.Is(err, meetbot.ErrConnection) || tries != 2 || e.Attempts != 2 || !e.Transient {
			t.Errorf("%d %#v", tries, e)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

func client(t testing.TB, url string, options ...meetbot.Option) *meetbot.Client {
	t.Helper()
	own := []meetbot.Option{meetbot.WithAPIKey(meetbottest.Key), meetbot.WithBaseURL(url)}
	mb, err := meetbot.NewClient(append(own, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mb.CloseIdleConnections)
	return mb
}

func TestTheContextsErrorIsInTheErrorOfACallThatItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := meetbottest.NewServer(t)
		server.AnswerNext(503, nil, http.Header{"Retry-After": {"30"}})
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("nobody waits any more")
		time.AfterFunc(5*time.Second, func() { cancel(reason) })
		_, err := server.Client().GetBot(ctx, jobID)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, meetbot.ErrConnection) || errors.Is(err, meetbot.ErrTimeout) || !errors.Is(err, reason) || as(t, err).Transient {
			t.Errorf("%#v", err)
		}
		late, stop := context.WithTimeout(t.Context(), 5*time.Second)
		defer stop()
		server.AnswerNext(503, nil, http.Header{"Retry-After": {"30"}})
		if _, err = server.Client().GetBot(late, jobID); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, meetbot.ErrTimeout) {
			t.Errorf("%#v", err)
		}
	})
}

func TestInvalidArgumentsAreConfigurationErrorsAndNothingIsSent(t *testing.T) {
	server := meetbottest.NewServer(t)
	mb, ctx := server.Client(), t.Context()
	half := meetbot.DispatchBotParams{MeetingURL: "https://m.example/1", AutoLeave: &meetbot.AutoLeaveConfig{AfterSolo: meetbot.After(1500 * time.Millisecond)}}
	unwritable := meetbot.DispatchBotParams{MeetingURL: "https://m.example/1", Metadata: map[string]any{"a": make(chan int)}}
	var none context.Context
	for name, call := range map[string]func() error{
		"an empty id":        func() error { _, err := mb.GetBot(ctx, ""); return err },
		"dots":               func() error { return mb.CancelBot(ctx, "..") },
		"a dot":              func() error { _, err := mb.Artifact(ctx, jobID, "."); return err },
		"dots of a delivery": func() error { _, err := mb.Redeliver(ctx, "..."); return err },
		"half a second":      func() error { _, err := mb.DispatchBot(ctx, half); return err },
		"a channel":          func() error { _, err := mb.DispatchBot(ctx, unwritable); return err },
		"no context":         func() error { _, err := mb.GetBot(none, jobID); return err },
		"no context of wait": func() error { _, err := mb.WaitForBot(none, jobID); return err },
		"a relative path":    func() error { _, err := mb.Request(ctx, "GET", "api", nil); return err },
		"a method":           func() error { _, err := mb.Request(ctx, "G T", "/api", nil); return err },
		"a time of 0":        func() error { _, err := mb.GetBot(ctx, jobID, meetbot.WithTimeout(0)); return err },
		"minus one retry":    func() error { _, err := mb.GetBot(ctx, jobID, meetbot.WithMaxRetries(-1)); return err },
		"a key with a space": func() error {
			_, err := mb.DispatchBot(ctx, meetbot.DispatchBotParams{}, meetbot.WithIdempotencyKey("a b"))
			return err
		},
		"a key for all calls": func() error { _, err := mb.WithOptions(meetbot.WithIdempotencyKey("a")).GetBot(ctx, jobID); return err },
		"another key":         func() error { _, err := mb.GetBot(ctx, jobID, meetbot.WithHeader("authorization", "x")); return err },
		"a header of 2 lines": func() error { _, err := mb.GetBot(ctx, jobID, meetbot.WithHeader("X-A", "a\nb")); return err },
		"a limit":             func() error { _, err := mb.ListBots(ctx, meetbot.ListBotsParams{Limit: 1 << 40}); return err },
		"another server":      func() error { _, err := mb.Request(ctx, "GET", "/@evil.example/", nil); return err },
	} {
		err := call()
		if name == "another server" {
			// It is a path of this server.
			if !errors.Is(err, meetbot.ErrServer) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.Is(err, meetbot.ErrConfiguration) || as(t, err).Attempts != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, none := range map[string]*meetbot.Client{"the zero value": {}, "nil": nil} {
		_, job := none.GetBot(ctx, jobID)
		_, wait := none.WaitForBot(ctx, jobID)
		_, paths := none.DownloadArtifacts(ctx, jobID, t.TempDir())
		_, file := none.OpenArtifact(ctx, jobID, "a")
		_, answer := none.Request(ctx, "GET", "/", nil)
		found := []error{job, wait, paths, file, answer}
		for _, err := range none.Watch(ctx, jobID) {
			found = append(found, err)
		}
		for _, err := range none.AllBots(ctx, meetbot.ListBotsParams{}) {
			found = append(found, err)
		}
		for _, err := range found {
			if !errors.Is(err, meetbot.ErrConfiguration) || len(found) != 7 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	var empty meetbot.Client
	empty.CloseIdleConnections()
	if empty.String() != "meetbot.Client()" {
		t.Error(empty)
	}
	if _, err := mb.DownloadArtifact(ctx, jobID, "a", nil); !errors.Is(err, meetbot.ErrConfiguration) {
		t.Error(err)
	}
	for _, err := range mb.Watch(ctx, "..") {
		if !errors.Is(err, meetbot.ErrConfiguration) {
			t.Errorf("%v", err)
		}
	}
	for _, request := range server.Requests() {
		if request.Path != "/@evil.example/" {
			t.Errorf("%+v", request)
		}
	}
}

func TestInvalidKeysAndURLsAreReportedWithoutShowingThem(t *testing.T) {
	t.Setenv("MEETBOT_API_KEY", "")
	t.Setenv("MEETBOT_API_BASE_URL", "")
	if _, err := meetbot.NewClient(); !errors.Is(err, meetbot.ErrConfiguration) {
		t.Error(err)
	}
	for _, key := range []string{"", " ", "mb_test_secret and more", "“mb_test_secret”", "mb_test_secret\nx"} {
		_, err := meetbot.NewClient(meetbot.WithAPIKey(key))
		if !errors.Is(err, meetbot.ErrConfiguration) || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "secret") {
			t.Errorf("%q: %v", key, err)
		}
	}
	for key, named := range map[string]string{"\u200bmb_test_secret": "U+200B as its character 1,", "mb_\ufefftest_secret": "U+FEFF as its character 4,", "mb_\x00test_secret": "U+0000 as its character 4,"} {
		if _, err := meetbot.NewClient(meetbot.WithAPIKey(key)); err == nil || !strings.Contains(err.Error(), named) {
			t.Errorf("%q: %v", key, err)
		}
	}
	if mb, err := meetbot.NewClient(meetbot.WithAPIKey("\ufeff"+meetbottest.Key+"\r\n"), meetbot.WithBaseURL("\ufeffhttps://x\n")); err != nil || mb.BaseURL() != "https://x" {
		t.Error(err)
	}
	for _, url := range []string{"", "api.meetbot.dev", "ftp://x", "http://", "https://user:secret@x", "https://x?y=1", "https://x/?", "https://x#y", "https://a b", "https://x:\n3010", "https://x/a\tb"} {
		_, err := meetbot.NewClient(meetbot.WithAPIKey(meetbottest.Key), meetbot.WithBaseURL(url))
		if !errors.Is(err, meetbot.ErrConfiguration) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
	for url, base := range map[string]string{
		"https://x": "https://x", " http://127.0.0.1:3010/\n": "http://127.0.0.1:3010", "https://x/behind/a/proxy/": "https://x/behind/a/proxy", "https://x/api/v1": "https://x",
		"https://x//api/v1//": "https://x", "https://x/behind/api/v1": "https://x/behind", "https://x/my-api/v1": "https://x/my-api/v1", "https://x/api": "https://x/api",
		"https://X.Example": "https://x.example",
	} {
		if mb := client(t, url); mb.BaseURL() != base {
			t.Errorf("%q: %q", url, mb.BaseURL())
		}
	}
	t.Setenv("MEETBOT_API_KEY", meetbottest.Key+"\n")
	if mb, err := meetbot.NewClient(); err != nil || mb.BaseURL() != "https://api.meetbot.dev" {
		t.Errorf("%v %v", mb, err)
	}
}

func TestAPathOfTheBaseURLStaysBeforeEveryCall(t *testing.T) {
	var paths []string
	recording := meetbot.WithHTTPClient(&http.Client{Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
		paths = append(paths, request.URL.RequestURI())
		return nil, errors.New("it is not answered")
	})})
	mb := client(t, "https://x/behind/a%2Fproxy/", recording, meetbot.WithMaxRetries(0))
	_, _ = mb.GetBot(t.Context(), "../x")
	_, _ = mb.Request(t.Context(), "GET", "/api/v1/jobs?limit=1", nil)
	if strings.Join(paths, " ") != "/behind/a%2Fproxy/api/v1/jobs/..%2Fx /behind/a%2Fproxy/api/v1/jobs?limit=1" {
		t.Error(paths)
	}
}

func TestTheKeyIsInNoOutput(t *testing.T) {
	const key = meetbottest.Key
	page := map[string]any{"error": "teapot", "message": "you sent " + key, "issues": []any{map[string]any{"message": key}}}
	server := meetbottest.NewServer(t)
	var logged strings.Builder
	var started []*meetbot.CallStarted
	var ended []meetbot.CallEnded
	mb := server.Client(
		meetbot.WithLogger(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		meetbot.WithOnRequest(func(call *meetbot.CallStarted) {
			started = append(started, call)
			if strings.Contains(fmt.Sprint(call.Header), key) {
				t.Errorf("%v", call)
			}
		}),
		meetbot.WithOnResponse(func(call meetbot.CallEnded) { ended = append(ended, call) }), meetbot.WithMaxRetries(1))
	call := func() error { _, err := mb.GetBot(t.Context(), jobID); return err }
	var found []error
	server.AnswerNext(418, page, nil)
	found = append(found, call())
	server.AnswerNext(200, `{"id": "`+key+`", "status": 7}`, nil)
	found = append(found, call())
	server.AnswerNext(302, nil, http.Header{"Location": {"https://" + key + ".example/" + key}})
	found = append(found, call())
	server.FailNext(errors.New(`malformed HTTP response "Bearer ` + key + `"`))
	server.FailNext(fmt.Errorf("wrapped: %w", errors.New(key)))
	found = append(found, call())
	server.AnswerNext(200, "data: "+key+"\n\n", http.Header{"Content-Type": {"text/event-stream"}})
	for _, err := range mb.Watch(t.Context(), jobID) {
		found = append(found, err)
	}
	server.AnswerNext(200, nil, http.Header{"Content-Type": {"text/" + key}})
	for _, err := range mb.Watch(t.Context(), jobID) {
		found = append(found, err)
	}
	if len(found) != 6 {
		t.Fatal(found)
	}
	var shown []string
	for _, err := range found {
		for cause := err; cause != nil; cause = errors.Unwrap(cause) {
			shown = append(shown, fmt.Sprintf("%v %+v %#v %s", cause, cause, cause, cause))
		}
		written, _ := json.Marshal(err)
		shown = append(shown, string(written), fmt.Sprint(as(t, err).LogValue()), string(as(t, err).Body), fmt.Sprint(as(t, err).Issues))
	}
	value := struct {
		private meetbot.Client
		Public  *meetbot.Client
	}{*mb, mb}
	for _, client := range []any{mb, *mb, &mb, value, &value, meetbot.WithAPIKey(key), []any{mb}} {
		written, _ := json.Marshal(client)
		var slogged strings.Builder
		slog.New(slog.NewJSONHandler(&slogged, nil)).Info("client", "client", client)
		shown = append(shown, fmt.Sprintf("%v %+v %#v %s %q %x %d", client, client, client, client, client, client, client), string(written), slogged.String())
	}
	shown = append(shown, logged.String(), fmt.Sprintf("%+v %#v", ended, ended))
	for _, call := range started {
		shown = append(shown, fmt.Sprint(call.Header))
	}
	for _, text := range shown {
		if strings.Contains(text, key) || strings.Contains(text, fmt.Sprintf("%x", key)) {
			t.Errorf("%s", text)
		}
	}
	if !strings.Contains(fmt.Sprintf("%v %#v", mb, *mb), "http://meetbot.test") || len(ended) < 6 || !strings.Contains(logged.String(), "tried again") {
		t.Errorf("%v %v", mb, ended)
	}
}

func TestTheStoredAnswerIsThatOfTheLastTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := meetbottest.NewServer(t)
		server.AnswerNext(503, "busy", nil)
		server.FailNext(io.ErrUnexpectedEOF)
		server.AnswerNext(503, "busy", http.Header{"X-Request-Id": {"req_1"}})
		mb := server.Client()
		var kept meetbot.Response
		if _, err := mb.Usage(t.Context(), meetbot.WithResponse(&kept), meetbot.WithMaxRetries(1)); !errors.Is(err, meetbot.ErrConnection) || kept.Status != 0 {
			t.Error(err, kept)
		}
		if _, err := mb.Usage(t.Context(), meetbot.WithResponse(&kept), meetbot.WithMaxRetries(0)); !errors.Is(err, meetbot.ErrServer) || kept.Status != 503 || string(kept.Body) != "busy" || kept.RequestID != "req_1" {
			t.Error(err, kept)
		}
	})
}

func TestHooksSeeEachCallAndAddHeaders(t *testing.T) {
	server := meetbottest.NewServer(t)
	var ended []meetbot.CallEnded
	mb := server.Client(
		meetbot.WithOnRequest(func(call *meetbot.CallStarted) { call.Header.Set("traceparent", "00-1") }),
		meetbot.WithOnResponse(func(call meetbot.CallEnded) { ended = append(ended, call) }), meetbot.WithHeader("X-Team", "a"))
	if _, err := mb.GetBot(t.Context(), jobID, meetbot.WithHeader("X-Call", "b")); !errors.Is(err, meetbot.ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := mb.ListBots(t.Context(), meetbot.ListBotsParams{}); err != nil {
		t.Fatal(err)
	}
	first, second := server.Requests()[0].Header, server.Requests()[1].Header
	if first.Get("traceparent") != "00-1" || first.Get("X-Team") != "a" || first.Get("X-Call") != "b" || second.Get("X-Call") != "" || second.Get("X-Team") != "a" {
		t.Errorf("%v %v", first, second)
	}
	if agent := first.Get("User-Agent"); !strings.HasPrefix(agent, "meetbot-go/"+meetbot.Version+" go") {
		t.Error(agent)
	}
	if len(ended) != 2 || ended[0].Status != 404 || !errors.Is(ended[0].Err, meetbot.ErrNotFound) || ended[0].Attempts != 1 || ended[1].Err != nil || ended[1].Path != "/api/v1/jobs" {
		t.Errorf("%+v", ended)
	}
}

func TestAnIteratorGoesOverEmptyPagesGivesAnErrorOnceAndEnds(t *testing.T) {
	server := meetbottest.NewServer(t)
	job := meetbottest.Job(nil)
	page := func(next string, jobs ...*meetbot.Job) map[string]any {
		return map[string]any{"data": append([]*meetbot.Job{}, jobs...), "nextCursor": next}
	}
	server.AnswerNext(200, page("a", job), nil)
	server.AnswerNext(200, page("b"), nil)
	server.AnswerNext(200, page("c", job), nil)
	server.AnswerNext(403, map[string]string{"error": "forbidden"}, nil)
	var jobs, failed int
	for one, err := range server.Client().AllBots(t.Context(), meetbot.ListBotsParams{Limit: 1}) {
		if err != nil {
			failed++
			if one != nil || !errors.Is(err, meetbot.ErrForbidden) {
				t.Error(one, err)
			}
			continue
		}
		jobs++
	}
	if jobs != 2 || failed != 1 || server.Requests()[2].Path != "/api/v1/jobs?limit=1&cursor=b" {
		t.Error(jobs, failed, server.Requests()[2].Path)
	}
	server.AnswerNext(200, page("same"), nil)
	server.AnswerNext(200, page("same"), nil)
	for _, err := range server.Client().AllDeliveries(t.Context(), meetbot.DeliveriesParams{}) {
		if !errors.Is(err, meetbot.ErrDecode) {
			t.Error(err)
		}
		failed++
	}
	if failed != 2 {
		t.Error(failed)
	}
	for range server.Client().AllBots(t.Context(), meetbot.ListBotsParams{}) {
		t.Error("there are none")
	}
}

func TestAWaitEndsWithTheJobAndShowsEachChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := meetbottest.NewServer(t)
		job, err := server.Client().DispatchBot(t.Context(), meetbot.DispatchBotParams{MeetingURL: "https://m.example/1"})
		if err != nil {
			t.Fatal(err)
		}
		for at, status := range map[time.Duration]meetbot.JobStatus{time.Minute: meetbot.StatusRecording, 2 * time.Minute: meetbot.StatusCompleted} {
			time.AfterFunc(at, func() { server.SetJob(job.ID, func(job *meetbot.Job) { job.Status = status }) })
		}
		var seen []meetbot.JobStatus
		ended, err := server.Client().WaitForBot(t.Context(), job.ID, meetbot.WithOnUpdate(func(job *meetbot.Job) { seen = append(seen, job.Status) }))
		if err != nil || ended.Status != meetbot.StatusCompleted || fmt.Sprint(seen) != "[queued recording completed]" {
			t.Error(ended, err, seen)
		}
	})
}

func TestAWaitThatTakesTooLongIsATimeoutAndTheJobGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := meetbottest.NewServer(t)
		job, err := server.Client().DispatchBot(t.Context(), meetbot.DispatchBotParams{MeetingURL: "https://m.example/1"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		_, err = server.Client().WaitForBot(ctx, job.ID)
		if !errors.Is(err, meetbot.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "is still queued") {
			t.Error(err)
		}
		if _, err := server.Client().WaitForBot(t.Context(), jobID+"X"); !errors.Is(err, meetbot.ErrNotFound) {
			t.Error(err)
		}
	})
}

func TestAServerThatIsAwayForLessThanFiveMinutesDoesNotEndAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := func(from, to time.Duration) (*meetbot.Job, error) {
			began, server := time.Now(), meetbottest.NewServer(t)
			mb := client(t, "http://meetbot.test", meetbot.WithMaxRetries(0), meetbot.WithHTTPClient(&http.Client{Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
				since := time.Since(began)
				if strings.HasSuffix(request.URL.Path, "/events") || since >= from && since < to {
					return nil, io.ErrUnexpectedEOF
				}
				server.AnswerNext(200, meetbottest.Job(func(job *meetbot.Job) {
					if since >= to {
						job.Status = meetbot.StatusCompleted
					}
				}), nil)
				return server.RoundTrip(request)
			})}))
			return mb.WaitForBot(t.Context(), jobID)
		}
		if job, err := away(time.Minute, 5*time.Minute); err != nil {
			t.Error(job, err)
		}
		if _, err := away(time.Minute, 10*time.Minute); !errors.Is(err, meetbot.ErrConnection) {
			t.Error(err)
		}
	})
}
