// The conformance story in Go: cargo xtask conformance compares what it prints with what the other SDKs' stories print.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/webhook"
)

const (
	patience = 2 * time.Minute
	nobody   = "job_00000000000000000000000000"
	long     = "https://sandbox.meetbot.dev/two-speakers?seconds=300"
	short    = "https://sandbox.meetbot.dev/two-speakers?seconds=8"
	none     = "https://sandbox.meetbot.dev/no-such-meeting"
)

// story is what the steps share.
type story struct {
	ctx    context.Context
	mb     *meetbot.Client
	secret string
}

// say prints one line of the outcome.
func say(label string, values ...any) {
	var texts []string
	for _, value := range values {
		texts = append(texts, shown(value))
	}
	fmt.Printf("%s: %s\n", label, strings.Join(texts, ", "))
}

// shown gives a value's text: what is absent is the zero value of a text, or nil.
func shown(value any) string {
	switch value := value.(type) {
	case nil:
		return "none"
	case bool:
		return map[bool]string{true: "yes", false: "no"}[value]
	}
	if text := fmt.Sprint(value); text != "" {
		return text
	}
	return "none"
}

// number is a number for which zero means that there is none.
func number(value int64) any {
	if value == 0 {
		return nil
	}
	return value
}

// limit is a number that may be absent.
func limit(value *int64) any {
	if value == nil {
		return nil
	}
	return *value
}

// fails prints the error of a call: its kind, what the server said, how often it was tried, and whether another try may help.
func fails(label string, err error) {
	var e *meetbot.Error
	if !errors.As(err, &e) {
		say(label, "no error")
		return
	}
	values := []any{strings.TrimPrefix(e.Kind.Error(), "meetbot: "), number(int64(e.Status)), e.Code}
	for _, issue := range e.Issues {
		values = append(values, strings.Join(issue.Path, ".")+" "+issue.Code)
	}
	again := map[bool]string{true: "transient", false: "final"}[e.Transient]
	say(label, append(values, fmt.Sprint(e.Attempts, " tries"), again, e.RequestID != "")...)
}

// result drops what a call gives beside its error.
func result[T any](_ T, err error) error { return err }

// must gives what a call gives that has to succeed.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// listed is sorted, each once.
func listed(values []string) string {
	slices.Sort(values)
	return strings.Join(slices.Compact(values), " ")
}

// received is a webhook as it came.
type received struct {
	body   []byte
	header http.Header
	event  *meetbot.WebhookEvent
}

// receiver takes webhooks on loopback.
func (s *story) receiver() (url string, webhooks chan received) {
	webhooks = make(chan received, 1000)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	take := func(_ http.ResponseWriter, request *http.Request) {
		body := must(io.ReadAll(request.Body))
		webhooks <- received{body, request.Header, must(webhook.Unwrap(body, request.Header, s.secret))}
	}
	go func() { _ = http.Serve(listener, http.HandlerFunc(take)) }()
	return "http://" + listener.Addr().String(), webhooks
}

func (s *story) errors() {
	ctx, mb := s.ctx, s.mb
	fails("leave no job", result(mb.LeaveBot(ctx, nobody)))
	found, err := mb.GetBot(ctx, nobody)
	say("get no job", absent(found, err))
	found, err = mb.GetBot(ctx, "../jobs")
	say("get an id with a slash", absent(found, err))
	fails("get an id of dots", result(mb.GetBot(ctx, "..")))
	fails("get an empty id", result(mb.GetBot(ctx, "")))
	stranger := must(meetbot.NewClient(meetbot.WithAPIKey("mb_test_" + strings.Repeat("0", 40))))
	fails("a key of nobody", result(stranger.ListBots(ctx, meetbot.ListBotsParams{})))
	reader := must(meetbot.NewClient(meetbot.WithAPIKey(os.Getenv("MEETBOT_READ_KEY"))))
	fails("a key that may only read", result(reader.DispatchBot(ctx, meetbot.DispatchBotParams{MeetingURL: short})))
	fails("no url, no name", result(mb.DispatchBot(ctx, meetbot.DispatchBotParams{MeetingURL: "not-a-url", DisplayName: " "})))
	rules := &meetbot.AutoLeaveConfig{AfterSolo: meetbot.After(0)}
	fails("no time at all", result(mb.DispatchBot(ctx, meetbot.DispatchBotParams{MeetingURL: short, AutoLeave: rules})))
	body := map[string]string{"meetingUrl": short, "join_at": "2026-05-15T14:00:00Z"}
	fails("a misspelt field", result(mb.Request(ctx, "POST", "/api/v1/jobs", body)))
	fails("no such path", result(mb.Request(ctx, "GET", "/api/v1/nothing", nil)))
	fails("too large a page", result(mb.ListBots(ctx, meetbot.ListBotsParams{Limit: 1000})))
	fails("no such cursor", result(mb.ListBots(ctx, meetbot.ListBotsParams{Cursor: "nobody's"})))
	fails("nothing to say", result(mb.SendChatMessage(ctx, nobody, "")))
}

