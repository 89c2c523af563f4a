//! Reads the batches of the script in the page: encoded frames, bytes of data channels, answers of calls, and events of connections. Pure.
//!
//! A batch is base64 of a time (`performance.now()` in ms, a 64-bit float) and of records, each with its kind (1 byte), its length (4 bytes) and its content;
//! all numbers are little-endian. `capture.js` writes it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::{media::Codec, platforms::browser::red};

/// The most sources that one packet names (RFC 3550, 5.1).
const MOST_SOURCES: usize = 15;
/// The longest delay of a frame in the page, in ms.
const MOST_HELD_MS: f64 = 10_000.0;

/// An entry of a batch.
#[derive(Debug, PartialEq)]
pub(crate) enum Record {
    Sound(Sound),
    Picture(Picture),
    /// A message of a data channel.
    Message {
        channel: u16,
        bytes: Vec<u8>,
    },
    /// The answer of a call that the page makes.
    Answer(Vec<u8>),
    PageEvent(PageEvent),
}

/// An audio packet, as a receiver got it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sound {
    /// The number of the receiver.
    pub(crate) lane: u16,
    pub(crate) rtp_time: u32,
    pub(crate) sequence: Option<u16>,
    pub(crate) level_dbov: Option<i8>,
    /// How long ago it arrived, in ms.
    pub(crate) age_ms: f64,
    /// The sources of the voices in it (CSRC).
    pub(crate) sources: Vec<u32>,
    /// The Opus packet.
    pub(crate) data: Vec<u8>,
}

/// A picture, as a receiver got it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    /// The number of the receiver.
    pub(crate) lane: u16,
    pub(crate) format: Format,
    pub(crate) key: bool,
    /// Its spatial layer; 0 is the smallest.
    pub(crate) layer: u8,
    pub(crate) rtp_time: u32,
    /// How long ago it arrived, in ms.
    pub(crate) age_ms: f64,
    /// Its sources (CSRC), if it names them.
    pub(crate) sources: Vec<u32>,
    /// The encoded picture. Empty if it cannot be recorded: its format is unknown, or it is one layer of several.
    pub(crate) data: Vec<u8>,
}

/// The encoding of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Known(Codec),
    /// A format that cannot be recorded; its name, as in media types.
    Other(&'static str),
}

/// An event of the page's connections.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
pub(crate) enum PageEvent {
    /// A connection changed its state (`RTCPeerConnectionState`).
    Peer { id: u32, state: String },
    /// A data channel was opened or closed.
    Channel { id: u16, label: String, open: bool },
    /// A receiver delivers frames from now on.
    Lane {
        lane: u16,
        kind: String,
        /// The id of its stream; empty if it has none.
        #[serde(default)]
        stream: String,
    },
    /// A receiver belongs to this stream from now on.
    Stream { lane: u16, stream: String },
    /// The encoded frames of a receiver cannot be taken. `encoded`: its packets are what the page played, encoded again.
    Uncaptured { lane: u16, kind: String, encoded: bool },
    /// A frame of a receiver has an unsupported format.
    Format { lane: u16, mime: String },
    /// How many requests of the page for microphone and camera are unanswered.
    Devices { asking: u32 },
    /// The page reports an error.
    Fault { message: String },
    /// A sign of life of the script.
    Beat,
}

/// The records of a batch, in order. Unknown ones are skipped: the page is untrusted.
pub(crate) fn records(batch: &str) -> Vec<Record> {
    let Ok(bytes) = STANDARD.decode(batch) else { return Vec::new() };
    let Some((now_ms, mut rest)) = bytes.split_first_chunk::<8>() else { return Vec::new() };
    let now_ms = f64::from_le_bytes(*now_ms);
    let mut records = Vec::new();
    while let Some(([kind, length @ ..], after)) = rest.split_first_chunk::<5>() {
        let Some((content, after)) = usize::try_from(u32::from_le_bytes(*length))
            .ok()
            .and_then(|length| after.split_at_checked(length))
        else {
            break;
        };
        rest = after;
        records.extend(match kind {
            1 => sound(content, now_ms).map(Record::Sound),
            2 => content.split_first_chunk().map(|(channel, bytes)| Record::Message {
                channel: u16::from_le_bytes(*channel),
                bytes: bytes.to_vec(),
            }),
            3 => serde_json::from_slice(content).ok().map(Record::PageEvent),
            4 => Some(Record::Answer(content.to_vec())),
            5 => picture(content, now_ms).map(Record::Picture),
            _ => None,
        });
    }
    records
}

