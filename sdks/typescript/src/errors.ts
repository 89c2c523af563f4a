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
  readonly kind: ErrorKind;
  /** The HTTP status; `null` when there was no answer. */
  readonly status: number | null;
  /** The server's machine-readable code; `null` when the answer was not the server's. */
  readonly code: string | null;
  /** The body of the answer: parsed JSON, else its text; `null` when there was none. */
  readonly body: unknown;
  /** Everything that is wrong with the request, where the server said so. */
  readonly issues: Issue[];
  /** The request's id, to quote when asking for help. */
  readonly requestId: string | null;
  /** How long the server asks to wait before the next try, in seconds. */
  readonly retryAfterSeconds: number | null;
  /** How often the call was tried; 0 when nothing was sent. */
  readonly attempts: number;
  /** Whether the same call may succeed later without anybody changing anything. */
  readonly transient: boolean;
  /** The `Idempotency-Key` that all tries carried. */
  readonly idempotencyKey: string | null;

  constructor(kind: ErrorKind, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    const status = details.status ?? null;
    const hidden = (key: PropertyKey, value: unknown): void => {
      Object.defineProperty(this, key, { value, configurable: true, writable: true });
    };
    hidden("name", nameOf(kind));
    hidden(KIND, kind);
    this.kind = kind;
    this.status = status;
    this.code = details.code ?? null;
    this.body = details.body ?? null;
    this.issues = details.issues ?? [];
    this.requestId = details.requestId ?? null;
    this.retryAfterSeconds = details.retryAfterSeconds ?? null;
    this.attempts = details.attempts ?? 0;
    this.transient =
      kind === "connection" ||
      kind === "timeout" ||
      kind === "rate_limit" ||
      (kind === "server" && [500, 502, 503, 504].includes(status ?? 0));
    this.idempotencyKey = details.idempotencyKey ?? null;
  }

  /** The kinds that this class stands for, with spaces around each; empty for all. @internal */
  static readonly kinds: string = "";

  static override [Symbol.hasInstance](value: unknown): boolean {
    // A class of yours below one of these is recognised as JavaScript does it.
    if (!Object.hasOwn(this, "kinds")) return Function.prototype[Symbol.hasInstance].call(this, value);
    const kind = (value as Record<PropertyKey, unknown> | null | undefined)?.[KIND];
    return typeof kind === "string" && (this.kinds === "" || this.kinds.includes(` ${kind} `));
  }
}

/** `MeetbotNotFoundError` for `not_found`. Not the class's own name, which minifiers change. */
function nameOf(kind: ErrorKind): string {
  const words = kind.split("_").map((word) => word[0]?.toUpperCase() + word.slice(1));
  return `Meetbot${words.join("")}Error`;
}

/** 400 or 422: the request is not what the call takes; `issues` says where. */
export class MeetbotValidationError extends MeetbotError {
  /** @internal */
  static override readonly kinds: string = " validation ";
}
/** 401: the key is missing, wrong or revoked. */
export class MeetbotUnauthorizedError extends MeetbotError {
  /** @internal */
  static override readonly kinds: string = " unauthorized ";
}
/** 403: the key may not do this. */
export class MeetbotForbiddenError extends MeetbotError {
  /** @internal */
  static override readonly kinds: string = " forbidden ";
}
/** 404 `not_found`: there is no such thing, or it is another consumer's. */
export class MeetbotNotFoundError extends MeetbotError {
  /** @internal */
  static override readonly kinds: string = " not_found ";
}
/** 409: the job cannot take this in its state, or it collides with something else. */
export class MeetbotConflictError extends MeetbotError {
  /** @internal */
  static override readonly kinds: string = " conflict ";
}
/** 429: too many requests, or the quota is used up; see `retryAfterSeconds`. */
export class MeetbotRateLimitError extends MeetbotError {
  /** @internal */
  static override readonly kinds: string = " rate_limit ";
}
/** 5xx: something broke on the server's side. */
export class MeetbotServerError extends MeetbotError {
  /** @internal */
  static override readonly kinds: string = " server ";
}
/** Any other answer that is not a success; a 404 of another code too: the path is not there, or the server is not meetbot's. */
export class MeetbotUnexpectedStatusError extends MeetbotError {
  /** @internal */
  static override readonly kinds: string = " unexpected_status ";
}
/** No answer: the server cannot be reached, or the connection broke. */
export class MeetbotConnectionError extends MeetbotError {
  /** @internal */
  static override readonly kinds: string = " connection timeout ";
}
/** No answer in time. */
export class MeetbotTimeoutError extends MeetbotConnectionError {
  /** @internal */
  static override readonly kinds: string = " timeout ";
}
/** An answer that is not what the call promises; `body` shows what came. */
export class MeetbotDecodeError extends MeetbotError {
  /** @internal */
  static override readonly kinds: string = " decode ";
}
/** An argument or a setting that cannot be used; nothing was sent. */
export class MeetbotConfigurationError extends MeetbotError {
  /** @internal */
  static override readonly kinds: string = " configuration ";
}
/** A file on this machine could not be written. */
export class MeetbotFileError extends MeetbotError {
  /** @internal */
  static override readonly kinds: string = " file ";
}
/** The webhook is not the server's, or it is an old one that was sent again: answer 401. */
export class MeetbotSignatureError extends MeetbotError {
  /** @internal */
  static override readonly kinds: string = " signature ";
}

