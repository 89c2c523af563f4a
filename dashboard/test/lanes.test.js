// What a job's page draws of a recording, and what it offers there: of one with everything, and of those that have less.

import assert from "node:assert/strict";
import { test } from "node:test";

import { server, signedIn, start } from "./fixture.js";
import { barriers, until } from "./server.js";

const HOUR = 3_600_000;

start("read");

/**
 * A page that gets other answers than the server's: of one job, with this recording.
 * @param {any} [options] Of the browser's context.
 */
async function pageOf(options) {
  const { page, complaints, context } = await signedIn(options);
  const now = new Date().toISOString();
  const recording = { state: "on", permission: null, startedAt: now, pausedMs: 0, bytes: 5, deletedAt: /** @type {string | null} */ (null) };
  const job = { id: "job_x", meetingUrl: "https://x.example/a", status: "completed", recording, webhooks: {}, metadata: {}, attempt: 1, manifestUri: "file:///x", createdAt: now, updatedAt: now, joinedAt: now, endedAt: now };
  const person = { id: "p", name: "Alice", isBot: false, isHost: false, joinedAt: 0, leftAt: null, speakingMs: 1, names: ["Alice"] };
  const track = { file: "audio.Alice.webm", participantId: "p", kind: "audio", source: "microphone", startMs: 0, durationMs: 10_000, gaps: /** @type {unknown[]} */ ([]) };
  const manifest = {
    jobId: "job_x", startedAt: now, durationMs: 10_000, participants: [person], speaking: [{ participantId: "p", startMs: 0, endMs: 10_000 }], tracks: [track],
    files: /** @type {unknown[]} */ ([]), mixed: { state: "made", file: "audio.mixed.webm", missingBecause: null }, captions: null, chat: /** @type {string | null} */ ("chat.jsonl"), pauses: [], attempts: [],
  };
  const answers = { job, manifest, chat: "", levels: /** @type {Buffer | null} */ (null) };
  await page.route("**/api/v1/**", (/** @type {any} */ route) => {
    const url = route.request().url();
    if (url.endsWith("/events")) return route.fulfill({ contentType: "text/event-stream", body: "" });
    if (url.endsWith("/manifest")) return route.fulfill({ json: manifest });
    if (url.endsWith("/jobs/job_x")) return route.fulfill({ json: job });
    if (url.endsWith("/chat.jsonl")) return route.fulfill({ body: answers.chat });
    if (url.endsWith("/levels.bin") && answers.levels) return route.fulfill({ contentType: "application/octet-stream", body: answers.levels });
    return route.fulfill({ status: 404, json: { data: [] } });
  });
  const show = async (/** @type {string} */ seen) => {
    await page.goto(`${server.url}/#/jobs`);
    await page.waitForSelector("jobs-view");
    await page.goto(`${server.url}/#/jobs/job_x`);
    await page.waitForSelector(seen);
  };
  return { page, complaints, context, answers, show };
}

const LISTED = { name: "levels.bin", mediaType: "application/octet-stream", bytes: 200 };

/** A file of levels. @param {string[]} who @param {Buffer[]} bins */
function levelsOf(who, bins) {
  const header = { version: 1, binMs: 100, tracks: who.map((id, index) => ({ participantId: id, source: "microphone", startMs: 0, bins: bins[index]?.length })) };
  return Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...bins]);
}

