/** Waiting for a job's end: when to ask again, and when to give up. */

import { answered } from "./call.js";
import { getBot } from "./calls.js";
import { MeetbotError, MeetbotTimeoutError } from "./errors.js";
import { Watch } from "./events.js";
import type { Job, TimelineEvent } from "./models.js";
import { now } from "./runtime.js";
import { Scope } from "./scope.js";
import { milliseconds, type AbortSignalLike, type Settings } from "./settings.js";
import { isFinal, type JobStatus } from "./words.js";

/** How long to wait for a bot, and what to tell meanwhile. */
export interface WaitOptions {
  /** In milliseconds; no limit by default. The job goes on when it is over. */
  timeout?: number | undefined;
  /** Ends the wait at once; the job goes on. */
  signal?: AbortSignalLike | undefined;
  /** Called whenever the job is seen changed, the last time when it has ended. */
  onUpdate?: ((job: Job) => void) | undefined;
}

/** How long the server may be away, or answer with errors that pass, before waiting gives up: it outlives a restart. */
const PATIENCE_MS = 5 * 60_000;
/** The longest pause between two questions. */
const LONGEST_PAUSE_MS = 5_000;
/** How long before its time limit a wait sends its last request: as long as an answer may take. */
const LAST_REQUEST_MS = 1_000;

/** Events that do not change the job: chat, people who join or leave, and files that are made after its end. */
const APART: readonly string[] = ["bot.chat_message", "bot.chat_withheld", "bot.events_left_out", "bot.participant_joined", "bot.participant_renamed", "bot.participant_left", "job.artifact_ready"];

/** Whether the job has changed with this event. */
export function changesJob(event: string): boolean {
  return !APART.includes(event);
}

/** The decisions of a wait, without I/O: how long to pause after each answer, and when to give up. Times are milliseconds since the wait began; `live` is whether events arrive. */
export class Rules {
  #answered = 0;
  #last: JobStatus | null = null;

  constructor(
    readonly jobId: string,
    readonly timeout: number | null,
  ) {}

  /** How long the next question may take; an error when the time is over. */
  left(waited: number): number | null {
    if (this.timeout === null) return null;
    if (waited < this.timeout) return this.timeout - waited;
    const seen = this.#last === null ? "not seen yet" : `\`${this.#last}\``;
    throw new MeetbotTimeoutError(`the job ${this.jobId} is ${seen} after ${this.timeout / 1000} s; it goes on`);
  }

  /** How long to wait for news after the job was seen in this status; `null` when it has ended. */
  answered(status: JobStatus, waited: number, live: boolean): number | null {
    this.#answered = waited;
    this.#last = status;
    return isFinal(status) ? null : this.pause(waited, live);
  }

  /** How long to wait for news after a question that failed; `null` when its error is to end the wait. */
  failed(transient: boolean, waited: number, live: boolean): number | null {
    return !transient || waited - this.#answered >= PATIENCE_MS ? null : this.pause(waited, live);
  }

  /** A tenth of the time waited so far: what is short is noticed at once, what is long costs little. Events tell most of it sooner. */
  pause(waited: number, live: boolean): number {
    const pause = Math.min(Math.max(waited / 10, live ? 2_000 : 200), LONGEST_PAUSE_MS);
    const left = this.left(waited);
    if (left === null) return pause;
    return Math.min(pause, left > LAST_REQUEST_MS ? left - LAST_REQUEST_MS : left);
  }
}

/** Waits until the job has ended. */
export async function waitForBot(settings: Settings, jobId: string, options: WaitOptions): Promise<Job> {
  const { signal } = options;
  const timeout = milliseconds("timeout", options.timeout) ?? null;
  const scope = new Scope(settings.signal, signal);
  const watch = new Watch(settings, jobId, signal);
  const ask = async (left: number | null): Promise<Job> => {
    const limited = left === null ? settings : { ...settings, deadline: Math.min(left, settings.deadline ?? Infinity) };
    return (await answered<Job>(limited, getBot(jobId), signal && { signal })).data;
  };
  try {
    return await untilEnded(jobId, timeout, scope, watch, ask, options.onUpdate);
  } finally {
    watch.close();
    scope.end();
  }
}

/** `ask` asks for the job, within so many milliseconds. */
async function untilEnded(
  jobId: string,
  timeout: number | null,
  scope: Scope,
  watch: Watch,
  ask: (left: number | null) => Promise<Job>,
  onUpdate: ((job: Job) => void) | undefined,
): Promise<Job> {
  const started = now();
  const waited = (): number => now() - started;
  const rules = new Rules(jobId, timeout);
  const news = new News(watch);
  let seen = "";
  for (;;) {
    let job: Job | null = null;
    let pause: number | null;
    try {
      job = await ask(rules.left(waited()));
      pause = rules.answered(job.status, waited(), news.live);
    } catch (error) {
      scope.check();
      if (!(error instanceof MeetbotError) || error.attempts === 0) throw error;
      pause = rules.failed(error.transient, waited(), news.live);
      if (pause === null) throw error;
    }
    if (job !== null) {
      // Chat, and comings and goings, leave no more in a job than the time of its last change.
      const shape = JSON.stringify({ ...job, updatedAt: null });
      if (shape !== seen) onUpdate?.(job);
      seen = shape;
      if (pause === null) return job;
    }
    await news.within(pause as number, scope);
  }
}

/** The job's events, as far as they can be had. */
class News {
  readonly #watch: Watch;
  #pending: Promise<TimelineEvent | undefined> | null = null;
  #over = false;
  /** Whether an event has come: a proxy may hold back a stream that it has let begin. */
  #heard = false;

  constructor(watch: Watch) {
    this.#watch = watch;
  }

  get live(): boolean {
    return this.#heard && !this.#over;
  }

  /** Returns when an event says that something happened to the job, and after the pause at the latest. */
  async within(pause: number, scope: Scope): Promise<void> {
    const until = now() + pause;
    while (!this.#over) {
      const left = until - now();
      if (left <= 0) return;
      // One that is pending when the pause is over is waited for again next time.
      this.#pending ??= this.#watch.pull().catch(() => undefined);
      const pending = this.#pending;
      const outcome = await scope.within(left, pending.then((event) => ({ event })));
      if (outcome === undefined) return;
      this.#pending = null;
      if (outcome.event === undefined) {
        this.#over = true;
        return;
      }
      this.#heard = true;
      let isChange = changesJob(outcome.event.event);
      // One question answers all that have come together.
      for (let event = this.#watch.take(); event !== undefined; event = this.#watch.take()) {
        isChange ||= changesJob(event.event);
      }
      if (isChange) return;
    }
    await scope.pause(Math.max(until - now(), 0));
  }
}
