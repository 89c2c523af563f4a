/** Every call of the API as data: what to send, and what its answer is read as. */

import { unusable } from "./errors.js";
import type { Job } from "./models.js";
import * as shapes from "./shapes.js";
import type { Shape } from "./shapes.js";
import type { DeliveryState, JobStatus, Platform } from "./words.js";

/** What to send. */
export interface Request {
  method: string;
  /** From `/api` on, with its query, percent-encoded. */
  path: string;
  /** JSON. */
  body?: string;
  headers?: Record<string, string>;
}

/** A call: what to send, and what its answer is read as; nothing where `reads` is not set. */
export interface Endpoint extends Request {
  reads?: Shape;
}

type Optional<T> = T | null | undefined;

/** What to dispatch. What is not given, `undefined` or `null`, is not sent: the server has the defaults. */
export interface DispatchBotParams {
  /** The link to the meeting. */
  meetingUrl: string;
  /** Your own id for the job, 1 to 255 characters: dispatching with it again gives the existing job. */
  externalId?: Optional<string>;
  /** The product, where the link does not show it. */
  platform?: Optional<Platform>;
  /** The name that the bot shows in the meeting. */
  displayName?: Optional<string>;
  /** When to join; a text is RFC 3339 with an offset. */
  joinAt?: Optional<Date | string>;
  /** Where `job.finalized`, `job.failed` and `job.artifact_ready` are sent. */
  onFinalizeUrl?: Optional<string>;
  /** Where all other events, and `job.failed`, are sent. */
  onStatusChangeUrl?: Optional<string>;
  /** The same two, as the API spells them: give one spelling or the other. */
  webhooks?: Optional<{ onFinalize?: Optional<string>; onStatusChange?: Optional<string> }>;
  /** Your own data, given back in the job and in each event. JSON; at most 16 KiB. */
  metadata?: Optional<Record<string, unknown>>;
  /** When the bot leaves by itself. */
  autoLeave?: Optional<AutoLeaveConfig>;
  /**
   * Whether to record cameras; the server's settings decide where it is not given. Shared screens are recorded in any case; a bot with a browser records
   * neither unless this is true.
   */
  recordVideo?: Optional<boolean>;
  /** The account as which the bot joins: a name that the operator of the server has set up. Without it the bot joins as a guest. */
  account?: Optional<string>;
}

/** When the bot leaves by itself, in whole seconds. `null` switches a rule off; what is not given has the server's default. */
export interface AutoLeaveConfig {
  /** Not admitted this long after knocking; default 600. */
  afterEntryDelaySeconds?: number | null | undefined;
  /** Nobody has spoken for this long; default 1200. */
  afterSilenceSeconds?: number | null | undefined;
  /** Nobody else is there, or nobody came; default 60. */
  afterSoloSeconds?: number | null | undefined;
  /** In the call this long; default 14400. */
  afterMaxSeconds?: number | null | undefined;
  /** Whether to leave when another notetaker is there; default false. */
  onBotDetected?: boolean | null | undefined;
}

/** Which jobs to list; what is not given does not narrow the list. */
export interface ListBotsParams {
  /** Jobs in this status, or in any of these. */
  status?: Optional<JobStatus | readonly JobStatus[]>;
  externalId?: Optional<string>;
  platform?: Optional<Platform>;
  /** Created at this time or later. */
  createdAfter?: Optional<Date | string>;
  /** Created before this time. */
  createdBefore?: Optional<Date | string>;
  /** How many a page holds: 1 to 200; the server's default is 50. */
  limit?: Optional<number>;
  /** `nextCursor` of the page before. */
  cursor?: Optional<string>;
}

/** Which deliveries to list; what is not given does not narrow the list. */
export interface DeliveriesParams {
  /** The job, or its id. */
  jobId?: Optional<Job | string>;
  state?: Optional<DeliveryState>;
  /** How many a page holds: 1 to 200; the server's default is 50. */
  limit?: Optional<number>;
  /** `nextCursor` of the page before. */
  cursor?: Optional<string>;
}

