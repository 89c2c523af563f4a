// Records data of the page for the test: positions of elements, messages of `collections`, the sources of each lane.
(() => {
  if (window !== top) return;
  const test = { collections: [], captions: [], pictures: [], frames: [], connections: [] };
  Object.defineProperty(window, "test", { value: test, enumerable: false });

  const nameOf = (found) => {
    const by = found.getAttribute("aria-labelledby");
    return (found.getAttribute("aria-label") ?? (by ? document.getElementById(by)?.textContent : undefined) ?? found.innerText ?? "").trim();
  };
  window.placeOf = (name) => {
    for (const found of document.querySelectorAll("button,[role=button],input,textarea,[role=textbox],[aria-label] [contenteditable]")) {
      const label = found.labels?.[0]?.innerText ?? nameOf(found);
      const parent = found.parentElement?.getAttribute("aria-label") ?? "";
      if (label !== name && parent !== name) continue;
      if (found.disabled) continue;
      const box = found.getBoundingClientRect();
      if (box.width < 5 || box.height < 5) continue;
      const place = [box.x + box.width / 2, box.y + box.height / 2];
      if (found.contains(document.elementFromPoint(...place))) return place;
    }
    return null;
  };

  const unpack = async (bytes) => {
    for (const [format, from] of [["deflate", 0], ["gzip", 0], ["gzip", 3], ["deflate-raw", 0]]) {
      try {
        const stream = new Blob([bytes.slice(from)]).stream().pipeThrough(new DecompressionStream(format));
        return [format + from, await new Response(stream).arrayBuffer()];
      } catch {}
    }
    return ["plain0", bytes];
  };
  const text = (bytes) => new TextDecoder("utf-8", { fatal: false }).decode(bytes);

  // Frames are captured only if a test asks for it, since the page then plays no audio.
  const asked = new URLSearchParams(location.search);
  const tap = asked.has("tap");
  if (asked.has("audio")) localStorage.setItem("meet-preferences", "[0,0,0,0,0,0,0,0,[0,0,0,0,0,1]]");
  if (asked.has("hide")) delete RTCRtpReceiver.prototype.createEncodedStreams;
  const Original = RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    constructor(configuration) {
      super(tap ? { ...configuration, encodedInsertableStreams: true } : configuration);
      test.connections.push(this);
      this.addEventListener("datachannel", ({ channel }) => {
        if (channel.label !== "collections") return;
        channel.addEventListener("message", async ({ data }) => {
          const [packing, bytes] = await unpack(data);
          test.collections.push([packing, text(bytes)]);
        });
      });
      this.createDataChannel = (label, options) => {
        const channel = super.createDataChannel(label, options);
        channel.binaryType = "arraybuffer";
        if (label.startsWith("captions")) channel.addEventListener("message", ({ data }) => test.captions.push(text(data)));
        return channel;
      };
      this.addEventListener("track", ({ receiver, track, streams }) => {
        if (!tap) return;
        if (track.kind === "video") {
          // The first is the camera's, the second the screen's.
          test.stream ??= streams[0].id;
          const { readable } = receiver.createEncodedStreams();
          readable.pipeTo(new WritableStream({ write: (frame) => void test.pictures.push([frame.type, frame.getMetadata().width]) }));
          return;
        }
        const lane = test.frames.push([]) - 1;
        const { readable } = receiver.createEncodedStreams();
        readable.pipeTo(
          new WritableStream({
            write(frame) {
              const { contributingSources, rtpTimestamp, payloadType, mimeType, audioLevel } = frame.getMetadata();
              test.frames[lane].push({ csrcs: contributingSources, rtpTimestamp, payloadType, mimeType, audioLevel, first: new Uint8Array(frame.data)[0] });
            },
          }),
        );
      });
    }
  };
  window.webkitRTCPeerConnection = window.RTCPeerConnection;
  // All CSRCs on the lanes of the newest connection in the last 10 s.
  test.named = () => {
    const lanes = test.connections.at(-1)?.getReceivers() ?? [];
    const sources = lanes.map((lane) => lane.getContributingSources().map(({ source }) => source).sort());
    return sources.filter((named) => named.length > 0);
  };
})();
