/** The conformance story in TypeScript: `cargo xtask conformance` compares what it prints with what the other SDKs' stories print. */

import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import { MeetBot, MeetbotError, createMeetbot, type DispatchBotParams, type Job, type ListBotsParams, type TimelineEvent } from "@meetbot/sdk";
import { unwrap, verifyWebhookSignature, type WebhookEvent } from "@meetbot/sdk/webhooks";

const PATIENCE = 120_000;
const NOBODY = "job_00000000000000000000000000";
const NOTHING = "dlv_00000000000000000000000000";
const LONG = "https://sandbox.meetbot.dev/two-speakers?seconds=300";
const SHORT = "https://sandbox.meetbot.dev/two-speakers?seconds=8";
const NONE = "https://sandbox.meetbot.dev/no-such-meeting";

/** Prints one line of the outcome. */
function say(label: string, ...values: unknown[]): void {
  console.log(`${label}: ${values.map(shown).join(", ")}`);
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return String(value);
}

/** Prints the error of a call: its kind, what the server said, how often it was tried, and whether another try may help. */
async function fails(label: string, call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
    say(label, "no error");
  } catch (error) {
    if (!(error instanceof MeetbotError)) throw error;
    const issues = error.issues.map((issue) => `${issue.path.join(".")} ${issue.code}`);
    const again = error.transient ? "transient" : "final";
    say(label, error.kind, error.status, error.code, ...issues, `${error.attempts} tries`, again, error.requestId !== null);
  }
}

/** Sorted, each once. */
function listed(values: readonly unknown[]): string {
  return [...new Set(values.map(shown))].sort().join(" ");
}

/** The elements of a stream. */
async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of stream) found.push(one);
  return found;
}

interface Received {
  body: Buffer;
  headers: IncomingHttpHeaders;
  event: WebhookEvent;
}

const environment = (name: string): string => process.env[name] ?? "";
const given = environment("MEETBOT_API_BASE_URL");
const secret = environment("MEETBOT_WEBHOOK_SECRET");
const mb = createMeetbot({ baseUrl: `${given}/api/v1/` });

async function errors(): Promise<void> {
  await fails("leave no job", () => mb.leaveBot(NOBODY));
  say("get no job", await mb.getBot(NOBODY));
  say("get an id with a slash", await mb.getBot("../jobs"));
  await fails("get an id of dots", () => mb.getBot(".."));
  await fails("get an empty id", () => mb.getBot(""));
  const stranger = new MeetBot({ apiKey: `mb_test_${"0".repeat(40)}` });
  await fails("a key of nobody", () => stranger.listBots());
  const reader = new MeetBot({ apiKey: environment("MEETBOT_READ_KEY") });
  await fails("a key that may only read", () => reader.dispatchBot({ meetingUrl: SHORT }));
  await fails("no url, no name", () => mb.dispatchBot({ meetingUrl: "not-a-url", displayName: " " }));
  await fails("no time at all", () => mb.dispatchBot({ meetingUrl: SHORT, autoLeave: { afterSoloSeconds: 0 } }));
  const json = { meetingUrl: SHORT, join_at: "2026-05-15T14:00:00Z" };
  await fails("a misspelt field", () => mb.request("POST", "/api/v1/jobs", { json }));
  await fails("no such path", () => mb.request("GET", "/api/v1/nothing"));
  await fails("too large a page", () => mb.listBots({ limit: 1000 }));
  await fails("no such cursor", () => mb.listBots({ cursor: "nobody's" }));
  await fails("nothing to say", () => mb.sendChatMessage(NOBODY, ""));
}

