// Reads the audio levels of a recording from its `levels.bin`. Pure. The bytes are not trusted: an invalid file has no levels.

/**
 * @typedef {object} Loudness The levels of one track.
 * @property {string} who The id of the participant.
 * @property {number} startMs Where the track begins, in ms of the recording.
 * @property {number} binMs The time of one level, in ms.
 * @property {Uint8Array[]} steps Each level in dB below full scale, or 255 where there is none. In each further list a level is the loudest of eight of the list before.
 */

/** A part without a level. */
export const UNKNOWN = 255;
/** The quietest level. */
const QUIETEST = 127;
/** The first line is shorter than this, in bytes. */
const LONGEST_LINE = 4 << 20;
/** How many levels are one level of the next list. */
const STEP = 8;
/** A list that is not longer has no next list. */
const SHORTEST = 64;
/** From this many dB below full scale on nothing is drawn, and up to this many the full height. */
const [LOWEST, HIGHEST] = [60, 12];

/** @param {Uint8Array} bytes @returns {Loudness[]} */
export function loudness(bytes) {
  const end = bytes.subarray(0, LONGEST_LINE).indexOf(10);
  const header = end < 0 ? null : parsed(bytes.subarray(0, end));
  if (header?.version !== 1 || !isWhole(header.binMs, 1) || !Array.isArray(header.tracks)) return [];
  /** @type {Loudness[]} */
  const all = [];
  let at = end + 1;
  for (const track of header.tracks) {
    const { participantId: who, startMs, bins } = track ?? {};
    if (typeof who !== "string" || !isWhole(startMs, 0) || !isWhole(bins, 0) || at + bins > bytes.length) return [];
    all.push({ who, startMs, binMs: header.binMs, steps: steps(bytes.subarray(at, at + bins)) });
    at += bins;
  }
  return all;
}

/** @param {Uint8Array} line @returns {any} */
function parsed(line) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line));
  } catch {
    return null;
  }
}

/** @param {unknown} number @param {number} least */
function isWhole(number, least) {
  return Number.isSafeInteger(number) && Number(number) >= least;
}

/** @param {Uint8Array} levels @returns {Uint8Array[]} */
function steps(levels) {
  const steps = [levels.map((level) => (level > QUIETEST ? UNKNOWN : level))];
  for (let last = steps[0]; last && last.length > SHORTEST; last = steps.at(-1)) {
    const next = new Uint8Array(Math.ceil(last.length / STEP)).fill(UNKNOWN);
    for (let index = 0; index < last.length; index += 1) {
      const [place, level] = [Math.floor(index / STEP), last[index] ?? UNKNOWN];
      if (level < (next[place] ?? 0)) next[place] = level;
    }
    steps.push(next);
  }
  return steps;
}

/** The loudest level of each of `count` equal parts of a time. @param {Loudness} track @param {number} from @param {number} to @param {number} count @returns {Uint8Array} */
export function columns({ startMs, binMs, steps }, from, to, count) {
  const columns = new Uint8Array(count).fill(UNKNOWN);
  const part = (to - from) / count;
  let [step, long] = [0, binMs];
  while (step + 1 < steps.length && long * STEP <= part) [step, long] = [step + 1, long * STEP];
  const levels = steps[step] ?? columns;
  for (let column = 0; column < count; column += 1) {
    const begins = from + column * part - startMs;
    const last = Math.min(levels.length, Math.ceil((begins + part) / long));
    for (let bin = Math.max(0, Math.floor(begins / long)); bin < last; bin += 1) {
      const level = levels[bin] ?? UNKNOWN;
      if (level < (columns[column] ?? 0)) columns[column] = level;
    }
  }
  return columns;
}

/** The loudest level between two moments. @param {Loudness[]} tracks @param {number} from @param {number} to */
export function loudest(tracks, from, to) {
  return Math.min(UNKNOWN, ...tracks.map((track) => columns(track, from, to, 1)[0] ?? UNKNOWN));
}

/** How high a level is drawn, from 0 to 1. @param {number} level */
export function height(level) {
  return Math.min(1, Math.max(0, (LOWEST - level) / (LOWEST - HIGHEST)));
}
