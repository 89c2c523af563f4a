package meetbot

import (
	"encoding/json"
	"time"
)

// Manifest is manifest.json: what was recorded, by whom, when, and in which files. All times named …Ms are milliseconds from StartedAt, on one clock.
type Manifest struct {
	// SchemaVersion is the version of its form: 1.
	SchemaVersion int `json:"schemaVersion"`
	// JobID is the job's id.
	JobID string `json:"jobId" wire:"required"`
	// ExternalID is your own id for it.
	ExternalID string `json:"externalId"`
	// MeetingURL is the meeting's URL as it was given.
	MeetingURL string `json:"meetingUrl"`
	// Platform is the meeting's product.
	Platform Platform `json:"platform"`
	// DisplayName is the name that the bot showed.
	DisplayName string `json:"displayName"`
	// Complete says that the recording goes from the bot's first admission to the end of its work without a break.
	Complete bool `json:"complete"`
	// StartedAt is when the first bot was in the call.
	StartedAt time.Time `json:"startedAt"`
	// EndedAt is when the last bot left it.
	EndedAt time.Time `json:"endedAt"`
	// DurationMs is EndedAt less StartedAt.
	DurationMs int64 `json:"durationMs"`
	// LeaveReason is why the bot left.
	LeaveReason LeaveReason `json:"leaveReason"`
	// FailureCode is why the job failed, where it did.
	FailureCode FailureCode `json:"failureCode"`
	// Participants is everyone who was in the meeting, the bot itself left out.
	Participants []ManifestParticipant `json:"participants"`
	// Speaking is who spoke when, by audio level, by start; the spans of one participant neither overlap nor touch. At most 20,000: beyond that, spans with the
	// shortest pauses between them are joined, and events.jsonl has each. Empty in manifests of servers that did not write it.
	Speaking []SpeakingSpan `json:"speaking"`
	// Tracks are the media.
	Tracks []Track `json:"tracks"`
	// Unavailable is what people sent that could not be recorded. Empty in manifests of servers that did not write it.
	Unavailable []UnavailableTrack `json:"unavailable"`
	// Files are all files beside the manifest.
	Files []ManifestFile `json:"files"`
	// Mixed is about the file with all speakers.
	Mixed Mixed `json:"mixed"`
	// Captions is the file with the captions, if there were any.
	Captions string `json:"captions"`
	// Chat is the file with the chat, if anything was written.
	Chat string `json:"chat"`
	// Pauses is when the recording was paused.
	Pauses []Span `json:"pauses"`
	// Attempts are the bots that worked on it, one after the other.
	Attempts []Attempt `json:"attempts"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// Mixed is the mix of all audio tracks, made after the job has ended.
type Mixed struct {
	// State is whether it is still to be made; empty in manifests of servers that made it before they wrote the manifest.
	State MixState `json:"state"`
	// File is the file; empty when there is none (yet).
	File string `json:"file"`
	// MissingBecause is why there is none, in a sentence; empty while it is still to be made.
	MissingBecause string `json:"missingBecause"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// ManifestParticipant is someone who was in the meeting.
type ManifestParticipant struct {
	// ID is the meeting's id for them.
	ID string `json:"id"`
	// Name is their name, as it was last.
	Name string `json:"name"`
	// IsBot says that it is another bot.
	IsBot bool `json:"isBot"`
	// IsHost says that they are a host.
	IsHost bool `json:"isHost"`
	// JoinedAt is when they came, in milliseconds; 0 when they were there before the bot.
	JoinedAt int64 `json:"joinedAt"`
	// LeftAt is when they left, in milliseconds; nil when they were there to the end.
	LeftAt *int64 `json:"leftAt"`
	// SpeakingMs is how long they spoke, by audio level.
	SpeakingMs int64 `json:"speakingMs"`
	// Names are all names that they had.
	Names []string `json:"names"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// Track is one media file.
type Track struct {
	// File is the file's name.
	File string `json:"file"`
	// ParticipantID says whose it is.
	ParticipantID string `json:"participantId"`
	// Kind is audio or video.
	Kind string `json:"kind"`
	// Source is microphone, camera or screen.
	Source string `json:"source"`
	// Codec is opus, vp8, vp9, h264 or pcm_s16le.
	Codec string `json:"codec"`
	// Container is webm; matroska for H.264 and samples, which WebM does not know.
	Container string `json:"container"`
	// StartMs is when the file's time 0 is.
	StartMs int64 `json:"startMs"`
	// DurationMs is how long the file plays.
	DurationMs int64 `json:"durationMs"`
	// Packets are Opus packets, or pictures, as they were received; silence that fills gaps is not counted.
	Packets int64 `json:"packets"`
	// LostPackets are packets that were sent but never came.
	LostPackets int64 `json:"lostPackets"`
	// Bytes is the file's size.
	Bytes int64 `json:"bytes"`
	// SHA256 is the file's SHA-256, in hex.
	SHA256 string `json:"sha256"`
	// Rotation is by how many degrees clockwise the pictures are to be turned for showing: 0, 90, 180 or 270. The file says so too, so players and ffmpeg turn them.
	Rotation int `json:"rotation"`
	// AttributedBy is how it is known whose it is: stream (the meeting sends each participant's media separately), source (the packets name a source,
	// and the meeting its owner), unnamed (they name a source whose owner was not known when the file began), mix (several participants at once, in
	// one file) or played (a page played it, named its source, and encoded it again). All frames of a track are attributed in the same way. The set is
	// open.
	AttributedBy string `json:"attributedBy"`
	// Gaps are where nothing was received.
	Gaps []Gap `json:"gaps"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// UnavailableTrack is a camera, a shared screen or a voice that was sent and is in no file.
type UnavailableTrack struct {
	// ParticipantID says who sent it.
	ParticipantID string `json:"participantId"`
	// Kind is audio or video.
	Kind string `json:"kind"`
	// Source is microphone, camera or screen.
	Source string `json:"source"`
	// Codec is how it was encoded, as in av1.
	Codec string `json:"codec"`
	// StartMs is when the first of it came.
	StartMs int64 `json:"startMs"`
	// MissingBecause is why it is in no file, in a sentence.
	MissingBecause string `json:"missingBecause"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// Gap is a time without media.
type Gap struct {
	// StartMs is where it begins.
	StartMs int64 `json:"startMs"`
	// EndMs is where it ends.
	EndMs int64 `json:"endMs"`
	// Reason is packet_loss, muted, paused, absent (they had left) or network_loss (the bot was cut off). The set is open.
	Reason string `json:"reason"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// Span is a time from one moment to another.
type Span struct {
	// StartMs is where it begins.
	StartMs int64 `json:"startMs"`
	// EndMs is where it ends.
	EndMs int64 `json:"endMs"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// SpeakingSpan is a time in which somebody spoke; pauses of less than half a second are part of it.
type SpeakingSpan struct {
	// ParticipantID says who, by their ID among the participants.
	ParticipantID string `json:"participantId"`
	// StartMs is where it begins.
	StartMs int64 `json:"startMs"`
	// EndMs is where it ends.
	EndMs int64 `json:"endMs"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// Attempt is one bot's time on the job.
type Attempt struct {
	// Attempt is its number, from 1.
	Attempt int `json:"attempt"`
	// JoinedMs is when it was in the call; nil when it never was.
	JoinedMs *int64 `json:"joinedMs"`
	// EndedMs is when it left or was last known to record.
	EndedMs *int64 `json:"endedMs"`
	// Outcome is how it ended: left, handed_over (a server that was stopped gave the
	// job to the next one's bot), lost (the process died), or never_joined.
	Outcome string `json:"outcome"`
	// GapMs is how long nothing was recorded between the attempt before and this one.
	GapMs *int64 `json:"gapMs"`
	// DroppedDatagrams is how many datagrams reached the machine in its time and were dropped, because the bot's socket was full: the bot read too late.
	// Most of them are among the tracks' LostPackets.
	DroppedDatagrams int64 `json:"droppedDatagrams"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// ManifestFile is one file of a recording.
type ManifestFile struct {
	// Name is its name, flat.
	Name string `json:"name"`
	// MediaType is its media type.
	MediaType string `json:"mediaType"`
	// Bytes is its size; nil where it is not said, since 0 is a size.
	Bytes *int64 `json:"bytes"`
	// SHA256 is its SHA-256, in hex; empty where it is not said.
	SHA256 string `json:"sha256"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}
