// The worker that reads the encoded audio and writes nothing back, as Meet's worker does, which decodes by itself; or the one of a page with transforms,
// which writes back what it reads.

let frames = 0;

const read = async (readable) => {
  const reader = readable.getReader();
  for (;;) {
    const { done } = await reader.read();
    if (done) return;
    frames += 1;
    if (frames % 50 === 1) postMessage(frames);
  }
};

addEventListener("rtctransform", ({ transformer: { readable, writable } }) => readable.pipeTo(writable));
addEventListener("message", ({ data }) => read(data.readable));
