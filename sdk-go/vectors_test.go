package meetbot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/exchange"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/signature"
)

const testKey = "mb_test_0123456789abcdefghijklmnopqrstuvwxyz"

// specification reads a file of the repository's spec folder. The module itself does not have it: outside of the repository these tests cannot run, and say so.
func specification(t testing.TB, name string) []byte {
	t.Helper()
	if _, err := os.Stat("../spec"); err != nil {
		t.Skip("*** the API's vectors are not run: they lie in ../spec of meetbot's repository, and this is a copy of the module alone ***")
	}
	text, err := os.ReadFile(filepath.Join("../spec", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// decode reads JSON with all digits of its numbers.
func decode[T any](t testing.TB, text []byte) T {
	t.Helper()
	var value T
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func vectors[T any](t testing.TB, name string) T {
	t.Helper()
	return decode[T](t, specification(t, "vectors/"+name+".json"))
}

func TestEveryVectorHolds(t *testing.T) {
	runners := map[string]func(*testing.T){
		"answers":         answersHold,
		"downloads":       func(t *testing.T) { downloadsHold(t); piecesHold(t) },
		"errors":          errorsHold,
		"job_transitions": transitionsHold,
		// TestAnInvalidAnswerGivesTheDocumentedError tells them.
		"lies":               func(*testing.T) {},
		"models":             modelsHold,
		"pages":              pagesHold,
		"recorded_answers":   recordedAnswersHold,
		"redirects":          redirectsHold,
		"recordings":         recordingsHold,
		"requests":           func(t *testing.T) { requestsHold(t); serversHold(t) },
		"retries":            retriesHold,
		"streams":            func(t *testing.T) { streamsHold(t); connectionsHold(t) },
		"waits":              func(t *testing.T) { waitsHold(t); tellingHolds(t) },
		"webhook_signatures": signaturesHold,
		// The server's and the bot's: an SDK neither takes links apart nor leaves meetings.
		"auto_leave":    func(*testing.T) {},
		"meeting_links": func(*testing.T) {},
	}
	specification(t, "README.md")
	files, err := os.ReadDir("../spec/vectors")
	if err != nil {
		t.Fatal(err)
	}
	// What a file may hold beside its kind and its cases; more is something that nothing here runs.
	more := map[string][]string{
		"answers": {"required"}, "auto_leave": {"about"}, "downloads": {"pieces"}, "job_transitions": {"statuses", "transitions"}, "recorded_answers": {"answers"}, "redirects": {"baseUrl"},
		"requests": {"servers"}, "streams": {"connections"}, "waits": {"events"}, "webhook_signatures": {"standard", "unwrap"},
	}
	for _, file := range files {
		name := strings.TrimSuffix(file.Name(), ".json")
		runner, known := runners[name]
		if !known {
			t.Errorf("nothing runs the vectors of %s", file.Name())
			continue
		}
		for key := range vectors[map[string]any](t, name) {
			if key != "kind" && key != "cases" && !slices.Contains(more[name], key) {
				t.Errorf("nothing runs the %s of %s", key, file.Name())
			}
		}
		if kind := vectors[struct{ Kind string }](t, name).Kind; kind != name {
			t.Errorf("%s is of the kind %q", file.Name(), kind)
		}
		t.Run(name, runner)
	}
}

func downloadsHold(t *testing.T) {
	type vector struct {
		Name     string
		WaitedMs int64
		PauseMs  *int64
	}
	for _, c := range vectors[struct{ Cases []vector }](t, "downloads").Cases {
		pause, again := mixPause(time.Duration(c.WaitedMs) * time.Millisecond)
		if again != (c.PauseMs != nil) || again && pause.Milliseconds() != *c.PauseMs {
			t.Errorf("%s: %v %v", c.Name, pause, again)
		}
	}
}

func piecesHold(t *testing.T) {
	type vector struct {
		Name                                    string
		ManifestBytes, SaidBytes, ContentLength *int64
		ReceivedBytes, SentBytes                int64
		Status                                  int
		ContentRange                            *string
		Outcome                                 string
	}
	known := func(size *int64) int64 {
		if size == nil {
			return -1
		}
		return *size
	}
	for _, c := range vectors[struct{ Pieces []vector }](t, "downloads").Pieces {
		header := http.Header{}
		if c.ContentRange != nil {
			header.Set("Content-Range", *c.ContentRange)
		}
		if c.ContentLength != nil {
			header.Set("Content-Length", fmt.Sprint(*c.ContentLength))
		}
		read, err := readPiece(known(c.ManifestBytes), known(c.SaidBytes), c.ReceivedBytes, c.Status, header)
		after, outcome := c.ReceivedBytes+c.SentBytes, "part"
		if read.anew {
			after = c.SentBytes
		}
		switch {
		case err != nil || !read.reaches(after):
			outcome = "error"
		case read.completes(after):
			outcome = "whole"
		}
		if outcome != c.Outcome {
			t.Errorf("%s: %s %v", c.Name, outcome, err)
		}
	}
}

func serversHold(t *testing.T) {
	type vector struct {
		URL                  string
		Loopback, InTheClear bool
	}
	for _, c := range vectors[struct{ Servers []vector }](t, "requests").Servers {
		base, err := checkedBaseURL(c.URL)
		if err != nil {
			t.Fatal(err)
		}
		if isLoopback(base.Hostname()) != c.Loopback || isInTheClear(base) != c.InTheClear {
			t.Errorf("%s: %v %v", c.URL, isLoopback(base.Hostname()), isInTheClear(base))
		}
		var logged strings.Builder
		if _, err := NewClient(WithAPIKey(testKey), WithBaseURL(c.URL), WithLogger(slog.New(slog.NewTextHandler(&logged, nil)))); err != nil || (logged.Len() > 0) != c.InTheClear {
			t.Errorf("%s: %v %s", c.URL, err, &logged)
		}
		proxy := notForLoopback(func(*http.Request) (*url.URL, error) { return base, nil })
		if found, err := proxy(&http.Request{URL: base}); err != nil || (found == nil) != c.Loopback {
			t.Errorf("%s: %v %v", c.URL, found, err)
		}
	}
}

func errorsHold(t *testing.T) {
	type vector struct {
		Name    string
		Status  int
		Headers map[string]string
		Body    string
		Expect  struct {
			Kind                     string
			Code, Message, RequestID *string
			Issues                   int
			RetryAfterMs             *int64
		}
	}
	text := func(value *string) string {
		if value == nil {
			return ""
		}
		return *value
	}
	for _, c := range vectors[struct{ Cases []vector }](t, "errors").Cases {
		header := http.Header{}
		for name, value := range c.Headers {
			header.Set(name, value)
		}
		e := answerError(c.Status, header, []byte(c.Body), time.Unix(0, 0))
		if e.Kind.Error() != "meetbot: "+c.Expect.Kind || !errors.Is(e, kind(c.Expect.Kind)) {
			t.Errorf("%s: %v", c.Name, e.Kind)
		}
		if e.Code != text(c.Expect.Code) || c.Expect.Message != nil && e.Message != *c.Expect.Message || e.RequestID != text(c.Expect.RequestID) {
			t.Errorf("%s: %#v", c.Name, e)
		}
		if len(e.Issues) != c.Expect.Issues || string(e.Body) != c.Body || e.Status != c.Status {
			t.Errorf("%s: %#v", c.Name, e)
		}
		if wait := c.Expect.RetryAfterMs; wait != nil && e.RetryAfter.Milliseconds() != *wait || wait == nil && e.RetryAfter != 0 {
			t.Errorf("%s: %v", c.Name, e.RetryAfter)
		}
		if !strings.HasPrefix(e.Error(), fmt.Sprintf("meetbot: %d", c.Status)) {
			t.Errorf("%s: %v", c.Name, e)
		}
	}
}

func retriesHold(t *testing.T) {
	type vector struct {
		Name              string
		Tried, MaxRetries int
		Status            *int
		RetryAfter        *string
		Now               time.Time
		Expect            *struct{ MinMs, MaxMs int64 }
	}
	for _, c := range vectors[struct{ Cases []vector }](t, "retries").Cases {
		status, retryAfter := exchange.NoStatus, time.Duration(-1)
		if c.Status != nil {
			status = *c.Status
		}
		if c.RetryAfter != nil {
			retryAfter = exchange.RetryAfter(*c.RetryAfter, c.Now)
		}
		least, again := exchange.Decide(c.Tried, c.MaxRetries, status, retryAfter, 0)
		most, _ := exchange.Decide(c.Tried, c.MaxRetries, status, retryAfter, 1)
		if again != (c.Expect != nil) || again && (least.Milliseconds() != c.Expect.MinMs || most.Milliseconds() != c.Expect.MaxMs) {
			t.Errorf("%s: %v to %v, %v", c.Name, least, most, again)
		}
	}
}

func signaturesHold(t *testing.T) {
	type vector struct {
		Name, Body, Secret string
		Names              string
		Header             string
		ID, Timestamp      string
		Valid, Error       bool
	}
	found := vectors[struct{ Cases, Standard []vector }](t, "webhook_signatures")
	if len(found.Cases) < 20 || len(found.Standard) < 20 {
		t.Error("there are too few")
	}
	for _, c := range found.Cases {
		if valid := VerifyWebhookSignature([]byte(c.Body), c.Header, c.Secret); valid != c.Valid {
			t.Errorf("%s: %v", c.Name, valid)
		}
		if err := CheckWebhookSecret(c.Secret); errors.Is(err, ErrConfiguration) != c.Error || c.Error && !strings.Contains(err.Error(), c.Names) {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	for _, c := range found.Standard {
		secret, err := signature.Parse(c.Secret)
		if (err != nil) != c.Error {
			t.Errorf("%s: %v", c.Name, err)
		}
		if valid := err == nil && secret.VerifyStandard(c.ID, c.Timestamp, []byte(c.Body), c.Header); valid != c.Valid {
			t.Errorf("%s: %v", c.Name, valid)
		}
	}
}

func transitionsHold(t *testing.T) {
	type vector struct {
		Status JobStatus
		Final  bool
	}
	for _, c := range vectors[struct{ Statuses []vector }](t, "job_transitions").Statuses {
		if c.Status.IsFinal() != c.Final {
			t.Error(c.Status)
		}
	}
}

// sent is a request as it was sent, of a client whose server answers with {}.
func sent(t *testing.T, call func(*Client) error) map[string]any {
	t.Helper()
	var found map[string]any
	client, err := NewClient(WithAPIKey(testKey), WithBaseURL("http://meetbot.test"), WithMaxRetries(0), WithHTTPClient(&http.Client{Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
		found = map[string]any{"method": request.Method, "path": request.URL.RequestURI(), "body": nil}
		if request.Body != nil {
			body, err := io.ReadAll(request.Body)
			if err != nil {
				return nil, err
			}
			if len(body) > 0 {
				found["body"] = decode[any](t, body)
			}
		}
		return nil, errors.New("it is not answered")
	})}))
	if err != nil {
		t.Fatal(err)
	}
	if err := call(client); found == nil {
		t.Fatalf("nothing was sent: %v", err)
	}
	return found
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

type requestArguments struct {
	JobID, ExternalID, MeetingURL, DisplayName, Message, Name, Confirm, DeliveryID, State, Cursor string
	Platform                                                                                      Platform
	JoinAt, CreatedAfter, CreatedBefore                                                           time.Time
	Webhooks                                                                                      struct{ OnFinalize, OnStatusChange string }
	Metadata                                                                                      map[string]any
	AutoLeave                                                                                     map[string]any
	RecordVideo                                                                                   *bool
	Account                                                                                       string
	Status                                                                                        []JobStatus
	Limit                                                                                         int
}

func (a requestArguments) autoLeave(t *testing.T) *AutoLeaveConfig {
	if a.AutoLeave == nil {
		return nil
	}
	var config AutoLeaveConfig
	for name, value := range a.AutoLeave {
		rule := Off
		if seconds, ok := value.(json.Number); ok {
			number, err := seconds.Int64()
			if err != nil {
				t.Fatal(err)
			}
			rule = After(time.Duration(number) * time.Second)
		}
		switch name {
		case "afterEntryDelaySeconds":
			config.AfterEntryDelay = rule
		case "afterSilenceSeconds":
			config.AfterSilence = rule
		case "afterSoloSeconds":
			config.AfterSolo = rule
		case "afterMaxSeconds":
			config.AfterMax = rule
		case "onBotDetected":
			flag := value.(bool)
			config.OnBotDetected = &flag
		default:
			t.Fatalf("no rule is called %s", name)
		}
	}
	return &config
}

func requestsHold(t *testing.T) {
	type vector struct {
		Name, Call   string
		Arguments    requestArguments
		Method, Path string
		Body         any
	}
	ctx := context.Background()
	for _, c := range vectors[struct{ Cases []vector }](t, "requests").Cases {
		a := c.Arguments
		found := sent(t, func(client *Client) (err error) {
			switch c.Call {
			case "dispatch_bot":
				_, err = client.DispatchBot(ctx, DispatchBotParams{
					MeetingURL: a.MeetingURL, ExternalID: a.ExternalID, DisplayName: a.DisplayName, Platform: a.Platform, JoinAt: a.JoinAt, OnFinalizeURL: a.Webhooks.OnFinalize,
					OnStatusChangeURL: a.Webhooks.OnStatusChange, Metadata: a.Metadata, AutoLeave: a.autoLeave(t), RecordVideo: a.RecordVideo, Account: a.Account,
				})
			case "get_bot":
				_, err = client.GetBot(ctx, a.JobID)
			case "list_bots":
				_, err = client.ListBots(ctx, ListBotsParams{
					Status: a.Status, ExternalID: a.ExternalID, Platform: a.Platform, CreatedAfter: a.CreatedAfter, CreatedBefore: a.CreatedBefore, Limit: a.Limit, Cursor: a.Cursor,
				})
			case "cancel_bot":
				err = client.CancelBot(ctx, a.JobID)
			case "request_recording_permission":
				_, err = client.RequestRecordingPermission(ctx, a.JobID)
			case "pause_recording":
				_, err = client.PauseRecording(ctx, a.JobID)
			case "resume_recording":
				_, err = client.ResumeRecording(ctx, a.JobID)
			case "stop_recording":
				_, err = client.StopRecording(ctx, a.JobID)
			case "leave_bot":
				_, err = client.LeaveBot(ctx, a.JobID)
			case "send_chat_message":
				_, err = client.SendChatMessage(ctx, a.JobID, a.Message)
			case "manifest":
				_, err = client.Manifest(ctx, a.JobID)
			case "events":
				for _, err = range client.Watch(ctx, a.JobID) {
				}
			case "artifacts":
				_, err = client.Artifacts(ctx, a.JobID)
			case "artifact":
				_, err = client.Artifact(ctx, a.JobID, a.Name)
			case "delete_recording":
				_, err = client.DeleteRecording(ctx, a.JobID)
			case "erase_consumer":
				_, err = client.EraseConsumer(ctx, a.Confirm)
			case "host":
				_, err = client.Host(ctx)
			case "usage":
				_, err = client.Usage(ctx)
			case "list_platforms":
				_, err = client.ListPlatforms(ctx)
			case "deliveries":
				_, err = client.Deliveries(ctx, DeliveriesParams{JobID: a.JobID, State: DeliveryState(a.State), Limit: a.Limit, Cursor: a.Cursor})
			case "get_delivery":
				_, err = client.GetDelivery(ctx, a.DeliveryID)
			case "redeliver":
				_, err = client.Redeliver(ctx, a.DeliveryID)
			default:
				t.Fatalf("no call is named %s", c.Call)
			}
			return err
		})
		if expect := map[string]any{"method": c.Method, "path": c.Path, "body": c.Body}; !reflect.DeepEqual(found, expect) {
			t.Errorf("%s:\n%v\n%v", c.Name, found, expect)
		}
	}
}

func pagesHold(t *testing.T) {
	type vector struct {
		Name, Cursor string
		JSON         json.RawMessage
		IDs          []string
		Next         *string
		Error        bool
	}
	for _, c := range vectors[struct{ Cases []vector }](t, "pages").Cases {
		data, next, err := elements[Job](c.JSON)
		if err == nil {
			next, err = following(c.Cursor, next)
		}
		if (err != nil) != c.Error {
			t.Errorf("%s: %v", c.Name, err)
		}
		if err != nil {
			continue
		}
		ids := []string{}
		for _, job := range data {
			ids = append(ids, job.ID)
		}
		if !reflect.DeepEqual(ids, c.IDs) || next != "" && (c.Next == nil || next != *c.Next) || next == "" && c.Next != nil {
			t.Errorf("%s: %v %v", c.Name, ids, next)
		}
	}
}