// absent is nil for what is not there.
func absent[T any](found *T, err error) any {
	if errors.Is(err, meetbot.ErrNotFound) {
		return nil
	}
	return must(found, err)
}

func (s *story) dispatched() *meetbot.Job {
	flag := true
	params := meetbot.DispatchBotParams{
		MeetingURL: long, ExternalID: "long", DisplayName: "Acme Notetaker",
		Metadata:  map[string]any{"customer": []any{"cust_4711", nil, true, 7, "é <&>"}},
		AutoLeave: &meetbot.AutoLeaveConfig{AfterSolo: meetbot.After(30 * time.Second), AfterSilence: meetbot.Off, OnBotDetected: &flag},
	}
	key := meetbot.WithIdempotencyKey("conformance")
	job := must(s.mb.DispatchBot(s.ctx, params, key))
	say("dispatched", job.Status, job.Platform, job.ExternalID, job.DisplayName, job.MeetingURL)
	var metadata bytes.Buffer
	encoder := json.NewEncoder(&metadata)
	encoder.SetEscapeHTML(false)
	check(encoder.Encode(job.Metadata))
	say("its metadata", strings.TrimSpace(metadata.String()))
	rules := job.AutoLeave
	say("its rules", number(rules.AfterEntryDelaySeconds), number(rules.AfterSilenceSeconds), number(rules.AfterSoloSeconds), number(rules.AfterMaxSeconds), rules.OnBotDetected)
	say("the same key", must(s.mb.DispatchBot(s.ctx, params, key)).ID == job.ID)
	say("the same external id", must(s.mb.DispatchBot(s.ctx, params)).ID == job.ID)
	params.DisplayName = "B"
	fails("the same key, another job", result(s.mb.DispatchBot(s.ctx, params, key)))
	return job
}

func (s *story) controlled(job *meetbot.Job) {
	ctx, mb := s.ctx, s.mb
	var statuses []string
	for event, err := range mb.Watch(ctx, job.ID) {
		check(err)
		if event.Event == meetbot.EventStatusChanged {
			statuses = append(statuses, shown(event.Data.Status))
		}
		if event.Data.Status == meetbot.StatusRecording {
			break
		}
	}
	say("watched", strings.Join(statuses, ", "))
	fails("delete too early", result(mb.DeleteRecording(ctx, job.ID)))
	say("chat", must(mb.SendChatMessage(ctx, job.ID, "hello 👋")).Action)
	say("permission", must(mb.RequestRecordingPermission(ctx, job.ID)).Action)
	for _, verb := range []struct {
		call  func(context.Context, string, ...meetbot.CallOption) (*meetbot.RequestRecordingPermissionResult, error)
		state meetbot.RecordingState
	}{{mb.PauseRecording, meetbot.RecordingPaused}, {mb.ResumeRecording, meetbot.RecordingOn}, {mb.StopRecording, meetbot.RecordingStopped}} {
		action := must(verb.call(ctx, job.ID)).Action
		now := must(mb.GetBot(ctx, job.ID))
		for ; now.Recording.State != verb.state; now = must(mb.GetBot(ctx, job.ID)) {
			time.Sleep(50 * time.Millisecond)
		}
		say(shown(action), now.Recording.State)
	}
	say("leave", must(mb.LeaveBot(ctx, job.ID)).Action)
	ended := must(mb.WaitForBot(ctx, job.ID))
	say("it ended", ended.Status, ended.LeaveReason, ended.FailureCode, ended.Attempt)
	fails("pause after the end", result(mb.PauseRecording(ctx, job.ID)))
	check(mb.CancelBot(ctx, job.ID))
	say("cancel after the end", nil)
}

