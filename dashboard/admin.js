// What operators see and change: keys, consumers with their limits, and the audit log.

import { call, session } from "./api.js";
import { announce, confirmed, fill, fresh, h, keyed, problemBox, say } from "./dom.js";
import { ago, moment, size } from "./format.js";
import { CallSnippet } from "./snippets.js";

/** @typedef {{id: string, consumer: string, live: boolean, scope: string, prefix: string, createdAt: string, expiresAt: string | null, revokedAt: string | null, lastUsedAt: string | null}} ApiKey */
/** @typedef {{bots: number, minutes: number, queuedJobs: number, recordingBytes: number}} Used */
/** @typedef {{id: string, name: string, createdAt: string, live: Used, test: Used, quota: Record<string, number | string>}} Consumer */
/** @typedef {{id: string, at: string, key: string, address: string, method: string, path: string, job: string | null, status: number, error: string | null, times: number}} KeyUse */

const LIMIT = 100;
/** No feed reports keys, consumers and the audit log: they are read this often, in ms, and when the page is looked at again. */
const QUIET = 30_000;
const ADMIN = "/api/v1/admin";

/** A list of one call, looked at again and again, with its older part on a button. @template Item */
class ListView extends HTMLElement {
  end = new AbortController();
  problem = h("div");
  rows = h("tbody");
  snippet = new CallSnippet();
  #more = h("button", { type: "button", hidden: true, onclick: () => this.#older() }, "More");
  /** @type {Item[]} */
  #rest = [];
  /** @type {string | null} */
  #cursor = null;
  #asked = 0;

  /** @param {string[]} columns */
  table(columns) {
    return h("div", { class: "scroll card flush", tabindex: 0, role: "group", "aria-label": "List" }, h("table", {}, h("thead", {}, h("tr", {}, ...columns.map((name) => (name ? h("th", { scope: "col" }, name) : h("td"))))), this.rows));
  }

  get more() {
    return this.#more;
  }

  disconnectedCallback() {
    this.end.abort();
  }

  /** @returns {{path: string, query: import("./api.js").Query}} */
  asks() {
    throw new Error("a view says what it asks");
  }

  /** @param {Item[]} _items */
  show(_items) {}

  /** Asks anew, as after a change of what is asked. */
  again() {
    this.#asked += 1;
    this.#rest = [];
    this.#cursor = null;
    return this.load();
  }

