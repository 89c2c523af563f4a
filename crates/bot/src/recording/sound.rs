//! Audio packets of any codec: their duration, and silence that fills gaps between them.

use std::borrow::Cow;

use super::opus;
use crate::media::Codec;

/// Bytes of a sample of 16 bits.
const SAMPLE_BYTES: u64 = 2;
/// The longest PCM packet: Zoom sends up to a second at once.
const MOST_TICKS: u64 = 48_000;

/// The duration of a packet, in ticks of 1/48000 s; `None` if no file of this codec can hold it.
pub(crate) fn ticks(codec: Codec, packet: &[u8]) -> Option<u64> {
    match codec {
        Codec::Opus => opus::ticks(packet),
        Codec::PcmS16le => samples(packet.len() as u64),
        Codec::Red | Codec::Pcm | Codec::Vp8 | Codec::Vp9 | Codec::H264 => None,
    }
}

/// The duration of this many bytes of samples; `None` unless they are whole samples.
pub(super) fn samples(bytes: u64) -> Option<u64> {
    let ticks = bytes / SAMPLE_BYTES;
    (bytes.is_multiple_of(SAMPLE_BYTES) && (1..=MOST_TICKS).contains(&ticks)).then_some(ticks)
}

/// Silence of at most 20 ms that is not longer than `ticks`, and its duration.
pub(super) fn silence(codec: Codec, ticks: u64) -> (Cow<'static, [u8]>, u64) {
    /// 20 ms.
    const SAMPLES: [u8; 1_920] = [0; 1_920];
    if codec == Codec::PcmS16le {
        let ticks = ticks.min(opus::SILENCE_TICKS);
        let bytes = usize::try_from(ticks * SAMPLE_BYTES).unwrap_or(SAMPLES.len());
        return (Cow::Borrowed(&SAMPLES[..bytes]), ticks);
    }
    let (packet, ticks) = opus::silence(ticks);
    (Cow::Owned(packet.to_vec()), ticks)
}

/// The level of samples, in dBov (RFC 6464: 0 is the loudest, −127 silence).
#[expect(clippy::cast_possible_truncation, reason = "it is between -127 and 0")]
pub(crate) fn level_dbov(samples: &[u8]) -> i8 {
    let values = samples.chunks_exact(2).map(|it| f64::from(i16::from_le_bytes([it[0], it[1]])));
    let (mut squares, mut count) = (0.0, 0.0);
    for value in values {
        squares += value * value;
        count += 1.0;
    }
    if squares == 0.0 {
        return -127;
    }
    let loudest = f64::from(i16::MAX);
    (10.0 * (squares / count / loudest / loudest).log10()).clamp(-127.0, 0.0) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_duration_of_samples_follows_from_their_size_and_odd_sizes_give_none() {
        for (bytes, expected) in
            [(0, None), (1, None), (2, Some(1)), (1_920, Some(960)), (1_921, None), (96_002, None)]
        {
            assert_eq!(ticks(Codec::PcmS16le, &vec![0; bytes]), expected, "{bytes}");
        }
        assert_eq!(ticks(Codec::Opus, &[0xF8, 0xFF, 0xFE]), Some(960));
        assert_eq!(ticks(Codec::Pcm, &[0; 1_920]), None);
        for codec in [Codec::Opus, Codec::PcmS16le] {
            for wanted in [120, 479, 960, 5_000] {
                let (packet, lasts) = silence(codec, wanted);
                assert_eq!(ticks(codec, &packet), Some(lasts));
                assert!(lasts <= wanted && lasts > 0, "{codec:?} {wanted}");
            }
        }
    }

    #[test]
    fn a_full_scale_square_is_0_dbov_and_a_thousandth_of_it_60_below() {
        let square =
            |value: i16| [value.to_le_bytes(), (-value).to_le_bytes()].concat().repeat(480);
        assert_eq!(level_dbov(&square(i16::MAX)), 0);
        assert!((-61..=-59).contains(&level_dbov(&square(33))));
        assert_eq!((level_dbov(&square(0)), level_dbov(&[])), (-127, -127));
    }
}
