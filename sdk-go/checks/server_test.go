// Package checks judges the SDK by what it does not require: a running server, the published verifier of Standard Webhooks, and go's own rules for modules.
package checks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/webhook"
)

// patience is how long anything may take.
const patience = 2 * time.Minute

// server is a running meetbot serve, and a key of it.
type server struct {
	URL string
	Key struct {
		Key           string
		WebhookSecret string
	}
}

// started starts the server once, in a folder of its own; it ends with the tests.
var started = sync.OnceValues(func() (*server, error) {
	program := os.Getenv("MEETBOT_PROGRAM")
	if program == "" {
		program = "../../target/debug/meetbot"
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%w: cargo build --package meetbot-cli, or say in MEETBOT_PROGRAM where it is", err)
	}
	logs := os.Getenv("MEETBOT_TEST_LOGS")
	if logs == "" {
		logs = "../../target/test-logs"
	}
	if err := os.MkdirAll(logs, 0o777); err != nil {
		return nil, err
	}
	// Servers write all they have to say here; cargo xtask test searches it for secrets.
	log, err := os.Create(filepath.Join(logs, fmt.Sprintf("go-%d.log", os.Getpid())))
	if err != nil {
		return nil, err
	}
	// In development: the receivers of the tests are on loopback.
	data := filepath.Join(scratch, "data")
	command := exec.Command(program, "serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir", data, "--json")
	command.Env = append(os.Environ(), "MEETBOT_LOG=debug")
	command.Stderr = log
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	cleanup = append(cleanup, func() {
		_ = command.Process.Signal(os.Interrupt)
		_, _ = io.Copy(io.Discard, output)
		_ = command.Wait()
		_ = log.Close()
	})
	found := &server{}
	if err := json.NewDecoder(output).Decode(found); err != nil {
		return nil, fmt.Errorf("the server does not start, see %s: %w", log.Name(), err)
	}
	key, err := exec.Command(program, "keys", "create", "--test", "--json", "--data-dir", data).Output()
	if err != nil {
		return nil, fmt.Errorf("there is no key: %w", err)
	}
	return found, json.Unmarshal(key, &found.Key)
})

var (
	// scratch is a folder that is removed after the tests.
	scratch string
	cleanup []func()
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "meetbot-go"); err != nil {
			fmt.Println(err)
			return 1
		}
		defer os.RemoveAll(scratch)
		code := m.Run()
		for _, clean := range cleanup {
			clean()
		}
		return code
	}())
}

