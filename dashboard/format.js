// Times, lengths and sizes as people read them.

const DAY = 86_400_000;

/** A length in the recording, as in `1:02:03`. @param {number} ms */
export function clock(ms) {
  const all = Math.floor(Math.abs(ms) / 1000);
  const sign = ms < 0 && all > 0 ? "−" : "";
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  return sign + (hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`);
}

/** A length of time, as in `3 min 20 s`. @param {number} ms */
export function length(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}

/** A moment as time of day, with its date where that is not today's. @param {string | null | undefined} moment @param {number} now */
export function moment(moment, now) {
  if (!moment) return "–";
  const at = new Date(moment);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return at.toDateString() === new Date(now).toDateString() ? time : `${at.toLocaleDateString()} ${time}`;
}

/** A moment as a field for date and time has it, to the second. @param {number} ms */
export function field(ms) {
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** How long ago, or how far ahead. @param {string | null | undefined} moment @param {number} now */
export function ago(moment, now) {
  if (!moment) return "–";
  const ms = now - Date.parse(moment);
  const far = Math.abs(ms);
  const text = far < 60_000 ? `${Math.round(far / 1000)} s` : far < 3_600_000 ? `${Math.round(far / 60_000)} min` : far < 2 * DAY ? `${Math.round(far / 3_600_000)} h` : `${Math.round(far / DAY)} days`;
  if (far < 1500) return "now";
  return ms < 0 ? `in ${text}` : `${text} ago`;
}

/** Bytes, as in `1.2 MB`. @param {number | null | undefined} bytes */
export function size(bytes) {
  if (bytes == null) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [number, unit] = [bytes, 0];
  while (number >= 1000 && unit < units.length - 1) [number, unit] = [number / 1000, unit + 1];
  return `${number >= 100 || unit === 0 ? Math.round(number) : number.toFixed(1)} ${units[unit]}`;
}

/** A word of the API, as text. @param {string | null | undefined} word */
export function word(word) {
  return word ? word.replaceAll("_", " ") : "–";
}
