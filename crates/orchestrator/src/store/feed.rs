//! A consumer's feed: the events of all its jobs in one world, in one order.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use meetbot_types::{EventName, FeedEvent};

use super::{Result, Tenant};

/// How many letters name a feed.
pub(crate) const ORIGIN_LETTERS: usize = 8;

/// A position in a feed, after an event. As text it is `origin-transaction-number`.
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

/// The result of one read of a feed.
#[derive(Debug, Clone, PartialEq)]
pub enum Feed {
    /// Events, perhaps none.
    Read(FeedPage),
    /// Events after the cursor were deleted with their jobs: reading on from there would skip them.
    Expired,
    /// The cursor belongs to another feed.
    Foreign,
}

/// A piece of a feed.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedPage {
    /// Its events of the wanted names.
    pub events: Vec<FeedEvent>,
    /// The position up to which was read: events of other names are skipped.
    pub end: FeedCursor,
    /// Whether there is more behind it.
    pub has_more: bool,
}

/// The most events that one read skips,
pub(crate) const SCANNED_AT_ONCE: u32 = 500;
/// and the number of bytes after which it ends.
const BYTES: usize = 64 * 1024;

/// One read of a feed.
pub(crate) struct FeedScan<'a> {
    /// The events that are wanted; empty: all.
    names: &'a [EventName],
    limit: usize,
    seen: u32,
    bytes: usize,
    events: Vec<FeedEvent>,
}

impl<'a> FeedScan<'a> {
    /// One that hands out at most `limit` events.
    pub(crate) const fn new(names: &'a [EventName], limit: u32) -> Self {
        Self { names, limit: limit as usize, seen: 0, bytes: 0, events: Vec::new() }
    }

    /// Whether it ends before the next event.
    pub(crate) fn is_full(&self) -> bool {
        self.seen == SCANNED_AT_ONCE || self.bytes >= BYTES || self.events.len() >= self.limit
    }

    /// Reads an event with this name; returns whether it is wanted.
    pub(crate) fn wants(&mut self, name: &str) -> bool {
        self.seen += 1;
        self.names.is_empty() || self.names.iter().any(|wanted| wanted.as_str() == name)
    }

    /// Adds an event to the page, with the size of its data in bytes.
    pub(crate) fn push(&mut self, event: FeedEvent, bytes: usize) {
        self.bytes += bytes;
        self.events.push(event);
    }

    /// The result.
    pub(crate) fn end(self, end: FeedCursor, has_more: bool) -> Feed {
        Feed::Read(FeedPage { events: self.events, end, has_more })
    }
}

impl Feed {
    /// The result for a consumer without any event yet.
    pub(crate) fn of_nothing(after: Option<FeedCursor>) -> Self {
        match after {
            None | Some(FeedCursor::BEGINNING) => {
                let (events, end) = (Vec::new(), FeedCursor::BEGINNING);
                Self::Read(FeedPage { events, end, has_more: false })
            }
            Some(_) => Self::Foreign,
        }
    }
}

/// Consumers' feeds.
#[async_trait]
pub trait FeedStore: Send + Sync + 'static {
    /// At most `limit` events after a cursor; without one, after the newest event that was deleted with its job: from there on none is missing. `names` is empty for all names. A caller that goes on from
    /// [`FeedPage::end`] gets each event exactly once, with any number of concurrent writers.
    async fn feed(
        &self,
        tenant: Tenant,
        names: Vec<EventName>,
        after: Option<FeedCursor>,
        limit: u32,
    ) -> Result<Feed>;
    /// The position after which all events written from now on come.
    async fn feed_end(&self, tenant: Tenant) -> Result<FeedCursor>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_ends_at_its_limit_its_bytes_or_after_many_filtered_events() {
        let event = || {
            FeedEvent {
            cursor: String::new(),
            id: meetbot_types::EventId::generate(meetbot_types::Timestamp::UNIX_EPOCH),
            event: EventName::Finalized,
            emitted_at: meetbot_types::Timestamp::UNIX_EPOCH,
            data: serde_json::from_value(serde_json::json!({
                "event": "job.status_changed", "sequence": 1, "externalId": null, "status": "joining", "metadata": {},
                "jobId": meetbot_types::JobId::generate(meetbot_types::Timestamp::UNIX_EPOCH),
                "previousStatus": null, "statusDetail": null, "leaveReason": null
            }))
            .unwrap(),
        }
        };
        let names = [EventName::Finalized];
        let events = |limit, bytes, name: &str| {
            let (mut scan, mut passed) = (FeedScan::new(&names, limit), 0);
            while !scan.is_full() {
                passed += 1;
                if scan.wants(name) {
                    scan.push(event(), bytes);
                }
            }
            let Feed::Read(page) = scan.end(FeedCursor::BEGINNING, true) else { panic!() };
            (passed, page.events.len())
        };
        assert_eq!(events(3, 1, "job.finalized"), (3, 3));
        assert_eq!(events(9, BYTES / 2 + 1, "job.finalized"), (2, 2));
        assert_eq!(events(9, 1, "job.failed"), (SCANNED_AT_ONCE, 0));
        assert!(FeedScan::new(&[], 1).wants("job.failed"), "all are wanted");
        assert!(matches!(Feed::of_nothing(None), Feed::Read(page) if page.events.is_empty()));
        let foreign = FeedCursor { number: 1, ..FeedCursor::BEGINNING };
        assert_eq!(Feed::of_nothing(Some(foreign)), Feed::Foreign);
    }

    #[test]
    fn a_cursor_is_read_only_in_the_form_in_which_it_was_written() {
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
