/** One call from its first try to its end: tries, time limits, hooks, errors. */

import type { Endpoint, Request } from "./calls.js";
import { type ErrorDetails, MeetbotConnectionError, MeetbotDecodeError, MeetbotError, MeetbotTimeoutError, MeetbotUnexpectedStatusError, refusal, shown } from "./errors.js";
import { Unreadable, read } from "./read.js";
import { pauseBefore, retryAfterMs } from "./retry.js";
import { isWorker, now, randomHex, userAgent, wallClock } from "./runtime.js";
import { Scope } from "./scope.js";
import { checked, type AbortSignalLike, type RawResponse, type ResponseHeaders, type ResponseLike, type Settings } from "./settings.js";

/** What a call takes beside its request. */
export interface How {
  /** Ends the call, beside the caller's signal. */
  signal?: AbortSignalLike;
  /** The largest body that is read; 64 MiB by default. */
  most?: number;
  /** Statuses that are answers beside 2xx. */
  takes?: number;
}

/** The largest answer that is read into memory, in bytes. */
export const MOST_BYTES: number = 64 * 1024 * 1024;

/** The redirects of these are followed, without the key: the bytes may lie behind a signed URL elsewhere. */
const ARTIFACT = /^\/api\/v1\/jobs\/[^/]+\/artifacts\/[^/]+$/;
/** How many redirects one try follows. */
const MOST_REDIRECTS = 5;

/** The answers of errors, for those who ask for an answer as it came. */
export const answerOf: WeakMap<MeetbotError, RawResponse> = new WeakMap();

/** What a call gives: its answer as it came, and what it was read as. */
export interface Answered<T> {
  data: T;
  response: RawResponse;
}

/** Makes a call, tries it again where that may help, and reads its answer as the endpoint says. */
export async function exchange<T>(settings: Settings, request: Endpoint, how: How = {}): Promise<Answered<T>> {
  const started = now();
  const path = withoutQuery(request.path);
  const call = { method: request.method, path, headers: {} as Record<string, string> };
  const seen = { attempts: 0, status: null as number | null, requestId: null as string | null, error: null as unknown };
  const scope = new Scope(settings.signal, how.signal);
  try {
    scope.check();
    settings.onRequest?.(call);
    return await tries(settings, request, how, scope, checked(call.headers), started, seen);
  } catch (error) {
    seen.error = error;
    throw error;
  } finally {
    scope.end();
    settings.onResponse?.({ method: request.method, path, durationMs: now() - started, ...seen });
  }
}

interface Seen {
  attempts: number;
  status: number | null;
  requestId: string | null;
}

async function tries<T>(
  settings: Settings,
  request: Endpoint,
  how: How,
  scope: Scope,
  added: Record<string, string>,
  started: number,
  seen: Seen,
): Promise<Answered<T>> {
  const { method, path } = request;
  const headers = headersOf(settings, request, added);
  const idempotencyKey = headers["idempotency-key"] ?? null;
  const left = (): number => (settings.deadline === null ? Infinity : started + settings.deadline - now());
  for (;;) {
    seen.attempts += 1;
    const details: ErrorDetails = { attempts: seen.attempts, idempotencyKey };
    const limit = Math.min(settings.timeout, Math.max(left(), 0));
    const began = now();
    let failed: MeetbotError;
    seen.status = null;
    try {
      const late = (): MeetbotError => new MeetbotTimeoutError(`${shownUrl(settings, path)}: no whole answer within ${limit / 1000} s`, details);
      const { response, body } = await scope.run(limit, late, async (signal) => {
        const response = await send(settings, request, headers, signal, details);
        return { response, body: await whole(settings, request, response, how.most ?? MOST_BYTES, details) };
      });
      const { status } = response;
      seen.status = status;
      seen.requestId = response.headers.get("x-request-id");
      settings.logger?.debug(`meetbot: ${method} ${withoutQuery(path)}: ${status} after ${Math.round(now() - began)} ms, try ${seen.attempts}`);
      const answer = { status, headers: response.headers, body, requestId: seen.requestId, attempts: seen.attempts };
      if ((status >= 200 && status < 300) || status === how.takes) {
        const ignored = settings.logger && response.headers.get("x-meetbot-ignored");
        if (ignored) settings.logger?.debug(`meetbot: the server does not know these fields and passed them over: ${ignored}`);
        return { data: decoded(settings, request, answer, details) as T, response: answer };
      }
      failed = refused(settings, answer, details);
    } catch (error) {
      // The caller's abort reason is passed on unchanged.
      scope.check();
      if (!(error instanceof MeetbotError) || !error.transient) throw error;
      settings.logger?.debug(`meetbot: ${error.message}, try ${seen.attempts}`);
      failed = error;
    }
    seen.requestId = failed.requestId;
    const asked = failed.retryAfterSeconds === null ? null : failed.retryAfterSeconds * 1000;
    const pause = pauseBefore(seen.attempts, settings.maxRetries, failed.status, asked, Math.random());
    if (pause === null || pause >= left()) throw failed;
    await scope.pause(pause);
  }
}

