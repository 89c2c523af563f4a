//! Pages: at most the requested number of entries, and a bounded number of bytes. Pure.

use meetbot_types::{Delivery, Page};

use super::{ConsumerUse, Key, KeyUse};

/// A page ends behind the entry with which it has so many bytes.
pub(crate) const BYTES: usize = 64 * 1024;

/// An entry of a page.
pub(crate) struct Entry<T> {
    pub(crate) value: T,
    /// How much memory it takes, more or less.
    pub(crate) bytes: usize,
    /// Where the next page begins, if this is the last of its page.
    pub(crate) cursor: String,
}

impl From<Delivery> for Entry<Delivery> {
    fn from(value: Delivery) -> Self {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let tries = value.tries.iter().map(|one| 100 + text(&one.error) + text(&one.answer));
        let bytes = 500 + value.url.len() + tries.sum::<usize>();
        Self { bytes, cursor: value.id.to_string(), value }
    }
}

impl From<Key> for Entry<Key> {
    fn from(value: Key) -> Self {
        let bytes = 300 + value.consumer_name.len();
        Self { bytes, cursor: value.id.to_string(), value }
    }
}

impl From<ConsumerUse> for Entry<ConsumerUse> {
    fn from(value: ConsumerUse) -> Self {
        let bytes = 500 + value.consumer.len();
        Self { bytes, cursor: value.id.to_string(), value }
    }
}

impl From<KeyUse> for Entry<KeyUse> {
    fn from(value: KeyUse) -> Self {
        let bytes = 400 + value.path.len() + value.request.len();
        Self { bytes, cursor: value.id.to_string(), value }
    }
}

/// A page that is being filled.
pub(crate) struct PageBuilder<T> {
    limit: usize,
    bytes: usize,
    page: Page<T>,
}

impl<T> PageBuilder<T> {
    /// One that has at most `limit` entries.
    pub(crate) fn new(limit: u32) -> Self {
        let page = Page { data: Vec::new(), next_cursor: None };
        Self { limit: limit as usize, bytes: 0, page }
    }

    /// Whether it takes no other entry. One that is there all the same belongs to the next page.
    pub(crate) fn is_full(&self) -> bool {
        self.page.data.len() >= self.limit || self.bytes >= BYTES
    }

    pub(crate) fn push(&mut self, entry: Entry<T>) {
        self.bytes += entry.bytes;
        self.page.next_cursor = Some(entry.cursor);
        self.page.data.push(entry.value);
    }

    /// The page; `has_more` is whether there is an entry behind it.
    pub(crate) fn end(self, has_more: bool) -> Page<T> {
        Page { next_cursor: self.page.next_cursor.filter(|_| has_more), ..self.page }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_with_its_last_entry_or_at_its_byte_limit() {
        let filled = |limit, bytes| {
            let mut page = PageBuilder::new(limit);
            let mut number = 0;
            while !page.is_full() {
                number += 1;
                page.push(Entry { value: number, bytes, cursor: number.to_string() });
            }
            page
        };
        let page = filled(3, 1).end(true);
        assert_eq!((page.data, page.next_cursor.as_deref()), (vec![1, 2, 3], Some("3")));
        assert_eq!(filled(3, 1).end(false).next_cursor, None);
        let page = filled(9, BYTES / 2 + 1).end(true);
        assert_eq!((page.data, page.next_cursor.as_deref()), (vec![1, 2], Some("2")));
        // One that is larger than a page has a page for itself.
        assert_eq!(filled(9, 5 * BYTES).end(false).data, [1]);
        assert_eq!(filled(0, 1).end(true).next_cursor, None);
    }
}
