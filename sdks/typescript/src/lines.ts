/** Files of a recording that have a JSON object in each line: captions, chat, events. */

import { manifest as manifestOf } from "./calls.js";
import { pieces } from "./download.js";
import { MeetbotDecodeError } from "./errors.js";
import { MOST_BYTES, exchange } from "./exchange.js";
import type { Manifest, ManifestFile } from "./models.js";
import { Unreadable, read } from "./read.js";
import type { Settings } from "./settings.js";
import { message, person, type Shape } from "./shapes.js";

type File = [name: (manifest: Manifest) => string | null | undefined, line: Shape];

/** The files, by the SDK's calls that read them. */
const FILES = {
  captions: [({ captions }) => captions, { fields: "speakerId speaker startMs# endMs# text" }] as File,
  chat: [({ chat }) => chat, message] as File,
  events: [
    ({ files }) => files.find(({ name }) => name === "events.jsonl")?.name,
    {
      fields: "type atMs~ attempt~ startedAt@ participant; id file participantId kind source codec rotation~ attributedBy startMs~ endMs~ reason lost~",
      inner: { participant: person },
    },
  ] as File,
};

/** All lines of a file; none where the manifest names none. */
export async function linesOf<T>(settings: Settings, jobId: string, which: keyof typeof FILES): Promise<T[]> {
  const manifest = (await exchange<Manifest>(settings, manifestOf(jobId))).data;
  const [nameIn, shape] = FILES[which];
  const name = nameIn(manifest);
  if (name === null || name === undefined) return [];
  const unknown: ManifestFile = { name, mediaType: null, bytes: null, sha256: null };
  const expected = manifest.files.find((file) => file.name === name) ?? unknown;
  const tooLarge = (): MeetbotDecodeError =>
    new MeetbotDecodeError(`${name} is larger than ${MOST_BYTES / 1024 / 1024} MiB: download it to a file, and read that line by line`, { attempts: 1 });
  if ((expected.bytes ?? 0) > MOST_BYTES) throw tooLarge();
  const found: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces(settings, jobId, name, { expected })) {
    found.push(piece);
    if ((length += piece.length) > MOST_BYTES) throw tooLarge();
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of found) {
    whole.set(piece, at);
    at += piece.length;
  }
  // A line ends with a line feed alone: U+2028 may stand in a text.
  return new TextDecoder().decode(whole).split("\n").flatMap((line, index) => {
    const value = objectIn(line);
    if (value === null) return [];
    try {
      return [read(shape, value) as T];
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      throw new MeetbotDecodeError(`${name}: line ${index + 1} is not what it should be: ${error.message}`, { attempts: 1 });
    }
  });
}

/** The object in the line. Other lines are skipped: a full disk may have truncated one. */
function objectIn(line: string): object | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
