package meetbot

// JobStatus is where a job stands. A word that this version does not know passes through as it came, and is not final.
type JobStatus string

// The statuses of a job; the last three are final.
const (
	StatusQueued     JobStatus = "queued"
	StatusJoining    JobStatus = "joining"
	StatusInCall     JobStatus = "in_call"
	StatusRecording  JobStatus = "recording"
	StatusFinalizing JobStatus = "finalizing"
	StatusCompleted  JobStatus = "completed"
	StatusFailed     JobStatus = "failed"
	StatusCancelled  JobStatus = "cancelled"
)

// IsFinal says whether nothing can happen to the job any more.
func (s JobStatus) IsFinal() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCancelled
}

// Platform is a meeting's product. The set is open.
type Platform string

// The platforms whose links the server recognises.
const (
	PlatformGoogleMeet Platform = "google-meet"
	PlatformTeams      Platform = "teams"
	PlatformZoomWeb    Platform = "zoom-web"
	PlatformJitsi      Platform = "jitsi"
	PlatformLiveKit    Platform = "livekit"
	PlatformGalene     Platform = "galene"
	PlatformJanus      Platform = "janus"
	PlatformSandbox    Platform = "sandbox"
)

// Via is how bots get into a platform's meetings. The set is open.
type Via string

// The ways that this version knows.
const (
	// ViaNative: they speak the platform's own protocol.
	ViaNative Via = "native"
	// ViaBrowser: they open the platform's web page.
	ViaBrowser Via = "browser"
	// ViaRTMS: the platform streams the meeting to them; no bot is in the room.
	ViaRTMS Via = "rtms"
	// ViaSandbox: the server plays the meeting itself.
	ViaSandbox Via = "sandbox"
)

// FailureCode is why a job failed. The set is open.
type FailureCode string

// The failure codes that this version knows; docs/failure-codes.md says what to do about each.
const (
	FailureWaitingForHost       FailureCode = "waiting_for_host"
	FailureMeetingNotFound      FailureCode = "meeting_not_found"
	FailureHostDeniedAdmission  FailureCode = "host_denied_admission"
	FailureRemovedFromMeeting   FailureCode = "removed_from_meeting"
	FailureMeetingEnded         FailureCode = "meeting_ended"
	FailureInternalError        FailureCode = "internal_error"
	FailureDispatchTimeout      FailureCode = "dispatch_timeout"
	FailureNetworkLoss          FailureCode = "network_loss"
	FailureRecordingDisabled    FailureCode = "recording_disabled"
	FailureLobbyTimeout         FailureCode = "lobby_timeout"
	FailureAuthFailure          FailureCode = "auth_failure"
	FailureQuotaExceeded        FailureCode = "quota_exceeded"
	FailureBotBlocked           FailureCode = "bot_blocked"
	FailureRegistrationRequired FailureCode = "registration_required"
	FailureMeetingFull          FailureCode = "meeting_full"
)

// LeaveReason is why the bot left the meeting. The set is open.
type LeaveReason string

// The reasons that this version knows.
const (
	LeaveMeetingEnded LeaveReason = "meeting_ended"
	LeaveRemoved      LeaveReason = "removed"
	LeaveSilence      LeaveReason = "silence"
	LeaveSolo         LeaveReason = "solo"
	LeaveMaxDuration  LeaveReason = "max_duration"
	LeaveBotDetected  LeaveReason = "bot_detected"
	LeaveRequested    LeaveReason = "requested"
	LeaveCancelled    LeaveReason = "cancelled"
	LeaveNotAdmitted  LeaveReason = "not_admitted"
)

// RecordingState is whether the bot records. The set is open.
type RecordingState string

// The states of a recording.
const (
	RecordingOff                RecordingState = "off"
	RecordingAwaitingPermission RecordingState = "awaiting_permission"
	RecordingOn                 RecordingState = "on"
	RecordingPaused             RecordingState = "paused"
	RecordingStopped            RecordingState = "stopped"
)

// Permission is whether the meeting allows the recording. The set is open.
type Permission string

// The states of the permission to record.
const (
	PermissionNotRequired Permission = "not_required"
	PermissionPending     Permission = "pending"
	PermissionGranted     Permission = "granted"
	PermissionDenied      Permission = "denied"
)

// ControlAction is what a bot is asked to do. The set is open.
type ControlAction string

// What a bot can be asked to do.
const (
	ActionRequestRecordingPermission ControlAction = "request_recording_permission"
	ActionPauseRecording             ControlAction = "pause_recording"
	ActionResumeRecording            ControlAction = "resume_recording"
	ActionStopRecording              ControlAction = "stop_recording"
	ActionLeaveCall                  ControlAction = "leave_call"
	ActionSendChatMessage            ControlAction = "send_chat_message"
	ActionCancel                     ControlAction = "cancel"
)

// ControlState is how far a bot has come with what it was asked to do. The set is open.
type ControlState string

// How far a bot has come; ControlPending where it had not answered within 5 seconds.
const (
	ControlDone    ControlState = "done"
	ControlPending ControlState = "pending"
	ControlDenied  ControlState = "denied"
	ControlExpired ControlState = "expired"
)

// MixState is whether the mix of all speakers is made. The set is open.
type MixState string

// The states of a mix.
const (
	MixPending     MixState = "pending"
	MixMade        MixState = "made"
	MixUnavailable MixState = "unavailable"
)

// DeliveryState is how far a webhook delivery has come. The set is open.
type DeliveryState string

// The states of a delivery; a dead one is kept, and can be sent again.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryDead      DeliveryState = "dead"
)

// EndpointState is how a webhook endpoint answers. The set is open.
type EndpointState string

// The states of an endpoint; one that is down rests, and is probed with one try at a time.
const (
	EndpointUp      EndpointState = "up"
	EndpointFailing EndpointState = "failing"
	EndpointDown    EndpointState = "down"
)

// EventName is the name of an event. The set is open.
type EventName string

// The events that this version knows. EventChatWithheld and EventEventsLeftOut are in the timeline only, and no webhooks.
const (
	EventStatusChanged       EventName = "job.status_changed"
	EventFinalized           EventName = "job.finalized"
	EventFailed              EventName = "job.failed"
	EventArtifactReady       EventName = "job.artifact_ready"
	EventPermissionRequested EventName = "bot.recording_permission_requested"
	EventPermissionGranted   EventName = "bot.recording_permission_granted"
	EventPermissionDenied    EventName = "bot.recording_permission_denied"
	EventChatMessage         EventName = "bot.chat_message"
	EventChatWithheld        EventName = "bot.chat_withheld"
	EventEventsLeftOut       EventName = "bot.events_left_out"
	EventParticipantJoined   EventName = "bot.participant_joined"
	EventParticipantRenamed  EventName = "bot.participant_renamed"
	EventParticipantLeft     EventName = "bot.participant_left"
)
