/** Receivers of webhooks: for web-standard servers, for node:http and Express, and for Fastify. */

import { MeetbotDecodeError, MeetbotSignatureError, unusable } from "./errors.js";
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
  /** Called with the reason why a webhook was not accepted. */
  onError?: ((error: unknown) => void) | undefined;
  /** The `deliveryId`s that were taken, so that an event which comes twice is taken once. By default the last 10,000 are kept in memory. */
  seen?: { has(id: string): boolean | Promise<boolean>; add(id: string): unknown } | undefined;
}

/** The largest webhook that is read, in bytes. */
const MOST_BYTES = 1024 * 1024;
/** How many ids are kept in memory. */
const MOST_IDS = 10_000;

const PARSED = "the body was read before the handler got it, and the signature is of its bytes: mount the handler before any body parser";

/** Judges webhooks by the options, which are checked at once: a secret that cannot be one is an error where the receiver is made. Its answers are statuses. */
function receiver(options: ReceiverOptions): { take(body: RawBody, headers: HeadersLike): Promise<number>; fail(error: unknown): number } {
  const { secret, toleranceSeconds, onEvent, onError, seen = inMemory() } = options;
  secrets(secret);
  if (typeof onEvent !== "function") throw unusable("onEvent is a function");
  /** Deliveries at work: the same one that comes meanwhile gets the same answer. */
  const atWork = new Map<string | null, Promise<number>>();
  const fail = (error: unknown): number => {
    try {
      onError?.(error);
    } catch {
      // An error of `onError` itself has no other handler.
    }
    return 500;
  };
  const handle = async (event: WebhookEvent): Promise<number> => {
    const id = event.deliveryId;
    try {
      if (id !== null && (await seen.has(id))) return 200;
      await onEvent(event);
      if (id !== null) await seen.add(id);
      return 200;
    } catch (error) {
      return fail(error);
    }
  };
  const take = async (body: RawBody, headers: HeadersLike): Promise<number> => {
    let event: WebhookEvent;
    try {
      event = unwrap(body, headers, secret, { toleranceSeconds });
    } catch (error) {
      const status = fail(error);
      if (error instanceof MeetbotSignatureError) return 401;
      // A signed webhook that cannot be read would be retried for two days.
      return error instanceof MeetbotDecodeError ? 200 : status;
    }
    const id = event.deliveryId;
    const work = atWork.get(id) ?? handle(event);
    if (id !== null) atWork.set(id, work);
    return work.finally(() => atWork.delete(id));
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
  const judge = async (request: Request): Promise<number> => {
    if (request.method !== "POST") return 405;
    if (request.bodyUsed) return fail(unusable(PARSED));
    const body = await bounded((request.body as AsyncIterable<Uint8Array> | null) ?? []);
    return body === null ? 413 : take(body, request.headers);
  };
  return async (request) => new Response(null, { status: await judge(request).catch(fail) });
}

/** All of it, `null` when it is too large. */
async function bounded(pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Uint8Array | null> {
  const taken: BlobPart[] = [];
  let left = MOST_BYTES;
  for await (const piece of pieces) {
    left -= piece.length;
    if (left < 0) return null;
    taken.push(piece as BlobPart);
  }
  return new Uint8Array(await new Blob(taken).arrayBuffer());
}

/** What a receiver uses of the request of node:http, Express and Fastify. */
export interface NodeRequest {
  method?: string | undefined;
  headers: Record<string, string | string[] | undefined>;
  /** What a body parser has made of the body. */
  body?: unknown;
  /** The raw body, where the platform keeps it (Google's Cloud Functions). */
  rawBody?: unknown;
  readableEnded?: boolean | undefined;
  [Symbol.asyncIterator](): AsyncIterator<any>;
}

/** What a receiver uses of the response. */
export interface NodeResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(): unknown;
}

/**
 * A receiver for node:http and Express: `app.post("/webhook/meetbot", nodeWebhookHandler({ … }))`, before any body parser, or behind `express.raw`.
 * It answers as `webhookHandler` does. A body that was parsed already is a 500, and `onError` is called: serialized again it would be another body.
 *
 * @throws MeetbotConfigurationError A secret is missing or cannot be one.
 */
export function nodeWebhookHandler(options: ReceiverOptions): (request: NodeRequest, response: NodeResponse) => Promise<void> {
  const { take, fail } = receiver(options);
  const judge = async (request: NodeRequest): Promise<number> => {
    if (request.method !== "POST") return 405;
    let body: unknown = request.rawBody ?? request.body;
    if (body === undefined && !request.readableEnded) body = await bounded(request);
    if (body === null || (body as Uint8Array | undefined)?.length! > MOST_BYTES) return 413;
    return typeof body === "string" || ArrayBuffer.isView(body) ? take(body as RawBody, request.headers) : fail(unusable(PARSED));
  };
  return async (request, response) => {
    response.statusCode = await judge(request).catch(fail);
    // The rest of a body that is too large is not read.
    if (response.statusCode === 413) response.setHeader("connection", "close");
    response.end();
  };
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
      return reply.code(await take(request.body ?? "", request.headers)).send();
    });
    done();
  } catch (error) {
    done(error as Error);
  }
}
