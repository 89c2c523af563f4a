/** Webhooks: signatures by three implementations, `unwrap`, and the receivers. */

import assert from "node:assert/strict";
import { createHmac, createHash, randomBytes, webcrypto } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import { test } from "node:test";

import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import { Webhook } from "standardwebhooks";
import { MeetbotSignatureError, verifyWebhookSignature, webhooks as namespace } from "@meetbot/sdk";
import { signWebhook } from "@meetbot/sdk/testing";
import { fastifyWebhooks, nodeWebhookHandler, unwrap, webhookHandler, type ReceiverOptions, type WebhookEvent } from "@meetbot/sdk/webhooks";
import { Sha256, hex, hmac, ownHmac } from "../dist/sha256.js";

const SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER = "whsec_b3RoZXI=";

test("SHA-256 is the same by node:crypto, WebCrypto and our own, in any pieces", async () => {
  for (const length of [0, 1, 3, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000, 100_003]) {
    const bytes = randomBytes(length);
    const expected = createHash("sha256").update(bytes).digest("hex");
    const own = new Sha256();
    for (let from = 0; from < length; from += 37) own.update(bytes.subarray(from, from + 37));
    assert.equal(hex(own.digest()), expected, String(length));
    assert.equal(hex(new Uint8Array(await webcrypto.subtle.digest("SHA-256", bytes))), expected);
  }
  for (const length of [1, 20, 63, 64, 65, 200]) {
    const [key, body] = [randomBytes(length), randomBytes(length * 3)];
    const expected = createHmac("sha256", key).update(body).digest("hex");
    const imported = await webcrypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const parts = [body.subarray(0, 7), body.subarray(7)];
    assert.deepEqual([hex(ownHmac(key, parts)), hex(hmac(key, parts)), hex(new Uint8Array(await webcrypto.subtle.sign("HMAC", imported, body)))], [expected, expected, expected]);
  }
});

test("the published verifier of Standard Webhooks agrees, both ways", () => {
  for (let round = 0; round < 50; round++) {
    const secret = `whsec_${randomBytes(1 + round).toString("base64")}`;
    const theirs = new Webhook(secret);
    const { body, headers } = signWebhook({ event: "job.finalized", n: round, text: "Zoë 🎤" }, secret);
    theirs.verify(Buffer.from(body).toString(), headers);
    const sent = new Date();
    const text = JSON.stringify({ event: "job.failed", data: { jobId: `job_${round}` } });
    const signed = { "webhook-id": `msg_${round}`, "webhook-timestamp": String(Math.floor(sent.getTime() / 1000)), "webhook-signature": theirs.sign(`msg_${round}`, sent, text) };
    assert.equal(unwrap(text, signed, secret).data.jobId, `job_${round}`);
    assert.throws(() => unwrap(text, signed, OTHER), { kind: "signature" });
    assert.throws(() => new Webhook(OTHER).verify(Buffer.from(body).toString(), headers));
  }
});

test("a body may be a text, bytes, a view or a buffer; what was parsed is an error", () => {
  const { body, headers } = signWebhook({ event: "job.failed" }, SECRET);
  const header = headers["x-meetbot-signature"];
  const padded = new Uint8Array(body.length + 6);
  padded.set(body, 3);
  const bodies = [body, Buffer.from(body), Buffer.from(body).toString(), body.slice().buffer, new DataView(padded.buffer, 3, body.length), padded.subarray(3, 3 + body.length)];
  for (const given of bodies) assert.equal(verifyWebhookSignature({ body: given as Uint8Array, header, secret: SECRET }), true);
  for (const given of [JSON.parse(Buffer.from(body).toString()), null, undefined, 7, [1, 2]]) {
    assert.throws(() => verifyWebhookSignature({ body: given, header, secret: SECRET }), { kind: "configuration", message: /raw/ });
  }
  assert.equal(typeof verifyWebhookSignature({ body, header, secret: SECRET }), "boolean", "no promise, which would be truthy");
});

test("an invalid header is false, and an invalid secret is an error that does not show it", () => {
  const { body, headers } = signWebhook({ event: "job.failed" }, SECRET);
  const header = headers["x-meetbot-signature"]!;
  for (const given of [null, undefined, "", "sha256=", [header], header.slice(0, -1), `${header}0`, header.replace("sha256", "sha512")]) {
    assert.equal(verifyWebhookSignature({ body, header: given as string, secret: SECRET }), false);
  }
  assert.equal(verifyWebhookSignature({ body, header, secret: [OTHER, `${SECRET}\n`] }), true);
  assert.equal(verifyWebhookSignature({ body, header, secret: [OTHER] }), false);
  for (const secret of ["", " ", "whsec_", "whsec_!", "mb_test_0123456789", undefined, null, [], [SECRET, ""], `${SECRET},${OTHER}`, 7]) {
    assert.throws(() => verifyWebhookSignature({ body, header: null, secret: secret as string }), (error: Error) => {
      assert.match(error.message, /secret/);
      assert.ok(!error.message.includes("mb_test") && !error.message.includes("C2FV"));
      return error.name === "MeetbotConfigurationError";
    });
  }
});

