/** A call that is given up ends at once, in every phase, and leaves nothing behind: no socket, no timer, no listener. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { getEventListeners } from "node:events";
import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { test } from "node:test";

import { MeetBot, MeetbotTimeoutError } from "@meetbot/sdk";
import { MockServer } from "@meetbot/sdk/testing";
import { HANG, HANG_IN_BODY, KEY, ScriptedServer, answer, refusal, stream, type Reply } from "./scripted.ts";
import { modelOf } from "./repository.ts";
import { inNode } from "./runtimes.ts";

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
  const phases: [string, Reply[], (server: ScriptedServer) => Promise<void>][] = [
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
      const server = await ScriptedServer.start([...replies]);
      assert.equal(await aborted((signal) => call(server.client(), signal), () => begun(server)), "given up", phase);
      await server.hungUp();
    }
  }
});

test("cancelling ends a call at once while it connects", async () => {
  // The handshake of TLS gets no answer.
  const server = await ScriptedServer.start([HANG]);
  const mb = new MeetBot({ apiKey: KEY, baseUrl: server.url.replace("http:", "https:") });
  const begun = (): Promise<void> => server.connected();
  assert.equal(await aborted((signal) => mb.getBot("job_1", { signal }), begun), "given up");
});

test("cancelling ends a stream at once in every phase", async () => {
  const phases: [string, Reply, (server: ScriptedServer) => Promise<void>][] = [
    ["before the headers", HANG, (server) => server.came(1)],
    ["between two signs of life", stream(": alive\n\n"), (server) => server.came(1)],
    ["in a pause between connections", refusal(503, "unavailable", { "Retry-After": "60", Connection: "close" }), (server) => server.hungUpOnce()],
  ];
  for (const [phase, reply, begun] of phases) {
    const server = await ScriptedServer.start([HANG], reply);
    assert.equal(await aborted((signal) => server.client().watch("job_1", { signal }).next(), () => begun(server)), "given up", phase);
    await server.hungUp();
  }
});

test("cancelling ends a download in every phase, and nothing is left of it", async () => {
  const pending = answer({ ...modelOf("manifest"), mixed: { state: "pending" } }, 200, { Connection: "close" });
  const file = answer({ ...modelOf("manifest"), files: [{ name: "a.webm", bytes: 5000, sha256: null }], mixed: {} });
  const phases: [Reply[], (server: ScriptedServer) => Promise<void>][] = [
    [[HANG], (server) => server.came(1)],
    [[HANG_IN_BODY], (server) => server.came(1)],
    [[refusal(503, "unavailable", { "Retry-After": "60", Connection: "close" })], (server) => server.hungUpOnce()],
    [[pending], (server) => server.hungUpOnce()],
    [[file, HANG], (server) => server.came(2)],
    [[file, HANG_IN_BODY], (server) => server.came(2)],
  ];
  for (const [replies, begun] of phases) {
    const folder = mkdtempSync(join(tmpdir(), "meetbot-cancelled-"));
    const server = await ScriptedServer.start([...replies]);
    const controller = new AbortController();
    const call = server.client({ timeout: 600_000 }).downloadArtifacts("job_1", folder, { signal: controller.signal });
    const ended = assert.rejects(call, (reason) => reason === "given up");
    await begun(server);
    controller.abort("given up");
    await ended;
    assert.deepEqual(readdirSync(folder), []);
  }
});

test("a signal that is aborted before the call sends nothing", async () => {
  const server = await ScriptedServer.start([answer(JOB)]);
  const signal = AbortSignal.abort("too late");
  for (const call of [() => server.client().getBot("job_1", { signal }), () => server.client().watch("job_1", { signal }).next(), () => server.client().withOptions({ signal }).waitForBot("job_1")]) {
    await assert.rejects(async () => call(), (reason) => reason === "too late");
  }
  assert.equal((await server.requests()).length, 0);
});

test("a fetch that ignores signals is ended too", async () => {
  const mb = new MeetBot({ apiKey: KEY, baseUrl: "http://x.invalid", fetch: () => new Promise(() => {}), timeout: 30, maxRetries: 0 });
  await assert.rejects(async () => mb.getBot("job_1"), (error) => error instanceof MeetbotTimeoutError);
  assert.equal(await aborted((signal) => mb.getBot("job_1", { signal, timeout: 60_000 }), async () => {}), "given up");
});

test("a stream that is left, or whose signal is aborted, closes its connection", async () => {
  const events = stream(": alive\n\n");
  const server = await ScriptedServer.start([HANG], events);
  const watch = server.client().watch("job_1");
  const pending = watch.next();
  await server.came(1);
  assert.deepEqual(await watch.return(), { done: true, value: undefined });
  assert.deepEqual(await pending, { done: true, value: undefined });
  assert.deepEqual(await watch.next(), { done: true, value: undefined });
  await server.hungUp();
  // Between two events there is no pending read, and the socket stays open.
  const controller = new AbortController();
  const event = { event: "job.status_changed", data: { sequence: 1 } };
  const lively = await ScriptedServer.start([HANG], stream(`data: ${JSON.stringify(event)}\n\n`));
  const open = lively.client().watch("job_1", { signal: controller.signal });
  await open.next();
  assert.equal(await lively.open(), 1);
  controller.abort("enough");
  await lively.hungUp();
  await assert.rejects(open.next(), (reason) => reason === "enough");
  // `for await` calls return() by itself.
  const left = await ScriptedServer.start([HANG], stream(`data: ${JSON.stringify(event)}\n\n`));
  for await (const _ of left.client().watch("job_1")) break;
  await left.hungUp();
  const dispose = (Symbol as { asyncDispose?: symbol }).asyncDispose;
  if (dispose !== undefined) assert.equal(typeof (left.client().watch("job_1") as unknown as Record<symbol, unknown>)[dispose], "function");
});

inNode("10,000 calls over the network with one signal leave no listener and no memory behind", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const server = await ScriptedServer.start([answer(JOB)]);
  const mb = server.client();
  const { signal } = new AbortController();
  const calls = async (count: number): Promise<number> => {
    for (let index = 0; index < count; index++) {
      await mb.getBot("job_1", { signal });
    }
    (await server.requests()).length = 0;
    // Finalizers have run after the next turn.
    for (let round = 0; round < 3; round++) {
      collect();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return process.memoryUsage().heapUsed;
  };
  const before = await calls(1_000);
  const grown = (await calls(10_000)) - before;
  // A closure and a listener for each call would be 10 MB; what Node.js itself keeps of compiled code was 2 MB on a busy machine.
  assert.ok(grown < 5 * 1024 * 1024, `${grown} bytes`);
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("10,000 calls with one signal leave no listener", async () => {
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

inNode("a process ends by itself after its calls, however they end: no timer and no handle is left", async () => {
  const good = await ScriptedServer.start([refusal(503, "unavailable", { "Retry-After": "0", Connection: "close" }), answer(JOB, 200, { Connection: "close" })]);
  const hanging = await ScriptedServer.start([HANG], stream(": alive\n\n"));
  const pausing = await ScriptedServer.start([refusal(503, "unavailable", { "Retry-After": "59", Connection: "close" })]);
  const program = `
    import { MeetBot } from "@meetbot/sdk";
    const options = { apiKey: "${KEY}", timeout: 600_000, deadline: 600_000 };
    const client = (baseUrl) => new MeetBot({ ...options, baseUrl });
    await client("${good.url}").getBot("job_1");
    const outcomes = [];
    const outcome = (call) => call.then(() => outcomes.push("done"), (error) => outcomes.push(error.kind ?? error));
    await outcome(client("${hanging.url}").getBot("job_1", { timeout: 50, maxRetries: 0 }));
    for (const url of ["${hanging.url}", "${pausing.url}"]) {
      const controller = new AbortController();
      const ended = outcome(client(url).getBot("job_1", { signal: controller.signal }));
      setTimeout(() => controller.abort("given up"), 50);
      await ended;
    }
    const watch = client("${hanging.url}").watch("job_1");
    const next = watch.next();
    await watch.return();
    await outcome(next);
    console.log(outcomes.join());
  `;
  const out = await new Promise<string>((resolve, reject) => {
    const options = { cwd: fileURLToPath(new URL("..", import.meta.url)), timeout: 120_000 };
    execFile(process.execPath, ["--input-type=module", "--eval", program], options, (error, stdout) => (error ? reject(error) : resolve(stdout)));
  });
  // A timer of ours would be for ten minutes, and the process is ended after two, which is an error.
  assert.equal(out.trim(), "timeout,given up,given up,done");
});