async function dispatched(): Promise<Job> {
  const params: DispatchBotParams = {
    meetingUrl: LONG,
    externalId: "long",
    displayName: "Acme Notetaker",
    metadata: { customer: ["cust_4711", null, true, 7, "é <&>"] },
    autoLeave: { afterSoloSeconds: 30, afterSilenceSeconds: null, onBotDetected: true },
  };
  const once = { idempotencyKey: "conformance" };
  const job = await mb.dispatchBot(params, once);
  say("dispatched", job.status, job.platform, job.externalId, job.displayName, job.meetingUrl);
  say("its metadata", JSON.stringify(job.metadata));
  const { afterEntryDelaySeconds, afterSilenceSeconds, afterSoloSeconds, afterMaxSeconds, onBotDetected } = job.autoLeave;
  say("its rules", afterEntryDelaySeconds, afterSilenceSeconds, afterSoloSeconds, afterMaxSeconds, onBotDetected);
  say("the same key", (await mb.dispatchBot(params, once)).id === job.id);
  say("the same external id", (await mb.dispatchBot(params)).id === job.id);
  await fails("the same key, another job", () => mb.dispatchBot({ ...params, displayName: "B" }, once));
  return job;
}

async function controlled({ id }: Job): Promise<void> {
  const statuses: unknown[] = [];
  for await (const event of mb.watch(id)) {
    if (event.event === "job.status_changed") statuses.push(event.data.status);
    if (event.data.status === "recording") break;
  }
  say("watched", ...statuses);
  await fails("delete too early", () => mb.deleteRecording(id));
  say("chat", (await mb.sendChatMessage(id, "hello 👋")).action);
  say("permission", (await mb.requestRecordingPermission(id)).action);
  const verbs = { paused: () => mb.pauseRecording(id), on: () => mb.resumeRecording(id), stopped: () => mb.stopRecording(id) };
  for (const [state, verb] of Object.entries(verbs)) {
    const { action } = await verb();
    let now = await mb.getJob(id);
    for (; now?.recording.state !== state; now = await mb.getJob(id)) await pause(50);
    say(shown(action), now?.recording.state);
  }
  say("leave", (await mb.leaveBot(id)).action);
  const ended = await mb.waitForBot(id, { timeout: PATIENCE });
  say("it ended", ended.status, ended.leaveReason, ended.failureCode, ended.attempt);
  await fails("pause after the end", () => mb.pauseRecording(id));
  say("cancel after the end", await mb.cancelBot(id));
}

async function recorded({ id }: Job, received: AsyncIterator<Received>): Promise<void> {
  const seen: unknown[] = [];
  const ended = await mb.waitForBot(id, { timeout: PATIENCE, onUpdate: (job) => void seen.push(job.status) });
  say("a meeting ended", seen.at(-1), ended.status, ended.leaveReason, ended.failureCode);
  const uri = ended.manifestUri;
  say("its manifest", uri?.startsWith("file://"));
  const timeline: TimelineEvent[] = await all(mb.watch(id));
  // The mix is made later, and its event comes when it may.
  const changes = timeline.filter(({ event }) => event === "job.status_changed" || event === "job.finalized");
  say("timeline", ...changes.map(({ event, data }) => `${event} ${data.status}`));
  say("of the bot", listed(timeline.map(({ event }) => event).filter((event) => event.startsWith("bot."))));
  say("people", listed(timeline.flatMap((one) => (one.event === "bot.participant_joined" || one.event === "bot.participant_left" ? [one.data.participant.name] : []))));
  say("last chat", timeline.flatMap((one) => (one.event === "bot.chat_message" ? [one.data.message.sender] : [])).at(-1));
  say("no holes", timeline.every(({ data }, index) => data.sequence === index + 1));

  // By their sequence: a webhook may come twice.
  const heard = new Map<number, WebhookEvent>();
  let last: Received | undefined;
  while (!timeline.every(({ data }) => heard.has(data.sequence)) || ![...heard.values()].some(({ event }) => event === "job.artifact_ready")) {
    last = (await received.next()).value as Received;
    heard.set(last.event.data.sequence, last.event);
  }
  const inOrder = [...heard.values()].sort((a, b) => a.data.sequence - b.data.sequence);
  say("webhooks", listed(inOrder.map(({ event }) => event)));
  say("of this job", inOrder.every(({ data }) => data.jobId === id));
  say("metadata", listed(inOrder.map(({ data }) => data.metadata["n"])));
  for (const { event, data } of inOrder) {
    if (event === "job.finalized") say("finalized", data.leaveReason, data.manifestUri === uri, data.durationMs > 0);
    if (event === "job.artifact_ready") say("artifact", data.artifact.name, data.artifact.mediaType, data.manifestUri === uri);
  }
  const { body, headers } = last!;
  const other = "whsec_dGVzdA==";
  const changed = Buffer.concat([body, Buffer.from(" ")]);
  const header = headers["x-meetbot-signature"] as string;
  say("verified", verifyWebhookSignature({ body, header, secret }));
  say("another body", verifyWebhookSignature({ body: changed, header, secret }));
  say("another secret", verifyWebhookSignature({ body, header, secret: other }));
  const cases: [string, Buffer, string[]][] = [
    ["with two secrets", body, [other, secret]],
    ["another body", changed, [secret]],
    ["with another secret", body, [other]],
    ["with no secret", body, ["secret"]],
  ];
  for (const [label, sent, secrets] of cases) {
    try {
      say(`unwrap ${label}`, unwrap(sent, headers, secrets).data.jobId === id);
    } catch (error) {
      say(`unwrap ${label}`, (error as MeetbotError).kind);
    }
  }
}

