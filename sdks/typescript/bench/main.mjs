/**
 * `cargo xtask bench typescript [--rounds N] [--calls N]`: what a call costs, side by side with other HTTP clients, all in one run.
 *
 * In each round every client takes its turn, each in a process of its own, so that a machine that slows down slows all of them down. Every figure is the
 * median of the rounds, and each ratio the median of the ratios to `fetch` in the same round.
 */

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";

import { buildSync } from "esbuild";
import { CLIENTS } from "./clients.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" }, calls: { type: "string", default: "4000" } } });
const NAMES = Object.keys(CLIENTS);
const IN_FLIGHT = [1, 10, 100];

const server = spawn(process.execPath, [`${here}server.mjs`], { stdio: ["pipe", "pipe", "inherit"] });
const [base] = await once(createInterface({ input: server.stdout }), "line");

/** One measurement in a fresh process. */
function measure(...args) {
  return JSON.parse(execFileSync(process.execPath, [`${here}measure.mjs`, ...args.map(String)], { encoding: "utf8" }));
}

function median(figures) {
  const sorted = figures.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** Measures each client once a round. */
function rounds(args) {
  const found = Object.fromEntries(NAMES.map((name) => [name, []]));
  for (let round = 0; round < Number(values.rounds); round++) for (const name of NAMES) found[name].push(measure(...args(name)));
  return found;
}

function row(name, cells) {
  console.log(`${name.padStart(10)}${cells.map((cell) => cell.padStart(26)).join("")}`);
}

console.log(`Node.js ${process.versions.node}: CPU µs per call (so many times what fetch costs), calls per second\n`);
row("in flight", IN_FLIGHT.map(String));
const calls = IN_FLIGHT.map((inFlight) => rounds((name) => ["calls", name, base, inFlight, values.calls]));
for (const name of NAMES) {
  row(name, calls.map((found) => {
    const ratio = median(found[name].map(({ cpuUs }, round) => cpuUs / found.fetch[round].cpuUs));
    return `${median(found[name].map((one) => one.cpuUs)).toFixed(0)} (${ratio.toFixed(2)}×) ${median(found[name].map((one) => one.perSecond)).toFixed(0)}/s`;
  }));
}

console.log("\none call in a fresh process: CPU ms of the import with the client, and of the call; size of everything that is imported, minified and gzipped\n");
row("", ["import", "call", "size"]);
const starts = rounds((name) => ["start", name, base]);
for (const name of NAMES) {
  const figure = (part) => median(starts[name].map((one) => one[part])).toFixed(1);
  row(name, [figure("importMs"), figure("callMs"), size(name)]);
}
server.stdin.end();

/** What a bundler makes of the whole package for Node.js. */
function size(name) {
  if (name === "fetch") return "0.0 kB";
  const contents = `export * from "${name === "meetbot" ? "../dist/index.js" : name}"`;
  const built = buildSync({ stdin: { contents, resolveDir: here }, bundle: true, minify: true, platform: "node", format: "esm", target: "es2022", write: false });
  return `${(gzipSync(built.outputFiles[0].contents, { level: 9 }).length / 1024).toFixed(1)} kB`;
}
