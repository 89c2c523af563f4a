/** HTTP servers that answer as a test says, lies included: a client of `scripted-server`, which spec/README.md describes. */

import { spawn, type ChildProcessByStdio } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { after, afterEach } from "node:test";

import { MeetBot, type Options } from "@meetbot/sdk";
import { ROOT } from "./repository.ts";

/** The key of the tests' clients. */
export const KEY = "mb_test_0123456789abcdef";

/** A request as it came. */
export interface Asked {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
  /** The number of its connection. */
  connection: number;
}

interface Bytes {
  base64: string;
}

/** What the server does with a request. */
export interface Reply {
  answer?: Bytes;
  file?: Bytes;
  then: "closes" | "stays" | "hangs" | "resets" | "floods" | "relays";
  flood?: Bytes;
}

function bytes(of: string | Buffer): Bytes {
  return { base64: Buffer.from(of as string).toString("base64") };
}

/** Sends these bytes, from the status line on. */
export function raw(answer: string | Buffer, then: Reply["then"] = "closes"): Reply {
  return { answer: bytes(answer), then };
}

/** Sends these bytes, and then more of them without an end. */
export function flood(answer: string, more: string | Buffer): Reply {
  return { ...raw(answer, "floods"), flood: bytes(more) };
}

/** An answer. A body that is no text and no bytes is sent as JSON. The connection stays open, unless `Connection: close` is among the headers. */
export function answer(body: unknown, status = 200, headers: Record<string, string> = {}): Reply {
  const sent = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  const lines = [`HTTP/1.1 ${status} As Scripted`, `Content-Length: ${sent.length}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)];
  return raw(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), sent]), headers["Connection"] === "close" ? "closes" : "stays");
}

/** An error of the API. */
export function refusal(status: number, code: string, headers: Record<string, string> = {}): Reply {
  return answer({ error: code, message: `no: ${code}`, requestId: "req_1" }, status, headers);
}

/** A file: of each request the part that its `Range` names. */
export function ranges(content: Buffer): Reply {
  return { file: bytes(content), then: "stays" };
}

/** Never answers. */
export const HANG: Reply = raw("", "hangs");

/** Sends the beginning of an answer and then nothing. */
export const HANG_IN_BODY: Reply = raw('HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"id":', "hangs");

/** Resets the connection. */
export const RESET: Reply = raw("", "resets");

/** Half an answer, then the end of the connection. */
export const CUT: Reply = raw('HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"id":');

/** Half a chunked answer. */
export const CUT_CHUNKED: Reply = raw('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"id"\r\n');

/** Bytes without an end. */
export const FLOOD: Reply = flood(
  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
  Buffer.concat([Buffer.from("100000\r\n"), Buffer.alloc(0x100000, "x"), Buffer.from("\r\n")]),
);

const EVENTS = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/** A stream of events that stays open: what it begins with; `ScriptedServer.send` adds to it. */
export function stream(...events: string[]): Reply {
  return raw(EVENTS + events.join(""), "relays");
}

/** A stream of events that ends after these. */
export function cutStream(...events: string[]): Reply {
  return raw(EVENTS + events.join(""));
}

/** The servers of the test that runs; they end with it. */
const servers = new Set<ScriptedServer>();
afterEach(async () => {
  for (const server of servers) await server.close();
});

/** Gives its answers in turn, then the last one again and again; to requests for a stream of events, `events`, if there is one. */
export class ScriptedServer {
  readonly url: string;
  #number: number;
  #requests: Asked[] = [];
  #connections = 0;
  #open = new Set<number>();
  #waiting: { until: () => boolean; resolve: () => void }[] = [];

  private constructor(number: number, url: string) {
    this.#number = number;
    this.url = url;
  }

  static async start(replies: Reply[], events?: Reply): Promise<ScriptedServer> {
    const always = (reply: Reply): object => ({ ...reply, always: true });
    const script = { replies: [...replies.slice(0, -1), always(replies.at(-1)!)], ...(events && { events: [always(events)] }) };
    const { server, url } = await program().done({ start: script });
    const found = new ScriptedServer(server, url);
    program().servers.set(server, (report) => found.#happened(report));
    servers.add(found);
    return found;
  }

  /** A client of this server. */
  client(options: Options = {}): MeetBot {
    return new MeetBot({ apiKey: KEY, baseUrl: this.url, ...options });
  }

  /** The requests that have come. */
  async requests(): Promise<Asked[]> {
    await program().done({ flush: {} });
    return this.#requests;
  }

  /** How many connections are open. */
  async open(): Promise<number> {
    await program().done({ flush: {} });
    return this.#open.size;
  }

  /** Sends this over the stream of events. */
  async send(text: string): Promise<void> {
    await program().done({ send: { server: this.#number, bytes: text } });
  }

  /** Resolves once a client has connected. */
  connected(): Promise<void> {
    return this.#until(() => this.#connections > 0);
  }

  /** Resolves once so many requests have come. */
  came(count: number): Promise<void> {
    return this.#until(() => this.#requests.length >= count);
  }

  /** Resolves once every connection on which something was asked is closed. Node.js opens another in place of one that was given up, and asks nothing there. */
  async hungUp(): Promise<void> {
    await program().done({ flush: {} });
    await this.#until(() => this.#requests.every((asked) => !this.#open.has(asked.connection)));
  }

  /** Resolves once something was asked, and its connection is closed. */
  hungUpOnce(): Promise<void> {
    return this.#until(() => this.#requests.some((asked) => !this.#open.has(asked.connection)));
  }

  /** Refuses connections from now on, and ends those that are open. */
  async close(): Promise<void> {
    if (servers.delete(this)) await program().done({ stop: { server: this.#number } });
  }

  /** Resolves once this holds; it is looked at whenever something has happened. */
  #until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ until: holds, resolve });
      this.#look();
    });
  }

  #look(): void {
    this.#waiting = this.#waiting.filter(({ until, resolve }) => {
      if (!until()) return true;
      resolve();
      return false;
    });
  }

  #happened({ happened, connection, request }: any): void {
    if (happened === "opened") {
      this.#connections += 1;
      this.#open.add(connection);
    } else if (happened === "asked") {
      const [method, path] = request.line.split(" ");
      this.#requests.push({ method, path, headers: Object.fromEntries(request.headers), body: request.body, connection });
    } else {
      this.#open.delete(connection);
    }
    this.#look();
  }
}

/** The process that serves all scripts of this file: commands go to its input, answers and reports come from its output. */
class Program {
  readonly servers = new Map<number, (report: any) => void>();
  #child: ChildProcessByStdio<Writable, Readable, null>;
  #waiting: ((answer: any) => void)[] = [];

  constructor() {
    const path = process.env["MEETBOT_SCRIPTED_SERVER"] ?? join(ROOT, "target/debug/scripted-server");
    if (!existsSync(path)) throw new Error(`${path} is not there: cargo build --package meetbot-testkit`);
    this.#child = spawn(path, { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      const said = JSON.parse(line);
      if ("happened" in said) this.servers.get(said.server)?.(said);
      else this.#waiting.shift()?.(said);
    });
    this.#child.on("exit", (code) => {
      for (const resolve of this.#waiting.splice(0)) resolve({ error: `the scripted server has ended with ${code}` });
    });
  }

  end(): void {
    this.#child.stdin.end();
  }

  /** Carries out a command; what happened before it has been reported by then. */
  async done(command: object): Promise<any> {
    const answered = new Promise<any>((resolve) => this.#waiting.push(resolve));
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    const { done, error } = await answered;
    if (error !== undefined) throw new Error(error);
    return done;
  }
}

let started: Program | undefined;

/** The process of this file, begun when it is first needed. */
function program(): Program {
  started ??= new Program();
  return started;
}

after(() => started?.end());