async function downloaded(job: Job): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "conformance-"));
  const paths = await mb.downloadArtifacts(job, folder);
  const manifest = await mb.manifest(job.id);
  say("participants", listed(manifest.participants.map(({ name }) => name)));
  for (const track of manifest.tracks.sort((a, b) => (shown(a.file) < shown(b.file) ? -1 : 1))) {
    say("track", track.file, track.kind, track.source, track.codec, track.container);
  }
  say("manifest", manifest.complete, manifest.leaveReason, manifest.mixed.state, manifest.mixed.file, manifest.chat);
  say("downloaded", listed(paths.map((path) => basename(path))));
  for (const file of manifest.files.sort((a, b) => (shown(a.name) < shown(b.name) ? -1 : 1))) {
    const content = readFileSync(join(folder, shown(file.name)));
    say("file", file.name, file.mediaType, content.length === file.bytes, createHash("sha256").update(content).digest("hex") === file.sha256);
  }
  const inMemory = await mb.artifact(job.id, "events.jsonl");
  say("in memory", readFileSync(join(folder, "events.jsonl")).equals(inMemory));
  rmSync(folder, { recursive: true });
  const speaking = await mb.speaking(job.id);
  say("speaking", speaking.every((span) => span.endMs > span.startMs), speaking.length > 0);
  const captions = await mb.captions(job.id);
  say("captions", listed(captions.map((one) => one.text !== null && one.speaker !== null)));
  say("chat file", (await mb.chat(job.id)).at(-1)?.sender);
  say("events file", (await mb.eventsFile(job.id))[0]?.type);
  await fails("captions of no job", () => mb.captions(NOBODY));
  await fails("no such file", () => mb.artifact(job.id, "audio.Nobody.webm"));
  await fails("no file", () => mb.artifact(job.id, ".."));
  await fails("a manifest of no job", () => mb.manifest(NOBODY));
}

async function lists(): Promise<void> {
  const later = new Date(Date.now() + 30 * 86_400_000);
  for (const n of [0, 1, 2]) await mb.dispatchBot({ meetingUrl: SHORT, externalId: `later-${n}`, joinAt: later });
  const ids = (jobs: Job[]): unknown[] => jobs.map((job) => job.externalId);
  const every = async (params: ListBotsParams): Promise<unknown[]> => ids(await all(mb.iterBots(params)));
  const first = await mb.listBots({ limit: 2 });
  say("first page", ...ids(first.data), first.nextCursor !== null);
  const second = await mb.listBots({ limit: 2, cursor: first.nextCursor });
  say("second page", ...ids(second.data), second.nextCursor !== null);
  say("all", ...(await every({ limit: 1 })));
  say("completed", ...(await every({ status: "completed" })));
  say("failed or cancelled", ...(await every({ status: ["failed", "cancelled"], platform: "sandbox" })));
  say("of tomorrow", (await mb.listBots({ createdAfter: later })).data.length);
  for (const job of (await mb.listBots({ externalId: "later-1" })).data) say("one", job.externalId, job.statusDetail);
  for await (const job of mb.iterBots({ status: "queued" })) {
    await mb.cancelBot(job.id);
    say("cancelled", job.externalId, (await mb.waitForBot(job.id, { timeout: PATIENCE })).status);
  }
}

