// The player, on a recording of an hour with five voices, two cameras and a screen. `cargo xtask soak` plays all of it, with MEETBOT_SOAK set: the tests play pieces.

import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { listenToPlayer, noticed, prepareEars, seconds } from "./ears.js";
import { ask, browser, server, start } from "./fixture.js";
import { barriers, open, until } from "./server.js";

const { MEETBOT_LONG_RECORDING = "", MEETBOT_SOAK } = process.env;
const HOUR_S = 3600;
/** How often the player is sent to another second, and for how long it plays there. */
const [SEEKS, PLAYED_S] = MEETBOT_SOAK ? [20, 30] : [5, 2];
/** Tracks are at most so far apart, in ms, and a picture from its voice. */
const MOST_APART = 40;
const PICTURE_APART = 80;
/** On a machine that is busy with other tests, a seek is tried again where it was not in step; alone, never. */
const TRIES = MEETBOT_SOAK ? 1 : 5;

/** @type {string} */
let job;
/** @type {import("../../sdks/typescript/src/models.js").Manifest} */
let manifest;

start("write", async () => {
  job = await recorded();
});

/** Makes a job, and puts a recording of an hour into the place of what it recorded. */
async function recorded() {
  const { id } = await ask("/jobs", { meetingUrl: "https://sandbox.meetbot.dev/two-speakers?seconds=2" });
  await until(() => ask(`/jobs/${id}/manifest`), ({ mixed }) => mixed && mixed.state !== "pending");
  const folder = join(server.data, "recordings", id);
  rmSync(folder, { recursive: true });
  cpSync(MEETBOT_LONG_RECORDING, folder, { recursive: true });
  const [attempt = ""] = readdirSync(folder);
  const file = join(folder, attempt, "manifest.json");
  manifest = JSON.parse(readFileSync(file, "utf8"));
  manifest.jobId = id;
  manifest.mixed = { state: "unavailable", file: null, missingBecause: "not_made" };
  writeFileSync(file, JSON.stringify(manifest));
  return id;
}

/** A page with the player. @param {any} page @param {string} [second] */
async function show(page, second = "0") {
  await prepareEars(page);
  await page.goto(server.link());
  await page.waitForSelector("jobs-view");
  await page.goto(`${server.url}/#/jobs/${job}?t=${second}`);
  await page.waitForSelector("recording-player");
  await listenToPlayer(page);
}

const player = (/** @type {any} */ page, /** @type {string} */ what) => page.evaluate(`document.querySelector("recording-player").${what}`);

/** The files that have something at all of this time, in ms. @param {number} from @param {number} to @param {"audio" | "video"} kind */
function files(from, to, kind) {
  return manifest.tracks.filter((track) => track.kind === kind && track.startMs <= from && track.startMs + track.durationMs >= to && track.gaps.every((gap) => gap.endMs < from || gap.startMs > to)).map(({ file }) => file ?? "");
}

/** The most that voices were apart since it was set to 0, in ms. */
let worst = 0;

/** Plays from this position and returns the problems in the audio. @param {any} page @param {number} ms @returns {Promise<string[]>} */
async function playFrom(page, ms) {
  await player(page, `seek(${ms})`);
  await noticed(page);
  const end = ms + PLAYED_S * 1000;
  await until(() => player(page, "ms"), (now) => now >= end + 400);
  const found = seconds(await noticed(page));
  // What is noticed just before and just after a seek may belong to either place.
  const [first, last] = [Math.ceil((ms + 500) / 1000), Math.floor(end / 1000)];
  /** @type {string[]} */
  const wrong = [];
  for (let second = first; second <= last; second += 1) {
    const there = found.get(second) ?? new Map();
    const voices = files(second * 1000 - 100, second * 1000 + 200, "audio");
    const missing = voices.filter((file) => !there.has(file));
    if (missing.length > 0) wrong.push(`${missing} not heard in second ${second}`);
    const late = voices.map((file) => there.get(file) ?? 0);
    const apart = Math.max(...late) - Math.min(...late);
    worst = Math.max(worst, apart);
    if (apart > MOST_APART) wrong.push(`${apart.toFixed(0)} ms apart in second ${second}`);
  }
  return wrong;
}