const CLASSES: Record<ErrorKind, typeof MeetbotError> = {
  validation: MeetbotValidationError,
  unauthorized: MeetbotUnauthorizedError,
  forbidden: MeetbotForbiddenError,
  not_found: MeetbotNotFoundError,
  conflict: MeetbotConflictError,
  rate_limit: MeetbotRateLimitError,
  server: MeetbotServerError,
  unexpected_status: MeetbotUnexpectedStatusError,
  connection: MeetbotConnectionError,
  timeout: MeetbotTimeoutError,
  decode: MeetbotDecodeError,
  configuration: MeetbotConfigurationError,
  file: MeetbotFileError,
  signature: MeetbotSignatureError,
};
/** An error of this kind. */
export function failure(kind: ErrorKind, message: string, details?: ErrorDetails): MeetbotError {
  return new CLASSES[kind](kind, message, details);
}

/** An argument or a setting that cannot be used. */
export function unusable(message: string, cause?: unknown): MeetbotError {
  return new MeetbotConfigurationError("configuration", message, { cause });
}

/** The beginning of a text, for a message. */
export function shown(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** The error that an answer other than 2xx is. `text` is its body. */
export function refusal(status: number, text: string, details: ErrorDetails): MeetbotError {
  let body: unknown = text;
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy's page, or nothing.
  }
  const said = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const code = typeof said["error"] === "string" ? said["error"] : null;
  const hint = status === 404 && code !== "not_found" ? "; is the base URL right?" : "";
  let message = code ?? (text.trim() === "" ? "the answer has no body" : `the answer is not meetbot's: ${shown(text)}`);
  if (code !== null && typeof said["message"] === "string" && said["message"] !== "") message = said["message"];
  const issues = code !== null && Array.isArray(said["issues"]) ? said["issues"].map(issue) : [];
  const requestId = code !== null && typeof said["requestId"] === "string" ? said["requestId"] : details.requestId;
  return failure(kindOf(status, code), message + hint, {
    ...details,
    status,
    code,
    issues,
    requestId: requestId ?? null,
    body: text === "" ? null : body,
  });
}

function kindOf(status: number, code: string | null): ErrorKind {
  switch (status) {
    case 400:
    case 422:
      return "validation";
    case 401:
      return "unauthorized";
    case 403:
      return "forbidden";
    case 404:
      return code === "not_found" ? "not_found" : "unexpected_status";
    case 409:
      return "conflict";
    case 429:
      return "rate_limit";
    default:
      return status >= 500 && status < 600 ? "server" : "unexpected_status";
  }
}

function issue(given: unknown): Issue {
  const { path, code, message } = (given ?? {}) as Partial<Record<keyof Issue, unknown>>;
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  return { path: Array.isArray(path) ? path.map(String) : [], code: text(code), message: text(message) };
}
