// The worker that reads the encoded audio and writes nothing back, as Meet's worker does, which decodes by itself.

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

addEventListener("message", ({ data }) => read(data.readable));