async function lookedUp(job: Job): Promise<void> {
  const first = await mb.deliveries({ jobId: job.id, limit: 1 });
  say("deliveries", first.data.length, first.nextCursor !== null);
  const { id } = first.data[0]!;
  const found = await mb.getDelivery(id);
  say("a delivery", found?.id === id && found.jobId === job.id);
  say("again", (await mb.redeliver(id)).id === id);
  say("no delivery", await mb.getDelivery(NOTHING));
  await fails("redeliver nothing", () => mb.redeliver(NOTHING));
  const usage = await mb.usage();
  say("usage", usage.month?.length, usage.bots, usage.queuedJobs, usage.maxBots, usage.maxMinutes);
  for (const way of (await mb.listPlatforms()).data) {
    if (way.platform !== "sandbox" && way.platform !== "teams") continue;
    say("platform", way.platform, way.via, way.joinable, way.experimental, way.missing.length === 0);
  }
  const host = await mb.host();
  say("host", host.version, host.draining, host.cpu.cores > 0, host.memory.totalBytes > 0, host.bots.max > 0);
}

async function deleted(job: Job): Promise<void> {
  const recorded = (await mb.getJob(job.id))?.recording.bytes ?? 0;
  const receipt = await mb.deleteRecording(job.id);
  say("deleted", listed(receipt.removed.map(({ name }) => name)));
  say("its receipt", receipt.jobId === job.id, receipt.deletedAt !== null, receipt.alreadyGone.length);
  const again = await mb.deleteRecording(job.id);
  say("deleted again", again.removed.length, again.deletedAt === receipt.deletedAt);
  await fails("a manifest that was deleted", () => mb.manifest(job.id));
  const recording = (await mb.getJob(job.id))?.recording;
  say("its job", recording?.deletedAt === receipt.deletedAt, recorded > 0, recording?.bytes === 0);
  await fails("erase somebody else", () => mb.eraseConsumer("nobody"));
  const consumer = environment("MEETBOT_CONSUMER");
  const erased = await mb.eraseConsumer(consumer);
  say("erased", erased.consumer === consumer, erased.jobs, erased.keys);
  await fails("a key that was erased", () => mb.listBots());
}

/** Webhooks as they come to a receiver on loopback. */
function receiver(): { url: Promise<string>; received: AsyncIterator<Received>; close(): void } {
  const waiting: Received[] = [];
  let wake = (): void => {};
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await all(request as AsyncIterable<Buffer>));
    waiting.push({ body, headers: request.headers, event: unwrap(body, request.headers, secret) });
    wake();
    response.end();
  });
  async function* come(): AsyncGenerator<Received> {
    for (;;) {
      while (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      yield waiting.shift()!;
    }
  }
  const url = new Promise<string>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  });
  return { url, received: come(), close: () => (server.close(), server.closeAllConnections()) };
}

// Nothing of it takes longer, unless something is wrong.
setTimeout(() => process.exit(3), 2 * PATIENCE).unref();
say("base url", mb.baseUrl === given);
await errors();
const hook = receiver();
const url = await hook.url;
const failing = await mb.dispatchBot({ meetingUrl: NONE, externalId: "failing" });
const short = await mb.dispatchBot({
  meetingUrl: SHORT, externalId: "short", onStatusChangeUrl: `${url}/status`, onFinalizeUrl: `${url}/final`, metadata: { n: 1 },
});
await controlled(await dispatched());
await recorded(short, hook.received);
await downloaded(short);
const ended = await mb.waitForBot(failing.id, { timeout: PATIENCE });
say("a failure", ended.status, ended.failureCode, ended.failureDetail, ended.manifestUri);
await fails("a manifest of nothing", () => mb.manifest(failing.id));
await lists();
await lookedUp(short);
await deleted(short);
hook.close();
