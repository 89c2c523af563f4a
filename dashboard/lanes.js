// Lanes on one time axis, drawn on a canvas: an hour with twenty people is thousands of bars. Beside each lane stands its name, with what can be done there.

/** @import { Lane, Timeline, Tone } from "./timeline.js" */

import { fill, h, keyed, say } from "./dom.js";
import { clock } from "./format.js";
import { columns, height, loudest, UNKNOWN } from "./levels.js";

const LANE = 30;
const AXIS = 24;
/** How wide a column of loudness is, and how high at most. */
const COLUMN = 2;
const HIGHEST = LANE - 8;
/** The shortest part of the axis that fills the width, in ms. */
const SHORTEST = 2000;
/** Colours of the sheet, registered so that a canvas gets them as colours of the scheme that is shown. */
const COLORS = ["back", "band", "line", "soft", "text", "on", "head", "calm", "busy", "good", "bad", "gap", "pause"];
for (const name of COLORS) CSS.registerProperty({ name: `--canvas-${name}`, syntax: "<color>", inherits: true, initialValue: "gray" });

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400].map((seconds) => seconds * 1000);

export class TimeLanes extends HTMLElement {
  #canvas = h("canvas", { role: "img", tabindex: 0, "aria-label": "Timeline" });
  #names = h("div", { class: "lane-names" });
  #tip = h("div", { class: "tip", hidden: true });
  /** @type {Timeline} */
  #timeline = { from: 0, to: 1000, lanes: [] };
  /** What is seen of it; `null`: all. @type {{from: number, to: number} | null} */
  #view = null;
  /** Where the player is, in ms. @type {number | null} */
  #head = null;
  #drawn = 0;
  #end = new AbortController();
  /** @type {(lane: Lane) => HTMLElement | null} */
  #controls = () => null;
  #seeks = false;

  /** Whether a click leads there: then it is a control, before that a picture. */
  get seeks() {
    return this.#seeks;
  }

  set seeks(seeks) {
    this.#seeks = seeks;
    const canvas = this.#canvas;
    canvas.setAttribute("role", seeks ? "slider" : "img");
    canvas.setAttribute("aria-label", seeks ? "Time" : "Timeline");
    for (const name of ["aria-valuemin", "aria-valuemax", "aria-valuenow"]) {
      if (seeks) canvas.setAttribute(name, "0");
      else canvas.removeAttribute(name);
    }
  }