  async load() {
    const asked = this.#asked;
    const { path, query } = this.asks();
    try {
      const page = await call("GET", path, { query: { ...query, limit: LIMIT }, signal: this.end.signal });
      if (asked !== this.#asked) return;
      if (this.#rest.length === 0) this.#cursor = page.nextCursor;
      this.show([...page.data, ...this.#rest]);
      this.#more.hidden = this.#cursor === null;
    } catch (problem) {
      if (!this.end.signal.aborted) fill(this.problem, problemBox(problem));
    }
  }

  async #older() {
    const { path, query } = this.asks();
    const page = await call("GET", path, { query: { ...query, limit: LIMIT, cursor: this.#cursor }, signal: this.end.signal });
    this.#rest.push(...page.data);
    this.#cursor = page.nextCursor;
    await this.load();
  }

  /** Does something that changes the list, and shows what went wrong. @param {() => Promise<unknown>} act */
  async change(act) {
    fill(this.problem);
    try {
      await act();
    } catch (problem) {
      fill(this.problem, problemBox(problem));
    }
    await this.load();
  }
}

/** @extends {ListView<ApiKey>} */
export class KeysView extends ListView {
  #fresh = h("div");
  #ended = h("input", { type: "checkbox", id: "ended-keys" });

  connectedCallback() {
    this.#ended.addEventListener("input", () => this.load());
    fill(
      this,
      h("h1", {}, "Keys"),
      this.#form(),
      this.problem,
      this.#fresh,
      h("div", { class: "row filters" }, h("label", { for: "ended-keys" }, this.#ended, " those that have ended too")),
      this.table(["Consumer", "Key", "Scope", "Last used", "Ends", ""]),
      this.more,
      this.snippet,
    );
    this.snippet.show({ method: "GET", path: `${ADMIN}/keys`, command: "meetbot keys list" });
    fresh(QUIET, this.end.signal, () => this.load());
  }

  /** @override */
  asks() {
    return { path: `${ADMIN}/keys`, query: {} };
  }

  #form() {
    const consumer = h("input", { id: "key-consumer", required: true, maxlength: 100, autocomplete: "off", value: session.current?.consumer ?? "" });
    const world = h("select", { id: "key-world" }, h("option", { value: "test" }, "test: the sandbox"), h("option", { value: "live" }, "live: real meetings"));
    const scope = h("select", { id: "key-scope" }, ...["read", "write", "admin", "operator"].map((name) => h("option", { selected: name === "write" }, name)));
    const ends = h("input", { id: "key-ends", type: "date" });
    const body = () => ({ consumer: consumer.value.trim(), live: world.value === "live", scope: scope.value, ...(ends.value && { expiresAt: new Date(`${ends.value}T00:00:00`).toISOString() }) });
    const show = () => this.snippet.show({ method: "POST", path: `${ADMIN}/keys`, body: body(), command: `meetbot keys create --${world.value} --consumer ${JSON.stringify(consumer.value.trim())} --scope ${scope.value}` });
    const submit = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      return this.change(async () => {
        const made = await call("POST", `${ADMIN}/keys`, { body: body() });
        announce("The key is made");
        fill(
          this.#fresh,
          h(
            "section",
            { class: "box" },
            h("p", {}, h("strong", {}, `The key of ${made.consumer}. It is not shown again:`)),
            h("pre", { tabindex: 0 }, made.key),
            made.webhookSecret && h("p", {}, "Its webhooks are signed with:"),
            made.webhookSecret && h("pre", { tabindex: 0 }, made.webhookSecret),
          ),
        );
      });
    };
    const field = (/** @type {string} */ label, /** @type {HTMLElement} */ input) => h("div", { class: "field" }, h("label", { for: input.id }, label), input);
    return h("form", { class: "card", onsubmit: submit, oninput: show }, h("div", { class: "fields" }, field("Consumer", consumer), field("World", world), field("Scope", scope), field("Ends on", ends)), h("div", { class: "row" }, h("button", { class: "main" }, "Make a key")));
  }

  /** @override @param {ApiKey[]} keys */
  show(keys) {
    const now = Date.now();
    const ended = (/** @type {ApiKey} */ key) => key.revokedAt !== null || (key.expiresAt !== null && Date.parse(key.expiresAt) <= now);
    const shown = this.#ended.checked ? keys : keys.filter((key) => !ended(key));
    const draw = (/** @type {HTMLElement} */ row, /** @type {ApiKey} */ key) => {
      const own = key.id === session.current?.key;
      const end = key.revokedAt ? `revoked ${ago(key.revokedAt, now)}` : key.expiresAt ? moment(key.expiresAt, now) : "–";
      const revoke = h("button", { type: "button", class: "quiet bad", "aria-label": `Revoke ${key.prefix}`, onclick: () => this.#revoke(key) }, "Revoke");
      fill(
        row,
        h("td", {}, key.consumer, " ", h("span", { class: `pill ${key.live ? "live" : "test"}` }, key.live ? "live" : "test")),
        h("td", {}, h("code", { title: key.id }, `${key.prefix}…`), own && h("span", { class: "soft" }, " yours")),
        h("td", {}, key.scope),
        h("td", {}, ago(key.lastUsedAt, now)),
        h("td", {}, end),
        h("td", {}, !ended(key) && !own && revoke),
      );
    };
    keyed(this.rows, shown, (key) => `${key.id} ${key.lastUsedAt} ${key.revokedAt}`, () => h("tr"), (row, key) => row.childElementCount === 0 && draw(row, key));
  }

  /** @param {ApiKey} key */
  async #revoke(key) {
    if (!(await confirmed(`Revoke the key ${key.prefix}… of ${key.consumer}? Programs with it are refused at once; bots in meetings stay.`, "Revoke"))) return;
    this.snippet.show({ method: "DELETE", path: `${ADMIN}/keys/${key.id}`, command: `meetbot keys revoke ${key.id}` });
    await this.change(() => call("DELETE", `${ADMIN}/keys/${encodeURIComponent(key.id)}`));
  }
}
customElements.define("keys-view", KeysView);

/** What can be limited: its name in the API, and in the table. @type {[string, string][]} */
const QUOTAS = [["bots", "Bots at once"], ["minutes", "Minutes a month"], ["queuedJobs", "Jobs in the queue"]];

/** @extends {ListView<Consumer>} */
export class ConsumersView extends ListView {
  connectedCallback() {
    fill(this, h("h1", {}, "Consumers"), this.problem, this.table(["Consumer", "Bots", "Minutes", "In the queue", "Recordings", "Limits"]), this.more, this.snippet);
    this.snippet.show({ method: "GET", path: `${ADMIN}/consumers`, command: "meetbot consumers list" });
    fresh(QUIET, this.end.signal, () => this.load());
  }

  /** @override */
  asks() {
    return { path: `${ADMIN}/consumers`, query: {} };
  }

  /** @override @param {Consumer[]} consumers */
  show(consumers) {
    keyed(this.rows, consumers, ({ id }) => id, (consumer) => this.#row(consumer), (row, consumer) => /** @type {any} */ (row).update(consumer));
  }

  /** @param {Consumer} consumer */
  #row(consumer) {
    const [bots, minutes, queued, bytes, limits] = [h("td"), h("td"), h("td"), h("td"), h("span", { class: "soft" })];
    const fields = QUOTAS.map(([name, label]) => h("label", { class: "field" }, label, h("input", { name, "aria-label": `${label} of ${consumer.name}`, pattern: "[1-9][0-9]*|none|default", title: "a number, none or default", required: true })));
    const save = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const form = /** @type {HTMLFormElement} */ (event.target);
      const body = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, /^\d+$/.test(String(value)) ? Number(value) : value]));
      const path = `${ADMIN}/consumers/${encodeURIComponent(consumer.id)}/quota`;
      this.snippet.show({ method: "PATCH", path, body, command: `meetbot consumers limit ${JSON.stringify(consumer.name)} --bots ${body["bots"]} --minutes ${body["minutes"]} --queued ${body["queuedJobs"]}` });
      return this.change(async () => {
        await call("PATCH", path, { body });
        announce("The limits are set");
        details.open = false;
      });
    };
    const details = h("details", {}, h("summary", {}, limits), h("form", { onsubmit: save }, h("div", { class: "fields" }, ...fields), h("div", { class: "row" }, h("button", {}, "Set"))));
    const row = h("tr", {}, h("th", { scope: "row" }, consumer.name), bots, minutes, queued, bytes, h("td", {}, details));
    /** @type {any} */ (row).update = (/** @type {Consumer} */ { live, test, quota }) => {
      say(bots, `${live.bots} + ${test.bots}`);
      say(minutes, live.minutes.toLocaleString());
      say(queued, `${live.queuedJobs} + ${test.queuedJobs}`);
      say(bytes, size(live.recordingBytes + test.recordingBytes));
      say(limits, QUOTAS.map(([name]) => quota[name]).join(" · "));
      for (const input of details.open ? [] : details.querySelectorAll("input")) input.value = String(quota[input.name]);
      for (const cell of [bots, queued]) cell.title = "with live keys + with test keys";
    };
    return row;
  }
}
customElements.define("consumers-view", ConsumersView);

/** @extends {ListView<KeyUse>} */
export class AuditView extends ListView {
  #refused = h("input", { type: "checkbox", id: "refused" });
  #key = h("input", { type: "search", id: "audit-key", placeholder: "key_…", autocomplete: "off" });
  #job = h("input", { type: "search", id: "audit-job", placeholder: "job_…", autocomplete: "off" });

  connectedCallback() {
    for (const field of [this.#refused, this.#key, this.#job]) field.addEventListener("input", () => this.again());
    fill(
      this,
      h("h1", {}, "Audit log"),
      h("p", { class: "soft" }, "What keys changed, and what they were refused. Calls that are alike in a minute are one line."),
      h("div", { class: "row filters" }, h("label", { for: "refused" }, this.#refused, " refused only"), h("label", { for: "audit-key" }, "Key ", this.#key), h("label", { for: "audit-job" }, "Job ", this.#job)),
      this.problem,
      this.table(["When", "Key", "Call", "Answer", "From"]),
      this.more,
      this.snippet,
    );
    fresh(QUIET, this.end.signal, () => this.load());
  }

  /** @override */
  asks() {
    const query = { refused: this.#refused.checked ? "true" : null, key: this.#key.value.trim(), job: this.#job.value.trim() };
    this.snippet.show({ method: "GET", path: `${ADMIN}/audit`, query, command: `meetbot keys audit${query.refused ? " --refused" : ""}${query.key ? ` --key ${query.key}` : ""}${query.job ? ` --job ${query.job}` : ""}` });
    return { path: `${ADMIN}/audit`, query };
  }

  /** @override @param {KeyUse[]} uses */
  show(uses) {
    fill(this.problem);
    const now = Date.now();
    const row = (/** @type {KeyUse} */ use) =>
      h(
        "tr",
        {},
        h("td", {}, moment(use.at, now)),
        h("td", {}, h("code", {}, use.key)),
        h("td", {}, h("code", {}, `${use.method} ${use.path}`), use.times > 1 && h("span", { class: "soft" }, ` ${use.times} times`)),
        h("td", {}, h("span", { class: `pill ${use.status < 400 ? "delivered" : "dead"}` }, use.status), use.error && ` ${use.error}`),
        h("td", {}, use.address),
      );
    keyed(this.rows, uses, (use) => `${use.id} ${use.times}`, row);
  }
}
customElements.define("audit-view", AuditView);
