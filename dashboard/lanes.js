// Lanes on one time axis, drawn on a canvas: an hour with twenty people is thousands of bars. Beside each lane stands its name, with what can be done there.

/** @import { Lane, Timeline, Tone } from "./timeline.js" */

import { fill, h, keyed, say } from "./dom.js";
import { clock } from "./format.js";
import { columns, height, loudest, UNKNOWN } from "./levels.js";

const LANE = 30;
const AXIS = 24;
/** How wide a label of the axis is at most. */
const LABEL = 60;
/** The radius of a mark, with its border. */
const MARK = 5.5;
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
  #line = h("div", { class: "lane-head", hidden: true });
  /** @type {Timeline} */
  #timeline = { from: 0, to: 1000, lanes: [] };
  /** The visible part; `null`: all. @type {{from: number, to: number} | null} */
  #view = null;
  /** Where the player is, in ms. @type {number | null} */
  #head = null;
  /** What the canvas shows: how many ms are a pixel, and its first pixel, counted from 0 ms on; `null`: what has changed since. @type {{pixel: number, first: number} | null} */
  #painted = null;
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
    fill(this, tools, h("div", { class: "lanes" }, this.#names, h("div", { class: "lane-canvas" }, this.#canvas, this.#line, this.#tip)));
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#change(), { signal });
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
    this.#change();
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
      ...(this.seeks && {
        ArrowLeft: () => this.#seek(head - 5000),
        ArrowRight: () => this.#seek(head + 5000),
        PageUp: () => this.#seek(head - 60_000),
        PageDown: () => this.#seek(head + 60_000),
        Home: () => this.#seek(0),
        End: () => this.#seek(this.#timeline.to),
      }),
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

  /** Draws all anew. */
  #change() {
    this.#painted = null;
    this.#draw();
  }

  #draw() {
    this.#drawn ||= requestAnimationFrame(() => {
      this.#drawn = 0;
      if (this.isConnected) this.#paint();
    });
  }

  /** Draws what has come into sight, and moves what was in sight before. */
  #paint() {
    const canvas = this.#canvas;
    if (canvas.clientWidth === 0) return;
    const width = Math.round(canvas.clientWidth * devicePixelRatio);
    const height = Math.round(canvas.clientHeight * devicePixelRatio);
    if (canvas.width !== width || canvas.height !== height) {
      Object.assign(canvas, { width, height });
      this.#painted = null;
    }
    const { from, to } = this.#seen();
    const before = this.#painted;
    const exact = (to - from) / width;
    // The same time is as long as before but for what floating point loses.
    const pixel = before && Math.abs(exact / before.pixel - 1) < 1e-9 ? before.pixel : exact;
    const first = Math.round(from / pixel);
    this.#painted = { pixel, first };
    const moved = before?.pixel === pixel ? first - before.first : width;
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    if (Math.abs(moved) >= width) this.#part(pen, 0, width, height);
    else if (moved !== 0) {
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.globalCompositeOperation = "copy";
      pen.drawImage(canvas, -moved, 0);
      pen.globalCompositeOperation = "source-over";
      if (moved > 0) this.#part(pen, width - moved, width, height);
      else this.#part(pen, 0, -moved, height);
      // The words of a status stay in sight while it moves.
      this.#part(pen, 0, width, Math.floor((AXIS + LANE) * devicePixelRatio), Math.ceil(AXIS * devicePixelRatio));
    }
    const at = ((this.#head ?? 0) / pixel - first) / devicePixelRatio;
    this.#line.hidden = this.#head === null || !this.seeks || at < 0 || at > canvas.clientWidth;
    this.#line.style.translate = `${Math.round(at) - 1}px 0`;
  }

  /** Draws a part of the canvas, in its pixels. @param {CanvasRenderingContext2D} pen @param {number} left @param {number} right @param {number} bottom @param {number} [top] */
  #part(pen, left, right, bottom, top = 0) {
    const { pixel, first } = this.#painted ?? { pixel: 1, first: 0 };
    const scale = devicePixelRatio;
    const width = this.#canvas.clientWidth;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const style = getComputedStyle(this);
    const color = remembered((name) => style.getPropertyValue(name));
    const x = (/** @type {number} */ ms) => (ms / pixel - first) / scale;
    const whole = (/** @type {number} */ ms) => (Math.round(ms / pixel) - first) / scale;
    /** A bar or mark is seen that touches this time. */
    const [from, to] = [(first + left) * pixel, (first + right) * pixel];
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.save();
    pen.beginPath();
    pen.rect(left / scale, top / scale, (right - left) / scale, (bottom - top) / scale);
    pen.clip();
    pen.clearRect(left / scale, top / scale, (right - left) / scale, (bottom - top) / scale);
    pen.font = `11px ${style.fontFamily}`;
    pen.textBaseline = "middle";
    const margin = (/** @type {number} */ wide) => wide * scale * pixel;
    const [begin, end] = [x(this.#timeline.from) + MARK, x(this.#timeline.to) - MARK];
    const step = STEPS.find((step) => step >= margin(70)) ?? 28_800_000;
    for (let ms = Math.ceil((from - margin(LABEL)) / step) * step; ms <= to; ms += step) {
      pen.fillStyle = color("--canvas-line");
      pen.fillRect(whole(ms), AXIS - 4, 1, bottom);
      pen.fillStyle = color("--canvas-soft");
      // Behind the end nothing comes into sight any more.
      if (whole(ms) < end - LABEL / 2) pen.fillText(clock(ms), whole(ms) + 4, AXIS / 2);
    }
    this.#timeline.lanes.forEach((lane, index) => {
      const y = AXIS + index * LANE;
      if (y * scale >= bottom || (y + LANE) * scale <= top) return;
      if (index % 2 === 0) {
        pen.fillStyle = color("--canvas-band");
        pen.fillRect(left / scale, y, (right - left) / scale, LANE);
      }
      for (const bar of lane.bars) {
        if (bar.to < from - margin(2) || bar.from > to) continue;
        const start = Math.max(x(bar.from), -10);
        const wide = Math.max(Math.min(x(bar.to), width + 10) - start, 1.5);
        const [high, offset] = bar.thin ? [4, LANE / 2 - 2] : [LANE - 12, 6];
        pen.fillStyle = paint(bar.tone, lane.hue, dark, color, bar.thin);
        if (wide < 3) {
          // Of an hour there are thousands as narrow as this.
          pen.fillRect(start, y + offset, wide, high);
          continue;
        }
        pen.beginPath();
        pen.roundRect(start, y + offset, wide, high, Math.min(bar.thin ? 2 : 4, wide / 2));
        pen.fill();
        if (lane.id === "status" && wide > 40) {
          pen.save();
          pen.clip();
          pen.fillStyle = color(bar.tone === "pause" || bar.tone === "calm" ? "--canvas-text" : "--canvas-on");
          pen.fillText(bar.text, Math.max(start, 0) + 6, y + LANE / 2 + 1);
          pen.restore();
        }
      }
      if (lane.levels && lane.levels.length > 0) {
        // Columns are counted from 0 ms on: they stay what they are while the lanes move.
        const wide = Math.round(COLUMN * scale);
        const [one, last] = [Math.floor((first + left) / wide), Math.ceil((first + right) / wide)];
        pen.fillStyle = paint("voice", lane.hue, dark, color, false);
        for (const track of lane.levels) sound(pen, columns(track, one * wide * pixel, last * wide * pixel, last - one), (one * wide - first) / scale, wide / scale, y + LANE / 2);
      }
      for (const mark of lane.marks) {
        if (mark.at < from - margin(2 * MARK) || mark.at > to + margin(2 * MARK)) continue;
        pen.fillStyle = paint(mark.tone, lane.hue, dark, color, false);
        pen.beginPath();
        pen.arc(Math.min(Math.max(x(mark.at), begin), end), y + LANE / 2, MARK - 1, 0, 7);
        pen.fill();
        pen.strokeStyle = color("--canvas-back");
        pen.lineWidth = 1.5;
        pen.stroke();
      }
    });
    pen.restore();
  }
}
customElements.define("time-lanes", TimeLanes);

