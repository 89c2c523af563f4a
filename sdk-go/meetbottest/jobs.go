package meetbottest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
)

var verbs = map[string]bool{
	"request-recording-permission": true, "pause-recording": true, "resume-recording": true, "stop-recording": true, "leave-call": true, "send-chat-message": true,
}

// newJob is the body of a dispatch.
type newJob struct {
	MeetingURL  string           `json:"meetingUrl"`
	ExternalID  string           `json:"externalId"`
	DisplayName string           `json:"displayName"`
	Platform    meetbot.Platform `json:"platform"`
	JoinAt      time.Time        `json:"joinAt"`
	Webhooks    meetbot.Webhooks `json:"webhooks"`
	Metadata    json.RawMessage  `json:"metadata"`
	AutoLeave   json.RawMessage  `json:"autoLeave"`
	RecordVideo *bool            `json:"recordVideo"`
	Account     string           `json:"account"`
}

func (s *Server) dispatch(key string, body []byte) (int, any) {
	if before, known := s.dispatches[key]; known && key != "" {
		if before.body != string(body) {
			return http.StatusUnprocessableEntity, refusal("idempotency_mismatch", "this Idempotency-Key was used for another request; use a new one")
		}
		return before.status, before.job
	}
	var asked newJob
	if err := json.Unmarshal(body, &asked); err != nil || asked.MeetingURL == "" {
		return http.StatusBadRequest, map[string]any{
			"error": "invalid_input", "message": "the request has one problem",
			"issues": []map[string]any{{"path": []string{"meetingUrl"}, "code": "required", "message": "is required"}},
		}
	}
	if asked.ExternalID != "" {
		for _, job := range s.jobs {
			if job.ExternalID == asked.ExternalID {
				return http.StatusOK, job
			}
		}
	}
	job, err := s.made(&asked)
	if err != nil {
		return http.StatusBadRequest, refusal("invalid_input", err.Error())
	}
	s.jobs = append(s.jobs, job)
	if key != "" {
		// As it was then.
		copied := *job
		s.dispatches[key] = dispatched{body: string(body), status: http.StatusCreated, job: &copied}
	}
	return http.StatusCreated, job
}

// made is a new job that is as was asked.
func (s *Server) made(asked *newJob) (*meetbot.Job, error) {
	job := Job(nil)
	rules, err := merged(job.AutoLeave, asked.AutoLeave)
	if err != nil {
		return nil, err
	}
	if err := job.AutoLeave.UnmarshalJSON(rules); err != nil {
		return nil, err
	}
	// The end of an id has 4 of 32 letters for its number.
	const letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	number := []byte{letters[len(s.jobs)>>15%32], letters[len(s.jobs)>>10%32], letters[len(s.jobs)>>5%32], letters[len(s.jobs)%32]}
	job.ID = "job_01KAB1CDEFGHJKMNPQRSTV" + string(number)
	job.MeetingURL, job.ExternalID, job.JoinAt, job.Webhooks = asked.MeetingURL, asked.ExternalID, asked.JoinAt, asked.Webhooks
	job.RecordVideo, job.Account = asked.RecordVideo, asked.Account
	if asked.DisplayName != "" {
		job.DisplayName = asked.DisplayName
	}
	if asked.Platform != "" {
		job.Platform = asked.Platform
	}
	if len(asked.Metadata) > 0 {
		metadata := json.NewDecoder(strings.NewReader(string(asked.Metadata)))
		metadata.UseNumber()
		if err := metadata.Decode(&job.Metadata); err != nil {
			return nil, err
		}
	}
	return job, nil
}

// merged gives the defaults with what was asked in their place.
func merged(defaults meetbot.AutoLeave, asked json.RawMessage) ([]byte, error) {
	written, err := json.Marshal(defaults)
	if err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(written, &fields); err != nil {
		return nil, err
	}
	if len(asked) > 0 {
		if err := json.Unmarshal(asked, &fields); err != nil {
			return nil, err
		}
	}
	return json.Marshal(fields)
}

func result(job *meetbot.Job, verb string) *meetbot.RequestRecordingPermissionResult {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &meetbot.RequestRecordingPermissionResult{
		JobID: job.ID, CommandID: "cmd_01KAB1CDEFGHJKMNPQRSTVWXYZ", Action: meetbot.ControlAction(strings.ReplaceAll(verb, "-", "_")), State: meetbot.ControlDone,
		Status: job.Status, Recording: job.Recording, RequestedAt: at, UpdatedAt: at,
	}
}

func (s *Server) list(query url.Values) (int, any) {
	var found []*meetbot.Job
	for _, job := range slices.Backward(s.jobs) {
		if is(query["status"], string(job.Status)) && is(query["externalId"], job.ExternalID) && is(query["platform"], string(job.Platform)) &&
			within(job.CreatedAt, query.Get("createdAfter"), query.Get("createdBefore")) {
			found = append(found, job)
		}
	}
	start, wrongCursor := number(query.Get("cursor"), 0)
	limit, wrongLimit := number(query.Get("limit"), 50)
	if wrongCursor != nil || wrongLimit != nil || start > len(found) {
		return http.StatusBadRequest, refusal("invalid_input", "cursor and limit are numbers here")
	}
	end := min(start+limit, len(found))
	page := map[string]any{"data": append([]*meetbot.Job{}, found[start:end]...), "nextCursor": nil}
	if end < len(found) {
		page["nextCursor"] = fmt.Sprint(end)
	}
	return http.StatusOK, page
}

func is(wanted []string, found string) bool {
	return len(wanted) == 0 || slices.Contains(wanted, found)
}

func within(at time.Time, after, before string) bool {
	from, _ := time.Parse(time.RFC3339, after)
	to, wrong := time.Parse(time.RFC3339, before)
	return !at.Before(from) && (wrong != nil || at.Before(to))
}

func number(text string, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	found, err := strconv.ParseUint(text, 10, 31)
	return int(found), err
}
