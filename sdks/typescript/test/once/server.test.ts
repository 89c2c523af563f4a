/** The whole surface against the real server, whose sandbox plays the meetings. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync, mkdtempSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { MeetBot, MeetbotConflictError, MeetbotUnauthorizedError, MeetbotValidationError, type CallStarted, type TimelineEvent } from "@meetbot/sdk";
import { nodeWebhookHandler, type WebhookEvent } from "@meetbot/sdk/webhooks";
import { serve, type Server } from "../server.ts";

let server: Server;
let mb: MeetBot;
before(async () => {
  server = await serve();
  mb = new MeetBot({ apiKey: server.key, baseUrl: server.url });
});
after(() => server.stop());

const sandbox = (scenario: string): string => `https://sandbox.meetbot.dev/${scenario}`;

/** Resolves once the job is in this status. */
async function until(jobId: string, status: string): Promise<void> {
  for await (const event of mb.watch(jobId)) if (event.data.status === status) return;
  assert.fail(`${jobId} has ended and was never ${status}`);
}

test("a job goes its way, each verb does what it says, and the recording is downloaded and deleted", async () => {
  const events: WebhookEvent[] = [];
  let last = (): void => {};
  const delivered = new Promise<void>((resolve) => (last = resolve));
  const onEvent = (event: WebhookEvent): void => {
    events.push(event);
    if (event.event === "job.artifact_ready" || event.event === "job.finalized") last();
  };
  const receiver = createServer(nodeWebhookHandler({ secret: server.secret, onEvent, onError: (error) => assert.fail(String(error)) }) as (request: IncomingMessage, response: ServerResponse) => void);
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const hook = `http://127.0.0.1:${(receiver.address() as { port: number }).port}/hook`;

  const params = {
    meetingUrl: sandbox("two-speakers?seconds=60"),
    externalId: `lesson-${process.pid}-${Date.now()}`,
    displayName: "Acme Notetaker",
    onFinalizeUrl: hook,
    onStatusChangeUrl: hook,
    metadata: { customer: "cust_4711", nested: [1, null, "é"] },
    autoLeave: { afterSoloSeconds: 30, afterSilenceSeconds: null },
  };
  const { data: job, response } = await mb.dispatchBot(params).withResponse();
  assert.deepEqual([response.status, response.attempts], [201, 1]);
  assert.match(response.requestId ?? "", /^req_/);
  assert.equal((await mb.dispatchBot(params)).id, job.id, "the same external id is the same job");
  assert.deepEqual(job.metadata, params.metadata);
  assert.deepEqual([job.autoLeave.afterSoloSeconds, job.autoLeave.afterSilenceSeconds, job.autoLeave.afterMaxSeconds], [30, null, 14400]);
  const watched: Promise<TimelineEvent[]> = (async () => {
    const seen: TimelineEvent[] = [];
    for await (const event of mb.watch(job.id)) seen.push(event);
    return seen;
  })();
  await until(job.id, "recording");
  await assert.rejects(async () => mb.deleteRecording(job.id), MeetbotConflictError);
  assert.equal((await mb.sendChatMessage(job.id, "hello 👋")).state, "done");
  assert.equal((await mb.requestRecordingPermission(job.id)).action, "request_recording_permission");
  assert.equal((await mb.pauseRecording(job.id)).recording.state, "paused");
  assert.equal((await mb.resumeRecording(job.id)).recording.state, "on");
  assert.equal((await mb.stopRecording(job.id)).recording.state, "stopped");
  assert.equal((await mb.leaveBot(job.id)).action, "leave_call");
  const ended = await mb.waitForBot(job.id);
  assert.deepEqual([ended.status, ended.leaveReason, ended.manifestUri?.startsWith("file://")], ["completed", "requested", true]);
  await assert.rejects(async () => mb.leaveBot(job.id), (error) => error instanceof MeetbotConflictError && error.code === "invalid_state");
  assert.equal(await mb.cancelBot(job.id), undefined, "no error when it had ended already");
  assert.deepEqual((await watched).map((event) => event.data.sequence), (await watched).map((_, index) => index + 1));

  await delivered;
  const finalized = events.find((event) => event.event === "job.finalized");
  assert.ok(finalized?.event === "job.finalized" && finalized.data.manifestUri === ended.manifestUri && finalized.data.jobId === job.id);

  const folder = join(mkdtempSync(join(tmpdir(), "meetbot-server-test-")), "recording");
  const received: Record<string, number> = {};
  const paths = await mb.downloadArtifacts(ended, folder, { onProgress: ({ name, received: bytes }) => void (received[name] = bytes) });
  const manifest = await mb.manifest(job.id);
  assert.deepEqual(readdirSync(folder).sort(), [...manifest.files.map((file) => file.name), "manifest.json"].sort());
  assert.ok(paths.at(-1)?.endsWith("manifest.json") && paths.length > 3);
  for (const file of manifest.files) assert.equal(received[file.name ?? ""], file.bytes, file.name ?? "");
  const text = new TextDecoder().decode(await mb.artifact(job.id, "events.jsonl"));
  assert.equal(text, readFileSync(join(folder, "events.jsonl"), "utf8"));
  const [file] = manifest.files;
  let bytes = 0;
  for await (const piece of mb.artifactStream(job.id, file!.name!, { expected: file })) bytes += piece.length;
  assert.equal(bytes, file!.bytes);

  const page = await mb.deliveries({ jobId: job.id, limit: 1 });
  assert.ok(page.nextCursor !== null);
  const states = new Set<string>();
  for await (const delivery of mb.iterDeliveries({ jobId: job.id })) states.add(delivery.state);
  assert.ok(states.has("delivered"));
  assert.equal((await mb.getDelivery(page.data[0]!.id))?.jobId, job.id);
  assert.equal((await mb.redeliver(page.data[0]!.id)).id, page.data[0]!.id);
  assert.equal(await mb.getDelivery("dlv_01KAB1CDEFGHJKMNPQRSTVWXYZ"), null);

  const receipt = await mb.deleteRecording(job.id);
  assert.ok(receipt.removed.some((one) => one.name?.endsWith("manifest.json")));
  await assert.rejects(async () => mb.manifest(job.id), { kind: "not_found" });
  assert.ok((await mb.getJob(job.id))?.recording.deletedAt);
  await new Promise((resolve) => receiver.close(resolve));
  receiver.closeAllConnections();
});

