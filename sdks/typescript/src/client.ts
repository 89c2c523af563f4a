/** `MeetBot`: the client. */

import { call, pagesOf } from "./call.js";
import * as calls from "./calls.js";
import { idOf, type DeliveriesParams, type DispatchBotParams, type ListBotsParams } from "./calls.js";
import { pieces, toFile, toFolder, type DownloadAllOptions, type DownloadOptions } from "./download.js";
import { unusable } from "./errors.js";
import { Watch } from "./events.js";
import { exchange } from "./exchange.js";
import { linesOf } from "./lines.js";
import type {
  Caption, ChatMessage, ControlResult, DeletionReceipt, Delivery, ErasureReceipt, Host, Job, Manifest, ManifestFile, PlatformAvailability, RecordingEvent,
  SpeakingSpan, TimelineEvent, Usage,
} from "./models.js";
import type { Call, Page } from "./results.js";
import { changed, settings, type AbortSignalLike, type CallOptions, type Options, type RawResponse, type Settings } from "./settings.js";
import { streamOf, type Stream } from "./stream.js";
import { waitForBot, type WaitOptions } from "./wait.js";

/** The settings of each client. Not a field of it, so that no print, inspection or JSON of a client shows the key. */
const SETTINGS = new WeakMap<MeetBot, Settings>();

/** Gives the next client settings that are checked already. */
let inherited: Settings | null = null;

function settingsOf(client: MeetBot, options?: CallOptions): Settings {
  const found = SETTINGS.get(client);
  if (found === undefined) throw unusable("this is no client: call the methods of the one that createMeetbot gives");
  return changed(found, options);
}

/**
 * A client of a meetbot server. Each method makes its call at once and gives a promise; errors are below `MeetbotError`.
 *
 * @example
 * ```ts
 * import { createMeetbot } from "@meetbot/sdk";
 *
 * const mb = createMeetbot(); // MEETBOT_API_KEY, MEETBOT_API_BASE_URL
 * const { data } = await mb.listBots({ limit: 1 });
 * console.log(data.length);
 * ```
 */
export class MeetBot {
  /** Where calls go, without a slash at the end. */
  readonly baseUrl: string;

  /**
   * @throws MeetbotConfigurationError A setting is missing or cannot be used; the error does not show the key.
   */
  constructor(options: Options = {}) {
    const own = inherited ?? settings(options);
    inherited = null;
    SETTINGS.set(this, own);
    this.baseUrl = own.base;
  }

  /**
   * The same client with other options, for one call or for many.
   *
   * @example
   * ```ts
   * const patient = mb.withOptions({ timeout: 60_000, maxRetries: 5 });
   * await patient.getBot(jobId);
   * ```
   */
  withOptions(options: Omit<CallOptions, "idempotencyKey">): MeetBot {
    inherited = { ...settingsOf(this, options), idempotencyKey: null };
    return new MeetBot();
  }

  /**
   * Sends a bot to a meeting (`POST /api/v1/jobs`). With an `externalId` that was used before, the job of that time is the answer.
   *
   * @example
   * ```ts
   * const job = await mb.dispatchBot({ meetingUrl: "https://sandbox.meetbot.dev/two-speakers?seconds=5", displayName: "Acme Notetaker" });
   * console.log(job.status);
   * ```
   */
  dispatchBot(params: DispatchBotParams, options?: CallOptions): Call<Job> {
    return call(() => settingsOf(this, options), () => calls.dispatchBot(params));
  }

  /**
   * The job, `null` when there is none with this id (`GET /api/v1/jobs/{id}`).
   *
   * @example
   * ```ts
   * const job = await mb.getBot(jobId);
   * console.log(job?.status);
   * ```
   */
  getBot(job: Job | string, options?: CallOptions): Call<Job | null> {
    return call(() => settingsOf(this, options), () => calls.getBot(idOf(job)), true);
  }

  /** The same as `getBot`. */
  getJob(job: Job | string, options?: CallOptions): Call<Job | null> {
    return this.getBot(job, options);
  }

  /**
   * One page of jobs, newest first (`GET /api/v1/jobs`); `iterBots` goes over all of them.
   *
   * @example
   * ```ts
   * const page = await mb.listBots({ status: ["completed", "failed"], limit: 20 });
   * console.log(page.data.length, page.nextCursor);
   * ```
   */
  listBots(params: ListBotsParams = {}, options?: CallOptions): Call<Page<Job>> {
    return call(() => settingsOf(this, options), () => calls.listBots(params));
  }

