//! Reads the headers of video keyframes, and converts pictures into the form in which files store them. Nothing is decoded.

use crate::media::Codec;

/// The parameters that a decoder needs before the first picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) width: u16,
    pub(crate) height: u16,
    /// `CodecPrivate` of the file's header; empty for VP8 and VP9.
    pub(crate) private: Vec<u8>,
}

/// Types of H.264 NAL units; 1 to 5 are slices of pictures.
const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;

/// Reads a keyframe; `None` if a decoder cannot start with it.
pub(crate) fn start(codec: Codec, keyframe: &[u8]) -> Option<Start> {
    match codec {
        Codec::Vp8 => vp8(keyframe),
        Codec::Vp9 => vp9(keyframe),
        Codec::H264 => h264(keyframe),
        Codec::Opus | Codec::Red | Codec::Pcm | Codec::PcmS16le => None,
    }
}

/// RFC 6386, 9.1: a tag of three bytes, a start code, and the size.
fn vp8(keyframe: &[u8]) -> Option<Start> {
    let [tag, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1, ..] = *keyframe else { return None };
    let size = |low, high| u16::from_le_bytes([low, high]) & 0x3FFF;
    let (width, height) = (size(w0, w1), size(h0, h1));
    let fits = tag & 1 == 0 && width > 0 && height > 0;
    fits.then_some(Start { width, height, private: Vec::new() })
}

/// VP9 Bitstream & Decoding Process Specification 0.6, 6.2 and 7.2: the uncompressed header of a key frame.
fn vp9(keyframe: &[u8]) -> Option<Start> {
    let mut bits = Bits { bytes: keyframe.get(..20.min(keyframe.len()))?.to_vec(), at: 0 };
    if bits.take(2)? != 2 {
        return None;
    }
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if profile == 3 {
        bits.take(1)?;
    }
    let (shows_existing, is_no_keyframe) = (bits.take(1)?, bits.take(1)?);
    bits.take(2)?;
    if shows_existing != 0 || is_no_keyframe != 0 || bits.take(24)? != 0x49_83_42 {
        return None;
    }
    if profile >= 2 {
        bits.take(1)?;
    }
    // RGB has no bit for the color range.
    if bits.take(3)? == 7 {
        bits.take(u32::from(profile == 1 || profile == 3))?;
    } else {
        bits.take(if profile == 1 || profile == 3 { 4 } else { 1 })?;
    }
    let (width, height) = (bits.take(16)? + 1, bits.take(16)? + 1);
    let size = |size: u32| u16::try_from(size).ok();
    Some(Start { width: size(width)?, height: size(height)?, private: Vec::new() })
}

fn h264(keyframe: &[u8]) -> Option<Start> {
    let of_kind = |kind: u8| units(keyframe).find(|unit| unit[0] & 0x1F == kind);
    let (sps, pps) = (of_kind(SPS)?, of_kind(PPS)?);
    let (width, height) = sps_size(sps)?;
    // ISO 14496-15, 5.3.3.1: lengths of four bytes, one set of each kind.
    let mut private = vec![1, *sps.get(1)?, *sps.get(2)?, *sps.get(3)?, 0xFF, 0xE1];
    for (unit, count) in [(sps, None), (pps, Some(1))] {
        private.extend(count);
        private.extend(u16::try_from(unit.len()).ok()?.to_be_bytes());
        private.extend_from_slice(unit);
    }
    Some(Start { width, height, private })
}

/// A picture in the form of a file: H.264 units with length prefixes, other codecs unchanged.
pub(crate) fn stored(codec: Codec, picture: &[u8]) -> Vec<u8> {
    if codec != Codec::H264 {
        return picture.to_vec();
    }
    let mut stored = Vec::with_capacity(picture.len() + 16);
    for unit in units(picture).filter(|unit| unit[0] & 0x1F != DELIMITER) {
        stored.extend(u32::try_from(unit.len()).unwrap_or(u32::MAX).to_be_bytes());
        stored.extend_from_slice(unit);
    }
    stored
}

/// Whether a decoder can start with this H.264 picture: it contains a slice of an IDR picture.
pub(crate) fn is_h264_keyframe(picture: &[u8]) -> bool {
    units(picture).any(|unit| unit[0] & 0x1F == IDR)
}

/// Whether this contains H.264 parameter sets, and no picture.
pub(crate) fn is_h264_sets(data: &[u8]) -> bool {
    let is_slice = |unit: &[u8]| (1..=IDR).contains(&(unit[0] & 0x1F));
    units(data).next().is_some() && !units(data).any(is_slice)
}

/// The non-empty units between start codes (H.264, annex B).
fn units(picture: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(picture);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = unit.windows(3).position(|three| three == [0, 0, 1]);
        rest = end.map(|end| &unit[end + 3..]);
        let whole = &unit[..end.unwrap_or(unit.len())];
        // The zeros before a start code belong to it.
        let length = whole.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(&whole[..length])
    })
    .filter(|unit| !unit.is_empty())
}

fn after_start_code(bytes: &[u8]) -> Option<&[u8]> {
    let at = bytes.windows(3).position(|three| three == [0, 0, 1])?;
    Some(&bytes[at + 3..])
}

