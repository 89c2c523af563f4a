// Webhooks: each delivery with all tries, and the endpoints by health.

/** @import { Delivery } from "../sdks/typescript/src/models.js" */

import { call, followAll, may } from "./api.js";
import { announce, atMostEvery, every, fill, h, keyed, problemBox, say } from "./dom.js";
import { EndpointForm } from "./endpoint-form.js";
import { ago, length, moment, word } from "./format.js";
import { CallSnippet, keywords, object } from "./snippets.js";

const STATES = ["pending", "delivered", "dead"];
const LIMIT = 50;
/** However much happens, the deliveries are read no more often than this, in ms. */
const PACE = 1000;
/** The feed has the events, which make deliveries; their tries, and what others send again, are in no feed: the deliveries are read this long after the last time, in ms, or sooner when a try is due. */
const QUIET = 30_000;

export class WebhooksView extends HTMLElement {
  #end = new AbortController();
  #state = h("select", { id: "delivery-state" }, h("option", { value: "" }, "all"), ...STATES.map((state) => h("option", {}, state)));
  #job = h("input", { id: "delivery-job", type: "search", autocomplete: "off", placeholder: "job_…" });
  #endpoints = h("div", { class: "endpoints" });
  #list = h("div", { class: "deliveries" });
  #problem = h("div");
  #empty = h("p", { class: "soft empty", hidden: true }, "No webhook is like that. A job with a webhook URL sends some.");
  #more = h("button", { type: "button", hidden: true, onclick: () => this.#older() }, "Older deliveries");
  #snippet = new CallSnippet();
  #form = new EndpointForm();
  /** @type {Delivery[]} */
  #olderOnes = [];
  /** @type {string | null} */
  #cursor = null;
  /** The newest deliveries, as they were last read. @type {Delivery[]} */
  #newest = [];
  #loaded = false;
  /** Counts the filters: a page of older deliveries of an earlier one is dropped. */
  #asked = 0;
  /** Counts the readings: what an earlier one brings late is dropped. */
  #readings = 0;
  #timer = 0;
  #changed = atMostEvery(PACE, this.#end.signal, () => this.#load());

