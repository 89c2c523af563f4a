/** A server that gives one scripted answer to each request, lies included, and remembers what it was asked. */

import { createServer, type Server, type Socket } from "node:net";
import { afterEach } from "node:test";

import { MeetBot, type Options } from "@meetbot/sdk";

/** The key of the tests' clients. */
export const KEY = "mb_test_0123456789abcdef";

/** A request as it came. */
export interface Asked {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
  /** Its connection. */
  socket: Socket;
}

/** What the server does with a request. */
export type Reply = (socket: Socket, asked: Asked) => void;

/** An answer. A body that is no text and no bytes is sent as JSON. The connection stays open, unless `Connection: close` is among the headers. */
export function answer(body: unknown, status = 200, headers: Record<string, string> = {}): Reply {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  const lines = [`HTTP/1.1 ${status} As Scripted`, `Content-Length: ${bytes.length}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)];
  return (socket) => {
    socket.write(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), bytes]));
    if (headers["Connection"] === "close") socket.end();
  };
}

/** An error of the API. */
export function refusal(status: number, code: string, headers: Record<string, string> = {}): Reply {
  return answer({ error: code, message: `no: ${code}`, requestId: "req_1" }, status, headers);
}

/** Never answers. */
export const HANG: Reply = () => {};

/** Begins to answer, and goes on no further. */
export const HANG_IN_BODY: Reply = (socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"id":');

/** Resets the connection. */
export const RESET: Reply = (socket) => void socket.resetAndDestroy();

/** Half an answer, then the end of the connection. */
export const CUT: Reply = (socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"id":');

/** Half a chunked answer. */
export const CUT_CHUNKED: Reply = (socket) => void socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"id"\r\n');

/** Bytes without an end. */
export const FLOOD: Reply = (socket) => {
  socket.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
  const piece = Buffer.concat([Buffer.from("100000\r\n"), Buffer.alloc(0x100000, "x"), Buffer.from("\r\n")]);
  const more = (): void => {
    if (socket.destroyed) return;
    if (socket.write(piece)) setImmediate(more);
    else socket.once("drain", more);
  };
  more();
};

/** A stream of events: what it begins with; `send` adds to it later. */
export function stream(...events: string[]): Reply & { send(text: string): void; cut(): void } {
  const sockets: Socket[] = [];
  const reply = (socket: Socket): void => {
    sockets.push(socket);
    socket.write(`HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n${events.join("")}`);
  };
  return Object.assign(reply, {
    send: (text: string) => void sockets.at(-1)?.write(text),
    cut: () => void sockets.at(-1)?.end(),
  });
}

/** The servers of the test that runs; they end with it. */
const started: LyingServer[] = [];
afterEach(async () => {
  for (const server of started.splice(0)) await server.close();
});

/** Gives its answers in turn, then the last one again and again; to those who ask for a stream of events, `events`, if there is one. */
export class LyingServer {
  readonly requests: Asked[] = [];
  /** How many connections were made. */
  connections = 0;
  #server: Server;
  #sockets = new Set<Socket>();
  #waiting: { until: () => boolean; resolve: () => void }[] = [];
  readonly replies: Reply[];
  events: Reply | undefined;

  constructor(replies: Reply[], events?: Reply) {
    this.replies = replies;
    this.events = events;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async start(replies: Reply[], events?: Reply): Promise<LyingServer> {
    const server = new LyingServer(replies, events);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    started.push(server);
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** A client of this server that waits shortly. */
  client(options: Options = {}): MeetBot {
    return new MeetBot({ apiKey: KEY, baseUrl: this.url, ...options });
  }

  /** Resolves once this holds; it is looked at with each request and each connection that begins or ends. */
  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ until: holds, resolve });
      this.#look();
    });
  }

  /** Resolves once so many requests have come. */
  came(count: number): Promise<void> {
    return this.until(() => this.requests.length >= count);
  }

  /** Resolves once every connection on which something was asked is closed. Node.js opens another in place of one that was given up, and asks nothing there. */
  hungUp(): Promise<void> {
    return this.until(() => this.requests.every((asked) => !this.#sockets.has(asked.socket)));
  }

  /** Resolves once something was asked, and its connection is closed. */
  hungUpOnce(): Promise<void> {
    return this.until(() => this.requests.some((asked) => !this.#sockets.has(asked.socket)));
  }

  /** How many connections are open. */
  get open(): number {
    return this.#sockets.size;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #look(): void {
    this.#waiting = this.#waiting.filter(({ until, resolve }) => {
      if (!until()) return true;
      resolve();
      return false;
    });
  }

  #serve(socket: Socket): void {
    this.connections += 1;
    this.#sockets.add(socket);
    this.#look();
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#sockets.delete(socket);
      this.#look();
    });
    let came = Buffer.alloc(0);
    socket.on("data", (bytes) => {
      came = Buffer.concat([came, bytes]);
      for (;;) {
        const end = came.indexOf("\r\n\r\n");
        if (end < 0) return;
        const [first = "", ...lines] = came.subarray(0, end).toString("latin1").split("\r\n");
        const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
        const length = Number(headers["content-length"] ?? 0);
        if (came.length < end + 4 + length) return;
        const [method = "", path = ""] = first.split(" ");
        const asked = { method, path, headers, body: came.subarray(end + 4, end + 4 + length).toString(), socket };
        came = came.subarray(end + 4 + length);
        this.requests.push(asked);
        const events = headers["accept"] === "text/event-stream" ? this.events : undefined;
        const reply = events ?? (this.replies.length > 1 ? this.replies.shift() : this.replies[0]);
        reply?.(socket, asked);
        this.#look();
      }
    });
  }
}
