/** A client's settings: checked once, and the same for all its calls. */

import { unusable } from "./errors.js";
import { stranger } from "./pasted.js";
import { MAX_RETRIES } from "./retry.js";
import { isBrowser, variable, warn } from "./runtime.js";

/** What ends a call: an `AbortSignal`, or whatever is like one. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** The headers of an answer. */
export interface ResponseHeaders {
  get(name: string): string | null;
  has(name: string): boolean;
  forEach(each: (value: string, name: string) => void): void;
}

/** What `fetch` answers with. */
export interface ResponseLike {
  readonly status: number;
  readonly headers: ResponseHeaders;
  /** A stream of bytes, or `null`. */
  readonly body: unknown;
  readonly type?: string;
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** An answer as it came. */
export interface RawResponse {
  readonly status: number;
  readonly headers: ResponseHeaders;
  readonly body: Uint8Array;
  readonly requestId: string | null;
  /** How many tries it took, this one included. */
  readonly attempts: number;
}

/** A function like the global `fetch`. */
export type FetchLike = (url: string, init: any) => Promise<ResponseLike>;

/** A call that is about to be sent. */
export interface CallStarted {
  readonly method: string;
  /** From `/api` on, without its query. */
  readonly path: string;
  /** Headers to send beside those of the SDK; may be added to. */
  headers: Record<string, string>;
}

/** A call that has ended. */
export interface CallEnded {
  readonly method: string;
  /** From `/api` on, without its query. */
  readonly path: string;
  /** All tries and the pauses between them together. */
  readonly durationMs: number;
  readonly attempts: number;
  /** The HTTP status of the last try; `null` when there was no answer. */
  readonly status: number | null;
  readonly requestId: string | null;
  /** Why it failed; `null` when it succeeded. */
  readonly error: unknown;
}

/** The settings of a client. Times are in milliseconds. */
export interface Options {
  /** The API key; else `MEETBOT_API_KEY`. */
  apiKey?: string | undefined;
  /** Where the server is; else `MEETBOT_API_BASE_URL`, else https://api.meetbot.dev. */
  baseUrl?: string | undefined;
  /** How long one try may take, its body included; 30,000 by default. */
  timeout?: number | undefined;
  /** How long a whole call may take, all its tries and the pauses between them included; no limit by default. */
  deadline?: number | undefined;
  /** How often a call is tried again after its first try; 3 by default. */
  maxRetries?: number | undefined;
  /** In place of the global `fetch`. */
  fetch?: FetchLike | undefined;
  /** Goes into each call of fetch: in Node.js `{ dispatcher }` is a proxy, a CA or a client certificate. */
  fetchOptions?: Record<string, unknown> | undefined;
  /** Called before each call. */
  onRequest?: ((call: CallStarted) => void) | undefined;
  /** Called after each call. */
  onResponse?: ((call: CallEnded) => void) | undefined;
  /** Gets a line for each try. */
  logger?: { debug(...data: unknown[]): void } | null | undefined;
  /** A page shows its key to everybody who opens it: without this the client is refused there. */
  dangerouslyAllowBrowser?: boolean | undefined;
}

/** What one call does otherwise than its client. */
export interface CallOptions {
  /** The `Idempotency-Key` of a POST, 1 to 255 visible ASCII characters, instead of one made for each call. */
  idempotencyKey?: string | undefined;
  /** How long one try may take, in milliseconds. */
  timeout?: number | undefined;
  /** How long the whole call may take, in milliseconds. */
  deadline?: number | undefined;
  /** How often it is tried again after its first try. */
  maxRetries?: number | undefined;
  /** Ends the call at once, which then rejects with the signal's `reason`. */
  signal?: AbortSignalLike | undefined;
  /** Sent beside those of the SDK. */
  headers?: Record<string, string> | undefined;
}

/** {@link Options} and {@link CallOptions}, checked. */
export interface Settings {
  readonly key: string;
  readonly base: string;
  readonly timeout: number;
  readonly deadline: number | null;
  readonly maxRetries: number;
  readonly headers: Record<string, string>;
  readonly signal: AbortSignalLike | null;
  readonly idempotencyKey: string | null;
  readonly fetch: FetchLike | null;
  readonly fetchOptions: Record<string, unknown>;
  readonly onRequest: ((call: CallStarted) => void) | null;
  readonly onResponse: ((call: CallEnded) => void) | null;
  readonly logger: { debug(...data: unknown[]): void } | null;
}

const PRODUCTION = "https://api.meetbot.dev";

/** The longest that a timer can wait, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** The settings of a new client. */
export function settings(options: Options): Settings {
  if (isBrowser() && options.dangerouslyAllowBrowser !== true) {
    throw unusable("in a browser everybody can read the API key: call meetbot from your server, or set dangerouslyAllowBrowser: true");
  }
  const fetchOptions = options.fetchOptions ?? {};
  const ours = ["method", "headers", "body", "signal", "redirect"].find((name) => name in fetchOptions);
  if (ours !== undefined) throw unusable(`fetchOptions cannot hold ${ours}, which each call sets`);
  for (const [name, value] of Object.entries({ fetch: options.fetch, onRequest: options.onRequest, onResponse: options.onResponse })) {
    if (value !== undefined && value !== null && typeof value !== "function") throw unusable(`${name} is a function`);
  }
  const server = base(options.baseUrl ?? variable("MEETBOT_API_BASE_URL") ?? PRODUCTION);
  if (isInTheClear(server)) {
    warn(`meetbot: the API key is sent in the clear to ${new URL(server).host}: use https://, or a server on this machine`, "MEETBOT_KEY_IN_THE_CLEAR");
  }
  const fresh: Settings = {
    key: key(options.apiKey ?? variable("MEETBOT_API_KEY")),
    base: server,
    timeout: 30_000,
    deadline: null,
    maxRetries: MAX_RETRIES,
    headers: {},
    signal: null,
    idempotencyKey: null,
    fetch: options.fetch ?? null,
    fetchOptions,
    onRequest: options.onRequest ?? null,
    onResponse: options.onResponse ?? null,
    logger: options.logger ?? null,
  };
  return changed(fresh, { timeout: options.timeout, deadline: options.deadline, maxRetries: options.maxRetries });
}

/** The settings with what these options set. */
export function changed(settings: Settings, options: CallOptions | undefined): Settings {
  if (options === undefined || options === null) return settings;
  if (typeof options !== "object") throw unusable("the options of a call are an object");
  const { timeout, deadline, maxRetries, headers, signal, idempotencyKey } = options;
  if (maxRetries !== undefined && (!Number.isInteger(maxRetries) || maxRetries < 0)) {
    throw unusable("maxRetries is a whole number from 0 on");
  }
  if (idempotencyKey !== undefined && !/^[\x21-\x7e]{1,255}$/.test(idempotencyKey)) {
    throw unusable("an idempotencyKey is 1 to 255 visible ASCII characters");
  }
  return {
    ...settings,
    timeout: milliseconds("timeout", timeout) ?? settings.timeout,
    deadline: milliseconds("deadline", deadline) ?? settings.deadline,
    maxRetries: maxRetries ?? settings.maxRetries,
    headers: headers === undefined ? settings.headers : { ...settings.headers, ...checked(headers) },
    signal: signal ?? settings.signal,
    idempotencyKey: idempotencyKey ?? settings.idempotencyKey,
  };
}

/** A time limit that a timer can hold. */
export function milliseconds(name: string, value: number | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !(value > 0) || value === Infinity) throw unusable(`${name} is a number of milliseconds above 0`);
  return Math.min(value, LONGEST);
}

