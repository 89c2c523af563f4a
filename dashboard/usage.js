// The consumer's usage this month.

/** @import { Usage } from "../sdks/typescript/src/models.js" */

import { call, followAll } from "./api.js";
import { fill, fresh, h, problemBox } from "./dom.js";
import { CallSnippet } from "./snippets.js";

/** A number, and how much of its limit that is. @param {string} name @param {number} used @param {number | null} most @param {string} [note] */
export function meter(name, used, most, note = "") {
  const bar = most === null ? null : h("meter", { min: 0, max: most, value: used, high: most * 0.9, optimum: 0, "aria-label": name });
  const limit = most === null ? "no limit" : `of ${most.toLocaleString()}`;
  return h("div", { class: "card figure" }, h("h2", {}, name), h("p", { class: "number" }, used.toLocaleString(), " ", h("small", {}, limit)), bar, note && h("p", { class: "soft" }, note));
}

/** The feed reports jobs that begin and end; meanwhile a bot in a meeting takes a minute each minute. */
const MINUTE = 60_000;

export class UsageView extends HTMLElement {
  #end = new AbortController();

  connectedCallback() {
    const figures = h("div", { class: "figures" });
    const month = h("p", { class: "soft" });
    const snippet = new CallSnippet();
    fill(this, h("h1", {}, "Usage"), month, figures, snippet);
    snippet.show({ method: "GET", path: "/api/v1/usage", python: "print(mb.usage())", typescript: "console.log(await mb.usage());" });
    const changed = fresh(MINUTE, this.#end.signal, async () => {
      try {
        /** @type {Usage} */
        const usage = await call("GET", "/api/v1/usage", { signal: this.#end.signal });
        month.textContent = `${usage.month} (UTC), of your key's world`;
        fill(
          figures,
          meter("Minutes in meetings", usage.minutes, usage.maxMinutes, "Started minutes of jobs that are billed, and of bots that are in a meeting now."),
          meter("Bots now", usage.bots, usage.maxBots),
          meter("Jobs in the queue", usage.queuedJobs, usage.maxQueuedJobs),
        );
      } catch (problem) {
        if (!this.#end.signal.aborted) fill(figures, problemBox(problem));
      }
    });
    followAll(this.#end.signal, changed);
  }

  disconnectedCallback() {
    this.#end.abort();
  }
}
customElements.define("usage-view", UsageView);
