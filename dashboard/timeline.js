// A job's life as lanes on one time axis. Pure: from what the API answered to what is drawn.

/** @import { Caption, ChatMessage, Delivery, Job, Manifest, TimelineEvent } from "../sdks/typescript/src/models.js" */
/** @import { Loudness } from "./levels.js" */

import { loudest, UNKNOWN } from "./levels.js";

/** @typedef {"calm" | "busy" | "good" | "bad" | "voice" | "speech" | "gap" | "pause"} Tone */
/** @typedef {{from: number, to: number, tone: Tone, text: string, thin?: boolean}} Bar */
/** @typedef {{at: number, tone: Tone, text: string}} Mark */
/** @typedef {{id: string, name: string, note: string, hue: number, bars: Bar[], marks: Mark[], levels?: Loudness[]}} Lane */
/** @typedef {{from: number, to: number, lanes: Lane[]}} Timeline */
/** @typedef {{at: number, who: string, text: string, kind: "said" | "chat" | "status" | "people"}} Line */

/**
 * @typedef {object} Known The data of a job from the API.
 * @property {Job} job
 * @property {TimelineEvent[]} events
 * @property {Delivery[]} deliveries
 * @property {Manifest | null} manifest
 * @property {Caption[]} captions
 * @property {ChatMessage[]} chat
 * @property {Loudness[]} levels
 */

const FINAL = ["completed", "failed", "cancelled"];

/** The moment that is 0 on the axis: that of the recording, where there is one. @param {Known} known */
export function zero({ job, manifest }) {
  return Date.parse(manifest?.startedAt ?? job.recording.startedAt ?? job.createdAt ?? "") || 0;
}

/** @param {string} status @returns {Tone} */
function toneOf(status) {
  if (status === "recording" || status === "completed") return "good";
  if (status === "failed") return "bad";
  return status === "in_call" || status === "cancelled" ? "calm" : "busy";
}

/** A hue for each of so many people, far apart for neighbours. @param {number} index */
export function hue(index) {
  return Math.round((215 + index * 137.508) % 360);
}

const words = (/** @type {string | null | undefined} */ word) => (word ?? "").replaceAll("_", " ");

/** @param {Known} known @param {number} now @returns {Timeline} */
export function timeline(known, now) {
  const { job, manifest, deliveries } = known;
  const start = zero(known);
  const at = (/** @type {string | null | undefined} */ moment) => Date.parse(moment ?? "") - start;
  const isFinal = FINAL.includes(job.status);
  const end = isFinal ? at(job.endedAt ?? job.updatedAt) : now - start;
  // A job that waits for tomorrow begins to be of interest when its time comes.
  const begins = Math.max(at(job.createdAt), Math.min(0, job.joinAt ? at(job.joinAt) : -Infinity) - 5000);
  const from = Math.min(0, begins);
  const to = Math.max(end, manifest?.durationMs ?? 0, from + 1000);
  const lanes = [statuses(known, at, from, to), ...people(known, at, to), ...writing(known, at), ...webhooks(deliveries, at, from, to)];
  return { from, to, lanes };
}

/** @param {Known} known @param {(moment: string | null | undefined) => number} at @param {number} from @param {number} to @returns {Lane} */
function statuses({ job, events, manifest }, at, from, to) {
  /** @type {Bar[]} */
  const bars = [];
  /** @type {Mark[]} */
  const marks = [];
  let [begun, status, detail] = [from, "queued", /** @type {string | null} */ (null)];
  const push = (/** @type {number} */ until) => {
    const name = words(status) + (detail ? ` · ${words(detail)}` : "");
    if (until > begun && !FINAL.includes(status)) bars.push({ from: Math.max(begun, from), to: until, tone: detail === "paused" ? "pause" : toneOf(status), text: name });
  };
  for (const event of events) {
    const moment = at(event.emittedAt);
    if (event.event === "job.status_changed") {
      const data = event.data;
      push(moment);
      [begun, status, detail] = [moment, data.status ?? status, data.statusDetail];
      if (FINAL.includes(status)) marks.push({ at: moment, tone: toneOf(status), text: words(status) });
    } else if (event.event.startsWith("bot.recording_permission_")) {
      const word = event.event.slice("bot.recording_permission_".length);
      marks.push({ at: moment, tone: word === "denied" ? "bad" : word === "granted" ? "good" : "busy", text: `permission ${word}` });
    } else if (event.event === "job.failed") {
      marks.push({ at: moment, tone: "bad", text: words(job.failureCode) });
    } else if (event.event === "job.artifact_ready") {
      marks.push({ at: moment, tone: "good", text: `${event.data.artifact.name} is made` });
    }
  }
  push(to);
  for (const pause of manifest?.pauses ?? []) bars.push({ from: pause.startMs, to: pause.endMs, tone: "pause", text: "paused" });
  for (const attempt of manifest?.attempts ?? []) {
    if (attempt.attempt > 1 && attempt.joinedMs !== null) marks.push({ at: attempt.joinedMs, tone: "busy", text: `bot ${attempt.attempt} takes over` });
  }
  return { id: "status", name: "Status", note: "", hue: 0, bars, marks };
}

