//! The compression of data channel messages: each variant was observed in the real Google Meet.

use std::io::{self, Write};

use flate2::{
    Compression as Level,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use serde::{Deserialize, Serialize};

/// The compression of messages of `collections`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// RFC 1950.
    #[default]
    Zlib,
    /// RFC 1952.
    Gzip,
    /// RFC 1952 after three other bytes.
    PrefixedGzip,
    /// RFC 1951, without a header.
    Deflate,
    /// Uncompressed.
    Plain,
}

impl Compression {
    /// All variants.
    pub const ALL: [Self; 5] =
        [Self::Zlib, Self::Gzip, Self::PrefixedGzip, Self::Deflate, Self::Plain];

    /// The compressed message.
    pub(crate) fn pack(self, message: &[u8]) -> Vec<u8> {
        self.written(message).expect("writing into memory does not fail")
    }

    fn written(self, message: &[u8]) -> io::Result<Vec<u8>> {
        let gzip = |before: &[u8]| {
            let mut encoder = GzEncoder::new(before.to_vec(), Level::default());
            encoder.write_all(message)?;
            encoder.finish()
        };
        match self {
            Self::Zlib => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Level::default());
                encoder.write_all(message)?;
                encoder.finish()
            }
            Self::Gzip => gzip(&[]),
            Self::PrefixedGzip => gzip(&[0x00, 0x01, 0x00]),
            Self::Deflate => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Level::default());
                encoder.write_all(message)?;
                encoder.finish()
            }
            Self::Plain => Ok(message.to_vec()),
        }
    }
}
