// The screen of the meeting: tiles, toolbar, chat, people, banner.

import { button, element, icon, labelled, report, say } from "./dom.js";
import { deviceButtons, turnOnAgain } from "./devices.js";
import { setCaptions } from "./session.js";

const HIDES_AFTER_MS = 3_000;
const LOOKS_AT_BANNER_MS = 500;

let call;

const tile = ({ device, name, own }) => {
  const video = element("div", { class: "tile", "data-participant-id": device, "data-requested-participant-id": device });
  if (own) video.setAttribute("data-self-name", name);
  video.append(element("span", { class: "notranslate" }, name));
  video.append(...button(own ? "You can't pin yourself" : `Pin ${name} to your main screen.`, { sign: "keep" }));
  return video;
};

const line = ([name, text], index) =>
  element("div", { "data-message-id": `m${index}` }, element("span", {}, name), " ", element("div", {}, text));

const send = (text, clear) => {
  const message = text.trim();
  if (message === "") return;
  report({ chat: message });
  clear();
};

const composer = () => {
  const label = say("Send a message");
  if (labelled()) {
    const area = element("textarea", { "aria-label": `${label} to everyone`, maxlength: "500", rows: "2" });
    return { field: area, text: () => area.value, clear: () => (area.value = ""), shown: area };
  }
  const area = element("div", { contenteditable: "true", role: "textbox", "aria-multiline": "true", class: "composer" });
  const shown = element("div", { "aria-label": label }, area);
  return { field: area, text: () => area.innerText, clear: () => area.replaceChildren(), shown };
};

const chatPanel = () => {
  const { field, text, clear, shown } = composer();
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (event.isTrusted) send(text(), clear);
  });
  if (call.view.chat === "disabled") {
    field.setAttribute("aria-disabled", "true");
    if (labelled()) field.disabled = true;
    else field.contentEditable = "false";
  }
  call.lines = element("div", { "aria-live": "polite" });
  const pressed = (event) => event.isTrusted && send(text(), clear);
  return element("div", { class: "panel", role: "complementary", "aria-label": say("In-call messages") }, call.lines, shown, ...button("Send a message", { sign: "send", press: pressed }));
};

const peoplePanel = () => {
  call.list = element("div", { role: "list", "aria-label": say("Participants") });
  return element("div", { class: "panel", role: "complementary", "aria-label": say("People") }, call.list);
};

const toggle = (kind) => () => {
  const open = call.panel?.dataset.kind === kind;
  call.panel?.remove();
  call.panel = undefined;
  call.lines = call.list = undefined;
  if (open) return;
  call.panel = kind === "chat" ? chatPanel() : peoplePanel();
  call.panel.dataset.kind = kind;
  call.screen.append(call.panel);
  update(call.view);
};

const peopleButton = () => {
  if (labelled()) return element("nav", {}, ...button("People", { sign: "people", press: toggle("people") }));
  return element(
    "div",
    { role: "button", tabindex: "0", "aria-haspopup": "dialog", "aria-label": say("People"), click: toggle("people") },
    icon("people"),
    element("span", { class: "badge" }, `${call.view.tiles.length}`),
  );
};

const captionsButton = () => {
  let on = false;
  const parts = button("Turn on captions", {
    sign: "closed_caption_off",
    press: (event) => {
      // The real page ignores clicks of a script here.
      if (!event.isTrusted) return;
      on = !on;
      const label = say(`Turn ${on ? "off" : "on"} captions`);
      if (labelled()) parts[0].setAttribute("aria-label", label);
      else parts[1].textContent = label;
      setCaptions(on, call.view.captionsV2 ? "captions_v2" : "captions");
    },
  });
  return parts;
};

const hiding = (toolbar) => {
  let timer;
  const show = () => {
    toolbar.classList.remove("hidden");
    clearTimeout(timer);
    timer = setTimeout(() => toolbar.classList.add("hidden"), HIDES_AFTER_MS);
  };
  document.addEventListener("pointermove", show);
  show();
};

