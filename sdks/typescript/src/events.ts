/** A job's events as they happen: server-sent events, taken up again where a connection broke. */

import { events as eventsOf } from "./calls.js";
import { MeetbotConnectionError, MeetbotDecodeError, MeetbotError, MeetbotTimeoutError, shown } from "./errors.js";
import { broken, discard, headersOf, readerOf, redact, refused, send, shownUrl } from "./exchange.js";
import type { TimelineEvent } from "./models.js";
import { Unreadable, read } from "./read.js";
import { pauseBefore } from "./retry.js";
import { Scope } from "./scope.js";
import { checked, type AbortSignalLike, type RawResponse, type Settings } from "./settings.js";
import { timelineEvent } from "./shapes.js";
import type { Source } from "./stream.js";
import { isFinal } from "./words.js";

/** The server shows a sign of life every 15 s; without any for so long the connection is dead. */
const SILENCE_MS = 45_000;
/** The longest event that is read, in characters. */
const MOST_CHARACTERS = 1024 * 1024;

/** Puts events together from the pieces of a stream (the HTML standard, "Server-sent events"). Lines end in LF, CRLF or CR, and a piece may end anywhere. */
export class Parser {
  readonly #decoder = new TextDecoder();
  #rest = "";
  #data: string[] = [];
  #size = 0;
  #id: string;
  #afterReturn = false;
  /** The id that the next connection goes on from. */
  lastId: string;

  constructor(lastId = "") {
    this.#id = lastId;
    this.lastId = lastId;
  }

  /** The data of all events that are whole after these bytes. */
  feed(bytes: Uint8Array): string[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text !== "" && this.#afterReturn) {
      if (text.startsWith("\n")) text = text.slice(1);
      this.#afterReturn = false;
    }
    if (text.endsWith("\r")) this.#afterReturn = true;
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() as string;
    const found: string[] = [];
    for (const line of lines) this.#line(line, found);
    if (this.#rest.length + this.#size > MOST_CHARACTERS) throw new MeetbotDecodeError("an event of the stream is larger than 1 MiB");
    return found;
  }

  #line(line: string, found: string[]): void {
    if (line === "") {
      this.lastId = this.#id;
      if (this.#data.length > 0) found.push(this.#data.join("\n"));
      this.#data = [];
      this.#size = 0;
      return;
    }
    const [, field, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === "data") {
      this.#data.push(value);
      this.#size += value.length;
    } else if (field === "id" && !value.includes("\0")) {
      this.#id = value;
    }
  }
}

/**
 * When a watch connects again, and when it gives up: pure.
 *
 * A stream that gives anything, a keep-alive too, has not failed: only connections since are counted against `maxRetries`. The pauses grow until an event
 * comes, so that a server that answers and cuts at once is not asked all the time.
 */
export class Patience {
  /** Connections that have ended since the last event. */
  tried = 0;
  #most: number;

  constructor(readonly maxRetries: number) {
    this.#most = maxRetries;
  }

  /** The stream has given something. */
  alive(): void {
    this.#most = this.tried + this.maxRetries;
  }

  /** An event has come, or an error was given to the caller. */
  anew(): void {
    this.tried = 0;
    this.#most = this.maxRetries;
  }

  /** How long to wait before the next connection, in milliseconds; `null` when there have been enough. */
  again(status: number | null, retryAfterMs: number | null, jitter: number): number | null {
    this.tried += 1;
    return pauseBefore(this.tried, this.#most, status, retryAfterMs, jitter);
  }
}

interface Connection {
  read(): Promise<{ done: boolean; value?: Uint8Array }>;
  close(): void;
}

/** The events of a job from its first to its last, each as it happens. */
export class Watch implements Source<TimelineEvent> {
  readonly #settings: Settings;
  readonly #request;
  readonly #signal: AbortSignalLike | undefined;
  readonly #closing = new AbortController();
  readonly #patience: Patience;
  readonly #read: TimelineEvent[] = [];
  #parser = new Parser();
  #connection: Connection | null = null;
  #scope: Scope | null = null;
  /** The last event that came was the job's end. */
  #over = false;

  constructor(settings: Settings, jobId: string, signal: AbortSignalLike | undefined) {
    this.#signal = signal;
    this.#settings = settings;
    this.#request = { ...eventsOf(jobId), headers: { accept: "text/event-stream" } };
    this.#patience = new Patience(settings.maxRetries);
  }

  /** An event that has come already. */
  take(): TimelineEvent | undefined {
    const event = this.#read.shift();
    if (event === undefined) return undefined;
    this.#over = isFinal(event.data.status) || event.event === "job.finalized" || event.event === "job.failed";
    this.#patience.anew();
    return event;
  }

