//! Reads a WebM file back: its valid length and its contents. Made for files of bots that crashed.

use std::io::{self, BufRead};

use meetbot_types::bot::MediaKind;

use super::{
    opus, sound,
    webm::{self, Cue, DISCARDABLE, KEYFRAME, SEEK_HEAD_BYTES, UNKNOWN_SIZE, id},
};

/// The valid part of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Bytes up to the end of the last complete block; the rest is truncated data.
    pub(crate) whole: u64,
    /// Packets as they were received.
    pub(crate) packets: u64,
    /// Its duration, in ms, filler included.
    pub(crate) duration_ms: u64,
    /// The position of the space for the duration, if there is any.
    pub(crate) duration_at: Option<u64>,
    /// The position of the segment's content.
    pub(crate) segment: u64,
    /// The position of the space for the `SeekHead`, if there is any.
    pub(crate) seek_head_at: Option<u64>,
    /// Positions at which a player can begin: in each cluster the first block that a decoder can start with.
    pub(crate) cues: Vec<Cue>,
}

/// Scans a file that this program wrote, in pieces.
pub(crate) fn scan(file: &mut impl BufRead, kind: &MediaKind) -> io::Result<Scan> {
    scan_until(file, kind, None)
}

/// The same, up to the first block that begins at this time of the file or later.
pub(crate) fn scan_until(
    file: &mut impl BufRead,
    kind: &MediaKind,
    until_ms: Option<u64>,
) -> io::Result<Scan> {
    let mut file = Reader { file, at: 0 };
    let mut scan = Scan::default();
    let mut cluster_ms = 0;
    let mut last_ms = None;
    // The start of a cluster without a cue.
    let mut cluster = None;
    let mut of_samples = false;
    loop {
        let begins = file.at;
        let Some((element, length)) = file.head()? else { break };
        match element {
            // Its children follow.
            id::SEGMENT => scan.segment = file.at,
            id::CLUSTER => cluster = Some(begins.saturating_sub(scan.segment)),
            _ if length == UNKNOWN_SIZE => break,
            id::CLUSTER_TIME if length <= 8 => {
                let Some(bytes) = file.take::<8>(length)? else { break };
                cluster_ms = number(&bytes);
            }
            id::SIMPLE_BLOCK => {
                let Some(start) = file.take::<BLOCK_START>(length.min(BLOCK_START as u64))? else {
                    break;
                };
                let [_, high, low, flags, packet @ ..] = start.as_slice() else { break };
                if !file.skip(length - start.len() as u64)? {
                    break;
                }
                let at_ms = cluster_ms.saturating_add(u16::from_be_bytes([*high, *low]).into());
                if until_ms.is_some_and(|until_ms| at_ms >= until_ms) {
                    break;
                }
                let lasts = match (kind, last_ms) {
                    (MediaKind::Audio, _) if of_samples => {
                        sound::samples(length.saturating_sub(4)).unwrap_or(0) / opus::TICKS_PER_MS
                    }
                    (MediaKind::Audio, _) => {
                        opus::ticks(packet).unwrap_or(opus::SILENCE_TICKS) / opus::TICKS_PER_MS
                    }
                    // The last picture has the duration of the one before it.
                    (_, Some(last)) => at_ms.saturating_sub(last).min(LONGEST_PICTURE_MS),
                    (_, None) => 0,
                };
                last_ms = Some(at_ms);
                if flags & KEYFRAME != 0
                    && let Some(cluster) = cluster.take()
                {
                    scan.cues.push(Cue { at_ms, cluster });
                }
                scan.duration_ms = scan.duration_ms.max(at_ms.saturating_add(lasts));
                scan.packets += u64::from(flags & DISCARDABLE == 0);
                scan.whole = file.at;
            }
            id::TRACKS if length <= TRACKS_BYTES as u64 => {
                let Some(tracks) = file.take::<TRACKS_BYTES>(length)? else { break };
                of_samples = tracks.windows(webm::PCM.len()).any(|part| part == webm::PCM);
            }
            id::EBML | id::INFO | id::TRACKS | id::SEEK_HEAD | id::VOID => {
                let room = matches!(element, id::SEEK_HEAD | id::VOID);
                if room && file.at + length == begins + SEEK_HEAD_BYTES as u64 {
                    scan.seek_head_at = Some(begins);
                }
                if element == id::INFO && length >= webm::DURATION_BYTES as u64 {
                    scan.duration_at = Some(file.at);
                }
                if !file.skip(length)? {
                    break;
                }
            }
            _ => break,
        }
    }
    Ok(scan)
}

