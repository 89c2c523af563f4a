//! A consumer's feed: the events of all its jobs in one world, in one order.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use meetbot_types::{EventName, FeedEvent};

use super::{Result, Tenant};

/// How many letters name a feed.
pub(crate) const ORIGIN_LETTERS: usize = 8;

/// A place in a feed, behind an event. As text it is `origin-transaction-number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedCursor {
    /// Which feed, as ASCII letters and digits: a restored database has other ones, since its events from the backup on are not those that callers have seen.
    pub origin: [u8; ORIGIN_LETTERS],
    /// The transaction that wrote the event, where several write at the same time: a feed is read up to the oldest transaction that has not ended. 0 where
    /// transactions end in the order in which they number events.
    pub transaction: u64,
    /// The event's number.
    pub number: u64,
}

impl FeedCursor {
    /// Before the first event of a feed that has none yet.
    pub const BEGINNING: Self = Self { origin: [b'0'; ORIGIN_LETTERS], transaction: 0, number: 0 };
}

impl fmt::Display for FeedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.iter().try_for_each(|letter| write!(f, "{}", char::from(*letter)))?;
        write!(f, "-{}-{}", self.transaction, self.number)
    }
}

impl FromStr for FeedCursor {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let number = |digits: &str| {
            let plain = (1..=18).contains(&digits.len())
                && digits.bytes().all(|digit| digit.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        let mut parts = text.split('-');
        let (Some(origin), Some(transaction), Some(place), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let origin: [u8; ORIGIN_LETTERS] = origin.as_bytes().try_into().map_err(drop)?;
        match (number(transaction), number(place)) {
            (Some(transaction), Some(number)) if origin.iter().all(u8::is_ascii_alphanumeric) => {
                Ok(Self { origin, transaction, number })
            }
            _ => Err(()),
        }
    }
}

/// What one look into a feed found.
#[derive(Debug, Clone, PartialEq)]
pub enum Feed {
    /// Events, perhaps none.
    Read(FeedPage),
    /// Events behind the cursor were deleted with their jobs: going on from there would skip them.
    Expired,
    /// The cursor is none of this feed.
    Foreign,
}

/// A piece of a feed.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedPage {
    /// Its events of the wanted names.
    pub events: Vec<FeedEvent>,
    /// How far was read: events of other names are passed over.
    pub end: FeedCursor,
    /// Whether there is more behind it.
    pub has_more: bool,
}

/// Consumers' feeds.
#[async_trait]
pub trait FeedStore: Send + Sync + 'static {
    /// At most `limit` events behind a place; without one behind the newest event that was deleted with its job: from there on none is missing. `names` is empty for all names. A caller that goes on from
    /// [`FeedPage::end`] is given each event exactly once, however many write at the same time.
    async fn feed(
        &self,
        tenant: Tenant,
        names: Vec<EventName>,
        after: Option<FeedCursor>,
        limit: u32,
    ) -> Result<Feed>;
    /// The place behind which everything comes that is written from now on.
    async fn feed_end(&self, tenant: Tenant) -> Result<FeedCursor>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_in_no_other_spelling() {
        let cursor = FeedCursor { origin: *b"aZ09bcde", transaction: 77, number: 1_234 };
        assert_eq!(cursor.to_string(), "aZ09bcde-77-1234");
        assert_eq!("aZ09bcde-77-1234".parse(), Ok(cursor));
        for text in [
            "",
            "-",
            "aZ09bcde",
            "aZ09bcde-1",
            "aZ09bcd-1-1",
            "aZ09bcdef-1-1",
            "aZ09bc e-1-1",
            "aZ09bcdé-1-1",
            "aZ09bcde-1-1-1",
            "aZ09bcde--1",
            "aZ09bcde-+1-1",
            "aZ09bcde-1-9999999999999999999",
        ] {
            assert_eq!(text.parse::<FeedCursor>(), Err(()), "{text:?}");
        }
    }
}
