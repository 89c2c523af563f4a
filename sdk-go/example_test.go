package meetbot_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/meetbottest"
)

// played is a server for the examples.
func played() *meetbottest.Server { return meetbottest.NewServer(&testing.T{}) }

var ctx = context.Background()

func Example() {
	mb := played().Client() // meetbot.NewClient()
	job, err := mb.DispatchBot(ctx, meetbot.DispatchBotParams{MeetingURL: "https://sandbox.meetbot.dev/two-speakers"})
	if err != nil {
		panic(err)
	}
	fmt.Println(job.Status, job.Platform)
	// Output: queued sandbox
}

func ExampleNewClient() {
	mb, err := meetbot.NewClient(meetbot.WithAPIKey("mb_test_0123456789"), meetbot.WithBaseURL("http://127.0.0.1:3010"), meetbot.WithTimeout(10*time.Second))
	fmt.Println(mb, err)
	// Output: meetbot.Client(http://127.0.0.1:3010) <nil>
}

func ExampleClient_DispatchBot() {
	flag := true
	job, err := played().Client().DispatchBot(ctx, meetbot.DispatchBotParams{
		MeetingURL: "https://meet.example/a",
		ExternalID: "lesson-7",
		Metadata:   map[string]any{"customer_id": "cust_4711"},
		AutoLeave:  &meetbot.AutoLeaveConfig{AfterSolo: meetbot.After(5 * time.Minute), AfterSilence: meetbot.Off, OnBotDetected: &flag},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(job.ExternalID, job.AutoLeave.AfterSoloSeconds, job.AutoLeave.AfterSilenceSeconds, job.AutoLeave.AfterMaxSeconds)
	// Output: lesson-7 300 0 14400
}

func ExampleClient_GetBot() {
	_, err := played().Client().GetBot(ctx, "job_1")
	fmt.Println(errors.Is(err, meetbot.ErrNotFound), err)
	// Output: true meetbot: 404 not_found: there is no such job
}

func ExampleClient_AllBots() {
	mb := played().Client()
	for n := range 3 {
		if _, err := mb.DispatchBot(ctx, meetbot.DispatchBotParams{MeetingURL: fmt.Sprintf("https://meet.example/%d", n)}); err != nil {
			panic(err)
		}
	}
	for job, err := range mb.AllBots(ctx, meetbot.ListBotsParams{Limit: 2}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(job.MeetingURL)
	}
	// Output:
	// https://meet.example/2
	// https://meet.example/1
	// https://meet.example/0
}

func ExampleClient_WaitForBot() {
	server := played()
	mb := server.Client()
	job, err := mb.DispatchBot(ctx, meetbot.DispatchBotParams{MeetingURL: "https://meet.example/a"})
	if err != nil {
		panic(err)
	}
	server.SetJob(job.ID, func(job *meetbot.Job) {
		job.Status, job.FailureCode = meetbot.StatusFailed, meetbot.FailureHostDeniedAdmission
	})
	job, err = mb.WaitForBot(ctx, job.ID, meetbot.WithOnUpdate(func(job *meetbot.Job) { fmt.Println("it is", job.Status) }))
	fmt.Println(job.FailureCode, err)
	// Output:
	// it is failed
	// host_denied_admission <nil>
}

func ExampleClient_Watch() {
	server := played()
	server.AnswerNext(200, `data: {"event": "job.status_changed", "data": {"sequence": 1, "status": "joining", "previousStatus": "queued"}}

data: {"event": "job.finalized", "data": {"sequence": 2, "status": "completed", "manifestUri": "file:///m.json"}}

`, http.Header{"Content-Type": {"text/event-stream"}})
	for event, err := range server.Client().Watch(ctx, "job_1") {
		if err != nil {
			panic(err)
		}
		switch details := event.Data.Details.(type) {
		case *meetbot.StatusChanged:
			fmt.Println("from", details.PreviousStatus, "to", event.Data.Status)
		case *meetbot.Finalized:
			fmt.Println("recorded", details.ManifestURI)
		}
	}
	// Output:
	// from queued to joining
	// recorded file:///m.json
}

func ExampleClient_DownloadArtifacts() {
	server := played()
	server.AnswerNext(200, &meetbot.Manifest{JobID: "job_1", Files: []meetbot.ManifestFile{{Name: "audio.Alice.webm"}}}, nil)
	server.AnswerNext(200, "the sound", nil)
	server.AnswerNext(200, "{}", nil)
	folder, err := os.MkdirTemp("", "recording")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	paths, err := server.Client().DownloadArtifacts(ctx, "job_1", folder)
	for _, path := range paths {
		fmt.Println(filepath.Base(path))
	}
	fmt.Println(err)
	// Output:
	// audio.Alice.webm
	// manifest.json
	// <nil>
}

func ExampleClient_Request() {
	answer, err := played().Client().Request(ctx, "GET", "/api/v1/jobs?limit=1", nil)
	fmt.Println(answer.Status, string(answer.Body), err)
	// Output: 200 {"data":[],"nextCursor":null} <nil>
}

func ExampleError() {
	server := played()
	server.AnswerNext(400, map[string]any{
		"error": "invalid_input", "message": "the request has one problem", "requestId": "req_1",
		"issues": []map[string]any{{"path": []string{"meetingUrl"}, "code": "invalid_url", "message": "is not a URL"}},
	}, nil)
	_, err := server.Client().DispatchBot(ctx, meetbot.DispatchBotParams{MeetingURL: "not-a-url"})
	var e *meetbot.Error
	if errors.As(err, &e) {
		fmt.Println(e.Kind == meetbot.ErrValidation, e.Status, e.Code, e.Issues[0].Path, e.RequestID)
	}
	fmt.Println(err)
	// Output:
	// true 400 invalid_input [meetingUrl] req_1
	// meetbot: 400 invalid_input: the request has one problem; meetingUrl: is not a URL (request req_1)
}

func ExampleVerifyWebhookSignature() {
	header := "sha256=00850923c6e3021c39db699664a5fbda4d62d6fb12a06566cda33074bfac21b1"
	fmt.Println(meetbot.VerifyWebhookSignature([]byte("{}"), header, "whsec_dGVzdA=="))
	fmt.Println(meetbot.VerifyWebhookSignature([]byte("{ }"), header, "whsec_dGVzdA=="))
	fmt.Println(meetbot.CheckWebhookSecret("mb_test_x"))
	// Output:
	// true
	// false
	// meetbot: the webhook secret does not begin with whsec_: is it an API key, or in quotes?
}

func ExampleWithHTTPClient() {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	mb, err := meetbot.NewClient(meetbot.WithAPIKey("mb_test_0123456789"), meetbot.WithBaseURL(server.URL), meetbot.WithHTTPClient(&http.Client{Timeout: time.Minute}))
	if err != nil {
		panic(err)
	}
	_, err = mb.Usage(ctx)
	fmt.Println(errors.Is(err, meetbot.ErrUnexpectedStatus), err)
	mb.CloseIdleConnections()
	// Output: true meetbot: 404: the answer is not meetbot's: "404 page not found\n"; is the base URL right?
}