test("the lanes draw how loud somebody is, and that they speak where no level is known", async () => {
  const { page, complaints, context, answers, show } = await pageOf();
  // Loud, then quiet, then nothing is known.
  const levels = levelsOf(["p"], [Buffer.concat([Buffer.alloc(50, 12), Buffer.alloc(30, 48), Buffer.alloc(20, 255)])]);
  answers.levels = levels;
  answers.manifest.files = [LISTED];
  /** How many rows of Alice's lane have her colour, a quarter, two thirds and nine tenths of the way along it. */
  const rows = () =>
    page.evaluate(() => {
      const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector("time-lanes canvas"));
      const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
      const sample = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
      sample.fillStyle = "hsl(215 58% 50%)";
      sample.fillRect(0, 0, 1, 1);
      const [wanted] = [sample.getImageData(0, 0, 1, 1).data];
      return [0.25, 0.65, 0.9].map((part) => {
        const { data } = pen.getImageData(Math.round(part * canvas.width), 54, 1, 30);
        return Array.from({ length: 30 }, (_, row) => [0, 1, 2].every((channel) => Math.abs((data[row * 4 + channel] ?? 0) - (wanted[channel] ?? 0)) <= 2)).filter(Boolean).length;
      });
    });
  await show("recording-player");
  await until(rows, ([loud = 0, quiet = 0, unknown = 0]) => loud >= 20 && quiet >= 4 && quiet <= 8 && unknown === 0);
  const { width = 0 } = (await page.locator("time-lanes canvas").boundingBox()) ?? {};
  await page.hover("time-lanes canvas", { position: { x: width / 4, y: 70 } });
  assert.match(await page.textContent(".tip"), /Alice speaks, −12 dBov/);
  assert.deepEqual(await barriers(page), []);

  // A recording of an older server has no such file; one that cannot be read or had is as none.
  const flat = ([one = 0, two = 0, three = 0]) => one >= 16 && one === two && two === three;
  answers.manifest.files = [];
  await show("recording-player");
  await until(rows, flat);
  await page.hover("time-lanes canvas", { position: { x: width / 4, y: 70 } });
  assert.match(await page.textContent(".tip"), /Alice speaks$/);
  answers.manifest.files = [LISTED];
  for (const broken of [levels.subarray(0, 150), Buffer.from("<script>window.hit=1</script>"), null]) {
    answers.levels = broken;
    await show("recording-player");
    await until(rows, flat);
  }
  assert.equal(await page.evaluate("window.hit"), undefined);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("lanes that were moved look as if they were drawn anew", async () => {
  const { page, complaints, context, answers, show } = await pageOf({ deviceScaleFactor: 1.5, viewport: { width: 800, height: 600 } });
  const people = ["p", "q", "r"];
  const { job, manifest } = answers;
  job.endedAt = new Date(Date.parse(job.createdAt) + HOUR).toISOString();
  manifest.durationMs = HOUR;
  manifest.participants = people.map((id) => ({ ...manifest.participants[0], id, name: id }));
  manifest.speaking = Array.from({ length: 900 }, (_, index) => ({ participantId: people[index % 3], startMs: index * 4000, endMs: index * 4000 + 3300 }));
  manifest.tracks = people.map((id) => ({ ...manifest.tracks[0], participantId: id, durationMs: HOUR, gaps: Array.from({ length: 90 }, (_, index) => ({ startMs: index * 39_000, endMs: index * 39_000 + 900, reason: "packet_loss" })) }));
  manifest.files = [LISTED];
  answers.levels = levelsOf(people, people.map((_, who) => Buffer.from(Array.from({ length: HOUR / 100 }, (_, index) => 10 + ((index * 31 + who) % 60)))));
  answers.chat = Array.from({ length: 300 }, (_, index) => JSON.stringify({ id: `c${index}`, senderId: "p", sender: "p", atMs: index * 11_000, text: "hello", private: false })).join("\n");
  await show("recording-player");
  await page.waitForSelector(".lane-name:has-text('Chat')");
  const lanes = page.locator("time-lanes canvas");
  /** Turns the wheel, and answers how many parts of colours of the canvas are others than before. @param {number} by @param {"shiftKey" | "ctrlKey"} [key] @returns {Promise<number>} */
  const turn = (by, key = "shiftKey") =>
    lanes.evaluate(async (/** @type {HTMLCanvasElement & {before: Uint8ClampedArray | undefined}} */ canvas, [by, key]) => {
      canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: by, [key]: true, cancelable: true }));
      for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
      const { before } = canvas;
      const { data } = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).getImageData(0, 0, canvas.width, canvas.height);
      canvas.before = data;
      // Of what is hardly there, the colour does not matter.
      const seen = (/** @type {Uint8ClampedArray} */ data, /** @type {number} */ at) => ((data[at] ?? 0) * (at % 4 === 3 ? 255 : (data[at | 3] ?? 0))) / 255;
      return data.filter((_, at) => before && Math.abs(seen(data, at) - seen(before, at)) > 32).length;
    }, [by, key]);
  for (let times = 0; times < 5; times += 1) await turn(-200, "ctrlKey");
  /** All is drawn after another scheme of colours was looked at. */
  const anew = async () => {
    for (const colorScheme of ["dark", "light"]) {
      await page.emulateMedia({ colorScheme });
      await page.evaluate(async (/** @type {string} */ scheme) => {
        while (!matchMedia(`(prefers-color-scheme: ${scheme})`).matches) await new Promise(requestAnimationFrame);
        for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
      }, colorScheme);
    }
    return turn(0);
  };
  await anew();
  for (const by of [40, 17, 333, -23, -140, 1]) {
    assert.ok((await turn(by)) > 1000, `${by} moves them`);
    const differs = await anew();
    // A round corner that is drawn in two pieces has a few other pixels.
    assert.ok(differs <= 24, `drawn anew after ${by}, it differs by ${differs}`);
  }
  // Where the player is stands over them.
  const { x = 0, width = 0 } = (await lanes.boundingBox()) ?? {};
  await lanes.click({ position: { x: width / 2, y: 60 } });
  const line = page.locator(".lane-head");
  await until(async () => ((await line.boundingBox())?.x ?? 0) + 1 - x - width / 2, (off) => Math.abs(off) <= 2);
  await turn(700);
  await until(() => line.isVisible(), (visible) => !visible);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("where there is nothing to play, nothing is offered that plays it", async () => {
  const { page, complaints, context, answers, show } = await pageOf();
  const { job, manifest } = answers;
  const [alice] = manifest.participants;
  const [track] = manifest.tracks;
  answers.chat = JSON.stringify({ id: "c", senderId: "p", sender: "Alice", atMs: 1000, text: "hello", private: false });
  manifest.participants = [alice, { ...alice, id: "q", name: "Bob" }, { ...alice, id: "r", name: "Carol" }];
  // Bob was never heard, and Carol's voice is in no file.
  manifest.tracks = [track, { ...track, participantId: "q", file: "audio.Bob.webm", durationMs: 0 }, { ...track, participantId: "r", file: /** @type {any} */ (null) }];
  await show("recording-player");
  const labels = (/** @type {string} */ which) => page.locator(which).evaluateAll((/** @type {HTMLElement[]} */ all) => all.map((button) => button.getAttribute("aria-label")));
  assert.deepEqual(await until(() => labels(".lane-name button"), ({ length }) => length > 0), ["Mute Alice", "Solo Alice"]);
  await page.click("button[aria-label='Mute Alice']");
  await page.waitForSelector(".lane-name.silent:has-text('Alice')");
  assert.deepEqual(await labels(".transcript li.chat button"), ["Go to 0:01"]);

  // It was deleted by somebody else.
  job.recording.deletedAt = new Date().toISOString();
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await page.waitForSelector("recording-player", { state: "detached" });
  await until(() => labels(".transcript button, .lane-name button"), ({ length }) => length === 0);

  // Nobody was heard at all.
  job.recording.deletedAt = null;
  manifest.tracks = [{ ...track, durationMs: 0 }];
  await show(".transcript li.chat");
  assert.equal(await page.locator("recording-player").count(), 0);
  assert.deepEqual(await labels(".transcript button, .lane-name button"), []);
  assert.equal(await page.locator("time-lanes canvas[role=img]").count(), 1);
  assert.deepEqual(complaints, []);
  await context.close();
});
