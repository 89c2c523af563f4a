// Reading the levels of each track.

import assert from "node:assert/strict";
import { test } from "node:test";

import { columns, height, loudest, loudness, UNKNOWN } from "../levels.js";
import { timeline } from "../timeline.js";

/** A file with this first line, and these bytes behind it. @param {unknown} header @param {number[]} levels */
function file(header, levels) {
  const line = typeof header === "string" ? header : JSON.stringify(header);
  return new Uint8Array([...new TextEncoder().encode(`${line}\n`), ...levels]);
}

/** @param {number} bins @param {object} [more] */
const track = (bins, more) => ({ participantId: "p1", source: "microphone", startMs: 0, bins, ...more });
/** @param {unknown[]} tracks @param {object} [more] */
const header = (tracks, more) => ({ version: 1, binMs: 100, tracks, ...more });

test("each track has its own levels", () => {
  const all = loudness(file(header([track(3), track(2, { participantId: "p2", startMs: 700, more: "unknown" })], { more: [] }), [20, 255, 127, 0, 200]));
  assert.deepEqual(all.map(({ who, startMs, binMs, steps }) => [who, startMs, binMs, steps.map((step) => [...step])]), [
    ["p1", 0, 100, [[20, UNKNOWN, 127]]],
    ["p2", 700, 100, [[0, UNKNOWN]]],
  ]);
  assert.deepEqual(loudness(file(header([]), [])), []);
});

test("an invalid file of levels is ignored", () => {
  const good = file(header([track(3)]), [1, 2, 3]);
  assert.equal(loudness(good).length, 1);
  for (let cut = 0; cut < good.length; cut += 1) assert.deepEqual(loudness(good.subarray(0, cut)), [], `cut at ${cut}`);
  const numbers = [-1, 0.5, 1e300, null, "3", [], {}, true, NaN];
  const headers = [
    "", "null", "[]", "3", "{", '{"version":1', "\u0000", header([track(3)], { version: 2 }), header([track(3)], { tracks: {} }), header([track(3)], { tracks: null }), header([null, 5]), header([track(2 ** 32)]), header([track(4)]),
    header([track(2), track(2)]), header([track(Number.MAX_SAFE_INTEGER), track(Number.MAX_SAFE_INTEGER)]), header([track(3)], { binMs: 0 }), header([track(3, { participantId: 5 })]),
    ...numbers.flatMap((number) => [header([track(3)], { binMs: number }), header([track(3, { bins: number })]), header([track(3, { startMs: number })])]),
  ];
  for (const one of headers) assert.deepEqual(loudness(file(one, [1, 2, 3])), [], JSON.stringify(one));
  assert.deepEqual(loudness(new Uint8Array([0xff, 0xfe, 10, 1])), []);
  assert.deepEqual(loudness(new Uint8Array(5 << 20).fill(32)), [], "a line without an end");
  const proto = loudness(file('{"version":1,"binMs":100,"tracks":[{"participantId":"__proto__","startMs":0,"bins":1}]}', [9]));
  assert.deepEqual(proto.map(({ who }) => who), ["__proto__"]);
});

test("a column has the loudest level of its time at any zoom", () => {
  const levels = Array.from({ length: 36_000 }, () => 100);
  levels[20_000] = 3;
  levels[35_999] = 7;
  const [all] = loudness(file(header([track(levels.length, { startMs: 50 })]), levels));
  assert.ok(all);
  assert.deepEqual([...columns(all, 50, 350, 3)], [100, 100, 100]);
  assert.deepEqual([...columns(all, 50, 150, 4)], [100, 100, 100, 100], "a level is wider than a column");
  assert.deepEqual([...columns(all, -1000, 0, 2)], [UNKNOWN, UNKNOWN]);
  assert.deepEqual([...columns(all, 3_600_050, 3_601_050, 2)], [UNKNOWN, UNKNOWN]);
  for (const count of [1, 2, 7, 500, 1280]) {
    const whole = columns(all, 50, 3_600_050, count);
    assert.equal(Math.min(...whole), 3, `${count}`);
    assert.equal(whole.at(-1), count > 2 ? 7 : 3, `${count}`);
    const loud = whole.findIndex((level) => level === 3);
    assert.ok(Math.abs(loud - Math.floor((20_000 / 36_000) * count)) <= 1, `${count}: at ${loud}`);
  }
  assert.equal(loudest([all], 2_000_050, 2_000_150), 3);
  assert.equal(loudest([], 0, 100), UNKNOWN);
});

test("a day of a hundred voices is searched in few steps", () => {
  const [day] = loudness(file(header([track(864_000)]), Array.from({ length: 864_000 }, (_, index) => index % 128)));
  assert.ok(day);
  assert.ok(Math.max(...day.steps.map((step) => step.length)) === 864_000 && (day.steps.at(-1)?.length ?? 0) <= 64);
  assert.equal(day.steps.length, 6);
});

test("louder is higher, and an unknown level has no height", () => {
  assert.deepEqual([UNKNOWN, 127, 60, 36, 12, 0].map(height), [0, 0, 0, 0.5, 1, 1]);
});

test("a lane shows levels where they are known, and speech otherwise", () => {
  const at = "2026-11-29T10:00:00.000Z";
  const person = (/** @type {string} */ id) => ({ id, name: id, isHost: false, isBot: false, joinedAt: 0, leftAt: null, names: [id] });
  const span = (/** @type {string} */ participantId, /** @type {number} */ startMs) => ({ participantId, startMs, endMs: startMs + 100 });
  const manifest = { startedAt: at, durationMs: 1000, pauses: [], attempts: [], tracks: [], participants: [person("p1"), person("p2")], speaking: [span("p1", 0), span("p1", 500), span("p2", 0)] };
  const known = /** @type {any} */ ({ job: { status: "completed", createdAt: at, endedAt: at, updatedAt: at, recording: { startedAt: at } }, events: [], deliveries: [], manifest, captions: [], chat: [], levels: loudness(file(header([track(2)]), [20, 30])) });
  const tones = () => timeline(known, 0).lanes.slice(1).map(({ bars, levels }) => [bars.slice(1).map(({ tone }) => tone), levels?.length]);
  assert.deepEqual(tones(), [[["speech", "voice"], 1], [["voice"], 0]]);
  known.levels = [];
  assert.deepEqual(tones(), [[["voice", "voice"], 0], [["voice"], 0]]);
});
