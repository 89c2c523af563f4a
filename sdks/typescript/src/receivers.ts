/** Receivers of webhooks: for web-standard servers, for node:http and Express, and for Fastify. */

import { MeetbotError, failure, unusable } from "./errors.js";
import type { WebhookEvent } from "./models.js";
import { secrets, type RawBody } from "./signature.js";
import { unwrap, type HeadersLike } from "./unwrap.js";

/** What a receiver does with webhooks. */
export interface ReceiverOptions {
  /** The webhook secret, `whsec_…`; several during a rotation. */
  secret: string | readonly string[];
  /** How old a webhook may be, in seconds; 300 by default. `null`: its age does not matter. */
  toleranceSeconds?: number | null | undefined;
  /** Called once for each event. Put it into a queue of your own and return: the server waits 10 s. When it fails the answer is 500, and the event comes again. */
  onEvent(event: WebhookEvent): void | Promise<void>;
  /** Told why a webhook was not taken. */
  onError?: ((error: unknown) => void) | undefined;
  /** The `deliveryId`s that were taken, so that an event which comes twice is taken once. By default the last 10,000 are kept in memory. */
  seen?: { has(id: string): boolean | Promise<boolean>; add(id: string): unknown } | undefined;
}

/** The largest webhook that is read, in bytes. */
const MOST_BYTES = 1024 * 1024;
/** How many ids are kept in memory. */
const MOST_IDS = 10_000;

const PARSED =
  "the body was parsed or read before the handler got it, and the signature is of its bytes: mount the handler before any body parser (Express: before app.use(express.json()))";

/** What to answer. */
interface Answer {
  status: number;
  text: string;
}

const TOO_LARGE: Answer = { status: 413, text: "too large" };
const NOT_POST: Answer = { status: 405, text: "POST only" };

/** Judges webhooks by the options, which are checked at once: a secret that cannot be one is an error where the receiver is made. */
function receiver(options: ReceiverOptions): { take(body: RawBody, headers: HeadersLike): Promise<Answer>; fail(error: unknown): Answer } {
  secrets(options.secret);
  if (typeof options.onEvent !== "function") throw unusable("onEvent is a function");
  const seen = options.seen ?? inMemory();
  /** Deliveries at work: the same one that comes meanwhile gets the same answer. */
  const atWork = new Map<string, Promise<Answer>>();
  const fail = (error: unknown): Answer => {
    options.onError?.(error);
    if (!(error instanceof MeetbotError)) return { status: 500, text: "failed" };
    if (error.kind === "signature") return { status: 401, text: "not signed" };
    // What is signed but cannot be read would be sent again for two days.
    return error.kind === "decode" ? { status: 200, text: "not read" } : { status: 500, text: "failed" };
  };
  const handle = async (event: WebhookEvent): Promise<Answer> => {
    const id = event.deliveryId;
    try {
      if (id !== null && (await seen.has(id))) return { status: 200, text: "taken before" };
      await options.onEvent(event);
      if (id !== null) await seen.add(id);
      return { status: 200, text: "taken" };
    } catch (error) {
      options.onError?.(error);
      return { status: 500, text: "failed" };
    }
  };
  const take = async (body: RawBody, headers: HeadersLike): Promise<Answer> => {
    let event: WebhookEvent;
    try {
      event = unwrap(body, headers, options.secret, { toleranceSeconds: options.toleranceSeconds });
    } catch (error) {
      return fail(error);
    }
    const id = event.deliveryId;
    const same = id === null ? undefined : atWork.get(id);
    if (same !== undefined) return same;
    const work = handle(event);
    if (id === null) return work;
    atWork.set(id, work);
    try {
      return await work;
    } finally {
      atWork.delete(id);
    }
  };
  return { take, fail };
}

function inMemory(): { has(id: string): boolean; add(id: string): void } {
  const ids = new Set<string>();
  return {
    has: (id) => ids.has(id),
    add(id) {
      ids.add(id);
      const [oldest] = ids;
      if (ids.size > MOST_IDS && oldest !== undefined) ids.delete(oldest);
    },
  };
}

/**
 * A receiver for servers that speak `Request` and `Response`: Hono (`c.req.raw`), Next.js, Cloudflare Workers, Deno, Bun.
 *
 * It answers 200 to what is taken, was taken before, or is signed but cannot be read; 401 to what is not the server's or old; 405, 413 above 1 MiB; 500 when
 * `onEvent` fails, so that the event comes again.
 *
 * @throws MeetbotConfigurationError A secret is missing or cannot be one.
 *
 * @example
 * ```ts
 * import { webhookHandler } from "@meetbot/sdk/webhooks";
 *
 * const handler = webhookHandler({ secret: "whsec_dGVzdA==", onEvent: (event) => console.log(event.event) });
 * console.log((await handler(new Request("http://localhost/hook", { method: "POST", body: "{}" }))).status); // 401
 * ```
 */
