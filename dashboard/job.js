// One job: its lanes, what was said, its player, and what can be asked of its bot.

/** @import { Job, Manifest, TimelineEvent } from "../sdks/typescript/src/models.js" */
/** @import { Loudness } from "./levels.js" */
/** @import { Known, Lane, Line } from "./timeline.js" */

import { artifact, bytes, call, follow, followAll, lines, may } from "./api.js";
import { announce, atMostEvery, confirmed, every, fill, h, keyed, outside, problemBox, say } from "./dom.js";
import { FAILURES } from "./failures.js";
import { clock, length, moment, size, word } from "./format.js";
import { FINAL, pill } from "./jobs.js";
import { TimeLanes } from "./lanes.js";
import { loudness } from "./levels.js";
import { RecordingPlayer } from "./player.js";
import { CallSnippet } from "./snippets.js";
import { timeline, transcript } from "./timeline.js";
import { showDeliveries } from "./webhooks.js";

/** The file with the levels of each track. */
const LEVELS = "levels.bin";
/** A larger one, in bytes, is no server's. */
const MOST_LEVELS = 32 << 20;

/** Commands for a bot: name in the path, button, when it is possible, the SDK's names. @type {[string, string, (job: Job) => boolean, string, string][]} */
const VERBS = [
  ["request-recording-permission", "Ask to record", (job) => job.status === "in_call" && job.recording.state !== "on" && job.recording.state !== "stopped", "request_recording_permission", "requestRecordingPermission"],
  ["pause-recording", "Pause", (job) => job.status === "recording" && job.recording.state === "on", "pause_recording", "pauseRecording"],
  ["resume-recording", "Resume", (job) => job.recording.state === "paused", "resume_recording", "resumeRecording"],
  ["stop-recording", "Stop recording", (job) => job.status === "recording", "stop_recording", "stopRecording"],
  ["leave-call", "Leave", (job) => ["joining", "in_call", "recording"].includes(job.status), "leave_bot", "leaveBot"],
];

/** However much happens, the job and its deliveries are read no more often than this, in ms. */
const PACE = 1000;
/** The interval in ms for data without an event: a try of a webhook that has no time yet, and the bytes of a recording that has just ended. */
const UNREPORTED = 3000;

export class JobView extends HTMLElement {
  #end = new AbortController();
  #id;
  /** The second that the link leads to. @type {string | null} */
  #from;
  /** @type {Known | null} */
  #known = null;
  /** @type {RecordingPlayer | null} */
  #player = null;
  #head = h("div");
  #actions = h("div", { class: "row" });
  #notice = h("div", { role: "status" });
  #failure = h("div");
  #place = h("div");
  #lanes = new TimeLanes();
  #said = h("ol", { class: "transcript", tabindex: 0, "aria-label": "What was said, written and done" });
  #chat = h("div");
  #deliveries = h("div", { class: "deliveries" });
  #files = h("div");
  #raw = h("pre", { class: "raw", tabindex: 0 });
  #snippet = new CallSnippet();
  #drawnHead = "";
  /** @type {Line[]} */
  #lines = [];

  /** @param {string} id @param {URLSearchParams} parameters */
  constructor(id, parameters) {
    super();
    this.#id = id;
    this.#from = parameters.get("t");
  }

