/** What the API answers with. What an answer leaves out reads as `null`, 0, `false` or empty; fields that are not named here stay where they are. */

import type {
  ControlAction, ControlState, DeliveryState, EndpointState, EventName, FailureCode, JobStatus,
  LeaveReason, Permission, Platform, RecordingEventType, RecordingState, Via,
} from "./words.js";
import type { Participant } from "./event-models.js";

export type * from "./event-models.js";

/** A job: one bot's way to a meeting and back. Times are RFC 3339 in UTC, as sent. */
export interface Job {
  id: string;
  /** Your own id for it. */
  externalId: string | null;
  meetingUrl: string | null;
  platform: Platform | null;
  /** The name that the bot shows in the meeting. */
  displayName: string | null;
  status: JobStatus;
  /** A hint about what the status is busy with, such as `waiting_room`. */
  statusDetail: string | null;
  recording: Recording;
  /** When the bot is to join; `null` for at once. */
  joinAt: string | null;
  webhooks: Webhooks;
  /** Your own data, as it was given. Numbers beyond 2⁵³ lose digits, as everywhere in JavaScript. */
  metadata: Record<string, unknown>;
  autoLeave: AutoLeave;
  /** Whether cameras are recorded; `null` where the server's settings say it. */
  recordVideo: boolean | null;
  /** The operator's account as which the bot joins; `null` where it joins as a guest. */
  account: string | null;
  /** How many bots have been sent, from 1; 0 before the first. */
  attempt: number;
  leaveReason: LeaveReason | null;
  failureCode: FailureCode | null;
  /** The failure in a sentence. */
  failureDetail: string | null;
  /** Where the manifest is, when something was recorded. */
  manifestUri: string | null;
  createdAt: string | null;
  updatedAt: string | null;
  joinedAt: string | null;
  endedAt: string | null;
}

/** The recording of a job. */
export interface Recording {
  state: RecordingState | null;
  permission: Permission | null;
  startedAt: string | null;
  /** How long it was paused, in milliseconds. */
  pausedMs: number;
  /**
   * How many bytes all files of the recording have on the server's disk, the manifest included; `null` until the job has ended, while they are still to be
   * counted, and from a server that does not count them; 0 where nothing was recorded, or all of it is deleted.
   */
  bytes: number | null;
  /** When it was deleted. */
  deletedAt: string | null;
}

/** Where a job's events are sent. */
export interface Webhooks {
  onStatusChange: string | null;
  onFinalize: string | null;
}

/** When the bot leaves by itself, in seconds; `null`: that rule is off. */
export interface AutoLeave {
  afterEntryDelaySeconds: number | null;
  afterSilenceSeconds: number | null;
  afterSoloSeconds: number | null;
  afterMaxSeconds: number | null;
  onBotDetected: boolean;
}

/** What became of a control verb. */
export interface ControlResult {
  jobId: string;
  commandId: string | null;
  action: ControlAction | null;
  state: ControlState;
  /** The job's status. */
  status: JobStatus | null;
  recording: Recording;
  requestedAt: string | null;
  updatedAt: string | null;
}

/** The same, under the name that it had first. */
export type RequestRecordingPermissionResult = ControlResult;

/** What was recorded. All times in it are milliseconds from `startedAt`, unless they are texts. */
export interface Manifest {
  schemaVersion: number;
  jobId: string;
  externalId: string | null;
  meetingUrl: string | null;
  platform: Platform | null;
  displayName: string | null;
  /** Whether the recording goes to the meeting's end. */
  complete: boolean;
  startedAt: string | null;
  endedAt: string | null;
  durationMs: number;
  leaveReason: LeaveReason | null;
  failureCode: FailureCode | null;
  participants: ManifestParticipant[];
  /**
   * Who spoke when, by audio level, by start; the spans of one participant neither overlap nor touch. At most 20,000: beyond that, spans with the shortest
   * pauses between them are joined, and `events.jsonl` has each. Empty in manifests of servers that did not write it.
   */
  speaking: SpeakingSpan[];
  tracks: Track[];
  /** What people sent that could not be recorded. Empty in manifests of servers that did not write it. */
  unavailable: UnavailableTrack[];
  files: ManifestFile[];
  mixed: Mixed;
  /** The file of captions. */
  captions: string | null;
  /** The file of the chat. */
  chat: string | null;
  pauses: Span[];
  attempts: Attempt[];
}

/** Someone who was in the meeting. */
export interface ManifestParticipant {
  id: string | null;
  name: string | null;
  isBot: boolean;
  isHost: boolean;
  joinedAt: number;
  /** `null`: they were there at the end. */
  leftAt: number | null;
  speakingMs: number;
  /** Every name they had, oldest first. */
  names: string[];
}

