/** Calls to a server with invalid answers: each gives its documented error with the body and without the key. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { MeetBot, MeetbotConnectionError, MeetbotError, MeetbotServerError, MeetbotTimeoutError, createMeetbot, type Options } from "@meetbot/sdk";
import { CUT, CUT_CHUNKED, FLOOD, HANG, HANG_IN_BODY, KEY, RESET, ScriptedServer, answer, raw, refusal, type Reply } from "./scripted.ts";
import { modelOf } from "./repository.ts";
import { inNode } from "./runtimes.ts";

const JOB = modelOf("job");

/** The error of a call. */
async function errorOf(call: () => PromiseLike<unknown>): Promise<MeetbotError> {
  let found: unknown;
  await assert.rejects(async () => call(), (error) => {
    found = error;
    return true;
  });
  assert.ok(found instanceof MeetbotError, inspect(found));
  return found;
}

/** Everything that can be seen of it. */
function seen(value: unknown): string {
  const error = value as { stack?: string; cause?: unknown };
  return [inspect(value, { depth: 20, showHidden: true, getters: true }), JSON.stringify(value), String(value), error.stack, inspect(error.cause, { depth: 20, showHidden: true })].join("\n");
}

test("a call is retried after temporary errors, with one idempotency key", async () => {
  for (const reply of [refusal(429, "rate_limited", { "Retry-After": "0" }), refusal(500, "internal_error"), answer("<html>", 502), refusal(503, "unavailable"), answer("", 504), RESET, CUT, CUT_CHUNKED] as Reply[]) {
    const server = await ScriptedServer.start([reply, answer(JOB, 201)]);
    const { data, response } = await server.client().dispatchBot({ meetingUrl: "https://m.example/1" }).withResponse();
    assert.equal(data.id, JOB.id);
    assert.deepEqual([response.status, response.attempts, (await server.requests()).length], [201, 2, 2]);
    const keys = (await server.requests()).map((request) => request.headers["idempotency-key"]);
    assert.ok(keys[0] !== undefined && keys[0].length === 32 && keys[0] === keys[1], String(keys));
    assert.equal((await server.requests())[1]?.body, '{"meetingUrl":"https://m.example/1"}');
  }
});

test("the three forms of Retry-After are waited for, and no longer than a minute", async () => {
  const later = new Date(Date.now() - 60_000);
  const utc = later.toUTCString();
  const [, day, month, year, time] = /^\w+, (\d+) (\w+) (\d+) ([\d:]+)/.exec(utc) as unknown as string[];
  const forms = ["0.01", utc, `Sunday, ${day}-${month}-${year!.slice(2)} ${time} GMT`, `Sun ${month} ${String(Number(day)).padStart(2)} ${time} ${year}`];
  for (const form of forms) {
    const server = await ScriptedServer.start([refusal(503, "unavailable", { "Retry-After": form }), answer(JOB)]);
    assert.equal((await server.client().getBot("job_1"))?.id, JOB.id);
  }
  const server = await ScriptedServer.start([refusal(429, "quota_exceeded", { "Retry-After": "86400" })]);
  const error = await errorOf(() => server.client().getBot("job_1"));
  assert.deepEqual([error.kind, error.code, error.retryAfterSeconds, error.attempts, error.transient], ["rate_limit", "quota_exceeded", 86400, 1, true]);
});

test("a conflict is retried only with a Retry-After", async () => {
  const patient = await ScriptedServer.start([refusal(409, "conflict", { "Retry-After": "0" }), answer(JOB, 201)]);
  await patient.client().dispatchBot({ meetingUrl: "https://m.example/1" });
  assert.equal((await patient.requests()).length, 2);
  const server = await ScriptedServer.start([refusal(409, "invalid_state")]);
  const error = await errorOf(() => server.client().leaveBot("job_1"));
  assert.deepEqual([error.kind, error.code, error.attempts, error.idempotencyKey], ["conflict", "invalid_state", 1, (await server.requests())[0]?.headers["idempotency-key"]]);
});

test("a permanent failure is an error after all tries, with the server's message", async () => {
  const server = await ScriptedServer.start([answer("<html>bad gateway</html>", 502, { "X-Request-Id": "req_of_the_header" })]);
  const error = await errorOf(() => server.client({ maxRetries: 1 }).getBot("job_1"));
  assert.deepEqual([error.kind, error.status, error.code, error.body, error.requestId, error.attempts], ["server", 502, null, "<html>bad gateway</html>", "req_of_the_header", 2]);
  assert.ok(error.message.includes("<html>bad gateway</html>"));
});

