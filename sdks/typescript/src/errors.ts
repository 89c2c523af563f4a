/** The errors of the SDK: one class per kind, all below `MeetbotError`. */

import type { Issue } from "./models.js";

/** What kind of thing went wrong; the words are the same in every SDK. */
export type ErrorKind =
  | "validation"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "conflict"
  | "rate_limit"
  | "server"
  | "unexpected_status"
  | "connection"
  | "timeout"
  | "decode"
  | "configuration"
  | "file"
  | "signature";

/** What an error knows beside its kind and message. */
export interface ErrorDetails {
  status?: number | null;
  code?: string | null;
  body?: unknown;
  issues?: Issue[];
  requestId?: string | null;
  retryAfterSeconds?: number | null;
  attempts?: number;
  idempotencyKey?: string | null;
  cause?: unknown;
}

/** Names the kind of an error; in the registry, so that the ESM and the CommonJS copy of this package know each other's errors. */
const KIND = Symbol.for("@meetbot/sdk error");

/** The base of every error of this SDK. `kind` says the same as the class. Neither holds the API key. */
export class MeetbotError extends Error {
  /** What kind of thing went wrong. */
  declare readonly kind: ErrorKind;
  /** The HTTP status; `null` when there was no answer. */
  declare readonly status: number | null;
  /** The server's machine-readable code; `null` when the answer was not the server's. */
  declare readonly code: string | null;
  /** The body of the answer: parsed JSON, else its text; `null` when there was none. */
  declare readonly body: unknown;
  /** Everything that is wrong with the request, where the server said so. */
  declare readonly issues: Issue[];
  /** The request's id, to quote when asking for help. */
  declare readonly requestId: string | null;
  /** How long the server asks to wait before the next try, in seconds. */
  declare readonly retryAfterSeconds: number | null;
  /** How often the call was tried; 0 when nothing was sent. */
  declare readonly attempts: number;
  /** The `Idempotency-Key` that all tries carried. */
  declare readonly idempotencyKey: string | null;
  /** Whether the same call may succeed later without anybody changing anything. */
  declare readonly transient: boolean;

  /** The kind of the class; none of `MeetbotError` itself. @internal */
  static readonly kind: string = "";

  constructor(message: string, details: ErrorDetails = {}) {
    const { cause, ...known } = details;
    super(message, cause === undefined ? undefined : { cause });
    const { kind } = new.target;
    // Not the class's own name, which minifiers change.
    const name = `Meetbot${kind.replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase())}Error`;
    Object.defineProperties(this, { name: { value: name }, [KIND]: { value: kind } });
    const none = { status: null, code: null, body: null, issues: [], requestId: null, retryAfterSeconds: null, attempts: 0, idempotencyKey: null };
    const transient =
      ["connection", "timeout", "rate_limit"].includes(kind) || (kind === "server" && [500, 502, 503, 504].includes(known.status ?? 0));
    Object.assign(this, { kind }, none, known, { transient });
  }

  /** @internal */
  static override [Symbol.hasInstance](value: unknown): boolean {
    // A class of yours below one of these is recognised as JavaScript does it.
    if (!Object.hasOwn(this, "kind")) return Function.prototype[Symbol.hasInstance].call(this, value);
    const kind = (value as Record<PropertyKey, unknown> | null | undefined)?.[KIND];
    const { kind: own } = this;
    return kind === own || (typeof kind === "string" && own === "") || (kind === "timeout" && own === "connection");
  }
}

