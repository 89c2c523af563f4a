/** Whether a webhook is the server's: the two signature schemes and their secret. */

import { unusable } from "./errors.js";
import { stranger } from "./pasted.js";
import { hex, hmac } from "./sha256.js";

/** A raw body, as frameworks give it. */
export type RawBody = string | Uint8Array | ArrayBuffer | DataView;

/** A webhook secret as its two schemes use it. */
interface Keys {
  /** The whole text, for `X-Meetbot-Signature`. */
  whole: Uint8Array;
  /** The bytes whose base64 follows `whsec_`, for Standard Webhooks. */
  standard: Uint8Array;
}

const encoder = new TextEncoder();

/**
 * Whether `header`, the value of `X-Meetbot-Signature`, is the signature of exactly these bytes. At once, no promise, and in constant time.
 *
 * `false` for a header that is missing, a list, or anything else than `sha256=` and 64 hex digits. Give it the raw body: one that was parsed and printed
 * again is another body. Of several secrets, as during a rotation, any will do; white space at their ends, as files have it, is passed over.
 *
 * @throws MeetbotConfigurationError A secret is missing or cannot be one (empty, without `whsec_`, not base64), or the body was parsed: every webhook would
 * be refused. Answer 500.
 *
 * @example
 * ```ts
 * import { verifyWebhookSignature } from "@meetbot/sdk";
 *
 * const header = "sha256=00850923c6e3021c39db699664a5fbda4d62d6fb12a06566cda33074bfac21b1";
 * console.log(verifyWebhookSignature({ body: "{}", header, secret: "whsec_dGVzdA==" })); // true
 * ```
 */
export function verifyWebhookSignature(args: {
  body: RawBody;
  header: string | null | undefined;
  secret: string | readonly string[];
}): boolean {
  const keys = secrets(args.secret);
  const body = rawBody(args.body);
  const header: unknown = args.header;
  const given = typeof header === "string" ? header.trim().replace(/[A-F]/g, (digit) => digit.toLowerCase()) : "";
  // All are tried, so that the time taken does not tell which one fits.
  return keys.map((key) => same(`sha256=${hex(hmac(key.whole, [body]))}`, given)).includes(true);
}

/**
 * Whether one of the signatures in a `webhook-signature` header is right for this id, timestamp and body (Standard Webhooks). Only the signature: the caller
 * bounds the age of `timestamp`.
 */
export function verifyStandard(id: string, timestamp: string, body: Uint8Array, header: string, secret: string | readonly string[]): boolean {
  const expected = secrets(secret).map((key) => standardOf(id, timestamp, body, key));
  const given = header.split(/[ \t\r\n]+/).filter((signature) => signature.startsWith("v1,"));
  return given.flatMap((signature) => expected.map((one) => same(one, signature))).includes(true);
}

/** The value of `X-Meetbot-Signature`. */
export function sign(body: Uint8Array, secret: string): string {
  return secrets(secret).map((key) => `sha256=${hex(hmac(key.whole, [body]))}`).join();
}

/** One signature of the header `webhook-signature`. */
export function signStandard(id: string, timestamp: string, body: Uint8Array, secret: string): string {
  return secrets(secret).map((key) => standardOf(id, timestamp, body, key)).join();
}

function standardOf(id: string, timestamp: string, body: Uint8Array, key: Keys): string {
  const mac = hmac(key.standard, [encoder.encode(`${id}.${timestamp}.`), body]);
  return `v1,${btoa(String.fromCharCode(...mac))}`;
}

/** The bytes that were signed. */
export function rawBody(body: unknown): Uint8Array {
  if (typeof body === "string") return encoder.encode(body);
  // By their kind and not by `instanceof`: test runners give objects of another realm.
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  if (Object.prototype.toString.call(body) === "[object ArrayBuffer]") return new Uint8Array(body as ArrayBuffer);
  throw unusable("the signature is of the raw body: give it as it came, not what was parsed from it");
}

/** The keys of these secrets, each of which can be one; else an error, which shows nothing of them but a character that no secret has. */
export function secrets(given: unknown): Keys[] {
  const list: readonly unknown[] = Array.isArray(given) && given.length > 0 ? given : [given];
  return list.map((one) => {
    const whole = typeof one === "string" ? one.trim() : "";
    if (whole === "") throw unusable("the webhook secret is missing or empty: is its variable or file there?");
    const digits = whole.slice(6);
    let decoded = "";
    try {
      decoded = atob(digits);
    } catch {
      // Reported below.
    }
    // atob passes over white space, missing padding and bits beyond the last byte.
    if (!whole.startsWith("whsec_") || decoded === "" || btoa(decoded) !== digits) {
      const held = stranger(whole);
      throw unusable(`the webhook secret is not whsec_ and base64: ${held ? `it holds ${held}` : "is it an API key, in quotes, cut off, or several in one?"}`);
    }
    return { whole: encoder.encode(whole), standard: Uint8Array.from(decoded, (letter) => letter.charCodeAt(0)) };
  });
}

/** Whether two texts are the same, in a time that depends on their lengths alone. */
function same(expected: string, given: string): boolean {
  if (expected.length !== given.length) return false;
  let differences = 0;
  for (let index = 0; index < expected.length; index++) {
    differences |= expected.charCodeAt(index) ^ given.charCodeAt(index);
  }
  return differences === 0;
}