  connectedCallback() {
    this.#end = new AbortController();
    const { signal } = this.#end;
    const zoom = (/** @type {number} */ factor) => () => this.#zoom(factor, this.#head ?? this.#middle());
    const tools = h(
      "div",
      { class: "row lane-tools" },
      h("span", { class: "grow" }),
      h("button", { type: "button", class: "quiet", "aria-label": "Zoom out", onclick: zoom(2) }, "−"),
      h("button", { type: "button", class: "quiet", "aria-label": "Zoom in", onclick: zoom(0.5) }, "+"),
      h("button", { type: "button", class: "quiet", onclick: () => this.#look(null) }, "All"),
    );
    fill(this, tools, h("div", { class: "lanes" }, this.#names, h("div", { class: "lane-canvas" }, this.#canvas, this.#tip)));
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw(), { signal });
    this.#canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false, signal });
    this.#canvas.addEventListener("pointerdown", (event) => this.#press(event), { signal });
    this.#canvas.addEventListener("pointermove", (event) => this.#hover(event), { signal });
    this.#canvas.addEventListener("pointerleave", () => (this.#tip.hidden = true), { signal });
    this.#canvas.addEventListener("keydown", (event) => this.#key(event), { signal });
  }

  disconnectedCallback() {
    this.#end.abort();
  }

  /** Sets what makes the controls beside a lane's name. @param {(lane: Lane) => HTMLElement | null} controls */
  setControls(controls) {
    this.#controls = controls;
    fill(this.#names);
  }

  /** @param {Timeline} timeline */
  show(timeline) {
    this.#timeline = timeline;
    keyed(
      this.#names,
      timeline.lanes,
      (lane) => lane.id,
      (lane) => h("div", { class: "lane-name" }, h("span", { class: "name" }), this.#controls(lane)),
      (element, lane) => {
        const name = /** @type {HTMLElement} */ (element.firstElementChild);
        say(name, lane.name);
        name.title = lane.note ? `${lane.name} (${lane.note})` : lane.name;
      },
    );
    this.#canvas.style.height = `${AXIS + timeline.lanes.length * LANE}px`;
    this.#canvas.setAttribute(this.#seeks ? "aria-valuemax" : "data-seconds", String(Math.round(timeline.to / 1000)));
    this.#draw();
  }

  /** Moves the line that shows where the player is. @param {number | null} ms */
  at(ms) {
    this.#head = ms;
    if (ms !== null && this.#seeks) {
      const seconds = Math.max(0, Math.round(ms / 1000));
      this.#canvas.setAttribute("aria-valuenow", String(seconds));
      this.#canvas.setAttribute("aria-valuetext", clock(ms));
      const view = this.#view;
      if (view && (ms < view.from || ms > view.to)) {
        const span = view.to - view.from;
        this.#view = { from: ms - span * 0.1, to: ms + span * 0.9 };
      }
    }
    this.#draw();
  }

  #seen() {
    return this.#view ?? this.#timeline;
  }

  #middle() {
    const { from, to } = this.#seen();
    return (from + to) / 2;
  }

  /** @param {{from: number, to: number} | null} view */
  #look(view) {
    const { from, to } = this.#timeline;
    if (view) {
      const span = Math.max(SHORTEST, view.to - view.from);
      if (span >= to - from) view = null;
      else {
        const begin = Math.min(Math.max(view.from, from), to - span);
        view = { from: begin, to: begin + span };
      }
    }
    this.#view = view;
    this.#draw();
  }

  /** @param {number} factor @param {number} around */
  #zoom(factor, around) {
    const { from, to } = this.#seen();
    this.#look({ from: around - (around - from) * factor, to: around + (to - around) * factor });
  }

  /** @param {MouseEvent} event */
  #time(event) {
    const { from, to } = this.#seen();
    return from + (event.offsetX / this.#canvas.clientWidth) * (to - from);
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    const { from, to } = this.#seen();
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.#zoom(Math.exp(event.deltaY / 300), this.#time(event));
      return;
    }
    const by = event.shiftKey ? event.deltaY : event.deltaX;
    if (by === 0 || this.#view === null) return;
    event.preventDefault();
    const move = (by / this.#canvas.clientWidth) * (to - from);
    this.#look({ from: from + move, to: to + move });
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (this.seeks && event.button === 0) this.#seek(this.#time(event));
  }

  /** @param {number} ms */
  #seek(ms) {
    this.dispatchEvent(new CustomEvent("seek", { detail: Math.min(Math.max(ms, 0), this.#timeline.to), bubbles: true }));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const head = this.#head ?? 0;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.#seek(head - 5000),
      ArrowRight: () => this.#seek(head + 5000),
      PageUp: () => this.#seek(head - 60_000),
      PageDown: () => this.#seek(head + 60_000),
      Home: () => this.#seek(0),
      End: () => this.#seek(this.#timeline.to),
      "+": () => this.#zoom(0.5, head),
      "-": () => this.#zoom(2, head),
      "0": () => this.#look(null),
    };
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    act();
  }

  /** @param {PointerEvent} event */
  #hover(event) {
    const lane = this.#timeline.lanes[Math.floor((event.offsetY - AXIS) / LANE)];
    const { from, to } = this.#seen();
    const ms = this.#time(event);
    const near = ((to - from) / this.#canvas.clientWidth) * 6;
    const mark = lane?.marks.findLast((mark) => Math.abs(mark.at - ms) <= near);
    const bar = lane?.bars.findLast((bar) => bar.from <= ms && ms <= bar.to);
    const level = lane?.levels && bar?.tone === "speech" ? loudest(lane.levels, ms, ms + 1) : UNKNOWN;
    const text = mark?.text ?? (level < UNKNOWN ? `${bar?.text}, −${level} dBov` : bar?.text) ?? "";
    this.#tip.hidden = false;
    say(this.#tip, text ? `${clock(ms)}  ${text}` : clock(ms));
    const left = Math.min(event.offsetX + 12, this.#canvas.clientWidth - this.#tip.offsetWidth - 4);
    this.#tip.style.translate = `${Math.max(0, left)}px ${event.offsetY + 14}px`;
  }

  #draw() {
    this.#drawn ||= requestAnimationFrame(() => {
      this.#drawn = 0;
      if (this.isConnected) this.#paint();
    });
  }

  #paint() {
    const canvas = this.#canvas;
    const [width, height, scale] = [canvas.clientWidth, canvas.clientHeight, devicePixelRatio];
    if (width === 0) return;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const colors = getComputedStyle(this);
    const color = (/** @type {string} */ name) => colors.getPropertyValue(name);
    const { from, to } = this.#seen();
    const x = (/** @type {number} */ ms) => ((ms - from) / (to - from)) * width;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `11px ${colors.fontFamily}`;

    const step = STEPS.find((step) => x(from + step) >= 70) ?? 28_800_000;
    pen.textBaseline = "middle";
    for (let ms = Math.ceil(from / step) * step; ms <= to; ms += step) {
      pen.fillStyle = color("--canvas-line");
      pen.fillRect(Math.round(x(ms)), AXIS - 4, 1, height);
      pen.fillStyle = color("--canvas-soft");
      if (x(ms) < width - 30) pen.fillText(clock(ms), Math.round(x(ms)) + 4, AXIS / 2);
    }
    this.#timeline.lanes.forEach((lane, index) => {
      const top = AXIS + index * LANE;
      if (index % 2 === 0) {
        pen.fillStyle = color("--canvas-band");
        pen.fillRect(0, top, width, LANE);
      }
      for (const bar of lane.bars) {
        if (bar.to < from || bar.from > to) continue;
        const left = Math.max(x(bar.from), -10);
        const wide = Math.max(Math.min(x(bar.to), width + 10) - left, 1.5);
        const [high, offset] = bar.thin ? [4, LANE / 2 - 2] : [LANE - 12, 6];
        pen.fillStyle = paint(bar.tone, lane.hue, dark, color, bar.thin);
        if (wide < 3) {
          // Of an hour there are thousands as narrow as this.
          pen.fillRect(left, top + offset, wide, high);
          continue;
        }
        pen.beginPath();
        pen.roundRect(left, top + offset, wide, high, Math.min(bar.thin ? 2 : 4, wide / 2));
        pen.fill();
        if (lane.id === "status" && wide > 40) {
          pen.save();
          pen.clip();
          pen.fillStyle = color(bar.tone === "pause" || bar.tone === "calm" ? "--canvas-text" : "--canvas-on");
          pen.fillText(bar.text, Math.max(left, 0) + 6, top + LANE / 2 + 1);
          pen.restore();
        }
      }
      if (lane.levels && lane.levels.length > 0) {
        pen.fillStyle = paint("voice", lane.hue, dark, color, false);
        for (const track of lane.levels) sound(pen, columns(track, from, to, Math.ceil(width / COLUMN)), width, top + LANE / 2);
      }
      for (const mark of lane.marks) {
        if (mark.at < from || mark.at > to) continue;
        pen.fillStyle = paint(mark.tone, lane.hue, dark, color, false);
        pen.beginPath();
        pen.arc(Math.min(Math.max(x(mark.at), 5), width - 5), top + LANE / 2, 4.5, 0, 7);
        pen.fill();
        pen.strokeStyle = color("--canvas-back");
        pen.lineWidth = 1.5;
        pen.stroke();
      }
    });
    if (this.#head !== null && this.seeks) {
      const at = Math.round(x(this.#head));
      pen.fillStyle = color("--canvas-head");
      pen.fillRect(at - 1, 0, 2, height);
      pen.beginPath();
      pen.moveTo(at - 6, 0);
      pen.lineTo(at + 6, 0);
      pen.lineTo(at, 8);
      pen.fill();
    }
  }
}
customElements.define("time-lanes", TimeLanes);

/** Draws how loud it is, around a middle line; equal columns beside each other as one. @param {CanvasRenderingContext2D} pen @param {Uint8Array} levels @param {number} width @param {number} middle */
function sound(pen, levels, width, middle) {
  const wide = width / levels.length;
  for (let begin = 0, end = 0; begin < levels.length; begin = end) {
    const high = Math.round(height(levels[begin] ?? UNKNOWN) * HIGHEST);
    for (end = begin + 1; end < levels.length && levels[end] === levels[begin]; ) end += 1;
    if (high > 0) pen.fillRect(begin * wide, middle - high / 2, (end - begin) * wide, high);
  }
}

/** @param {Tone} tone @param {number} hue @param {boolean} dark @param {(name: string) => string} color @param {boolean} [thin] */
function paint(tone, hue, dark, color, thin) {
  if (tone === "voice") return `hsl(${hue} ${dark ? "62% 62%" : "58% 50%"})`;
  if (tone === "speech" || (tone === "calm" && thin && hue !== 0)) return `hsl(${hue} ${dark ? "30% 34%" : "45% 84%"})`;
  return color(`--canvas-${tone}`);
}
