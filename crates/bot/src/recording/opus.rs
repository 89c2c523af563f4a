//! Reads the header bytes of an Opus packet (RFC 6716, section 3). Nothing is decoded.

/// Ticks of 1/48000 s in a millisecond.
pub(crate) const TICKS_PER_MS: u64 = 48;
/// 20 ms, the longest packet of silence.
pub(crate) const SILENCE_TICKS: u64 = 960;
/// The shortest packet is 2.5 ms.
pub(crate) const SHORTEST_TICKS: u64 = 120;
/// The longest packet is 120 ms.
const MAX_TICKS: u64 = 5760;

/// The duration of a packet, in ticks of 1/48000 s; `None` if it is not an Opus packet.
pub(crate) fn ticks(packet: &[u8]) -> Option<u64> {
    let toc = *packet.first()?;
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        12..=15 => [480, 960][usize::from(config & 1)],
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(*packet.get(1)? & 0x3F),
    };
    let ticks = frame * frames;
    (1..=MAX_TICKS).contains(&ticks).then_some(ticks)
}

/// The longest packet of silence that is not longer than `ticks`, and its duration: full band, mono, nothing coded.
pub(crate) const fn silence(ticks: u64) -> ([u8; 3], u64) {
    let (toc, lasts) = match ticks {
        SILENCE_TICKS.. => (0xF8, SILENCE_TICKS),
        480.. => (0xF0, 480),
        240.. => (0xE8, 240),
        _ => (0xE0, SHORTEST_TICKS),
    };
    ([toc, 0xFF, 0xFE], lasts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_read_from_the_first_bytes() {
        for (packet, expected) in [
            (&[0xF8, 0xFF, 0xFE][..], Some(960)),
            (&[0x08], Some(960)),
            (&[0x18, 0], Some(2880)),
            (&[0xF9, 0], Some(1920)),
            (&[0xFB, 3], Some(2880)),
            (&[0x1B, 3], None),
            (&[0xFB], None),
            (&[0xFB, 0], None),
            (&[], None),
        ] {
            assert_eq!(ticks(packet), expected, "{packet:?}");
        }
    }

    #[test]
    fn silence_has_the_duration_in_its_header() {
        for (wanted, expected) in [(5_000, 960), (960, 960), (959, 480), (479, 240), (239, 120)] {
            let (packet, lasts) = silence(wanted);
            assert_eq!((lasts, ticks(&packet)), (expected, Some(expected)), "{wanted}");
        }
    }
}