  /**
   * All jobs, newest first, page by page as they are asked for.
   *
   * @example
   * ```ts
   * for await (const job of mb.iterBots({ platform: "sandbox" })) {
   *   console.log(job.id, job.status);
   *   break;
   * }
   * ```
   */
  iterBots(params: Omit<ListBotsParams, "cursor"> = {}, options?: CallOptions): Stream<Job> {
    return pagesOf(() => settingsOf(this, options), (cursor) => calls.listBots({ ...params, ...(cursor !== null && { cursor }) }));
  }

  /**
   * Calls a job off (`DELETE /api/v1/jobs/{id}`). What was recorded is kept. No error when it had ended already.
   *
   * @example
   * ```ts
   * await mb.cancelBot(jobId);
   * ```
   */
  cancelBot(job: Job | string, options?: CallOptions): Call<void> {
    return call(() => settingsOf(this, options), () => calls.cancelBot(idOf(job)));
  }

  /**
   * Asks the host for permission to record.
   *
   * @example
   * ```ts
   * const { state } = await mb.requestRecordingPermission(runningJobId);
   * console.log(state);
   * ```
   */
  requestRecordingPermission(job: Job | string, options?: CallOptions): Call<ControlResult> {
    return call(() => settingsOf(this, options), () => calls.control(idOf(job), "request-recording-permission"));
  }

  /**
   * Records nothing until resumed.
   *
   * @example
   * ```ts
   * const { recording } = await mb.pauseRecording(runningJobId);
   * console.log(recording.state);
   * ```
   */
  pauseRecording(job: Job | string, options?: CallOptions): Call<ControlResult> {
    return call(() => settingsOf(this, options), () => calls.control(idOf(job), "pause-recording"));
  }

  /**
   * Goes on recording.
   *
   * @example
   * ```ts
   * await mb.resumeRecording(runningJobId);
   * ```
   */
  resumeRecording(job: Job | string, options?: CallOptions): Call<ControlResult> {
    return call(() => settingsOf(this, options), () => calls.control(idOf(job), "resume-recording"));
  }

  /**
   * Stops the recording for good; the bot stays.
   *
   * @example
   * ```ts
   * await mb.stopRecording(runningJobId);
   * ```
   */
  stopRecording(job: Job | string, options?: CallOptions): Call<ControlResult> {
    return call(() => settingsOf(this, options), () => calls.control(idOf(job), "stop-recording"));
  }

  /**
   * Lets the bot leave the meeting and finish its recording.
   *
   * @example
   * ```ts
   * await mb.leaveBot(runningJobId);
   * ```
   */
  leaveBot(job: Job | string, options?: CallOptions): Call<ControlResult> {
    return call(() => settingsOf(this, options), () => calls.control(idOf(job), "leave-call"));
  }

  /**
   * Writes into the meeting's chat, 1 to 4,000 characters.
   *
   * @example
   * ```ts
   * await mb.sendChatMessage(runningJobId, "This meeting is recorded.");
   * ```
   */
  sendChatMessage(job: Job | string, message: string, options?: CallOptions): Call<ControlResult> {
    return call(() => settingsOf(this, options), () => calls.control(idOf(job), "send-chat-message", { message }));
  }

  /**
   * Waits until the job has ended, by listening to its events and by asking for it; where there is no stream of events to be had, by asking alone: often at
   * first, every 5 s later. A server that is away for less than five minutes does not end the wait.
   *
   * @throws MeetbotTimeoutError `timeout` is over; the job goes on.
   * @throws MeetbotNotFoundError There is no such job.
   *
   * @example
   * ```ts
   * const job = await mb.waitForBot(jobId, { timeout: 60_000, onUpdate: (job) => console.log(job.status) });
   * console.log(job.manifestUri);
   * ```
   */
  async waitForBot(job: Job | string, options: WaitOptions = {}): Promise<Job> {
    return waitForBot(settingsOf(this), idOf(job), options);
  }

  /**
   * The job's events from its first, each as it happens; ends after the job's last event. A connection that breaks is taken up where it broke, so that no
   * event is missed or comes twice.
   *
   * @example
   * ```ts
   * for await (const event of mb.watch(jobId)) {
   *   if (event.event === "job.status_changed") console.log(event.data.previousStatus, event.data.status);
   * }
   * ```
   */
  watch(job: Job | string, options: { signal?: AbortSignalLike | undefined } = {}): Stream<TimelineEvent> {
    return streamOf(new Watch(settingsOf(this), idOf(job), options.signal));
  }

  /**
   * What was recorded (`GET …/manifest`).
   *
   * @throws MeetbotNotFoundError There is none yet.
   *
   * @example
   * ```ts
   * const manifest = await mb.manifest(endedJobId);
   * for (const track of manifest.tracks) console.log(track.file, track.durationMs);
   * ```
   */
  manifest(job: Job | string, options?: CallOptions): Call<Manifest> {
    return call(() => settingsOf(this, options), () => calls.manifest(idOf(job)));
  }