test(`voices of an hour stay within ${MOST_APART} ms of each other, wherever the player is sent`, async (t) => {
  const { page, complaints, context } = await open(browser, { bypassCSP: true });
  await show(page);
  await player(page, "toggle()");
  for (let seek = 0; seek < SEEKS; seek += 1) {
    // Spread over the hour, and not in its order.
    const ms = Math.round(((seek * 0.618 + 0.005) % 1) * (HOUR_S - PLAYED_S - 2) * 1000);
    /** @type {string[]} */
    let wrong = ["it is not played yet"];
    let tries = 0;
    for (; tries < TRIES && wrong.length > 0; tries += 1) {
      worst = 0;
      wrong = await playFrom(page, ms);
    }
    t.diagnostic(`from ${(ms / 1000).toFixed(1)} s on: at most ${worst.toFixed(1)} ms apart${tries > 1 ? `, at try ${tries}` : ""}`);
    assert.deepEqual(wrong, [], `from ${ms} ms on`);
  }
  assert.deepEqual(complaints, []);
  await context.close();
});

test(`pictures play in step with their voices, can be hidden, and one that this browser cannot play holds nothing up`, async (t) => {
  const { page, complaints, context } = await open(browser, { bypassCSP: true });
  await show(page, "1000");
  const pictures = manifest.tracks.filter(({ kind, startMs, durationMs }) => kind === "video" && startMs < 1000_000 && startMs + durationMs > 1100_000);
  assert.deepEqual(pictures.map(({ codec }) => codec).sort(), ["h264", "vp8", "vp9"]);
  await page.waitForFunction("document.querySelectorAll('recording-player figure:not([hidden]) video').length === 3");
  assert.deepEqual(await barriers(page), []);
  await player(page, "toggle()");
  const playable = () => page.evaluate("window.made.filter((media) => media.localName === 'video' && !media.error).map(({ src, videoWidth, videoHeight, currentTime }) => ({ file: decodeURIComponent(src.split('/').at(-1)), videoWidth, videoHeight, currentTime }))");
  const begun = await until(playable, (all) => all.length >= 2 && all.every(({ videoWidth }) => videoWidth > 0));
  for (const { videoWidth, videoHeight } of begun) assert.deepEqual([videoWidth, videoHeight], [320, 180]);
  // Where H.264 in Matroska does not play, the page says so.
  if (begun.length < 3) assert.match(await page.textContent("recording-player figcaption:has-text('Carol')"), /this browser does not play video\.Carol\.webm|this browser does not play/);
  const shown = begun.map(({ file }) => file);
  const apart = async () => {
    const found = [...seconds(await noticed(page)).values()].filter((files) => files.has("audio.Alice.webm") && shown.every((file) => files.has(file)));
    return found.map((files) => Math.max(...shown.map((file) => Math.abs((files.get(file) ?? 0) - (files.get(`audio.${file.split(".")[1]}.webm`) ?? 0)))));
  };
  await player(page, "seek(1000500)");
  await noticed(page);
  const found = await until(apart, (all) => all.length > 0 && all.every((ms) => ms <= PICTURE_APART), 2500);
  t.diagnostic(`${shown}: at most ${Math.max(...found).toFixed(1)} ms from their voices`);
  const now = await playable();
  for (const { file, currentTime } of begun) assert.ok(now.find((one) => one.file === file).currentTime > currentTime, `${file} goes on`);

  // Hidden, a picture does not play; shown again, it is where the voices are.
  await page.focus("button[aria-label='Hide the camera of Alice']");
  await page.keyboard.press("Enter");
  await page.waitForSelector("button[aria-label='Hide the camera of Alice'][aria-pressed=true]");
  await until(() => page.evaluate("window.made.find(({ src }) => src.endsWith('video.Alice.webm')).paused"), (paused) => paused);
  assert.equal(await page.locator("recording-player video:visible").count(), begun.length - 1 + (3 - begun.length));
  await page.keyboard.press("Enter");
  await until(() => page.evaluate("(() => { const camera = window.made.find(({ src }) => src.endsWith('video.Alice.webm')); return !camera.paused && Math.abs(camera.currentTime * 1000 - document.querySelector('recording-player').ms); })()"), (off) => off !== false && off <= PICTURE_APART);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a recording is played to its end, and from its start again", async () => {
  const { page, complaints, context } = await open(browser, { bypassCSP: true });
  await show(page, String(HOUR_S - 1));
  await player(page, "toggle()");
  await until(() => player(page, "playing"), (playing) => !playing);
  assert.equal(await player(page, "ms"), manifest.durationMs);
  assert.ok(await page.evaluate("window.made.every(({ paused }) => paused)"), "nothing begins anew");
  await player(page, "toggle()");
  await until(() => player(page, "ms"), (ms) => ms > 500 && ms < 60_000);
  assert.deepEqual(complaints, []);
  await context.close();
});
