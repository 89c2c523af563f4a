package meetbot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/exchange"
)

// Caption is a line of captions.jsonl: something that was said, in words. Times are in milliseconds from the manifest's StartedAt.
type Caption struct {
	// SpeakerID is the meeting's id for who said it.
	SpeakerID string `json:"speakerId"`
	// Speaker is their name.
	Speaker string `json:"speaker"`
	// StartMs is where it begins.
	StartMs int64 `json:"startMs"`
	// EndMs is where it ends.
	EndMs int64 `json:"endMs"`
	// Text is the words.
	Text string `json:"text"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// RecordingEvent is a line of events.jsonl. Which fields it has follows from its type; the others are nil or empty. Times are in milliseconds from the manifest's
// StartedAt.
type RecordingEvent struct {
	// Type is what happened: started, participant_joined, participant_changed, participant_left, track, track_start, track_unavailable, gap, speaking,
	// paused, resumed, stopped, connection_lost, datagrams_dropped, left, handed_over. The set is open.
	Type string `json:"type"`
	// AtMs is when; lines of a time from one moment to another have StartMs and EndMs in its place.
	AtMs *int64 `json:"atMs"`
	// Attempt is which bot, from 1: of started, track, datagrams_dropped, left and handed_over.
	Attempt *int64 `json:"attempt"`
	// StartedAt is the time 0 of the whole recording: of started.
	StartedAt time.Time `json:"startedAt"`
	// Participant is who: of participant_joined and participant_changed.
	Participant Participant `json:"participant"`
	// ID is who: of participant_left and speaking.
	ID string `json:"id"`
	// File is which media file: of track, track_start and gap.
	File string `json:"file"`
	// ParticipantID is who sent it: of track and track_unavailable.
	ParticipantID string `json:"participantId"`
	// Kind is audio or video: of track and track_unavailable.
	Kind string `json:"kind"`
	// Source is microphone, camera or screen: of track and track_unavailable.
	Source string `json:"source"`
	// Codec is opus, vp8, vp9, h264 or pcm_s16le, others where it is unavailable: of track and track_unavailable.
	Codec string `json:"codec"`
	// Rotation is by how many degrees clockwise its pictures are to be turned: of track.
	Rotation *int64 `json:"rotation"`
	// AttributedBy is how it is known whose it is, as in the manifest: of track.
	AttributedBy string `json:"attributedBy"`
	// StartMs is from when: of gap and speaking.
	StartMs *int64 `json:"startMs"`
	// EndMs is to when: of gap and speaking.
	EndMs *int64 `json:"endMs"`
	// Reason is why: of track_unavailable, gap and left, as in the manifest.
	Reason string `json:"reason"`
	// Lost is how many packets were sent but never came: of gap; or for how many datagrams the bot's socket had no room: of datagrams_dropped.
	Lost *int64 `json:"lost"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// Speaking says who spoke when, by start: the manifest's Speaking. [ErrNotFound] until there is a manifest.
func (c *Client) Speaking(ctx context.Context, jobID string, options ...CallOption) ([]SpeakingSpan, error) {
	manifest, err := c.Manifest(ctx, jobID, options...)
	if err != nil {
		return nil, err
	}
	return manifest.Speaking, nil
}

// Captions gives the meeting's captions, captions.jsonl, in the order in which they came; none where there were none, as on platforms that give none.
//
// The file is checked by its SHA-256, and read into memory: one of more than 64 MiB is [ErrDecode], and so is a line with a value of another type. A line that was
// cut off is left out. [ErrNotFound] until there is a manifest.
func (c *Client) Captions(ctx context.Context, jobID string, options ...CallOption) ([]*Caption, error) {
	return lines[Caption](ctx, c, jobID, options, func(m *Manifest) string { return m.Captions })
}

// Chat gives the meeting's chat, chat.jsonl, in the order in which it was written; none where nothing was. It is read as [Client.Captions] are.
func (c *Client) Chat(ctx context.Context, jobID string, options ...CallOption) ([]*ChatMessage, error) {
	return lines[ChatMessage](ctx, c, jobID, options, func(m *Manifest) string { return m.Chat })
}

// EventsFile gives the lines of events.jsonl, what happened to the recording; none where the manifest names no such file. It is read as [Client.Captions] are. A
// line of a type that this version does not know has its fields in Extra. [Client.Watch] reports what happens to the job.
func (c *Client) EventsFile(ctx context.Context, jobID string, options ...CallOption) ([]*RecordingEvent, error) {
	return lines[RecordingEvent](ctx, c, jobID, options, func(m *Manifest) string {
		const name = "events.jsonl"
		if slices.ContainsFunc(m.Files, func(file ManifestFile) bool { return file.Name == name }) {
			return name
		}
		return ""
	})
}

// lines reads all lines of the file that the manifest names.
func lines[T any, P interface {
	*T
	json.Unmarshaler
}](ctx context.Context, c *Client, jobID string, options []CallOption, name func(*Manifest) string) ([]*T, error) {
	manifest, err := c.Manifest(ctx, jobID, options...)
	if err != nil {
		return nil, err
	}
	file := ManifestFile{Name: name(manifest)}
	if file.Name == "" {
		return nil, nil
	}
	if at := slices.IndexFunc(manifest.Files, func(one ManifestFile) bool { return one.Name == file.Name }); at >= 0 {
		file = manifest.Files[at]
	}
	if file.Bytes != nil && *file.Bytes > exchange.MaxAnswer {
		return nil, &Error{Kind: ErrDecode, Attempts: 1, Message: file.Name + " is larger than 64 MiB: DownloadArtifact can write it to a file, to be read line by line"}
	}
	body, err := c.Artifact(ctx, jobID, file.Name, append(slices.Clip(options), WithExpected(file))...)
	if err != nil {
		return nil, err
	}
	var all []*T
	for i, line := range bytes.Split(body, []byte("\n")) {
		// What is no object was cut off: a full disk may have torn a line.
		line = bytes.TrimSpace(line)
		if !bytes.HasPrefix(line, []byte("{")) || !json.Valid(line) {
			continue
		}
		one, err := read[T, P](line)
		if err != nil {
			return nil, &Error{Kind: ErrDecode, Attempts: 1, Message: fmt.Sprintf("%s: line %d is not what it should be: %v", file.Name, i+1, err), Err: err}
		}
		all = append(all, one)
	}
	return all, nil
}