test("a list goes from page to page, and an iterator over all of it", async () => {
  const sent: string[] = [];
  for (const seconds of [60, 61, 62]) sent.unshift((await mb.dispatchBot({ meetingUrl: sandbox(`two-speakers?seconds=${seconds}`) })).id);
  const first = await mb.listBots({ limit: 2 });
  assert.deepEqual(first.data.map((job) => job.id), sent.slice(0, 2));
  assert.equal((await mb.listBots({ limit: 2, cursor: first.nextCursor })).data[0]?.id, sent[2]);
  const found: string[] = [];
  for await (const job of mb.iterBots({ limit: 1 })) {
    found.push(job.id);
    if (found.length === 3) break;
  }
  assert.deepEqual(found, sent);
  for (const id of sent) await mb.cancelBot(id);
  assert.equal((await mb.waitForBot(sent[0]!)).status, "cancelled");
});

test("a wait receives every change without constant polling", async () => {
  const asked: string[] = [];
  const listening = new MeetBot({ apiKey: server.key, baseUrl: server.url, onRequest: (call: CallStarted) => void asked.push(call.path) });
  const job = await listening.dispatchBot({ meetingUrl: sandbox("two-speakers?seconds=4") });
  const seen: string[] = [];
  const ended = await listening.waitForBot(job.id, { onUpdate: (one) => void seen.push(JSON.stringify(one)) });
  assert.deepEqual([ended.status, seen.at(-1)], ["completed", JSON.stringify(ended)]);
  assert.equal(new Set(seen).size, seen.length);
  assert.ok(seen.length >= 3);
});

test("all issues are reported together, and a wrong key is an error", async () => {
  await assert.rejects(async () => mb.dispatchBot({ meetingUrl: "not-a-url", displayName: "" }), (error) => {
    assert.ok(error instanceof MeetbotValidationError);
    assert.deepEqual([error.status, error.code, error.issues.map((issue) => issue.path)], [400, "invalid_input", [["meetingUrl"], ["displayName"]]]);
    assert.match(error.requestId ?? "", /^req_/);
    return true;
  });
  const other = new MeetBot({ apiKey: `mb_test_${"0".repeat(40)}`, baseUrl: server.url });
  await assert.rejects(async () => other.listBots(), (error) => error instanceof MeetbotUnauthorizedError && error.status === 401 && error.code === "unauthorized");
  assert.equal(await mb.getBot("job_01KAB1CDEFGHJKMNPQRSTVWXYZ"), null);
  assert.equal(await mb.getBot("../jobs"), null, "an id is one segment of the path, whatever is in it");
  assert.match((await mb.usage()).month ?? "", /^\d{4}-\d\d$/);
  await assert.rejects(async () => mb.host(), { kind: "forbidden" });
});

test("a key of scope admin sees the machine, and erases all that its consumer has, itself included", async () => {
  const own = await serve("admin");
  try {
    const admin = new MeetBot({ apiKey: own.key, baseUrl: own.url });
    const ended = await admin.waitForBot((await admin.dispatchBot({ meetingUrl: sandbox("two-speakers?seconds=1") })).id);
    assert.equal(ended.status, "completed");
    const host = await admin.host();
    assert.deepEqual([host.draining, host.jobs["completed"]], [false, 1]);
    assert.ok(host.memory.totalBytes > 0 && host.cpu.cores > 0 && host.disk.totalBytes > host.disk.freeBytes);
    await assert.rejects(async () => admin.eraseConsumer("another"), MeetbotValidationError);
    await assert.rejects(async () => mb.eraseConsumer("default"), { kind: "forbidden" });
    const receipt = await admin.eraseConsumer("default");
    assert.deepEqual([receipt.consumer, receipt.jobs, receipt.keys], ["default", 1, 1]);
    assert.ok(receipt.erasedAt !== null && receipt.removed.some((one) => one.name?.endsWith("manifest.json") && one.bytes > 0));
    await assert.rejects(async () => admin.listBots(), MeetbotUnauthorizedError);
  } finally {
    await own.stop();
  }
});
