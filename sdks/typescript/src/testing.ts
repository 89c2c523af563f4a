/** For tests of programs that use this SDK: a server that is played, signed webhooks, and jobs. */

import { MeetBot } from "./client.js";
import { unusable } from "./errors.js";
import type { Job } from "./models.js";
import { wallClock } from "./runtime.js";
import type { FetchLike, Options, ResponseLike } from "./settings.js";
import { sign, signStandard } from "./signature.js";
import { isFinal } from "./words.js";

/** The key of the clients that a mock makes. */
export const KEY = "mb_test_0123456789abcdefghijklmnopqrstuvwxyz";

const ID = "01KAB1CDEFGHJKMNPQRSTVWXYZ";
const EPOCH = "2026-01-01T00:00:00.000Z";
const VERBS = ["request-recording-permission", "pause-recording", "resume-recording", "stop-recording", "leave-call", "send-chat-message"];

/**
 * A job as the server shows it, with these fields changed.
 *
 * @example
 * ```ts
 * import { job } from "@meetbot/sdk/testing";
 *
 * console.log(job({ status: "recording" }).platform); // sandbox
 * ```
 */
export function job(fields: Partial<Job> = {}): Job {
  const made: Job = {
    id: `job_${ID}`,
    externalId: null,
    meetingUrl: "https://sandbox.meetbot.dev/two-speakers",
    platform: "sandbox",
    displayName: "meetbot",
    status: "queued",
    statusDetail: null,
    recording: { state: "off", permission: "not_required", startedAt: null, pausedMs: 0, bytes: null, deletedAt: null },
    joinAt: null,
    webhooks: { onStatusChange: null, onFinalize: null },
    metadata: {},
    autoLeave: { afterEntryDelaySeconds: 600, afterSilenceSeconds: 1200, afterSoloSeconds: 60, afterMaxSeconds: 14400, onBotDetected: false },
    recordVideo: null,
    account: null,
    attempt: 0,
    leaveReason: null,
    failureCode: null,
    failureDetail: null,
    manifestUri: null,
    createdAt: EPOCH,
    updatedAt: EPOCH,
    joinedAt: null,
    endedAt: null,
  };
  const unknown = Object.keys(fields).find((name) => !(name in made));
  if (unknown !== undefined) throw unusable(`a job has no ${unknown}`);
  return { ...made, ...fields };
}

/**
 * A webhook as the server sends it: its body and its headers, in both signature schemes.
 *
 * `data` is the event's data, `{ event: "job.finalized", manifestUri: … }`; what is missing of an envelope is filled in. `sentAt` is in seconds since 1970, now
 * by default.
 *
 * @throws MeetbotConfigurationError The secret cannot be one.
 *
 * @example
 * ```ts
 * import { signWebhook } from "@meetbot/sdk/testing";
 *
 * const { body, headers } = signWebhook({ event: "job.failed", failure_code: "network_loss" }, "whsec_dGVzdA==");
 * console.log(body.length > 0, headers["x-meetbot-webhook-version"]);
 * ```
 */
export function signWebhook(
  data: Record<string, unknown>,
  secret: string,
  options: { sentAt?: number | undefined } = {},
): { body: Uint8Array; headers: Record<string, string> } {
  const event = typeof data["event"] === "string" ? data["event"] : "job.status_changed";
  const statuses: Record<string, string> = { "job.failed": "failed", "job.finalized": "completed", "job.artifact_ready": "completed" };
  const envelope = {
    deliveryId: `dlv_${ID}`,
    event,
    emittedAt: EPOCH,
    attempt: 1,
    version: 2,
    data: { event, sequence: 1, jobId: `job_${ID}`, externalId: null, status: statuses[event] ?? "recording", metadata: {}, ...data },
  };
  const body = new TextEncoder().encode(JSON.stringify(envelope));
  const sent = String(Math.floor(options.sentAt ?? wallClock() / 1000));
  const headers = {
    "content-type": "application/json",
    "x-meetbot-signature": sign(body, secret),
    "x-meetbot-webhook-version": "2",
    "webhook-id": `dlv_${ID}`,
    "webhook-timestamp": sent,
    "webhook-signature": signStandard(`dlv_${ID}`, sent, body, secret),
  };
  return { body, headers };
}

/** A request that a mock got; its key is left out. */
export interface MockRequest {
  method: string;
  /** From `/api` on, with its query. */
  path: string;
  headers: Record<string, string>;
  /** Parsed JSON; `null` where there was none. */
  body: unknown;
}

interface Said {
  status: number;
  body: unknown;
  headers: Record<string, string>;
}

/**
 * Plays the server without a network: jobs can be dispatched, read, listed, cancelled and controlled, and custom answers can be set.
 *
 * @example
 * ```ts
 * import { MockServer } from "@meetbot/sdk/testing";
 *
 * const mock = new MockServer();
 * const mb = mock.client();
 * const job = await mb.dispatchBot({ meetingUrl: "https://meet.example/a", externalId: "lesson-1" });
 * mock.setJob(job.id, { status: "completed", manifestUri: "file:///m.json" });
 * console.log((await mb.waitForBot(job.id)).manifestUri);
 * ```
 */
export class MockServer {
  /** The jobs by their ids, oldest first. */
  readonly jobs: Map<string, Job> = new Map();
  /** What came, oldest first. */
  readonly requests: MockRequest[] = [];
  /** What clients send through; it can be given to a client as its `fetch` itself. */
  readonly fetch: FetchLike = (url, init) => this.#answer(url, init);
  readonly #next: (Said | Error)[] = [];
  /** What was asked for with an idempotency key, and the answer. */
  readonly #dispatches = new Map<string, { body: string; said: Said }>();

