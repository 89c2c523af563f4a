//! Decompresses messages: zlib, gzip, gzip after three bytes, raw deflate, or uncompressed; it differs between sessions. Pure.

use std::borrow::Cow;

use miniz_oxide::inflate::{decompress_to_vec_with_limit, decompress_to_vec_zlib_with_limit};

use super::protobuf::Message;

/// The most bytes of a message, both compressed and decompressed.
pub(crate) const MOST_BYTES: usize = 1 << 20;

const GZIP: [u8; 3] = [0x1F, 0x8B, 8];
/// The size of gzip's fixed header, without its optional fields (RFC 1952, 2.3).
const GZIP_HEADER: usize = 10;

/// The decompressed message. `None`: it is too long, or its compression is unknown.
pub(crate) fn unpack(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    if bytes.len() > MOST_BYTES {
        return None;
    }
    let zipped = [bytes, bytes.get(3..).unwrap_or_default()];
    if let Some(zipped) = zipped.into_iter().find(|bytes| bytes.starts_with(&GZIP)) {
        return inflate(gzip_content(zipped)?).map(Cow::Owned);
    }
    if let [0x78, flags, ..] = bytes
        && u16::from_be_bytes([0x78, *flags]).is_multiple_of(31)
        && let Ok(unpacked) = decompress_to_vec_zlib_with_limit(bytes, MOST_BYTES)
    {
        return Some(Cow::Owned(unpacked));
    }
    if Message::read(bytes).is_some() {
        return Some(Cow::Borrowed(bytes));
    }
    inflate(bytes).map(Cow::Owned)
}

fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    decompress_to_vec_with_limit(bytes, MOST_BYTES).ok()
}

/// The data after a gzip header.
fn gzip_content(bytes: &[u8]) -> Option<&[u8]> {
    let flags = *bytes.get(3)?;
    let mut rest = bytes.get(GZIP_HEADER..)?;
    if flags & 4 != 0 {
        let (length, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    // A name and a comment, each with a terminating zero.
    for flag in [8, 16] {
        if flags & flag != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & 2 != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};

    use super::*;

    fn gzip(content: &[u8], flags: u8, extra: &[u8]) -> Vec<u8> {
        let header = [0x1F, 0x8B, 8, flags, 0, 0, 0, 0, 0, 255];
        // The checksum and the length are not read.
        [&header[..], extra, &compress_to_vec(content, 6), &[0; 8]].concat()
    }

    #[test]
    fn every_compression_is_recognised_by_its_first_bytes() {
        let message = [0x0A, 3, 1, 2, 3].repeat(20);
        let prefixed = [&[1, 0, 0][..], &gzip(&message, 0, &[])].concat();
        for (how, packed) in [
            ("plain", message.clone()),
            ("zlib", compress_to_vec_zlib(&message, 6)),
            ("deflate", compress_to_vec(&message, 6)),
            ("gzip", gzip(&message, 0, &[])),
            ("gzip with all fields", gzip(&message, 4 | 8 | 16 | 2, b"\x01\0xname\0comment\0cc")),
            ("gzip behind three bytes", prefixed),
        ] {
            assert_eq!(unpack(&packed).as_deref(), Some(&message[..]), "{how}");
        }
    }

    #[test]
    fn a_message_that_is_too_large_when_decompressed_is_refused() {
        let bomb = vec![0; MOST_BYTES + 1];
        assert_eq!(unpack(&bomb), None);
        assert_eq!(unpack(&compress_to_vec_zlib(&bomb, 6)), None);
        assert_eq!(unpack(&gzip(&bomb, 0, &[])), None);
        for bytes in [&GZIP[..], &[0x1F, 0x8B, 8, 4, 0, 0, 0, 0, 0, 0, 9, 9], &[0xFF, 0xFF]] {
            assert_eq!(unpack(bytes), None, "{bytes:?}");
        }
    }
}
