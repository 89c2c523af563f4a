// Lanes for data of the API.

import assert from "node:assert/strict";
import { test } from "node:test";

import { clock, length, size } from "../format.js";
import { timeline, transcript } from "../timeline.js";

const START = Date.parse("2026-11-29T10:00:00.000Z");
const iso = (/** @type {number} */ ms) => new Date(START + ms).toISOString();

/** @returns {any} */
function known() {
  const changed = (/** @type {number} */ sequence, /** @type {number} */ ms, /** @type {string} */ status, statusDetail = null) => ({
    event: "job.status_changed", emittedAt: iso(ms), data: { event: "job.status_changed", sequence, status, statusDetail, previousStatus: null, leaveReason: null },
  });
  const person = (/** @type {number} */ sequence, /** @type {number} */ ms, /** @type {string} */ event, /** @type {string} */ name) => ({
    event, emittedAt: iso(ms), data: { event, sequence, participant: { id: name, name, isHost: false, isBot: false } },
  });
  return {
    job: { id: "job_1", status: "recording", statusDetail: null, createdAt: iso(-500), joinAt: null, endedAt: null, updatedAt: iso(0), failureCode: null, recording: { startedAt: iso(0) } },
    events: [changed(1, -400, "joining"), changed(2, -100, "in_call"), changed(3, 0, "recording"), person(4, 1000, "bot.participant_joined", "Alice"), person(5, 3000, "bot.participant_left", "Alice"), person(6, 4000, "bot.participant_joined", "Alice")],
    deliveries: [], manifest: null, captions: [], chat: [], levels: [],
  };
}

test("a job that runs has lanes up to now", () => {
  const { from, to, lanes } = timeline(known(), START + 5000);
  assert.deepEqual([from, to], [-500, 5000]);
  const [status, alice] = lanes;
  assert.deepEqual(status?.bars.map(({ from, to, text }) => [from, to, text]), [[-500, -400, "queued"], [-400, -100, "joining"], [-100, 0, "in call"], [0, 5000, "recording"]]);
  assert.deepEqual(alice?.bars.map(({ from, to }) => [from, to]), [[1000, 3000], [4000, 5000]]);
});

test("a recording shows who spoke, what is missing and each try of a webhook", () => {
  const all = known();
  all.job = { ...all.job, status: "completed", endedAt: iso(10_000) };
  all.manifest = {
    startedAt: iso(0), durationMs: 9900, pauses: [{ startMs: 5000, endMs: 6000 }], attempts: [],
    participants: [{ id: "Alice", name: "Alice", isHost: true, isBot: false, joinedAt: 0, leftAt: null, names: ["Alice"] }],
    speaking: [{ participantId: "Alice", startMs: 100, endMs: 900 }, { participantId: "Bob", startMs: 100, endMs: 900 }],
    tracks: [{ participantId: "Alice", kind: "audio", gaps: [{ startMs: 5000, endMs: 6000, reason: "paused" }, { startMs: 7000, endMs: 7100, reason: "packet_loss" }, { startMs: 1, endMs: 2, reason: "muted" }] }],
  };
  all.captions = [{ startMs: 100, endMs: 900, speaker: "Alice", text: "Hello." }];
  all.deliveries = [{ event: "job.finalized", url: "http://x", tries: [{ at: iso(10_050), status: 500, error: null }, { at: iso(99_000), status: 200, error: null }] }];
  const { to, lanes } = timeline(all, START + 99_999);
  assert.equal(to, 10_000);
  assert.deepEqual(lanes.map(({ name }) => name), ["Status", "Alice", "Captions", "Webhooks"]);
  assert.deepEqual(lanes[1]?.bars.map(({ from, to, tone }) => [from, to, tone]), [[0, 9900, "calm"], [100, 900, "voice"], [5000, 6000, "pause"], [7000, 7100, "gap"]]);
  assert.deepEqual(lanes[3]?.marks.map(({ at, tone }) => [at, tone]), [[10_000, "bad"], [10_000, "good"]], "tries after the end stand there");
  assert.ok(transcript(all).some(({ kind, who, text }) => kind === "said" && who === "Alice" && text === "Hello."));
});

test("a job for next week begins when its time comes", () => {
  const all = known();
  const week = 7 * 86_400_000;
  Object.assign(all, { events: [] });
  Object.assign(all.job, { status: "queued", createdAt: iso(0), joinAt: iso(week), recording: { startedAt: null } });
  const { from, to } = timeline(all, START + 60_000);
  assert.ok(to - from < 120_000, `${from} ${to}`);
});

test("lengths and sizes are printed in common units", () => {
  assert.deepEqual([0, 999, 61_000, 3_661_000, -5000, -200].map(clock), ["0:00", "0:00", "1:01", "1:01:01", "−0:05", "0:00"]);
  assert.deepEqual([5, 61_000, 7_200_000].map(length), ["5 ms", "1 min 1 s", "2 h"]);
  assert.deepEqual([0, 999, 1500, 25_000_000].map(size), ["0 B", "999 B", "1.5 kB", "25.0 MB"]);
});