func (s *story) recorded(job *meetbot.Job, webhooks chan received) {
	ctx, mb := s.ctx, s.mb
	var seen []meetbot.JobStatus
	ended := must(mb.WaitForBot(ctx, job.ID, meetbot.WithOnUpdate(func(job *meetbot.Job) { seen = append(seen, job.Status) })))
	say("a meeting ended", seen[len(seen)-1], ended.Status, ended.LeaveReason, ended.FailureCode)
	uri := ended.ManifestURI
	say("its manifest", strings.HasPrefix(uri, "file://"))
	var changes, ofBot, people []string
	var chat string
	var sequences []int64
	for event, err := range mb.Watch(ctx, job.ID) {
		check(err)
		sequences = append(sequences, event.Data.Sequence)
		switch event.Event {
		case meetbot.EventStatusChanged, meetbot.EventFinalized:
			// The mix is made later, and its event comes when it may.
			changes = append(changes, fmt.Sprint(event.Event, " ", event.Data.Status))
		case meetbot.EventArtifactReady:
		default:
			ofBot = append(ofBot, string(event.Event))
		}
		switch details := event.Data.Details.(type) {
		case *meetbot.ParticipantChanged:
			people = append(people, details.Participant.Name)
		case *meetbot.ChatWritten:
			chat = details.Message.Sender
		}
	}
	say("timeline", strings.Join(changes, ", "))
	say("of the bot", listed(ofBot))
	say("people", listed(people))
	say("last chat", chat)
	whole := true
	for i, sequence := range sequences {
		whole = whole && sequence == int64(i+1)
	}
	say("no holes", whole)

	// By their sequence: a webhook may come twice.
	heard := map[int64]*meetbot.WebhookEvent{}
	missing := func(sequence int64) bool { return heard[sequence] == nil }
	made := false
	var one received
	for slices.ContainsFunc(sequences, missing) || !made {
		select {
		case one = <-webhooks:
			heard[one.event.Data.Sequence] = one.event
			made = made || one.event.Event == meetbot.EventArtifactReady
		case <-time.After(patience):
			panic("the webhooks do not come")
		}
	}
	var names, metadata []string
	ours := true
	for _, event := range heard {
		names, metadata = append(names, string(event.Event)), append(metadata, fmt.Sprint(event.Data.Metadata["n"]))
		ours = ours && event.Data.JobID == job.ID
	}
	say("webhooks", listed(names))
	say("of this job", ours)
	say("metadata", listed(metadata))
	for _, sequence := range slices.Sorted(maps.Keys(heard)) {
		switch details := heard[sequence].Data.Details.(type) {
		case *meetbot.Finalized:
			say("finalized", details.LeaveReason, details.ManifestURI == uri, details.DurationMs > 0)
		case *meetbot.ArtifactReady:
			say("artifact", details.Artifact.Name, details.Artifact.MediaType, details.ManifestURI == uri)
		}
	}
	const other = "whsec_dGVzdA=="
	changed, signature := append(slices.Clone(one.body), ' '), one.header.Get("X-Meetbot-Signature")
	say("verified", meetbot.VerifyWebhookSignature(one.body, signature, s.secret))
	say("another body", meetbot.VerifyWebhookSignature(changed, signature, s.secret))
	say("another secret", meetbot.VerifyWebhookSignature(one.body, signature, other))
	judged := func(event *meetbot.WebhookEvent, err error) any {
		var e *meetbot.Error
		if errors.As(err, &e) {
			return strings.TrimPrefix(e.Kind.Error(), "meetbot: ")
		}
		return event.Data.JobID == job.ID
	}
	say("unwrap with two secrets", judged(webhook.Unwrap(one.body, one.header, other, webhook.WithSecrets(s.secret))))
	say("unwrap another body", judged(webhook.Unwrap(changed, one.header, s.secret)))
	say("unwrap with another secret", judged(webhook.Unwrap(one.body, one.header, other)))
	say("unwrap with no secret", judged(webhook.Unwrap(one.body, one.header, "secret")))
}

