package meetbot

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"time"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/api"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/api/nullable"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/wire"
)

// DispatchBotParams is what a bot is asked to do. Only MeetingURL is required; what has its zero value is not sent, and the server fills in its default.
type DispatchBotParams struct {
	// MeetingURL is the meeting's URL (at most 2,048 characters).
	MeetingURL string
	// ExternalID is your own id (1 to 255 characters). Sent twice, the second call gives the job of the first.
	ExternalID string
	// DisplayName is the name that the bot shows in the meeting (1 to 100 characters).
	DisplayName string
	// Platform is the meeting's product, where the URL does not tell (a self-hosted server).
	Platform Platform
	// JoinAt is when to join, at most a year ahead; a time that is over means now.
	JoinAt time.Time
	// OnFinalizeURL gets job.finalized, job.failed and job.artifact_ready.
	OnFinalizeURL string
	// OnStatusChangeURL gets every event but job.finalized and job.artifact_ready.
	OnStatusChangeURL string
	// Metadata is your own data: at most 16 KiB of JSON, given back as it was sent.
	Metadata map[string]any
	// AutoLeave is when the bot leaves by itself.
	AutoLeave *AutoLeaveConfig
	// RecordVideo is whether to record cameras; the server's settings decide where it is nil. Shared screens are recorded in any case; a bot with a browser
	// records neither unless this is true.
	RecordVideo *bool
	// Account is the account as which the bot joins: a name that the operator of the server has set up. Where it is empty, the bot joins as a guest.
	Account string
}

// AutoLeaveConfig is when a bot is to leave by itself. A rule that is not set keeps the server's default.
type AutoLeaveConfig struct {
	// AfterEntryDelay: give up when not admitted this long after knocking.
	AfterEntryDelay Rule
	// AfterSilence: leave when nobody has spoken for this long.
	AfterSilence Rule
	// AfterSolo: leave when no other human has been there for this long.
	AfterSolo Rule
	// AfterMax: leave after this long in the call.
	AfterMax Rule
	// OnBotDetected: leave when another notetaker bot is in the meeting; of several bots of one server the first stays.
	OnBotDetected *bool
}

// Rule is one rule of [AutoLeaveConfig]: [After] some time, [Off], or the server's default, which is the zero value.
type Rule struct {
	state ruleState
	after time.Duration
}

type ruleState int

const (
	ruleDefault ruleState = iota
	ruleOff
	ruleAfter
)

// Off switches a rule off.
var Off = Rule{state: ruleOff}

// After is a rule that holds after whole seconds, from 1 second to 24 hours; a fraction of a second is a configuration error of the call.
func After(d time.Duration) Rule { return Rule{state: ruleAfter, after: d} }

// sent is the rule as it is sent; nil where it is not.
func (r Rule) sent(name string) (nullable.Nullable[api.Rule], error) {
	switch r.state {
	case ruleOff:
		return nullable.Null[api.Rule](), nil
	case ruleAfter:
		if r.after%time.Second != 0 {
			return nil, configurationError("%s is in whole seconds, and not %v", name, r.after)
		}
		return nullable.Value(api.Rule(r.after / time.Second)), nil
	}
	return nil, nil
}

func (c *AutoLeaveConfig) sent() (api.AutoLeaveConfig, error) {
	var sent api.AutoLeaveConfig
	rules := []struct {
		name string
		rule Rule
		to   *nullable.Nullable[api.Rule]
	}{
		{"AfterEntryDelay", c.AfterEntryDelay, &sent.AfterEntryDelaySeconds},
		{"AfterSilence", c.AfterSilence, &sent.AfterSilenceSeconds},
		{"AfterSolo", c.AfterSolo, &sent.AfterSoloSeconds},
		{"AfterMax", c.AfterMax, &sent.AfterMaxSeconds},
	}
	for _, one := range rules {
		rule, err := one.rule.sent(one.name)
		if err != nil {
			return sent, err
		}
		*one.to = rule
	}
	if c.OnBotDetected != nil {
		sent.OnBotDetected = nullable.Value(*c.OnBotDetected)
	}
	return sent, nil
}