/** Draws how loud it is, around a middle line; equal columns beside each other as one. @param {CanvasRenderingContext2D} pen @param {Uint8Array} levels @param {number} left @param {number} wide @param {number} middle */
function sound(pen, levels, left, wide, middle) {
  for (let begin = 0, end = 0; begin < levels.length; begin = end) {
    const high = Math.round(height(levels[begin] ?? UNKNOWN) * HIGHEST);
    for (end = begin + 1; end < levels.length && levels[end] === levels[begin]; ) end += 1;
    if (high > 0) pen.fillRect(left + begin * wide, middle - high / 2, (end - begin) * wide, high);
  }
}

/** @param {(name: string) => string} find */
function remembered(find) {
  /** @type {Map<string, string>} */
  const found = new Map();
  return (/** @type {string} */ name) => {
    const value = found.get(name) ?? find(name);
    found.set(name, value);
    return value;
  };
}

/** @param {Tone} tone @param {number} hue @param {boolean} dark @param {(name: string) => string} color @param {boolean} [thin] */
function paint(tone, hue, dark, color, thin) {
  if (tone === "voice") return `hsl(${hue} ${dark ? "62% 62%" : "58% 50%"})`;
  if (tone === "speech" || (tone === "calm" && thin && hue !== 0)) return `hsl(${hue} ${dark ? "30% 34%" : "45% 84%"})`;
  return color(`--canvas-${tone}`);
}
