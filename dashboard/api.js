// Calls of the API, with the session's cookie.

/** What a call was refused with. */
export class ApiError extends Error {
  /** @param {number} status @param {any} body */
  constructor(status, body) {
    super(body?.message ?? `The server answered ${status}.`);
    this.status = status;
    /** @type {string | null} */
    this.code = body?.error ?? null;
    /** @type {string | null} */
    this.requestId = body?.requestId ?? null;
  }
}

/** @typedef {Record<string, string | number | string[] | null | undefined>} Query */
/** @typedef {{consumer: string, world: "live" | "test", scope: "read" | "write" | "admin" | "operator", key: string}} Session */

/** Who is signed in. @type {{current: Session | null}} */
export const session = { current: null };

/** Says "signed-out" when the session is over. */
export const signals = new EventTarget();

/** Whether the session may do it. @param {"read" | "write" | "admin" | "operator"} scope */
export function may(scope) {
  const scopes = ["read", "write", "admin", "operator"];
  return session.current !== null && scopes.indexOf(session.current.scope) >= scopes.indexOf(scope);
}

/** A path with its query. @param {string} path @param {Query} [query] */
export function address(path, query = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one != null && one !== "") parameters.append(name, String(one));
    }
  }
  return parameters.size > 0 ? `${path}?${parameters}` : path;
}

/**
 * Makes a call; answers its JSON, or `null` where there is none.
 * @param {string} method @param {string} path
 * @param {{query?: Query, body?: unknown, signal?: AbortSignal}} [how]
 * @returns {Promise<any>}
 */
export async function call(method, path, { query, body, signal } = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method === "POST" && !path.startsWith("/api/v1/sessions")) headers["Idempotency-Key"] = crypto.randomUUID();
  /** @type {Response} */
  let response;
  try {
    const content = body === undefined ? null : JSON.stringify(body);
    response = await fetch(address(path, query), { method, headers, body: content, signal: signal ?? null });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Error("The server does not answer. It may be restarting.");
  }
  const text = await response.text();
  const answer = text === "" ? null : parsed(text);
  if (response.ok) return answer;
  if (response.status === 401 && session.current !== null) signals.dispatchEvent(new Event("signed-out"));
  throw new ApiError(response.status, answer);
}

/** @param {string} text @returns {any} */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The address of one of a job's files. @param {string} job @param {string} name */
export function artifact(job, name) {
  return `/api/v1/jobs/${encodeURIComponent(job)}/artifacts/${encodeURIComponent(name)}`;
}

/** The lines of a file of JSON lines; those that cannot be read are left out. @param {string} job @param {string} name @param {AbortSignal} signal @returns {Promise<any[]>} */
export async function lines(job, name, signal) {
  const response = await fetch(artifact(job, name), { signal });
  if (!response.ok) return [];
  const text = await response.text();
  return text.split("\n").filter((line) => line !== "").map(parsed).filter((line) => line !== null);
}

/** The bytes of a file; none where it cannot be had. @param {string} job @param {string} name @param {AbortSignal} signal @returns {Promise<Uint8Array>} */
export async function bytes(job, name, signal) {
  const response = await fetch(artifact(job, name), { signal });
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : new Uint8Array();
}

/** Every event that a job's stream may name. */
const EVENTS = [
  "job.status_changed", "job.finalized", "job.failed", "job.artifact_ready",
  "bot.recording_permission_requested", "bot.recording_permission_granted", "bot.recording_permission_denied",
  "bot.chat_message", "bot.chat_withheld", "bot.events_left_out",
  "bot.participant_joined", "bot.participant_renamed", "bot.participant_left",
];

/** The events after which a list of jobs shows something else. */
const OF_A_LIST = ["job.status_changed", "job.finalized", "job.failed", "job.artifact_ready"];
/** How long to wait, in ms, before a feed that was refused is asked for again. */
const ASK_AGAIN = 5000;

/**
 * Follows the feed of all jobs, or what it has of one, until `signal` ends it, while the page is seen: a browser has six connections to a server, and pages in the background would hold them.
 * `changed` is called for each event, and whenever the feed begins, is lost or comes back: something may have happened meanwhile.
 * @param {AbortSignal} signal @param {() => void} changed @param {string} [job]
 */
export function followAll(signal, changed, job) {
  /** @type {EventSource | null} */
  let source = null;
  let timer = 0;
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const listen = () => {
    close();
    if (signal.aborted || document.hidden) return;
    const opened = new EventSource(address("/api/v1/events", { event: OF_A_LIST }));
    source = opened;
    opened.addEventListener("open", changed);
    for (const name of OF_A_LIST) opened.addEventListener(name, ({ data }) => (job === undefined || parsed(data)?.data?.jobId === job) && changed());
    opened.addEventListener("error", () => {
      changed();
      // The browser comes back by itself after a lost connection, but not after a refusal.
      if (opened.readyState === EventSource.CLOSED && opened === source) timer = setTimeout(listen, ASK_AGAIN);
    });
  };
  document.addEventListener("visibilitychange", listen, { signal });
  signal.addEventListener("abort", close);
  listen();
}

/** @import { TimelineEvent } from "../sdks/typescript/src/models.js" */

/**
 * Follows a job's events, those that were before included, until `signal` ends it. `again` is asked whenever the stream has ended, and says whether to go on.
 * @param {string} job @param {AbortSignal} signal
 * @param {(event: TimelineEvent) => void} take @param {() => Promise<boolean>} again
 */
export function follow(job, signal, take, again) {
  const source = new EventSource(`/api/v1/jobs/${encodeURIComponent(job)}/events`);
  signal.addEventListener("abort", () => source.close());
  for (const name of EVENTS) {
    source.addEventListener(name, (event) => {
      const read = parsed(event.data);
      if (read !== null) take(read);
    });
  }
  source.addEventListener("error", async () => {
    const goesOn = await again().catch(() => true);
    if (!goesOn) source.close();
  });
}