test("unwrap takes headers as frameworks give them", () => {
  const { body, headers } = signWebhook({ event: "job.finalized", manifestUri: "file:///m.json" }, SECRET);
  const upper = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value]));
  const forEach = { forEach: (each: (value: string, name: string) => void) => Object.entries(headers).forEach(([name, value]) => each(value, name)) };
  for (const given of [headers, upper, new Headers(headers), new Map(Object.entries(upper)), Object.entries(headers), forEach]) {
    const event = unwrap(body, given, SECRET);
    assert.ok(event.event === "job.finalized" && event.data.manifestUri === "file:///m.json");
  }
  assert.throws(() => unwrap(body, { ...headers, "webhook-signature": [headers["webhook-signature"]!] }, SECRET), { kind: "signature" });
  for (const given of [null, undefined, "x"]) assert.throws(() => unwrap(body, given as never, SECRET), { kind: "configuration" });
  assert.equal(namespace.unwrap(body, headers, [OTHER, SECRET]).event, "job.finalized");
});

test("an old, future, undated or changed webhook is refused", () => {
  const now = Date.now() / 1000;
  const taken = (sentAt: number, toleranceSeconds?: number | null): boolean => {
    const { body, headers } = signWebhook({ event: "job.failed" }, SECRET, { sentAt });
    try {
      unwrap(body, headers, SECRET, { toleranceSeconds });
      return true;
    } catch (error) {
      assert.ok(error instanceof MeetbotSignatureError);
      return false;
    }
  };
  assert.deepEqual([taken(now), taken(now - 200), taken(now - 400), taken(now + 400), taken(0), taken(0, null), taken(now - 400, 1000), taken(now, NaN)], [true, true, false, false, false, true, true, false]);
  const { body, headers } = signWebhook({ event: "job.failed" }, SECRET);
  const { "webhook-signature": _, ...unsigned } = headers;
  assert.throws(() => unwrap(body, unsigned, SECRET), { kind: "signature", message: /nothing in it says when it was sent/ });
  assert.equal(unwrap(body, unsigned, SECRET, { toleranceSeconds: null }).event, "job.failed");
  assert.throws(() => unwrap(Buffer.concat([body, Buffer.from(" ")]), headers, SECRET), { kind: "signature" });
  for (const timestamp of ["", "x", "1e9", "NaN", "-1", " 5"]) {
    assert.throws(() => unwrap(body, { ...headers, "webhook-timestamp": timestamp }, SECRET), { kind: "signature" });
  }
  const odd = signWebhook({ event: "job.failed", jobId: null }, SECRET);
  assert.throws(() => unwrap(odd.body, odd.headers, SECRET), { kind: "decode", message: /data.jobId/ });
});

/** A receiver at a separate URL. */
interface Running {
  post(body: Uint8Array | string, headers: Record<string, string>, method?: string): Promise<number>;
  close(): Promise<unknown>;
}

