//! WebM output. A file that is truncated anywhere still plays: it needs no sizes that are unknown while it is written.

use super::{picture::Start, sound};
use crate::media::Codec;

/// The longest duration of a cluster; a player can start at each.
pub(crate) const CLUSTER_MS: u64 = 1000;

pub(crate) mod id {
    //! Element ids (RFC 9559).
    pub(crate) const EBML: u32 = 0x1A45_DFA3;
    pub(crate) const SEGMENT: u32 = 0x1853_8067;
    pub(crate) const INFO: u32 = 0x1549_A966;
    pub(crate) const TRACKS: u32 = 0x1654_AE6B;
    pub(crate) const CLUSTER: u32 = 0x1F43_B675;
    pub(crate) const CUES: u32 = 0x1C53_BB6B;
    pub(crate) const SEEK_HEAD: u32 = 0x114D_9B74;
    pub(crate) const VOID: u32 = 0xEC;
    pub(crate) const CLUSTER_TIME: u32 = 0xE7;
    pub(crate) const SIMPLE_BLOCK: u32 = 0xA3;
}

/// An unknown size: a reader continues until an element that cannot be inside.
pub(crate) const UNKNOWN_SIZE: u64 = 0x00FF_FFFF_FFFF_FFFF;
/// The size of the Duration element, and of the space reserved for it.
pub(crate) const DURATION_BYTES: usize = 11;
/// The size of the `SeekHead` that points to the cues, and of the space reserved for it.
pub(crate) const SEEK_HEAD_BYTES: usize = 26;
/// Flags of a block: a decoder can start here; the block is filler, which may be dropped.
pub(crate) const KEYFRAME: u8 = 0x80;
pub(crate) const DISCARDABLE: u8 = 0x01;