export function dispatchBot(params: DispatchBotParams): Endpoint {
  known("dispatchBot", params, "meetingUrl externalId platform displayName joinAt onFinalizeUrl onStatusChangeUrl webhooks metadata autoLeave recordVideo account");
  const { onFinalizeUrl, onStatusChangeUrl, webhooks, joinAt, ...others } = params;
  const { metadata, autoLeave } = others;
  known("webhooks", webhooks ?? {}, "onFinalize onStatusChange");
  if (webhooks && (onFinalizeUrl ?? onStatusChangeUrl)) throw unusable("give onFinalizeUrl and onStatusChangeUrl, or webhooks, not both");
  const urls = set(webhooks ?? { onFinalize: onFinalizeUrl, onStatusChange: onStatusChangeUrl });
  if (metadata && (typeof metadata !== "object" || Array.isArray(metadata))) throw unusable("metadata is an object");
  known("autoLeave", autoLeave ?? {}, "afterEntryDelaySeconds afterSilenceSeconds afterSoloSeconds afterMaxSeconds onBotDetected");
  const body = set({ ...others, joinAt: given(joinAt) ? time("joinAt", joinAt) : null, webhooks: Object.keys(urls).length > 0 ? urls : null });
  return { method: "POST", path: "/api/v1/jobs", body: toJson(body), reads: shapes.job };
}

export function getBot(jobId: string): Endpoint {
  return { method: "GET", path: job(jobId), reads: shapes.job };
}

export function listBots(params: ListBotsParams): Endpoint {
  const path = withQuery("listBots", "/api/v1/jobs", params, "status externalId platform createdAfter createdBefore limit cursor");
  return { method: "GET", path, reads: shapes.pageOf(shapes.job) };
}

/** The id of a job that is given as a whole, or by its id. */
export function idOf(job: Job | string): string {
  const id: unknown = typeof job === "string" ? job : (job as Job | null | undefined)?.id;
  if (typeof id !== "string") throw unusable("a job or its id is wanted: the job's id is a text");
  return id;
}

export function cancelBot(jobId: string): Endpoint {
  return { method: "DELETE", path: job(jobId) };
}

/** One of the control verbs, by its place in the path. */
export function control(jobId: string, verb: string, body?: unknown): Endpoint {
  const endpoint: Endpoint = { method: "POST", path: `${job(jobId)}/${verb}`, reads: shapes.controlResult };
  return body === undefined ? endpoint : { ...endpoint, body: toJson(body) };
}

export function manifest(jobId: string): Endpoint {
  return { method: "GET", path: `${job(jobId)}/manifest`, reads: shapes.manifest };
}

export function events(jobId: string): Endpoint {
  return { method: "GET", path: `${job(jobId)}/events`, reads: shapes.pageOf(shapes.timelineEvent) };
}

export function artifacts(jobId: string): Endpoint {
  return { method: "GET", path: `${job(jobId)}/artifacts`, reads: shapes.pageOf(shapes.file) };
}

export function artifact(jobId: string, name: string): Endpoint {
  return { method: "GET", path: `${job(jobId)}/artifacts/${segment("the artifact's name", name)}`, headers: { accept: "*/*" } };
}

export function deleteRecording(jobId: string): Endpoint {
  return { method: "DELETE", path: `${job(jobId)}/recording`, reads: shapes.deletionReceipt };
}

export function eraseConsumer(confirm: string): Endpoint {
  return { method: "DELETE", path: withQuery("eraseConsumer", "/api/v1/consumers/me", { confirm }, "confirm"), reads: shapes.erasureReceipt };
}

export function host(): Endpoint {
  return { method: "GET", path: "/api/v1/admin/host", reads: shapes.host };
}

export function usage(): Endpoint {
  return { method: "GET", path: "/api/v1/usage", reads: shapes.usage };
}

export function listPlatforms(): Endpoint {
  return { method: "GET", path: "/api/v1/platforms", reads: shapes.pageOf(shapes.platform) };
}