  async pull(): Promise<TimelineEvent | undefined> {
    for (;;) {
      const event = this.take();
      if (event !== undefined) return event;
      this.#scope ??= new Scope(this.#settings.signal, this.#signal, this.#closing.signal);
      const scope = this.#scope;
      let failed: MeetbotError;
      try {
        scope.check();
        if (this.#over && this.#connection === null) return this.#ended();
        if (await this.#receive(scope)) continue;
        if (this.#over) return this.#ended();
        // A stream that ends before the job does is one that broke.
        failed = new MeetbotConnectionError(`${shownUrl(this.#settings, this.#request.path)} ends before its job does`);
      } catch (error) {
        this.#disconnect();
        if (scope.aborted) {
          this.#letGo();
          scope.check();
        }
        if (!(error instanceof MeetbotError)) throw error;
        failed = error;
      }
      this.#disconnect();
      const asked = failed.retryAfterSeconds === null ? null : failed.retryAfterSeconds * 1000;
      const mayPass = failed.transient || failed.status !== null;
      const pause = this.#patience.again(failed.status, asked, Math.random());
      if (!mayPass || pause === null) {
        const { cause, message } = failed;
        const details = { ...failed, cause, attempts: this.#patience.tried };
        this.#patience.anew();
        this.#letGo();
        throw new (failed.constructor as typeof MeetbotError)(message, details);
      }
      await scope.pause(pause);
    }
  }

  close(): void {
    this.#closing.abort();
    this.#disconnect();
    this.#letGo();
  }

  #ended(): undefined {
    this.close();
    return undefined;
  }

  #letGo(): void {
    this.#scope?.end();
    this.#scope = null;
  }

  #disconnect(): void {
    this.#connection?.close();
    this.#connection = null;
  }

  /** Reads on; `false` at the end of the stream. */
  async #receive(scope: Scope): Promise<boolean> {
    const connection = (this.#connection ??= await this.#open(scope));
    const late = (): MeetbotError =>
      new MeetbotTimeoutError(`${shownUrl(this.#settings, this.#request.path)}: no sign of life for ${SILENCE_MS / 1000} s`);
    const { done, value } = await scope.run(SILENCE_MS, late, () => connection.read());
    if (done || value === undefined) return false;
    this.#patience.alive();
    for (const data of this.#parser.feed(value)) this.#read.push(this.#event(data));
    return true;
  }

  #event(data: string): TimelineEvent {
    try {
      return read(timelineEvent, JSON.parse(data)) as TimelineEvent;
    } catch (error) {
      const text = redact(this.#settings, data);
      const why = error instanceof Unreadable ? error.message : "it is not JSON";
      throw new MeetbotDecodeError(`an event of the stream cannot be read: ${why}: ${shown(text)}`, { body: text });
    }
  }

  async #open(scope: Scope): Promise<Connection> {
    const settings = this.#settings;
    const call = { method: "GET", path: this.#request.path, headers: {} as Record<string, string> };
    settings.onRequest?.(call);
    const headers = headersOf(settings, this.#request, checked(call.headers));
    // Half an event of the connection before is none.
    this.#parser = new Parser(this.#parser.lastId);
    if (/^[\x20-\x7e]+$/.test(this.#parser.lastId)) headers["last-event-id"] = this.#parser.lastId;
    const hangUp = new AbortController();
    const late = (): MeetbotError =>
      new MeetbotTimeoutError(`${shownUrl(settings, this.#request.path)}: no answer within ${settings.timeout / 1000} s`);
    try {
      return await scope.run(settings.timeout, late, async (signal) => {
        signal.addEventListener("abort", () => hangUp.abort());
        const response = await send(settings, this.#request, headers, hangUp.signal, {});
        const requestId = response.headers.get("x-request-id");
        if (response.status < 200 || response.status > 299) {
          const body = new Uint8Array(await response.arrayBuffer().catch(() => new ArrayBuffer(0)));
          const answer: RawResponse = { status: response.status, headers: response.headers, body, requestId, attempts: 1 };
          throw refused(settings, answer, {});
        }
        const type = response.headers.get("content-type") ?? "nothing";
        const reader = readerOf(response);
        if (!type.startsWith("text/event-stream") || reader === null) {
          discard(response);
          const message = `${shownUrl(settings, this.#request.path)} is no stream of events but ${type}`;
          throw new MeetbotDecodeError(message, { status: null, requestId });
        }
        const close = (): void => {
          release();
          // Only this closes the socket at once.
          hangUp.abort();
          reader.cancel().catch(() => {});
        };
        // The caller's signal also closes a stream without a pending read.
        const release = scope.hold(close);
        return { close, read: () => reader.read().catch((error: unknown) => Promise.reject(broken(settings, this.#request, error, {}))) };
      });
    } catch (error) {
      hangUp.abort();
      throw error;
    }
  }
}
