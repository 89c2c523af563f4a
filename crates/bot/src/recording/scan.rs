//! Reads a WebM file back: how much of it is whole, and what is in it. Made for files that a dead bot left behind.

use super::{
    opus,
    webm::{self, DISCARDABLE, UNKNOWN_SIZE, id},
};

/// What is whole in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Bytes up to the end of the last whole block; what follows is torn.
    pub(crate) whole: u64,
    /// Packets as they were received.
    pub(crate) packets: u64,
    /// How long it plays, in ms, filling included.
    pub(crate) duration_ms: u64,
    /// Where the room for the duration is, if there is any.
    pub(crate) duration_at: Option<usize>,
}

/// Scans the bytes of a file that this program wrote.
pub(crate) fn scan(file: &[u8]) -> Scan {
    let mut scan = Scan::default();
    let mut cluster_ms = 0;
    let mut at = 0;
    while let Some((element, content, length)) = head(file, at) {
        let end = match element {
            // What is inside comes next.
            id::SEGMENT | id::CLUSTER => content,
            _ => {
                match usize::try_from(length).ok().and_then(|length| content.checked_add(length)) {
                    Some(end) if length != UNKNOWN_SIZE && end <= file.len() => end,
                    _ => break,
                }
            }
        };
        let bytes = &file[content..end];
        match element {
            id::CLUSTER_TIME => cluster_ms = number(bytes),
            id::SIMPLE_BLOCK => {
                let [_, high, low, flags, packet @ ..] = bytes else { break };
                let at_ms = cluster_ms + u64::from(u16::from_be_bytes([*high, *low]));
                let ticks = opus::ticks(packet).unwrap_or(opus::SILENCE_TICKS);
                scan.duration_ms = scan.duration_ms.max(at_ms + ticks / opus::TICKS_PER_MS);
                scan.packets += u64::from(flags & DISCARDABLE == 0);
                scan.whole = end as u64;
            }
            id::INFO if bytes.len() >= webm::DURATION_BYTES => {
                scan.duration_at = Some(content);
            }
            id::EBML | id::SEGMENT | id::INFO | id::TRACKS | id::CLUSTER => {}
            _ => break,
        }
        at = end;
    }
    scan
}

/// An element's id, where its content begins, and its size.
fn head(file: &[u8], at: usize) -> Option<(u32, usize, u64)> {
    let first = *file.get(at)?;
    let id_length = first.leading_zeros() as usize + 1;
    if id_length > 4 {
        return None;
    }
    let id = file.get(at..at + id_length)?.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let at = at + id_length;
    let first = *file.get(at)?;
    let size_length = first.leading_zeros() as usize + 1;
    if size_length > 8 {
        return None;
    }
    let marked = number(file.get(at..at + size_length)?);
    Some((id, at + size_length, marked & !(1 << (7 * size_length))))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::webm::{Blocks, KEYFRAME};

    /// A file of `packets`, every tenth of them filling, and where each block ends.
    fn file(packets: u64) -> (Vec<u8>, Vec<u64>) {
        let mut out = webm::opus_header(false);
        let mut blocks = Blocks::default();
        let mut ends = Vec::new();
        for number in 0..packets {
            if number % 10 == 9 {
                webm::push_filling(&mut blocks, &mut out, number * 20);
            } else {
                let size = 60 + usize::try_from(number).unwrap() % 150;
                blocks.push(&mut out, number * 20, KEYFRAME, &vec![0x08; size]);
            }
            ends.push(out.len() as u64);
        }
        (out, ends)
    }

    #[test]
    fn a_whole_file_is_read_whole() {
        let (bytes, _) = file(500);
        let scan = scan(&bytes);
        assert_eq!((scan.whole, scan.packets, scan.duration_ms), (bytes.len() as u64, 450, 10_000));
    }

    #[test]
    fn the_duration_takes_its_room_and_nothing_else() {
        let (mut bytes, _) = file(50);
        let before = scan(&bytes);
        let duration = webm::duration(before.duration_ms);
        let start = before.duration_at.unwrap();
        let room = start..start + duration.len();
        assert_eq!(bytes[room.clone()], [&[0xEC, 0x89][..], &[0; 9]].concat());
        bytes[room].copy_from_slice(&duration);
        assert_eq!(scan(&bytes), before);
    }

    #[test]
    fn every_cut_keeps_every_whole_block() {
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
    fn noise_is_no_file_and_no_panic() {
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