test("an error of a POST has the idempotency key that was sent, whatever the error is, and the hook sees it", async () => {
  const replies: Reply[] = [answer({ no: "id" }), answer("<html>", 200), answer([], 201), FLOOD, refusal(422, "invalid_input"), CUT, answer("", 302, { Location: "/" })];
  for (const reply of replies) {
    const server = await ScriptedServer.start([reply]);
    const ended: any[] = [];
    const mb = server.client({ maxRetries: 0, onResponse: (call) => void ended.push(call.error) });
    const calls = [() => mb.dispatchBot({ meetingUrl: "https://m.example/1" }), () => mb.leaveBot("job_1"), () => mb.redeliver("dlv_1", { idempotencyKey: "mine" })];
    for (const [index, call] of calls.entries()) {
      const error = await errorOf(call);
      const sent = (await server.requests())[index]?.headers["idempotency-key"];
      assert.ok(sent !== undefined && error.idempotencyKey === sent, `${error.message}: ${error.idempotencyKey}, not ${sent}`);
      assert.deepEqual([error.attempts, ended[index] === error], [1, true]);
    }
    assert.equal((await server.requests())[2]?.headers["idempotency-key"], "mine");
  }
});

test("lost connections, cut bodies and floods are errors that say so", async () => {
  const cases: [Reply, string, RegExp][] = [
    [RESET, "connection", /reset|closed/i],
    [CUT, "connection", /./],
    [CUT_CHUNKED, "connection", /./],
    [FLOOD, "decode", /larger than the 67108864 bytes/],
    [answer("x".repeat(100), 200, { Connection: "close" }), "decode", /not JSON: x+/],
    [raw("SSH-2.0-OpenSSH_9.6\r\n"), "connection", /./],
  ];
  for (const [reply, kind, message] of cases) {
    const server = await ScriptedServer.start([reply]);
    const error = await errorOf(() => server.client({ maxRetries: 0 }).getBot("job_1"));
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, message);
    assert.equal(error.attempts, 1);
    assert.ok(kind !== "connection" || error instanceof MeetbotConnectionError);
    await server.hungUp();
  }
});

inNode("what is no HTTP is shown, and only TLS is taken for https", async () => {
  const https = /is it reached with https:\/\/, and not with http:\/\/\?$/;
  const cases: [Reply, RegExp][] = [
    [raw("SSH-2.0-OpenSSH_9.6\r\n"), /begins with "SSH-2\.0-OpenSSH_9\.6\\r\\n"$/],
    [raw("\x17\x03\x03\0"), /begins with "\\u0017\\u0003\\u0003\\u0000"$/],
    [raw(`220 ${KEY} ${"x".repeat(10_000)}\r\n`), /begins with "220 mb_… x{100,}…"$/],
    [raw(Buffer.from("15030100020246", "hex")), https],
    [raw(Buffer.from("160303002c0200", "hex")), https],
  ];
  for (const [reply, message] of cases) {
    const server = await ScriptedServer.start([reply]);
    const error = await errorOf(() => server.client({ maxRetries: 0 }).getBot("job_1"));
    assert.deepEqual([error.kind, error.attempts], ["connection", 1], error.message);
    assert.match(error.message, message);
    await server.hungUp();
  }
});

test("an unreachable server is an error with the reason that fetch hides", async () => {
  const server = await ScriptedServer.start([HANG]);
  const { url } = server;
  await server.close();
  const error = await errorOf(() => new MeetBot({ apiKey: KEY, baseUrl: url, maxRetries: 0 }).getBot("job_1"));
  assert.equal(error.kind, "connection");
  assert.match(error.message, /refused/i);
  assert.ok(error.message.includes(`${url}/api/v1/jobs/job_1`), error.message);
  assert.ok(error.cause instanceof Error);
});