func (s *story) downloaded(job *meetbot.Job) {
	ctx, mb := s.ctx, s.mb
	folder := must(os.MkdirTemp("", "conformance"))
	defer os.RemoveAll(folder)
	paths := must(mb.DownloadArtifacts(ctx, job.ID, folder))
	manifest := must(mb.Manifest(ctx, job.ID))
	var people, names []string
	for _, one := range manifest.Participants {
		people = append(people, one.Name)
	}
	say("participants", listed(people))
	slices.SortFunc(manifest.Tracks, func(a, b meetbot.Track) int { return strings.Compare(a.File, b.File) })
	for _, track := range manifest.Tracks {
		say("track", track.File, track.Kind, track.Source, track.Codec, track.Container)
	}
	say("manifest", manifest.Complete, manifest.LeaveReason, manifest.Mixed.State, manifest.Mixed.File, manifest.Chat)
	for _, path := range paths {
		names = append(names, filepath.Base(path))
	}
	say("downloaded", listed(names))
	slices.SortFunc(manifest.Files, func(a, b meetbot.ManifestFile) int { return strings.Compare(a.Name, b.Name) })
	for _, file := range manifest.Files {
		content := must(os.ReadFile(filepath.Join(folder, file.Name)))
		sum := sha256.Sum256(content)
		say("file", file.Name, file.MediaType, int64(len(content)) == *file.Bytes, hex.EncodeToString(sum[:]) == file.SHA256)
	}
	onDisk := must(os.ReadFile(filepath.Join(folder, "events.jsonl")))
	say("in memory", bytes.Equal(must(mb.Artifact(ctx, job.ID, "events.jsonl")), onDisk))
	speaking, forwards := must(mb.Speaking(ctx, job.ID)), true
	for _, span := range speaking {
		forwards = forwards && span.EndMs > span.StartMs
	}
	say("speaking", forwards, len(speaking) > 0)
	var captions []string
	for _, one := range must(mb.Captions(ctx, job.ID)) {
		captions = append(captions, shown(one.Text != "" && one.Speaker != ""))
	}
	say("captions", listed(captions))
	chat := must(mb.Chat(ctx, job.ID))
	say("chat file", chat[len(chat)-1].Sender)
	say("events file", must(mb.EventsFile(ctx, job.ID))[0].Type)
	fails("captions of no job", result(mb.Captions(ctx, nobody)))
	fails("no such file", result(mb.Artifact(ctx, job.ID, "audio.Nobody.webm")))
	fails("no file", result(mb.Artifact(ctx, job.ID, "..")))
	fails("a manifest of no job", result(mb.Manifest(ctx, nobody)))
}

// ids are the external ids of jobs.
func ids(jobs []*meetbot.Job) (found []any) {
	for _, job := range jobs {
		found = append(found, job.ExternalID)
	}
	return found
}

// all are all jobs of a list.
func (s *story) all(params meetbot.ListBotsParams) (found []*meetbot.Job) {
	for job, err := range s.mb.AllBots(s.ctx, params) {
		check(err)
		found = append(found, job)
	}
	return found
}

func (s *story) lists() {
	ctx, mb := s.ctx, s.mb
	later := time.Now().Add(30 * 24 * time.Hour)
	for n := range 3 {
		must(mb.DispatchBot(ctx, meetbot.DispatchBotParams{MeetingURL: short, ExternalID: fmt.Sprint("later-", n), JoinAt: later}))
	}
	first := must(mb.ListBots(ctx, meetbot.ListBotsParams{Limit: 2}))
	say("first page", append(ids(first.Data), first.NextCursor != "")...)
	second := must(mb.ListBots(ctx, meetbot.ListBotsParams{Limit: 2, Cursor: first.NextCursor}))
	say("second page", append(ids(second.Data), second.NextCursor != "")...)
	say("all", ids(s.all(meetbot.ListBotsParams{Limit: 1}))...)
	say("completed", ids(s.all(meetbot.ListBotsParams{Status: []meetbot.JobStatus{meetbot.StatusCompleted}}))...)
	ended := meetbot.ListBotsParams{Status: []meetbot.JobStatus{meetbot.StatusFailed, meetbot.StatusCancelled}, Platform: meetbot.PlatformSandbox}
	say("failed or cancelled", ids(s.all(ended))...)
	say("of tomorrow", len(must(mb.ListBots(ctx, meetbot.ListBotsParams{CreatedAfter: later})).Data))
	for _, job := range must(mb.ListBots(ctx, meetbot.ListBotsParams{ExternalID: "later-1"})).Data {
		say("one", job.ExternalID, job.StatusDetail)
	}
	for _, job := range s.all(meetbot.ListBotsParams{Status: []meetbot.JobStatus{meetbot.StatusQueued}}) {
		check(mb.CancelBot(ctx, job.ID))
		say("cancelled", job.ExternalID, must(mb.WaitForBot(ctx, job.ID)).Status)
	}
}

