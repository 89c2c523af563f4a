/** Features of the runtime: the only file that uses its modules and its clock. */

import { unusable } from "./errors.js";
import { VERSION } from "./version.js";

interface Process {
  readonly versions?: Record<string, string | undefined>;
  readonly env?: Record<string, string | undefined>;
  getBuiltinModule?(name: string): unknown;
  emitWarning?(text: string, options: { code: string }): void;
}

/** What this package uses of `node:crypto`. */
export interface NodeCrypto {
  createHash(name: "sha256"): Hasher;
  createHmac(name: "sha256", key: Uint8Array): Hasher;
}

interface Hasher {
  update(bytes: Uint8Array): unknown;
  digest(): Uint8Array;
}

/** What this package uses of `node:fs/promises`. */
export interface NodeFiles {
  mkdir(path: string, options: { recursive: true }): Promise<unknown>;
  open(path: string, flags: "wx"): Promise<NodeFile>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string, options: { force: true }): Promise<void>;
  stat(path: string): Promise<{ isDirectory(): boolean }>;
}

/** A file that is written. */
export interface NodeFile {
  writeFile(bytes: Uint8Array): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

const process = (globalThis as { process?: Process }).process;

let named: string | undefined;

/** How the runtime calls itself. Asked once: in Node.js the answer is put together anew each time. */
function agent(): string {
  return (named ??= (globalThis as { navigator?: { userAgent?: string } }).navigator?.userAgent ?? "");
}

/** Cloudflare's Workers, where fetch refuses `cache` with older compatibility dates. */
export function isWorker(): boolean {
  return agent() === "Cloudflare-Workers";
}

/** A page or a worker of a browser; not Node.js with a simulated one. */
export function isBrowser(): boolean {
  return agent().startsWith("Mozilla/") && !process?.versions?.["node"];
}

let made: string | null | undefined;

/** `User-Agent`: this package and the runtime; none in browsers, which keep their own. It is put together once. */
export function userAgent(): string | null {
  if (made === undefined) made = isBrowser() ? null : describe();
  return made;
}

function describe(): string {
  const name = ["bun", "deno", "node"].find((name) => process?.versions?.[name]);
  return `meetbot-js/${VERSION} ${name === undefined ? agent() : `${name}/${process?.versions?.[name]}`}`.trim();
}

/** A variable of the environment that is set and not empty. */
export function variable(name: string): string | undefined {
  try {
    const value = process?.env?.[name];
    return value === undefined || value.trim() === "" ? undefined : value;
  } catch {
    // Deno asks for permission, and it was not given.
    return undefined;
  }
}

/** Shows a warning as the runtime does: Node.js, Deno and Bun on standard error, where it can be switched off by its code. */
export function warn(text: string, code: string): void {
  if (process?.emitWarning) process.emitWarning(text, { code });
  else (globalThis as { console?: { warn(text: string): void } }).console?.warn(text);
}

/** A module of Node.js; `undefined` where there is none. Never by an import, on which bundlers for other runtimes fail. */
function builtin<T>(name: string): T | undefined {
  try {
    return process?.getBuiltinModule?.(name) as T | undefined;
  } catch {
    return undefined;
  }
}

/** `node:crypto`, where there is one. */
export const nodeCrypto: NodeCrypto | undefined = builtin<NodeCrypto>("node:crypto");

/** `node:fs/promises`. */
export function files(): NodeFiles {
  const found = builtin<NodeFiles>("node:fs/promises");
  if (found === undefined) throw unusable("there are no files here (they need Node.js 22.3, Deno 2.1 or Bun): use artifactStream");
  return found;
}

/** The steady clock, in milliseconds. */
export function now(): number {
  return performance.now();
}

/** The wall clock, in milliseconds since 1970. */
export function wallClock(): number {
  return Date.now();
}

/** So many random bytes in hex. */
export function randomHex(bytes: number): string {
  let hex = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(bytes))) hex += byte.toString(16).padStart(2, "0");
  return hex;
}
