/** The words of the API. Each set is open: a word that this version does not know passes through. */

/** Known words complete in an editor; any other text compiles too. */
export type Open<T extends string> = T | (string & {});

/** Where a job stands. `completed`, `failed` and `cancelled` are final. */
export type JobStatus = Open<
  "queued" | "joining" | "in_call" | "recording" | "finalizing" | "completed" | "failed" | "cancelled"
>;

/** The product that holds the meeting. */
export type Platform = Open<
  "google-meet" | "teams" | "zoom-web" | "jitsi" | "livekit" | "galene" | "janus" | "sandbox"
>;

/**
 * How bots get into a platform's meetings: they speak its own protocol (`native`), open its web page (`browser`), are sent the meeting's streams by the platform (`rtms`), or the
 * server plays the meeting itself (`sandbox`).
 */
export type Via = Open<"native" | "browser" | "rtms" | "sandbox">;

/** Why a job failed; docs/failure-codes.md says what each means and what to do. */
export type FailureCode = Open<
  | "waiting_for_host"
  | "meeting_not_found"
  | "host_denied_admission"
  | "removed_from_meeting"
  | "meeting_ended"
  | "internal_error"
  | "dispatch_timeout"
  | "network_loss"
  | "recording_disabled"
  | "lobby_timeout"
  | "auth_failure"
  | "quota_exceeded"
  | "bot_blocked"
  | "registration_required"
  | "meeting_full"
>;

/** Why the bot left the meeting. */
export type LeaveReason = Open<
  | "meeting_ended"
  | "removed"
  | "silence"
  | "solo"
  | "max_duration"
  | "bot_detected"
  | "requested"
  | "cancelled"
  | "not_admitted"
>;

/** Whether the bot records. */
export type RecordingState = Open<"off" | "awaiting_permission" | "on" | "paused" | "stopped">;

/** Whether the meeting allows the recording. */
export type Permission = Open<"not_required" | "pending" | "granted" | "denied">;

/** What a control verb asked for. */
export type ControlAction = Open<
  | "request_recording_permission"
  | "pause_recording"
  | "resume_recording"
  | "stop_recording"
  | "leave_call"
  | "send_chat_message"
  | "cancel"
>;

/** What became of a control verb; `pending` while the bot has not answered. */
export type ControlState = Open<"done" | "pending" | "denied" | "expired">;

/** What a line of `events.jsonl` is about. */
export type RecordingEventType = Open<
  | "started"
  | "participant_joined"
  | "participant_changed"
  | "participant_left"
  | "track"
  | "track_start"
  | "track_unavailable"
  | "gap"
  | "speaking"
  | "paused"
  | "resumed"
  | "stopped"
  | "connection_lost"
  | "left"
  | "datagrams_dropped"
  | "handed_over"
>;

/** How far a webhook delivery has come. `dead`: it was given up, and can be sent again. */
export type DeliveryState = Open<"pending" | "delivered" | "dead">;

/** How a webhook endpoint answers. */
export type EndpointState = Open<"up" | "failing" | "down">;

/** The names of the events that this version knows. */
export type KnownEventName =
  | "job.status_changed"
  | "job.finalized"
  | "job.failed"
  | "job.artifact_ready"
  | "bot.recording_permission_requested"
  | "bot.recording_permission_granted"
  | "bot.recording_permission_denied"
  | "bot.chat_message"
  | "bot.chat_withheld"
  | "bot.events_left_out"
  | "bot.participant_joined"
  | "bot.participant_renamed"
  | "bot.participant_left";

/** The name of an event. */
export type EventName = Open<KnownEventName>;

/** Whether a job in this status has ended. A status that this version does not know has not. */
export function isFinal(status: JobStatus | null | undefined): boolean {
  return status === "completed" || status === "failed" || status === "cancelled";
}
