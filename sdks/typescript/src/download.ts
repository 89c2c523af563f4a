/** Fetches recorded files piece by piece, so that a connection that breaks costs a piece, and checks them. */

import { artifact, manifest as manifestOf } from "./calls.js";
import { MeetbotDecodeError, MeetbotError, MeetbotFileError, unusable } from "./errors.js";
import { exchange, MOST_BYTES } from "./exchange.js";
import type { Manifest, ManifestFile } from "./models.js";
import { files, now, randomHex } from "./runtime.js";
import { Scope } from "./scope.js";
import { hex, sha256 } from "./sha256.js";
import type { AbortSignalLike, Settings } from "./settings.js";

/** How far the download of a file has come. */
export interface Progress {
  /** The file. */
  name: string;
  /** How many bytes are there. */
  received: number;
  /** How many there will be; `null` while that is not known. */
  total: number | null;
}

/** How a file is downloaded. */
export interface DownloadOptions {
  /** The file's entry in the manifest: its size and hash are checked. */
  expected?: ManifestFile | undefined;
  /** Called after each piece. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /** Ends the download at once; nothing is left of it. */
  signal?: AbortSignalLike | undefined;
}

/** How a whole recording is downloaded. */
export interface DownloadAllOptions extends Omit<DownloadOptions, "expected"> {
  /** Whether to wait, ten minutes at most, for a mix of all speakers that is still to be made; true by default. */
  waitForMix?: boolean | undefined;
}

/** How many bytes are asked for at a time. A piece has to come within the time of one try. */
const PIECE = 1024 * 1024;
/** How many are asked for at least, where larger pieces take too long. */
const LEAST = 64 * 1024;
/** How long a download waits at most for a mix that is still to be made, in milliseconds. */
const LONGEST_MIX_MS = 10 * 60_000;

/** How long to wait before the manifest of a pending mix is asked for again, after having waited for so long: a tenth of that. `null` after the longest time. */
export function mixPause(waited: number): number | null {
  const left = LONGEST_MIX_MS - waited;
  return left > 0 ? Math.min(Math.max(waited / 10, 200), 5_000, left) : null;
}

/** The pieces of a file. It fails at its end where they are not what `expected` says. */
export async function* pieces(settings: Settings, jobId: string, name: string, options: DownloadOptions): AsyncGenerator<Uint8Array, void> {
  const request = artifact(jobId, name);
  const { expected, onProgress, signal } = options;
  const digest = sha256();
  let piece = PIECE;
  let received = 0;
  let total = expected?.bytes ?? null;
  do {
    const headers = { accept: "*/*", range: `bytes=${received}-${received + piece - 1}` };
    // A server without ranges gives all at once.
    const most = received === 0 ? Math.max(total ?? MOST_BYTES, piece) : piece;
    let answer;
    try {
      answer = (await exchange(settings, { ...request, ...(total !== 0 && { headers }) }, { most, takes: 416, ...(signal && { signal }) })).response;
    } catch (error) {
      if (!(error instanceof MeetbotError) || error.kind !== "timeout" || piece <= LEAST) throw error;
      piece = Math.max(piece / 4, LEAST);
      continue;
    }
    const { status, body } = answer;
    const wrong = (why: string): MeetbotError => new MeetbotDecodeError(`${name}: ${why}`, { status, requestId: answer.requestId, attempts: answer.attempts });
    const range = answer.headers.get("content-range") ?? "";
    let size: number;
    if (status === 206) {
      const [, start, end, whole] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(range) ?? [];
      const promised = Number(end) - received + 1;
      // Less than was promised is kept, and the rest asked for.
      if (whole === undefined || Number(start) !== received || Number(end) >= Number(whole) || body.length > Math.min(promised, piece)) {
        throw wrong(`the piece from ${received} was asked for, and ${JSON.stringify(range)} with ${body.length} bytes came`);
      }
      size = Number(whole);
    } else if (status === 416) {
      // An empty file has no first byte.
      if (received > 0 || range !== "bytes */0") throw wrong(`the piece from ${received} was asked for, and is not there (${JSON.stringify(range)})`);
      size = 0;
    } else if (received === 0) {
      size = body.length;
    } else {
      throw wrong("a piece was asked for, and all of it came");
    }
    if (total !== null && size !== total) throw wrong(`it has ${size} bytes, not ${total}`);
    total = size;
    const bytes = status === 416 ? new Uint8Array(0) : body;
    received += bytes.length;
    if (received > total || (bytes.length === 0 && received < total)) throw wrong(`${received} bytes of ${total} came`);
    digest.update(bytes);
    if (received === total && expected?.sha256) {
      const found = hex(digest.digest());
      if (found !== expected.sha256.toLowerCase()) throw wrong(`it is not what the manifest says: SHA-256 ${found}, not ${expected.sha256}`);
    }
    onProgress?.({ name, received, total });
    if (bytes.length > 0) yield bytes;
  } while (total === null || received < total);
}

