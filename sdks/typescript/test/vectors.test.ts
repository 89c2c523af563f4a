/** Runs `spec/vectors`, which all SDKs share. An unknown file, kind, model or call fails. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { mock, test } from "node:test";
import { inspect } from "node:util";

import { MeetBot, MeetbotError, isFinal, verifyWebhookSignature } from "@meetbot/sdk";
import { unwrap } from "@meetbot/sdk/webhooks";
import * as calls from "../dist/calls.js";
import { mixPause } from "../dist/download.js";
import { refusal } from "../dist/errors.js";
import { Parser, Patience } from "../dist/events.js";
import { read } from "../dist/read.js";
import { pauseBefore, retryAfterMs } from "../dist/retry.js";
import { isInTheClear } from "../dist/settings.js";
import * as shapes from "../dist/shapes.js";
import { verifyStandard } from "../dist/signature.js";
import { Rules, changesJob } from "../dist/wait.js";
import { KEY as SERVERS_KEY, ScriptedServer, flood, raw } from "./scripted.ts";
import { ROOT, vectors } from "./repository.ts";

type Case = any;

const KEY = "mb_test_0123456789";

const SHAPES: Record<string, shapes.Shape> = {
  job: shapes.job,
  control_result: shapes.controlResult,
  manifest: shapes.manifest,
  deletion_receipt: shapes.deletionReceipt,
  erasure_receipt: shapes.erasureReceipt,
  host: shapes.host,
  usage: shapes.usage,
  platform: shapes.platform,
  delivery: shapes.delivery,
  timeline_event: shapes.timelineEvent,
  webhook_event: shapes.webhookEvent,
  job_page: shapes.pageOf(shapes.job),
  event_page: shapes.pageOf(shapes.timelineEvent),
  delivery_page: shapes.pageOf(shapes.delivery),
  platform_page: shapes.pageOf(shapes.platform),
};

function reading(model: string, json: unknown): any {
  const shape = SHAPES[model];
  assert.ok(shape, `no model ${model} is known`);
  return read(shape, structuredClone(json));
}

function signature(one: Case): void {
  const verified = (): boolean =>
    "timestamp" in one
      ? verifyStandard(one.id, one.timestamp, new TextEncoder().encode(one.body), one.header, one.secret)
      : verifyWebhookSignature({ body: one.body, header: one.header, secret: one.secret });
  if (one.error) assert.throws(verified, { kind: "configuration", message: new RegExp((one.names ?? "secret").replace("+", "\\+")) });
  else assert.equal(verified(), one.valid);
}

function error(one: Case): void {
  const header = (name: string): string | null => one.headers[name] ?? null;
  const pause = retryAfterMs(header("Retry-After"), 0);
  const details = { requestId: header("X-Request-Id"), retryAfterSeconds: pause === null ? null : pause / 1000 };
  const found = refusal(one.status, one.body, details);
  assert.deepEqual(
    {
      kind: found.kind,
      code: found.code,
      message: one.expect.message === null ? null : found.message,
      issues: found.issues.length,
      requestId: found.requestId,
      retryAfterMs: found.retryAfterSeconds === null ? null : found.retryAfterSeconds * 1000,
    },
    one.expect,
  );
  assert.equal(found.status, one.status);
  if (one.body.startsWith("<")) assert.equal(found.body, one.body);
}

function retried(one: Case): void {
  const pause = retryAfterMs(one.retryAfter, Date.parse(one.now));
  const wait = (jitter: number): number | null => pauseBefore(one.tried, one.maxRetries, one.status, pause, jitter);
  assert.deepEqual(wait(0) === null ? null : { minMs: wait(0), maxMs: wait(1) }, one.expect);
}

/** A webhook with all its headers, judged at a time. */
function unwrapped(one: Case): void {
  mock.timers.enable({ apis: ["Date"], now: one.now * 1000 });
  try {
    const judged = (): unknown => unwrap(one.body, one.headers, one.secrets, { toleranceSeconds: one.toleranceSeconds });
    if (one.outcome === "taken") judged();
    else assert.throws(judged, { kind: one.outcome === "refused" ? "signature" : "configuration" });
  } finally {
    mock.timers.reset();
  }
}