test("the time limit of a try covers its body, and the deadline all tries", async () => {
  for (const reply of [HANG, HANG_IN_BODY]) {
    const server = await ScriptedServer.start([reply, answer(JOB)]);
    assert.equal((await server.client({ timeout: 1000 }).getBot("job_1"))?.id, JOB.id);
    const hanging = await ScriptedServer.start([reply]);
    const error = await errorOf(() => hanging.client({ timeout: 50, maxRetries: 0 }).getBot("job_1"));
    assert.ok(error instanceof MeetbotTimeoutError && error instanceof MeetbotConnectionError);
    assert.match(error.message, /no whole answer within 0.05 s/);
    await hanging.hungUp();
  }
  const server = await ScriptedServer.start([HANG]);
  const error = await errorOf(() => server.client({ timeout: 60_000 }).getBot("job_1", { deadline: 80 }));
  assert.deepEqual([error.kind, error.attempts], ["timeout", 1]);
  const busy = await ScriptedServer.start([refusal(503, "unavailable", { "Retry-After": "30" })]);
  const early = await errorOf(() => busy.client({ deadline: 10_000 }).getBot("job_1"));
  assert.deepEqual([early.kind, early.status, early.attempts], ["server", 503, 1], "a pause beyond the deadline is not begun");
});

test("redirects are not followed with the key", async () => {
  const other = await ScriptedServer.start([answer(JOB)]);
  for (const status of [301, 302, 303, 307, 308]) {
    const server = await ScriptedServer.start([answer("", status, { Location: `${other.url}/elsewhere?signature=secret` })]);
    const error = await errorOf(() => server.client().getBot("job_1"));
    assert.deepEqual([error.kind, error.status], ["unexpected_status", status]);
    assert.match(error.message, /is redirected to "http:\/\/127.0.0.1:\d+\/elsewhere": is the base URL right\?/);
  }
  assert.equal((await other.requests()).length, 0);
});

test("a redirect of an artifact is followed without the key, a few times", async () => {
  const store = await ScriptedServer.start([answer(Buffer.from("abc"), 200)]);
  const server = await ScriptedServer.start([answer("", 302, { Location: `${store.url}/bucket/a?X-Signature=1` })]);
  assert.equal(Buffer.from(await server.client().artifact("job_1", "a.webm")).toString(), "abc");
  assert.equal((await server.requests())[0]?.headers["authorization"], `Bearer ${KEY}`);
  assert.equal((await store.requests())[0]?.headers["authorization"], undefined);
  assert.equal((await store.requests())[0]?.path, "/bucket/a?X-Signature=1");
  const circle = await ScriptedServer.start([answer("", 302, { Location: "/again" })]);
  const error = await errorOf(() => circle.client().artifact("job_1", "a.webm"));
  assert.equal(error.kind, "unexpected_status");
  const asked = await circle.requests();
  assert.ok(asked.length <= 7 && asked.slice(1).every((one) => one.headers["authorization"] === undefined));
  await circle.close();
});

test("only the code not_found is null: another 404 is a wrong address", async () => {
  const server = await ScriptedServer.start([refusal(404, "not_found")]);
  const { data, response } = await server.client().getJob("job_1").withResponse();
  assert.deepEqual([data, response.status, response.requestId], [null, 404, null]);
  assert.equal(await server.client().getDelivery("dlv_1"), null);
  assert.equal((await errorOf(() => server.client().manifest("job_1"))).kind, "not_found");
  const proxy = await ScriptedServer.start([answer("<html>nginx</html>", 404)]);
  const error = await errorOf(() => proxy.client().getBot("job_1"));
  assert.equal(error.kind, "unexpected_status");
  assert.match(error.message, /is the base URL right\?/);
});

test("the API key is in no print, inspection, JSON, log, error or cause", async () => {
  const lines: unknown[] = [];
  const logger = { debug: (...data: unknown[]) => void lines.push(data) };
  const calls: unknown[] = [];
  const hooks = { onRequest: (call: unknown) => void calls.push(call), onResponse: (call: unknown) => void calls.push(call) };
  const replies = [
    answer(`{"error":"unauthorized","message":"the key ${KEY} is wrong","echo":"Bearer ${KEY}"}`, 401),
    answer(`<html>${KEY}</html>`, 502),
    answer({ data: KEY }),
    answer("", 302, { Location: `/${KEY}` }),
    RESET,
  ];
  for (const reply of replies) {
    const server = await ScriptedServer.start([reply]);
    const mb = server.client({ logger, maxRetries: 0, ...hooks });
    const error = await errorOf(() => mb.getBot("job_1"));
    for (const value of [mb, mb.withOptions({ timeout: 5 }), error, lines, calls]) assert.ok(!seen(value).includes(KEY), seen(value));
  }
  const thrown: ((init: any) => unknown)[] = [
    (init) => new Error(inspect(init)),
    (init) => new Error("no", { cause: init }),
    (init) => Object.assign(new Error("no"), { config: { headers: new Headers(init.headers) } }),
    (init) => new Error("no", { cause: new Error("no", { cause: new Map([["init", init]]) }) }),
    (init) => init,
    (init) => String(init.headers.authorization),
  ];
  for (const made of thrown) {
    const mb = new MeetBot({ apiKey: KEY, baseUrl: "http://x.invalid", maxRetries: 0, ...hooks, fetch: async (_url, init) => Promise.reject(made(init)) });
    const error = await errorOf(() => mb.getBot("job_1"));
    assert.ok(!seen(error).includes(KEY), seen(error));
  }
  const watching = await ScriptedServer.start([answer(`{"error":"unauthorized","message":"${KEY}"}`, 401)]);
  const refused = await errorOf(() => watching.client().watch("job_1").next());
  assert.deepEqual([refused.kind, seen(refused).includes(KEY)], ["unauthorized", false]);
  await watching.close();
});

