package meetbot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// answering gives a client whose server gives these bodies in turn; 404 of ours after the last.
func answering(t *testing.T, bodies ...string) *Client {
	t.Helper()
	client, err := NewClient(WithAPIKey(testKey), WithBaseURL("http://meetbot.test"), WithMaxRetries(0), WithHTTPClient(&http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		status, body := http.StatusNotFound, `{"error":"not_found","message":"there is none"}`
		if len(bodies) > 0 {
			status, body, bodies = http.StatusOK, bodies[0], bodies[1:]
		}
		return &http.Response{StatusCode: status, Header: http.Header{}, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}, nil
	})}))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func recordingsHold(t *testing.T) {
	type vector struct {
		Name, Read    string
		Text          *string
		Bytes, SHA256 json.RawMessage
		Reads         any
		Error         bool
	}
	ctx := context.Background()
	for _, c := range vectors[struct{ Cases []vector }](t, "recordings").Cases {
		bodies := []string{`{"jobId": "job_x"}`}
		if c.Text != nil {
			hash := sha256.Sum256([]byte(*c.Text))
			file := map[string]any{"name": c.Read + ".jsonl", "bytes": len(*c.Text), "sha256": hex.EncodeToString(hash[:])}
			for name, given := range map[string]json.RawMessage{"bytes": c.Bytes, "sha256": c.SHA256} {
				if given != nil {
					file[name] = given
				}
			}
			manifest := map[string]any{"jobId": "job_x", "files": []any{file}}
			if c.Read != "events" {
				manifest[c.Read] = c.Read + ".jsonl"
			}
			written, err := json.Marshal(manifest)
			if err != nil {
				t.Fatal(err)
			}
			bodies = []string{string(written), *c.Text}
		}
		client := answering(t, bodies...)
		var found any
		var err error
		switch c.Read {
		case "captions":
			found, err = client.Captions(ctx, "job_x")
		case "chat":
			found, err = client.Chat(ctx, "job_x")
		case "events":
			found, err = client.EventsFile(ctx, "job_x")
		default:
			t.Fatalf("nothing reads %s", c.Read)
		}
		if c.Error {
			if !errors.Is(err, ErrDecode) {
				t.Errorf("%s: %v", c.Name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		written, err := json.Marshal(found)
		if err != nil {
			t.Fatal(err)
		}
		list := decode[[]any](t, written)
		if expected := c.Reads.([]any); len(list) != len(expected) || len(expected) > 0 && !holds(any(list), c.Reads) {
			t.Errorf("%s:\n%s\n%v", c.Name, written, c.Reads)
		}
	}
}

func TestSpeakingSpansComeFromTheManifest(t *testing.T) {
	client := answering(t, `{"jobId": "job_x", "speaking": [{"participantId": "p-1", "startMs": 5, "endMs": 9}]}`)
	spans, err := client.Speaking(context.Background(), "job_x")
	if err != nil || len(spans) != 1 || spans[0].ParticipantID != "p-1" || spans[0].EndMs != 9 {
		t.Fatal(spans, err)
	}
	for _, call := range []func() error{
		func() error { _, err := client.Speaking(context.Background(), "job_x"); return err },
		func() error { _, err := client.Captions(context.Background(), "job_x"); return err },
	} {
		if err := call(); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
	}
}

func TestAJobIsAShortLine(t *testing.T) {
	for expected, job := range map[string]*Job{
		"job_1 completed (meeting_ended)": {ID: "job_1", Status: StatusCompleted, LeaveReason: LeaveMeetingEnded},
		"job_1 failed (network_loss)":     {ID: "job_1", Status: StatusFailed, FailureCode: FailureNetworkLoss, LeaveReason: LeaveSolo},
		"job_1 queued (at_bot_limit)":     {ID: "job_1", Status: StatusQueued, StatusDetail: "at_bot_limit"},
		"job_1 recording":                 {ID: "job_1", Status: StatusRecording},
	} {
		if found := fmt.Sprint(job); found != expected {
			t.Error(found, expected)
		}
	}
}
