//! Values as PostgreSQL keeps them: numbers as BIGINT, which has a sign, and texts without NUL.

use std::borrow::Cow;

use meetbot_types::Timestamp;
use tokio_postgres::Row;

use super::{Outcome, Problem};
use crate::clock::LeaseTime;

/// Parses a stored text.
pub(super) fn read_as<T, E: std::fmt::Display>(read: Result<T, E>, what: &str) -> Outcome<T> {
    read.map_err(|error| Problem::Corrupt(format!("{what}: {error}")))
}

/// A number as it is stored.
pub(super) fn stored(number: u64) -> Outcome<i64> {
    read_as(i64::try_from(number), "a number that is to be stored")
}

/// A stored number.
pub(super) fn number<T: TryFrom<i64>>(row: &Row, column: usize) -> Outcome<T> {
    let stored: i64 = row.try_get(column)?;
    T::try_from(stored)
        .map_err(|_| Problem::Corrupt(format!("the number {stored} is too large, or negative")))
}

/// A stored number, if there is one.
pub(super) fn optional<T: TryFrom<i64>>(row: &Row, column: usize) -> Outcome<Option<T>> {
    let stored: Option<i64> = row.try_get(column)?;
    let read = |stored: i64| {
        T::try_from(stored)
            .map_err(|_| Problem::Corrupt(format!("the number {stored} is too large, or negative")))
    };
    stored.map(read).transpose()
}

pub(super) fn text(row: &Row, column: usize) -> Outcome<String> {
    Ok(row.try_get(column)?)
}

/// A stored text, parsed.
pub(super) fn parsed<T>(row: &Row, column: usize, what: &str) -> Outcome<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    read_as(row.try_get::<_, &str>(column)?.parse(), what)
}

pub(super) fn time(row: &Row, column: usize) -> Outcome<Timestamp> {
    Ok(Timestamp::from_millis(row.try_get(column)?))
}

pub(super) fn optional_time(row: &Row, column: usize) -> Outcome<Option<Timestamp>> {
    Ok(row.try_get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

pub(super) fn lease_time(row: &Row, column: usize) -> Outcome<Option<LeaseTime>> {
    Ok(row.try_get::<_, Option<i64>>(column)?.map(LeaseTime::from_millis))
}

/// A SHA-256.
pub(super) fn hash(row: &Row, column: usize) -> Outcome<[u8; 32]> {
    let bytes: &[u8] = row.try_get(column)?;
    read_as(bytes.try_into(), "a hash")
}

/// A text that others chose, as it is stored: PostgreSQL keeps no letter NUL.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if text.contains(['\\', '\0']) {
        Cow::Owned(text.replace('\\', r"\\").replace('\0', r"\0"))
    } else {
        Cow::Borrowed(text)
    }
}

/// What [`escaped`] has stored.
pub(super) fn unescaped(stored: String) -> String {
    if !stored.contains('\\') {
        return stored;
    }
    let (mut text, mut letters) = (String::new(), stored.chars());
    while let Some(letter) = letters.next() {
        let read = if letter == '\\' { letters.next() } else { Some(letter) };
        text.extend(read.map(|read| if letter == '\\' && read == '0' { '\0' } else { read }));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_a_bigint_cannot_hold_is_refused() {
        assert_eq!(stored(i64::MAX as u64).unwrap(), i64::MAX);
        assert!(matches!(stored(i64::MAX as u64 + 1), Err(Problem::Corrupt(_))));
    }

    #[test]
    fn any_text_comes_back_as_it_was() {
        for text in ["", "plain", "a\0b", r"\", r"\0", "\\\0", r"C:\0\\"] {
            let stored = escaped(text).into_owned();
            assert!(!stored.contains('\0'), "{stored:?}");
            assert_eq!(unescaped(stored), text);
        }
    }
}
