// Plays all tracks of a recording in step. The clock is the recording's: each track runs after it, a little faster or slower where it is off.

/** @import { Manifest, Track } from "../sdks/typescript/src/models.js" */

import { artifact } from "./api.js";
import { announce, fill, h, say } from "./dom.js";
import { clock } from "./format.js";

/** With more voices than this the mix plays, and a voice by itself only where it is asked for. */
const MOST_VOICES = 8;
/** A track that is off by less, in ms, is left alone; by more than the second it is set right at once. */
const NOTICED = 40;
const TOO_FAR = 250;
/** How often the tracks are compared with the clock, in ms. */
const LOOK = 100;
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2, 3];

/** One file, as it plays. @typedef {{startMs: number, durationMs: number, who: string, media: HTMLMediaElement}} Playing */

export class RecordingPlayer extends HTMLElement {
  /** @type {Playing[]} */
  #tracks = [];
  /** @type {Playing | null} */
  #mix = null;
  #muted = new Set();
  #alone = new Set();
  #rate = 1;
  #playing = false;
  /** Whether the clock stands until the files have come. */
  #waits = false;
  /** Where the clock was, in ms of the recording, and when. */
  #base = { ms: 0, at: 0 };
  /** Where the clock was when it was shown last. */
  #shown = -1;
  #end = new AbortController();
  #button = h("button", { type: "button", class: "main round", "aria-label": "Play", onclick: () => this.toggle() }, "▶");
  #time = h("output", { class: "time" });
  #range = h("input", { type: "range", min: 0, step: 100, "aria-label": "Position" });
  #pictures = h("div", { class: "pictures" });
  #job;
  #manifest;

  /** @param {string} job @param {Manifest} manifest */
  constructor(job, manifest) {
    super();
    this.#job = job;
    this.#manifest = manifest;
  }