export function webhookHandler(options: ReceiverOptions): (request: Request) => Promise<Response> {
  const { take, fail } = receiver(options);
  return async (request) => {
    const answered = ({ status, text }: Answer): Response =>
      new Response(text, { status, headers: { "content-type": "text/plain", ...(status === 405 && { allow: "POST" }) } });
    if (request.method !== "POST") return answered(NOT_POST);
    if (request.bodyUsed) return answered(fail(unusable(PARSED)));
    let body: Uint8Array | null;
    try {
      body = await bounded(request.body === null ? [] : chunks(request.body.getReader()));
    } catch (error) {
      return answered(fail(error));
    }
    return answered(body === null ? TOO_LARGE : await take(body, request.headers));
  };
}

async function* chunks(reader: { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>; cancel(): Promise<void> }): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || value === undefined) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** All of it, `null` when it is too large. */
async function bounded(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Uint8Array | null> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of chunks) {
    length += piece.length;
    if (length > MOST_BYTES) return null;
    pieces.push(piece);
  }
  const body = new Uint8Array(length);
  length = 0;
  for (const piece of pieces) {
    body.set(piece, length);
    length += piece.length;
  }
  return body;
}

/** What a receiver uses of the request of node:http, Express and Fastify. */
export interface NodeRequest {
  method?: string | undefined;
  headers: Record<string, string | string[] | undefined>;
  /** What a body parser has made of the body. */
  body?: unknown;
  /** The raw body, where the platform keeps it (Google's Cloud Functions). */
  rawBody?: unknown;
  readableEnded?: boolean;
  [Symbol.asyncIterator](): AsyncIterator<any>;
}

/** What a receiver uses of the response. */
export interface NodeResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(text: string): unknown;
}

/**
 * A receiver for node:http and Express: `app.post("/webhook/meetbot", nodeWebhookHandler({ … }))`, before any body parser, or behind `express.raw`.
 * It answers as `webhookHandler` does. A body that was parsed is a 500, and `onError` is told: printed again it would be another body.
 *
 * @throws MeetbotConfigurationError A secret is missing or cannot be one.
 */
export function nodeWebhookHandler(options: ReceiverOptions): (request: NodeRequest, response: NodeResponse) => Promise<void> {
  const { take, fail } = receiver(options);
  const judge = async (request: NodeRequest): Promise<Answer> => {
    if (request.method !== "POST") return NOT_POST;
    const given = isRaw(request.rawBody) ? request.rawBody : request.body;
    if (given === undefined && request.readableEnded !== true) {
      const body = await bounded(request as AsyncIterable<Uint8Array>);
      return body === null ? TOO_LARGE : take(body, request.headers);
    }
    if (!isRaw(given)) return fail(unusable(PARSED));
    return given.length > MOST_BYTES ? TOO_LARGE : take(given, request.headers);
  };
  return async (request, response) => {
    const { status, text } = await judge(request).catch((error: unknown) =>
      fail(failure("connection", "the webhook's body did not come whole", { cause: error })),
    );
    response.statusCode = status;
    response.setHeader("content-type", "text/plain");
    if (status === 405) response.setHeader("allow", "POST");
    // What is left of a body that is too large is not read.
    if (status === 413) response.setHeader("connection", "close");
    response.end(text);
  };
}

function isRaw(body: unknown): body is string | Uint8Array {
  return typeof body === "string" || ArrayBuffer.isView(body);
}

/** What the plugin uses of a Fastify instance. */
export interface FastifyLike {
  addContentTypeParser(type: string, options: { parseAs: "buffer"; bodyLimit: number }, parser: (request: any, body: any, done: (error: Error | null, body?: any) => void) => void): unknown;
  removeAllContentTypeParsers(): unknown;
  post(path: string, handler: (request: any, reply: any) => Promise<unknown>): unknown;
}

/**
 * A plugin for Fastify: `app.register(fastifyWebhooks, { path: "/webhook/meetbot", secret, onEvent })`. It keeps the raw body in a scope of its own, so that
 * the other routes parse JSON as before. It answers as `webhookHandler` does.
 *
 * @throws MeetbotConfigurationError A secret is missing or cannot be one.
 */
export function fastifyWebhooks(app: FastifyLike, options: ReceiverOptions & { path: string }, done: (error?: Error) => void): void {
  try {
    const { take } = receiver(options);
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: MOST_BYTES }, (_request, body, parsed) => parsed(null, body));
    app.post(options.path, async (request, reply) => {
      const { status, text } = await take(request.body ?? "", request.headers);
      return reply.code(status).type("text/plain").send(text);
    });
    done();
  } catch (error) {
    done(error as Error);
  }
}