  get #path() {
    return `/api/v1/jobs/${encodeURIComponent(this.#id)}`;
  }

  async connectedCallback() {
    const { signal } = this.#end;
    this.addEventListener("seek", (event) => this.#seek(/** @type {CustomEvent} */ (event).detail));
    this.addEventListener("redelivered", () => this.#changed());
    signal.addEventListener("abort", () => clearTimeout(this.#timer));
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
    fill(this, h("p", { class: "soft" }, "…"));
    try {
      const job = await call("GET", this.#path, { signal });
      this.#known = { job, events: [], deliveries: [], manifest: null, captions: [], chat: [], levels: [] };
    } catch (problem) {
      if (!signal.aborted) fill(this, h("p", {}, h("a", { href: "#/jobs" }, "Jobs")), problemBox(problem));
      return;
    }
    fill(
      this,
      h("nav", { class: "crumbs", "aria-label": "Place" }, h("a", { href: "#/jobs" }, "Jobs"), " / ", h("code", {}, this.#id)),
      this.#head,
      this.#failure,
      this.#actions,
      this.#notice,
      this.#place,
      h("section", { class: "card flush", "aria-label": "Timeline" }, this.#lanes),
      h(
        "div",
        { class: "columns" },
        h("section", { class: "card", "aria-label": "Transcript" }, h("h2", {}, "What happened"), this.#said, this.#chat),
        h("div", {}, h("section", { class: "card", "aria-label": "Files" }, h("h2", {}, "Files"), this.#files), h("section", { class: "card bounded", "aria-label": "Webhooks" }, h("h2", {}, "Webhooks"), this.#deliveries)),
      ),
      h("details", {}, h("summary", {}, "The job as JSON"), this.#raw),
      this.#snippet,
    );
    this.#call("GET", "", undefined, `job = mb.get_bot(${JSON.stringify(this.#id)})`, `const job = await mb.getBot(${JSON.stringify(this.#id)});`);
    this.#show();
    follow(this.#id, signal, (event) => this.#happened(event), () => this.#goesOn());
    this.#changed();
    document.addEventListener("visibilitychange", () => !document.hidden && this.#changed(), { signal });
    every(500, signal, () => this.#grow());
  }

  disconnectedCallback() {
    this.#end.abort();
  }

  /** The address names another second. @param {URLSearchParams} parameters */
  moved(parameters) {
    const seconds = Number(parameters.get("t"));
    if (parameters.has("t") && Number.isFinite(seconds)) this.#seek(seconds * 1000);
  }

  /** @param {string} method @param {string} path @param {any} body @param {string} python @param {string} typescript */
  #call(method, path, body, python, typescript) {
    this.#snippet.show({ method, path: this.#path + path, body, python, typescript });
  }

  /** @param {TimelineEvent} event */
  #happened(event) {
    const known = this.#known;
    if (!known || known.events.some((one) => one.data.sequence === event.data.sequence)) return;
    known.events.push(event);
    known.events.sort((a, b) => a.data.sequence - b.data.sequence);
    if (event.event === "job.status_changed") {
      known.job.status = event.data.status ?? known.job.status;
      known.job.statusDetail = event.data.statusDetail;
    }
    this.#soon();
    this.#changed();
  }

  #due = false;

  /** Renders the known data, once for all changes of the same moment. */
  #soon() {
    if (this.#due) return;
    this.#due = true;
    setTimeout(() => {
      this.#due = false;
      this.#show();
    }, 30);
  }

  async #refresh() {
    if (!this.#known) return;
    this.#known.job = await call("GET", this.#path, { signal: this.#end.signal }).catch(() => this.#known?.job);
    this.#soon();
  }

  async #goesOn() {
    await this.#refresh();
    if (!this.#known || !FINAL.includes(this.#known.job.status)) return true;
    // Events after the end are only in the list.
    const last = this.#known.events.at(-1)?.data.sequence ?? 0;
    const page = await call("GET", `${this.#path}/events`, { query: { limit: 200, cursor: last > 0 ? last : null }, signal: this.#end.signal });
    for (const event of page.data) this.#happened(event);
    return false;
  }

  async #load() {
    const known = this.#known;
    if (!known) return;
    const { signal } = this.#end;
    clearTimeout(this.#timer);
    try {
      known.job = await call("GET", this.#path, { signal });
      const { job } = known;
      if (job.webhooks.onStatusChange || job.webhooks.onFinalize) {
        known.deliveries = (await call("GET", "/api/v1/webhooks/deliveries", { query: { jobId: this.#id, limit: 200 }, signal })).data;
      }
      const isFinal = FINAL.includes(job.status);
      if (job.recording.deletedAt && known.manifest) this.#forget(known);
      if (job.manifestUri && isFinal && !job.recording.deletedAt && (!known.manifest || known.manifest.mixed.state === "pending")) await this.#recording(known);
      if (!isFinal || known.manifest?.mixed.state === "pending") this.#followFeed();
      if (isFinal && this.#evidence === null) await this.#readEvidence(known);
      this.#show();
    } catch (problem) {
      if (signal.aborted) return;
      fill(this.#notice, problemBox(problem));
    }
    this.#later(known);
  }

  #changed = atMostEvery(PACE, this.#end.signal, () => this.#load());
  #timer = 0;

  /** Reads deliveries again when one is due, and data without an event. @param {Known} known */
  #later({ job, deliveries }) {
    const waits = deliveries.filter(({ state }) => state === "pending").map(({ nextTryAt }) => Math.max(PACE, nextTryAt ? Date.parse(nextTryAt) - Date.now() : UNREPORTED));
    if (FINAL.includes(job.status) && job.recording.bytes === null && job.manifestUri) waits.push(UNREPORTED);
    if (waits.length > 0 && !this.#end.signal.aborted) this.#timer = setTimeout(() => !document.hidden && this.#changed(), Math.min(...waits));
  }

  /** The files of joins that failed, which no manifest lists. @type {{name: string, mediaType: string}[] | null} */
  #evidence = null;

  /** @param {Known} known */
  async #readEvidence({ manifest }) {
    const listed = new Set(manifest?.files.map(({ name }) => name));
    const { data } = await call("GET", `${this.#path}/artifacts`, { signal: this.#end.signal });
    this.#evidence = data.filter((/** @type {{name: string}} */ { name }) => !listed.has(name));
  }

  #followsFeed = false;

  /** What the job's own stream does not have: that its recording was paused or resumed, and the mix, which is made after its end. */
  #followFeed() {
    if (this.#followsFeed) return;
    this.#followsFeed = true;
    followAll(this.#end.signal, this.#changed, this.#id);
  }

  /** @param {Known} known */
  async #recording(known) {
    const { signal } = this.#end;
    /** @type {Manifest} */
    const manifest = await call("GET", `${this.#path}/manifest`, { signal });
    const isNew = known.manifest === null;
    if (isNew) {
      const read = (/** @type {string | null} */ name) => (name ? lines(this.#id, name, signal) : Promise.resolve([]));
      [known.captions, known.chat, known.levels] = await Promise.all([read(manifest.captions), read(manifest.chat), this.#levels(manifest)]);
    }
    known.manifest = manifest;
    if (isNew && RecordingPlayer.plays(manifest)) {
      this.#player = new RecordingPlayer(this.#id, manifest);
      this.#player.addEventListener("moved", (event) => this.#atTime(/** @type {CustomEvent} */ (event).detail));
      fill(this.#place, h("section", { class: "card", "aria-label": "Player" }, this.#player));
      this.#lanes.seeks = true;
      this.#lanes.setControls((lane) => this.#controls(lane));
      if (this.#from !== null && Number.isFinite(Number(this.#from))) this.#seek(Number(this.#from) * 1000);
    }
  }

  /** Shows nothing more of a recording that was deleted. @param {Known} known */
  #forget(known) {
    Object.assign(known, { manifest: null, captions: [], chat: [], levels: [] });
    this.#player = null;
    this.#lanes.seeks = false;
    this.#lanes.setControls(() => null);
    fill(this.#place);
  }

  /** How loud each track is; nothing where the recording does not say it. @param {Manifest} manifest @returns {Promise<Loudness[]>} */
  async #levels(manifest) {
    const file = manifest.files.find(({ name }) => name === LEVELS);
    if (!file || Number(file.bytes) > MOST_LEVELS) return [];
    const { signal } = this.#end;
    try {
      return loudness(await bytes(this.#id, LEVELS, signal));
    } catch (problem) {
      // The lanes show who spoke without it.
      if (signal.aborted) throw problem;
      return [];
    }
  }

  /** @param {number} ms */
  #seek(ms) {
    this.#player?.seek(ms);
  }

  /** @param {number} ms */
  #atTime(ms) {
    this.#lanes.at(ms);
    this.#mark(ms);
  }

  /** Shows which line is said, written or done at this time. @param {number} ms */
  #mark(ms) {
    const at = this.#lines.findLastIndex((line) => line.at <= ms + 50);
    const element = this.#said.children[at];
    if (element?.getAttribute("aria-current") === "true") return;
    this.#said.querySelector("[aria-current]")?.removeAttribute("aria-current");
    element?.setAttribute("aria-current", "true");
    if (element instanceof HTMLElement && this.#player?.playing && !this.#said.contains(document.activeElement)) {
      this.#said.scrollTo({ top: element.offsetTop - this.#said.clientHeight / 3, behavior: "smooth" });
    }
  }

  /** Space plays and pauses, arrows go 5 s, where no other element wants the key. @param {KeyboardEvent} event */
  #key(event) {
    const target = event.target;
    if (!this.#player || event.ctrlKey || event.altKey || event.metaKey || !(target instanceof HTMLElement)) return;
    if (target !== document.body && target.id !== "main") return;
    if (event.key === " ") this.#player.toggle();
    else if (event.key === "ArrowLeft") this.#player.seek(this.#player.ms - 5000);
    else if (event.key === "ArrowRight") this.#player.seek(this.#player.ms + 5000);
    else return;
    event.preventDefault();
  }

  /** Mute and solo beside a person's lane. @param {Lane} lane */
  #controls(lane) {
    const player = this.#player;
    if (!player?.hasVoice(lane.id)) return null;
    const mute = h("button", { type: "button", class: "tiny", "aria-label": `Mute ${lane.name}`, title: "Mute", onclick: () => player.toggleMute(lane.id) }, "M");
    const solo = h("button", { type: "button", class: "tiny", "aria-label": `Solo ${lane.name}`, title: "Solo", onclick: () => player.toggleSolo(lane.id) }, "S");
    let [muted, alone] = [false, false];
    mute.addEventListener("click", () => mute.setAttribute("aria-pressed", String((muted = !muted))));
    solo.addEventListener("click", () => solo.setAttribute("aria-pressed", String((alone = !alone))));
    const controls = h("span", { class: "controls" }, !player.playsMix && mute, solo);
    player.addEventListener("volumes", () => controls.parentElement?.classList.toggle("silent", !player.isHeard(lane.id)), { signal: this.#end.signal });
    return controls;
  }

  #grow() {
    if (this.#known && !FINAL.includes(this.#known.job.status)) this.#lanes.show(timeline(this.#known, Date.now()));
  }

  #show() {
    const known = this.#known;
    if (!known) return;
    const { job, manifest } = known;
    this.#showHead(job);
    this.#lanes.show(timeline(known, Date.now()));
    this.#showLines(known);
    showDeliveries(this.#deliveries, known.deliveries, false);
    if (known.deliveries.length === 0) fill(this.#deliveries, h("p", { class: "soft" }, job.webhooks.onStatusChange || job.webhooks.onFinalize ? "None is sent yet." : "The job names no webhook URL."));
    this.#showFiles(job, manifest);
    say(this.#raw, JSON.stringify(job, null, 2));
  }

  /** @param {Job} job */
  #showHead(job) {
    const version = [job.status, job.statusDetail, job.recording.state, job.recording.permission, job.recording.bytes, job.recording.deletedAt, job.attempt].join();
    if (version === this.#drawnHead) return;
    if (this.#drawnHead !== "") announce(`${word(job.status)} ${job.statusDetail ? word(job.statusDetail) : ""}`);
    this.#drawnHead = version;
    const now = Date.now();
    const facts = [
      ["Platform", word(job.platform)],
      ["Name of the bot", job.displayName],
      ["External id", job.externalId],
      ["Created", moment(job.createdAt, now)],
      ["Join at", job.joinAt && moment(job.joinAt, now)],
      ["In the meeting", job.joinedAt && job.endedAt ? length(Date.parse(job.endedAt) - Date.parse(job.joinedAt)) : job.joinedAt && `since ${moment(job.joinedAt, now)}`],
      ["Left because", job.leaveReason && word(job.leaveReason)],
      ["Recording", job.recording.deletedAt ? `deleted ${moment(job.recording.deletedAt, now)}` : job.recording.bytes ? size(job.recording.bytes) : word(job.recording.state)],
      ["Paused", job.recording.pausedMs > 0 && length(job.recording.pausedMs)],
      ["Bots sent", job.attempt > 1 && String(job.attempt)],
    ];
    fill(
      this.#head,
      h("div", { class: "row title" }, h("h1", {}, outside(job.meetingUrl ?? this.#id)), h("span", {}, pill(job.status), job.statusDetail && h("span", { class: "soft" }, ` ${word(job.statusDetail)}`))),
      h("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => (value ? [h("div", {}, h("dt", {}, name || ""), h("dd", {}, value))] : []))),
    );
    fill(this.#failure, job.failureCode && failureBox(job.failureCode, job.failureDetail));
    this.#showActions(job);
  }

  /** @param {Job} job */
  #showActions(job) {
    const isFinal = FINAL.includes(job.status);
    const focused = document.activeElement?.getAttribute("data-verb");
    const buttons = may("write")
      ? [
          ...VERBS.filter(([, , can]) => can(job)).map(([verb, name, , python, typescript]) => h("button", { type: "button", "data-verb": verb, onclick: () => this.#ask(verb, python, typescript) }, name)),
          !isFinal && h("button", { type: "button", class: "quiet", onclick: () => this.#remove("", "Cancel the job? The bot leaves; what it recorded is kept.", "Cancel the job", "cancel_bot", "cancelBot") }, "Cancel"),
          isFinal && job.manifestUri && h("button", { type: "button", class: "quiet bad", onclick: () => this.#remove("/recording", "Delete the recording with all its files? It cannot be had back.", "Delete", "delete_recording", "deleteRecording") }, "Delete recording"),
        ]
      : [];
    fill(this.#actions, ...buttons);
    // A verb that was asked by keyboard makes room for the next one.
    if (focused) /** @type {HTMLElement | null} */ (this.#actions.querySelector(`[data-verb="${focused}"]`) ?? this.#actions.querySelector("button"))?.focus();
    const writes = may("write") && ["in_call", "recording"].includes(job.status);
    if (!writes) fill(this.#chat);
    else if (this.#chat.childElementCount === 0) fill(this.#chat, this.#chatBox());
  }

  #chatBox() {
    const message = h("input", { "aria-label": "Message to the meeting's chat", maxlength: 4000, required: true, autocomplete: "off", placeholder: "Write into the meeting's chat" });
    const send = async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const text = message.value;
      message.value = "";
      await this.#ask("send-chat-message", "send_chat_message", "sendChatMessage", text);
    };
    return h("form", { class: "row", onsubmit: send }, message, h("button", {}, "Send"));
  }

  /** @param {string} verb @param {string} python @param {string} typescript @param {string} [message] */
  async #ask(verb, python, typescript, message) {
    const body = message === undefined ? {} : { message };
    const more = message === undefined ? "" : `, ${JSON.stringify(message)}`;
    const id = JSON.stringify(this.#id);
    this.#call("POST", `/${verb}`, body, `mb.${python}(${id}${more})`, `await mb.${typescript}(${id}${more});`);
    fill(this.#notice);
    try {
      const result = await call("POST", `${this.#path}/${verb}`, { body });
      if (result.state === "pending") fill(this.#notice, h("p", { class: "box" }, "The bot is asked, and has not answered yet."));
      else if (result.state !== "done") fill(this.#notice, problemBox(`${word(result.action)}: ${word(result.state)}`));
    } catch (problem) {
      fill(this.#notice, problemBox(problem));
    }
    await this.#refresh();
  }

  /** @param {string} path @param {string} question @param {string} verb @param {string} python @param {string} typescript */
  async #remove(path, question, verb, python, typescript) {
    if (!(await confirmed(question, verb))) return;
    const id = JSON.stringify(this.#id);
    this.#call("DELETE", path, undefined, `mb.${python}(${id})`, `await mb.${typescript}(${id});`);
    try {
      await call("DELETE", this.#path + path);
      if (path === "/recording" && this.#known) this.#forget(this.#known);
    } catch (problem) {
      fill(this.#notice, problemBox(problem));
    }
    this.#changed();
    await this.#refresh();
  }

  /** @param {Known} known */
  #showLines(known) {
    this.#lines = transcript(known);
    const atEnd = this.#said.scrollTop + this.#said.clientHeight >= this.#said.scrollHeight - 8;
    let count = 0;
    keyed(this.#said, this.#lines, (line) => `${count++} ${this.#player !== null} ${line.at} ${line.who} ${line.text}`, (line) => this.#line(line));
    if (this.#player) this.#mark(this.#player.ms);
    if (atEnd && !FINAL.includes(known.job.status)) this.#said.scrollTop = this.#said.scrollHeight;
  }

  /** @param {Line} line */
  #line(line) {
    // Without a player there is nowhere to go.
    const time = this.#player ? h("button", { type: "button", class: "time", "aria-label": `Go to ${clock(line.at)}`, onclick: () => this.#seek(line.at) }, clock(line.at)) : h("span", { class: "time" }, clock(line.at));
    return h("li", { class: line.kind }, time, h("span", {}, line.who && h("strong", {}, line.who), line.who && (line.kind === "chat" ? " wrote: " : " "), line.text));
  }

  #drawnFiles = "";

  /** @param {Job} job @param {Manifest | null} manifest */
  #showFiles(job, manifest) {
    const evidence = this.#evidence ?? [];
    const version = `${job.recording.deletedAt} ${manifest?.files.length} ${manifest?.mixed.state} ${job.status} ${evidence.length}`;
    if (version === this.#drawnFiles) return;
    this.#drawnFiles = version;
    const kept = evidence.length > 0 && evidenceBox(job.id, evidence);
    if (!manifest) {
      fill(this.#files, h("p", { class: "soft" }, job.recording.deletedAt ? "They were deleted." : FINAL.includes(job.status) ? "Nothing was recorded." : "They are there once the job has ended."), kept);
      return;
    }
    const all = [...manifest.files, { name: "manifest.json", bytes: null }];
    const rows = all.map(({ name, bytes }) => h("li", {}, h("a", { href: artifact(job.id, name ?? ""), download: name ?? "" }, name), h("span", { class: "soft" }, bytes === null ? "" : size(bytes))));
    const { state, missingBecause } = manifest.mixed;
    fill(this.#files, h("ul", { class: "files" }, ...rows), state === "pending" && h("p", { class: "soft" }, "The mix of all voices is being made."), state === "unavailable" && missingBecause && h("p", { class: "soft" }, `No mix: ${word(missingBecause)}`), kept);
  }
}
customElements.define("job-view", JobView);

/** Evidence of the bot's browser of failed joins. @param {string} job @param {{name: string, mediaType: string}[]} files */
function evidenceBox(job, files) {
  const shown = files.map(({ name, mediaType }) => {
    const href = artifact(job, name);
    const picture = mediaType === "image/png" && h("img", { src: href, alt: `The page at the bot's failed join: ${name}`, loading: "lazy" });
    return h("li", {}, h("a", { href, download: mediaType === "image/png" ? null : name, target: "_blank", rel: "noopener" }, picture, name));
  });
  return h("div", { class: "evidence" }, h("h3", {}, "Evidence of failed joins"), h("ul", {}, ...shown));
}

/** Why it failed, and what to do. @param {string} code @param {string | null} detail */
function failureBox(code, detail) {
  const known = FAILURES[code];
  return h(
    "div",
    { class: "box bad" },
    h("p", {}, h("strong", {}, word(code)), detail && `: ${detail}`),
    known && h("p", {}, known.advice),
    known && h("p", { class: "soft" }, known.billed ? "Billed" : "Not billed", " · ", known.retryable ? "a retry may help" : "a retry does not help"),
  );
}
