package meetbot

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/wire"
)

// TimelineEvent is one line of a job's timeline.
type TimelineEvent struct {
	// ID is its id.
	ID string `json:"id"`
	// Event is what happened.
	Event EventName `json:"event" wire:"required"`
	// EmittedAt is when.
	EmittedAt time.Time `json:"emittedAt"`
	// Data is what the webhook says about it.
	Data EventData `json:"data" wire:"required"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// WebhookEvent is an event as a webhook brings it.
type WebhookEvent struct {
	// DeliveryID is the delivery; the same over all its tries.
	DeliveryID string `json:"deliveryId"`
	// Event is what happened.
	Event EventName `json:"event" wire:"required"`
	// EmittedAt is when.
	EmittedAt time.Time `json:"emittedAt"`
	// Attempt says which try this is, from 1; 0 where it is not said.
	Attempt int `json:"attempt"`
	// Version is the version of the envelope: 2; 0 where it is not said.
	Version int `json:"version"`
	// Data is the event itself.
	Data EventData `json:"data" wire:"required"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// EventData is what an event says.
type EventData struct {
	// Event is the event's name once more.
	Event EventName `json:"event"`
	// Sequence counts a job's events up from 1; an endpoint that gets only some of them sees holes. 0 in a webhook that does not say it.
	Sequence int64 `json:"sequence"`
	// JobID is the job's id; empty in a timeline that does not repeat it.
	JobID string `json:"jobId"`
	// ExternalID is your own id for it.
	ExternalID string `json:"externalId"`
	// Status is the job's status after the event.
	Status JobStatus `json:"status"`
	// Metadata is your own data; its numbers are of the type json.Number.
	Metadata map[string]any `json:"metadata"`
	// Details is what is particular to the event: *StatusChanged, *Finalized, *Failed, *ArtifactReady, *PermissionChanged, *ChatWritten, *ChatWithheld,
	// *EventsLeftOut, *ParticipantChanged or *ParticipantRenamed. It is nil for an event that this version does not know; Extra has its fields then.
	Details EventDetails `json:"-"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// EventDetails is what is particular to an event; see [EventData].
type EventDetails interface{ isDetails() }

// StatusChanged is particular to job.status_changed.
type StatusChanged struct {
	// PreviousStatus is the status before; empty for a new job.
	PreviousStatus JobStatus `json:"previousStatus"`
	// StatusDetail is a hint about what the status is busy with.
	StatusDetail string `json:"statusDetail"`
	// LeaveReason is why the bot left.
	LeaveReason LeaveReason `json:"leaveReason"`
	// Via is how the bot has got in; empty in all but the change to in_call.
	Via Via `json:"via"`
}

// Finalized is particular to job.finalized, which comes exactly once per completed job.
type Finalized struct {
	// ManifestURI is where the manifest is.
	ManifestURI string `json:"manifestUri"`
	// LeaveReason is why the bot left.
	LeaveReason LeaveReason `json:"leaveReason"`
	// DurationMs is how long the recording is, in milliseconds.
	DurationMs int64 `json:"durationMs"`
}

// Failed is particular to job.failed, which says code and detail in two spellings; Extra of the [EventData] has them as failureCode and failureDetail.
type Failed struct {
	// FailureCode is why.
	FailureCode FailureCode `json:"failure_code"`
	// FailureDetail is why, in a sentence.
	FailureDetail string `json:"failure_detail"`
	// FailureReason is the same sentence, for receivers of version 1.
	FailureReason string `json:"failure_reason"`
	// ManifestURI is where the manifest is, when something was recorded.
	ManifestURI string `json:"manifestUri"`
}

// ArtifactReady is particular to job.artifact_ready: a file that is made after the job has ended is there.
type ArtifactReady struct {
	// Artifact is the file, as the manifest lists it from now on.
	Artifact ManifestFile `json:"artifact"`
	// ManifestURI is where the manifest is; the same as when the job ended.
	ManifestURI string `json:"manifestUri"`
}

// PermissionChanged is particular to bot.recording_permission_requested, …_granted and …_denied.
type PermissionChanged struct {
	// Permission is whether the meeting allows the recording.
	Permission Permission `json:"permission"`
}

// ChatWritten is particular to bot.chat_message.
type ChatWritten struct {
	// Message is the message.
	Message ChatMessage `json:"message"`
}

// ChatWithheld is particular to bot.chat_withheld, which only the timeline has: for a while nothing was to be recorded, and that is over.
type ChatWithheld struct {
	// Messages is how many messages of the chat are in no file and no event.
	Messages int64 `json:"messages"`
	// Captions is how many captions are in no file.
	Captions int64 `json:"captions"`
}

// EventsLeftOut is particular to bot.events_left_out, which only the timeline has: too much happened in the meeting to report all of it.
type EventsLeftOut struct {
	// Messages is how many messages of the chat are in chat.jsonl and have no event.
	Messages int64 `json:"messages"`
	// ParticipantEvents is how often somebody joined, left or changed their name, which is in events.jsonl and has no event.
	ParticipantEvents int64 `json:"participantEvents"`
}

// ParticipantChanged is particular to bot.participant_joined and bot.participant_left.
type ParticipantChanged struct {
	// Participant is who came or left.
	Participant Participant `json:"participant"`
}

// ParticipantRenamed is particular to bot.participant_renamed.
type ParticipantRenamed struct {
	// Participant is who, under their new name.
	Participant Participant `json:"participant"`
	// PreviousName is the name before.
	PreviousName string `json:"previousName"`
}

// ChatMessage is a message of the meeting's chat.
type ChatMessage struct {
	// ID is the message's id.
	ID string `json:"id"`
	// SenderID says who wrote it.
	SenderID string `json:"senderId"`
	// Sender is their name.
	Sender string `json:"sender"`
	// Text is the text.
	Text string `json:"text"`
	// Private says that only the bot was written to.
	Private bool `json:"private"`
	// AtMs is when, in milliseconds from the recording's start.
	AtMs int64 `json:"atMs"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// Participant is someone in the meeting.
type Participant struct {
	// ID is the meeting's id for them.
	ID string `json:"id"`
	// Name is their name.
	Name string `json:"name"`
	// IsHost says that they are a host.
	IsHost bool `json:"isHost"`
	// IsBot says that it is another bot.
	IsBot bool `json:"isBot"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

func (*StatusChanged) isDetails()      {}
func (*Finalized) isDetails()          {}
func (*Failed) isDetails()             {}
func (*ArtifactReady) isDetails()      {}
func (*PermissionChanged) isDetails()  {}
func (*ChatWritten) isDetails()        {}
func (*ChatWithheld) isDetails()       {}
func (*EventsLeftOut) isDetails()      {}
func (*ParticipantChanged) isDetails() {}
func (*ParticipantRenamed) isDetails() {}

// detailsOf gives empty details of an event; nil for one that is not known.
func detailsOf(event EventName) EventDetails {
	switch event {
	case EventStatusChanged:
		return &StatusChanged{}
	case EventFinalized:
		return &Finalized{}
	case EventFailed:
		return &Failed{}
	case EventArtifactReady:
		return &ArtifactReady{}
	case EventPermissionRequested, EventPermissionGranted, EventPermissionDenied:
		return &PermissionChanged{}
	case EventChatMessage:
		return &ChatWritten{}
	case EventChatWithheld:
		return &ChatWithheld{}
	case EventEventsLeftOut:
		return &EventsLeftOut{}
	case EventParticipantJoined, EventParticipantLeft:
		return &ParticipantChanged{}
	case EventParticipantRenamed:
		return &ParticipantRenamed{}
	}
	return nil
}

// frame is an EventData without the methods that would read and write it.
type frame EventData

// ReadWire reads what an event says, but for its details: where its data does not repeat the event's name, the envelope's decides about them.
func (d *EventData) ReadWire(data []byte) error {
	var read frame
	if err := wire.Read(data, &read); err != nil {
		return err
	}
	*d = EventData(read)
	return nil
}

// detail reads the details, which are among the fields that are not known so far.
func (d *EventData) detail(envelope EventName) error {
	if d.Event == "" {
		d.Event = envelope
	}
	details := detailsOf(d.Event)
	if details == nil {
		return nil
	}
	if err := wire.Take(d.Extra, details); err != nil {
		return err
	}
	if failed, is := details.(*Failed); is {
		if err := failed.takeNewer(d.Extra); err != nil {
			return err
		}
	}
	if d.Details = details; len(d.Extra) == 0 {
		d.Extra = nil
	}
	return nil
}

// takeNewer takes code and detail from the newer spelling, where it is there. It stays among the fields.
func (f *Failed) takeNewer(fields map[string]json.RawMessage) error {
	var newer struct {
		FailureCode   FailureCode `json:"failureCode"`
		FailureDetail string      `json:"failureDetail"`
	}
	if err := wire.Take(maps.Clone(fields), &newer); err != nil {
		return err
	}
	f.FailureCode = cmp.Or(newer.FailureCode, f.FailureCode)
	f.FailureDetail = cmp.Or(newer.FailureDetail, f.FailureDetail)
	return nil
}

// UnmarshalJSON reads what an event says.
func (d *EventData) UnmarshalJSON(data []byte) error {
	if err := d.ReadWire(data); err != nil {
		return err
	}
	return d.detail("")
}

// MarshalJSON writes what an event says.
func (d EventData) MarshalJSON() ([]byte, error) {
	if d.Details == nil {
		return wire.Write(frame(d))
	}
	return wire.WriteWith(frame(d), d.Details)
}

// UnmarshalJSON reads an event as the API sends it.
func (e *TimelineEvent) UnmarshalJSON(data []byte) error {
	type plain TimelineEvent
	var read plain
	err := wire.Read(data, &read)
	if err == nil {
		err = read.Data.detail(read.Event)
	}
	if err == nil && read.Data.Sequence == 0 {
		err = errors.New("data.sequence: is missing")
	}
	*e = TimelineEvent(read)
	return err
}

// UnmarshalJSON reads an event as a webhook brings it; it verifies nothing: [webhook.Unwrap] does.
//
// [webhook.Unwrap]: https://pkg.go.dev/github.com/meetbot-dev/meetbot/sdk-go/webhook#Unwrap
func (e *WebhookEvent) UnmarshalJSON(data []byte) error {
	type plain WebhookEvent
	var read plain
	err := wire.Read(data, &read)
	if err == nil {
		err = read.Data.detail(read.Event)
	}
	if err == nil && read.Data.JobID == "" {
		err = errors.New("data.jobId: is missing")
	}
	*e = WebhookEvent(read)
	return err
}
