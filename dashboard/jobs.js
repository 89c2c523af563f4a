// The jobs: filters, and a new one from a link.

/** @import { Job } from "../sdks/typescript/src/models.js" */

import { call, followAll, may, session } from "./api.js";
import { announce, atMostEvery, every, fill, h, keyed, problemBox, say } from "./dom.js";
import { ago, clock, moment, size, word } from "./format.js";
import { CallSnippet, keywords, object } from "./snippets.js";

/** Scenarios of the sandbox, and what happens in them. */
const SCENARIOS = [
  ["two-speakers", "two people talk, a third comes and goes"],
  ["conversation", "three people talk in whole sentences, with captions"],
  ["chatty", "people write in the chat"],
  ["asks-permission", "the host is asked, and allows it"],
  ["network-loss", "the connection is lost and comes back"],
  ["bot-crashes", "each bot that joins crashes"],
  ["nobody-admits", "the bot waits in the lobby"],
  ["host-denies", "the host refuses the bot"],
  ["kicked", "somebody removes the bot"],
  ["ends", "the meeting ends"],
];

const STATUSES = ["queued", "joining", "in_call", "recording", "finalizing", "completed", "failed", "cancelled"];
export const FINAL = ["completed", "failed", "cancelled"];
const PLATFORMS = ["google-meet", "teams", "zoom-web", "jitsi", "livekit", "galene", "janus", "sandbox"];
/** The filters of the list, one per button. @type {[string, string[]][]} */
const GROUPS = [
  ["All", []],
  ["Running", STATUSES.filter((status) => !FINAL.includes(status))],
  ["Completed", ["completed"]],
  ["Failed", ["failed"]],
  ["Cancelled", ["cancelled"]],
];
/** How many more jobs each press of a button shows, and how many the API gives at once. */
const MORE = 50;
const LARGEST_PAGE = 200;
/** However much happens, the list is read no more often than this, in ms. */
const PACE = 1000;

/** A status as a coloured word. @param {string} status */
export function pill(status) {
  return h("span", { class: `pill ${status}` }, word(status));
}

