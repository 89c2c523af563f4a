/** Webhooks: whether they are the server's and fresh, and what they say. */

import { MeetbotDecodeError, type MeetbotError, MeetbotSignatureError, shown, unusable } from "./errors.js";
import type { WebhookEvent } from "./models.js";
import { Unreadable, read } from "./read.js";
import { wallClock } from "./runtime.js";
import { webhookEvent } from "./shapes.js";
import { rawBody, secrets, verifyStandard, verifyWebhookSignature, type RawBody } from "./signature.js";

export { verifyWebhookSignature, type RawBody } from "./signature.js";

/** Headers as frameworks give them: `Headers`, a `Map`, Node's object, or pairs. */
export type HeadersLike =
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

const WRONG = "the signature is missing or not made with this secret";

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
  const { toleranceSeconds: tolerance = TOLERANCE_SECONDS } = options;
  if (found.has("webhook-signature")) {
    const [id, sent, signature] = ["id", "timestamp", "signature"].map((name) => found.get(`webhook-${name}`) ?? "") as [string, string, string];
    if (!verifyStandard(id, sent, raw, signature, secret)) throw refused(WRONG);
    const age = /^\d{1,15}$/.test(sent) ? Math.abs(wallClock() / 1000 - Number(sent)) : NaN;
    // The right way round for NaN, which is neither more nor less than anything.
    if (tolerance !== null && !(age <= tolerance)) throw refused(`it was sent more than ${tolerance} s ago or ahead: is the clock right?`);
  } else if (tolerance !== null) {
    throw refused("nothing in it says when it was sent (toleranceSeconds: null takes it all the same)");
  } else if (!verifyWebhookSignature({ body: raw, header: found.get("x-meetbot-signature"), secret })) {
    throw refused(WRONG);
  }
  const text = new TextDecoder().decode(raw);
  try {
    return read(webhookEvent, JSON.parse(text)) as WebhookEvent;
  } catch (error) {
    const why = error instanceof Unreadable ? error.message : "it is not JSON";
    throw new MeetbotDecodeError(`the webhook is signed, but cannot be read: ${why}: ${shown(text)}`, { body: text });
  }
}

function refused(why: string): MeetbotError {
  return new MeetbotSignatureError(`the webhook is not taken: ${why}`);
}

/** The headers by their names in small letters. A list of values is no signature. */
function lower(headers: unknown): Map<string, string> {
  if (typeof headers !== "object" || headers === null) throw unusable("the headers are Headers, an object or pairs");
  const found = new Map<string, string>();
  const add = (value: unknown, name: unknown): void => {
    if (typeof name === "string" && typeof value === "string") found.set(name.toLowerCase(), value);
  };
  const { forEach } = headers as { forEach?: unknown };
  if (Symbol.iterator in headers) for (const pair of headers as Iterable<unknown[]>) add(pair[1], pair[0]);
  else if (typeof forEach === "function") forEach.call(headers, add);
  else for (const [name, value] of Object.entries(headers)) add(value, name);
  return found;
}
