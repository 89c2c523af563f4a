// The screens before and after the meeting.

import { button, element, icon, labelled, misleading, report, say } from "./dom.js";
import { devices, deviceButtons, onStream, startDevices } from "./devices.js";

const homeButton = () => button("Return to home screen", { press: () => location.assign("/landing") });

const livePicture = () => {
  const video = element("video", { class: "preview" });
  video.autoplay = video.muted = true;
  // The stream is shown once it is available.
  onStream((stream) => (video.srcObject = stream));
  return video;
};

const callControls = () => [
  livePicture(),
  element(
    "div",
    { class: "tile", "data-participant-id": "spaces/lobby/devices/0" },
    ...misleading("Backgrounds and effects", "visual_effects"),
  ),
  ...misleading("Send a reaction", "mood"),
  ...misleading("Leave call", "call_end"),
];

const captchaFrame = (attributes) =>
  element("iframe", { title: "reCAPTCHA", src: "/recaptcha/enterprise/anchor?ar=1&k=imitation", ...attributes });

export const invisibleCaptcha = () => captchaFrame({ class: "invisible", tabindex: "-1" });

let typed = "";

const nameField = (changed) => {
  const input = element("input", { type: "text", id: "c11", maxlength: "60", autocomplete: "off", spellcheck: "false" });
  if (labelled()) input.setAttribute("aria-label", say("Your name"));
  input.addEventListener("input", (event) => {
    if (!event.isTrusted) {
      report("untrusted_name");
      return;
    }
    typed = input.value.trim();
    changed();
  });
  return labelled() ? input : element("div", {}, element("label", { for: "c11" }, say("Your name")), input);
};

const overlay = () => {
  const scrim = element("div", { class: "scrim" });
  const bubble = element("div", { class: "bubble", role: "dialog", "aria-label": say("Tip") });
  const close = () => {
    scrim.remove();
    bubble.remove();
  };
  bubble.append(say("You can now look sharp in low light"), ...button("Got it", { press: close }));
  return [scrim, bubble];
};

const preJoin = (view) => {
  typed = "";
  const screen = element("div", {}, element("div", { class: "preview" }), element("h1", {}, say(view.text)));
  const join = button(view.joinButton, {
    ghost: true,
    press: (event) => {
      report({
        knock: { name: view.account ? null : typed, devices: { ...devices.on }, trusted: event.isTrusted },
      });
    },
  });
  const pressed = join.find((part) => part.tagName === "BUTTON" && !part.classList.contains("ghost"));
  const enable = () => (pressed.disabled = !view.account && typed === "");
  screen.append(...deviceButtons());
  if (view.decoys.callControlsInLobby) screen.append(...callControls());
  if (view.account) screen.append(element("p", {}, view.account), ...misleading("Switch account"));
  else screen.append(element("p", {}, say("What's your name?")), nameField(enable));
  if (view.decoys.secondButton) screen.append(element("div", {}, ...misleading("Other ways to join")));
  screen.append(element("div", {}, ...join));
  enable();
  if (view.decoys.overlay) screen.append(...overlay());
  startDevices(view, screen);
  return screen;
};

const waiting = (view, more) => {
  const screen = element("div", {}, element("div", { class: "preview" }), element("h1", {}, say(view.text)), ...deviceButtons());
  if (more) screen.append(element("p", {}, say(more)));
  if (view.decoys.callControlsInLobby) screen.append(...callControls());
  screen.append(...homeButton());
  return screen;
};

// A page with a heading; its "Return to home screen" is on several screens, and does not identify one.
const notice = (view, ...more) =>
  element("div", {}, element("h1", {}, say(view.text)), ...more, ...homeButton(), ...button("Submit feedback"));

const blocked = (view) => {
  let left = 60;
  const count = element("p", {}, `${left}`);
  const timer = setInterval(() => {
    left -= 1;
    count.textContent = `${left}`;
    if (left === 0) {
      clearInterval(timer);
      location.assign("/landing");
    }
  }, 1000);
  return notice(view, element("p", {}, say("Returning to home screen")), count);
};

const signInHost = () => {
  location.assign(`https://accounts.google.com/v3/signin/identifier?continue=${encodeURIComponent(location.href)}`);
  return element("div");
};

const dead = () => {
  document.body.classList.add("dead");
  setTimeout(() => {
    throw new Error("DisconnectedError: EndCause = 72");
  });
  return element("div", { hidden: true });
};

const wrongCode = (view) => {
  history.replaceState(null, "", "/landing");
  return notice(view);
};

const left = (view) => notice(view, ...button("Rejoin", { press: () => location.reload() }));

const screens = {
  pre_join: preJoin,
  wrong_code: wrongCode,
  sign_in_host: signInHost,
  sign_in: (view) =>
    element("div", {}, element("h1", {}, say(view.text)), element("p", {}, say("to continue with your Google Account")), ...button("Next")),
  waiting_room: waiting,
  host_absent: (view) => waiting(view, "You can join once the host is here"),
  denied: (view) => notice(view),
  unanswered: (view) => notice(view),
  blocked,
  trouble: (view) => notice(view, ...button("Try again", { press: () => location.reload() })),
  captcha: (view) => element("div", {}, element("h1", {}, say(view.text)), captchaFrame({ class: "captcha" })),
  removed: left,
  ended: (view) => notice(view),
  left,
  full: (view) => notice(view),
  dead,
  unknown: (view) => notice(view, element("p", {}, say("Nobody has seen this page before")), ...button("Continue")),
  home: (view) => element("div", {}, icon("video_call"), element("h1", {}, say(view.text)), ...button("New meeting"), ...button("Join")),
};

export const screenOf = (view) => screens[view.screen](view);
