// The call that a view makes, as `curl` and in the SDKs' languages, or as a command, to be taken over into a program.

import { address } from "./api.js";
import { announce, fill, h } from "./dom.js";

/**
 * @typedef {object} Call
 * @property {string} method
 * @property {string} path
 * @property {Record<string, any>} [query]
 * @property {any} [body]
 * @property {string} [python] The SDK's call, as in `mb.get_bot("job_…")`; operators' calls are in no SDK.
 * @property {string} [typescript] The same in TypeScript.
 * @property {string} [command] The command of `meetbot` that does the same.
 */

/** A text for a POSIX shell. @param {string} text */
function quoted(text) {
  return /^[\w@%+=:,./?&-]+$/.test(text) && !/[?&]/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** @param {Call} call */
export function curl({ method, path, query, body }) {
  const parts = ["curl"];
  if (method !== "GET") parts.push("-X", method);
  parts.push(`-H "Authorization: Bearer $MEETBOT_API_KEY"`);
  if (body !== undefined) parts.push("-H 'Content-Type: application/json'", "-d", quoted(JSON.stringify(body)));
  parts.push(quoted(location.origin + address(path, query)));
  return parts.join(" ");
}

/** A value as Python writes it. @param {any} value @returns {string} */
export function inPython(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(inPython).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([name, value]) => `${JSON.stringify(name)}: ${inPython(value)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}

/** Arguments by name, as Python writes them: those that are set. @param {Record<string, any>} values */
export function keywords(values) {
  const snake = (/** @type {string} */ name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const set = Object.entries(values).filter(([, value]) => value != null && value !== "" && value.length !== 0);
  return set.map(([name, value]) => `${snake(name)}=${inPython(value)}`).join(", ");
}

/** An object as TypeScript writes it: what is set. @param {Record<string, any>} values */
export function object(values) {
  const set = Object.entries(values).filter(([, value]) => value != null && value !== "" && value.length !== 0);
  return set.length === 0 ? "" : `{ ${set.map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(", ")} }`;
}

/** @param {Call} call */
function python({ python }) {
  return `from meetbot import MeetBot\n\nmb = MeetBot()  # $MEETBOT_API_KEY, $MEETBOT_API_BASE_URL\n${python}`;
}

/** @param {Call} call */
function typescript({ typescript }) {
  return `import { createMeetbot } from "@meetbot/sdk";\n\nconst mb = createMeetbot(); // MEETBOT_API_KEY, MEETBOT_API_BASE_URL\n${typescript}`;
}

/** @type {[string, (call: Call) => string, (call: Call) => boolean][]} */
const LANGUAGES = [
  ["curl", curl, () => true],
  ["Python", python, (call) => call.python !== undefined],
  ["TypeScript", typescript, (call) => call.typescript !== undefined],
  ["Command", (call) => call.command ?? "", (call) => call.command !== undefined],
];

/** Shows a call in three languages; `show` replaces it. */
export class CallSnippet extends HTMLElement {
  #text = h("pre", { tabindex: 0 });
  #buttons = LANGUAGES.map(([name], index) => h("button", { type: "button", onclick: () => this.#choose(index) }, name));
  #chosen = 0;
  /** @type {Call | null} */
  #call = null;

  connectedCallback() {
    if (this.childElementCount > 0) return;
    fill(
      this,
      h(
        "details",
        { class: "snippet" },
        h("summary", {}, "The same call in your program"),
        h("div", { class: "row" }, h("div", { class: "segments", role: "group", "aria-label": "Language" }, ...this.#buttons), h("button", { type: "button", class: "quiet", onclick: () => this.#copy() }, "Copy")),
        this.#text,
      ),
    );
    this.#choose(0);
  }

  /** @param {Call} call */
  show(call) {
    this.#call = call;
    this.#buttons.forEach((button, index) => (button.hidden = !LANGUAGES[index]?.[2](call)));
    if (this.#buttons[this.#chosen]?.hidden) this.#chosen = 0;
    this.#choose(this.#chosen);
  }

  /** @param {number} index */
  #choose(index) {
    this.#chosen = index;
    this.#buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === index)));
    const write = LANGUAGES[index]?.[1];
    this.#text.textContent = this.#call && write ? write(this.#call) : "";
  }

  async #copy() {
    await navigator.clipboard.writeText(this.#text.textContent ?? "");
    announce("Copied");
  }
}
customElements.define("call-snippet", CallSnippet);
