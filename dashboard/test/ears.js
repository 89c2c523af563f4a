// Observes a page that plays a recording: when the tone of each voice begins, and when each picture turns white. The results are in `window.noticed`.

/**
 * @typedef {object} Noticed
 * @property {string} what The file.
 * @property {number} at When it was heard or seen, in ms of the page's clock.
 * @property {number} ms Where the player's clock was then.
 */

/** Runs in the page before anything else: keeps the media elements that are made, which are in no document. */
const keep = `{
  window.noticed = [];
  window.made = [];
  const create = document.createElement;
  document.createElement = function (tag, options) {
    const element = create.call(this, tag, options);
    if (tag === "audio" || tag === "video") window.made.push(element);
    return element;
  };
}`;

/** Runs in the page's sound thread: all voices have the same clock there. A tone begins after at least 300 ms without one. */
const ears = `
  class Ears extends AudioWorkletProcessor {
    loud = [];
    process(inputs) {
      inputs.forEach(([samples], voice) => {
        for (let at = 0; at < (samples?.length ?? 0); at += 1) {
          if (Math.abs(samples[at]) < 0.1) continue;
          const now = currentFrame + at;
          if (!(now - this.loud[voice] < 0.3 * sampleRate)) this.port.postMessage({ voice, second: now / sampleRate });
          this.loud[voice] = now;
        }
      });
      return true;
    }
  }
  registerProcessor("ears", Ears);
`;

const listen = `(async () => {
  const player = document.querySelector("recording-player");
  const nameOf = (media) => decodeURIComponent(media.src.split("/").at(-1));
  const notice = (what, at) => window.noticed.push({ what, at, ms: player.ms - (performance.now() - at) });
  const context = new AudioContext();
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([${JSON.stringify(ears)}], { type: "text/javascript" })));
  const voices = window.made.filter((media) => media.localName === "audio");
  const node = new AudioWorkletNode(context, "ears", { numberOfInputs: Math.max(1, voices.length) });
  voices.forEach((media, voice) => context.createMediaElementSource(media).connect(node, 0, voice));
  node.connect(context.destination);
  node.port.onmessage = ({ data: { voice, second } }) => {
    const { contextTime, performanceTime } = context.getOutputTimestamp();
    notice(nameOf(voices[voice]), performanceTime + (second - contextTime) * 1000);
  };
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  for (const media of window.made.filter((media) => media.localName === "video")) {
    let wasWhite = true;
    const look = (now, { expectedDisplayTime }) => {
      pen.drawImage(media, 0, 0, 1, 1);
      const isWhite = pen.getImageData(0, 0, 1, 1).data[1] > 128;
      if (isWhite && !wasWhite) notice(nameOf(media), expectedDisplayTime);
      wasWhite = isWhite;
      media.requestVideoFrameCallback(look);
    };
    media.requestVideoFrameCallback(look);
  }
  await context.resume();
})()`;

/** Prepares a page, before it is opened: its policy must not forbid the sound thread's code. @param {any} page */
export async function prepareEars(page) {
  await page.addInitScript(keep);
}

/** Begins to listen to the player that is shown. @param {any} page */
export async function listenToPlayer(page) {
  await page.evaluate(listen);
}

/** The observations since the last call. @param {any} page @returns {Promise<Noticed[]>} */
export function noticed(page) {
  return page.evaluate("window.noticed.splice(0)");
}

/**
 * For each second of the meeting, by how many ms each file was later than the first.
 * @param {Noticed[]} all @returns {Map<number, Map<string, number>>}
 */
export function seconds(all) {
  /** @type {Map<number, Map<string, number>>} */
  const found = new Map();
  for (const { what, at, ms } of all) {
    const second = Math.round(ms / 1000);
    const files = found.get(second) ?? new Map();
    found.set(second, files.set(what, at));
  }
  for (const files of found.values()) {
    const first = Math.min(...files.values());
    for (const [what, at] of files) files.set(what, at - first);
  }
  return found;
}
