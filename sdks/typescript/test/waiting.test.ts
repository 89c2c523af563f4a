/** `waitForBot`: when it asks, what it tells, and when it gives up. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { MeetbotNotFoundError, MeetbotTimeoutError } from "@meetbot/sdk";
import { Rules } from "../dist/wait.js";
import { HANG, ScriptedServer, RESET, answer, refusal, stream } from "./scripted.ts";
import { modelOf } from "./repository.ts";

const NO_STREAM = answer("", 501);
const JOB = modelOf("job");
const in_ = (status: string, fields: object = {}): object => ({ ...JOB, status, ...fields });

test("it asks often at first and seldom later, and less while events come", () => {
  const rules = new Rules("j", null);
  assert.deepEqual([0, 10_000, 30_000, 3_600_000].map((waited) => rules.pause(waited, false)), [200, 1_000, 3_000, 5_000]);
  assert.deepEqual([0, 10_000, 30_000, 3_600_000].map((waited) => rules.pause(waited, true)), [2_000, 2_000, 3_000, 5_000]);
});

test("a restarting server does not end the wait, and a missing one does", () => {
  assert.equal(new Rules("j", null).failed(true, 299_000, false), 5_000);
  assert.equal(new Rules("j", null).failed(true, 301_000, false), null);
  assert.equal(new Rules("j", null).failed(false, 0, false), null);
  const seen = new Rules("j", null);
  seen.answered("recording", 100_000, false);
  assert.equal(seen.failed(true, 399_000, false), 5_000);
});

test("a time limit is kept and named in the error", () => {
  const rules = new Rules("j", 10_000);
  // The last question before the end has a second.
  assert.deepEqual([7_500, 8_500, 9_000, 9_900].map((waited) => rules.failed(true, waited, true)), [1_500, 500, 1_000, 100]);
  assert.throws(() => rules.failed(true, 10_000, true), { kind: "timeout", message: "the job j is not seen yet after 10 s; it goes on" });
  assert.equal(rules.answered("failed", 11_000, false), null, "what has ended has ended, also when the time is over");
});

test("it reports changes, and not updates without a change", async () => {
  const states = [in_("joining"), in_("joining", { updatedAt: "2026-11-23T10:00:01.000Z" }), in_("recording"), in_("resting"), in_("completed")];
  const server = await ScriptedServer.start(states.map((state) => answer(state)), NO_STREAM);
  const seen: string[] = [];
  const job = await server.client().waitForBot("job_1", { onUpdate: (one) => void seen.push(one.status) });
  assert.deepEqual([seen, job.status], [["joining", "recording", "resting", "completed"], "completed"]);
});

test("an event is asked after at once", async () => {
  const event = (sequence: number): string => `data: ${JSON.stringify({ event: "job.status_changed", data: { sequence } })}\n\n`;
  const server = await ScriptedServer.start([answer(in_("joining")), answer(in_("recording")), answer(in_("completed"))], stream(event(1)));
  await server.client().waitForBot("job_1", { onUpdate: (job) => void (job.status === "recording" && server.send(event(2))) });
  assert.equal((await server.requests()).length, 4, "three questions and one stream");
});

test("temporary errors are retried, and an unknown job is an error", async () => {
  const server = await ScriptedServer.start([RESET, refusal(503, "unavailable", { "Retry-After": "0" }), answer(in_("completed"))], NO_STREAM);
  assert.equal((await server.client({ maxRetries: 0 }).waitForBot("job_1")).status, "completed");
  const absent = await ScriptedServer.start([refusal(404, "not_found")]);
  await assert.rejects(absent.client().waitForBot("job_1"), (error: unknown) => error instanceof MeetbotNotFoundError && error.status === 404 && error.code === "not_found" && error.attempts === 1);
  const forbidden = await ScriptedServer.start([refusal(403, "forbidden")]);
  await assert.rejects(forbidden.client().waitForBot("job_1"), { kind: "forbidden" });
});

test("a request that hangs does not outlive the wait", async () => {
  const server = await ScriptedServer.start([answer(in_("recording")), HANG], NO_STREAM);
  await assert.rejects(server.client({ timeout: 60_000 }).waitForBot("job_1", { timeout: 700 }), (error: unknown) => error instanceof MeetbotTimeoutError && error.kind === "timeout");
});

test("an error of onUpdate is the caller's own", async () => {
  const server = await ScriptedServer.start([answer(in_("joining"))], NO_STREAM);
  await assert.rejects(server.client().waitForBot("job_1", { onUpdate: () => { throw new RangeError("mine"); } }), RangeError);
});
