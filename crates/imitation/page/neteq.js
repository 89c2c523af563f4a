// The worker that takes the encoded audio and writes nothing back, as the one does in which Meet decodes by itself.

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