fn element(out: &mut Vec<u8>, id: u32, content: &[u8]) {
    element_id(out, id);
    size(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn element_id(out: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(3);
    out.extend_from_slice(&bytes[first..]);
}

fn size(out: &mut Vec<u8>, size: u64) {
    // The smallest number of bytes; all ones would mean an unknown size.
    let bytes = (1..=8_usize).find(|bytes| size < (1 << (7 * bytes)) - 1).unwrap_or(8);
    let marked = size | (1 << (7 * bytes));
    out.extend_from_slice(&marked.to_be_bytes()[8 - bytes..]);
}

fn unknown(out: &mut Vec<u8>, id: u32) {
    element_id(out, id);
    out.extend_from_slice(&(UNKNOWN_SIZE | (1 << 56)).to_be_bytes());
}

fn number(out: &mut Vec<u8>, id: u32, number: u64) {
    let bytes = number.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(7);
    element(out, id, &bytes[first..]);
}

/// Matroska's codec id of little-endian samples.
pub(crate) const PCM: &[u8] = b"A_PCM/INT/LIT";

/// The channels of every Opus file. The RTP payload is always `opus/48000/2` (RFC 7587, section 6.1), and mono and stereo may change with each packet
/// (RFC 6716, section 3.1), so the first packet does not determine the following ones. A mono packet plays on both channels.
const OPUS_CHANNELS: u8 = 2;

/// The header of a file with one Opus track at 48 kHz: everything before the first cluster.
pub(crate) fn opus_header() -> Vec<u8> {
    // RFC 7845, 5.1. No pre-skip: the packets come from the middle of a stream, and time 0 is that of the first one.
    let mut head = b"OpusHead".to_vec();
    head.extend([1, OPUS_CHANNELS, 0, 0]);
    head.extend(48_000_u32.to_le_bytes());
    head.extend([0, 0, 0]);

    let mut audio = Vec::new();
    element(&mut audio, 0xB5, &48_000_f64.to_be_bytes()); // SamplingFrequency
    number(&mut audio, 0x9F, u64::from(OPUS_CHANNELS)); // Channels

    let mut entry = Vec::new();
    number(&mut entry, 0x83, 2); // TrackType: audio
    element(&mut entry, 0x86, b"A_OPUS"); // CodecID
    element(&mut entry, 0x63A2, &head); // CodecPrivate
    number(&mut entry, 0x56BB, 80_000_000); // SeekPreRoll: 80 ms, as Opus requires
    element(&mut entry, 0xE1, &audio);
    header("webm", &entry)
}

/// The header of a file with one track of 16-bit little-endian samples, mono, at 48 kHz. It is Matroska, since WebM does not support PCM.
fn pcm_header() -> Vec<u8> {
    let mut audio = Vec::new();
    element(&mut audio, 0xB5, &48_000_f64.to_be_bytes()); // SamplingFrequency
    number(&mut audio, 0x9F, 1); // Channels
    number(&mut audio, 0x6264, 16); // BitDepth

    let mut entry = Vec::new();
    number(&mut entry, 0x83, 2); // TrackType: audio
    element(&mut entry, 0x86, PCM); // CodecID
    element(&mut entry, 0xE1, &audio);
    header(container(Codec::PcmS16le.name()), &entry)
}

/// The header of a file with one audio track in this codec.
pub(crate) fn sound_header(codec: Codec) -> Vec<u8> {
    if codec == Codec::PcmS16le { pcm_header() } else { opus_header() }
}

/// The header of a file with one video track, which a player rotates by `rotation` degrees clockwise (0, 90, 180 or 270). With H.264 it is Matroska, since WebM
/// does not support that codec.
pub(crate) fn video_header(codec: Codec, start: &Start, rotation: u16) -> Vec<u8> {
    let mut video = Vec::new();
    number(&mut video, 0xB0, u64::from(start.width)); // PixelWidth
    number(&mut video, 0xBA, u64::from(start.height)); // PixelHeight
    if rotation != 0 {
        // RFC 9559, 5.1.4.1.28.46: a roll is counter-clockwise, from -180 to 180.
        let clockwise = f64::from(rotation);
        let roll = if rotation > 180 { 360.0 - clockwise } else { -clockwise };
        let mut projection = Vec::new();
        number(&mut projection, 0x7671, 0); // ProjectionType: rectangular
        element(&mut projection, 0x7675, &roll.to_be_bytes()); // ProjectionPoseRoll
        element(&mut video, 0x7670, &projection); // Projection
    }

    let mut entry = Vec::new();
    number(&mut entry, 0x83, 1); // TrackType: video
    let id: &[u8] = match codec {
        Codec::H264 => b"V_MPEG4/ISO/AVC",
        Codec::Vp9 => b"V_VP9",
        _ => b"V_VP8",
    };
    element(&mut entry, 0x86, id); // CodecID
    if !start.private.is_empty() {
        element(&mut entry, 0x63A2, &start.private); // CodecPrivate
    }
    element(&mut entry, 0xE0, &video);
    header(container(codec.name()), &entry)
}

/// The container of a codec, by its name in journals.
pub(crate) fn container(codec: &str) -> &'static str {
    let is_matroska = [Codec::H264, Codec::PcmS16le].iter().any(|it| it.name() == codec);
    if is_matroska { "matroska" } else { "webm" }
}

/// `entry` holds the specific elements of the only track.
fn header(doc_type: &str, entry: &[u8]) -> Vec<u8> {
    let mut ebml = Vec::new();
    number(&mut ebml, 0x4286, 1); // EBMLVersion
    number(&mut ebml, 0x42F7, 1); // EBMLReadVersion
    number(&mut ebml, 0x42F2, 4); // EBMLMaxIDLength
    number(&mut ebml, 0x42F3, 8); // EBMLMaxSizeLength
    element(&mut ebml, 0x4282, doc_type.as_bytes()); // DocType
    number(&mut ebml, 0x4287, 4); // DocTypeVersion
    number(&mut ebml, 0x4285, 2); // DocTypeReadVersion

    let mut info = Vec::new();
    element(&mut info, id::VOID, &[0; 9]); // space for the duration, first of all elements
    number(&mut info, 0x002A_D7B1, 1_000_000); // TimestampScale: milliseconds
    element(&mut info, 0x4D80, b"meetbot"); // MuxingApp
    element(&mut info, 0x5741, b"meetbot"); // WritingApp

    let mut track = Vec::new();
    number(&mut track, 0xD7, 1); // TrackNumber
    number(&mut track, 0x73C5, 1); // TrackUID
    number(&mut track, 0x9C, 0); // FlagLacing
    element(&mut track, 0x0022_B59C, b"und"); // Language: without it players assume English
    track.extend_from_slice(entry);
    let mut tracks = Vec::new();
    element(&mut tracks, 0xAE, &track);

    let mut out = Vec::new();
    element(&mut out, id::EBML, &ebml);
    unknown(&mut out, id::SEGMENT);
    out.extend_from_slice(&no_seek_head());
    element(&mut out, id::INFO, &info);
    element(&mut out, id::TRACKS, &tracks);
    out
}

/// The Duration element. It has exactly the size that the header reserved at the beginning of Info.
pub(crate) fn duration(ms: u64) -> Vec<u8> {
    let mut out = Vec::new();
    element(&mut out, 0x4489, &(ms as f64).to_be_bytes());
    out
}

/// A position at which a player can begin to read, so that seeking fetches little data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cue {
    /// The time of the first block from which it can decode.
    pub(crate) at_ms: u64,
    /// The start of that block's cluster, in bytes from the beginning of the segment's content.
    pub(crate) cluster: u64,
}

/// The Cues element, which follows the last cluster.
pub(crate) fn cues(all: &[Cue]) -> Vec<u8> {
    let mut points = Vec::new();
    for cue in all {
        let mut place = Vec::new();
        number(&mut place, 0xF7, 1); // CueTrack
        number(&mut place, 0xF1, cue.cluster); // CueClusterPosition
        let mut point = Vec::new();
        number(&mut point, 0xB3, cue.at_ms); // CueTime
        element(&mut point, 0xB7, &place); // CueTrackPositions
        element(&mut points, 0xBB, &point); // CuePoint
    }
    let mut out = Vec::new();
    element(&mut out, id::CUES, &points);
    out
}