/** A meeting's link without what all links have. @param {string | null} url */
export function brief(url) {
  return (url ?? "").replace(/^https?:\/\//, "");
}

export class JobsView extends HTMLElement {
  #end = new AbortController();
  #rows = h("tbody");
  #table = h("table", { class: "list", hidden: true }, h("thead", {}, h("tr", {}, ...["Status", "Meeting", "Created", "Length", "Recording"].map((name) => h("th", { scope: "col" }, name)))), this.#rows);
  #problem = h("div");
  #more = h("button", { type: "button", hidden: true, onclick: () => this.#older() }, "Older jobs");
  #empty = h("p", { class: "soft empty", hidden: true });
  #snippet = new CallSnippet();
  #group = 0;
  #externalId = h("input", { id: "external-id", type: "search", autocomplete: "off" });
  #platform = h("select", { id: "platform" }, h("option", { value: "" }, "all"), ...PLATFORMS.map((name) => h("option", {}, name)));
  #after = h("input", { id: "created-after", type: "date" });
  /** How many jobs are wanted. */
  #wanted = MORE;
  /** Those that are shown. @type {Job[]} */
  #jobs = [];
  #changed = atMostEvery(PACE, this.#end.signal, () => this.#load());
  /** Counts the readings of the list: what an earlier one brings late is dropped. */
  #asked = 0;

  connectedCallback() {
    const groups = GROUPS.map(([name], index) => h("button", { type: "button", onclick: () => this.#filter(index) }, name));
    for (const field of [this.#externalId, this.#platform, this.#after]) field.addEventListener("input", () => this.#filter(this.#group));
    const filters = h(
      "div",
      { class: "row filters" },
      h("div", { class: "segments", role: "group", "aria-label": "Status" }, ...groups),
      h("label", { for: "platform" }, "Platform ", this.#platform),
      h("label", { for: "external-id" }, "External id ", this.#externalId),
      h("label", { for: "created-after" }, "Since ", this.#after),
    );
    fill(this, h("h1", {}, "Jobs"), may("write") ? this.#form() : null, filters, this.#problem, this.#table, this.#empty, this.#more, this.#snippet);
    this.#groups = groups;
    this.#filter(0);
    followAll(this.#end.signal, this.#changed);
    // Ages and lengths grow without anything having happened.
    every(1000, this.#end.signal, () => this.#show());
  }

  /** @type {HTMLButtonElement[]} */
  #groups = [];

  disconnectedCallback() {
    this.#end.abort();
  }

  #form() {
    const url = h("input", { id: "meeting-url", required: true, maxlength: 2048, autocomplete: "off", spellcheck: false, inputmode: "url", placeholder: "https://…" });
    const name = h("input", { id: "display-name", maxlength: 100, placeholder: "meetbot" });
    const id = h("input", { id: "own-id", maxlength: 255 });
    const status = h("input", { id: "on-status", inputmode: "url", placeholder: "https://…" });
    const final = h("input", { id: "on-final", inputmode: "url", placeholder: "https://…" });
    const join = h("input", { id: "join-at", type: "datetime-local" });
    const problems = h("div");
    const button = h("button", { class: "main" }, "Send a bot");
    const body = () => {
      /** @type {Record<string, any>} */
      const body = { meetingUrl: url.value.trim() };
      if (name.value.trim()) body.displayName = name.value.trim();
      if (id.value.trim()) body.externalId = id.value.trim();
      if (join.value) body.joinAt = new Date(join.value).toISOString();
      const webhooks = { ...(status.value && { onStatusChange: status.value }), ...(final.value && { onFinalize: final.value }) };
      if (Object.keys(webhooks).length > 0) body.webhooks = webhooks;
      return body;
    };
    const show = () => this.#snippet.show(created(body()));
    const submit = async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      button.disabled = true;
      fill(problems);
      try {
        const job = await call("POST", "/api/v1/jobs", { body: body() });
        announce("A bot is on its way");
        location.hash = `#/jobs/${job.id}`;
      } catch (problem) {
        fill(problems, problemBox(problem));
        button.disabled = false;
      }
    };
    const scenario = (/** @type {string} */ scenario) => {
      url.value = `https://sandbox.meetbot.dev/${scenario}?seconds=30`;
      show();
      button.focus();
    };
    const field = (/** @type {string} */ label, /** @type {HTMLInputElement} */ input) => h("div", { class: "field" }, h("label", { for: input.id }, label), input);
    return h(
      "form",
      { class: "card", onsubmit: submit, oninput: show },
      h("label", { for: "meeting-url" }, "Link of the meeting"),
      h("div", { class: "row" }, url, button),
      problems,
      h(
        "div",
        { class: "chips", role: "group", "aria-label": "Scenarios of the sandbox" },
        h("span", { class: "soft" }, session.current?.world === "test" ? "Or play one: " : "Or play one, for nothing: "),
        ...SCENARIOS.map(([name = "", about = ""]) => h("button", { type: "button", title: about, onclick: () => scenario(name) }, name)),
      ),
      h("details", {}, h("summary", {}, "More"), h("div", { class: "fields" }, field("Name of the bot", name), field("External id", id), field("Join at", join), field("Webhook for each change", status), field("Webhook for the end", final))),
    );
  }

  #query() {
    const after = this.#after.value ? new Date(`${this.#after.value}T00:00:00`).toISOString() : "";
    return { status: GROUPS[this.#group]?.[1] ?? [], platform: this.#platform.value, externalId: this.#externalId.value.trim(), createdAfter: after };
  }

  /** @param {number} group */
  #filter(group) {
    this.#group = group;
    this.#groups.forEach((button, index) => button.setAttribute("aria-pressed", String(index === group)));
    this.#wanted = MORE;
    const query = this.#query();
    this.#snippet.show({
      method: "GET",
      path: "/api/v1/jobs",
      query,
      python: `for job in mb.list_bots(${keywords(query)}):\n    print(job.id, job.status)`,
      typescript: `for await (const job of mb.listBots(${object(query)})) {\n  console.log(job.id, job.status);\n}`,
    });
    this.#load();
  }

  /** Reads as many jobs as are wanted, from the newest on. */
  async #load() {
    this.#asked += 1;
    const asked = this.#asked;
    try {
      /** @type {Job[]} */
      const jobs = [];
      let cursor = null;
      do {
        const limit = Math.min(this.#wanted - jobs.length, LARGEST_PAGE);
        const page = await call("GET", "/api/v1/jobs", { query: { ...this.#query(), limit, cursor }, signal: this.#end.signal });
        if (asked !== this.#asked) return;
        jobs.push(...page.data);
        cursor = page.nextCursor;
      } while (cursor !== null && jobs.length < this.#wanted);
      fill(this.#problem);
      this.#jobs = jobs;
      this.#more.hidden = cursor === null;
      this.#empty.hidden = jobs.length > 0;
      this.#table.hidden = jobs.length === 0;
      say(this.#empty, this.#group === 0 ? "No jobs yet. Send a bot to a meeting, or play one of the sandbox's." : "No job is like that.");
      this.#show();
    } catch (problem) {
      if (!this.#end.signal.aborted && asked === this.#asked) fill(this.#problem, problemBox(problem));
    }
  }

  #older() {
    this.#wanted += MORE;
    this.#load();
  }

  #show() {
    keyed(this.#rows, this.#jobs, (job) => job.id, row, (element, job) => /** @type {any} */ (element).update(job));
  }
}
customElements.define("jobs-view", JobsView);

/** @param {Job} job */
function row(job) {
  const [status, at, length, recording] = [h("td"), h("td"), h("td", { class: "number" }), h("td")];
  const link = h("a", { href: `#/jobs/${encodeURIComponent(job.id)}`, class: "cover" }, brief(job.meetingUrl) || job.id);
  const detail = h("span", { class: "soft" });
  const element = h("tr", {}, status, h("td", { class: "meeting" }, link, job.externalId && h("span", { class: "soft" }, job.externalId)), at, length, recording);
  let drawn = "";
  /** @type {any} */ (element).update = (/** @type {Job} */ job) => {
    const now = Date.now();
    if (drawn !== `${job.status} ${job.statusDetail} ${job.failureCode}`) {
      drawn = `${job.status} ${job.statusDetail} ${job.failureCode}`;
      say(detail, word(job.failureCode ?? job.statusDetail ?? "").replace("–", ""));
      fill(status, pill(job.status), " ", detail);
    }
    say(at, ago(job.createdAt, now));
    at.title = moment(job.createdAt, now);
    const until = job.endedAt ? Date.parse(job.endedAt) : now;
    say(length, job.joinedAt ? clock(until - Date.parse(job.joinedAt)) : "–");
    const { bytes, deletedAt, state } = job.recording;
    say(recording, deletedAt ? "deleted" : bytes ? size(bytes) : job.endedAt ? "–" : word(state));
  };
  return element;
}

/** @param {Record<string, any>} body @returns {import("./snippets.js").Call} */
function created(body) {
  const { webhooks, ...rest } = body;
  const urls = { onStatusChangeUrl: webhooks?.onStatusChange, onFinalizeUrl: webhooks?.onFinalize };
  return {
    method: "POST",
    path: "/api/v1/jobs",
    body,
    python: `job = mb.dispatch_bot(${keywords({ ...rest, ...urls })})\njob = mb.wait_for_bot(job.id)`,
    typescript: `const job = await mb.dispatchBot(${object({ ...rest, ...urls })});\nawait mb.waitForBot(job.id);`,
  };
}
