/** What events say, in a timeline and in webhooks. */

import type { ManifestFile } from "./models.js";
import type { EventName, FailureCode, JobStatus, LeaveReason, Permission, Via } from "./words.js";

/** What each event says. */
export interface EventData {
  /** The event's name once more. */
  event: EventName;
  /** Counts a job's events up from 1; an endpoint that gets only some of them sees holes. 0 in a webhook that does not say it. */
  sequence: number;
  /** Empty in a timeline that does not repeat it. */
  jobId: string;
  externalId: string | null;
  /** The job's status after the event. */
  status: JobStatus | null;
  metadata: Record<string, unknown>;
}

/** Of `job.status_changed`. */
export interface StatusChanged extends EventData {
  previousStatus: JobStatus | null;
  statusDetail: string | null;
  leaveReason: LeaveReason | null;
  /** How the bot has got in; `null` in all but the change to `in_call`. */
  via: Via | null;
}

/** Of `job.finalized`: the recording is complete on disk. */
export interface Finalized extends EventData {
  manifestUri: string | null;
  leaveReason: LeaveReason | null;
  durationMs: number;
}

/** Of `job.failed`. `failure_code` and `failure_detail` are the older spelling of `failureCode` and `failureDetail`, `failure_reason` repeats the detail. */
export interface Failed extends EventData {
  failureCode: FailureCode | null;
  failureDetail: string | null;
  failure_code: FailureCode | null;
  failure_detail: string | null;
  failure_reason: string | null;
  manifestUri: string | null;
}

/** Of `job.artifact_ready`: a file that is made after the job's end is there. */
export interface ArtifactReady extends EventData {
  artifact: ManifestFile;
  manifestUri: string | null;
}

/** Of the three `bot.recording_permission_*`. */
export interface PermissionChanged extends EventData {
  permission: Permission | null;
}

/** Of `bot.chat_message`. */
export interface ChatWritten extends EventData {
  message: ChatMessage;
}

/** A message of the meeting's chat. */
export interface ChatMessage {
  id: string | null;
  senderId: string | null;
  sender: string | null;
  text: string | null;
  /** Whether only the bot was written to. */
  private: boolean;
  atMs: number;
}

/** Of `bot.chat_withheld`, which only the timeline has: nothing was to be recorded for a while, and that is over. */
export interface ChatWithheld extends EventData {
  messages: number;
  captions: number;
}

/** Of `bot.events_left_out`, which only the timeline has: too much happened in the meeting to report all of it. */
export interface EventsLeftOut extends EventData {
  messages: number;
  /** How often somebody joined, left or changed their name. */
  participantEvents: number;
}

/** Of `bot.participant_joined` and `bot.participant_left`. */
export interface ParticipantChanged extends EventData {
  participant: Participant;
}

/** Of `bot.participant_renamed`. */
export interface ParticipantRenamed extends EventData {
  /** Who, under their new name. */
  participant: Participant;
  /** The name before. */
  previousName: string | null;
}

/** Someone in the meeting. */
export interface Participant {
  id: string | null;
  name: string | null;
  isHost: boolean;
  isBot: boolean;
}

interface DataOf {
  "job.status_changed": StatusChanged;
  "job.finalized": Finalized;
  "job.failed": Failed;
  "job.artifact_ready": ArtifactReady;
  "bot.recording_permission_requested": PermissionChanged;
  "bot.recording_permission_granted": PermissionChanged;
  "bot.recording_permission_denied": PermissionChanged;
  "bot.chat_message": ChatWritten;
  "bot.chat_withheld": ChatWithheld;
  "bot.events_left_out": EventsLeftOut;
  "bot.participant_joined": ParticipantChanged;
  "bot.participant_renamed": ParticipantRenamed;
  "bot.participant_left": ParticipantChanged;
  /** Any event that this version does not know; at run time its real name stands in `event`. */
  "(unknown)": EventData & Record<string, unknown>;
}

interface TimelineEnvelope<Name extends keyof DataOf> {
  id: string | null;
  event: Name;
  emittedAt: string | null;
  data: DataOf[Name];
}

interface WebhookEnvelope<Name extends keyof DataOf> {
  /** The same over all tries of a delivery. */
  deliveryId: string | null;
  event: Name;
  emittedAt: string | null;
  /** Which try this is, from 1; 0 where it is not said. */
  attempt: number;
  /** The version of the envelope: 2; 0 where it is not said. */
  version: number;
  data: DataOf[Name];
}

/** One line of a job's timeline; `switch (event.event)` knows `event.data`, with `default:` for what this version does not know. */
export type TimelineEvent = { [Name in keyof DataOf]: TimelineEnvelope<Name> }[keyof DataOf];

/** A webhook event; `switch (event.event)` knows `event.data`, with `default:` for what this version does not know. */
export type WebhookEvent = { [Name in keyof DataOf]: WebhookEnvelope<Name> }[keyof DataOf];
