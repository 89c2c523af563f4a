//! Reading an object, as a whole or a part of it, as it comes.

use std::{io, ops::Range, pin::Pin};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use object_store::{GetOptions, GetRange, ObjectStore as _};

use super::{ANSWER_LIMIT, Bucket, BucketError, Result, within};

/// A part of an object, as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// From one byte to another, both included.
    FromTo(u64, u64),
    /// From a byte on.
    From(u64),
    /// So many of the last bytes.
    Last(u64),
}

/// An object, or a part of it, while it comes.
pub(crate) struct Reading {
    /// Which of its bytes come.
    pub(crate) range: Range<u64>,
    /// How many it has.
    pub(crate) bytes: u64,
    /// Distinguishes this version of the object from earlier ones.
    pub(crate) e_tag: Option<String>,
    /// The bytes.
    pub(crate) content: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
}

impl Bucket {
    /// Begins to read an object, or a part of it.
    pub(crate) async fn read(&self, name: &str, part: Option<Part>) -> Result<Reading> {
        let range = part.map(|part| match part {
            Part::FromTo(first, last) => GetRange::Bounded(first..last.saturating_add(1)),
            Part::From(first) => GetRange::Offset(first),
            Part::Last(bytes) => GetRange::Suffix(bytes),
        });
        let options = GetOptions { range, ..GetOptions::default() };
        let key = self.key(name)?;
        let found = within(ANSWER_LIMIT, self.s3.get_opts(&key, options)).await?;
        Ok(Reading {
            range: found.range.clone(),
            bytes: found.meta.size,
            e_tag: found.meta.e_tag.clone(),
            content: Box::pin(
                found.into_stream().map(|piece| Ok(piece.map_err(BucketError::from)?)),
            ),
        })
    }
}