/** Strict: a body that is not UTF-8 is no JSON. */
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** The parsed answer; `undefined` if its endpoint has none. */
function decoded(settings: Settings, { path, reads }: Endpoint, answer: RawResponse, details: ErrorDetails): unknown {
  if (reads === undefined) return undefined;
  try {
    return read(reads, JSON.parse(utf8.decode(answer.body)));
  } catch (error) {
    const text = redact(settings, new TextDecoder().decode(answer.body));
    const isJson = error instanceof Unreadable;
    const message = `the body is not what ${shownUrl(settings, path)} promises: ${isJson ? error.message : "it is not JSON"}: ${shown(text)}`;
    const { status, requestId } = answer;
    throw new MeetbotDecodeError(message, { ...details, status, requestId, body: isJson ? JSON.parse(text) : text });
  }
}

/** The headers of every try, the key among them. */
export function headersOf(settings: Settings, request: Request, added: Record<string, string>): Record<string, string> {
  const headers: Record<string, string> = { accept: "application/json" };
  const agent = userAgent();
  if (agent !== null) headers["user-agent"] = agent;
  for (const given of [request.headers ?? {}, settings.headers, added]) {
    for (const name in given) headers[name.toLowerCase()] = given[name] as string;
  }
  if (request.body !== undefined) headers["content-type"] = "application/json";
  if (request.method === "POST") {
    const key = settings.idempotencyKey ?? headers["idempotency-key"] ?? randomHex(16);
    headers["idempotency-key"] = key;
  }
  headers["authorization"] = `Bearer ${settings.key}`;
  return headers;
}

/** One request, and those that the redirects of an artifact lead to. */
export async function send(settings: Settings, request: Request, headers: Record<string, string>, signal: AbortSignal, details: ErrorDetails): Promise<ResponseLike> {
  const { method, body, path } = request;
  const fetch = settings.fetch ?? globalThis.fetch;
  const areFollowed = method === "GET" && ARTIFACT.test(withoutQuery(path));
  let url = settings.base + path;
  let sent = headers;
  for (let redirects = 0; ; redirects++) {
    // Next.js keeps the answers of GETs otherwise.
    const cache = isWorker() ? {} : { cache: "no-store" };
    const init = { ...cache, ...settings.fetchOptions, method, headers: sent, body, signal, redirect: "manual" };
    let response: ResponseLike;
    try {
      response = await fetch(url, init);
    } catch (error) {
      throw broken(settings, request, error, details);
    }
    const { status } = response;
    const unexpected = (message: string): MeetbotError =>
      new MeetbotUnexpectedStatusError(redact(settings, message), { ...details, status: status || null, requestId: response.headers.get("x-request-id") });
    if (status === 0) throw unexpected("the call is redirected, and browsers do not say where: is the base URL right?");
    const next = areFollowed ? follow(url, response) : null;
    if (next === null) return response;
    discard(response);
    if (redirects === MOST_REDIRECTS) throw unexpected(`more than ${MOST_REDIRECTS} redirects, the last to ${withoutQuery(next)}`);
    url = next;
    // Neither the key nor what the caller adds for the server goes along.
    sent = Object.fromEntries(Object.entries(headers).filter(([name]) => ["accept", "range", "user-agent"].includes(name)));
  }
}

/** The target of a redirect, as the answer gives it; `null` for an answer that is none. */
function targetOf(status: number, headers: ResponseHeaders): string | null {
  return (status > 299 && status < 400 && headers.get("location")) || null;
}

/** The URL that an answer redirects to; `null` where that cannot be followed. */
function follow(from: string, { status, headers }: ResponseLike): string | null {
  try {
    const [old, next] = [new URL(from), new URL(targetOf(status, headers) ?? "none:", from)];
    // The same place over TLS refuses a request without the key, with words that mislead: the base URL is wrong.
    const isUpgrade = old.protocol === "http:" && next.protocol === "https:" && old.hostname === next.hostname && old.pathname === next.pathname;
    return isUpgrade || !/^https?:$/.test(next.protocol) || next.username + next.password !== "" ? null : next.href;
  } catch {
    return null;
  }
}

interface Reader {
  read(): Promise<{ done: boolean; value?: Uint8Array }>;
  cancel(reason?: unknown): Promise<unknown>;
}

/** A reader of the body, `null` where there is none. */
export function readerOf(response: ResponseLike): Reader | null {
  return (response.body as { getReader?(): Reader } | null | undefined)?.getReader?.() ?? null;
}

/** Cancels an unread body, so that its connection can be reused. */
export function discard(response: ResponseLike): void {
  const body = response.body as { cancel?(): Promise<unknown> } | null | undefined;
  body?.cancel?.().catch(() => {});
}