/** @param {Known} known @param {(moment: string | null | undefined) => number} at @param {number} to @returns {Lane[]} */
function people(known, at, to) {
  const { manifest, levels } = known;
  return manifest ? recorded(manifest, levels) : present(known, at, to);
}

/** Those that the manifest has, who spoke when and how loud, and where nothing of them was received. @param {Manifest} manifest @param {Loudness[]} all @returns {Lane[]} */
function recorded(manifest, all) {
  const total = manifest.durationMs;
  return manifest.participants.map((person, index) => {
    const id = person.id ?? "";
    const name = person.name ?? "somebody";
    /** @type {Bar[]} */
    const bars = [{ from: person.joinedAt, to: person.leftAt ?? total, tone: "calm", text: `${name} is there`, thin: true }];
    const levels = all.filter(({ who }) => who === id);
    for (const span of manifest.speaking) {
      if (span.participantId !== id) continue;
      // How loud it was is drawn on top of it, where that is known.
      const tone = loudest(levels, span.startMs, span.endMs) < UNKNOWN ? "speech" : "voice";
      bars.push({ from: span.startMs, to: span.endMs, tone, text: `${name} speaks` });
    }
    for (const track of manifest.tracks) {
      if (track.participantId !== id) continue;
      for (const gap of track.gaps) {
        if (gap.reason !== "muted") bars.push({ from: gap.startMs, to: gap.endMs, tone: gap.reason === "paused" ? "pause" : "gap", text: `nothing recorded: ${words(gap.reason)}` });
      }
    }
    const note = [person.isHost && "host", person.isBot && "bot"].filter(Boolean).join(", ");
    return { id, name, note, hue: hue(index), bars, levels, marks: person.names.length > 1 ? [{ at: person.joinedAt, tone: /** @type {Tone} */ ("calm"), text: `was called ${person.names.join(", then ")}` }] : [] };
  });
}

/** Those who are in the meeting, as its events tell. @param {Known} known @param {(moment: string | null | undefined) => number} at @param {number} to @returns {Lane[]} */
function present({ events, job }, at, to) {
  /** @type {Map<string, Lane & {since: number | null}>} */
  const lanes = new Map();
  const leave = (/** @type {Lane & {since: number | null}} */ lane, /** @type {number} */ moment) => {
    if (lane.since !== null) lane.bars.push({ from: lane.since, to: moment, tone: "calm", text: `${lane.name} is there`, thin: true });
    lane.since = null;
  };
  for (const event of events) {
    if (event.event !== "bot.participant_joined" && event.event !== "bot.participant_left" && event.event !== "bot.participant_renamed") continue;
    const { id, name, isHost, isBot } = event.data.participant;
    const moment = at(event.emittedAt);
    let lane = lanes.get(id ?? "");
    if (!lane) {
      lane = { id: id ?? "", name: name ?? "somebody", note: "", hue: hue(lanes.size), bars: [], marks: [], since: null };
      lanes.set(lane.id, lane);
    }
    lane.name = name ?? lane.name;
    lane.note = [isHost && "host", isBot && "bot"].filter(Boolean).join(", ");
    if (event.event === "bot.participant_joined") lane.since ??= moment;
    else if (event.event === "bot.participant_left") leave(lane, moment);
    else lane.marks.push({ at: moment, tone: "calm", text: `renamed, from ${event.data.previousName}` });
  }
  for (const lane of lanes.values()) leave(lane, FINAL.includes(job.status) ? at(job.endedAt) : to);
  return [...lanes.values()];
}