/** The state of a download after an answer and the earlier ones. */
async function piece(one: Case): Promise<void> {
  const answers = [one];
  if (one.receivedBytes > 0) {
    answers.unshift({ status: 206, contentRange: `bytes 0-${one.receivedBytes - 1}/${one.saidBytes}`, contentLength: null, sentBytes: one.receivedBytes });
  }
  const more = new Error("more is asked for");
  const fetch = async (): Promise<Response> => {
    const answer = answers.shift();
    if (answer === undefined) throw more;
    const headers = new Headers();
    if (answer.contentRange !== null) headers.set("content-range", answer.contentRange);
    if (answer.contentLength !== null) headers.set("content-length", String(answer.contentLength));
    return new Response(new Uint8Array(answer.sentBytes), { status: answer.status, headers });
  };
  const mb = new MeetBot({ apiKey: KEY, baseUrl: "https://api.meetbot.dev", fetch, maxRetries: 0 });
  const expected = one.manifestBytes === null ? undefined : { name: "a", mediaType: null, bytes: one.manifestBytes, sha256: null };
  let outcome = "whole";
  try {
    for await (const _ of mb.artifactStream("job_1", "a", { expected }));
  } catch (error) {
    outcome = (error as MeetbotError).kind === "decode" ? "error" : (error as Error).cause === more ? "part" : String(error);
  }
  assert.equal(outcome, one.outcome);
}

function whereTheKeyGoes(one: Case): void {
  assert.equal(isInTheClear(one.url), one.inTheClear);
}

function download(one: Case): void {
  assert.equal(mixPause(one.waitedMs), one.pauseMs);
}

/** A client whose server gives this answer, and what it was asked. */
function played(status: number, body: string): { mb: MeetBot; asked: any[] } {
  const asked: any[] = [];
  const fetch = async (url: string, init: any): Promise<Response> => {
    asked.push({ method: init.method, path: url.replace("https://api.meetbot.dev", ""), body: init.body === undefined ? null : JSON.parse(init.body) });
    return new Response(body, { status });
  };
  return { mb: new MeetBot({ apiKey: KEY, baseUrl: "https://api.meetbot.dev", fetch, maxRetries: 0 }), asked };
}

async function request(one: Case): Promise<void> {
  const { mb, asked } = played(400, "{}");
  const given = { ...one.arguments };
  for (const name of ["joinAt", "createdAfter", "createdBefore"]) if (name in given) given[name] = new Date(given[name]);
  const { jobId, deliveryId, message, name, confirm, ...params } = given;
  const CALLS: Record<string, () => PromiseLike<unknown>> = {
    dispatch_bot: () => mb.dispatchBot(params),
    get_bot: () => mb.getBot(jobId),
    list_bots: () => mb.listBots(params),
    cancel_bot: () => mb.cancelBot(jobId),
    send_chat_message: () => mb.sendChatMessage(jobId, message),
    manifest: () => mb.manifest(jobId),
    events: () => mb.request(calls.events(jobId).method, calls.events(jobId).path),
    artifacts: () => mb.artifacts(jobId),
    artifact: () => mb.artifact(jobId, name),
    deliveries: () => mb.deliveries({ ...params, ...(jobId !== undefined && { jobId }) }),
    get_delivery: () => mb.getDelivery(deliveryId),
    redeliver: () => mb.redeliver(deliveryId),
    request_recording_permission: () => mb.requestRecordingPermission(jobId),
    pause_recording: () => mb.pauseRecording(jobId),
    resume_recording: () => mb.resumeRecording(jobId),
    stop_recording: () => mb.stopRecording(jobId),
    leave_bot: () => mb.leaveBot(jobId),
    delete_recording: () => mb.deleteRecording(jobId),
    erase_consumer: () => mb.eraseConsumer(confirm),
    host: () => mb.host(),
    usage: () => mb.usage(),
    list_platforms: () => mb.listPlatforms(),
  };
  const call = CALLS[one.call];
  assert.ok(call, `no call ${one.call} is known`);
  await assert.rejects(async () => call(), { kind: "validation" });
  assert.deepEqual(asked, [{ method: one.method, path: one.path, body: one.body }]);
}

function model(one: Case): void {
  if (one.error) {
    assert.throws(() => reading(one.model, one.json));
    return;
  }
  const found = reading(one.model, one.json);
  assert.deepEqual(found, one.json);
  if (one.model !== "job") return;
  assert.equal(isFinal(found.status), one.final);
  for (const [name, value] of Object.entries(one.extra)) assert.deepEqual(found[name], value);
}

/** Fails unless all that is expected is there; objects may hold more. */
function holds(found: any, expected: any, path: string): void {
  if (Array.isArray(expected)) {
    assert.equal(found?.length, expected.length, path);
    expected.forEach((value, index) => holds(found[index], value, `${path}[${index}]`));
  } else if (typeof expected === "object" && expected !== null) {
    for (const [name, value] of Object.entries(expected)) holds(found?.[name], value, `${path}.${name}`);
  } else {
    assert.equal(found, expected, path);
  }
}

