//! Checks a response to a download against its own headers, the manifest and earlier responses. Pure; cases are in
//! `spec/vectors/downloads.json`.

use http::{
    HeaderMap,
    header::{CONTENT_LENGTH, CONTENT_RANGE},
};

/// What is known of a file while it is fetched; sizes in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// Its size by the manifest.
    pub(crate) expected: Option<u64>,
    /// Its size by an answer that holds a part of it.
    pub(crate) said: Option<u64>,
    /// How much of it is there.
    pub(crate) received: u64,
}

/// What an answer says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Whether it begins at the file's beginning, for any requested range.
    pub(crate) anew: bool,
    /// How much of the file may be there after it; `None` where nothing says.
    end: Option<u64>,
    /// The file's size; `None` where nothing says.
    pub(crate) total: Option<u64>,
}

/// The `Content-Range` of an answer: its first and last byte, and the size of the whole.
pub(crate) type Range = (u64, u64, u64);

impl Piece {
    /// Reads the head of a successful answer to a request for what is missing; says what is wrong with it.
    pub(crate) fn read(
        progress: &Progress,
        status: u16,
        headers: &HeaderMap,
    ) -> Result<Self, String> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if status != 206 {
            let length = header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
            let total = agreed(progress.expected, length)?;
            return Ok(Self { anew: true, end: total, total });
        }
        let received = progress.received;
        let range = header(CONTENT_RANGE).unwrap_or_default();
        let read = content_range(range).filter(|(first, ..)| *first == received);
        let (_, last, total) = read.ok_or_else(|| {
            format!("the bytes from {received} on were asked for, and {range:?} came")
        })?;
        let total = agreed(progress.said, agreed(progress.expected, Some(total))?)?;
        Ok(Self { anew: false, end: Some(last + 1), total })
    }

    /// Whether it may hold what makes this much of the file be there.
    pub(crate) fn reaches(&self, received: u64) -> bool {
        self.end.is_none_or(|end| received <= end)
    }

    /// Whether the file is whole with this much of it.
    pub(crate) fn completes(&self, received: u64) -> bool {
        self.total.is_none_or(|total| received == total)
    }
}

/// The size that both say, as far as they say one.
fn agreed(known: Option<u64>, said: Option<u64>) -> Result<Option<u64>, String> {
    match (known, said) {
        (Some(known), Some(said)) if known != said => {
            Err(format!("it should have {known} bytes, and the server says {said}"))
        }
        _ => Ok(said.or(known)),
    }
}

/// Reads `bytes 0-9/100`; `None` for anything else, for a size that is not said (`*`) too.
pub(crate) fn content_range(text: &str) -> Option<Range> {
    let (span, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (first, last, total) = (number(first)?, number(last)?, number(total)?);
    (first <= last && last < total).then_some((first, last, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_parsed_or_none() {
        assert_eq!(content_range("bytes 0-9/100"), Some((0, 9, 100)));
        assert_eq!(content_range("bytes 5-5/6"), Some((5, 5, 6)));
        for wrong in [
            "",
            "bytes",
            "bytes 0-9/*",
            "bytes */100",
            "bytes 9-0/100",
            "bytes 0-100/100",
            "bytes 0-9",
            "bytes +0-9/100",
            "bytes -9/100",
            "bytes 0-18446744073709551616/18446744073709551617",
            "items 0-9/100",
            "bytes 0-9/100, bytes 20-29/100",
        ] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }
}
