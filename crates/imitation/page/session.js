// The media session: three lanes of audio, the data channel with the roster, and the playback.

import { post, report } from "./dom.js";
import { devices } from "./devices.js";

const SYNC = "/$rpc/google.rtc.meetings.v1.MeetingSpaceService/SyncMeetingSpaceCollections";
const SYNCS_EVERY_MS = 5_000;
const LANES = 3;
// In one dialect.
const TRANSFORMS_AFTER_MS = 200;

let connection;
let captions;
let captionsLabel;
let syncs;
let worker;

// A strict content security policy forbids script URLs from strings, so this page defines a policy, as the real one does.
const policy = trustedTypes.createPolicy("imitation", { createScriptURL: (url) => url });

const workerOf = () => {
  if (worker === undefined) {
    worker = new Worker(policy.createScriptURL("/imitation/neteq.js"));
    worker.addEventListener("message", ({ data }) => report({ worker_frames: data }));
  }
  return worker;
};

const playNative = (track) => {
  const audio = document.createElement("audio");
  audio.autoplay = true;
  audio.srcObject = new MediaStream([track]);
  audio.hidden = true;
  document.body.append(audio);
  audio.play().catch(() => {});
};

// The page's stored setting "audio only".
const takesVideo = () => {
  try {
    return JSON.parse(localStorage.getItem("meet-preferences"))?.[8]?.[5] !== 1;
  } catch {
    return true;
  }
};

const playVideo = (track) => {
  const video = document.createElement("video");
  video.autoplay = video.muted = true;
  video.width = 320;
  video.srcObject = new MediaStream([track]);
  document.body.append(video);
};

// One dialect uses event listeners, the other properties.
const on = (peer, kind, dialect, handle) => {
  if (dialect === "labels") peer.addEventListener(kind, handle);
  else peer[`on${kind}`] = handle;
};

const listen = (peer, sound, dialect) => {
  const neteq = sound === "neteq";
  on(peer, "track", dialect, ({ receiver, track }) => {
    if (sound === "transform") {
      const attach = () => (receiver.transform = new RTCRtpScriptTransform(workerOf()));
      if (dialect === "labels") attach();
      else setTimeout(attach, TRANSFORMS_AFTER_MS);
    }
    if (track.kind === "video") {
      playVideo(track);
      if (!neteq) return;
      const { readable, writable } = receiver.createEncodedStreams();
      readable.pipeTo(writable).catch(() => {});
      return;
    }
    if (!neteq) {
      playNative(track);
      return;
    }
    // Not in the event itself, but directly after it.
    queueMicrotask(() => {
      const { readable } = receiver.createEncodedStreams();
      workerOf().postMessage({ readable }, [readable]);
    });
  });
};

const sendOwn = (peer, neteq) => {
  const [microphone] = devices.stream?.getAudioTracks() ?? [];
  if (microphone === undefined) return;
  const { sender } = peer.addTransceiver(microphone, { direction: "sendonly", streams: [devices.stream] });
  if (!neteq) return;
  const { readable, writable } = sender.createEncodedStreams();
  readable.pipeTo(writable).catch(() => {});
};

const sync = (dialect) => {
  // Some real pages use fetch, others XMLHttpRequest.
  if (dialect === "labels") {
    fetch(SYNC, { method: "POST", headers: { "content-type": "application/x-protobuf" }, body: "CAE=" }).catch(() => {});
    return;
  }
  const request = new XMLHttpRequest();
  request.open("POST", SYNC);
  request.setRequestHeader("content-type", "application/x-protobuf");
  request.send("CAE=");
};

export const closeSession = () => {
  clearInterval(syncs);
  connection?.close();
  connection = captions = undefined;
};

export const openSession = async (view) => {
  closeSession();
  const neteq = view.sound === "net_eq" && "createEncodedStreams" in RTCRtpReceiver.prototype;
  const sound = neteq ? "neteq" : view.sound === "transform" ? "transform" : "native";
  report({ sound });
  // The older name is also used.
  const Connection = (view.dialect === "text" && window.webkitRTCPeerConnection) || RTCPeerConnection;
  const peer = new Connection({
    bundlePolicy: "max-bundle",
    iceServers: [],
    ...(neteq ? { encodedInsertableStreams: true } : {}),
  });
  connection = peer;
  if (!(peer instanceof RTCPeerConnection) || typeof RTCPeerConnection.generateCertificate !== "function") {
    report({ page_error: "RTCPeerConnection is not what it was" });
  }
  listen(peer, sound, view.dialect);
  on(peer, "datachannel", view.dialect, ({ channel }) => (channel.binaryType = "arraybuffer"));
  for (let lane = 0; lane < LANES; lane += 1) peer.addTransceiver("audio", { direction: "recvonly" });
  // A camera, and a screen.
  if (takesVideo()) for (const _ of [0, 1]) peer.addTransceiver("video", { direction: "recvonly" });
  sendOwn(peer, neteq);
  peer.createDataChannel("media-director", { ordered: true });
  peer.createDataChannel("media-session", { ordered: true });
  if (captionsLabel) setCaptions(true, captionsLabel);
  await peer.setLocalDescription();
  if (peer.iceGatheringState !== "complete") {
    await new Promise((resolve) => {
      peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && resolve());
    });
  }
  const answer = await post("/imitation/session", { sdp: peer.localDescription.sdp });
  const sdp = await answer.text();
  if (connection !== peer) return;
  if (!answer.ok) throw new Error(`the session was refused: ${sdp}`);
  await peer.setRemoteDescription({ type: "answer", sdp });
  sync(view.dialect);
  syncs = setInterval(() => sync(view.dialect), SYNCS_EVERY_MS);
};

export const setCaptions = (on, label) => {
  captions?.close();
  captionsLabel = on ? label : undefined;
  captions = on ? connection?.createDataChannel(label, { ordered: true, maxRetransmits: 10 }) : undefined;
};
