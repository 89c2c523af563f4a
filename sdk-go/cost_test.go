package meetbot

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"
)

// A call is to cost no more than 20 allocations beside those of net/http and encoding/json.
func TestACallAllocatesLittleMoreThanNetHTTP(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector allocates too")
	}
	type recorded struct {
		Model string
		JSON  json.RawMessage
	}
	answers := vectors[struct{ Answers []recorded }](t, "recorded_answers").Answers
	answer := answers[slices.IndexFunc(answers, func(one recorded) bool { return one.Model == "job" })].JSON
	server := roundTrip(func(request *http.Request) *http.Response {
		return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: int64(len(answer)), Body: io.NopCloser(bytes.NewReader(answer)), Request: request}
	})
	client := &http.Client{Transport: server, Timeout: time.Minute}
	mb, err := NewClient(WithAPIKey(testKey), WithBaseURL("https://api.meetbot.dev"), WithHTTPClient(client))
	if err != nil {
		t.Fatal(err)
	}
	// The structs alone, without the methods that read them as the SDK does.
	type plain struct {
		ID, ExternalID, MeetingURL, Platform, DisplayName, Status, StatusDetail, LeaveReason, FailureCode, FailureDetail, ManifestURI string
		Recording                                                                                                                     struct {
			State, Permission    string
			StartedAt, DeletedAt *time.Time
			PausedMs             int64
		}
		Webhooks  struct{ OnStatusChange, OnFinalize string }
		Metadata  map[string]any
		AutoLeave struct {
			AfterEntryDelaySeconds, AfterSilenceSeconds, AfterSoloSeconds, AfterMaxSeconds *int64
			OnBotDetected                                                                  bool
		}
		Attempt                                         int
		JoinAt, CreatedAt, UpdatedAt, JoinedAt, EndedAt *time.Time
	}
	bare := testing.AllocsPerRun(200, func() {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.meetbot.dev/api/v1/jobs/job_1", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+testKey)
		request.Header.Set("Accept", "application/json")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close(), json.Unmarshal(body, &plain{})); err != nil {
			t.Fatal(err)
		}
	})
	ours := testing.AllocsPerRun(200, func() {
		if _, err := mb.GetBot(t.Context(), "job_1"); err != nil {
			t.Fatal(err)
		}
	})
	if ours > bare+20 {
		t.Errorf("%v allocations, and %v without the SDK", ours, bare)
	}
	t.Logf("%v allocations, and %v without the SDK", ours, bare)
}
