//! The pictures of cameras and screens: black while the person is silent, white while the person speaks, in each codec of meetings, as RTP payloads.

use std::sync::{Arc, LazyLock};

use crate::scenario::Video;

/// The length of an IVF file's header, and of the header before each frame.
const FILE_HEADER: usize = 32;
const FRAME_HEADER: usize = 12;

/// A keyframe and an unchanged interframe, of black and of white.
type Colours = [[Arc<[u8]>; 2]; 2];

static VP8: LazyLock<Colours> = LazyLock::new(|| {
    [ivf(include_bytes!("../pictures/black.ivf")), ivf(include_bytes!("../pictures/white.ivf"))]
});
static VP9: LazyLock<Colours> = LazyLock::new(|| {
    [
        ivf(include_bytes!("../pictures/black.vp9.ivf")),
        ivf(include_bytes!("../pictures/white.vp9.ivf")),
    ]
});
static AV1: LazyLock<Colours> = LazyLock::new(|| {
    [
        ivf(include_bytes!("../pictures/black.av1.ivf")),
        ivf(include_bytes!("../pictures/white.av1.ivf")),
    ]
});
static H264: LazyLock<Colours> = LazyLock::new(|| {
    [
        annex_b(include_bytes!("../pictures/black.h264")),
        annex_b(include_bytes!("../pictures/white.h264")),
    ]
});

/// A frame; interframes need the keyframe of the same colour before them.
pub(crate) fn frame(video: Video, white: bool, key: bool) -> Arc<[u8]> {
    let colours = match video {
        Video::Vp8 => &VP8,
        Video::Vp9 | Video::Vp9Layers => &VP9,
        Video::H264 => &H264,
        Video::Av1 => &AV1,
    };
    Arc::clone(&colours[usize::from(white)][usize::from(!key)])
}

/// The payloads of the frame's packets, the last of which has the marker.
pub(crate) fn payloads(video: Video, frame: &[u8], key: bool) -> Vec<Vec<u8>> {
    match video {
        // RFC 7741, 4.2: the descriptor of a partition's first packet.
        Video::Vp8 => vec![[&[0x10], frame].concat()],
        // RFC 9628, 4.2: a whole frame (B, E), which depends on others (P) or not.
        Video::Vp9 => vec![[&[if key { 0x0C } else { 0x4C }], frame].concat()],
        // Two layers (L), of which the second depends on the first (D). Neither has a number (I).
        Video::Vp9Layers => {
            let descriptor = if key { 0x2C } else { 0x6C };
            let layer = |layer: u8, more: &[u8]| [&[descriptor, layer, 0], frame, more].concat();
            vec![layer(0, &[]), layer(0b0000_0011, &[0])]
        }
        Video::H264 => vec![h264(frame)],
        // The AV1 RTP specification, 4.4: OBUs with their lengths before them (W is 0), which begin a sequence (N) or not.
        Video::Av1 => {
            let mut payload = vec![if key { 0x08 } else { 0 }];
            for obu in obus(frame) {
                leb128(&mut payload, obu.len());
                payload.extend(obu);
            }
            vec![payload]
        }
    }
}

/// RFC 6184, 5.6 and 5.7.1: a single unit, or several in one packet (STAP-A).
fn h264(frame: &[u8]) -> Vec<u8> {
    let units = units(frame);
    if let [unit] = units[..] {
        return unit.to_vec();
    }
    let mut payload = vec![0x78];
    for unit in units {
        payload.extend(u16::try_from(unit.len()).unwrap_or_default().to_be_bytes());
        payload.extend(unit);
    }
    payload
}

/// The OBUs of a temporal unit, without sizes and without the delimiter, which is not sent.
fn obus(mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut obus = Vec::new();
    // In the files each header of one byte is followed by a size of one byte.
    while let [header, size, after @ ..] = rest {
        let (content, next) = after.split_at(usize::from(*size).min(after.len()));
        if header >> 3 & 0x0F != 2 {
            obus.push([&[header & !0x02], content].concat());
        }
        rest = next;
    }
    obus
}

fn leb128(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    out.push(length.to_le_bytes()[0]);
}

fn ivf(file: &[u8]) -> [Arc<[u8]>; 2] {
    let mut rest = &file[FILE_HEADER..];
    [(); 2].map(|()| {
        let (size, after) = rest.split_first_chunk().expect("the pictures are whole IVF files");
        let (frame, next) = after[FRAME_HEADER - 4..]
            .split_at(usize::try_from(u32::from_le_bytes(*size)).unwrap_or(0));
        rest = next;
        Arc::from(frame)
    })
}

/// The units between start codes.
fn units(bytes: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> =
        bytes.windows(3).enumerate().filter(|(_, it)| *it == [0, 0, 1]).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let unit = |(start, end): (&usize, usize)| {
        let unit = &bytes[start + 3..end];
        // The zeros before a start code belong to it.
        let length = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        &unit[..length]
    };
    starts.iter().zip(ends).map(unit).collect()
}

/// The first two pictures of a stream: parameter sets and the first slice, and the second slice.
fn annex_b(file: &[u8]) -> [Arc<[u8]>; 2] {
    let units = units(file);
    let is_slice = |unit: &&[u8]| matches!(unit[0] & 0x1F, 1 | 5);
    let first = units.iter().position(is_slice).expect("there is a picture") + 1;
    let joined = |units: &[&[u8]]| -> Arc<[u8]> {
        Arc::from(units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect::<Vec<_>>())
    };
    [joined(&units[..first]), joined(&units[first..=first])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_colour_has_a_keyframe_and_an_interframe() {
        for white in [false, true] {
            // RFC 6386, 9.1: the lowest bit is 0 in a key frame, whose start code follows.
            let vp8 = |key| frame(Video::Vp8, white, key);
            assert_eq!(vp8(true)[0] & 1, 0);
            assert_eq!(vp8(true)[3..6], [0x9D, 0x01, 0x2A]);
            assert_eq!(vp8(false)[0] & 1, 1);
            // The frame type is the sixth bit of VP9's header.
            let vp9 = |key: bool| frame(Video::Vp9, white, key)[0] & 0x04;
            assert_eq!((vp9(true), vp9(false)), (0, 4));
            let h264 = |key| payloads(Video::H264, &frame(Video::H264, white, key), key);
            assert_eq!((h264(true)[0][0], h264(true)[0][3] & 0x1F), (0x78, 7));
            assert_eq!(h264(false)[0][0] & 0x1F, 1);
            // A sequence header (1) and a frame (6).
            let av1 = payloads(Video::Av1, &frame(Video::Av1, white, true), true);
            assert_eq!((av1[0][0], av1[0][2]), (0x08, 1 << 3));
            assert_eq!(obus(&frame(Video::Av1, white, false)).len(), 1);
        }
        assert_ne!(frame(Video::Vp8, true, true), frame(Video::Vp8, false, true));
        assert_eq!(payloads(Video::Vp9Layers, &[1], true).len(), 2);
    }
}
