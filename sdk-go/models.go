package meetbot

import (
	"encoding/json"
	"fmt"
	"time"
)

// Job is a bot asked for a meeting, and what became of it: a snapshot of the moment of the call.
//
// Only ID and Status are always there. What a server leaves out, or sends as null, is the zero value; what this version does not know is in Extra.
type Job struct {
	// ID is the job's id, job_….
	ID string `json:"id" wire:"required"`
	// ExternalID is your own id for it, if you gave one.
	ExternalID string `json:"externalId"`
	// MeetingURL is the meeting's URL as it was given.
	MeetingURL string `json:"meetingUrl"`
	// Platform is the meeting's product.
	Platform Platform `json:"platform"`
	// DisplayName is the name that the bot shows in the meeting.
	DisplayName string `json:"displayName"`
	// Status is where the job stands.
	Status JobStatus `json:"status" wire:"required"`
	// StatusDetail is a hint about what the status is busy with: scheduled, waiting_room, reconnecting, and others. The set is open.
	StatusDetail string `json:"statusDetail"`
	// Recording is the state of the recording.
	Recording Recording `json:"recording"`
	// JoinAt is when the bot is to join; zero for at once.
	JoinAt time.Time `json:"joinAt"`
	// Webhooks is where the job's webhooks go.
	Webhooks Webhooks `json:"webhooks"`
	// Metadata is your own data, given back as it was sent; its numbers are of the type json.Number.
	Metadata map[string]any `json:"metadata"`
	// AutoLeave is when the bot leaves by itself.
	AutoLeave AutoLeave `json:"autoLeave"`
	// RecordVideo is whether cameras are recorded; nil where the server's settings say it.
	RecordVideo *bool `json:"recordVideo"`
	// Account is the operator's account as which the bot joins; empty where it joins as a guest.
	Account string `json:"account"`
	// Attempt says which bot this is: 1 for the first, one more each time a lost bot is replaced, 0 before the first.
	Attempt int `json:"attempt"`
	// LeaveReason is why the bot left.
	LeaveReason LeaveReason `json:"leaveReason"`
	// FailureCode is why the job failed.
	FailureCode FailureCode `json:"failureCode"`
	// FailureDetail is the failure in a sentence.
	FailureDetail string `json:"failureDetail"`
	// ManifestURI is where the manifest is, file://… or s3://…. It is set as soon as there is one, whatever the final status.
	ManifestURI string `json:"manifestUri"`
	// CreatedAt is when the job was created.
	CreatedAt time.Time `json:"createdAt"`
	// UpdatedAt is when it last changed.
	UpdatedAt time.Time `json:"updatedAt"`
	// JoinedAt is when the first bot was in the call.
	JoinedAt time.Time `json:"joinedAt"`
	// EndedAt is when it ended.
	EndedAt time.Time `json:"endedAt"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// Recording is the recording of a job.
type Recording struct {
	// State is whether the bot records.
	State RecordingState `json:"state"`
	// Permission is whether the meeting allows it.
	Permission Permission `json:"permission"`
	// StartedAt is when the first packet was on disk.
	StartedAt time.Time `json:"startedAt"`
	// PausedMs is how long it was paused so far, in milliseconds.
	PausedMs int64 `json:"pausedMs"`
	// Bytes is how many bytes all files of the recording have on the server's disk, the manifest included; nil until the job has ended, while they are
	// still to be counted, and from a server that does not count them; 0 where nothing was recorded, or all of it is deleted.
	Bytes *int64 `json:"bytes"`
	// DeletedAt is when the recording was deleted.
	DeletedAt time.Time `json:"deletedAt"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// Webhooks is where webhooks of a job go.
type Webhooks struct {
	// OnStatusChange gets every event but job.finalized and job.artifact_ready.
	OnStatusChange string `json:"onStatusChange"`
	// OnFinalize gets job.finalized, job.failed and job.artifact_ready.
	OnFinalize string `json:"onFinalize"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// AutoLeave is when a bot leaves by itself: what was set, and the server's defaults for the rest. A rule of 0 seconds is off.
type AutoLeave struct {
	// AfterEntryDelaySeconds: give up when not admitted this long after knocking.
	AfterEntryDelaySeconds int64 `json:"afterEntryDelaySeconds" wire:"null"`
	// AfterSilenceSeconds: leave when nobody has spoken for this long.
	AfterSilenceSeconds int64 `json:"afterSilenceSeconds" wire:"null"`
	// AfterSoloSeconds: leave when no other human has been there for this long.
	AfterSoloSeconds int64 `json:"afterSoloSeconds" wire:"null"`
	// AfterMaxSeconds: leave after this long in the call.
	AfterMaxSeconds int64 `json:"afterMaxSeconds" wire:"null"`
	// OnBotDetected: leave when another notetaker bot is in the meeting; of several bots of one server the first stays.
	OnBotDetected bool `json:"onBotDetected"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// String is a short line: the job's id, its status, and why.
func (m *Job) String() string {
	for _, why := range []string{string(m.FailureCode), string(m.LeaveReason), m.StatusDetail} {
		if why != "" {
			return fmt.Sprintf("%s %s (%s)", m.ID, m.Status, why)
		}
	}
	return fmt.Sprintf("%s %s", m.ID, m.Status)
}

// RequestRecordingPermissionResult is the name that [ControlResult] had first.
type RequestRecordingPermissionResult = ControlResult

// ControlResult is the answer to each of the six control calls.
type ControlResult struct {
	// JobID is the job's id.
	JobID string `json:"jobId" wire:"required"`
	// CommandID is the command's id.
	CommandID string `json:"commandId"`
	// Action is what was asked.
	Action ControlAction `json:"action"`
	// State is how far it has come.
	State ControlState `json:"state" wire:"required"`
	// Status is the job's status now.
	Status JobStatus `json:"status"`
	// Recording is the job's recording now.
	Recording Recording `json:"recording"`
	// RequestedAt is when it was asked.
	RequestedAt time.Time `json:"requestedAt"`
	// UpdatedAt is when its state last changed.
	UpdatedAt time.Time `json:"updatedAt"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// DeletionReceipt is what became of a recording that was to be deleted.
type DeletionReceipt struct {
	// JobID is the job's id.
	JobID string `json:"jobId"`
	// DeletedAt is when the recording was first deleted.
	DeletedAt time.Time `json:"deletedAt"`
	// Removed is what this call removed.
	Removed []RemovedObject `json:"removed"`
	// AlreadyGone is what the manifest names and was no longer there.
	AlreadyGone []string `json:"alreadyGone"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// RemovedObject is a stored object that was removed.
type RemovedObject struct {
	// Name is its name, with its attempt before it: e1/audio.Alice.webm.
	Name string `json:"name"`
	// Bytes is its size.
	Bytes int64 `json:"bytes"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// ErasureReceipt is what became of a consumer that was to be erased.
type ErasureReceipt struct {
	// Consumer is the consumer's name.
	Consumer string `json:"consumer"`
	// ErasedAt is when it was erased.
	ErasedAt time.Time `json:"erasedAt"`
	// Jobs is how many jobs were erased, with their timelines and deliveries, of both worlds.
	Jobs int64 `json:"jobs"`
	// Keys is how many keys were erased, the one that asked for it included.
	Keys int64 `json:"keys"`
	// Removed is what was removed of the recordings, with its job and attempt before it: job_…/e1/audio.Alice.webm.
	Removed []RemovedObject `json:"removed"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// Usage is what a key's consumer has used, in the key's world (live or test).
type Usage struct {
	// Month is the month in UTC, as in 2026-11.
	Month string `json:"month"`
	// Minutes are started minutes in meetings: of jobs that ended in this month, but for failures that are not billed, and of bots in a meeting now.
	Minutes int64 `json:"minutes"`
	// MaxMinutes is how many there may be before new jobs are refused; nil for no limit.
	MaxMinutes *int64 `json:"maxMinutes"`
	// Bots are jobs with a bot, or with one to come for one that was lost.
	Bots int64 `json:"bots"`
	// MaxBots is how many there may be before further jobs wait in the queue; nil for no limit of this consumer's.
	MaxBots *int64 `json:"maxBots"`
	// QueuedJobs have had no bot yet, whenever their time is.
	QueuedJobs int64 `json:"queuedJobs"`
	// MaxQueuedJobs is how many there may be before new jobs are refused with quota_exceeded; nil for no limit.
	MaxQueuedJobs *int64 `json:"maxQueuedJobs"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// PlatformAvailability is one way into a platform's meetings. A platform may have several.
type PlatformAvailability struct {
	// Platform is the platform.
	Platform Platform `json:"platform" wire:"required"`
	// Via is how bots get into its meetings; empty where the server's version has no bot for it.
	Via Via `json:"via"`
	// Joinable says whether a job for one of its meetings is taken. It follows from what the server's settings and its machine have, not from the bots that run at
	// the moment.
	Joinable bool `json:"joinable"`
	// Experimental says that it may break with any change that the platform makes.
	Experimental bool `json:"experimental"`
	// Missing is what the operator has to install or set; empty where it can be joined.
	Missing []MissingRequirement `json:"missing"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// MissingRequirement is something that the bots of a server would need.
type MissingRequirement struct {
	// Code is a stable word for programs.
	Code string `json:"code"`
	// Message is what is missing and how an operator provides it, for people.
	Message string `json:"message"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// PlatformPage lists the platforms that a server recognises, all of them on one page.
type PlatformPage struct {
	// Data is what is on this page.
	Data []*PlatformAvailability
	// NextCursor is empty: there is no further page.
	NextCursor string
}

// Host is the machine of a server, and what the server does on it.
type Host struct {
	// Version is the server's version.
	Version string `json:"version"`
	// UptimeSeconds is for how long it has run.
	UptimeSeconds int64 `json:"uptimeSeconds"`
	// Draining says that it is stopping, and takes no more jobs.
	Draining bool `json:"draining"`
	// CPU is about the processors.
	CPU HostCPU `json:"cpu"`
	// Memory is about the memory: what the server's container may have, where it is in one.
	Memory HostMemory `json:"memory"`
	// Disk is the disk that holds the data folder.
	Disk HostDisk `json:"disk"`
	// Bots are the bots of this server.
	Bots HostBots `json:"bots"`
	// Jobs is how many jobs there are in each status, all consumers' together; those that were erased count among the ended ones.
	Jobs map[string]int64 `json:"jobs"`
	// WebhookBacklog is how many webhooks have neither arrived nor been given up.
	WebhookBacklog int64 `json:"webhookBacklog"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// HostCPU is about the processors of a server's machine.
type HostCPU struct {
	// Cores is how many there are.
	Cores int `json:"cores"`
	// UsedPercent is how busy all of them are together just now, from 0 to 100.
	UsedPercent float64 `json:"usedPercent"`
	// Load1 is the load average of one minute.
	Load1 float64 `json:"load1"`
	// Load5 is the load average of five minutes.
	Load5 float64 `json:"load5"`
	// Load15 is the load average of fifteen minutes.
	Load15 float64 `json:"load15"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// HostMemory is about the memory of a server's machine, in bytes.
type HostMemory struct {
	// TotalBytes is all of it.
	TotalBytes int64 `json:"totalBytes"`
	// UsedBytes is what all programs use.
	UsedBytes int64 `json:"usedBytes"`
	// ServerBytes is what the server uses of it, with its bots.
	ServerBytes int64 `json:"serverBytes"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// HostDisk is a disk, in bytes.
type HostDisk struct {
	// TotalBytes is all of it.
	TotalBytes int64 `json:"totalBytes"`
	// FreeBytes is what the server may still write.
	FreeBytes int64 `json:"freeBytes"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// HostBots are the bots of a server.
type HostBots struct {
	// Running is how many run.
	Running int64 `json:"running"`
	// Max is how many may: bots.max.
	Max int64 `json:"max"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// Delivery is one event on its way to one webhook endpoint.
type Delivery struct {
	// ID is its id, as the endpoint sees it in deliveryId and webhook-id.
	ID string `json:"id" wire:"required"`
	// JobID is the job's id.
	JobID string `json:"jobId"`
	// Event is what happened.
	Event EventName `json:"event"`
	// Sequence is the event's place among the job's events, from 1.
	Sequence int64 `json:"sequence"`
	// URL is the endpoint.
	URL string `json:"url"`
	// State is how far it has come.
	State DeliveryState `json:"state" wire:"required"`
	// NextTryAt is when it is tried next, at the earliest; zero when it is not, while it is on its way, and while it waits for an earlier one of its job.
	NextTryAt time.Time `json:"nextTryAt"`
	// CreatedAt is when the event happened.
	CreatedAt time.Time `json:"createdAt"`
	// Endpoint is how the endpoint is now.
	Endpoint Endpoint `json:"endpoint"`
	// Tries are all tries, oldest first.
	Tries []DeliveryTry `json:"tries"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// Endpoint is how the endpoint of a delivery is now. An endpoint is a URL without its query.
type Endpoint struct {
	// State is its state in a word.
	State EndpointState `json:"state"`
	// Failures is how many tries have failed since the last one that did not, over all deliveries.
	Failures int64 `json:"failures"`
	// FailingSince is since when they fail; zero when they do not.
	FailingSince time.Time `json:"failingSince"`
	// RestsUntil: nothing is sent there before; zero when it does not rest.
	RestsUntil time.Time `json:"restsUntil"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// DeliveryTry is one try of a delivery.
type DeliveryTry struct {
	// At is when it began.
	At time.Time `json:"at"`
	// DurationMs is how long it took until the answer's status was there, or until it was given up, in milliseconds.
	DurationMs int64 `json:"durationMs"`
	// Status is the HTTP status of the answer; 0 when there was none.
	Status int `json:"status" wire:"null"`
	// Error is what went wrong; empty when nothing did.
	Error string `json:"error"`
	// Answer is the first 4,096 bytes of the answer's body, as text.
	Answer string `json:"answer"`
	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}

// JobPage is one page of jobs, newest first.
type JobPage struct {
	// Data is what is on this page.
	Data []*Job
	// NextCursor is the Cursor of the next page; empty on the last.
	NextCursor string
}

// DeliveryPage is one page of deliveries, newest first.
type DeliveryPage struct {
	// Data is what is on this page.
	Data []*Delivery
	// NextCursor is the Cursor of the next page; empty on the last.
	NextCursor string
}
