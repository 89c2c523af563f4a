// Microphone and camera, and the buttons that turn them off and on.

import { button, element, labelled, report, say } from "./dom.js";

export const devices = { on: { microphone: false, camera: false }, stream: undefined };

const shown = new Set();
const waiting = [];

export const onStream = (take) => (devices.stream ? take(devices.stream) : waiting.push(take));

const setDevice = (kind, on) => {
  devices.on[kind] = on;
  for (const track of devices.stream?.getTracks() ?? []) {
    if ((track.kind === "audio") === (kind === "microphone")) track.enabled = on;
  }
  for (const refresh of shown) refresh();
  report({ devices: { ...devices.on } });
};

export const turnOnAgain = () => {
  setDevice("microphone", devices.stream !== undefined);
  setDevice("camera", devices.stream !== undefined);
};

const deviceButton = (kind, signs) => {
  const parts = button(`Turn off ${kind}`, { sign: signs[0], press: () => setDevice(kind, !devices.on[kind]), ghost: true });
  const pressed = parts.find((part) => part.tagName === "BUTTON" && !part.classList.contains("ghost"));
  const refresh = () => {
    if (!pressed.isConnected && pressed.dataset.isMuted !== undefined) {
      shown.delete(refresh);
      return;
    }
    const on = devices.on[kind];
    const label = say(`Turn ${on ? "off" : "on"} ${kind}`);
    pressed.dataset.isMuted = `${!on}`;
    pressed.querySelector("i").textContent = signs[on ? 0 : 1];
    if (labelled()) pressed.setAttribute("aria-label", label);
    else parts.find((part) => part.role === "tooltip").textContent = label;
  };
  refresh();
  shown.add(refresh);
  return parts;
};

export const deviceButtons = () => [
  ...deviceButton("microphone", ["mic", "mic_off"]),
  ...deviceButton("camera", ["videocam", "videocam_off"]),
];

// Meet's notice if there is no device. It covers the button to join.
const notFound = (screen, what) => {
  const scrim = element("div", { class: "scrim" });
  const bubble = element("div", { class: "bubble", role: "dialog", "aria-label": say(`${what} not found`) });
  const close = () => {
    scrim.remove();
    bubble.remove();
  };
  bubble.append(
    element("h2", {}, say(`${what} not found`)),
    element("p", {}, say(`Make sure your ${what.toLowerCase()} is plugged in`)),
    ...button("Dismiss", { press: close }),
  );
  screen.append(scrim, bubble);
};

const ask = async (screen) => {
  try {
    devices.stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
    for (const take of waiting.splice(0)) take(devices.stream);
    setDevice("microphone", true);
    setDevice("camera", true);
  } catch (error) {
    if (error.name !== "NotFoundError") return;
    notFound(screen, "Microphone");
    notFound(screen, "Camera");
  }
};

let started = false;

export const startDevices = (view, screen) => {
  if (started) return;
  started = true;
  if (!view.deviceDialog) {
    ask(screen);
    return;
  }
  const scrim = element("div", { class: "scrim" });
  const dialog = element("div", { class: "dialog", role: "dialog", "aria-modal": "true" });
  const close = () => {
    scrim.remove();
    dialog.remove();
  };
  const answer = (use) => () => {
    close();
    if (use) ask(screen);
  };
  dialog.append(
    element("h2", {}, say("Do you want people to hear and see you in the meeting?")),
    ...button("Use microphone and camera", { press: answer(true) }),
    ...button("Continue without microphone and camera", { press: answer(false) }),
  );
  screen.append(scrim, dialog);
};