/** The sound or the picture of one participant. */
export interface Track {
  file: string | null;
  participantId: string | null;
  /** `audio` or `video`. */
  kind: string | null;
  /** `microphone`, `camera` or `screen`. */
  source: string | null;
  /** `opus`, `vp8`, `vp9`, `h264` or `pcm_s16le`. */
  codec: string | null;
  /** `webm`, or `matroska` for H.264 and samples. */
  container: string | null;
  /** By how many degrees clockwise the pictures are to be turned for showing: 0, 90, 180 or 270. The file says so too, so players turn them. */
  rotation: number;
  /**
   * How it is known whose it is: `stream` (the meeting sends each participant's media separately), `source` (the packets name a source, and the meeting its
   * owner), `unnamed` (they name a source whose owner was not known when the file began), `mix` (several participants at once, in one file) or `played` (a page
   * played it, named its source, and encoded it again). All frames of a track are attributed in the same way. The set is open.
   */
  attributedBy: string | null;
  startMs: number;
  durationMs: number;
  packets: number;
  lostPackets: number;
  bytes: number;
  sha256: string | null;
  /** Where nothing was received. */
  gaps: Gap[];
}

/** A camera, a shared screen or a voice that was sent and is in no file. Its `codec` may be one that no track has, as in `av1`. */
export interface UnavailableTrack extends Pick<Track, "participantId" | "kind" | "source" | "codec" | "startMs"> {
  /** Why it is in no file, in a sentence. */
  missingBecause: string | null;
}

/** A time without media. */
export interface Gap extends Span {
  /** `packet_loss`, `muted`, `paused`, `absent`, `network_loss`. The set is open. */
  reason: string | null;
}

/** From when to when, in milliseconds. */
export interface Span {
  startMs: number;
  endMs: number;
}

/** A time in which somebody spoke; pauses of less than half a second are part of it. */
export interface SpeakingSpan extends Span {
  /** Who, by their `id` among the participants. */
  participantId: string | null;
}

/** A line of `captions.jsonl`: something that was said, in words. Times are milliseconds from the manifest's `startedAt`. */
export interface Caption extends Span {
  /** The meeting's id for who said it. */
  speakerId: string | null;
  /** Their name. */
  speaker: string | null;
  /** The words. */
  text: string | null;
}

/**
 * A line of `events.jsonl`. Which fields it has follows from its `type`; the others are `null`, and fields that are not known are there as they came. Times
 * are milliseconds from the manifest's `startedAt`.
 */
export interface RecordingEvent {
  type: RecordingEventType | null;
  /** When; a time from one moment to another has `startMs` and `endMs` in its place. */
  atMs: number | null;
  /** Which bot, from 1: of `started`, `track`, `datagrams_dropped`, `left` and `handed_over`. */
  attempt: number | null;
  /** The time 0 of the whole recording: of `started`. */
  startedAt: string | null;
  /** Who: of `participant_joined` and `participant_changed`. */
  participant: Participant | null;
  /** Who: of `participant_left` and `speaking`. */
  id: string | null;
  /** Which media file: of `track`, `track_start` and `gap`. */
  file: string | null;
  /** Who sent it: of `track` and `track_unavailable`. */
  participantId: string | null;
  /** `audio` or `video`: of `track` and `track_unavailable`. */
  kind: string | null;
  /** `microphone`, `camera` or `screen`: of `track` and `track_unavailable`. */
  source: string | null;
  /** `opus`, `vp8`, `vp9`, `h264` or `pcm_s16le`, others where it is unavailable: of `track` and `track_unavailable`. */
  codec: string | null;
  /** By how many degrees clockwise its pictures are to be turned: of `track`. */
  rotation: number | null;
  /** How it is known whose it is, as in the manifest: of `track`. */
  attributedBy: string | null;
  /** From: of `gap` and `speaking`. */
  startMs: number | null;
  /** To: of `gap` and `speaking`. */
  endMs: number | null;
  /** Why: of `track_unavailable`, `gap` and `left`, as in the manifest. */
  reason: string | null;
  /** Packets that were sent but never came: of `gap`. Datagrams for which the bot's socket had no room: of `datagrams_dropped`. */
  lost: number | null;
}

/** One bot's time on the job. */
export interface Attempt {
  attempt: number;
  joinedMs: number | null;
  endedMs: number | null;
  /** `left`, `handed_over` (a server that was stopped gave the job to the next one's bot), `lost` (the process died) or `never_joined`. */
  outcome: string | null;
  gapMs: number | null;
  /** How many datagrams reached the machine in its time and were dropped, because the bot's socket was full: the bot read too late. Most of them are among the tracks' `lostPackets`. */
  droppedDatagrams: number;
}

