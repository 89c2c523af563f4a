// Plays all tracks of a recording in step. The clock is the recording's: each track follows it, a little faster or slower where it is off.

/** @import { Manifest, Track } from "../sdks/typescript/src/models.js" */

import { artifact } from "./api.js";
import { announce, fill, h, say } from "./dom.js";
import { clock } from "./format.js";

/** With more voices than this the mix plays, and a voice by itself only where it is asked for. */
const MOST_VOICES = 8;
/** A track that is off by more than this, in ms, runs faster or slower. */
const NOTICED = 8;
/** It does so until it is off by less than this, in ms. */
const IN_STEP = 3;
/** A track that is off by more than this, in ms, seeks. */
const TOO_FAR = 150;
/** A track is brought back within this time, in ms, but never runs by more than this part faster or slower. */
const BACK_WITHIN = 600;
const MOST_RATE_CHANGE = 0.1;
/** A track that is off by more than this, in ms, changes its rate by a multiple: on a busy machine a track that begins in the middle begins late. */
const AUDIBLE = 30;
const AUDIBLE_FACTOR = 2.5;
/** How often the tracks are compared with the clock, in ms. */
const SYNC_EVERY = 100;
/** A track that has so little left, in ms, is not waited for: its file may end sooner than its manifest says. */
const LAST = 250;
/** Whether there is something of a track to play: one whose sender sent nothing has no length. @param {Track} track */
const isPlayable = ({ file, durationMs }) => file !== null && durationMs > 0;
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2, 3];

/**
 * One file, as it plays.
 * @typedef {object} Playing
 * @property {number} startMs
 * @property {number} durationMs
 * @property {string} who
 * @property {HTMLMediaElement} media
 * @property {HTMLElement | null} figure Around a picture.
 * @property {boolean} hidden Whether somebody has hidden the picture: then it does not play.
 */

