// Runs before the page's scripts. It passes out the data that the page's connections receive, unchanged, and without visible effects for the page:
// encoded audio frames and, if wanted, pictures, bytes of data channels, answers of one call. `capture.rs` reads it. No workers, no `eval`, no HTML: pages forbid them.
// Audio whose encoded frames cannot be taken is encoded again from what the page hears.
((NAME, CALL, PICTURES) => {
  'use strict';
  if (window !== window.top) return;
  const Peer = window.RTCPeerConnection;
  const { createEncodedStreams: createOfReceiver, getContributingSources, getSynchronizationSources } = RTCRtpReceiver.prototype;
  const createOfSender = RTCRtpSender.prototype.createEncodedStreams;
  const { setTimeout, setInterval, performance, btoa, JSON, Object, Uint8Array, DataView, TextEncoder, TransformStream, WeakMap, WeakSet, Blob } = window;
  const { MediaStreamTrackProcessor, AudioEncoder } = window;
  const text = new TextEncoder();

  // Batches, one every 20 ms; they are queued until the browser's binding exists.
  const MOST = 8 << 20;
  let out = null, parts = [], size = 0, due = false;
  const flush = () => {
    due = false;
    if (!out || !parts.length) return;
    const bytes = new Uint8Array(8 + size);
    new DataView(bytes.buffer).setFloat64(0, performance.now(), true);
    let at = 8;
    for (const part of parts) { bytes.set(part, at); at += part.length; }
    parts = []; size = 0;
    let binary = '';
    for (let from = 0; from < bytes.length; from += 8192) binary += String.fromCharCode.apply(null, bytes.subarray(from, from + 8192));
    out(btoa(binary));
  };
  const record = (kind, content) => {
    if (size > MOST) { parts = []; size = 0; }
    const bytes = new Uint8Array(5 + content.length);
    bytes[0] = kind;
    new DataView(bytes.buffer).setUint32(1, content.length, true);
    bytes.set(content, 5);
    parts.push(bytes); size += bytes.length;
    if (!due) { due = true; setTimeout(flush, 20); }
  };
  const happened = event => record(3, text.encode(JSON.stringify(event)));
  // The binding is added as a global. A setter removes it before the page can see it.
  const bound = window[NAME];
  if (typeof bound === 'function') { out = bound; delete window[NAME]; }
  else Object.defineProperty(Object.prototype, NAME, {
    configurable: true,
    enumerable: false,
    set(binding) { delete Object.prototype[NAME]; out = binding; flush(); },
  });

  let lanes = 0;
  const packet = (lane, { format, time, number, level, came, sources, data }) => {
    const bytes = new Uint8Array(20 + 4 * sources.length + data.length), view = new DataView(bytes.buffer);
    bytes[0] = format;
    bytes[1] = (number === undefined ? 0 : 1) | (typeof level === 'number' ? 2 : 0) | (typeof came === 'number' ? 4 : 0);
    view.setUint16(2, lane, true);
    view.setUint32(4, time, true);
    view.setUint16(8, number ?? 0, true);
    bytes[10] = typeof level === 'number' && level > 0 ? Math.min(127, Math.round(-20 * Math.log10(Math.min(1, level)))) : 127;
    view.setFloat64(11, came ?? 0, true);
    bytes[19] = sources.length;
    sources.forEach((source, place) => view.setUint32(20 + 4 * place, source, true));
    bytes.set(data, 20 + 4 * sources.length);
    record(1, bytes);
  };
  const reported = new WeakSet();
  const frame = (lane, receiver, encoded) => {
    const about = encoded.getMetadata();
    const mime = (about.mimeType || (about.payloadType === 63 ? 'audio/red' : 'audio/opus')).toLowerCase();
    const format = mime === 'audio/opus' ? 1 : mime === 'audio/red' ? 2 : 0;
    if (!format) {
      if (!reported.has(receiver)) { reported.add(receiver); happened({ k: 'format', lane, mime: mime.slice(0, 40) }); }
      return;
    }
    packet(lane, {
      format,
      time: about.rtpTimestamp ?? encoded.timestamp,
      number: about.sequenceNumber,
      level: about.audioLevel,
      came: about.receiveTime,
      sources: (about.contributingSources || []).slice(0, 15),
      data: new Uint8Array(encoded.data),
    });
  };

  // A frame of an unsupported format is passed out without its content, and at most this often.
  const UNKNOWN_EVERY_MS = 500;
  const FORMATS = ['video/vp8', 'video/vp9', 'video/h264', 'video/av1', 'video/h265'], HELD = 3;
  const unknownAt = new WeakMap();
  const picture = (lane, receiver, encoded) => {
    const about = encoded.getMetadata();
    const mime = String(about.mimeType || '').toLowerCase(), format = FORMATS.indexOf(mime) + 1;
    const isHeld = format > 0 && format <= HELD, layer = about.spatialIndex || 0;
    if (!isHeld || layer > 0) {
      const now = performance.now();
      if (now < (unknownAt.get(receiver) ?? -UNKNOWN_EVERY_MS) + UNKNOWN_EVERY_MS) return;
      unknownAt.set(receiver, now);
    }
    const sources = (about.contributingSources || []).slice(0, 15), data = isHeld && layer === 0 ? new Uint8Array(encoded.data) : new Uint8Array(0);
    const bytes = new Uint8Array(18 + 4 * sources.length + data.length), view = new DataView(bytes.buffer);
    const came = about.receiveTime;
    bytes[0] = format;
    bytes[1] = (encoded.type === 'key' ? 1 : 0) | (typeof came === 'number' ? 4 : 0);
    view.setUint16(2, lane, true);
    view.setUint32(4, about.rtpTimestamp ?? encoded.timestamp, true);
    bytes[8] = Math.min(layer, 255);
    view.setFloat64(9, came ?? 0, true);
    bytes[17] = sources.length;
    sources.forEach((source, place) => view.setUint32(18 + 4 * place, source, true));
    bytes.set(data, 18 + 4 * sources.length);
    record(5, bytes);
  };

  const taken = new WeakSet(), lost = new WeakSet();
  const laneOf = new WeakMap(), streamOf = new WeakMap();
  const begin = receiver => {
    const lane = ++lanes & 0xffff, { kind } = receiver.track, see = kind === 'audio' ? frame : picture;
    laneOf.set(receiver, lane);
    happened({ k: 'lane', lane, kind, stream: streamOf.get(receiver) ?? '' });
    return encoded => { try { if (!lost.has(receiver)) see(lane, receiver, encoded); } catch { /* The page gets it all the same. */ } };
  };
  // The stream that the meeting names for a picture.
  const noteStream = (receiver, [stream]) => {
    const id = stream ? String(stream.id).slice(0, 100) : '', lane = laneOf.get(receiver);
    streamOf.set(receiver, id);
    if (lane !== undefined) happened({ k: 'stream', lane, stream: id });
  };
  const isWatched = receiver => receiver.track.kind === 'audio' || PICTURES;
  // Not by promises that wait for each other, which would all be kept until the last.
  const drain = async (reader, use) => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      use(value);
    }
  };
  const look = see => new TransformStream({ transform(encoded, to) { see(encoded); to.enqueue(encoded); } });

  // The sources of the packet that the receiver played at a moment; null if it played none in the moment before. A busy page asks late: then a source that
  // was played last after the moment is older than the one that is played now, unless its voice has come back meanwhile. The mark of the loudest speaker moves between voices and tells nothing.
  const HEARD_MS = 100, LOUDEST = 42;
  const heard = (receiver, at) => {
    const contributing = getContributingSources.call(receiver), moment = performance.timeOrigin + at;
    const sources = [...contributing.filter(({ source }) => source !== LOUDEST), ...getSynchronizationSources.call(receiver)];
    sources.sort((one, other) => one.timestamp - other.timestamp);
    const found = sources.find(({ timestamp }) => timestamp >= moment) ?? sources.at(-1);
    if (!found || found.timestamp < moment - HEARD_MS) return null;
    const ofFound = contributing.filter(({ rtpTimestamp }) => rtpTimestamp === found.rtpTimestamp);
    return { level: found.audioLevel, sources: ofFound.map(({ source }) => source).slice(0, 15) };
  };
  // Nothing was played: quieter than any sound of 16 bits.
  const isSilent = value => {
    const samples = new Float32Array(value.numberOfFrames);
    for (let planeIndex = 0; planeIndex < value.numberOfChannels; planeIndex++) {
      value.copyTo(samples, { planeIndex, format: 'f32-planar' });
      if (samples.some(sample => Math.abs(sample) >= 1 / 32768)) return false;
    }
    return true;
  };
  // Audio of a receiver whose encoded frames cannot be taken: what it plays is encoded again (Opus, packets of 20 ms), and named by what it played at that time.
  const BITRATE = 48_000, MOST_QUEUED = 200;
  const encode = (receiver, lane) => {
    // What was played, in pieces of some 10 ms, of which each has its end in microseconds.
    const pieces = [];
    const output = chunk => {
      const middle = chunk.timestamp + 10_000;
      while (pieces.length > 1 && pieces[0].end <= middle) pieces.shift();
      const { played, came } = pieces[0] ?? {};
      if (!played) return;
      const data = new Uint8Array(chunk.byteLength);
      chunk.copyTo(data);
      packet(lane, { format: 1, time: Math.round(chunk.timestamp * 0.048) >>> 0, came, data, ...played });
    };
    // A busy page reads pieces late: the one that was read the least late tells when the others were played. It forgets slowly, since the clocks differ.
    let least = Infinity;
    const playedAt = timestamp => {
      least = Math.min(least + 0.001, performance.now() - timestamp / 1000);
      return timestamp / 1000 + least;
    };
    let encoder, format, wasSilent = true;
    const reader = new MediaStreamTrackProcessor({ track: receiver.track, maxBufferSize: MOST_QUEUED }).readable.getReader();
    const take = value => {
      const { sampleRate, numberOfChannels, timestamp, duration } = value;
      if (format !== `${sampleRate}/${numberOfChannels}`) {
        format = `${sampleRate}/${numberOfChannels}`;
        encoder ??= new AudioEncoder({ output, error: error => happened({ k: 'fault', message: `${error.name} of the encoder` }) });
        encoder.configure({ codec: 'opus', sampleRate, numberOfChannels, bitrate: BITRATE });
      }
      // The silence from before a voice has no source, also if the page reads it when the voice has begun. A packet of a voice may end in silence.
      const came = playedAt(timestamp), silent = isSilent(value), played = silent && wasSilent ? null : heard(receiver, came);
      wasSilent = silent;
      pieces.push({ end: timestamp + duration, played, came });
      if (encoder.encodeQueueSize < MOST_QUEUED) encoder.encode(value);
      value.close();
    };
    drain(reader, take).then(() => encoder?.close()).catch(error => happened({ k: 'fault', message: `${error.name} of the sound` }));
  };
  const canEncode = () => typeof MediaStreamTrackProcessor === 'function' && typeof AudioEncoder === 'function';
  const fallBack = receiver => {
    if (lost.has(receiver) || !isWatched(receiver)) return;
    lost.add(receiver);
    const lane = ++lanes & 0xffff, { kind } = receiver.track, encoded = kind === 'audio' && canEncode();
    laneOf.set(receiver, lane);
    happened({ k: 'lane', lane, kind, stream: streamOf.get(receiver) ?? '' });
    happened({ k: 'uncaptured', lane, kind, encoded });
    if (encoded) encode(receiver, lane);
  };

  const tap = receiver => {
    if (taken.has(receiver)) return;
    taken.add(receiver);
    let streams;
    // Streams beside a transform would get no frames, without an error.
    try { if (!receiver.transform) streams = createOfReceiver.call(receiver); } catch { /* This browser has none, or the page took them. */ }
    if (!streams) return fallBack(receiver);
    const { readable, writable } = streams;
    const seen = isWatched(receiver) ? readable.pipeThrough(look(begin(receiver))) : readable;
    seen.pipeTo(writable).catch(() => {});
  };
  const pipe = sender => {
    if (taken.has(sender)) return;
    taken.add(sender);
    try { const { readable, writable } = createOfSender.call(sender); readable.pipeTo(writable).catch(() => {}); } catch { /* The page took them. */ }
  };
  // A page that uses the streams itself gets one of two branches of audio. Pictures are captured before the page gets them: it may write them back, which empties them.
  if (createOfReceiver) RTCRtpReceiver.prototype.createEncodedStreams = function createEncodedStreams() {
    const streams = createOfReceiver.apply(this, arguments);
    taken.add(this);
    if (!isWatched(this)) return streams;
    if (this.track.kind !== 'audio') return { readable: streams.readable.pipeThrough(look(begin(this))), writable: streams.writable };
    const [ours, theirs] = streams.readable.tee(), reader = ours.getReader(), see = begin(this);
    drain(reader, see).catch(() => {});
    return { readable: theirs, writable: streams.writable };
  };
  if (createOfSender) RTCRtpSender.prototype.createEncodedStreams = function createEncodedStreams() {
    const streams = createOfSender.apply(this, arguments);
    taken.add(this);
    return streams;
  };

  // A transform replaces streams that were taken before.
  const transform = Object.getOwnPropertyDescriptor(RTCRtpReceiver.prototype, 'transform');
  if (transform?.set) Object.defineProperty(RTCRtpReceiver.prototype, 'transform', {
    ...transform,
    set(owner) {
      transform.set.call(this, owner);
      if (owner && taken.has(this)) fallBack(this);
    },
  });

  let peers = 0, channels = 0;
  const listen = channel => {
    const id = ++channels & 0xffff, label = String(channel.label).slice(0, 100);
    const bytes = content => {
      const message = new Uint8Array(2 + content.length);
      new DataView(message.buffer).setUint16(0, id, true);
      message.set(content, 2);
      record(2, message);
    };
    // Before its first message, whatever the order of the browser's events is.
    let isOpen = false;
    const opened = () => {
      if (!isOpen) happened({ k: 'channel', id, label, open: true });
      isOpen = true;
    };
    if (channel.readyState === 'open') opened(); else channel.addEventListener('open', opened);
    channel.addEventListener('close', () => happened({ k: 'channel', id, label, open: false }));
    channel.addEventListener('message', ({ data }) => {
      opened();
      if (typeof data === 'string') bytes(text.encode(data));
      else if (data instanceof Blob) data.arrayBuffer().then(content => bytes(new Uint8Array(content)));
      else bytes(new Uint8Array(data));
    });
  };
  const open = Peer.prototype.createDataChannel;
  Peer.prototype.createDataChannel = function createDataChannel() {
    const channel = open.apply(this, arguments);
    listen(channel);
    return channel;
  };
  const describe = Peer.prototype.setLocalDescription;
  Peer.prototype.setLocalDescription = function setLocalDescription() {
    this.getSenders().forEach(pipe);
    return describe.apply(this, arguments);
  };
  const Watched = new Proxy(Peer, {
    construct(target, [configuration, ...rest], made) {
      const peer = Reflect.construct(target, [Object.assign({}, configuration, { encodedInsertableStreams: true }), ...rest], made === Watched ? target : made);
      const id = ++peers;
      peer.addEventListener('track', event => {
        noteStream(event.receiver, event.streams);
        // After the page's handlers, which may use the streams.
        setTimeout(() => tap(event.receiver), 0);
      });
      peer.addEventListener('datachannel', ({ channel }) => listen(channel));
      peer.addEventListener('connectionstatechange', () => happened({ k: 'peer', id, state: peer.connectionState }));
      return peer;
    },
  });
  Peer.prototype.constructor = Watched;
  window.RTCPeerConnection = Watched;
  if (window.webkitRTCPeerConnection) window.webkitRTCPeerConnection = Watched;

  const answered = body => record(4, text.encode(body));
  const isWanted = url => String(url).includes(CALL);
  const fetch = window.fetch;
  window.fetch = function (input) {
    const answer = fetch.apply(this, arguments);
    if (isWanted(input && input.url || input)) answer.then(whole => whole.clone().text()).then(answered).catch(() => {});
    return answer;
  };
  const begins = XMLHttpRequest.prototype.open;
  XMLHttpRequest.prototype.open = function open(_, url) {
    if (isWanted(url)) this.addEventListener('load', () => {
      if (this.responseType === '' || this.responseType === 'text') answered(this.responseText);
      else if (this.responseType === 'arraybuffer') record(4, new Uint8Array(this.response));
    });
    return begins.apply(this, arguments);
  };

  // The page shows its devices as off until it has them.
  let asking = 0;
  const ask = MediaDevices.prototype.getUserMedia, asks = change => happened({ k: 'devices', asking: asking += change });
  const answers = () => asks(-1);
  asks(0);
  MediaDevices.prototype.getUserMedia = function getUserMedia() {
    const stream = ask.apply(this, arguments);
    asks(1);
    stream.then(answers, answers);
    return stream;
  };

  const fault = error => happened({ k: 'fault', message: String(error && error.message || error).slice(0, 200) });
  window.addEventListener('error', ({ error, message }) => fault(error || message));
  window.addEventListener('unhandledrejection', ({ reason }) => fault(reason));
  setInterval(() => happened({ k: 'beat' }), 1000);
})
