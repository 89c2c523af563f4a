/** The lifetime of a call: its time limits and its caller's signals. Listeners and timers are removed at its end, so that a long-lived signal collects none. */

import type { AbortSignalLike } from "./settings.js";

/** One call, or one stream. */
export class Scope {
  readonly #signals: AbortSignalLike[];
  /** The running operation, which is ended with the reason. */
  readonly #underWay = new Set<(reason: unknown) => void>();
  readonly #onAbort = (): void => this.#stop(this.#reason());

  constructor(...signals: (AbortSignalLike | null | undefined)[]) {
    this.#signals = signals.filter((signal) => signal !== null && signal !== undefined);
    for (const signal of this.#signals) signal.addEventListener("abort", this.#onAbort);
  }

  /** Throws the reason of a signal that is aborted. */
  check(): void {
    if (this.aborted) throw this.#reason();
  }

  /** Whether a signal is aborted. */
  get aborted(): boolean {
    return this.#signals.some((signal) => signal.aborted);
  }

  /** Lets go of the signals, and ends with this reason what is still under way. */
  end(reason?: unknown): void {
    for (const signal of this.#signals) signal.removeEventListener("abort", this.#onAbort);
    this.#stop(reason);
  }

  /** The result of `act`; the error of `late` after so many milliseconds; the signal's reason once it is aborted. `act` gets a signal that is aborted in both cases. */
  run<T>(milliseconds: number, late: () => unknown, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.check();
      const controller = new AbortController();
      const done = (): void => {
        clearTimeout(timer);
        this.#underWay.delete(stop);
      };
      const stop = (reason: unknown): void => {
        done();
        // First the promise: fetch also rejects, with a different error.
        reject(reason);
        controller.abort(reason);
      };
      const timer = setTimeout(() => stop(late()), milliseconds);
      this.#underWay.add(stop);
      act(controller.signal).then(
        (value) => {
          done();
          resolve(value);
        },
        (error: unknown) => {
          done();
          reject(error);
        },
      );
    });
  }

  /** The result of `act`, or `undefined` after so many milliseconds. */
  within<T>(milliseconds: number, act: Promise<T>): Promise<T | undefined> {
    const late = {};
    return this.run<T | undefined>(milliseconds, () => late, () => act).catch((error: unknown) => {
      if (error === late) return undefined;
      throw error;
    });
  }

  /** Also calls `stop` when the scope ends; returns a function that removes `stop` again. */
  hold(stop: () => void): () => void {
    this.#underWay.add(stop);
    return () => void this.#underWay.delete(stop);
  }

  /** Waits. */
  async pause(milliseconds: number): Promise<void> {
    await this.within(milliseconds, new Promise<never>(() => {}));
  }

  #reason(): unknown {
    const reason = this.#signals.find((signal) => signal.aborted)?.reason;
    return reason === undefined ? Object.assign(new Error("the call was aborted"), { name: "AbortError" }) : reason;
  }

  #stop(reason: unknown): void {
    if (this.#underWay.size > 0) for (const stop of [...this.#underWay]) stop(reason);
  }
}
