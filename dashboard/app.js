// The page: who is signed in, which view is shown.

import { begin, SignIn } from "./sign-in.js";
import { call, may, session, signals } from "./api.js";
import { fill, h } from "./dom.js";
import { JobsView } from "./jobs.js";
import { JobView } from "./job.js";
import { LoginView } from "./login.js";
import { WebhooksView } from "./webhooks.js";
import { UsageView } from "./usage.js";
import { HostView } from "./host.js";
import { AuditView, ConsumersView, KeysView } from "./admin.js";
import "./snippets.js";

const top = /** @type {HTMLElement} */ (document.getElementById("top"));
const main = /** @type {HTMLElement} */ (document.getElementById("main"));

/** @returns {[name: string, make: () => HTMLElement, shown: boolean][]} */
function views() {
  return [
    ["jobs", () => new JobsView(), true],
    ["webhooks", () => new WebhooksView(), true],
    ["usage", () => new UsageView(), true],
    ["host", () => new HostView(), may("admin")],
    ["keys", () => new KeysView(), may("operator")],
    ["consumers", () => new ConsumersView(), may("operator")],
    ["audit", () => new AuditView(), may("operator")],
    ["login", () => new LoginView(), true],
  ];
}

/** The view and its parameters that the address names, as in `#/jobs/job_…?t=12`. */
function place() {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view = "jobs", id] = path.split("/");
  return { view: view || "jobs", id, parameters: new URLSearchParams(query) };
}

/** The current view, to distinguish a new view from a new second of the same one. */
let shown = "";

function show() {
  if (session.current === null) return;
  const { view, id, parameters } = place();
  for (const link of top.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const name = `${view}/${id ?? ""}`;
  if (name === shown) {
    /** @type {any} */ (main.firstElementChild)?.moved?.(parameters);
    return;
  }
  const first = shown === "";
  shown = name;
  const known = views().find(([known, , may]) => known === view && may);
  const element = view === "jobs" && id ? new JobView(id, parameters) : known?.[1]() ?? h("p", { class: "box" }, "There is no such page.");
  fill(main, element);
  document.title = id ? `${id} · meetbot` : `${view} · meetbot`;
  // A view may have taken the focus for its first field.
  if (!first && !main.contains(document.activeElement)) main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function frame() {
  if (session.current === null) {
    fill(top, brand());
    return;
  }
  const { consumer, world, scope } = session.current;
  const links = views().filter(([name, , shown]) => shown && name !== "login");
  fill(
    top,
    brand(),
    h("nav", { "aria-label": "Views" }, ...links.map(([name]) => h("a", { href: `#/${name}` }, name[0]?.toUpperCase() + name.slice(1)))),
    h("span", { class: "grow" }),
    h("a", { class: "docs-link", href: "/docs" }, "Docs"),
    h("span", { class: "who", title: `scope ${scope}` }, consumer, " ", h("span", { class: `pill ${world === "live" ? "live" : "test"}` }, world)),
    h("button", { type: "button", class: "quiet", onclick: signOut }, "Sign out"),
  );
}

function brand() {
  return h("a", { class: "brand", href: "#/jobs" }, h("img", { src: "/dashboard/icon.svg", alt: "", width: 24, height: 24 }), "meetbot");
}

async function signOut() {
  await call("DELETE", "/api/v1/sessions").catch(() => {});
  out(null);
}

/** @param {unknown} problem */
function out(problem) {
  session.current = null;
  shown = "";
  frame();
  const form = new SignIn();
  form.problem = problem;
  document.title = "Sign in · meetbot";
  fill(main, form);
}

/** @param {import("./api.js").Session} begun */
function signedIn(begun) {
  session.current = begun;
  frame();
  show();
}

main.addEventListener("signed-in", (event) => signedIn(/** @type {CustomEvent} */ (event).detail));
signals.addEventListener("signed-out", () => out("The session is over: sign in again."));
addEventListener("hashchange", show);
const found = await begin();
if (found.session) signedIn(found.session);
else out(found.problem);
