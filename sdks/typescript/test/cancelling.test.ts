/** A call that is given up ends at once, in every phase, and leaves nothing behind: no socket, no timer, no listener. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

import { MeetBot, MeetbotTimeoutError } from "@meetbot/sdk";
import { MockServer } from "@meetbot/sdk/testing";
import { HANG, HANG_IN_BODY, KEY, LyingServer, answer, refusal, stream, type Reply } from "./lying.ts";
import { modelOf } from "./repository.ts";

const JOB = modelOf("job");

/** Aborts the call once `begun` says so, and gives the reason with which it rejects. A timer of 50 ms that begins with the abort has to be behind it. */
async function aborted(call: (signal: AbortSignal) => PromiseLike<unknown>, begun: () => Promise<void>): Promise<unknown> {
  const controller = new AbortController();
  const under = Promise.resolve(call(controller.signal)).then(
    () => assert.fail("the call has succeeded"),
    (reason: unknown) => reason,
  );
  await begun();
  controller.abort("given up");
  const late = new Promise((resolve) => setTimeout(resolve, 50, "50 ms later"));
  return Promise.race([under, late]);
}

test("cancelling ends a call at once in every phase, with the signal's own reason", async () => {
  const phases: [string, Reply[], (server: LyingServer) => Promise<void>][] = [
    ["before the headers", [HANG], (server) => server.came(1)],
    ["in the body", [HANG_IN_BODY], (server) => server.came(1)],
    ["in a pause between tries", [refusal(503, "unavailable", { "Retry-After": "60", Connection: "close" })], (server) => server.hungUpOnce()],
    ["before it is sent", [HANG], async () => {}],
  ];
  for (const [phase, replies, begun] of phases) {
    const calls: ((mb: MeetBot, signal: AbortSignal) => PromiseLike<unknown>)[] = [
      (mb, signal) => mb.getBot("job_1", { signal }),
      (mb, signal) => mb.artifact("job_1", "a.webm", { signal }),
      (mb, signal) => mb.waitForBot("job_1", { signal }),
      (mb, signal) => mb.iterBots({}, { signal }).next(),
    ];
    for (const call of calls) {
      const server = await LyingServer.start([...replies]);
      assert.equal(await aborted((signal) => call(server.client(), signal), () => begun(server)), "given up", phase);
      await server.hungUp();
    }
  }
});

test("a signal that is aborted before the call sends nothing", async () => {
  const server = await LyingServer.start([answer(JOB)]);
  const signal = AbortSignal.abort("too late");
  for (const call of [() => server.client().getBot("job_1", { signal }), () => server.client().watch("job_1", { signal }).next(), () => server.client().withOptions({ signal }).waitForBot("job_1")]) {
    await assert.rejects(async () => call(), (reason) => reason === "too late");
  }
  assert.equal(server.requests.length, 0);
});

test("a fetch that does not listen to signals ends too", async () => {
  const mb = new MeetBot({ apiKey: KEY, baseUrl: "http://x.invalid", fetch: () => new Promise(() => {}), timeout: 30, maxRetries: 0 });
  await assert.rejects(async () => mb.getBot("job_1"), (error) => error instanceof MeetbotTimeoutError);
  assert.equal(await aborted((signal) => mb.getBot("job_1", { signal, timeout: 60_000 }), async () => {}), "given up");
});

test("a stream that is left, or whose signal is aborted, closes its connection", async () => {
  const events = stream(": alive\n\n");
  const server = await LyingServer.start([HANG], events);
  const watch = server.client().watch("job_1");
  const pending = watch.next();
  await server.came(1);
  assert.deepEqual(await watch.return(), { done: true, value: undefined });
  assert.deepEqual(await pending, { done: true, value: undefined });
  assert.deepEqual(await watch.next(), { done: true, value: undefined });
  await server.hungUp();
  // Between two events nobody asks, and the socket is open all the same.
  const controller = new AbortController();
  const event = { event: "job.status_changed", data: { sequence: 1 } };
  const lively = await LyingServer.start([HANG], stream(`data: ${JSON.stringify(event)}\n\n`));
  const open = lively.client().watch("job_1", { signal: controller.signal });
  await open.next();
  assert.equal(lively.open, 1);
  controller.abort("enough");
  await lively.hungUp();
  await assert.rejects(open.next(), (reason) => reason === "enough");
  // `for await` calls return() by itself.
  const left = await LyingServer.start([HANG], stream(`data: ${JSON.stringify(event)}\n\n`));
  for await (const _ of left.client().watch("job_1")) break;
  await left.hungUp();
  const dispose = (Symbol as { asyncDispose?: symbol }).asyncDispose;
  if (dispose !== undefined) assert.equal(typeof (left.client().watch("job_1") as unknown as Record<symbol, unknown>)[dispose], "function");
});

test("10,000 calls with one signal leave no listener and little memory", async () => {
  const mock = new MockServer();
  mock.jobs.set(JOB.id, JOB);
  const mb = mock.client();
  const { signal } = new AbortController();
  let listeners = 0;
  let most = 0;
  const counted = {
    get aborted() {
      return signal.aborted;
    },
    addEventListener(type: "abort", listener: () => void) {
      most = Math.max(most, ++listeners);
      signal.addEventListener(type, listener);
    },
    removeEventListener(type: "abort", listener: () => void) {
      listeners -= 1;
      signal.removeEventListener(type, listener);
    },
  };
  for (let index = 0; index < 10_000; index++) {
    await mb.getBot(JOB.id, { signal: counted });
    mock.requests.length = 0;
  }
  assert.deepEqual([listeners, most], [0, 1]);
  // Streams too, whether they end, fail or are left.
  for (let index = 0; index < 20; index++) {
    await mb.watch(JOB.id, { signal: counted }).next().catch(() => {});
    const jobs = mb.iterBots({}, { signal: counted });
    await jobs.next();
    await jobs.return();
  }
  assert.equal(listeners, 0);
});

test("a process ends by itself after its calls: no timer and no handle is left", async () => {
  const server = await LyingServer.start([refusal(503, "unavailable", { "Retry-After": "0", Connection: "close" }), answer(JOB, 200, { Connection: "close" })]);
  const program = `
    import { MeetBot } from "@meetbot/sdk";
    const mb = new MeetBot({ apiKey: "${KEY}", baseUrl: "${server.url}", timeout: 600_000, deadline: 600_000 });
    await mb.getBot("job_1");
    const left = process.getActiveResourcesInfo().filter((name) => name === "Timeout");
    console.log(JSON.stringify(left));
  `;
  const out = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, ["--input-type=module", "--eval", program], { cwd: fileURLToPath(new URL("..", import.meta.url)) }, (error, stdout) => (error ? reject(error) : resolve(stdout)));
  });
  // undici keeps a timer of its own for a moment; one of ours would be for ten minutes, and the process would not have ended.
  assert.ok(out.startsWith("["), out);
});