// sent is the body of the call.
func (p *DispatchBotParams) sent() (api.NewJob, error) {
	sent := api.NewJob{
		MeetingURL: p.MeetingURL, ExternalID: given(p.ExternalID), DisplayName: given(p.DisplayName), Platform: given(api.Platform(p.Platform)),
		Account: given(p.Account),
	}
	if !p.JoinAt.IsZero() {
		sent.JoinAt = nullable.Value(wire.Time(p.JoinAt))
	}
	if p.OnFinalizeURL != "" || p.OnStatusChangeURL != "" {
		sent.Webhooks = nullable.Value(api.Webhooks{OnFinalize: given(p.OnFinalizeURL), OnStatusChange: given(p.OnStatusChangeURL)})
	}
	if p.Metadata != nil {
		if _, err := json.Marshal(p.Metadata); err != nil {
			return sent, configurationError("the metadata cannot be written as JSON: %w", err)
		}
		sent.Metadata = nullable.Value(api.Metadata(p.Metadata))
	}
	if p.AutoLeave != nil {
		rules, err := p.AutoLeave.sent()
		if err != nil {
			return sent, err
		}
		sent.AutoLeave = nullable.Value(rules)
	}
	if p.RecordVideo != nil {
		sent.RecordVideo = nullable.Value(*p.RecordVideo)
	}
	return sent, nil
}

// given is a text that is not sent where it is empty.
func given[T ~string](text T) nullable.Nullable[T] {
	if text == "" {
		return nil
	}
	return nullable.Value(text)
}

// ListBotsParams says which jobs to list; what has its zero value does not narrow the list.
type ListBotsParams struct {
	// Status: jobs in any of these statuses.
	Status []JobStatus
	// ExternalID: the job with this id of your own.
	ExternalID string
	// Platform: jobs for meetings of this product.
	Platform Platform
	// CreatedAfter: jobs created at this time or later.
	CreatedAfter time.Time
	// CreatedBefore: jobs created before this time.
	CreatedBefore time.Time
	// Limit is how many jobs a page holds: 1 to 200; the server's default is 50.
	Limit int
	// Cursor is the NextCursor of the page before.
	Cursor string
}

func (p *ListBotsParams) sent() (*api.ListJobsParams, error) {
	limit, err := limitOf(p.Limit)
	sent := &api.ListJobsParams{
		ExternalID: set(p.ExternalID), Platform: set(api.Platform(p.Platform)), CreatedAfter: moment(p.CreatedAfter), CreatedBefore: moment(p.CreatedBefore), Limit: limit,
		Cursor: set(p.Cursor),
	}
	for _, status := range p.Status {
		sent.Status = append(sent.Status, api.JobStatus(status))
	}
	return sent, err
}

// set is a value that is not sent where it is the zero value.
func set[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

func moment(at time.Time) *wire.Time {
	if at.IsZero() {
		return nil
	}
	sent := wire.Time(at)
	return &sent
}

func limitOf(limit int) (*int32, error) {
	if limit > math.MaxInt32 || limit < math.MinInt32 {
		return nil, configurationError("a page has 1 to 200 elements, and not %d", limit)
	}
	return set(int32(limit)), nil
}

// DispatchBot sends a bot to a meeting (POST /api/v1/jobs). With an ExternalID that was used before, the job of that time is the answer.
func (c *Client) DispatchBot(ctx context.Context, params DispatchBotParams, options ...CallOption) (*Job, error) {
	body, err := params.sent()
	if err != nil {
		return nil, err
	}
	send := func(to *api.Client) (*http.Response, error) { return to.CreateJob(ctx, nil, body) }
	return call(ctx, c, options, send, read[Job])
}

// GetBot gives a job (GET /api/v1/jobs/{id}); [ErrNotFound] where there is none with this id.
func (c *Client) GetBot(ctx context.Context, jobID string, options ...CallOption) (*Job, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.GetJob(ctx, jobID) }
	return call(ctx, c, options, send, read[Job])
}