/// The first bytes of a block that are read: track, time, flags, and the header of an Opus packet.
const BLOCK_START: usize = 6;
/// The largest Tracks element that is read, to find the audio codec; this program writes smaller ones.
const TRACKS_BYTES: usize = 4_096;
/// The longest duration of the last picture.
const LONGEST_PICTURE_MS: u64 = 1_000;

struct Reader<'a, R> {
    file: &'a mut R,
    at: u64,
}

impl<R: BufRead> Reader<'_, R> {
    fn byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.file.fill_buf()?.first().copied();
        if byte.is_some() {
            self.file.consume(1);
            self.at += 1;
        }
        Ok(byte)
    }

    /// The next `length` bytes, which are at most `N`; `None` when the file ends before.
    fn take<const N: usize>(&mut self, length: u64) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::with_capacity(N);
        for _ in 0..length {
            let Some(byte) = self.byte()? else { return Ok(None) };
            bytes.push(byte);
        }
        Ok(Some(bytes))
    }

    /// Skips `length` bytes. Returns whether there were as many.
    fn skip(&mut self, mut length: u64) -> io::Result<bool> {
        while length > 0 {
            let there = self.file.fill_buf()?.len();
            if there == 0 {
                return Ok(false);
            }
            let step = there.min(usize::try_from(length).unwrap_or(usize::MAX));
            self.file.consume(step);
            self.at += step as u64;
            length -= step as u64;
        }
        Ok(true)
    }

    /// An element's id and its size.
    fn head(&mut self) -> io::Result<Option<(u32, u64)>> {
        let Some(first) = self.byte()? else { return Ok(None) };
        let more = u64::from(first.leading_zeros());
        if more > 3 {
            return Ok(None);
        }
        let Some(rest) = self.take::<3>(more)? else { return Ok(None) };
        let id = rest.iter().fold(u32::from(first), |id, byte| id << 8 | u32::from(*byte));
        let Some(first) = self.byte()? else { return Ok(None) };
        let more = first.leading_zeros();
        if more > 7 {
            return Ok(None);
        }
        let Some(rest) = self.take::<7>(u64::from(more))? else { return Ok(None) };
        let marked = number(&[&[first], rest.as_slice()].concat());
        Ok(Some((id, marked & !(1 << (7 * (more + 1))))))
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        media::Codec,
        recording::webm::{Blocks, KEYFRAME},
    };

    fn scan(bytes: &[u8]) -> Scan {
        super::scan(&mut &*bytes, &MediaKind::Audio).unwrap()
    }

    /// A file of `packets`, every tenth of them filler, and the end of each block.
    fn file(packets: u64) -> (Vec<u8>, Vec<u64>) {
        let mut out = webm::opus_header();
        let mut blocks = Blocks::default();
        let mut ends = Vec::new();
        for number in 0..packets {
            if number % 10 == 9 {
                webm::push_filling(&mut blocks, &mut out, Codec::Opus, number * 20, 960);
            } else {
                let size = 60 + usize::try_from(number).unwrap() % 150;
                blocks.push(&mut out, number * 20, KEYFRAME, &vec![0x08; size]);
            }
            ends.push(out.len() as u64);
        }
        (out, ends)
    }

    #[test]
    fn a_complete_file_is_valid_to_its_end() {
        let (bytes, _) = file(500);
        let scan = scan(&bytes);
        assert_eq!((scan.whole, scan.packets, scan.duration_ms), (bytes.len() as u64, 450, 10_000));
    }

    #[test]
    fn the_duration_fits_its_reserved_space() {
        let (mut bytes, _) = file(50);
        let before = scan(&bytes);
        let duration = webm::duration(before.duration_ms);
        let start = usize::try_from(before.duration_at.unwrap()).unwrap();
        let room = start..start + duration.len();
        assert_eq!(bytes[room.clone()], [&[0xEC, 0x89][..], &[0; 9]].concat());
        bytes[room].copy_from_slice(&duration);
        assert_eq!(scan(&bytes), before);
    }

    #[test]
    fn cues_lead_to_the_cluster_of_each_second() {
        let (bytes, _) = file(500);
        let scan = scan(&bytes);
        let times: Vec<u64> = scan.cues.iter().map(|cue| cue.at_ms).collect();
        assert_eq!(times, (0..10).map(|second| second * 1000).collect::<Vec<_>>());
        for cue in &scan.cues {
            let at = usize::try_from(scan.segment + cue.cluster).unwrap();
            assert_eq!(bytes[at..at + 4], id::CLUSTER.to_be_bytes());
        }
        let room = usize::try_from(scan.seek_head_at.unwrap()).unwrap();
        assert_eq!(bytes[room..room + SEEK_HEAD_BYTES], webm::no_seek_head());
        assert_eq!(webm::seek_head(u64::MAX).len(), SEEK_HEAD_BYTES);
    }

    #[test]
    fn complete_and_truncated_cues_are_not_part_of_the_scan() {
        let (mut bytes, _) = file(120);
        let before = scan(&bytes);
        let room = usize::try_from(before.seek_head_at.unwrap()).unwrap();
        let leads = webm::seek_head(before.whole - before.segment);
        bytes[room..room + SEEK_HEAD_BYTES].copy_from_slice(&leads);
        assert_eq!(scan(&bytes), before);
        for byte in webm::cues(&before.cues) {
            bytes.push(byte);
            assert_eq!(scan(&bytes), before);
        }
    }

    #[test]
    fn pictures_have_cues_only_at_keyframes() {
        let start = crate::recording::picture::Start { width: 4, height: 4, private: vec![] };
        let mut out = webm::video_header(Codec::Vp8, &start, 0);
        let mut blocks = Blocks::default();
        for number in 0..100 {
            let flags = if [0, 60].contains(&number) { KEYFRAME } else { 0 };
            blocks.push(&mut out, number * 40, flags, &[1, 2, 3]);
        }
        let scan = super::scan(&mut out.as_slice(), &MediaKind::Video).unwrap();
        let times: Vec<u64> = scan.cues.iter().map(|cue| cue.at_ms).collect();
        assert_eq!(times, [0, 2400]);
    }

    #[test]
    fn every_truncation_keeps_every_complete_block() {
        let (bytes, ends) = file(120);
        for cut in 0..=bytes.len() {
            let whole = ends.iter().rposition(|end| *end <= cut as u64);
            let scanned = scan(&bytes[..cut]);
            assert_eq!(scanned.whole, whole.map_or(0, |index| ends[index]), "cut at {cut}");
            let blocks = whole.map_or(0, |index| index as u64 + 1);
            assert_eq!(scanned.duration_ms, blocks * 20, "cut at {cut}");
        }
    }

    #[test]
    fn the_last_picture_has_the_duration_of_the_one_before() {
        let start = crate::recording::picture::Start { width: 4, height: 4, private: vec![] };
        let mut out = webm::video_header(Codec::Vp8, &start, 0);
        let mut blocks = Blocks::default();
        for number in 0..50 {
            // A picture may look like an Opus packet of any length.
            blocks.push(&mut out, number * 40, 0, &[0xFB, 40, 0]);
        }
        let scan = super::scan(&mut out.as_slice(), &MediaKind::Video).unwrap();
        assert_eq!((scan.whole, scan.packets, scan.duration_ms), (out.len() as u64, 50, 2_000));
    }

    #[test]
    fn noise_is_read_without_a_panic() {
        let mut seed = 1_u32;
        for length in 0..300 {
            let noise: Vec<u8> = (0..length)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    seed.to_be_bytes()[0]
                })
                .collect();
            let _ = scan(&noise);
        }
        let (mut bytes, _) = file(50);
        for position in 0..bytes.len() {
            let before = std::mem::replace(&mut bytes[position], 0xFF);
            assert!(scan(&bytes).whole <= bytes.len() as u64);
            bytes[position] = before;
        }
    }
}