function answered(one: Case): void {
  if (one.error) assert.throws(() => reading(one.model, one.json));
  else holds(reading(one.model, one.json), one.reads ?? one.json, one.model);
}

async function page(one: Case): Promise<void> {
  const { mb, asked } = played(200, JSON.stringify(one.json));
  if (one.error) {
    await assert.rejects(async () => {
      await mb.listBots({ cursor: one.cursor });
      for await (const _ of mb.iterBots());
    }, { kind: "decode" });
    assert.ok(asked.length <= 3);
    return;
  }
  const found = await mb.listBots();
  assert.deepEqual({ ids: found.data.map((job) => job.id), next: found.nextCursor }, { ids: one.ids, next: one.next });
}

/** A client whose server has a recording with this file. */
function recording(one: Case): MeetBot {
  const name = `${one.read}.jsonl`;
  const manifest: Record<string, unknown> = { jobId: "job_x" };
  if (one.text !== null) {
    const bytes = new TextEncoder().encode(one.text).length;
    const file: Record<string, unknown> = { name, bytes, sha256: createHash("sha256").update(one.text).digest("hex") };
    for (const said of ["bytes", "sha256"] as const) if (said in one) file[said] = one[said];
    Object.assign(manifest, { files: [file] }, one.read === "events" ? {} : { [one.read]: name });
  }
  const fetch = async (url: string): Promise<Response> => new Response(url.endsWith("/manifest") ? JSON.stringify(manifest) : one.text);
  return new MeetBot({ apiKey: KEY, baseUrl: "https://api.meetbot.dev", fetch, maxRetries: 0 });
}

async function recordingFile(one: Case): Promise<void> {
  const mb = recording(one);
  const read: Record<string, () => Promise<unknown[]>> = { captions: () => mb.captions("job_x"), chat: () => mb.chat("job_x"), events: () => mb.eventsFile("job_x") };
  const call = read[one.read];
  assert.ok(call, `nothing reads ${one.read}`);
  if (one.error) await assert.rejects(call, { kind: "decode" });
  else holds(await call(), one.reads, one.name);
}

function status(one: Case): void {
  assert.equal(isFinal(one.status), one.final);
}

/** A stream gives the same events for any division into pieces. */
function stream(one: Case): void {
  const bytes = new TextEncoder().encode(one.stream);
  for (const size of [1, 2, 3, Math.max(bytes.length, 1)]) {
    const parser = new Parser();
    const found: string[] = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...parser.feed(bytes.subarray(at, at + size)));
    assert.deepEqual([found, parser.lastId], [one.events, one.lastId], `in pieces of ${size}`);
  }
}

function connections(one: Case): void {
  const [least, most] = [new Patience(one.maxRetries), new Patience(one.maxRetries)];
  for (const end of one.ends) {
    for (const patience of [least, most]) {
      if (end.gave === "sign_of_life") patience.alive();
      else if (end.gave === "event") patience.anew();
      else assert.equal(end.gave, "nothing");
    }
    const [minMs, maxMs] = [least.again(end.status, end.retryAfterMs ?? null, 0), most.again(end.status, end.retryAfterMs ?? null, 1)];
    assert.deepEqual(minMs === null ? null : { minMs, maxMs }, end.pause);
  }
}

function waited(one: Case): void {
  const rules = new Rules("job_1", one.timeoutMs);
  for (const { atMs, live, status, transient, outcome, pauseMs = null } of one.steps) {
    let found: [string, number | null];
    try {
      const pause = status === undefined ? rules.failed(transient, atMs, live) : rules.answered(status, atMs, live);
      found = pause === null ? [status === undefined ? "error" : "ended", null] : ["pause", pause];
    } catch (error) {
      found = [(error as MeetbotError).kind, null];
    }
    assert.deepEqual(found, [outcome, pauseMs], `at ${atMs}`);
  }
}

function telling(one: Case): void {
  assert.equal(changesJob(one.event), one.tells, one.event);
}

/** A body as an error shows it: parsed where it is JSON. */
function parsed(text: string | null): unknown {
  try {
    return JSON.parse(text || "null") || null;
  } catch {
    return text;
  }
}

