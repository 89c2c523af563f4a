/** The shapes of all answers. Each is a separate value, so that bundlers keep only the used ones. */

import type { KnownEventName } from "./words.js";

/**
 * The shape of an object: its fields with white space between them, and the shapes of those that hold objects.
 *
 * A field is its name and what it holds: `name` a text or none, `name!` a text that is required and not empty, `name@` a time or none, `name#` a whole number
 * or 0, `name~` a whole number or none, `name%` a number or 0, `name?` a flag, `name??` a flag or none, `name=` an object that is not looked into, `name[]` a list of texts,
 * `name{}` counts by name, `name:` an object, `name;` an object or none, `name*` a list of objects.
 */
export interface Shape {
  readonly fields: string;
  readonly inner?: Readonly<Record<string, Shape>>;
  /** Of an event: the field that its data is required to have. */
  readonly event?: "sequence" | "jobId";
}

const recording: Shape = { fields: "state permission startedAt@ pausedMs# bytes~ deletedAt@" };
const removed: Shape = { fields: "name bytes#" };
export const file: Shape = { fields: "name mediaType bytes~ sha256" };

export const job: Shape = {
  fields:
    "id! externalId meetingUrl platform displayName status! statusDetail recording: joinAt@ webhooks: metadata= autoLeave: recordVideo?? account attempt# leaveReason " +
    "failureCode failureDetail manifestUri createdAt@ updatedAt@ joinedAt@ endedAt@",
  inner: {
    recording,
    webhooks: { fields: "onStatusChange onFinalize" },
    autoLeave: { fields: "afterEntryDelaySeconds~ afterSilenceSeconds~ afterSoloSeconds~ afterMaxSeconds~ onBotDetected?" },
  },
};

export const controlResult: Shape = {
  fields: "jobId! commandId action state! status recording: requestedAt@ updatedAt@",
  inner: { recording },
};

export const manifest: Shape = {
  fields:
    "schemaVersion# jobId! externalId meetingUrl platform displayName complete? startedAt@ endedAt@ durationMs# leaveReason failureCode " +
    "participants* speaking* tracks* unavailable* files* mixed: captions chat pauses* attempts*",
  inner: {
    participants: { fields: "id name isBot? isHost? joinedAt# leftAt~ speakingMs# names[]" },
    speaking: { fields: "participantId startMs# endMs#" },
    tracks: {
      fields: "file participantId kind source codec container rotation# attributedBy startMs# durationMs# packets# lostPackets# bytes# sha256 gaps*",
      inner: { gaps: { fields: "startMs# endMs# reason" } },
    },
    unavailable: { fields: "participantId kind source codec startMs# missingBecause" },
    files: file,
    mixed: { fields: "state file missingBecause" },
    pauses: { fields: "startMs# endMs#" },
    attempts: { fields: "attempt# joinedMs~ endedMs~ outcome gapMs~ droppedDatagrams#" },
  },
};

export const deletionReceipt: Shape = { fields: "jobId deletedAt@ removed* alreadyGone[]", inner: { removed } };
export const erasureReceipt: Shape = { fields: "consumer erasedAt@ jobs# keys# removed*", inner: { removed } };

export const host: Shape = {
  fields: "version uptimeSeconds# draining? cpu: memory: disk: bots: jobs{} webhookBacklog#",
  inner: {
    cpu: { fields: "cores# usedPercent% load1% load5% load15%" },
    memory: { fields: "totalBytes# usedBytes# serverBytes#" },
    disk: { fields: "totalBytes# freeBytes#" },
    bots: { fields: "running# max#" },
  },
};

export const usage: Shape = { fields: "month minutes# maxMinutes~ bots# maxBots~ queuedJobs# maxQueuedJobs~" };

export const platform: Shape = { fields: "platform! via joinable? experimental? missing*", inner: { missing: { fields: "code message" } } };

export const delivery: Shape = {
  fields: "id! jobId event sequence# url state! nextTryAt@ createdAt@ endpoint: tries*",
  inner: {
    endpoint: { fields: "state failures# failingSince@ restsUntil@" },
    tries: { fields: "at@ durationMs# status~ error answer" },
  },
};

/** What all events hold. */
const data: Shape = { fields: "event sequence# jobId externalId status metadata=" };
export const timelineEvent: Shape = { fields: "id event! emittedAt@ data:", inner: { data }, event: "sequence" };
export const webhookEvent: Shape = { fields: "deliveryId event! emittedAt@ attempt# version# data:", inner: { data }, event: "jobId" };

/** A page of these. */
export function pageOf(element: Shape): Shape {
  return { fields: "data* nextCursor", inner: { data: element } };
}

const permission: Shape = { fields: "permission" };
export const person: Shape = { fields: "id name isHost? isBot?" };
const participant: Shape = { fields: "participant:", inner: { participant: person } };
export const message: Shape = { fields: "id senderId sender text private? atMs#" };

/** What the data of an event holds beside that. */
export const EVENTS: Readonly<Record<KnownEventName, Shape>> = {
  "job.status_changed": { fields: "previousStatus statusDetail leaveReason via" },
  "job.finalized": { fields: "manifestUri leaveReason durationMs#" },
  "job.failed": { fields: "failureCode failureDetail failure_code failure_detail failure_reason manifestUri" },
  "job.artifact_ready": { fields: "artifact: manifestUri", inner: { artifact: file } },
  "bot.recording_permission_requested": permission,
  "bot.recording_permission_granted": permission,
  "bot.recording_permission_denied": permission,
  "bot.chat_message": { fields: "message:", inner: { message } },
  "bot.chat_withheld": { fields: "messages# captions#" },
  "bot.events_left_out": { fields: "messages# participantEvents#" },
  "bot.participant_joined": participant,
  "bot.participant_renamed": { ...participant, fields: "participant: previousName" },
  "bot.participant_left": participant,
};