// ListBots gives one page of jobs, newest first (GET /api/v1/jobs); [Client.AllBots] goes over all of them.
func (c *Client) ListBots(ctx context.Context, params ListBotsParams, options ...CallOption) (*JobPage, error) {
	sent, err := params.sent()
	if err != nil {
		return nil, err
	}
	send := func(to *api.Client) (*http.Response, error) { return to.ListJobs(ctx, sent) }
	return call(ctx, c, options, send, func(body []byte) (*JobPage, error) {
		data, next, err := elements[Job](body)
		return &JobPage{Data: data, NextCursor: next}, err
	})
}

// CancelBot calls a job off (DELETE /api/v1/jobs/{id}). What was recorded is kept. It is no error when the job had ended already.
func (c *Client) CancelBot(ctx context.Context, jobID string, options ...CallOption) error {
	send := func(to *api.Client) (*http.Response, error) { return to.CancelJob(ctx, jobID) }
	_, err := call(ctx, c, options, send, nothing)
	return err
}

// nothing reads the body of a 204, or whatever else came.
func nothing([]byte) (struct{}, error) { return struct{}{}, nil }

// RequestRecordingPermission asks the host for permission to record.
func (c *Client) RequestRecordingPermission(ctx context.Context, jobID string, options ...CallOption) (*ControlResult, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.RequestRecordingPermission(ctx, jobID, nil) }
	return call(ctx, c, options, send, read[ControlResult])
}

// PauseRecording records nothing until it is resumed.
func (c *Client) PauseRecording(ctx context.Context, jobID string, options ...CallOption) (*ControlResult, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.PauseRecording(ctx, jobID, nil) }
	return call(ctx, c, options, send, read[ControlResult])
}

// ResumeRecording goes on recording.
func (c *Client) ResumeRecording(ctx context.Context, jobID string, options ...CallOption) (*ControlResult, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.ResumeRecording(ctx, jobID, nil) }
	return call(ctx, c, options, send, read[ControlResult])
}

// StopRecording stops the recording for good; the bot stays.
func (c *Client) StopRecording(ctx context.Context, jobID string, options ...CallOption) (*ControlResult, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.StopRecording(ctx, jobID, nil) }
	return call(ctx, c, options, send, read[ControlResult])
}

// LeaveBot lets the bot leave the meeting and finish its recording.
func (c *Client) LeaveBot(ctx context.Context, jobID string, options ...CallOption) (*ControlResult, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.LeaveCall(ctx, jobID, nil) }
	return call(ctx, c, options, send, read[ControlResult])
}

// SendChatMessage writes into the meeting's chat (1 to 4,000 characters).
func (c *Client) SendChatMessage(ctx context.Context, jobID, message string, options ...CallOption) (*ControlResult, error) {
	body := api.ChatRequest{Message: message}
	send := func(to *api.Client) (*http.Response, error) { return to.SendChatMessage(ctx, jobID, nil, body) }
	return call(ctx, c, options, send, read[ControlResult])
}

// Manifest returns what was recorded (GET …/manifest); [ErrNotFound] until there is a manifest.
func (c *Client) Manifest(ctx context.Context, jobID string, options ...CallOption) (*Manifest, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.GetManifest(ctx, jobID) }
	return call(ctx, c, options, send, read[Manifest])
}

// Artifacts lists all files of the job (GET …/artifacts): those of its manifest, and what was kept of joins that failed, which a job without a manifest may
// have too.
func (c *Client) Artifacts(ctx context.Context, jobID string, options ...CallOption) ([]*ManifestFile, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.ListArtifacts(ctx, jobID) }
	files, err := call(ctx, c, options, send, func(body []byte) (*[]*ManifestFile, error) {
		data, _, err := elements[ManifestFile](body)
		return &data, err
	})
	if err != nil {
		return nil, err
	}
	return *files, nil
}

// DeleteRecording deletes everything that was recorded (DELETE …/recording); [ErrConflict] until the job has ended.
func (c *Client) DeleteRecording(ctx context.Context, jobID string, options ...CallOption) (*DeletionReceipt, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.DeleteRecording(ctx, jobID) }
	return call(ctx, c, options, send, read[DeletionReceipt])
}