/** A server that lies gives the documented error, with what came in it, and the key in none. */
async function lie(one: Case): Promise<void> {
  const server = await ScriptedServer.start([one.then === "floods" ? flood(one.answer, one.flood) : raw(one.answer, one.then)]);
  const limits = one.timeoutMs === undefined ? {} : { timeout: one.timeoutMs };
  await assert.rejects(async () => server.client({ maxRetries: one.maxRetries, ...limits }).getBot("job_1"), (error: MeetbotError) => {
    const { kind, attempts, status } = error;
    const body = error.body || null;
    assert.deepEqual({ kind, attempts, status, body }, { ...one.expect, body: parsed(one.expect.body) }, error.message);
    assert.ok(!inspect(error, { depth: 5 }).includes(SERVERS_KEY) && !error.message.includes("x=1"), error.message);
    return true;
  });
}

/** A call of the caller's own, which is redirected. */
async function redirected(one: Case): Promise<void> {
  const { baseUrl } = vectors("redirects.json");
  const asked: string[] = [];
  const fetch = async (url: string, init: any): Promise<Response> => {
    const { status, location } = one.redirects[asked.length] ?? { status: 200, location: null };
    const names = Object.keys(init.headers).sort();
    assert.deepEqual([names.filter((name) => ["authorization", "x-team"].includes(name)), init.redirect], [asked.length === 0 ? ["authorization", "x-team"] : [], "manual"]);
    for (const name of ["accept", "range", "user-agent"]) assert.ok(names.includes(name), name);
    asked.push(url);
    return new Response("elsewhere", { status, headers: location === null ? {} : { location } });
  };
  const mb = new MeetBot({ apiKey: KEY, baseUrl, fetch });
  const answer = mb.request(one.method, one.path, { headers: { range: "bytes=0-9", "x-team": "a" } });
  if (one.error === null) {
    assert.equal(new TextDecoder().decode((await answer).body), "elsewhere");
  } else {
    await assert.rejects(answer, (error: MeetbotError) => {
      assert.deepEqual([error.kind, error.status, error.attempts], ["unexpected_status", one.error.status, 1], error.message);
      assert.ok(error.message.includes(one.error.message) && !inspect(error).includes("Signature"), error.message);
      assert.equal(error.body, error.message.startsWith("more than") ? null : "elsewhere");
      return true;
    });
  }
  assert.deepEqual(asked.slice(1), one.asked);
}

const KINDS: Record<string, ((one: Case) => void | Promise<void>) | null> = {
  webhook_signatures: signature,
  errors: error,
  retries: retried,
  downloads: download,
  requests: request,
  lies: lie,
  redirects: redirected,
  models: model,
  answers: answered,
  recorded_answers: answered,
  pages: page,
  job_transitions: status,
  recordings: recordingFile,
  streams: stream,
  waits: waited,
  // The server's and the bot's: an SDK neither parses links nor leaves meetings.
  meeting_links: null,
  auto_leave: null,
};
/** The lists of a file, and what in it is no list of cases. */
const PARTS = ["cases", "standard", "statuses", "answers"];
/** Lists of cases of another kind than the file's. */
const OWN_PARTS: Record<string, (one: Case) => void | Promise<void>> = { unwrap: unwrapped, pieces: piece, servers: whereTheKeyGoes, connections, events: telling };
const OTHERS = ["kind", "baseUrl", "about", "required", "transitions"];

for (const file of readdirSync(join(ROOT, "spec/vectors"))) {
  const found = vectors(file);
  test(`${file} holds`, async () => {
    assert.equal(file, `${found.kind}.json`, "a file is named after its kind");
    assert.ok(found.kind in KINDS, `no kind ${found.kind} is known`);
    const run = KINDS[found.kind];
    if (!run) return;
    for (const name of Object.keys(found)) assert.ok(PARTS.includes(name) || name in OWN_PARTS || OTHERS.includes(name), `${file}: no part ${name} is known`);
    let count = 0;
    const cases = [...PARTS, ...Object.keys(OWN_PARTS)].flatMap((part) => (found[part] ?? []).map((one: Case) => [OWN_PARTS[part] ?? run, one]));
    for (const [judge, one] of cases) {
      try {
        await judge(one);
      } catch (problem) {
        throw new Error(`${one.name ?? one.status ?? one.model}: ${(problem as Error).message}`, { cause: problem });
      }
      count += 1;
    }
    assert.ok(count > 0);
  });
}

test("every call of the vectors is a method, and every method of a call is in the vectors", () => {
  const called = new Set(vectors("requests.json").cases.map((one: Case) => one.call.replace(/_(\w)/g, (_: string, letter: string) => letter.toUpperCase())));
  const others = ["constructor", "withOptions", "getJob", "iterBots", "waitForBot", "watch", "artifactStream", "downloadArtifact", "downloadArtifacts", "speaking", "captions", "chat", "eventsFile", "iterDeliveries", "request"];
  const methods = Object.getOwnPropertyNames(MeetBot.prototype).filter((name) => !others.includes(name));
  // `events` is what `watch` asks for.
  called.delete("events");
  assert.deepEqual(methods.sort(), [...called].sort());
});

