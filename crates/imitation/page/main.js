// The page: fetches the view from the server, shows it, and sends reports.

import { button, element, report, say, speak, visit, watch } from "./dom.js";
import { callScreen, update } from "./call.js";
import { invisibleCaptcha, screenOf } from "./lobby.js";
import { closeSession, openSession } from "./session.js";

const root = document.getElementById("root");
const inCall = (screen) => screen === "meeting" || screen === "reconnecting";

const shown = { key: undefined, dialog: undefined, session: 0, knocked: false, busyMs: 0 };

const showDialog = (dialog) => {
  if (shown.kind === dialog?.kind) return;
  shown.kind = dialog?.kind;
  shown.dialog?.remove();
  shown.dialog = undefined;
  if (!dialog) return;
  const went = (accepted) => (event) => event.isTrusted && report({ dialog: { accepted } });
  shown.dialog = element(
    "div",
    { class: "dialog", role: "dialog", "aria-modal": "true", "aria-label": say(dialog.text) },
    element("h2", {}, say(dialog.text)),
    ...button("Close", { sign: "close", press: went(false) }),
    ...button(dialog.consent ? "Leave meeting" : "Not now", {
      press: went(false),
      attributes: { "data-mdc-dialog-action": dialog.consent ? "cancel" : "close" },
    }),
    ...button(dialog.primary, { press: went(true), attributes: dialog.consent ? { "data-mdc-dialog-action": "ok" } : {} }),
  );
  document.body.append(shown.dialog);
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.isTrusted && shown.dialog) report({ dialog: { accepted: false } });
});

const show = (view) => {
  speak(view);
  document.title = inCall(view.screen) ? `Meet - ${location.pathname.slice(1)}` : "Meet";
  const key = `${view.screen}/${view.text}`;
  if (shown.key === key) {
    if (inCall(view.screen)) update(view);
  } else {
    shown.key = key;
    document.body.classList.remove("dead");
    const screen = inCall(view.screen) ? callScreen(view) : screenOf(view);
    screen.classList.add("screen");
    shown.knocked ||= view.screen === "waiting_room" || view.screen === "host_absent";
    const behind = view.decoys.lobbyLeftBehind && shown.knocked && !inCall(view.screen);
    root.replaceChildren(...(behind ? [element("div", { class: "behind" }, say(view.lobbyText))] : []), screen);
    if (view.decoys.invisibleCaptcha) root.append(invisibleCaptcha());
  }
  showDialog(view.dialog);
  if (view.session > shown.session) {
    shown.session = view.session;
    openSession(view).catch((error) => report({ page_error: `${error}` }));
  }
  if (!inCall(view.screen) && !["waiting_room", "host_absent"].includes(view.screen)) closeSession();
};

// A global that no Google page has.
const foreign = /^(__|cdc_|\$cdc)|meetbot|puppeteer|playwright/i;

const browser = () => ({
  webdriver: navigator.webdriver === true,
  userAgent: navigator.userAgent,
  platform: navigator.platform,
  query: location.search,
  language: navigator.language,
  width: innerWidth,
  height: innerHeight,
  globals: Object.getOwnPropertyNames(window).filter((name) => foreign.test(name)),
});

const follow = async () => {
  let version = null;
  let late = true;
  for (;;) {
    let view;
    try {
      const answer = await fetch("/imitation/view", { method: "POST", body: JSON.stringify({ visit, version }) });
      view = await answer.json();
    } catch {
      // The server has stopped, or the page is being left.
      return;
    }
    if (view.over) return;
    version = view.version;
    if (late && view.decoys.lateMs > 0) await new Promise((resolve) => setTimeout(resolve, view.decoys.lateMs));
    late = false;
    show(view);
    const free = performance.now() + view.busyMs - shown.busyMs;
    shown.busyMs = view.busyMs;
    while (performance.now() < free);
  }
};

const expected = (message) => message.includes("EndCause = 72");

if (visit === 0) {
  root.append(element("h1", {}, say("Video calls and meetings for everyone")), ...button("New meeting"));
} else {
  addEventListener("error", ({ message }) => message && !expected(message) && report({ page_error: message }));
  addEventListener("unhandledrejection", ({ reason }) => report({ page_error: `${reason}` }));
  addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
    report({ page_error: `${violatedDirective} forbids ${blockedURI}` }),
  );
  watch();
  report({ browser: browser() });
  follow();
}