/// The size in a sequence parameter set (H.264, 7.3.2.1.1).
fn sps_size(sps: &[u8]) -> Option<(u16, u16)> {
    let mut bits = Bits::without_emulation(sps.get(1..)?);
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.golomb()?;
    let mut chroma = 1;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128) {
        chroma = bits.golomb()?;
        if chroma == 3 {
            bits.take(1)?;
        }
        bits.golomb()?;
        bits.golomb()?;
        bits.take(1)?;
        // Scaling matrices: not supported, since senders of meetings do not use them.
        if bits.take(1)? == 1 {
            return None;
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.take(1)?;
            bits.golomb()?;
            bits.golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?;
    bits.take(1)?;
    let width = (bits.golomb()? + 1).checked_mul(16)?;
    let map_units = (bits.golomb()? + 1).checked_mul(16)?;
    let frames_only = bits.take(1)?;
    let height = map_units.checked_mul(2 - frames_only)?;
    if frames_only == 0 {
        bits.take(1)?;
    }
    bits.take(1)?;
    let (mut across, mut down) = (0, 0);
    if bits.take(1)? == 1 {
        let (unit_across, unit_down) = match chroma {
            0 | 3 => (1, 1),
            2 => (2, 1),
            _ => (2, 2),
        };
        across = bits.golomb()?.checked_add(bits.golomb()?)?.checked_mul(unit_across)?;
        let both = bits.golomb()?.checked_add(bits.golomb()?)?;
        down = both.checked_mul(unit_down * (2 - frames_only))?;
    }
    let fits = |size: u32, cropped| u16::try_from(size.checked_sub(cropped)?).ok();
    Some((fits(width, across)?, fits(height, down)?))
}

/// Bits, the highest of each byte first.
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    /// Removes the emulation prevention bytes.
    fn without_emulation(bytes: &[u8]) -> Self {
        let mut plain = Vec::with_capacity(bytes.len());
        let mut zeros = 0;
        for byte in bytes {
            if zeros >= 2 && *byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
            plain.push(*byte);
        }
        Self { bytes: plain, at: 0 }
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        let mut taken = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            taken = taken << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(taken)
    }

    /// An Exp-Golomb code.
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > 20 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.take(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 640×360 in constrained baseline.
    const SPS_UNIT: &[u8] = &[
        0x67, 0x42, 0xC0, 0x1F, 0xD9, 0x00, 0xA0, 0x2F, 0xF9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00,
        0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0F, 0x18, 0x32, 0x48,
    ];
    const PPS_UNIT: &[u8] = &[0x68, 0xCB, 0x8C, 0xB2];

    fn keyframe() -> Vec<u8> {
        let code = [0, 0, 0, 1];
        let picture = [0x65, 0x88, 0x84];
        [&code[..], &[9, 0xF0], &code, SPS_UNIT, &code, PPS_UNIT, &code[1..], &picture].concat()
    }

    #[test]
    fn a_vp8_keyframe_has_its_size() {
        let frame = [0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x80, 0x42, 0xE0, 0x01, 7];
        let start = start(Codec::Vp8, &frame).unwrap();
        assert_eq!((start.width, start.height, start.private.len()), (640, 480, 0));
        assert_eq!(super::start(Codec::Vp8, &[0x11; 11]), None);
        assert_eq!(super::start(Codec::Vp8, &frame[..9]), None);
    }

    #[test]
    fn a_vp9_keyframe_has_its_size() {
        // The first bytes of libvpx' key frame of 320×180, profile 0.
        let frame = [0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xF0, 0x0B, 0x30, 0x1C];
        let start = start(Codec::Vp9, &frame).unwrap();
        assert_eq!((start.width, start.height, start.private.len()), (320, 180, 0));
        // An interframe, a repeated picture, and truncated ones.
        assert_eq!(super::start(Codec::Vp9, &[0x86; 10]), None);
        assert_eq!(super::start(Codec::Vp9, &[0x8A, 0x49, 0x83, 0x42, 0, 0, 0, 0, 0, 0]), None);
        (0..8).for_each(|length| assert_eq!(super::start(Codec::Vp9, &frame[..length]), None));
    }

    #[test]
    fn an_h264_keyframe_has_the_parameters_of_its_decoder() {
        let start = start(Codec::H264, &keyframe()).unwrap();
        assert_eq!((start.width, start.height), (640, 368 - 8));
        let private = start.private;
        assert_eq!(private[..6], [1, 0x42, 0xC0, 0x1F, 0xFF, 0xE1]);
        assert!(private.ends_with(&[&[1, 0, 4], PPS_UNIT].concat()), "{private:?}");
        assert_eq!(super::start(Codec::H264, &[0, 0, 1, 0x65, 1]), None, "nothing to start with");
    }

    #[test]
    fn h264_units_are_stored_with_their_lengths() {
        let stored = stored(Codec::H264, &keyframe());
        let mut rest = stored.as_slice();
        let mut kinds = Vec::new();
        while let Some((length, more)) = rest.split_first_chunk::<4>() {
            let (unit, more) = more.split_at(u32::from_be_bytes(*length) as usize);
            kinds.push(unit[0] & 0x1F);
            rest = more;
        }
        assert_eq!(kinds, [SPS, PPS, 5], "the delimiter is removed");
    }

    #[test]
    fn noise_is_refused_without_a_panic() {
        let whole = keyframe();
        for cut in 0..whole.len() {
            let _ = (start(Codec::H264, &whole[..cut]), stored(Codec::H264, &whole[..cut]));
        }
        for position in 0..whole.len() {
            let mut noise = whole.clone();
            noise[position] ^= 0xFF;
            let _ = start(Codec::H264, &noise);
        }
    }
}