/** Variants of an answer with each field kept, removed or null; `lacks` gets the required fields of the others. */
function without(value: any, path: string, required: string[], fates: Iterator<string>, lacks: string[]): any {
  if (Array.isArray(value)) return value.map((one) => without(one, `${path}[]`, required, fates, lacks));
  if (typeof value !== "object" || value === null || path.endsWith("metadata")) return value;
  const left: Record<string, unknown> = {};
  for (const [name, inner] of Object.entries(value)) {
    const inside = path === "" ? name : `${path}.${name}`;
    const { value: fate = "kept" } = fates.next() as { value?: string };
    if (fate === "kept") {
      left[name] = without(inner, inside, required, fates, lacks);
      continue;
    }
    if (fate === "null") left[name] = null;
    if (required.includes(inside)) lacks.push(inside);
  }
  return left;
}

/** A small generator of the same random numbers each time (Mulberry32). */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

test("any answer reads without any of its fields but those that are required", () => {
  const required = vectors("answers.json").required;
  const shown: [string, any][] = [...vectors("models.json").cases, ...vectors("recorded_answers.json").answers]
    .filter((one: Case) => !one.error)
    .map((one: Case) => [one.model, one.json]);
  for (const [of, page] of [["job", "job_page"], ["timeline_event", "event_page"], ["delivery", "delivery_page"], ["platform", "platform_page"]] as const) {
    const data = shown.filter(([model]) => model === of).map(([, json]) => json).slice(0, 3);
    shown.push([page, { data, nextCursor: "next" }]);
  }
  for (const [model, answer] of shown) {
    const random = seeded(17);
    const count = JSON.stringify(answer).split('":').length - 1;
    const alone = Array.from({ length: count }, (_, index) => ["removed", "null"].map((fate) => [...Array(index).fill("kept"), fate])).flat();
    const together = Array.from({ length: 100 }, () => Array.from({ length: count }, () => (random() < 0.8 ? "kept" : random() < 0.5 ? "null" : "removed")));
    const outcomes = { read: 0, refused: 0 };
    for (const fates of [...alone, ...together]) {
      const lacks: string[] = [];
      const left = without(answer, "", required[model], fates[Symbol.iterator](), lacks);
      let problem: unknown = null;
      try {
        reading(model, left);
      } catch (error) {
        problem = error;
      }
      assert.equal(problem !== null, lacks.length > 0, `${model}: ${problem} without ${lacks}: ${JSON.stringify(left)}`);
      outcomes[problem === null ? "read" : "refused"] += 1;
    }
    assert.ok(outcomes.read > 20 && outcomes.refused > 0 === required[model].length > 0, `${model}: ${JSON.stringify(outcomes)}`);
  }
});

test("a job is accepted instead of its id, and neither is an error's", async () => {
  const { mb, asked } = played(200, JSON.stringify({ jobId: "job_1", state: "done", id: "job_1", status: "completed", speaking: [{ participantId: "p-1", startMs: 5, endMs: 9 }] }));
  const job = (await mb.getBot("job_1"))!;
  await mb.getBot(job);
  await mb.leaveBot(job);
  await mb.deliveries({ jobId: job }).catch(() => {});
  assert.deepEqual(await mb.speaking(job), [{ participantId: "p-1", startMs: 5, endMs: 9 }]);
  const paths = ["", "", "/leave-call", "/manifest"].map((rest) => `/api/v1/jobs/job_1${rest}`);
  paths.splice(3, 0, "/api/v1/webhooks/deliveries?jobId=job_1");
  assert.deepEqual(asked.map(({ path }) => path), paths);
  for (const wrong of [undefined, null, 5, {}]) await assert.rejects(async () => mb.getBot(wrong as never), { kind: "configuration" });
});

test("an answer that is not what its call promises is an error that shows it", async () => {
  for (const body of ['{"id": "job_1", "displayName": "shown"}', "null", "[]", "{", '{"data": [], "shown": 1}', "<html>shown</html>", '"x"', '{"id": "", "status": "queued"}']) {
    const { mb } = played(200, body);
    await assert.rejects(async () => mb.getBot("job_1"), (error: MeetbotError) => {
      assert.equal(error.kind, "decode");
      assert.ok(error.message.includes(body.slice(0, 20)), error.message);
      assert.equal(error.status, 200);
      return true;
    });
  }
});