const seen = (banner) => {
  const box = banner.getBoundingClientRect();
  const style = getComputedStyle(banner);
  if (!banner.isConnected) return "it was removed";
  if (style.display === "none" || style.visibility !== "visible" || Number(style.opacity) < 0.5) return "it is hidden";
  if (box.width < 40 || box.height < 10) return "it is too small";
  if (box.right > innerWidth || box.bottom > innerHeight || box.left < 0 || box.top < 0) return "it is outside of the window";
  const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  if (!banner.contains(top)) return "it is covered";
  if (document.visibilityState !== "visible") return "the page is hidden";
  return "";
};

const bannerOf = (screen) => {
  const banner = element("div", { class: "banner", role: "status" }, icon("radio_button_checked"), say("REC This call is being recorded"));
  screen.append(banner);
  const timer = setInterval(() => {
    if (!screen.isConnected) {
      clearInterval(timer);
      return;
    }
    const why = seen(banner);
    if (why !== "") report({ banner_hidden: why });
  }, LOOKS_AT_BANNER_MS);
};

export const update = (view) => {
  call.view = view;
  const there = view.tiles.map(({ device }) => device).join();
  if (call.there !== there) {
    call.there = there;
    call.tiles.replaceChildren(...view.tiles.map(tile));
  }
  call.lines?.replaceChildren(...view.lines.map(line));
  // A message that arrives while the chat is closed is shown in the page.
  const last = view.lines.at(-1);
  if (view.lines.length > call.shownLines && !call.lines) {
    call.toast?.remove();
    call.toast = element("div", { class: "toast", role: "status" }, element("span", {}, last[0]), element("h2", {}, last[1]));
    call.screen.append(call.toast);
  }
  call.shownLines = view.lines.length;
  call.list?.replaceChildren(
    ...view.tiles.map(({ device, name }) => element("div", { role: "listitem", "data-participant-id": device, "aria-label": name }, element("span", {}, name))),
  );
};

// The question for hosts: only one of the two answers continues the meeting for others.
const askToLeave = (event) => {
  if (!event.isTrusted) return;
  if (!call.view.decoys.leaveAsks) {
    report("leave");
    return;
  }
  const leave = (press) => press.isTrusted && report("leave");
  const end = () => report({ decoy: "End the call" });
  const dialog = element("div", { class: "dialog", role: "dialog", "aria-modal": "true", "aria-label": say("Leave or end the call?") });
  dialog.append(...button("End the call", { press: end }), ...button("Just leave the call", { press: leave }));
  call.screen.append(dialog);
};

export const callScreen = (view) => {
  const screen = element("div");
  call = { shownLines: view.lines.length, view, screen, tiles: element("div", { class: "tiles" }), there: undefined };
  const toolbar = element("div", { class: "toolbar", role: "region", "aria-label": say("Call controls") });
  toolbar.append(
    ...deviceButtons(),
    ...captionsButton(),
    ...button("Raise hand", { sign: "back_hand" }),
    ...button("More options", { sign: "more_vert", attributes: { jsname: "NakZHc" } }),
    ...button("Leave call", {
      sign: "call_end",
      ghost: true,
      attributes: { jsname: "CQylAd" },
      press: askToLeave,
    }),
    ...button("Meeting details", { sign: "info" }),
    peopleButton(),
    ...(view.chat === "absent" ? [] : button("Chat with everyone", { sign: "chat", press: toggle("chat"), ghost: true })),
  );
  screen.append(call.tiles, toolbar);
  if (view.screen === "reconnecting") screen.append(element("div", { class: "bubble", role: "alert" }, say(view.text)));
  if (view.decoys.toolbarHides) hiding(toolbar);
  // After the buttons are in the page.
  if (view.decoys.devicesOnAgain) queueMicrotask(turnOnAgain);
  if (view.banner) bannerOf(screen);
  update(view);
  return screen;
};