test("invalid settings are errors that contain no key", async () => {
  const bad: Options[] = [
    { apiKey: `\u200b${KEY}` }, { apiKey: `${KEY}\0` }, { apiKey: "" }, { apiKey: `${KEY} and more` }, { apiKey: `${KEY}\nX: y` }, { apiKey: "“mb_test”" },
    { timeout: 0 }, { timeout: -1 }, { timeout: NaN }, { timeout: Infinity }, { deadline: 0 }, { maxRetries: -1 }, { maxRetries: 1.5 },
    { fetchOptions: { headers: {} } }, { fetch: "fetch" as never }, { onRequest: {} as never },
    ...["", "api.meetbot.dev", "ftp://x", "http://", "https://user:pass@x", "https://x?y=1", "https://x/?", "https://x#y", "https://a b", "https://x/a\tb"].map((baseUrl) => ({ baseUrl })),
  ];
  for (const options of bad) {
    assert.throws(() => createMeetbot({ apiKey: KEY, baseUrl: "https://x", ...options }), (error) => {
      assert.ok(error instanceof MeetbotError && error.kind === "configuration", inspect(options));
      assert.ok(!seen(error).includes("mb_test"), seen(error));
      return true;
    }, inspect(options));
  }
  for (const [url, base] of [["https://x/", "https://x"], [" http://127.0.0.1:3010/\n", "http://127.0.0.1:3010"], ["https://x/behind/a/proxy/", "https://x/behind/a/proxy"], ["https://x/api/v1/", "https://x"], ["https://x/my-api/v1", "https://x/my-api/v1"], ["https://x//api/v1//", "https://x"]] as const) {
    assert.equal(createMeetbot({ apiKey: `${KEY}\n`, baseUrl: url }).baseUrl, base);
    assert.equal(createMeetbot({ apiKey: `\ufeff${KEY}\r\n`, baseUrl: `\ufeff${url}` }).baseUrl, base);
  }
  assert.throws(() => createMeetbot({ apiKey: `\u200b${KEY}`, baseUrl: "https://x" }), /the API key holds U\+200B as its character 1 /);
});

test("invalid arguments are errors before anything is sent", async () => {
  const server = await ScriptedServer.start([answer(JOB)]);
  const mb = server.client();
  const circle: Record<string, unknown> = {};
  circle["self"] = circle;
  const url = "https://m.example/1";
  const bad: (() => PromiseLike<unknown>)[] = [
    ...["", ".", "..", "..."].flatMap((id) => [() => mb.getBot(id), () => mb.cancelBot(id), () => mb.artifact("job_1", id), () => mb.redeliver(id)]),
    () => mb.getBot("\ud800"), () => mb.getBot(7 as never), () => mb.getBot(undefined as never),
    () => mb.dispatchBot({ meetingUrl: url, metadata: { n: NaN } }), () => mb.dispatchBot({ meetingUrl: url, metadata: { n: -Infinity } }),
    () => mb.dispatchBot({ meetingUrl: url, metadata: { n: 1n } }), () => mb.dispatchBot({ meetingUrl: url, metadata: circle }),
    () => mb.dispatchBot({ meetingUrl: url, metadata: [] as never }), () => mb.dispatchBot({ meetingUrl: url, joinAt: new Date(NaN) }),
    () => mb.dispatchBot({ meetingUrl: url, meeting_url: url } as never), () => mb.dispatchBot({ meetingUrl: url, autoLeave: { afterSolo: 5 } as never }),
    () => mb.dispatchBot({ meetingUrl: url, onFinalizeUrl: url, webhooks: { onFinalize: url } }), () => mb.dispatchBot(undefined as never),
    () => mb.listBots({ statuses: ["queued"] } as never), () => mb.getBot("job_1", { idempotencyKey: "a b" }), () => mb.getBot("job_1", { headers: { "x y": "z" } }),
    () => mb.getBot("job_1", { headers: { a: "b\r\nc: d" } }), () => mb.getBot("job_1", { headers: { Authorization: "Bearer x" } }), () => mb.request("GET", "api"),
    () => mb.request("GET /", "/x"), () => mb.request("POST", "/x", { json: undefined, timeout: -1 }), () => MeetBot.prototype.getBot.call({} as never, "job_1"),
  ];
  for (const call of bad) assert.equal((await errorOf(call)).kind, "configuration", String(call));
  assert.equal((await server.requests()).length, 0);
});