export function deliveries(params: DeliveriesParams): Endpoint {
  const given = params?.jobId ? { ...params, jobId: idOf(params.jobId) } : params;
  const path = withQuery("deliveries", "/api/v1/webhooks/deliveries", given, "jobId state limit cursor");
  return { method: "GET", path, reads: shapes.pageOf(shapes.delivery) };
}

export function getDelivery(deliveryId: string): Endpoint {
  return { method: "GET", path: delivery(deliveryId), reads: shapes.delivery };
}

export function redeliver(deliveryId: string): Endpoint {
  return { method: "POST", path: `${delivery(deliveryId)}/redeliver`, reads: shapes.delivery };
}

/** A request to any path. */
export function anyRequest(method: string, path: string, json: unknown): Request {
  if (!/^[A-Za-z]+$/.test(method)) throw unusable(`${JSON.stringify(method)} is not a method of HTTP`);
  if (!/^\/[\x21-\x7e]*$/.test(path) || path.includes("#")) throw unusable("the path begins with a slash and is percent-encoded");
  const request = { method: method.toUpperCase(), path };
  return json === undefined ? request : { ...request, body: toJson(json) };
}

/** JSON as the API takes it. Values that JSON cannot hold are an error before anything is sent: `JSON.stringify` alone makes `null` of NaN. */
function toJson(value: unknown): string {
  let problem: unknown = "it is none";
  try {
    const text = JSON.stringify(value, (name, inner: unknown) => {
      if (typeof inner === "number" && !Number.isFinite(inner)) throw new TypeError(`${name} is ${inner}`);
      return inner;
    }) as string | undefined;
    if (text !== undefined) return text;
  } catch (error) {
    problem = error;
  }
  throw unusable(`the body cannot be written as JSON: ${problem}`, problem);
}

function given<T>(value: Optional<T>): value is T {
  return value !== null && value !== undefined;
}

/** The fields that are given. */
function set(fields: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => given(value)));
}

/** A parameter that is not known would be lost without a word. */
function known(what: string, params: object, names: string): void {
  if (typeof params !== "object" || params === null) throw unusable(`${what} takes an object`);
  const unknown = Object.keys(params).find((name) => !names.split(" ").includes(name));
  if (unknown !== undefined) throw unusable(`${what} does not know ${JSON.stringify(unknown)}, but ${names}`);
}

function time(name: string, value: Date | string): string {
  if (typeof value === "string") return value;
  try {
    const text = value.toISOString();
    if (/^\d{4}-/.test(text)) return text;
  } catch {
    // An invalid date, or none.
  }
  throw unusable(`${name} is a Date of the years 0 to 9999, or a text`);
}

/** The path with what is given of these parameters, in the order of their names. */
function withQuery(what: string, path: string, params: object, names: string): string {
  known(what, params, names);
  const query = new URLSearchParams();
  for (const name of names.split(" ")) {
    const value = (params as Record<string, unknown>)[name];
    for (const one of Array.isArray(value) ? value : [value]) {
      if (given(one)) query.append(name, name.startsWith("created") ? time(name, one as Date) : String(one));
    }
  }
  return query.size > 0 ? `${path}?${query}` : path;
}

function job(jobId: string): string {
  return `/api/v1/jobs/${segment("the job's id", jobId)}`;
}

function delivery(deliveryId: string): string {
  return `/api/v1/webhooks/deliveries/${segment("the delivery's id", deliveryId)}`;
}

/** One segment of a path. An empty one would name the list, and URL parsers fold dots after decoding them: neither is sent. */
function segment(what: string, text: unknown): string {
  if (typeof text !== "string") throw unusable(`${what} is a text`);
  if (/^\.*$/.test(text)) throw unusable(`${what} cannot be ${JSON.stringify(text)}`);
  try {
    return encodeURIComponent(text);
  } catch {
    throw unusable(`${what} is no text that can be sent`);
  }
}
