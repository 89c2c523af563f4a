//! Pages: as many rows as were asked for, and no more bytes than somebody may hold who does not read them.

use meetbot_types::Page;

use super::Outcome;

/// A page ends behind the row with which it has so many bytes.
pub(super) const BYTES: usize = 64 * 1024;

/// An entry of a page.
pub(super) struct Entry<T> {
    pub(super) value: T,
    /// How much memory it takes, more or less.
    pub(super) bytes: usize,
    /// Where the next page begins, if this is the last of its page.
    pub(super) cursor: String,
}

/// Puts at most `limit` rows into a page; one more, where there is one, shows that there are others.
pub(super) fn page<R, T>(
    rows: Vec<R>,
    limit: u32,
    entry: impl Fn(R) -> Outcome<Entry<T>>,
) -> Outcome<Page<T>> {
    let (mut data, mut bytes, mut next_cursor) = (Vec::new(), 0, None);
    for row in rows {
        if data.len() >= limit as usize || bytes >= BYTES {
            return Ok(Page { data, next_cursor });
        }
        let entry = entry(row)?;
        bytes += entry.bytes;
        next_cursor = Some(entry.cursor);
        data.push(entry.value);
    }
    Ok(Page { data, next_cursor: None })
}