  /**
   * All files of the job (`GET …/artifacts`): those of its manifest, and what was kept of joins that failed, which a job without a manifest may have too.
   *
   * @example
   * ```ts
   * for (const file of await mb.artifacts(endedJobId)) console.log(file.name, file.mediaType, file.bytes);
   * ```
   */
  async artifacts(job: Job | string, options?: CallOptions): Promise<ManifestFile[]> {
    return (await call<Page<ManifestFile>>(() => settingsOf(this, options), () => calls.artifacts(idOf(job)))).data;
  }

  /**
   * Who spoke when, by start: the manifest's `speaking`.
   *
   * @throws MeetbotNotFoundError There is no manifest yet.
   *
   * @example
   * ```ts
   * for (const span of await mb.speaking(endedJobId)) console.log(span.participantId, span.startMs, span.endMs);
   * ```
   */
  async speaking(job: Job | string, options?: CallOptions): Promise<SpeakingSpan[]> {
    return (await this.manifest(job, options)).speaking;
  }

  /**
   * The meeting's captions, `captions.jsonl`, in the order in which they came; empty where there were none, as on platforms that give none. The file is checked
   * by its SHA-256, and read into memory (at most 64 MiB). A line that was cut off is left out.
   *
   * @throws MeetbotNotFoundError There is no manifest yet.
   * @throws MeetbotDecodeError The file is not what the manifest says, or too large, or a line has a value of another type.
   *
   * @example
   * ```ts
   * for (const caption of await mb.captions(endedJobId)) console.log(`${caption.speaker}: ${caption.text}`);
   * ```
   */
  async captions(job: Job | string, options?: CallOptions): Promise<Caption[]> {
    return linesOf(settingsOf(this, options), idOf(job), "captions");
  }

  /**
   * The meeting's chat, `chat.jsonl`, in the order in which it was written; empty where nothing was. It is read as `captions` are.
   *
   * @example
   * ```ts
   * for (const message of await mb.chat(endedJobId)) console.log(`${message.sender}: ${message.text}`);
   * ```
   */
  async chat(job: Job | string, options?: CallOptions): Promise<ChatMessage[]> {
    return linesOf(settingsOf(this, options), idOf(job), "chat");
  }

  /**
   * The lines of `events.jsonl`, what happened to the recording; empty where the manifest names no such file. It is read as `captions` are. What happens to the
   * job is reported by `watch`.
   *
   * @example
   * ```ts
   * const events = await mb.eventsFile(endedJobId);
   * console.log(events.filter((event) => event.type === "participant_joined").map((event) => event.participant?.name));
   * ```
   */
  async eventsFile(job: Job | string, options?: CallOptions): Promise<RecordingEvent[]> {
    return linesOf(settingsOf(this, options), idOf(job), "events");
  }

  /**
   * A recorded file of at most 64 MiB, in memory.
   *
   * @example
   * ```ts
   * const bytes = await mb.artifact(endedJobId, "chat.jsonl");
   * console.log(new TextDecoder().decode(bytes));
   * ```
   */
  async artifact(job: Job | string, name: string, options?: CallOptions): Promise<Uint8Array> {
    return (await exchange(settingsOf(this, options), calls.artifact(idOf(job), name))).response.body;
  }

  /**
   * A recorded file piece by piece, in every runtime. With `expected`, the file's entry in the manifest, its end is an error where its size or hash differs:
   * until then nothing of it is certain.
   *
   * @example
   * ```ts
   * let bytes = 0;
   * for await (const piece of mb.artifactStream(endedJobId, "audio.Alice.webm")) bytes += piece.length;
   * console.log(bytes);
   * ```
   */
  artifactStream(job: Job | string, name: string, options: DownloadOptions = {}): AsyncIterable<Uint8Array> {
    return pieces(settingsOf(this), idOf(job), name, options);
  }

  /**
   * Writes a recorded file to `target` (Node.js, Deno, Bun) and gives its path. It is written beside its place and moved there when it is whole and, with
   * `expected`, right; nothing is left of what failed.
   *
   * @throws MeetbotFileError The file cannot be written.
   * @throws MeetbotDecodeError The file is not what `expected` says.
   *
   * @example
   * ```ts
   * const path = await mb.downloadArtifact(endedJobId, "audio.Alice.webm", `${folder}/alice.webm`);
   * console.log(path);
   * ```
   */
  async downloadArtifact(job: Job | string, name: string, target: string, options: DownloadOptions = {}): Promise<string> {
    return toFile(settingsOf(this), idOf(job), name, target, options);
  }