  connectedCallback() {
    for (const field of [this.#state, this.#job]) field.addEventListener("input", () => this.#filter());
    fill(
      this,
      h("h1", {}, "Webhooks"),
      this.#endpoints,
      may("write") && this.#form,
      h("div", { class: "row filters" }, h("label", { for: "delivery-state" }, "State ", this.#state), h("label", { for: "delivery-job" }, "Job ", this.#job)),
      this.#problem,
      this.#list,
      this.#empty,
      this.#more,
      this.#snippet,
    );
    this.#filter();
    followAll(this.#end.signal, this.#changed);
    this.addEventListener("redelivered", this.#changed);
    // Ages grow without anything having happened.
    every(PACE, this.#end.signal, () => this.#show());
  }

  disconnectedCallback() {
    this.#end.abort();
    clearTimeout(this.#timer);
  }

  #query() {
    return { state: this.#state.value, jobId: this.#job.value.trim() };
  }

  #filter() {
    this.#asked += 1;
    this.#olderOnes = [];
    this.#loaded = false;
    this.#cursor = null;
    const query = this.#query();
    this.#snippet.show({
      method: "GET",
      path: "/api/v1/webhooks/deliveries",
      query,
      python: `for delivery in mb.deliveries(${keywords(query)}):\n    print(delivery.url, delivery.state, len(delivery.tries))`,
      typescript: `for await (const delivery of mb.deliveries(${object(query)})) {\n  console.log(delivery.url, delivery.state, delivery.tries.length);\n}`,
    });
    this.#load();
  }

  async #load() {
    const reading = (this.#readings += 1);
    try {
      const page = await call("GET", "/api/v1/webhooks/deliveries", { query: { ...this.#query(), limit: LIMIT }, signal: this.#end.signal });
      if (reading !== this.#readings) return;
      fill(this.#problem);
      if (this.#olderOnes.length === 0) this.#cursor = page.nextCursor;
      this.#newest = page.data;
      this.#loaded = true;
      this.#show();
    } catch (problem) {
      if (this.#end.signal.aborted || reading !== this.#readings) return;
      fill(this.#problem, problemBox(problem));
    }
    this.#later();
  }

  /** Reads again when the next try of a delivery is due. A page that is not seen reads nothing: the feed begins anew when it is seen again. */
  #later() {
    clearTimeout(this.#timer);
    if (this.#end.signal.aborted) return;
    const waits = this.#newest.filter(({ state }) => state === "pending").map(({ nextTryAt }) => (nextTryAt ? Date.parse(nextTryAt) - Date.now() : 0));
    const wait = Math.max(PACE, Math.min(QUIET, ...waits));
    this.#timer = setTimeout(() => !document.hidden && this.#changed(), wait);
  }

  async #older() {
    const asked = this.#asked;
    const page = await call("GET", "/api/v1/webhooks/deliveries", { query: { ...this.#query(), limit: LIMIT, cursor: this.#cursor }, signal: this.#end.signal });
    if (asked !== this.#asked) return;
    this.#olderOnes.push(...page.data);
    this.#cursor = page.nextCursor;
    await this.#load();
  }

  #show() {
    if (!this.#loaded) return;
    const ids = new Set(this.#newest.map((delivery) => delivery.id));
    const all = [...this.#newest, ...this.#olderOnes.filter((delivery) => !ids.has(delivery.id))];
    showDeliveries(this.#list, all, true);
    this.#more.hidden = this.#cursor === null;
    this.#empty.hidden = all.length > 0;
    /** @type {Map<string, Delivery>} */
    const endpoints = new Map();
    for (const delivery of all) if (!endpoints.has(delivery.url ?? "")) endpoints.set(delivery.url ?? "", delivery);
    const worst = [...endpoints.values()].sort((a, b) => b.endpoint.failures - a.endpoint.failures).slice(0, 12);
    this.#form.offer([...endpoints.values()]);
    keyed(this.#endpoints, worst, (delivery) => delivery.url ?? "", (delivery) => endpointCard(delivery, this.#form), (element, delivery) => /** @type {any} */ (element).update(delivery));
  }
}
customElements.define("webhooks-view", WebhooksView);

/** The endpoint of a delivery. @param {Delivery} delivery @param {EndpointForm} form */
function endpointCard(delivery, form) {
  const [state, note] = [h("span"), h("span", { class: "soft" })];
  let latest = delivery;
  const again = h("button", { type: "button", class: "quiet", "aria-label": `Redeliver to ${delivery.url}`, onclick: () => form.choose(latest) }, "Redeliver…");
  const element = h("div", { class: "card endpoint" }, h("code", { class: "cut" }, delivery.url), h("div", {}, state, " ", note), may("write") && again);
  /** @type {any} */ (element).update = (/** @type {Delivery} */ delivery) => {
    latest = delivery;
    const { endpoint } = delivery;
    const now = Date.now();
    say(state, word(endpoint.state));
    state.className = `pill ${endpoint.failures === 0 ? "delivered" : "dead"}`;
    const since = endpoint.failingSince ? `failing since ${moment(endpoint.failingSince, now)}, ${endpoint.failures} ${endpoint.failures === 1 ? "try" : "tries"}` : "";
    say(note, endpoint.restsUntil ? `${since}; rests until ${moment(endpoint.restsUntil, now)}` : since);
  };
  return element;
}

/** @param {HTMLElement} list @param {Delivery[]} deliveries @param {boolean} namesJob */
export function showDeliveries(list, deliveries, namesJob) {
  keyed(list, deliveries, (delivery) => delivery.id, (delivery) => item(delivery, namesJob), (element, delivery) => /** @type {any} */ (element).update(delivery));
}

/** One delivery, which opens to its tries. @param {Delivery} delivery @param {boolean} namesJob */
function item(delivery, namesJob) {
  const [state, when, tries, next, problem] = [h("span"), h("span", { class: "soft when" }), h("tbody"), h("p", { class: "soft" }), h("div")];
  const again = async () => {
    button.disabled = true;
    fill(problem);
    try {
      await call("POST", `/api/v1/webhooks/deliveries/${encodeURIComponent(delivery.id)}/redeliver`, { body: {} });
      announce("It is sent again");
      say(next, "It is sent again.");
      element.dispatchEvent(new Event("redelivered", { bubbles: true }));
    } catch (error) {
      fill(problem, problemBox(error));
    }
    button.disabled = false;
  };
  const button = h("button", { type: "button", onclick: again }, "Redeliver");
  const job = namesJob && delivery.jobId ? h("a", { href: `#/jobs/${encodeURIComponent(delivery.jobId)}` }, delivery.jobId) : null;
  const snippet = new CallSnippet();
  const columns = ["Try", "At", "Took", "Answer", "Body"].map((name) => h("th", { scope: "col" }, name));
  const scroll = h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Tries" }, h("table", {}, h("thead", {}, h("tr", {}, ...columns)), tries));
  const element = h(
    "details",
    { class: "delivery" },
    h("summary", {}, state, " ", h("strong", {}, delivery.event), " ", namesJob ? h("code", { class: "cut" }, delivery.url) : h("span", { class: "grow" }), when),
    h("div", { class: "inside" },
      h("p", { class: "soft" }, delivery.id, job && " · ", job, !namesJob && h("br"), !namesJob && h("code", {}, delivery.url)),
      scroll,
      next,
      problem,
      may("write") && button,
      snippet,
    ),
  );
  snippet.show({
    method: "POST",
    path: `/api/v1/webhooks/deliveries/${delivery.id}/redeliver`,
    python: `mb.redeliver(${JSON.stringify(delivery.id)})`,
    typescript: `await mb.redeliver(${JSON.stringify(delivery.id)});`,
  });
  let drawn = "";
  /** @type {any} */ (element).update = (/** @type {Delivery} */ delivery) => {
    const now = Date.now();
    say(state, word(delivery.state));
    state.className = `pill ${delivery.state}`;
    const count = delivery.tries.length;
    say(when, `${count} ${count === 1 ? "try" : "tries"} · ${ago(delivery.createdAt, now)}`);
    const version = `${delivery.state} ${count} ${delivery.nextTryAt}`;
    if (version === drawn) return;
    drawn = version;
    scroll.hidden = count === 0;
    say(next, delivery.nextTryAt ? `The next try is at ${moment(delivery.nextTryAt, now)}.` : count === 0 ? "There was no try yet." : "");
    fill(
      tries,
      ...delivery.tries.map((attempt, index) =>
        h("tr", {}, h("td", {}, index + 1), h("td", {}, moment(attempt.at, now)), h("td", {}, length(attempt.durationMs)), h("td", {}, attempt.status ?? attempt.error ?? "no answer"), h("td", {}, h("code", { class: "answer" }, attempt.answer || (attempt.status !== null ? attempt.error : "") || "–"))),
      ),
    );
  };
  return element;
}