  /** A client of this server. */
  client(options: Options = {}): MeetBot {
    return new MeetBot({ apiKey: KEY, baseUrl: "https://mock.meetbot.invalid", fetch: this.fetch, ...options });
  }

  /** Gives this answer to the next request that has none yet. A body that is no bytes is sent as JSON. */
  answerNext(status: number, body: unknown = null, headers: Record<string, string> = {}): void {
    this.#next.push({ status, body, headers });
  }

  /** Lets the next request that has no answer yet fail, as a connection that breaks. */
  failNext(error: Error): void {
    this.#next.push(error);
  }

  /** Changes a job. */
  setJob(id: string, fields: Partial<Job>): void {
    this.jobs.set(id, job({ ...this.#job(id), ...fields }));
  }

  #job(id: string): Job {
    const found = this.jobs.get(id);
    if (found === undefined) throw unusable(`the mock has no job ${id}`);
    return found;
  }

  async #answer(url: string, init: { method?: string; headers?: Record<string, string>; body?: string; signal?: AbortSignal } = {}): Promise<ResponseLike> {
    const { pathname, search } = new URL(url);
    const { authorization: _, ...headers } = init.headers ?? {};
    const method = init.method ?? "GET";
    this.requests.push({ method, path: pathname + search, headers, body: init.body === undefined ? null : JSON.parse(init.body) });
    const next = this.#next.shift();
    if (next instanceof Error) throw next;
    return response(next ?? this.#played(method, pathname, new URLSearchParams(search), headers, init.body));
  }

  #played(method: string, path: string, query: URLSearchParams, headers: Record<string, string>, body: string | undefined): Said {
    const [first, id = "", verb, ...rest] = path.replace(/^.*\/api\/v1\//, "").split("/").map(decodeURIComponent);
    if (first === "jobs" && id === "" && method === "POST") return this.#dispatchedOnce(headers["idempotency-key"], body ?? "{}");
    if (first === "jobs" && id === "" && method === "GET") return this.#listed(query);
    if (first === "jobs" && id !== "" && rest.length === 0) {
      const found = this.jobs.get(id);
      if (found === undefined) return said(404, { error: "not_found", message: "there is no such job" });
      if (verb === undefined && method === "GET") return said(200, found);
      if (verb === undefined && method === "DELETE") {
        if (!isFinal(found.status)) this.setJob(id, { status: "cancelled", leaveReason: "cancelled" });
        return said(204, new Uint8Array(0));
      }
      if (verb !== undefined && method === "POST" && VERBS.includes(verb)) {
        const { status, recording } = found;
        const action = verb.replaceAll("-", "_");
        return said(200, { jobId: id, commandId: `cmd_${ID}`, action, state: "done", status, recording, requestedAt: EPOCH, updatedAt: EPOCH });
      }
    }
    return said(501, { error: "not_played", message: `the mock does not play ${method} ${path}: answerNext() can` });
  }

  #dispatchedOnce(key: string | undefined, body: string): Said {
    const known = key === undefined ? undefined : this.#dispatches.get(key);
    if (known !== undefined) {
      if (known.body === body) return known.said;
      return said(422, { error: "idempotency_mismatch", message: "this Idempotency-Key was used for another request; use a new one" });
    }
    const made = this.#dispatched(JSON.parse(body) as Partial<Job>);
    if (key !== undefined) this.#dispatches.set(key, { body, said: made });
    return made;
  }

  #dispatched(params: Partial<Job>): Said {
    for (const known of this.jobs.values()) {
      if (known.externalId !== null && known.externalId === params.externalId) return said(200, known);
    }
    const id = `job_01KAB1CDEFGHJKMNPQRSTV${this.jobs.size.toString(32).toUpperCase().padStart(4, "0")}`;
    const fresh = job();
    const { autoLeave, webhooks, ...given } = params;
    const made = job({ ...given, id, autoLeave: { ...fresh.autoLeave, ...autoLeave }, webhooks: { ...fresh.webhooks, ...webhooks } });
    this.jobs.set(id, made);
    return said(201, made);
  }

  #listed(query: URLSearchParams): Said {
    const among = (name: string, value: string | null): boolean => !query.has(name) || query.getAll(name).includes(value ?? "");
    const after = Date.parse(query.get("createdAfter") ?? "0000-01-01");
    const before = Date.parse(query.get("createdBefore") ?? "9999-01-01");
    const found = [...this.jobs.values()].reverse().filter((one) => {
      const created = Date.parse(one.createdAt ?? EPOCH);
      return among("status", one.status) && among("externalId", one.externalId) && among("platform", one.platform) && created >= after && created < before;
    });
    const start = Number(query.get("cursor") ?? 0);
    const end = start + Number(query.get("limit") ?? 50);
    return said(200, { data: found.slice(start, end), nextCursor: end < found.length ? String(end) : null });
  }
}

function said(status: number, body: unknown): Said {
  return { status, body, headers: {} };
}

function response({ status, body, headers }: Said): ResponseLike {
  const bytes = ArrayBuffer.isView(body) ? (body as Uint8Array) : new TextEncoder().encode(JSON.stringify(body));
  const all = { "content-type": "application/json", ...headers };
  const empty = status === 204 || status === 304;
  return new Response(empty ? null : (bytes as BodyInit), { status, headers: all });
}