  /**
   * Writes everything that was recorded into the folder (made where it is missing; Node.js, Deno, Bun): the files of the manifest, each checked by its SHA-256,
   * then `manifest.json`. Gives their paths. A job ends before its mix is made: while that is pending, this waits for it, ten minutes at most.
   *
   * @example
   * ```ts
   * for (const path of await mb.downloadArtifacts(endedJobId, folder)) console.log(path);
   * ```
   */
  async downloadArtifacts(job: Job | string, folder: string, options: DownloadAllOptions = {}): Promise<string[]> {
    return toFolder(settingsOf(this), idOf(job), folder, options);
  }

  /**
   * Deletes everything that was recorded (`DELETE …/recording`), and says what that was.
   *
   * @throws MeetbotConflictError The job has not ended.
   *
   * @example
   * ```ts
   * const receipt = await mb.deleteRecording(endedJobId);
   * console.log(receipt.removed.length);
   * ```
   */
  deleteRecording(job: Job | string, options?: CallOptions): Call<DeletionReceipt> {
    return call(() => settingsOf(this, options), () => calls.deleteRecording(idOf(job)));
  }

  /**
   * Cancels all bots of the key's consumer and erases all it has, this key too (scope `admin`). `confirm` is its name. 503 while bots are leaving: ask again.
   */
  eraseConsumer(confirm: string, options?: CallOptions): Call<ErasureReceipt> {
    return call(() => settingsOf(this, options), () => calls.eraseConsumer(confirm));
  }

  /** How the server's machine is, and how much the server does (`GET /api/v1/admin/host`, scope `admin`). */
  host(options?: CallOptions): Call<Host> {
    return call(() => settingsOf(this, options), () => calls.host());
  }

  /**
   * What the key's consumer has used this month in the key's world, and what it may use.
   *
   * @example
   * ```ts
   * const { minutes, maxMinutes } = await mb.usage();
   * console.log(minutes, maxMinutes);
   * ```
   */
  usage(options?: CallOptions): Call<Usage> {
    return call(() => settingsOf(this, options), () => calls.usage());
  }

  /**
   * Every platform that the server recognises, with each way into its meetings: whether a job for it is taken with this key, and what the operator has to
   * install or set where none is. All of it is on one page. With a test key the sandbox plays the meetings of every platform.
   *
   * @example
   * ```ts
   * const { data } = await mb.listPlatforms();
   * console.log(data.filter((way) => way.joinable).map((way) => way.platform));
   * ```
   */
  listPlatforms(options?: CallOptions): Call<Page<PlatformAvailability>> {
    return call(() => settingsOf(this, options), () => calls.listPlatforms());
  }

  /**
   * One page of webhook deliveries with every try, newest first.
   *
   * @example
   * ```ts
   * const { data } = await mb.deliveries({ state: "dead" });
   * console.log(data.length);
   * ```
   */
  deliveries(params: DeliveriesParams = {}, options?: CallOptions): Call<Page<Delivery>> {
    return call(() => settingsOf(this, options), () => calls.deliveries(params));
  }

  /**
   * All webhook deliveries, newest first, page by page as they are asked for.
   *
   * @example
   * ```ts
   * for await (const delivery of mb.iterDeliveries({ jobId })) console.log(delivery.state, delivery.tries.length);
   * ```
   */
  iterDeliveries(params: Omit<DeliveriesParams, "cursor"> = {}, options?: CallOptions): Stream<Delivery> {
    return pagesOf(() => settingsOf(this, options), (cursor) => calls.deliveries({ ...params, ...(cursor !== null && { cursor }) }));
  }

  /**
   * A webhook delivery with every try, `null` when there is none with this id.
   *
   * @example
   * ```ts
   * console.log(await mb.getDelivery("dlv_01KAB1CDEFGHJKMNPQRSTVWXYZ"));
   * ```
   */
  getDelivery(deliveryId: string, options?: CallOptions): Call<Delivery | null> {
    return call(() => settingsOf(this, options), () => calls.getDelivery(deliveryId), true);
  }

  /** Sends a webhook again at once, whatever became of it, under the same `deliveryId`. */
  redeliver(deliveryId: string, options?: CallOptions): Call<Delivery> {
    return call(() => settingsOf(this, options), () => calls.redeliver(deliveryId));
  }

  /**
   * A call of your own, to any path of the API: with the key, the time limits, the retries and the errors of every other call.
   *
   * @example
   * ```ts
   * const answer = await mb.request("GET", "/api/v1/jobs?limit=1");
   * console.log(answer.status, answer.requestId);
   * ```
   */
  async request(method: string, path: string, options: CallOptions & { json?: unknown } = {}): Promise<RawResponse> {
    const { json, ...others } = options;
    return (await exchange(settingsOf(this, others), calls.anyRequest(method, path, json))).response;
  }
}

/** A client of the server that these options describe; what is not given comes from the environment. The same as `new MeetBot(options)`. */
export function createMeetbot(options?: Options): MeetBot {
  return new MeetBot(options);
}
