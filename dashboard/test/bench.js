// Measures the page: frames of a meeting of an hour with 20 people, the first paint, and how much is fetched.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

import { browse, open, serve, until } from "./server.js";

const HOUR = 3_600_000;
const FRAMES = 300;

/** What the API would answer of such a meeting: a sentence each 1.5 s, gaps, 500 messages, and the levels of everybody. */
function meeting() {
  const startedAt = new Date(Date.now() - HOUR).toISOString();
  const people = Array.from({ length: 20 }, (_, index) => ({ id: `p${index}`, name: `Person ${index}`, isBot: false, isHost: index === 0, joinedAt: index * 1000, leftAt: null, speakingMs: 1, names: [`Person ${index}`] }));
  const speaking = Array.from({ length: HOUR / 1500 }, (_, index) => ({ participantId: `p${(index * 7) % 20}`, startMs: index * 1500, endMs: index * 1500 + 1200 }));
  const gaps = Array.from({ length: 50 }, (_, index) => ({ startMs: index * 60_000, endMs: index * 60_000 + 800, reason: "packet_loss" }));
  const tracks = people.map(({ id, joinedAt }) => ({ file: `audio.${id}.webm`, participantId: id, kind: "audio", startMs: joinedAt, durationMs: HOUR - joinedAt, gaps }));
  const header = { version: 1, binMs: 100, tracks: people.map(({ id, joinedAt }) => ({ participantId: id, source: "microphone", startMs: joinedAt, bins: (HOUR - joinedAt) / 100 })) };
  const bins = header.tracks.flatMap(({ bins }) => Array.from({ length: bins }, (_, index) => 10 + ((index * 31) % 60)));
  const levels = Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), Buffer.from(bins)]);
  const manifest = { startedAt, durationMs: HOUR, participants: people, speaking, tracks, files: [{ name: "levels.bin", mediaType: "application/octet-stream", bytes: levels.length }], mixed: { state: "made", file: "audio.mixed.webm", missingBecause: null }, captions: "captions.jsonl", chat: "chat.jsonl", pauses: [], attempts: [] };
  const captions = speaking.map(({ participantId, startMs, endMs }, index) => ({ speakerId: participantId, speaker: participantId, startMs, endMs, text: `This is the sentence with the number ${index}.` }));
  const chat = Array.from({ length: 500 }, (_, index) => ({ id: `c${index}`, senderId: "p1", sender: "Person 1", atMs: index * 7000, text: `message ${index}`, private: false }));
  const recording = { state: "on", permission: null, startedAt, pausedMs: 0, bytes: 5e7, deletedAt: null };
  const job = { id: "job_x", status: "completed", meetingUrl: "https://x.example/a", webhooks: {}, metadata: {}, recording, manifestUri: "file:///x", createdAt: startedAt, joinedAt: startedAt, endedAt: new Date().toISOString(), attempt: 1 };
  const lines = (/** @type {unknown[]} */ all) => all.map((one) => JSON.stringify(one)).join("\n");
  return { job, manifest, levels, captions: lines(captions), chat: lines(chat) };
}

/** @param {number[]} all @param {number} part */
function quantile(all, part) {
  return all.sort((a, b) => a - b)[Math.floor(all.length * part)]?.toFixed(1);
}

const server = await serve("read");
const browser = await browse();
const { page } = await open(browser, { viewport: { width: 1280, height: 860 } });
await page.goto(server.link());
await page.waitForSelector("jobs-view");
await page.goto(`${server.url}/#/jobs`);
const paints = [];
/** @type {string[]} */
let fetched = [];
for (let round = 0; round < 10; round += 1) {
  await page.reload();
  await page.waitForSelector("jobs-view h1");
  let paint;
  [paint, fetched] = await page.evaluate(() => [
    performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0,
    performance.getEntriesByType("resource").map(({ name }) => name).filter((name) => name.includes("/dashboard/")),
  ]);
  paints.push(paint);
}
let [raw, small] = [0, 0];
for (const url of [server.url, ...new Set(fetched)]) {
  const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
  raw += bytes.length;
  small += gzipSync(bytes).length;
}
console.log(`first paint of 10 loads: median ${quantile(paints, 0.5)} ms, the slowest ${quantile(paints, 0.99)} ms; the page weighs ${(raw / 1000).toFixed(0)} kB, ${(small / 1000).toFixed(0)} kB compressed, in ${new Set(fetched).size + 1} files`);

const { job, manifest, levels, captions, chat } = meeting();
await page.route("**/api/v1/**", (/** @type {any} */ route) => {
  const url = route.request().url();
  if (url.endsWith("/events")) return route.fulfill({ contentType: "text/event-stream", body: "" });
  if (url.endsWith("/manifest")) return route.fulfill({ json: manifest });
  if (url.endsWith("levels.bin")) return route.fulfill({ contentType: "application/octet-stream", body: levels });
  if (url.endsWith("captions.jsonl")) return route.fulfill({ body: captions });
  if (url.endsWith("chat.jsonl")) return route.fulfill({ body: chat });
  if (url.endsWith("/jobs/job_x")) return route.fulfill({ json: job });
  return route.fulfill({ json: { data: [], nextCursor: null } });
});
await page.goto(`${server.url}/#/jobs/job_x`);
await page.waitForSelector("recording-player");
await page.waitForSelector(".transcript li:nth-child(2900)", { state: "attached" });
const processes = await browser.newBrowserCDPSession();