/** A recorded file. */
export interface ManifestFile {
  name: string | null;
  mediaType: string | null;
  /** Its size; `null` where it is not said. */
  bytes: number | null;
  /** Its SHA-256, in hex. */
  sha256: string | null;
}

/** The mix of all speakers. */
export interface Mixed {
  /** `pending`, `made` or `unavailable`. The set is open. */
  state: string | null;
  /** Its file's name, once it is made. */
  file: string | null;
  /** Why there is none. */
  missingBecause: string | null;
}

/** What a deletion removed. */
export interface DeletionReceipt {
  jobId: string | null;
  deletedAt: string | null;
  removed: RemovedObject[];
  /** Objects that were gone before. */
  alreadyGone: string[];
}

/** What an erasure removed. */
export interface ErasureReceipt {
  consumer: string | null;
  erasedAt: string | null;
  jobs: number;
  keys: number;
  removed: RemovedObject[];
}

/** A stored object that was removed. */
export interface RemovedObject {
  name: string | null;
  bytes: number;
}

/** The machine of a server, and what the server does on it. */
export interface Host {
  version: string | null;
  uptimeSeconds: number;
  /** Whether it is stopping: it takes no more jobs then. */
  draining: boolean;
  cpu: HostCpu;
  memory: HostMemory;
  disk: HostDisk;
  bots: HostBots;
  /** How many jobs there are in each status, all consumers' together. */
  jobs: Record<string, number>;
  /** Webhooks that have neither arrived nor been given up. */
  webhookBacklog: number;
}

/** The processors of a server's machine. */
export interface HostCpu {
  cores: number;
  /** From 0 to 100. */
  usedPercent: number;
  load1: number;
  load5: number;
  load15: number;
}

/** The memory of a server's machine. */
export interface HostMemory {
  totalBytes: number;
  usedBytes: number;
  /** What the server uses of it, with its bots. */
  serverBytes: number;
}

/** The disk that holds a server's data. */
export interface HostDisk {
  totalBytes: number;
  freeBytes: number;
}

/** The bots of a server. */
export interface HostBots {
  running: number;
  max: number;
}

/** What a key's consumer has used this month, in the key's world (live or test). */
export interface Usage {
  /** The month in UTC, as in `2026-11`. */
  month: string | null;
  minutes: number;
  /** `null`: no limit. */
  maxMinutes: number | null;
  bots: number;
  /** `null`: no limit. */
  maxBots: number | null;
  /** Jobs that have had no bot yet, whenever their time is. */
  queuedJobs: number;
  /** How many there may be before new jobs are refused with `quota_exceeded`; `null`: no limit. */
  maxQueuedJobs: number | null;
}

/** One way into a platform's meetings. A platform may have several. */
export interface PlatformAvailability {
  platform: Platform;
  /** How bots get into its meetings; `null` where the server's version has no bot for it. */
  via: Via | null;
  /** Whether a job for one of its meetings is taken. It follows from what the server's settings and its machine have, not from the bots that run at the moment. */
  joinable: boolean;
  /** Whether it may break with any change that the platform makes. */
  experimental: boolean;
  /** What the operator has to install or set; empty where it can be joined. */
  missing: MissingRequirement[];
}

/** Something that the bots of a server would need. */
export interface MissingRequirement {
  /** A stable word for programs. */
  code: string | null;
  /** What is missing and how an operator provides it, for people. */
  message: string | null;
}

/** One event on its way to one webhook endpoint. */
export interface Delivery {
  /** As the endpoint sees it in `deliveryId` and `webhook-id`. */
  id: string;
  jobId: string | null;
  event: EventName | null;
  sequence: number;
  url: string | null;
  state: DeliveryState;
  nextTryAt: string | null;
  createdAt: string | null;
  endpoint: Endpoint;
  /** Oldest first. */
  tries: DeliveryTry[];
}

/** How the endpoint of a delivery is now. */
export interface Endpoint {
  state: EndpointState | null;
  /** Tries that have failed since the last one that did not. */
  failures: number;
  failingSince: string | null;
  restsUntil: string | null;
}

/** One try of a delivery. */
export interface DeliveryTry {
  at: string | null;
  durationMs: number;
  /** The HTTP status of the answer; `null` when there was none. */
  status: number | null;
  error: string | null;
  /** The first 4,096 bytes of the answer's body, as text. */
  answer: string | null;
}

/** One thing that is wrong with a request. */
export interface Issue {
  /** Where: the names that lead to the field. */
  path: string[];
  code: string;
  message: string;
}
