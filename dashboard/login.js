// Approves a login of `meetbot login`: the code that the program shows is typed here, so that it is seen by the person who approves it.

import { call, session } from "./api.js";
import { announce, fill, h, problemBox } from "./dom.js";

/** @typedef {{host: string | null, address: string, scope: string, world: "live" | "test" | null, expiresIn: number}} AskedLogin */

const SCOPES = ["read", "write", "admin", "operator"];
const FOLDER = "/api/v1/cli-auth";

export class LoginView extends HTMLElement {
  #problem = h("div");
  #asked = h("div");
  #code = h("input", { id: "login-code", required: true, maxlength: 40, autocomplete: "off", autocapitalize: "characters", spellcheck: false, placeholder: "XXXX-XXXX", "aria-describedby": "login-warning" });

  connectedCallback() {
    fill(
      this,
      h("h1", {}, "Approve a login"),
      h(
        "section",
        { class: "card narrow" },
        h("p", { id: "login-warning" }, "Type the code only if you typed ", h("code", {}, "meetbot login"), " just now and see the code in your own terminal. A program that shows another code gets a key of yours."),
        h("form", { onsubmit: (/** @type {SubmitEvent} */ event) => this.#find(event) }, h("label", { for: "login-code" }, "Code"), this.#code, h("button", { class: "main" }, "Look")),
      ),
      this.#problem,
      this.#asked,
    );
    this.#code.focus();
  }

  /** @param {SubmitEvent} event */
  async #find(event) {
    event.preventDefault();
    fill(this.#problem);
    fill(this.#asked);
    try {
      const asked = await call("POST", `${FOLDER}/find`, { body: { userCode: this.#code.value } });
      this.#show(asked);
    } catch (problem) {
      fill(this.#problem, problemBox(problem));
      this.#code.select();
    }
  }

  /** @param {AskedLogin} asked */
  #show({ host, address, scope, world }) {
    if (session.current === null) return;
    const { consumer, world: own, scope: most } = session.current;
    // At most what is asked for, and at most what this session may.
    const highest = Math.min(SCOPES.indexOf(scope), SCOPES.indexOf(most));
    const choice = h("select", { id: "login-scope" }, ...SCOPES.slice(0, highest + 1).map((name, index) => h("option", { selected: index === highest }, name)));
    const wrong = world !== null && world !== own;
    const decide = (/** @type {string} */ decision) => () => this.#decide(decision, choice.value);
    const heading = h("h2", { tabindex: -1 }, "A program asks for a key");
    fill(
      this.#asked,
      h(
        "section",
        { class: "card narrow" },
        heading,
        h("dl", { class: "facts" }, h("dt", {}, "Machine"), h("dd", {}, host ?? "it does not say"), h("dt", {}, "Asks from"), h("dd", {}, address), h("dt", {}, "Key of"), h("dd", {}, `${consumer} (${own})`), h("dt", {}, "Asks for"), h("dd", {}, `${scope}${world ? `, ${world}` : ""}`)),
        wrong && h("p", { class: "box bad" }, `It asks for a ${world} key, and you are signed in with a ${own} one.`),
        !wrong && h("label", { class: "field", for: "login-scope" }, "It gets", choice),
        h("div", { class: "row end" }, h("button", { type: "button", onclick: decide("deny") }, "Deny"), !wrong && h("button", { type: "button", class: "main", onclick: decide("approve") }, "Approve")),
      ),
    );
    heading.focus();
  }

  /** @param {string} decision @param {string} scope */
  async #decide(decision, scope) {
    fill(this.#problem);
    try {
      await call("POST", `${FOLDER}/complete`, { body: { userCode: this.#code.value, decision, ...(decision === "approve" && { scope }) } });
      const said = decision === "approve" ? "The program has its key: go back to your terminal." : "The program gets no key.";
      announce(said);
      fill(this.#asked, h("p", { class: "box", id: "login-done", tabindex: -1 }, said));
      document.getElementById("login-done")?.focus();
      this.#code.value = "";
    } catch (problem) {
      fill(this.#problem, problemBox(problem));
    }
  }
}
customElements.define("login-view", LoginView);