export class RecordingPlayer extends HTMLElement {
  /** @type {Playing[]} */
  #tracks = [];
  /** @type {Playing | null} */
  #mix = null;
  #muted = new Set();
  #solo = new Set();
  #rate = 1;
  #playing = false;
  /** Whether the clock stands until the files have come. */
  #waits = false;
  /** Waits for the moment at which the next track begins. */
  #timer = 0;
  /** How long after it was asked to a track begins to play, in ms, as it was the last time; a track that begins in the middle is asked so much earlier. */
  #lag = 20;
  /** Whether tracks were started since the last comparison. */
  #justStarted = false;
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
    const { durationMs } = this.#manifest;
    const tracks = this.#manifest.tracks.filter(isPlayable);
    this.#range.max = String(durationMs);
    this.#range.addEventListener("input", () => this.seek(Number(this.#range.value)));
    const speed = h("select", { "aria-label": "Speed", onchange: () => this.#speed(Number(speed.value)) }, ...SPEEDS.map((rate) => h("option", { value: rate, selected: rate === 1 }, `${rate}×`)));
    const skip = (/** @type {number} */ seconds) => h("button", { type: "button", class: "quiet", "aria-label": `${seconds > 0 ? "Forward" : "Back"} ${Math.abs(seconds)} seconds`, onclick: () => this.seek(this.ms + seconds * 1000) }, `${seconds > 0 ? "+" : "−"}${Math.abs(seconds)}`);
    const link = h("button", { type: "button", class: "quiet", onclick: () => this.#link() }, "Link to this second");
    fill(this, this.#pictures, h("div", { class: "row player" }, skip(-10), this.#button, skip(10), this.#time, this.#range, speed, link));
    const voices = new Set(tracks.filter((track) => track.kind === "audio").map((track) => track.participantId));
    if (voices.size > MOST_VOICES && this.#manifest.mixed.file) {
      this.#mix = this.#addTrack("audio", { file: this.#manifest.mixed.file, startMs: 0, durationMs, participantId: null });
    }
    for (const track of tracks) {
      if (track.kind === "video") this.#addTrack("video", track);
      else if (!this.#mix) this.#addTrack("audio", track);
    }
    this.#show();
    const timer = setInterval(() => this.#sync(), SYNC_EVERY);
    this.#end.signal.addEventListener("abort", () => (clearInterval(timer), clearTimeout(this.#timer)));
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
    return playing.map((track) => off(track, ms));
  }

  /** @param {number} ms */
  seek(ms) {
    this.#base = { ms: Math.min(Math.max(ms, 0), this.#manifest.durationMs), at: performance.now() };
    // Nothing plays until all tracks that play there have come there: then they begin together.
    this.#waits = this.#playing;
    for (const track of this.#all()) this.#hold(track, this.#isDue(track, this.ms), this.ms);
    this.#sync();
  }

  toggle() {
    const ms = this.ms;
    // At the end it begins anew.
    const from = !this.#playing && ms >= this.#manifest.durationMs ? 0 : ms;
    this.#playing = !this.#playing;
    this.seek(from);
  }

  /** Whether a recording has something to play. @param {Manifest} manifest */
  static plays(manifest) {
    return manifest.tracks.some(isPlayable);
  }

  /** Whether there is something to hear of somebody. @param {string} who */
  hasVoice(who) {
    return this.#manifest.tracks.some((track) => track.participantId === who && track.kind === "audio" && isPlayable(track));
  }

  /** Whether the mix plays: then nobody can be muted, since all voices are one. */
  get playsMix() {
    return this.#mix !== null;
  }

  /** Whether somebody is heard. @param {string} who */
  isHeard(who) {
    return this.#solo.size > 0 ? this.#solo.has(who) : !this.#muted.has(who);
  }

  /** Mutes somebody, or no longer. @param {string} who */
  toggleMute(who) {
    toggle(this.#muted, who);
    this.#volumes();
  }

  /** Makes somebody solo, or no longer: while anybody is solo, only they are heard. @param {string} who */
  toggleSolo(who) {
    toggle(this.#solo, who);
    const loaded = this.#tracks.some((track) => track.who === who && track.media instanceof HTMLAudioElement);
    if (this.#mix && !loaded) {
      for (const track of this.#manifest.tracks) {
        if (track.kind === "audio" && track.participantId === who && isPlayable(track)) this.#addTrack("audio", track);
      }
    }
    this.#volumes();
  }

  #all() {
    return this.#mix ? [...this.#tracks, this.#mix] : this.#tracks;
  }

  /** @param {"audio" | "video"} kind @param {Pick<Track, "file" | "startMs" | "durationMs" | "participantId"> & Partial<Pick<Track, "source">>} track @returns {Playing} */
  #addTrack(kind, { file, startMs, durationMs, participantId, source }) {
    const media = h(kind, { preload: "auto", src: artifact(this.#job, file ?? "") });
    /** @type {Playing} */
    const playing = { startMs, durationMs, who: participantId ?? "", media, figure: null, hidden: false };
    // A seek ends, or data comes: the others do not wait for the next look.
    for (const event of ["seeked", "canplay", "error"]) media.addEventListener(event, () => this.#waits && this.#sync());
    if (media instanceof HTMLVideoElement) {
      media.muted = true;
      media.playsInline = true;
      const name = this.#manifest.participants.find(({ id }) => id === participantId)?.name ?? "";
      const what = `the ${source === "screen" ? "screen" : "camera"} of ${name}`;
      const caption = h("span", {}, source === "screen" ? `${name}: screen` : name);
      const hide = h("button", { type: "button", class: "tiny", "aria-label": `Hide ${what}`, "aria-pressed": "false", onclick: () => this.#hide(playing, hide) }, "Hide");
      playing.figure = h("figure", { hidden: true }, media, h("figcaption", { class: "row" }, caption, hide));
      media.addEventListener("error", () => say(caption, `${name}: this browser does not play ${file}`));
      this.#pictures.append(playing.figure);
    }
    if (participantId === null) return playing;
    this.#tracks.push(playing);
    return playing;
  }

  /** @param {Playing} track @param {HTMLButtonElement} button */
  #hide(track, button) {
    track.hidden = !track.hidden;
    track.media.hidden = track.hidden;
    button.setAttribute("aria-pressed", String(track.hidden));
    this.#sync();
  }

  #volumes() {
    for (const { media, who } of this.#tracks) {
      if (media instanceof HTMLAudioElement) media.muted = this.#mix ? !this.#solo.has(who) : !this.isHeard(who);
    }
    if (this.#mix) this.#mix.media.muted = this.#solo.size > 0;
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
    const copied = await navigator.clipboard.writeText(url.href).then(() => true, () => false);
    announce(copied ? "The link is copied" : "The link is in the address bar");
  }

  /** Whether something of a track belongs to this moment. @param {Playing} track @param {number} ms */
  #isDue({ startMs, durationMs, media, hidden }, ms) {
    return ms >= startMs && ms < startMs + durationMs && !media.error && !hidden;
  }

  /** Whether the others wait for a track. @param {Playing} track @param {number} ms */
  #isLate(track, ms) {
    const { media, startMs, durationMs } = track;
    if (media.ended || startMs + durationMs - ms < LAST) return false;
    return media.seeking || media.readyState < HTMLMediaElement.HAVE_FUTURE_DATA || (this.#waits && Math.abs(off(track, ms)) > TOO_FAR);
  }

  /** Brings every track to the clock. */
  #sync() {
    clearTimeout(this.#timer);
    let ms = this.ms;
    if (this.#playing && ms >= this.#manifest.durationMs) {
      this.#playing = false;
      this.#base = { ms: this.#manifest.durationMs, at: 0 };
    }
    const due = this.#all().filter((track) => this.#isDue(track, ms));
    const voices = due.filter(({ media }) => media instanceof HTMLAudioElement);
    // After a seek all wait for each other. Later a slow picture does not interrupt the voices.
    const late = (this.#waits || voices.length === 0 ? due : voices).some((track) => this.#isLate(track, ms));
    if (this.#playing && late !== this.#waits) {
      this.#base = { ms, at: performance.now() };
      this.#waits = late;
      this.#justStarted = !late;
    } else if (this.#playing && this.#justStarted) {
      this.#justStarted = false;
      const lags = due.filter(isRunning).map((track) => -off(track, ms));
      if (lags.length > 0) this.#lag = Math.min(Math.max(...lags, 0) / this.#rate, SYNC_EVERY);
    }
    const runs = this.#playing && !this.#waits;
    if (runs) {
      // Files play by the clock of the machine's sound, which is not the page's: the recording's clock goes with them.
      const offs = (voices.length > 0 ? voices : due).filter(isRunning).map((track) => off(track, ms)).sort((a, b) => a - b);
      const middle = offs[Math.floor((offs.length - 1) / 2)] ?? 0;
      if (Math.abs(middle) < TOO_FAR) this.#base = { ms: (ms += middle), at: performance.now() };
    }
    for (const track of this.#all()) {
      const isDue = due.includes(track);
      const begins = ms < track.startMs && this.#isDue(track, track.startMs) && (track.startMs - ms) / this.#rate <= this.#lag + 2;
      if (runs && (isDue || begins)) this.#run(track, ms);
      else this.#hold(track, isDue, ms);
      if (track.figure) track.figure.hidden = ms < track.startMs || ms >= track.startMs + track.durationMs;
    }
    if (runs) this.#scheduleNext(ms);
    this.#show();
  }

  /** Looks again when the next track begins, where that is before the next look. @param {number} ms */
  #scheduleNext(ms) {
    const next = Math.min(...this.#all().map(({ startMs }) => startMs).filter((startMs) => startMs > ms));
    const wait = (next - ms) / this.#rate - this.#lag;
    if (wait > 0 && wait < SYNC_EVERY) this.#timer = setTimeout(() => this.#sync(), wait);
  }

  /** A track that does not play stands where it is to begin. @param {Playing} track @param {boolean} due @param {number} ms */
  #hold(track, due, ms) {
    const { media, startMs } = track;
    if (!media.paused) media.pause();
    const begins = due ? ms : Math.max(ms, startMs);
    if ((due || ms < startMs) && media.readyState > 0 && Math.abs(off(track, begins)) > IN_STEP) media.currentTime = (begins - startMs) / 1000;
  }

  /** A track that plays is brought to the clock. @param {Playing} track @param {number} ms */
  #run(track, ms) {
    const { media, startMs } = track;
    // A file that has ended would begin anew. A seek would begin again, and a slow picture never arrive.
    if (media.ended || media.seeking) return;
    const offMs = ms < startMs ? 0 : off(track, ms);
    if (media.paused) {
      if (Math.abs(offMs) > TOO_FAR) media.currentTime = (ms - startMs) / 1000;
      media.playbackRate = this.#rate;
      media.play().catch(() => {});
      return;
    }
    if (Math.abs(offMs) > TOO_FAR) media.currentTime = (ms - startMs) / 1000;
    const isAdjusted = media.playbackRate !== this.#rate;
    const factor = Math.abs(offMs) > AUDIBLE ? AUDIBLE_FACTOR : 1;
    const change = factor * Math.max(-MOST_RATE_CHANGE, Math.min(MOST_RATE_CHANGE, -offMs / BACK_WITHIN));
    const rate = Math.abs(offMs) > (isAdjusted ? IN_STEP : NOTICED) ? this.#rate * (1 + change) : this.#rate;
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

/** By how many ms a track is before the clock. @param {Playing} track @param {number} ms */
function off({ media, startMs }, ms) {
  return media.currentTime * 1000 + startMs - ms;
}

/** Whether a track plays. @param {Playing} track */
function isRunning({ media }) {
  return !media.paused && !media.ended && !media.seeking;
}

/** @param {Set<unknown>} set @param {unknown} item */
function toggle(set, item) {
  if (!set.delete(item)) set.add(item);
}
