/** `@meetbot/sdk/testing`: what the played server does. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { KEY, MockServer, job, signWebhook } from "@meetbot/sdk/testing";

test("jobs are dispatched once per external id and idempotency key, listed, controlled and cancelled", async () => {
  const mock = new MockServer();
  const mb = mock.client();
  const first = await mb.dispatchBot({ meetingUrl: "https://meet.example/a", externalId: "x-1", autoLeave: { afterSoloSeconds: null } });
  assert.deepEqual([first.status, first.autoLeave.afterSoloSeconds, first.autoLeave.afterMaxSeconds], ["queued", null, 14400]);
  assert.equal((await mb.dispatchBot({ meetingUrl: "https://meet.example/b", externalId: "x-1" })).id, first.id);
  const once = await mb.dispatchBot({ meetingUrl: "https://meet.example/c" }, { idempotencyKey: "k" });
  assert.equal((await mb.dispatchBot({ meetingUrl: "https://meet.example/c" }, { idempotencyKey: "k" })).id, once.id);
  await assert.rejects(async () => mb.dispatchBot({ meetingUrl: "https://meet.example/d" }, { idempotencyKey: "k" }), { kind: "validation", code: "idempotency_mismatch" });
  const page = await mb.listBots({ limit: 1 });
  assert.deepEqual([page.data[0]?.id, page.nextCursor], [once.id, "1"]);
  const ids: string[] = [];
  for await (const one of mb.iterBots({ status: ["queued", "failed"] })) ids.push(one.id);
  assert.deepEqual(ids, [once.id, first.id]);
  assert.equal((await mb.pauseRecording(first.id)).action, "pause_recording");
  mock.setJob(first.id, { status: "completed" });
  assert.equal((await mb.waitForBot(first.id)).status, "completed");
  await mb.cancelBot(once.id);
  assert.equal((await mb.getBot(once.id))?.status, "cancelled");
  assert.equal(await mb.getBot("job_none"), null);
  await assert.rejects(async () => mb.usage(), { status: 501, code: "not_played" });
  assert.ok(!JSON.stringify(mock.requests).includes(KEY));
  assert.equal(mock.requests[0]?.method, "POST");
});

test("custom answers and failures come first", async () => {
  const mock = new MockServer();
  mock.answerNext(503, { error: "unavailable" }, { "Retry-After": "0" });
  mock.failNext(new TypeError("fetch failed"));
  assert.deepEqual((await mock.client().listBots()).data, []);
  assert.equal(mock.requests.length, 3);
  assert.throws(() => mock.setJob("job_none", {}), { kind: "configuration" });
  assert.throws(() => job({ state: "queued" } as never), { kind: "configuration" });
  assert.throws(() => signWebhook({}, "no secret"), { kind: "configuration" });
});