/** CPU that all processes of the browser have used so far, in ms. */
async function browsed() {
  const { processInfo } = await processes.send("SystemInfo.getProcessInfo");
  return processInfo.reduce((/** @type {number} */ all, /** @type {any} */ { cpuTime }) => all + cpuTime * 1000, 0);
}

/** @param {string} step Code that moves the lanes by one frame; `number` is the frame's number. */
async function frames(step) {
  const before = await browsed();
  const all = await page.evaluate(`(async () => {
    const lanes = document.querySelector("time-lanes"), canvas = lanes.querySelector("canvas"), all = [];
    let last = performance.now();
    for (let number = 0; number < ${FRAMES}; number += 1) {
      ${step};
      await new Promise(requestAnimationFrame);
      all.push(performance.now() - last);
      last = performance.now();
    }
    return all;
  })()`);
  const cpu = ((await browsed()) - before) / FRAMES;
  return `median ${quantile(all, 0.5)} ms, p95 ${quantile(all, 0.95)} ms, ${cpu.toFixed(1)} ms of CPU`;
}
const wheel = (/** @type {string} */ how) => `canvas.dispatchEvent(new WheelEvent("wheel", { ${how}, cancelable: true }))`;
console.log(`an hour with 20 people, a frame of the whole: ${await frames("lanes.at(number * 1000)")}`);
await page.evaluate(`{ const canvas = document.querySelector("time-lanes canvas"); for (let times = 0; times < 4; times += 1) ${wheel("ctrlKey: true, deltaY: -200")}; }`);
console.log(`scrolled, with four minutes to see: ${await frames(wheel("shiftKey: true, deltaY: 40"))}`);
console.log(`zoomed, where each frame is drawn anew: ${await frames(wheel("ctrlKey: true, deltaY: number % 40 < 20 ? 20 : -20"))}`);
await browser.close();
await server.stop();

/** Many dashboards that are open while jobs run, beside the same jobs without them. */
const [DASHBOARDS, BOTS, SECONDS] = [50, 20, 20];
const busy = await serve("write");

/** CPU that the server has used so far, in ms (of clock ticks of 10 ms), and what it holds in memory, in kB. */
function used() {
  const [, rest = ""] = readFileSync(`/proc/${busy.pid}/stat`, "utf8").split(") ");
  const ticks = rest.split(" ").slice(11, 13).map(Number);
  const held = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${busy.pid}/status`, "utf8"));
  return { cpu: ticks.reduce((one, other) => one + other, 0) * 10, memory: Number(held?.[1]) };
}

/** CPU of a second, in ms, and memory at its end. */
async function spent() {
  const before = used();
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
  const after = used();
  return { cpu: (after.cpu - before.cpu) / SECONDS, memory: after.memory };
}

/** @param {string} path @param {RequestInit} [how] */
const ask = (path, how = {}) => fetch(busy.url + path, { ...how, headers: { Authorization: `Bearer ${busy.key}`, "Content-Type": "application/json", ...how.headers } });

/** A page of jobs: it follows the feed, and reads the list after an event, at most once a second. */
async function dashboard() {
  const feed = await ask("/api/v1/events", { headers: { Accept: "text/event-stream" } });
  let [again, busy] = [true, false];
  const read = async () => {
    again = true;
    while (again && !busy) {
      [again, busy] = [false, true];
      await (await ask("/api/v1/jobs?limit=50")).text();
      await new Promise((resolve) => setTimeout(resolve, 1000));
      busy = false;
    }
  };
  read();
  for await (const piece of /** @type {any} */ (feed.body)) if (Buffer.from(piece).includes("data:")) read();
}

const idle = await spent();
for (let bot = 0; bot < BOTS; bot += 1) await ask("/api/v1/jobs", { method: "POST", body: JSON.stringify({ meetingUrl: "https://sandbox.meetbot.dev/two-speakers?seconds=600" }) });
const running = async () => (await (await ask("/api/v1/jobs?status=recording&limit=50")).json()).data.length;
await until(running, (count) => count === BOTS);
const bots = await spent();
for (let number = 0; number < DASHBOARDS; number += 1) dashboard().catch(() => {});
// One job after the other ends meanwhile, so that there is something to show.
const others = setInterval(() => ask("/api/v1/jobs", { method: "POST", body: JSON.stringify({ meetingUrl: "https://sandbox.meetbot.dev/host-denies" }) }).catch(() => {}), 1000);
const open50 = await spent();
clearInterval(others);
const each = (/** @type {number} */ more, /** @type {number} */ count) => (more / count).toFixed(2);
console.log(`${BOTS} bots: ${each(bots.cpu - idle.cpu, BOTS)} ms of CPU a second and ${each(bots.memory - idle.memory, BOTS)} kB each, their meetings included`);
console.log(`${DASHBOARDS} dashboards beside them, with a job that fails each second: ${each(open50.cpu - bots.cpu, DASHBOARDS)} ms of CPU a second and ${each(open50.memory - bots.memory, DASHBOARDS)} kB each`);
await busy.stop();
process.exit(0);