fn sound(mut content: &[u8], now_ms: f64) -> Option<Sound> {
    let [format, flags] = *take(&mut content)?;
    let lane = u16::from_le_bytes(*take(&mut content)?);
    let rtp_time = u32::from_le_bytes(*take(&mut content)?);
    let sequence = u16::from_le_bytes(*take(&mut content)?);
    let [level] = *take(&mut content)?;
    let came_ms = f64::from_le_bytes(*take(&mut content)?);
    let sources = sources(&mut content)?;
    let codec = match format {
        1 => Codec::Opus,
        2 => Codec::Red,
        _ => return None,
    };
    let data = if codec == Codec::Red { red::primary(content)? } else { content };
    Some(Sound {
        lane,
        rtp_time,
        sequence: (flags & 1 != 0).then_some(sequence),
        level_dbov: (flags & 2 != 0).then(|| 0_i8.saturating_sub_unsigned(level.min(127))),
        age_ms: age_ms(flags, now_ms, came_ms),
        sources,
        data: (!data.is_empty()).then(|| data.to_vec())?,
    })
}

fn picture(mut content: &[u8], now_ms: f64) -> Option<Picture> {
    let [format, flags] = *take(&mut content)?;
    let lane = u16::from_le_bytes(*take(&mut content)?);
    let rtp_time = u32::from_le_bytes(*take(&mut content)?);
    let [layer] = *take(&mut content)?;
    let came_ms = f64::from_le_bytes(*take(&mut content)?);
    let sources = sources(&mut content)?;
    let format = match format {
        1 => Format::Known(Codec::Vp8),
        2 => Format::Known(Codec::Vp9),
        3 => Format::Known(Codec::H264),
        4 => Format::Other("av1"),
        5 => Format::Other("h265"),
        _ => Format::Other("unknown"),
    };
    Some(Picture {
        lane,
        format,
        key: flags & 1 != 0,
        layer,
        rtp_time,
        age_ms: age_ms(flags, now_ms, came_ms),
        sources,
        data: content.to_vec(),
    })
}

fn sources(content: &mut &[u8]) -> Option<Vec<u32>> {
    let [count] = *take(content)?;
    if usize::from(count) > MOST_SOURCES {
        return None;
    }
    (0..count).map(|_| Some(u32::from_le_bytes(*take(content)?))).collect()
}

/// How long ago something arrived; the flag shows whether the browser knows.
fn age_ms(flags: u8, now_ms: f64, came_ms: f64) -> f64 {
    let age_ms = now_ms - came_ms;
    if flags & 4 != 0 && age_ms.is_finite() { age_ms.clamp(0.0, MOST_HELD_MS) } else { 0.0 }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        [&[kind][..], &u32::try_from(content.len()).unwrap().to_le_bytes(), content].concat()
    }

    fn batch(records: &[Vec<u8>]) -> String {
        STANDARD.encode([&1_000_f64.to_le_bytes()[..], &records.concat()].concat())
    }

    fn frame(format: u8, sources: &[u32], data: &[u8]) -> Vec<u8> {
        let mut frame = vec![format, 7, 2, 1];
        frame.extend(960_u32.to_le_bytes());
        frame.extend(65_535_u16.to_le_bytes());
        frame.push(20);
        frame.extend(985_f64.to_le_bytes());
        frame.push(u8::try_from(sources.len()).unwrap());
        for source in sources {
            frame.extend(source.to_le_bytes());
        }
        frame.extend(data);
        record(1, &frame)
    }

    #[test]
    fn every_kind_of_record_is_read_in_order() {
        let records = records(&batch(&[
            record(3, br#"{"k":"channel","id":3,"label":"collections","open":true}"#),
            record(2, &[3, 0, 0x0A, 0]),
            frame(1, &[42, u32::MAX], &[0x48, 1]),
            frame(2, &[7], &[0xEF, 0, 0, 1, 111, 9, 0x48]),
            record(9, b"later"),
            record(4, b"CgA="),
            record(3, b"{\"k\":\"beat\"}"),
        ]));
        let channel = PageEvent::Channel { id: 3, label: "collections".into(), open: true };
        let sound = Sound {
            lane: 258,
            rtp_time: 960,
            sequence: Some(65_535),
            level_dbov: Some(-20),
            age_ms: 15.0,
            sources: vec![42, u32::MAX],
            data: vec![0x48, 1],
        };
        let unwrapped = Sound { sources: vec![7], data: vec![0x48], ..sound.clone() };
        assert_eq!(
            records,
            [
                Record::PageEvent(channel),
                Record::Message { channel: 3, bytes: vec![0x0A, 0] },
                Record::Sound(sound),
                Record::Sound(unwrapped),
                Record::Answer(b"CgA=".to_vec()),
                Record::PageEvent(PageEvent::Beat),
            ]
        );
    }

    #[test]
    fn truncated_records_and_other_formats_are_skipped() {
        assert_eq!(records("no base64!"), []);
        assert_eq!(records(&STANDARD.encode([1, 2, 3])), []);
        let mut cut = frame(1, &[7], &[0x48]);
        cut.truncate(12);
        assert_eq!(records(&batch(&[cut])), []);
        for frame in [frame(9, &[7], &[0x48]), frame(1, &[7; 16], &[0x48]), frame(1, &[7], &[])] {
            assert_eq!(records(&batch(&[frame, record(3, b"[]"), record(2, &[1])])), []);
        }
    }
}