/** Writes a file beside its place, and moves it there when it is whole and right. Nothing is left of what failed. */
export async function toFile(settings: Settings, jobId: string, name: string, target: string, options: DownloadOptions): Promise<string> {
  const { open, rename, rm, stat } = files();
  if (typeof target !== "string" || target === "" || target.includes("\0")) throw unusable("the target is the name of a file");
  if (await stat(target).then((found) => found.isDirectory(), () => false)) {
    throw unusable(`the target is the file to write, and ${JSON.stringify(target)} is a folder`);
  }
  // A unique name: two downloads of one target do not share a file.
  const part = `${target}.${randomHex(4)}.part`;
  const file = await open(part, "wx").catch((error: unknown) => unwritable(part, error));
  try {
    try {
      for await (const piece of pieces(settings, jobId, name, options)) {
        await file.writeFile(piece).catch((error: unknown) => unwritable(part, error));
      }
      await file.sync().catch((error: unknown) => unwritable(part, error));
    } finally {
      // On a full disk closing fails too.
      await file.close().catch(() => {});
    }
    await rename(part, target).catch((error: unknown) => unwritable(target, error));
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    throw error;
  }
  return target;
}

/** Writes all files of a recording into a folder, which is made where it is missing, the manifest last. */
export async function toFolder(settings: Settings, jobId: string, folder: string, options: DownloadAllOptions): Promise<string[]> {
  const { onProgress, signal, waitForMix = true } = options;
  const scope = new Scope(settings.signal, signal);
  try {
    const began = now();
    await files().mkdir(folder, { recursive: true }).catch((error: unknown) => unwritable(folder, error));
    let manifest: Manifest;
    for (;;) {
      manifest = (await exchange<Manifest>(settings, manifestOf(jobId), signal && { signal })).data;
      const pause = waitForMix && manifest.mixed.state === "pending" ? mixPause(now() - began) : null;
      if (pause === null) break;
      await scope.pause(pause);
    }
    const written: string[] = [];
    for (const file of manifest.files) {
      const name = flat(file.name);
      written.push(await toFile(settings, jobId, name, `${folder}/${name}`, { expected: file, onProgress, signal }));
    }
    written.push(await toFile(settings, jobId, "manifest.json", `${folder}/manifest.json`, { signal }));
    return written;
  } finally {
    scope.end();
  }
}

/** The name of a file in a folder: one that leads elsewhere is refused, as is none. */
function flat(name: string | null): string {
  if (name === null || name === "" || name === "." || name === ".." || /[/\\\0]/.test(name)) {
    throw new MeetbotDecodeError(`the manifest names a file ${JSON.stringify(name)}, which is no file's name`);
  }
  return name;
}

function unwritable(path: string, error: unknown): never {
  throw new MeetbotFileError(`${path} cannot be written: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
