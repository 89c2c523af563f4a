// A real server of the test's own, a browser that is signed in there, and an endpoint for webhooks.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { connect, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const { MEETBOT_PROGRAM = "", MEETBOT_REPOSITORY = "", MEETBOT_PACKAGES = "" } = process.env;
const packages = createRequire(join(MEETBOT_PACKAGES, "node_modules/"));
const { chromium } = packages("playwright-core");
const axe = packages.resolve("axe-core/axe.min.js");

/** Long enough for a busy machine, in ms; reached only when something is wrong. */
export const PATIENCE = 60_000;

/** Starts a server in development, since the endpoint is on loopback, with a key of this scope and world. @param {string} scope @param {"test" | "live"} [world] */
export async function serve(scope, world = "test") {
  const logs = join(MEETBOT_REPOSITORY, "target/test-logs");
  mkdirSync(logs, { recursive: true });
  const log = openSync(join(logs, `dashboard-${process.pid}-${Date.now()}.log`), "w");
  const folder = mkdtempSync(join(tmpdir(), "meetbot-dashboard-"));
  const data = join(folder, "data");
  const child = spawn(MEETBOT_PROGRAM, ["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir", data, "--json"], {
    stdio: ["ignore", "pipe", log],
    env: { MEETBOT_LOG: "debug", ...process.env },
  });
  const { url } = JSON.parse(
    await new Promise((resolve, reject) => {
      createInterface({ input: child.stdout }).once("line", resolve);
      child.once("exit", (code) => reject(new Error(`the server has ended with ${code}: see ${logs}`)));
    }),
  );
  const made = execFileSync(MEETBOT_PROGRAM, ["keys", "create", `--${world}`, "--scope", scope, "--json", "--data-dir", data], { encoding: "utf8" });
  const { key } = JSON.parse(made);
  return {
    url,
    key,
    pid: child.pid,
    /** The folder of its data. */
    data,
    /** An address that opens the dashboard signed in, as `meetbot dashboard` makes it. @returns {string} */
    link() {
      const env = { ...process.env, MEETBOT_API_KEY: key, MEETBOT_API_BASE_URL: url };
      return JSON.parse(execFileSync(MEETBOT_PROGRAM, ["dashboard", "--json"], { encoding: "utf8", env })).url;
    },
    /** Runs `meetbot login`, as a user who has no other login. */
    login() {
      const { MEETBOT_API_KEY: _key, MEETBOT_API_BASE_URL: _url, ...rest } = process.env;
      const env = { ...rest, XDG_CONFIG_HOME: mkdtempSync(join(folder, "config-")) };
      const login = spawn(MEETBOT_PROGRAM, ["login", "--server", url, "--json"], { stdio: ["ignore", "pipe", "ignore"], env });
      const lines = createInterface({ input: login.stdout })[Symbol.asyncIterator]();
      return {
        /** The next object that it prints. */
        next: async () => JSON.parse((await lines.next()).value),
        /** Its exit code. */
        ended: new Promise((resolve) => login.once("exit", resolve)),
        /** Runs another command of the same user. @param {string[]} command @returns {string} */
        run: (command) => execFileSync(MEETBOT_PROGRAM, command, { encoding: "utf8", env }),
      };
    },
    async stop() {
      const end = new Promise((resolve) => child.once("exit", resolve));
      child.kill();
      await end;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** An endpoint that answers each webhook as `answer` says, by the event's name. @param {(event: string) => [status: number, body: string]} answer */
export async function endpoint(answer) {
  /** The names of the events that came. @type {string[]} */
  const came = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    const { event } = JSON.parse(body);
    came.push(event);
    const [status, text] = answer(event);
    response.writeHead(status, { "Content-Type": "text/html" }).end(text);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${port}/hook`, came, stop: () => (server.close(), server.closeAllConnections()) };
}

/** A proxy to a server that can be disconnected and reconnected. The server accepts its pages as its own: it has a separate port and passes `Host` on unchanged. @param {string} url */
export async function cuttable(url) {
  const { hostname, port } = new URL(url);
  /** @type {Set<import("node:net").Socket>} */
  const open = new Set();
  const way = createTcpServer((socket) => {
    const server = connect(Number(port), hostname);
    for (const [end, other] of [[socket, server], [server, socket]]) {
      open.add(end);
      end.on("error", () => {}).on("close", () => (open.delete(end), other.destroy())).pipe(other);
    }
  });
  const listen = (/** @type {number} */ at) => new Promise((resolve) => way.listen(at, "127.0.0.1", () => resolve(null)));
  await listen(0);
  const at = /** @type {import("node:net").AddressInfo} */ (way.address()).port;
  const cut = () => {
    const closed = new Promise((resolve) => way.close(() => resolve(null)));
    for (const socket of open) socket.destroy();
    return closed;
  };
  return { url: `http://127.0.0.1:${at}`, cut, mend: () => listen(at), stop: cut };
}

/** A browser. Its sandbox is for other users than root. */
export async function browse() {
  const root = process.getuid?.() === 0;
  return chromium.launch({ executablePath: process.env["MEETBOT_CHROMIUM"] ?? "/usr/bin/chromium", args: ["--autoplay-policy=no-user-gesture-required", ...(root ? ["--no-sandbox"] : [])] });
}

/** A page, and what it complained of: errors of scripts, and what its policy refused. @param {any} browser @param {any} [options] */
export async function open(browser, options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on("pageerror", (/** @type {Error} */ error) => complaints.push(error.message));
  page.on("dialog", (/** @type {any} */ dialog) => (complaints.push(dialog.message()), dialog.dismiss()));
  page.on("console", (/** @type {any} */ message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) complaints.push(message.text());
  });
  return { page, complaints, context };
}

/** Watches what a page asks for, from before it is opened. `quiet` waits until it asks for nothing in 2.5 s. @param {any} page */
export function watched(page) {
  /** The paths. @type {string[]} */
  const asked = [];
  page.on("request", (/** @type {any} */ request) => asked.push(new URL(request.url()).pathname));
  const quiet = () => {
    let count = -1;
    return until(async () => asked.length, (now) => ([now, count] = [count, now])[0] === count, 2500);
  };
  return { asked, quiet };
}

/** What axe-core finds wrong on the page. @param {any} page @returns {Promise<string[]>} */
export async function barriers(page) {
  if (!(await page.evaluate("'axe' in window"))) await page.evaluate(packages("node:fs").readFileSync(axe, "utf8"));
  return page.evaluate(`axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
    violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => id + ": " + html.slice(0, 200) + " " + failureSummary)))`);
}

/** Goes by Tab to the next element that fits. @param {any} page @param {string} selector */
export async function tabTo(page, selector) {
  for (let presses = 0; presses < 200; presses += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((/** @type {string} */ selector) => document.activeElement?.matches(selector), selector)) return;
  }
  throw new Error(`Tab never comes to ${selector}`);
}

/** Waits for a condition; polls each 50 ms, or each `every` ms. @template T @param {() => Promise<T>} look @param {(found: T) => boolean} is @returns {Promise<T>} */
export async function until(look, is, every = 50) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await look();
    if (is(found)) return found;
    if (Date.now() > end) throw new Error(`it stays ${JSON.stringify(found)}`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}
