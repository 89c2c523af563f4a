// The way in: an API key, or a link of `meetbot dashboard`.

import { call } from "./api.js";
import { fill, h, problemBox } from "./dom.js";

/** A session for a link that was opened, or the one that is there. @returns {Promise<{session: import("./api.js").Session | null, problem: unknown}>} */
export async function begin() {
  const link = /^#link=([A-Za-z0-9]+)$/.exec(location.hash)?.[1];
  if (link) {
    // It is good once, and does not belong into the history.
    history.replaceState(null, "", location.pathname);
    try {
      return { session: await call("POST", "/api/v1/sessions", { body: { link } }), problem: null };
    } catch (problem) {
      return { session: null, problem };
    }
  }
  const session = await call("GET", "/api/v1/sessions").catch(() => null);
  return { session, problem: null };
}

/** The form. */
export class SignIn extends HTMLElement {
  /** The error to show. @type {unknown} */
  problem = null;

  connectedCallback() {
    if (!window.isSecureContext) {
      fill(
        this,
        h(
          "section",
          { class: "card narrow" },
          h("h1", {}, "This page needs HTTPS"),
          h("p", {}, "A browser keeps a session only on HTTPS, or on the server's own machine. Let a proxy that speaks TLS stand in front of the server, or open this page through a tunnel:"),
          h("pre", {}, `ssh -L 3010:127.0.0.1:${location.port || 80} ${location.hostname}`),
          h("p", {}, "and then http://127.0.0.1:3010/."),
        ),
      );
      return;
    }
    const key = h("input", { id: "key", type: "password", required: true, autocomplete: "off", spellcheck: false, autofocus: true, placeholder: "mb_test_… or mb_live_…" });
    const problems = h("div");
    if (this.problem) fill(problems, problemBox(this.problem));
    const button = h("button", { class: "main" }, "Sign in");
    const submit = async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        const session = await call("POST", "/api/v1/sessions", { body: { key: key.value } });
        this.dispatchEvent(new CustomEvent("signed-in", { detail: session, bubbles: true }));
      } catch (problem) {
        fill(problems, problemBox(problem));
        button.disabled = false;
        key.select();
      }
    };
    fill(
      this,
      h(
        "section",
        { class: "card narrow" },
        h("h1", {}, "Sign in"),
        h("form", { onsubmit: submit }, h("label", { for: "key" }, "API key"), key, problems, button),
        h("p", { class: "soft" }, "The key is not kept in the browser: a session stands for it, for 12 hours at most. On the server's machine ", h("code", {}, "meetbot dashboard"), " opens this page signed in, and ", h("code", {}, "meetbot keys create --test"), " makes a key."),
      ),
    );
    key.focus();
  }
}
customElements.define("sign-in", SignIn);
