/** When a call is tried again, and how long after: pure. */

/** How often a call is tried again after its first try, unless set. */
export const MAX_RETRIES = 3;

/** Beyond this, a `Retry-After` is the caller's to wait for: the error comes at once. */
const LONGEST_RETRY_AFTER_MS = 60_000;

/**
 * How many milliseconds to wait before the next try; `null` for no more tries.
 *
 * `tried` counts the tries so far, from 1; `status` is that of the answer, `null` when the connection broke; `jitter` is a random number from 0 to 1.
 */
export function pauseBefore(
  tried: number,
  maxRetries: number,
  status: number | null,
  retryAfterMs: number | null,
  jitter: number,
): number | null {
  const mayPass =
    status === null ||
    [429, 500, 502, 503, 504].includes(status) ||
    // The first call with this Idempotency-Key is still running: only this conflict has a Retry-After.
    (status === 409 && retryAfterMs !== null);
  if (!mayPass || tried > maxRetries) return null;
  if (retryAfterMs !== null) return retryAfterMs > LONGEST_RETRY_AFTER_MS ? null : retryAfterMs;
  return Math.min(500 * 2 ** (tried - 1), 8_000) * jitter;
}

const MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec";
/** The three forms of a date in HTTP (RFC 9110, section 5.6.7). */
const DATES = [
  /^\w{3}, (?<day>\d\d) (?<month>\w{3}) (?<year>\d{4}) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^\w+, (?<day>\d\d)-(?<month>\w{3})-(?<year>\d\d) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^\w{3} (?<month>\w{3}) (?<day>[ \d]\d) (?<time>\d\d:\d\d:\d\d) (?<year>\d{4})$/,
];

/** A `Retry-After` in milliseconds: seconds (a fraction too) or a date, which is 0 when it is over; `null` for anything else. `now` is in milliseconds since 1970. */
export function retryAfterMs(header: string | null, now: number): number | null {
  const text = header?.trim() ?? "";
  if (/^(\d+\.?\d*|\.\d+)$/.test(text)) return Number(text) * 1000;
  for (const form of DATES) {
    const { day, month, year, time } = form.exec(text)?.groups ?? {};
    if (!day || !month || !year || !time) continue;
    const index = MONTHS.indexOf(month) / 3;
    // Two digits stand for 1970 to 2069.
    const full = year.length === 4 ? Number(year) : Number(year) + (Number(year) < 70 ? 2000 : 1900);
    const at = Date.parse(`${full}-${String(index + 1).padStart(2, "0")}-${day.trim().padStart(2, "0")}T${time}Z`);
    return Number.isNaN(at) || new Date(at).getUTCDate() !== Number(day) ? null : Math.max(at - now, 0);
  }
  return null;
}