/** The whole body, if it is of a size that the call expects: a cut one is a connection that broke. */
async function whole(settings: Settings, request: Request, response: ResponseLike, most: number, details: ErrorDetails): Promise<Uint8Array> {
  const tooLarge = (): MeetbotError =>
    new MeetbotDecodeError(`the answer of ${shownUrl(settings, request.path)} is larger than the ${most} bytes that it may have`, { ...details, status: response.status });
  const stated = response.headers.get("content-length");
  const length = stated !== null && response.headers.get("content-encoding") === null && request.method !== "HEAD" ? Number(stated) : null;
  if (length !== null && length > most) {
    discard(response);
    throw tooLarge();
  }
  let body: Uint8Array;
  try {
    const reader = length === null ? readerOf(response) : null;
    body = reader === null ? new Uint8Array(await response.arrayBuffer()) : await gathered(reader, most);
  } catch (error) {
    if (error === FULL) throw tooLarge();
    throw broken(settings, request, error, details);
  }
  if (body.length > most) throw tooLarge();
  if (length !== null && body.length < length) {
    throw broken(settings, request, new Error(`${body.length} of ${length} bytes came`), details);
  }
  return body;
}

const FULL = new Error("too large");

async function gathered(reader: Reader, most: number): Promise<Uint8Array> {
  const pieces: BlobPart[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done || value === undefined) break;
    length += value.length;
    if (length > most) {
      reader.cancel().catch(() => {});
      throw FULL;
    }
    pieces.push(value as BlobPart);
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/** The error of an answer other than 2xx. */
export function refused(settings: Settings, answer: RawResponse, details: ErrorDetails): MeetbotError {
  const pause = retryAfterMs(answer.headers.get("retry-after"), wallClock());
  const text = redact(settings, new TextDecoder().decode(answer.body));
  const { status, requestId } = answer;
  const target = targetOf(status, answer.headers);
  const error =
    target === null
      ? refusal(status, text, { ...details, requestId, retryAfterSeconds: pause === null ? null : pause / 1000 })
      : new MeetbotUnexpectedStatusError(redact(settings, `the call is redirected to ${JSON.stringify(withoutQuery(target))}: is the base URL right?`), { ...details, status, requestId, body: text || null });
  answerOf.set(error, answer);
  return error;
}

/** The error of a connection that was not to be had or broke, with the reason that fetch hides in causes. */
export function broken(settings: Settings, request: Request, cause: unknown, details: ErrorDetails): MeetbotError {
  if (cause instanceof MeetbotError) return cause;
  const reasons: string[] = [];
  for (let error = cause, depth = 0; error instanceof Error && depth < 5; error = error.cause, depth++) {
    const code = (error as { code?: unknown }).code;
    // An address after the other was tried: the errors of all have one code.
    const reason = error.message || (typeof code === "string" ? code : error.name);
    reasons.push(typeof code === "string" && !reason.includes(code) ? `${code} ${reason}` : reason);
    // The received bytes, if Node.js could not parse them as HTTP.
    const { data } = error as { data?: unknown };
    if (error.name === "HTTPParserError" && typeof data === "string" && data !== "") {
      reasons.push(isTls(data) && settings.base.startsWith("http:") ? REACHED_WITH_HTTPS : `the answer cannot be read; it begins with ${JSON.stringify(shown(redact(settings, data)))}`);
    }
  }
  const why = reasons.join(": ") || String(cause);
  const message = redact(settings, `${request.method} ${shownUrl(settings, request.path)}: ${why}`);
  return new MeetbotConnectionError(message, { ...details, cause: safe(settings, cause) });
}

const REACHED_WITH_HTTPS = "the server does not speak plain HTTP there: is it reached with https://, and not with http://?";

/** Whether this is the beginning of an alert or a handshake of TLS: the kind of the record, and a version of 3.x. */
function isTls(data: string): boolean {
  return /^[\x15\x16]\x03[\x00-\x04]/.test(data);
}

/** A cause that does not hold the key. */
function safe(settings: Settings, cause: unknown): unknown {
  return holds(cause, settings.key, 6) ? new Error(redact(settings, cause instanceof Error ? cause.message : String(cause))) : cause;
}

/** Whether this text is somewhere in it: a fetch of your own may put the request into its errors. */
function holds(value: unknown, text: string, depth: number): boolean {
  if (typeof value === "string") return value.includes(text);
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || depth === 0) return false;
  const inner: unknown[] = Reflect.ownKeys(value).map((name) => Object.getOwnPropertyDescriptor(value, name)?.value);
  // Headers and maps keep theirs elsewhere.
  const { entries } = value as { entries?: unknown };
  if (typeof entries === "function" && !Array.isArray(value)) inner.push(...(entries.call(value) as Iterable<unknown>));
  return inner.some((one) => holds(one, text, depth - 1));
}

/** A text without the API key, should a server have sent it back. */
export function redact(settings: Settings, text: string): string {
  return text.replaceAll(settings.key, "mb_…");
}

/** A URL for people: a query may be a signature. */
export function shownUrl(settings: Settings, path: string): string {
  return settings.base + withoutQuery(path);
}

function withoutQuery(url: string): string {
  const end = url.indexOf("?");
  return end < 0 ? url : url.slice(0, end);
}