/** Chat and captions. @param {Known} known @param {(moment: string | null | undefined) => number} at @returns {Lane[]} */
function writing(known, at) {
  /** @type {Lane[]} */
  const lanes = [];
  const chat = chatOf(known, at);
  if (chat.length > 0) lanes.push({ id: "chat", name: "Chat", note: "", hue: 0, bars: [], marks: chat.map((line) => ({ at: line.at, tone: /** @type {Tone} */ ("busy"), text: `${line.who}: ${line.text}` })) });
  if (known.captions.length > 0) {
    const bars = known.captions.map((line) => ({ from: line.startMs, to: Math.max(line.endMs, line.startMs + 100), tone: /** @type {Tone} */ ("calm"), text: `${line.speaker ?? ""}: ${line.text ?? ""}` }));
    lanes.push({ id: "captions", name: "Captions", note: "", hue: 0, bars, marks: [] });
  }
  return lanes;
}

/** @param {Known} known @param {(moment: string | null | undefined) => number} at @returns {Line[]} */
function chatOf({ chat, events, manifest }, at) {
  if (manifest) return chat.map((line) => ({ at: line.atMs, who: line.sender ?? "somebody", text: line.text ?? "", kind: "chat" }));
  const lines = events.flatMap((event) => (event.event === "bot.chat_message" ? [{ at: at(event.emittedAt), message: event.data.message }] : []));
  return lines.map(({ at, message }) => ({ at, who: message.sender ?? "somebody", text: message.text ?? "", kind: "chat" }));
}

/** A lane for the tries at all endpoints, where there are any. @param {Delivery[]} deliveries @param {(moment: string | null | undefined) => number} at @param {number} from @param {number} to @returns {Lane[]} */
function webhooks(deliveries, at, from, to) {
  if (deliveries.length === 0) return [];
  const marks = deliveries.flatMap((delivery) =>
    delivery.tries.map((attempt) => ({
      // Tries after the end of the job stand at its end.
      at: Math.min(Math.max(at(attempt.at), from), to),
      tone: /** @type {Tone} */ (attempt.status !== null && attempt.status >= 200 && attempt.status < 300 ? "good" : "bad"),
      text: `${delivery.event} to ${delivery.url}: ${attempt.status ?? attempt.error ?? "no answer"}`,
    })),
  );
  return [{ id: "webhooks", name: "Webhooks", note: "", hue: 0, bars: [], marks }];
}

/** Captions, chat and events in their order. @param {Known} known @returns {Line[]} */
export function transcript(known) {
  const start = zero(known);
  const at = (/** @type {string | null | undefined} */ moment) => Date.parse(moment ?? "") - start;
  /** @type {Line[]} */
  const lines = [
    ...known.captions.map((line) => ({ at: line.startMs, who: line.speaker ?? "somebody", text: line.text ?? "", kind: /** @type {const} */ ("said") })),
    ...chatOf(known, at),
  ];
  for (const event of known.events) {
    const moment = at(event.emittedAt);
    if (event.event === "job.status_changed") {
      const { status, statusDetail, leaveReason } = event.data;
      const detail = leaveReason ?? statusDetail;
      lines.push({ at: moment, who: "", text: words(status) + (detail ? ` · ${words(detail)}` : ""), kind: "status" });
    } else if (event.event === "bot.participant_joined" || event.event === "bot.participant_left") {
      lines.push({ at: moment, who: "", text: `${event.data.participant.name ?? "somebody"} ${event.event === "bot.participant_joined" ? "joined" : "left"}`, kind: "people" });
    } else if (event.event === "bot.participant_renamed") {
      lines.push({ at: moment, who: "", text: `${event.data.previousName} is now ${event.data.participant.name}`, kind: "people" });
    } else if (event.event.startsWith("bot.recording_permission_")) {
      lines.push({ at: moment, who: "", text: `permission to record ${words(event.event.slice(25))}`, kind: "status" });
    } else if (event.event === "job.failed") {
      lines.push({ at: moment, who: "", text: `failed · ${words(event.data.failureCode ?? event.data.failure_code)}`, kind: "status" });
    } else if (event.event === "bot.chat_withheld") {
      lines.push({ at: moment, who: "", text: `${event.data.messages} messages and ${event.data.captions} captions were not recorded`, kind: "status" });
    }
  }
  return lines.sort((a, b) => a.at - b.at);
}
