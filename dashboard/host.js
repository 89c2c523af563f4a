// The server's machine, for keys of scope admin.

/** @import { Host, PlatformAvailability } from "../sdks/typescript/src/models.js" */

import { call, followAll } from "./api.js";
import { fill, fresh, h, problemBox } from "./dom.js";
import { length, size, word } from "./format.js";
import { CallSnippet } from "./snippets.js";

/** @param {string} name @param {string} value @param {number} part from 0 to 1 @param {string} note */
function gauge(name, value, part, note) {
  return h(
    "div",
    { class: "card figure" },
    h("h2", {}, name),
    h("p", { class: "number" }, value),
    h("meter", { min: 0, max: 1, value: part, high: 0.9, optimum: 0, "aria-label": name }),
    h("p", { class: "soft" }, note),
  );
}

/** @param {PlatformAvailability} way */
function platformRow(way) {
  const joinable = way.joinable ? (way.experimental ? "yes, experimental" : "yes") : "no";
  return h("tr", {}, ...[way.platform, way.via ?? "", joinable, way.missing.map(({ message }) => message).join("; ")].map((text) => h("td", {}, text)));
}

/** How often the machine's load is read, in ms: no feed reports it. */
const LOAD = 10_000;

export class HostView extends HTMLElement {
  #end = new AbortController();

  connectedCallback() {
    const [about, figures, jobs, platforms] = [h("p", { class: "soft" }), h("div", { class: "figures" }), h("dl", { class: "facts" }), h("tbody")];
    const columns = h("thead", {}, h("tr", {}, ...["Platform", "Via", "Joinable with your key", "Missing"].map((name) => h("th", { scope: "col" }, name))));
    const table = h("div", { class: "scroll card flush", tabindex: 0, role: "group", "aria-label": "Platforms" }, h("table", {}, columns, platforms));
    const snippet = new CallSnippet();
    fill(this, h("h1", {}, "Host"), about, figures, h("h2", {}, "Jobs of all consumers"), jobs, h("h2", {}, "Platforms"), table, snippet);
    snippet.show({ method: "GET", path: "/api/v1/admin/host", python: "print(mb.host())", typescript: "console.log(await mb.host());" });
    void this.#listPlatforms(platforms);
    const changed = fresh(LOAD, this.#end.signal, async () => {
      try {
        /** @type {Host} */
        const host = await call("GET", "/api/v1/admin/host", { signal: this.#end.signal });
        about.textContent = `meetbot ${host.version}, up ${length(host.uptimeSeconds * 1000)}${host.draining ? " · stopping: takes no more jobs" : ""}`;
        const { cpu, memory, disk, bots } = host;
        fill(
          figures,
          gauge("Bots", `${bots.running} of ${bots.max}`, bots.running / bots.max, `${host.webhookBacklog.toLocaleString()} webhooks on their way`),
          gauge("Processor", `${Math.round(cpu.usedPercent)} %`, cpu.usedPercent / 100, `${cpu.cores} cores, load ${cpu.load1.toFixed(2)} · ${cpu.load5.toFixed(2)} · ${cpu.load15.toFixed(2)}`),
          gauge("Memory", size(memory.usedBytes), memory.usedBytes / memory.totalBytes, `of ${size(memory.totalBytes)}; the server ${size(memory.serverBytes)}`),
          gauge("Disk", `${size(disk.freeBytes)} free`, 1 - disk.freeBytes / disk.totalBytes, `of ${size(disk.totalBytes)}`),
        );
        fill(jobs, ...Object.entries(host.jobs).map(([status, count]) => h("div", {}, h("dt", {}, word(status)), h("dd", {}, count.toLocaleString()))));
      } catch (problem) {
        if (!this.#end.signal.aborted) fill(figures, problemBox(problem));
      }
    });
    followAll(this.#end.signal, changed);
  }

  /** They stay as the server found them when it started. @param {HTMLElement} rows */
  async #listPlatforms(rows) {
    try {
      /** @type {{ data: PlatformAvailability[] }} */
      const { data } = await call("GET", "/api/v1/platforms", { signal: this.#end.signal });
      fill(rows, ...data.map(platformRow));
    } catch (problem) {
      if (!this.#end.signal.aborted) fill(rows, h("tr", {}, h("td", { colspan: 4 }, problemBox(problem))));
    }
  }

  disconnectedCallback() {
    this.#end.abort();
  }
}
customElements.define("host-view", HostView);