func (s *story) lookedUp(job *meetbot.Job) {
	const none = "dlv_00000000000000000000000000"
	ctx, mb := s.ctx, s.mb
	first := must(mb.Deliveries(ctx, meetbot.DeliveriesParams{JobID: job.ID, Limit: 1}))
	say("deliveries", len(first.Data), first.NextCursor != "")
	id := first.Data[0].ID
	found := must(mb.GetDelivery(ctx, id))
	say("a delivery", found.ID == id && found.JobID == job.ID)
	say("again", must(mb.Redeliver(ctx, id)).ID == id)
	found, err := mb.GetDelivery(ctx, none)
	say("no delivery", absent(found, err))
	fails("redeliver nothing", result(mb.Redeliver(ctx, none)))
	usage := must(mb.Usage(ctx))
	say("usage", len(usage.Month), usage.Bots, usage.QueuedJobs, limit(usage.MaxBots), limit(usage.MaxMinutes))
	for _, way := range must(mb.ListPlatforms(ctx)).Data {
		if way.Platform == meetbot.PlatformSandbox || way.Platform == meetbot.PlatformTeams {
			say("platform", way.Platform, way.Via, way.Joinable, way.Experimental, len(way.Missing) == 0)
		}
	}
	host := must(mb.Host(ctx))
	say("host", host.Version, host.Draining, host.CPU.Cores > 0, host.Memory.TotalBytes > 0, host.Bots.Max > 0)
}

func (s *story) deleted(job *meetbot.Job) {
	ctx, mb, consumer := s.ctx, s.mb, os.Getenv("MEETBOT_CONSUMER")
	recorded := must(mb.GetBot(ctx, job.ID)).Recording.Bytes
	receipt := must(mb.DeleteRecording(ctx, job.ID))
	var names []string
	for _, one := range receipt.Removed {
		names = append(names, one.Name)
	}
	say("deleted", listed(names))
	say("its receipt", receipt.JobID == job.ID, !receipt.DeletedAt.IsZero(), len(receipt.AlreadyGone))
	again := must(mb.DeleteRecording(ctx, job.ID))
	say("deleted again", len(again.Removed), again.DeletedAt.Equal(receipt.DeletedAt))
	fails("a manifest that was deleted", result(mb.Manifest(ctx, job.ID)))
	recording := must(mb.GetBot(ctx, job.ID)).Recording
	say("its job", recording.DeletedAt.Equal(receipt.DeletedAt), recorded != nil && *recorded > 0, recording.Bytes != nil && *recording.Bytes == 0)
	fails("erase somebody else", result(mb.EraseConsumer(ctx, "nobody")))
	erased := must(mb.EraseConsumer(ctx, consumer))
	say("erased", erased.Consumer == consumer, erased.Jobs, erased.Keys)
	fails("a key that was erased", result(mb.ListBots(ctx, meetbot.ListBotsParams{})))
}

func main() {
	ctx, stop := context.WithTimeout(context.Background(), 2*patience)
	defer stop()
	given := os.Getenv("MEETBOT_API_BASE_URL")
	mb := must(meetbot.NewClient(meetbot.WithBaseURL(given + "/api/v1/")))
	s := &story{ctx, mb, os.Getenv("MEETBOT_WEBHOOK_SECRET")}
	say("base url", mb.BaseURL() == given)
	s.errors()
	url, webhooks := s.receiver()
	failing := must(mb.DispatchBot(ctx, meetbot.DispatchBotParams{MeetingURL: none, ExternalID: "failing"}))
	recorded := must(mb.DispatchBot(ctx, meetbot.DispatchBotParams{
		MeetingURL: short, ExternalID: "short", OnStatusChangeURL: url + "/status", OnFinalizeURL: url + "/final", Metadata: map[string]any{"n": 1},
	}))
	s.controlled(s.dispatched())
	s.recorded(recorded, webhooks)
	s.downloaded(recorded)
	ended := must(mb.WaitForBot(ctx, failing.ID))
	say("a failure", ended.Status, ended.FailureCode, ended.FailureDetail, ended.ManifestURI)
	fails("a manifest of nothing", result(mb.Manifest(ctx, failing.ID)))
	s.lists()
	s.lookedUp(recorded)
	s.deleted(recorded)
}