async function listening(listener: RequestListener): Promise<Running> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}/webhook/meetbot`;
  return {
    post: async (body, headers, method = "POST") => {
      const init = { method, headers: { ...headers, connection: "close" } };
      const response = await fetch(url, method === "GET" ? init : { ...init, body: body as BodyInit });
      await response.text();
      return response.status;
    },
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

const RECEIVERS: Record<string, (options: ReceiverOptions) => Promise<Running>> = {
  web: async (options) => {
    const handler = webhookHandler(options);
    return {
      post: async (body, headers, method = "POST") => (await handler(new Request("http://x.invalid/", { method, headers, ...(method !== "GET" && { body: body as BodyInit }) }))).status,
      close: async () => {},
    };
  },
  hono: async (options) => {
    const handler = webhookHandler(options);
    const app = new Hono().all("/webhook/meetbot", (c) => handler(c.req.raw));
    return {
      post: async (body, headers, method = "POST") => (await app.request("/webhook/meetbot", { method, headers, ...(method !== "GET" && { body: body as BodyInit }) })).status,
      close: async () => {},
    };
  },
  "node:http": async (options) => listening(nodeWebhookHandler(options)),
  express: async (options) => listening(express().all("/webhook/meetbot", nodeWebhookHandler(options)).use(express.json())),
  "express.raw": async (options) => listening(express().all("/webhook/meetbot", express.raw({ type: "*/*", limit: "2mb" }), nodeWebhookHandler(options))),
  fastify: async (options) => {
    const app = fastify();
    await app.register(fastifyWebhooks, { ...options, path: "/webhook/meetbot" });
    app.post("/other", async (request) => request.body);
    return {
      post: async (body, headers, method = "POST") => (await app.inject({ url: "/webhook/meetbot", method: method as "POST", headers, ...(method !== "GET" && { payload: Buffer.from(body as Uint8Array) }) })).statusCode,
      close: () => app.close(),
    };
  },
};

for (const [name, start] of Object.entries(RECEIVERS)) {
  test(`a receiver for ${name} answers as documented`, async () => {
    const events: WebhookEvent[] = [];
    const errors: unknown[] = [];
    let fails = false;
    const onEvent = async (event: WebhookEvent): Promise<void> => {
      if (fails) throw new Error("the queue is full");
      events.push(event);
    };
    const receiver = await start({ secret: [OTHER, SECRET], onEvent, onError: (error) => void errors.push(error) });
    const signed = (data: Record<string, unknown>, options = {}): [Uint8Array, Record<string, string>] => {
      const { body, headers } = signWebhook(data, SECRET, options);
      return [body, headers];
    };
    const [body, headers] = signed({ event: "job.finalized", durationMs: 5 });
    fails = true;
    assert.equal(await receiver.post(body, headers), 500, "it comes again");
    fails = false;
    assert.deepEqual([await receiver.post(body, headers), await receiver.post(body, headers), events.length], [200, 200, 1], "twice sent, once taken");
    assert.equal((events[0] as any).data.durationMs, 5);
    assert.equal(await receiver.post(body, { ...headers, "webhook-signature": "v1,AAAA" }), 401);
    assert.equal(await receiver.post(body, { "content-type": "application/json" }), 401);
    assert.equal(await receiver.post(...signed({ event: "job.failed" }, { sentAt: 1 })), 401);
    assert.equal(await receiver.post(...signed({ event: "job.failed", jobId: 7 })), 200, "signed, but unreadable");
    assert.equal(await receiver.post(Buffer.alloc(1024 * 1024 + 1), headers), 413);
    if (name !== "fastify") assert.equal(await receiver.post("", headers, "GET"), 405);
    assert.deepEqual(errors.map((error) => (error as Error).message.slice(0, 24)), ["the queue is full", ...Array(3).fill("the webhook is not taken"), "the webhook is signed, b"]);
    await receiver.close();
    assert.throws(() => webhookHandler({ secret: process.env["NOT_SET"] as string, onEvent }), { kind: "configuration" });
  });
}

test("a body that was parsed before is a 500 that says where to mount the handler", async () => {
  const errors: Error[] = [];
  const options: ReceiverOptions = { secret: SECRET, onEvent: () => assert.fail(), onError: (error) => void errors.push(error as Error) };
  const { body, headers } = signWebhook({ event: "job.failed" }, SECRET);
  const parsed = await listening(express().use(express.json()).post("/webhook/meetbot", nodeWebhookHandler(options)));
  assert.equal(await parsed.post(body, headers), 500);
  await parsed.close();
  const request = new Request("http://x.invalid/", { method: "POST", headers, body: body as BodyInit });
  await request.text();
  assert.equal((await webhookHandler(options)(request)).status, 500);
  assert.equal(errors.length, 2);
  for (const error of errors) assert.match(error.message, /before any body parser/);
});

test("Fastify's other routes parse JSON as before", async () => {
  const app = fastify();
  await app.register(fastifyWebhooks, { path: "/webhook/meetbot", secret: SECRET, onEvent: () => {} });
  app.post("/other", async (request) => ({ got: request.body }));
  const answer = await app.inject({ method: "POST", url: "/other", payload: { a: 1 } });
  assert.deepEqual(answer.json(), { got: { a: 1 } });
  await assert.rejects(async () => fastify().register(fastifyWebhooks, { path: "/x", secret: "", onEvent: () => {} }), { name: "MeetbotConfigurationError" });
  await app.close();
});

test("one delivery that comes twice at once is taken once", async () => {
  let taken = 0;
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const handler = webhookHandler({ secret: SECRET, onEvent: async () => { taken += 1; await held; } });
  const { body, headers } = signWebhook({ event: "job.failed" }, SECRET);
  const sent = (): Promise<Response> => handler(new Request("http://x.invalid/", { method: "POST", headers, body: body as BodyInit }));
  const both = [sent(), sent()];
  release();
  assert.deepEqual([(await both[0])!.status, (await both[1])!.status, taken], [200, 200, 1]);
});
