//! What cameras show: black while somebody is silent, white while they speak, in VP8.

use std::sync::{Arc, LazyLock};

/// The length of an IVF file's header, and of the header before each frame.
const FILE_HEADER: usize = 32;
const FRAME_HEADER: usize = 12;

/// A key frame and a frame that changes nothing, of black and of white.
static PICTURES: LazyLock<[[Arc<[u8]>; 2]; 2]> = LazyLock::new(|| {
    [
        frames(include_bytes!("../pictures/black.ivf")),
        frames(include_bytes!("../pictures/white.ivf")),
    ]
});

/// A frame; those that are no key frames need the key frame of the same colour before them.
pub(crate) fn frame(white: bool, key: bool) -> Arc<[u8]> {
    Arc::clone(&PICTURES[usize::from(white)][usize::from(!key)])
}

fn frames(file: &[u8]) -> [Arc<[u8]>; 2] {
    let mut rest = &file[FILE_HEADER..];
    [(); 2].map(|()| {
        let (size, after) = rest.split_first_chunk().expect("the pictures are whole IVF files");
        let (frame, next) = after[FRAME_HEADER - 4..]
            .split_at(usize::try_from(u32::from_le_bytes(*size)).unwrap_or(0));
        rest = next;
        Arc::from(frame)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_colour_has_a_key_frame_and_another() {
        for white in [false, true] {
            // RFC 6386, 9.1: the lowest bit is 0 in a key frame, whose start code follows.
            assert_eq!(frame(white, true)[0] & 1, 0);
            assert_eq!(frame(white, true)[3..6], [0x9D, 0x01, 0x2A]);
            assert_eq!(frame(white, false)[0] & 1, 1);
        }
        assert_ne!(frame(true, true), frame(false, true));
    }
}