/** Headers that can be sent. */
export function checked(headers: Record<string, string>): Record<string, string> {
  for (const [name, value] of Object.entries(headers)) {
    const sendable = /^[\w!#$%&'*+.^`|~-]+$/.test(name) && typeof value === "string" && /^[\t\x20-\x7e\x80-\xff]*$/.test(value);
    if (!sendable || name.toLowerCase() === "authorization") throw unusable(`the header ${JSON.stringify(name)} with this value cannot be sent`);
  }
  return headers;
}

function key(given: unknown): string {
  // A key read from a file ends with a line break more often than not.
  const text = typeof given === "string" ? given.trim() : "";
  if (text === "") throw unusable("there is no API key: set MEETBOT_API_KEY or give apiKey");
  if (!/^[\x21-\x7e]+$/.test(text)) throw unusable(`the API key holds ${stranger(text) || "a character"} that no key has (a space? a quote? what does not show?)`);
  return text;
}

/** The server that a base URL names, without a slash at its end. Many APIs count their version to it, so a trailing /api/v1 is taken off. */
function base(given: unknown): string {
  const text = typeof given === "string" ? given.trim() : "";
  const wrong = (problem: string): never => {
    // A password may stand before an @.
    throw unusable(`the base URL${text.includes("@") ? "" : ` ${JSON.stringify(text)}`} ${problem}: give one like ${PRODUCTION}`);
  };
  // The parser of URLs would leave some of it out.
  if (/[\s\x00-\x1f\x7f]/.test(text)) wrong("holds white space");
  if (text.includes("?") || text.includes("#")) wrong("has a query or a fragment");
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return wrong("is not a URL");
  }
  if (!/^https?:\/\/[^/]/i.test(text)) wrong("is not one of http:// or https://");
  if (url.username !== "" || url.password !== "") wrong("holds a user name or a password, and the API key is all that is needed");
  const path = url.pathname.replace(/\/+$/, "").replace(/\/api\/v1$/, "").replace(/\/+$/, "");
  return url.origin + path;
}

/** Whether what is sent to this server can be read on its way: by http://, to another machine. */
export function isInTheClear(server: string): boolean {
  const { protocol, hostname } = new URL(server);
  // The parser writes ::ffff:127.0.0.1 as ::ffff:7f00:1.
  const isLoopback = /^(127\.\d+\.\d+\.\d+|\[::1\]|\[::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}\]|(.+\.)?localhost\.?)$/.test(hostname);
  return protocol === "http:" && !isLoopback;
}
