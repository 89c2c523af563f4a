/** The real server with its sandbox in a temporary folder, and programs that run with it. */

import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, symlinkSync, existsSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { PACKAGE, ROOT } from "./repository.ts";

/** A running `meetbot serve`. */
export interface Server {
  url: string;
  key: string;
  secret: string;
  /** Ends it. */
  stop(): Promise<void>;
}

/** The server's program: `$MEETBOT_PROGRAM`, or what `cargo build` made. */
function program(): string {
  const found = process.env["MEETBOT_PROGRAM"] ?? join(ROOT, "target/debug/meetbot");
  if (!existsSync(found)) throw new Error(`${found} is not there: cargo build --bin meetbot`);
  return found;
}

async function ended(child: ChildProcess): Promise<void> {
  const end = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill();
  await end;
}

/** Starts it in development, since the receivers of the tests are on loopback. Its log is searched for secrets by `cargo xtask test`. */
export async function serve(scope: "write" | "admin" = "write"): Promise<Server> {
  const logs = join(ROOT, "target/test-logs");
  mkdirSync(logs, { recursive: true });
  const log = openSync(join(logs, `typescript-${process.pid}-${Date.now()}.log`), "w");
  const data = join(mkdtempSync(join(tmpdir(), "meetbot-server-")), "data");
  const child = spawn(program(), ["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir", data, "--json"], {
    stdio: ["ignore", "pipe", log],
    env: { MEETBOT_LOG: "debug", ...process.env },
  });
  const lines = createInterface({ input: child.stdout! });
  const line = await new Promise<string>((resolve, reject) => {
    lines.once("line", resolve);
    child.once("exit", (code) => reject(new Error(`the server has ended with ${code}: see ${logs}`)));
  });
  const { url } = JSON.parse(line);
  const key = JSON.parse(execFileSync(program(), ["keys", "create", "--test", "--scope", scope, "--json", "--data-dir", data], { encoding: "utf8" }));
  return { url, key: key.key, secret: key.webhookSecret, stop: () => ended(child) };
}

/** A folder in which programs find this package and those that it is tested with. */
export function project(): string {
  const folder = mkdtempSync(join(tmpdir(), "meetbot-project-"));
  mkdirSync(join(folder, "node_modules/@meetbot"), { recursive: true });
  symlinkSync(PACKAGE, join(folder, "node_modules/@meetbot/sdk"));
  for (const name of ["express", "fastify", "@types"]) symlinkSync(join(PACKAGE, "node_modules", name), join(folder, "node_modules", name));
  return folder;
}

/** A port that is free. */
export async function freePort(): Promise<number> {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as { port: number };
  await new Promise((resolve) => taken.close(resolve));
  return port;
}

/** A program of this Node.js that runs, and what it prints. */
export class Running {
  readonly printed: string[] = [];
  readonly #child: ChildProcess;
  readonly #exit: Promise<number | null>;
  #waiting: (() => void)[] = [];

  constructor(file: string, cwd: string, env: Record<string, string>) {
    this.#child = spawn(process.execPath, [file], { cwd, env: { ...process.env, NODE_NO_WARNINGS: "1", ...env }, stdio: ["ignore", "pipe", "pipe"] });
    this.#exit = new Promise((resolve) => this.#child.once("close", resolve));
    for (const output of [this.#child.stdout!, this.#child.stderr!]) {
      createInterface({ input: output }).on("line", (line) => {
        this.printed.push(line);
        for (const wake of this.#waiting.splice(0)) wake();
      });
    }
    void this.#exit.then(() => this.#waiting.splice(0).forEach((wake) => wake()));
  }

  /** All lines, once it has ended by itself. */
  async ended(): Promise<string[]> {
    const code = await this.#exit;
    if (code !== 0) throw new Error(`ended with ${code}:\n${this.printed.join("\n")}`);
    return this.printed;
  }

  /** The first line that holds this. */
  async heard(word: string): Promise<string> {
    for (;;) {
      const found = this.printed.find((line) => line.includes(word));
      if (found !== undefined) return found;
      if (this.#child.exitCode !== null) throw new Error(`"${word}" was not said:\n${this.printed.join("\n")}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await ended(this.#child);
  }
}