/** 400 or 422: the request is not what the call takes; `issues` says where. */
export class MeetbotValidationError extends MeetbotError {
  /** @internal */
  static override readonly kind: string = "validation";
}
/** 401: the key is missing, wrong or revoked. */
export class MeetbotUnauthorizedError extends MeetbotError {
  /** @internal */
  static override readonly kind: string = "unauthorized";
}
/** 403: the key may not do this. */
export class MeetbotForbiddenError extends MeetbotError {
  /** @internal */
  static override readonly kind: string = "forbidden";
}
/** 404 `not_found`: there is no such thing, or it is another consumer's. */
export class MeetbotNotFoundError extends MeetbotError {
  /** @internal */
  static override readonly kind: string = "not_found";
}
/** 409: the job cannot take this in its state, or it collides with something else. */
export class MeetbotConflictError extends MeetbotError {
  /** @internal */
  static override readonly kind: string = "conflict";
}
/** 429: too many requests, or the quota is used up; see `retryAfterSeconds`. */
export class MeetbotRateLimitError extends MeetbotError {
  /** @internal */
  static override readonly kind: string = "rate_limit";
}
/** 5xx: something broke on the server's side. */
export class MeetbotServerError extends MeetbotError {
  /** @internal */
  static override readonly kind: string = "server";
}
/** Any other answer that is not a success; a 404 of another code too: the path is not there, or the server is not meetbot's. */
export class MeetbotUnexpectedStatusError extends MeetbotError {
  /** @internal */
  static override readonly kind: string = "unexpected_status";
}
/** No answer: the server cannot be reached, or the connection broke. */
export class MeetbotConnectionError extends MeetbotError {
  /** @internal */
  static override readonly kind: string = "connection";
}
/** No answer in time. */
export class MeetbotTimeoutError extends MeetbotConnectionError {
  /** @internal */
  static override readonly kind: string = "timeout";
}
/** An answer that is not what the call promises; `body` shows what came. */
export class MeetbotDecodeError extends MeetbotError {
  /** @internal */
  static override readonly kind: string = "decode";
}
/** An argument or a setting that cannot be used; nothing was sent. */
export class MeetbotConfigurationError extends MeetbotError {
  /** @internal */
  static override readonly kind: string = "configuration";
}
/** A file on this machine could not be written. */
export class MeetbotFileError extends MeetbotError {
  /** @internal */
  static override readonly kind: string = "file";
}
/** The webhook is not the server's, or it is an old one that was sent again: answer 401. */
export class MeetbotSignatureError extends MeetbotError {
  /** @internal */
  static override readonly kind: string = "signature";
}

/** An argument or a setting that cannot be used. */
export function unusable(message: string, cause?: unknown): MeetbotError {
  return new MeetbotConfigurationError(message, { cause });
}

/** The beginning of a text, for a message. */
export function shown(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** The error that an answer other than 2xx is. `text` is its body. */
export function refusal(status: number, text: string, details: ErrorDetails): MeetbotError {
  let body: unknown = text || null;
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy's page, or nothing.
  }
  const { error, message, issues, requestId } = (body ?? {}) as Record<string, unknown>;
  const ours = typeof error === "string";
  const code = ours ? error : null;
  const absent = code === "not_found";
  const said = code === null ? (text.trim() === "" ? "the answer has no body" : `the answer is not meetbot's: ${shown(text)}`) : textOr(message, code);
  const hint = status === 404 && !absent ? "; is the base URL right?" : "";
  return new (classOf(status, absent))(said + hint, {
    ...details,
    status,
    code,
    body,
    issues: ours && Array.isArray(issues) ? issues.map(issue) : [],
    requestId: ours && requestId ? textOr(requestId, "") : (details.requestId ?? null),
  });
}

function classOf(status: number, absent: boolean): typeof MeetbotError {
  if (status === 400 || status === 422) return MeetbotValidationError;
  if (status === 401) return MeetbotUnauthorizedError;
  if (status === 403) return MeetbotForbiddenError;
  if (status === 404 && absent) return MeetbotNotFoundError;
  if (status === 409) return MeetbotConflictError;
  if (status === 429) return MeetbotRateLimitError;
  return status >= 500 && status < 600 ? MeetbotServerError : MeetbotUnexpectedStatusError;
}

function textOr(value: unknown, other: string): string {
  return typeof value === "string" && value !== "" ? value : other;
}

function issue(given: unknown): Issue {
  const { path, code, message } = (given ?? {}) as Partial<Record<keyof Issue, unknown>>;
  return { path: Array.isArray(path) ? path.map(String) : [], code: textOr(code, ""), message: textOr(message, "") };
}