test("unset options are not sent, and null disables a rule", async () => {
  const server = await ScriptedServer.start([answer(JOB, 201), answer({ data: [] })]);
  await server.client().dispatchBot({ meetingUrl: "u", externalId: null, platform: undefined, webhooks: {}, autoLeave: { afterSoloSeconds: null, afterMaxSeconds: undefined } });
  assert.deepEqual(JSON.parse((await server.requests())[0]!.body), { meetingUrl: "u", autoLeave: { afterSoloSeconds: null } });
  await server.client().listBots({ status: "failed", cursor: null });
  assert.equal((await server.requests())[1]?.path, "/api/v1/jobs?status=failed");
});

test("hooks see each call once, and may add headers", async () => {
  const server = await ScriptedServer.start([refusal(503, "unavailable"), answer(JOB, 200, { "X-Request-Id": "req_9" })]);
  const ended: any[] = [];
  const mb = server.client({ onRequest: (call) => void (call.headers["X-Trace"] = "t1"), onResponse: (call) => void ended.push(call), fetchOptions: {} });
  await mb.withOptions({ headers: { "X-Team": "a" } }).getBot("job_1", { headers: { Accept: "application/json; v=1" } });
  const [first, second] = await server.requests();
  assert.deepEqual([first?.headers["x-trace"], second?.headers["x-trace"], first?.headers["x-team"], first?.headers["accept"]], ["t1", "t1", "a", "application/json; v=1"]);
  assert.match(first?.headers["user-agent"] ?? "", /^meetbot-js\/\d+\.\d+\.\d+ (?:node|deno|bun)\/\d+/);
  const [{ durationMs, ...call }] = ended;
  assert.ok(durationMs > 0);
  assert.deepEqual(call, { method: "GET", path: "/api/v1/jobs/job_1", attempts: 2, status: 200, requestId: "req_9", error: null });
});

test("a custom call has the key, the retries and the errors of every call", async () => {
  const server = await ScriptedServer.start([answer("", 503), answer({ ok: true }, 200)]);
  const found = await server.client().request("POST", "/api/v1/new?x=1", { json: { a: [1] }, idempotencyKey: "mine" });
  assert.deepEqual([found.status, found.attempts, Buffer.from(found.body).toString()], [200, 2, '{"ok":true}']);
  assert.deepEqual((await server.requests()).map((one) => [one.method, one.path, one.body, one.headers["idempotency-key"]])[1], ["POST", "/api/v1/new?x=1", '{"a":[1]}', "mine"]);
});

test("errors are recognised by their class from another copy of the package, and custom classes only as subclasses", async () => {
  const { createRequire } = await import("node:module");
  const other = createRequire(import.meta.url)("@meetbot/sdk") as typeof import("@meetbot/sdk");
  assert.notEqual(other.MeetbotError, MeetbotError);
  const server = await ScriptedServer.start([refusal(404, "not_found")]);
  const error = await errorOf(() => server.client().manifest("job_1"));
  assert.ok(error instanceof other.MeetbotNotFoundError && error instanceof other.MeetbotError && error instanceof Error);
  assert.ok(!(error instanceof other.MeetbotConnectionError) && !((new Error("x") as unknown) instanceof MeetbotError) && !((null as unknown) instanceof MeetbotError));
  class Own extends MeetbotServerError {}
  const own = new Own("x", { status: 503 });
  assert.ok(!(error instanceof Own) && own instanceof Own && own instanceof other.MeetbotServerError && own.transient && own.kind === "server");
  assert.deepEqual([error.name, error.toString()], ["MeetbotNotFoundError", "MeetbotNotFoundError: no: not_found"]);
});