  connectedCallback() {
    this.#end = new AbortController();
    const { tracks, durationMs } = this.#manifest;
    this.#range.max = String(durationMs);
    this.#range.addEventListener("input", () => this.seek(Number(this.#range.value)));
    const speed = h("select", { "aria-label": "Speed", onchange: () => this.#speed(Number(speed.value)) }, ...SPEEDS.map((rate) => h("option", { value: rate, selected: rate === 1 }, `${rate}×`)));
    const skip = (/** @type {number} */ seconds) => h("button", { type: "button", class: "quiet", "aria-label": `${seconds > 0 ? "Forward" : "Back"} ${Math.abs(seconds)} seconds`, onclick: () => this.seek(this.ms + seconds * 1000) }, `${seconds > 0 ? "+" : "−"}${Math.abs(seconds)}`);
    const link = h("button", { type: "button", class: "quiet", onclick: () => this.#link() }, "Link to this second");
    fill(this, this.#pictures, h("div", { class: "row player" }, skip(-10), this.#button, skip(10), this.#time, this.#range, speed, link));
    const voices = new Set(tracks.filter((track) => track.kind === "audio").map((track) => track.participantId));
    if (voices.size > MOST_VOICES && this.#manifest.mixed.file) {
      this.#mix = this.#begin("audio", { file: this.#manifest.mixed.file, startMs: 0, durationMs, participantId: null });
    }
    for (const track of tracks) {
      if (track.kind === "video") this.#begin("video", track);
      else if (!this.#mix) this.#begin("audio", track);
    }
    this.#show();
    const timer = setInterval(() => this.#look(), LOOK);
    this.#end.signal.addEventListener("abort", () => clearInterval(timer));
  }

  disconnectedCallback() {
    this.#playing = false;
    this.#end.abort();
    for (const { media } of this.#all()) {
      media.pause();
      media.removeAttribute("src");
      media.load();
    }
    this.#tracks = [];
    this.#mix = null;
  }

  /** Where the clock is, in ms of the recording. */
  get ms() {
    const { ms, at } = this.#base;
    const passed = this.#playing && !this.#waits ? (performance.now() - at) * this.#rate : 0;
    return Math.min(ms + passed, this.#manifest.durationMs);
  }

  get playing() {
    return this.#playing;
  }

  /** By how many ms each track that plays is off. @returns {number[]} */
  get offsets() {
    const ms = this.ms;
    const playing = this.#all().filter(({ media }) => !media.paused && !media.muted);
    return playing.map(({ media, startMs }) => media.currentTime * 1000 + startMs - ms);
  }

  /** @param {number} ms */
  seek(ms) {
    this.#base = { ms: Math.min(Math.max(ms, 0), this.#manifest.durationMs), at: performance.now() };
    this.#look();
    this.#show();
  }

  toggle() {
    const ms = this.ms;
    // At the end it begins anew.
    const from = !this.#playing && ms >= this.#manifest.durationMs ? 0 : ms;
    this.#playing = !this.#playing;
    this.seek(from);
  }

  /** Whether somebody is heard. @param {string} who */
  hears(who) {
    return this.#alone.size > 0 ? this.#alone.has(who) : !this.#muted.has(who);
  }

  /** @param {string} who */
  mute(who) {
    toggle(this.#muted, who);
    this.#volumes();
  }

  /** Only those are heard who are alone, until nobody is. @param {string} who */
  solo(who) {
    toggle(this.#alone, who);
    const loaded = this.#tracks.some((track) => track.who === who && track.media instanceof HTMLAudioElement);
    if (this.#mix && !loaded) {
      for (const track of this.#manifest.tracks) {
        if (track.kind === "audio" && track.participantId === who) this.#begin("audio", track);
      }
    }
    this.#volumes();
  }

  #all() {
    return this.#mix ? [...this.#tracks, this.#mix] : this.#tracks;
  }

  /** @param {"audio" | "video"} kind @param {Pick<Track, "file" | "startMs" | "durationMs" | "participantId">} track @returns {Playing} */
  #begin(kind, { file, startMs, durationMs, participantId }) {
    const media = h(kind, { preload: "auto", src: artifact(this.#job, file ?? "") });
    const playing = { startMs, durationMs, who: participantId ?? "", media };
    if (media instanceof HTMLVideoElement) {
      media.muted = true;
      media.playsInline = true;
      const person = this.#manifest.participants.find(({ id }) => id === participantId);
      const name = h("figcaption", {}, person?.name ?? "");
      const figure = h("figure", {}, media, name);
      media.addEventListener("error", () => say(name, `${person?.name ?? ""}: this browser does not play ${file}`));
      this.#pictures.append(figure);
    }
    if (participantId === null) return playing;
    this.#tracks.push(playing);
    return playing;
  }

  #volumes() {
    for (const { media, who } of this.#tracks) {
      if (media instanceof HTMLAudioElement) media.muted = this.#mix ? !this.#alone.has(who) : !this.hears(who);
    }
    if (this.#mix) this.#mix.media.muted = this.#alone.size > 0;
    this.dispatchEvent(new Event("volumes"));
  }

  /** @param {number} rate */
  #speed(rate) {
    const ms = this.ms;
    this.#rate = rate;
    this.seek(ms);
  }

  async #link() {
    const url = new URL(location.href);
    url.hash = `#/jobs/${this.#job}?t=${(this.ms / 1000).toFixed(1)}`;
    history.replaceState(null, "", url);
    await navigator.clipboard.writeText(url.href).catch(() => {});
    announce("The link is copied");
  }

  /** Brings every track to the clock. */
  #look() {
    const ms = this.ms;
    if (this.#playing && ms >= this.#manifest.durationMs) {
      this.#playing = false;
      this.#base = { ms: this.#manifest.durationMs, at: 0 };
    }
    const due = this.#all().filter(({ startMs, durationMs, media }) => ms >= startMs && ms < startMs + durationMs && !media.error);
    const late = due.some(({ media }) => media.readyState < HTMLMediaElement.HAVE_FUTURE_DATA || media.seeking);
    if (this.#playing && late !== this.#waits) {
      this.#base = { ms, at: performance.now() };
      this.#waits = late;
    }
    for (const track of this.#all()) this.#align(track, due.includes(track), ms);
    this.#show();
  }

  /** @param {Playing} track @param {boolean} due @param {number} ms */
  #align({ media, startMs }, due, ms) {
    if (!due || !this.#playing || this.#waits) {
      if (!media.paused) media.pause();
      if (due && !media.seeking && media.readyState > 0 && Math.abs(media.currentTime * 1000 + startMs - ms) > NOTICED) media.currentTime = (ms - startMs) / 1000;
      return;
    }
    if (media.paused) {
      media.play().catch(() => {});
      media.playbackRate = this.#rate;
      return;
    }
    const off = media.currentTime * 1000 + startMs - ms;
    if (Math.abs(off) > TOO_FAR) media.currentTime = (ms - startMs) / 1000;
    const rate = Math.abs(off) < NOTICED / 2 ? this.#rate : Math.abs(off) > NOTICED || media.playbackRate !== this.#rate ? this.#rate * (off > 0 ? 0.98 : 1.02) : this.#rate;
    if (media.playbackRate !== rate) media.playbackRate = rate;
  }

  #show() {
    const ms = this.ms;
    say(this.#time, `${clock(ms)} / ${clock(this.#manifest.durationMs)}`);
    this.#range.value = String(Math.round(ms));
    this.#range.setAttribute("aria-valuetext", clock(ms));
    say(this.#button, this.#playing ? "❚❚" : "▶");
    this.#button.setAttribute("aria-label", this.#playing ? "Pause" : "Play");
    this.classList.toggle("waits", this.#playing && this.#waits);
    if (ms === this.#shown) return;
    this.#shown = ms;
    this.dispatchEvent(new CustomEvent("moved", { detail: ms }));
  }
}
customElements.define("recording-player", RecordingPlayer);

/** @param {Set<unknown>} set @param {unknown} item */
function toggle(set, item) {
  if (!set.delete(item)) set.add(item);
}