func running(t *testing.T) (*meetbot.Client, *server) {
	t.Helper()
	found, err := started()
	if err != nil {
		t.Fatal(err)
	}
	mb, err := meetbot.NewClient(meetbot.WithAPIKey(found.Key.Key), meetbot.WithBaseURL(found.URL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mb.CloseIdleConnections)
	return mb, found
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// listening serves a handler on loopback, and gives its URL.
func listening(t *testing.T, handler http.Handler) string {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	served := &http.Server{Handler: handler}
	go func() { _ = served.Serve(listener) }()
	t.Cleanup(func() { _ = served.Close() })
	return "http://" + listener.Addr().String()
}

func TestTheWholeStoryAgainstTheRealServer(t *testing.T) {
	t.Parallel()
	mb, server := running(t)
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	events := make(chan *meetbot.WebhookEvent, 100)
	take := func(_ context.Context, event *meetbot.WebhookEvent) error { events <- event; return nil }
	url := listening(t, webhook.NewHandler(server.Key.WebhookSecret, take, webhook.WithOnError(func(err error) { t.Error(err) })))

	off := false
	params := meetbot.DispatchBotParams{
		MeetingURL: "https://sandbox.meetbot.dev/two-speakers?seconds=60", ExternalID: fmt.Sprintf("go-%d", time.Now().UnixNano()), DisplayName: "Acme Notetaker",
		OnFinalizeURL: url + "/final", OnStatusChangeURL: url + "/status", Metadata: map[string]any{"n": json.Number("12345678901234567890123"), "<": "&"},
		AutoLeave: &meetbot.AutoLeaveConfig{AfterSolo: meetbot.After(30 * time.Second), AfterSilence: meetbot.Off, OnBotDetected: &off},
	}
	job := must(mb.DispatchBot(ctx, params))(t)
	if again := must(mb.DispatchBot(ctx, params))(t); again.ID != job.ID {
		t.Error("the same external id is the same job")
	}
	if job.Metadata["n"] != json.Number("12345678901234567890123") || job.AutoLeave.AfterSoloSeconds != 30 || job.AutoLeave.AfterSilenceSeconds != 0 || job.AutoLeave.AfterMaxSeconds != 14400 {
		t.Errorf("%+v", job)
	}
	for event, err := range mb.Watch(ctx, job.ID) {
		if err != nil {
			t.Fatal(err)
		}
		if event.Data.Status == meetbot.StatusRecording {
			break
		}
	}
	// A bot of a busy machine may take longer to answer than the server waits: the result is pending then.
	if result := must(mb.SendChatMessage(ctx, job.ID, "hello"))(t); result.State != meetbot.ControlDone && result.State != meetbot.ControlPending {
		t.Errorf("%+v", result)
	}
	if result := must(mb.RequestRecordingPermission(ctx, job.ID))(t); result.Action != meetbot.ActionRequestRecordingPermission {
		t.Errorf("%+v", result)
	}
	for _, verb := range []struct {
		call  func(context.Context, string, ...meetbot.CallOption) (*meetbot.RequestRecordingPermissionResult, error)
		state meetbot.RecordingState
	}{{mb.PauseRecording, meetbot.RecordingPaused}, {mb.ResumeRecording, meetbot.RecordingOn}, {mb.StopRecording, meetbot.RecordingStopped}} {
		recording := must(verb.call(ctx, job.ID))(t).Recording
		for recording.State != verb.state {
			time.Sleep(100 * time.Millisecond)
			recording = must(mb.GetBot(ctx, job.ID))(t).Recording
		}
	}
	if result := must(mb.LeaveBot(ctx, job.ID))(t); result.Action != meetbot.ActionLeaveCall {
		t.Errorf("%+v", result)
	}
	ended := must(mb.WaitForBot(ctx, job.ID))(t)
	if ended.Status != meetbot.StatusCompleted || ended.LeaveReason != meetbot.LeaveRequested || !strings.HasPrefix(ended.ManifestURI, "file://") || len(ended.Extra) != 0 {
		t.Errorf("%+v", ended)
	}
	var conflict *meetbot.Error
	if _, err := mb.LeaveBot(ctx, job.ID); !errors.Is(err, meetbot.ErrConflict) || !errors.As(err, &conflict) || conflict.Code != "invalid_state" || conflict.RequestID == "" {
		t.Error(err)
	}
	if err := mb.CancelBot(ctx, job.ID); err != nil {
		t.Error("it is no error when it had ended already:", err)
	}
	timeline := []meetbot.EventName{}
	for event, err := range mb.Watch(ctx, job.ID) {
		if err != nil {
			t.Fatal(err)
		}
		timeline = append(timeline, event.Event)
	}
	if timeline[len(timeline)-1] != meetbot.EventFinalized {
		t.Error(timeline)
	}
	heard(t, events, meetbot.EventFinalized)
	recordings(ctx, t, mb, ended)
	deliveries(ctx, t, mb, job.ID)
	receipt := must(mb.DeleteRecording(ctx, job.ID))(t)
	if len(receipt.Removed) < 3 || receipt.DeletedAt.IsZero() {
		t.Errorf("%+v", receipt)
	}
	if _, err := mb.Manifest(ctx, job.ID); !errors.Is(err, meetbot.ErrNotFound) {
		t.Error(err)
	}
}

// heard waits for a webhook.
func heard(t *testing.T, events chan *meetbot.WebhookEvent, name meetbot.EventName) *meetbot.WebhookEvent {
	t.Helper()
	for {
		select {
		case event := <-events:
			if event.Event == name {
				return event
			}
		case <-time.After(patience):
			t.Fatalf("no webhook %s came", name)
		}
	}
}

func recordings(ctx context.Context, t *testing.T, mb *meetbot.Client, job *meetbot.Job) {
	folder := t.TempDir()
	paths := must(mb.DownloadArtifacts(ctx, job.ID, folder))(t)
	var names []string
	for _, path := range paths {
		names = append(names, filepath.Base(path))
	}
	for _, name := range []string{"audio.Alice.webm", "audio.Bob.webm", "events.jsonl", "manifest.json"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not among %v", name, names)
		}
	}
	whole := must(os.ReadFile(filepath.Join(folder, "audio.Alice.webm")))(t)
	if body := must(mb.Artifact(ctx, job.ID, "audio.Alice.webm"))(t); !bytes.Equal(body, whole) {
		t.Error("a file is another in memory than on disk")
	}
	if _, err := mb.Artifact(ctx, job.ID, "audio.Nobody.webm"); !errors.Is(err, meetbot.ErrNotFound) {
		t.Error(err)
	}
}

func deliveries(ctx context.Context, t *testing.T, mb *meetbot.Client, jobID string) {
	var last *meetbot.Delivery
	for delivery, err := range mb.AllDeliveries(ctx, meetbot.DeliveriesParams{JobID: jobID, Limit: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		last = delivery
	}
	if last == nil || last.JobID != jobID || last.URL == "" {
		t.Fatalf("%+v", last)
	}
	if found := must(mb.GetDelivery(ctx, last.ID))(t); found.ID != last.ID || found.Event != last.Event {
		t.Errorf("%+v", found)
	}
	if again := must(mb.Redeliver(ctx, last.ID))(t); again.ID != last.ID {
		t.Errorf("%+v", again)
	}
}

func TestListsUsageHostAndErrorsAreThoseOfTheRealServer(t *testing.T) {
	t.Parallel()
	mb, server := running(t)
	ctx := t.Context()
	prefix := fmt.Sprintf("list-%d-", time.Now().UnixNano())
	ids := map[string]bool{}
	for n := range 3 {
		job := must(mb.DispatchBot(ctx, meetbot.DispatchBotParams{MeetingURL: "https://sandbox.meetbot.dev/two-speakers", ExternalID: fmt.Sprint(prefix, n), JoinAt: time.Now().Add(time.Hour)}))(t)
		ids[job.ID] = true
	}
	for job, err := range mb.AllBots(ctx, meetbot.ListBotsParams{Status: []meetbot.JobStatus{meetbot.StatusQueued, meetbot.StatusCancelled}, Platform: meetbot.PlatformSandbox, Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		if ids[job.ID] {
			delete(ids, job.ID)
			if err := mb.CancelBot(ctx, job.ID); err != nil {
				t.Error(err)
			}
		}
	}
	if len(ids) != 0 {
		t.Errorf("%v were not in the list", ids)
	}
	if usage := must(mb.Usage(ctx))(t); usage.Month == "" {
		t.Errorf("%+v", usage)
	}
	if _, err := mb.Host(ctx); err != nil && !errors.Is(err, meetbot.ErrForbidden) {
		t.Error(err)
	}
	var refused *meetbot.Error
	if _, err := mb.DispatchBot(ctx, meetbot.DispatchBotParams{MeetingURL: "not-a-url", DisplayName: " "}); !errors.Is(err, meetbot.ErrValidation) || !errors.As(err, &refused) || len(refused.Issues) != 2 || refused.Code != "invalid_input" {
		t.Error(err)
	}
	if _, err := mb.GetBot(ctx, "job_none"); !errors.Is(err, meetbot.ErrNotFound) {
		t.Error(err)
	}
	if _, err := mb.Request(ctx, "GET", "/api/v1/nothing", nil); !errors.Is(err, meetbot.ErrUnexpectedStatus) {
		t.Error(err)
	}
	stranger := must(meetbot.NewClient(meetbot.WithAPIKey("mb_test_"+strings.Repeat("0", 40)), meetbot.WithBaseURL(server.URL+"/api/v1")))(t)
	if _, err := stranger.ListBots(ctx, meetbot.ListBotsParams{}); !errors.Is(err, meetbot.ErrUnauthorized) {
		t.Error(err)
	}
	stranger.CloseIdleConnections()
}
