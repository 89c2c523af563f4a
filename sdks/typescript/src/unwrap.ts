/** Webhooks: whether they are the server's and fresh, and what they say. */

import { failure, unusable, shown, type MeetbotError } from "./errors.js";
import type { WebhookEvent } from "./models.js";
import { Unreadable, read } from "./read.js";
import { wallClock } from "./runtime.js";
import { webhookEvent } from "./shapes.js";
import { rawBody, secrets, verifyStandard, verifyWebhookSignature, type RawBody } from "./signature.js";

export { verifyWebhookSignature, type RawBody } from "./signature.js";

/** Headers as frameworks give them: `Headers`, a `Map`, Node's object, or pairs. */
export type HeadersLike =
  | { entries(): Iterable<readonly [string, string]> }
  | { forEach(each: (value: string, name: string) => void): void }
  | Iterable<readonly [string, string]>
  | Readonly<Record<string, string | readonly string[] | undefined>>;

/** How a webhook is judged. */
export interface UnwrapOptions {
  /** How old the webhook may be, in seconds; 300 by default. `null`: its age does not matter. */
  toleranceSeconds?: number | null | undefined;
}

/** How old a webhook may be unless set, and how far ahead its clock, in seconds. */
const TOLERANCE_SECONDS = 300;

/**
 * Verifies a webhook and reads it. At once, no promise.
 *
 * By the headers of Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`), which sign the time too. `X-Meetbot-Signature` signs none: it
 * is taken only where the age does not matter, or an old webhook without those headers would pass.
 *
 * @throws MeetbotSignatureError It is not signed with any of the secrets, or too old: answer 401.
 * @throws MeetbotDecodeError It is signed, but no event that this version can read: answer 200, or it is sent again.
 * @throws MeetbotConfigurationError A secret is missing or cannot be one, or the body was parsed: answer 500.
 *
 * @example
 * ```ts
 * import { unwrap } from "@meetbot/sdk/webhooks";
 * import { signWebhook } from "@meetbot/sdk/testing";
 *
 * const { body, headers } = signWebhook({ event: "job.finalized", manifestUri: "file:///m.json" }, "whsec_dGVzdA==");
 * const event = unwrap(body, headers, "whsec_dGVzdA==");
 * if (event.event === "job.finalized") console.log(event.data.manifestUri);
 * ```
 */
export function unwrap(body: RawBody, headers: HeadersLike, secret: string | readonly string[], options: UnwrapOptions = {}): WebhookEvent {
  secrets(secret);
  const raw = rawBody(body);
  const found = lower(headers);
  const tolerance = options.toleranceSeconds === undefined ? TOLERANCE_SECONDS : options.toleranceSeconds;
  if (found.has("webhook-signature")) {
    const header = (name: string): string => found.get(name) ?? "";
    const sent = header("webhook-timestamp");
    if (!verifyStandard(header("webhook-id"), sent, raw, header("webhook-signature"), secret)) {
      throw refused("the signature is not made with this secret");
    }
    const age = /^\d{1,15}$/.test(sent) ? Math.abs(wallClock() / 1000 - Number(sent)) : NaN;
    // The right way round for NaN, which is neither more nor less than anything.
    if (tolerance !== null && !(age <= tolerance)) {
      throw refused(`it was sent more than ${tolerance} s ago or ahead: is the clock right?`);
    }
  } else if (tolerance !== null) {
    throw refused("nothing in it says when it was sent; with toleranceSeconds: null its age does not matter");
  } else if (!verifyWebhookSignature({ body: raw, header: found.get("x-meetbot-signature"), secret })) {
    throw refused("the signature is missing or not made with this secret");
  }
  const text = new TextDecoder().decode(raw);
  try {
    return read(webhookEvent, JSON.parse(text)) as WebhookEvent;
  } catch (error) {
    const why = error instanceof Unreadable ? error.message : "it is not JSON";
    throw failure("decode", `the webhook is signed, but no event that this version can read: ${why}: ${shown(text)}`, { body: text });
  }
}

function refused(why: string): MeetbotError {
  return failure("signature", `the webhook is not taken: ${why}`);
}

/** The headers by their names in small letters. A list of values is no signature. */
function lower(headers: unknown): Map<string, string> {
  if (typeof headers !== "object" || headers === null) throw unusable("the headers are Headers, a Map, an object or pairs");
  const given = headers as { entries?(): Iterable<unknown>; forEach?(each: (value: unknown, name: unknown) => void): void };
  const found = new Map<string, string>();
  const add = (name: unknown, value: unknown): void => {
    if (typeof name === "string" && typeof value === "string") found.set(name.toLowerCase(), value);
  };
  // An array has entries() too, of its numbers.
  if (Array.isArray(headers)) for (const pair of headers as unknown[][]) add(pair?.[0], pair?.[1]);
  else if (typeof given.entries === "function") for (const [name, value] of given.entries() as Iterable<[unknown, unknown]>) add(name, value);
  else if (typeof given.forEach === "function") given.forEach((value, name) => add(name, value));
  else if (Symbol.iterator in headers) for (const [name, value] of headers as Iterable<[unknown, unknown]>) add(name, value);
  else for (const [name, value] of Object.entries(headers)) add(name, value);
  return found;
}