/// The `SeekHead` with the position of the cues, in bytes from the beginning of the segment's content. It has exactly the size that the header reserved.
pub(crate) fn seek_head(cues: u64) -> Vec<u8> {
    let mut seek = Vec::new();
    element(&mut seek, 0x53AB, &id::CUES.to_be_bytes()); // SeekID
    element(&mut seek, 0x53AC, &cues.to_be_bytes()); // SeekPosition
    let mut content = Vec::new();
    element(&mut content, 0x4DBB, &seek); // Seek
    let mut out = Vec::new();
    element(&mut out, id::SEEK_HEAD, &content);
    out
}

/// The content of that space while there are no cues.
pub(crate) fn no_seek_head() -> Vec<u8> {
    let mut out = Vec::new();
    element(&mut out, id::VOID, &[0; SEEK_HEAD_BYTES - 2]);
    out
}

/// Writes blocks into clusters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blocks {
    cluster: Option<u64>,
}

impl Blocks {
    /// Appends a packet at `at_ms`, which must not decrease.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, at_ms: u64, flags: u8, packet: &[u8]) {
        let start = match self.cluster {
            Some(start) if at_ms - start < CLUSTER_MS => start,
            _ => {
                unknown(out, id::CLUSTER);
                number(out, id::CLUSTER_TIME, at_ms);
                self.cluster = Some(at_ms);
                at_ms
            }
        };
        let offset = u16::try_from(at_ms - start).unwrap_or_default();
        element_id(out, id::SIMPLE_BLOCK);
        size(out, packet.len() as u64 + 4);
        out.push(0x81); // track 1
        out.extend(offset.to_be_bytes());
        out.push(flags);
        out.extend_from_slice(packet);
    }
}

/// Appends filler silence that is at most `ticks` long; `ticks` is at least the duration of the shortest packet. Returns its duration.
pub(crate) fn push_filling(
    blocks: &mut Blocks,
    out: &mut Vec<u8>,
    codec: Codec,
    at_ms: u64,
    ticks: u64,
) -> u64 {
    let (silence, lasts) = sound::silence(codec, ticks);
    blocks.push(out, at_ms, KEYFRAME | DISCARDABLE, &silence);
    lasts
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, process::Command};

    use xtask::ffmpeg;

    use super::*;

    /// 1 s of Opus in packets of 20 ms, from an ffmpeg expression for each channel.
    fn opus(folder: &Path, channels: &str) -> Vec<Vec<u8>> {
        let path = folder.join("sound.ogg");
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-f", "lavfi", "-i"])
            .arg(format!("aevalsrc={channels}:s=48000:d=1"))
            .args(["-c:a", "libopus", "-b:a", "96k", "-frame_duration", "20"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        let mut packets = ogg::PacketReader::new(fs::File::open(path).unwrap());
        // The first two are headers.
        std::iter::from_fn(|| packets.read_packet().unwrap())
            .skip(2)
            .map(|packet| packet.data)
            .collect()
    }

    #[test]
    fn a_track_that_begins_in_mono_keeps_left_and_right_and_has_no_language() {
        let folder = tempfile::tempdir().unwrap();
        let mut packets = opus(folder.path(), "0");
        packets.extend(opus(folder.path(), "0|0.5*sin(2*PI*440*t)"));
        let (mut file, mut blocks) = (opus_header(), Blocks::default());
        for (number, packet) in (0..).zip(&packets) {
            blocks.push(&mut file, number * 20, KEYFRAME, packet);
        }
        let path = folder.path().join("voice.webm");
        fs::write(&path, file).unwrap();
        ffmpeg::decodes(&path);
        let [left, right] = ffmpeg::loudest(&path)[..] else { panic!("it has two channels") };
        assert!(left < 0.02 && right > 0.45, "{left} {right}");
        assert_eq!(ffmpeg::language(&path), "", "ffprobe names none for und");
    }

    #[test]
    fn players_rotate_pictures_clockwise_by_the_rotation() {
        // Its left half is red, its right half blue.
        const HALVES: &str =
            "color=red:s=64x64:r=5:d=1[l];color=blue:s=64x64:r=5:d=1[r];[l][r]hstack";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.ivf");
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", HALVES, "-c:v", "libvpx"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        // IVF: a header of 32 bytes, and before each picture its length and its time.
        let ivf = fs::read(path).unwrap();
        let (length, rest) = ivf[32..].split_first_chunk::<4>().unwrap();
        let picture = &rest[8..][..u32::from_le_bytes(*length) as usize];
        let start = crate::recording::picture::start(Codec::Vp8, picture).unwrap();
        for (rotation, reds) in [(0, [0, 2]), (90, [0, 1]), (180, [1, 3]), (270, [2, 3])] {
            let (mut file, mut blocks) =
                (video_header(Codec::Vp8, &start, rotation), Blocks::default());
            blocks.push(&mut file, 0, KEYFRAME, picture);
            let path = folder.path().join(format!("{rotation}.webm"));
            fs::write(&path, file).unwrap();
            ffmpeg::decodes(&path);
            for (place, [red, _, blue]) in ffmpeg::quarters(&path).into_iter().enumerate() {
                assert_eq!(red > blue, reds.contains(&place), "{rotation}: quarter {place}");
            }
        }
    }
}
