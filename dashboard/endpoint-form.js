// The form of a webhook endpoint: sends a test event, or redelivers all deliveries since a time.

/** @import { Delivery } from "../sdks/typescript/src/models.js" */

import { call } from "./api.js";
import { announce, confirmed, fill, h, keyed, problemBox } from "./dom.js";
import { field, length } from "./format.js";
import { CallSnippet } from "./snippets.js";

const REDELIVER = "/api/v1/webhooks/deliveries/redeliver";
const TEST = "/api/v1/webhooks/test";
/** How long before an endpoint began to fail its deliveries are taken to be lost, in ms: the first was made before its try ended. */
const BEFORE = 60_000;

export class EndpointForm extends HTMLElement {
  #url = h("input", { id: "endpoint-url", required: true, maxlength: 2048, autocomplete: "off", spellcheck: false, inputmode: "url", placeholder: "https://…", list: "known-endpoints" });
  #since = h("input", { id: "redeliver-since", type: "datetime-local", step: 1, value: field(Date.now() - 3_600_000) });
  #known = h("datalist", { id: "known-endpoints" });
  #result = h("div", { role: "status" });
  #test = h("button", { class: "main" }, "Send a test event");
  #redeliver = h("button", { type: "button", onclick: () => this.#all() }, "Redeliver all since");
  #snippets = [new CallSnippet(), new CallSnippet()];

  connectedCallback() {
    const submit = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      this.#send();
    };
    fill(
      this,
      h(
        "form",
        { class: "card", onsubmit: submit, oninput: () => this.#show() },
        h("label", { for: "endpoint-url" }, "Endpoint"),
        h("div", { class: "row" }, this.#url, this.#test),
        h("div", { class: "row filters" }, this.#redeliver, h("label", { for: "redeliver-since" }, "Time ", this.#since)),
        this.#known,
        this.#result,
        ...this.#snippets,
      ),
    );
    this.#show();
  }

  /** Which endpoints can be chosen. @param {Delivery[]} deliveries One of each. */
  offer(deliveries) {
    keyed(this.#known, deliveries, (delivery) => delivery.url ?? "", (delivery) => h("option", { value: delivery.url }));
  }

  /** Fills in an endpoint, and since when it fails. @param {Delivery} delivery */
  choose({ url, endpoint }) {
    this.#url.value = url ?? "";
    if (endpoint.failingSince) this.#since.value = field(Date.parse(endpoint.failingSince) - BEFORE);
    this.#show();
    this.#redeliver.focus();
  }

  #body() {
    const since = Date.parse(this.#since.value);
    return { endpoint: this.#url.value.trim(), since: Number.isNaN(since) ? "" : new Date(since).toISOString() };
  }

  #show() {
    const { endpoint, since } = this.#body();
    const [test, redeliver] = this.#snippets;
    const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", `'\\''`)}'`;
    test?.show({ method: "POST", path: TEST, body: { endpoint }, command: `meetbot webhooks test ${quoted(endpoint)}` });
    redeliver?.show({ method: "POST", path: REDELIVER, body: { endpoint, since }, command: `meetbot webhooks redeliver --endpoint ${quoted(endpoint)} --since ${since}` });
  }

  async #send() {
    await this.#ask(async () => {
      const { delivered, tried } = await call("POST", TEST, { body: { endpoint: this.#body().endpoint } });
      this.dispatchEvent(new Event("redelivered", { bubbles: true }));
      const answer = tried.status ?? tried.error ?? "no answer";
      return delivered ? `The endpoint took the test event: ${answer}, after ${length(tried.durationMs)}.` : `The endpoint did not take the test event: ${answer}, after ${length(tried.durationMs)}.`;
    });
  }

  async #all() {
    if (!this.#url.reportValidity() || this.#since.value === "") return;
    const body = this.#body();
    if (!(await confirmed(`Send all deliveries to ${body.endpoint} since ${this.#since.value.replace("T", " ")} once more, those that arrived included?`, "Redeliver"))) return;
    await this.#ask(async () => {
      let [count, cursor] = [0, /** @type {string | null} */ (null)];
      do {
        const sent = await call("POST", REDELIVER, { body: cursor === null ? body : { ...body, cursor } });
        [count, cursor] = [count + sent.count, sent.nextCursor];
      } while (cursor !== null);
      this.dispatchEvent(new Event("redelivered", { bubbles: true }));
      return `${count} ${count === 1 ? "delivery is" : "deliveries are"} sent again.`;
    });
  }

  /** Says what came of a call. @param {() => Promise<string>} act */
  async #ask(act) {
    const buttons = [this.#test, this.#redeliver];
    for (const button of buttons) button.disabled = true;
    fill(this.#result);
    try {
      const said = await act();
      announce(said);
      fill(this.#result, h("p", {}, said));
    } catch (problem) {
      fill(this.#result, problemBox(problem));
    }
    for (const button of buttons) button.disabled = false;
  }
}
customElements.define("endpoint-form", EndpointForm);
