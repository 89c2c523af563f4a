//! Counts the datagrams that were lost because a bot's sockets were full, and notes that it reads late.

use std::{mem, time::Instant};

use crate::{lateness::Lateness, meeting::Meeting, recording::Counters};

/// The counts of the current connection as they were last seen: a new connection begins at 0.
#[derive(Debug, Default)]
pub(super) struct Overflow {
    dropped: u64,
    late: u64,
}

impl Overflow {
    /// Adds what is new to the counters, and returns it; without a connection, there is nothing new.
    pub(super) fn check(
        &mut self,
        meeting: Option<&dyn Meeting>,
        counters: &Counters,
        lateness: &Lateness,
        now: Instant,
    ) -> u64 {
        let before = self.dropped;
        let new = added(&mut self.dropped, meeting.map_or(0, Meeting::dropped_datagrams));
        if added(&mut self.late, meeting.map_or(0, Meeting::late_readings)) > 0 {
            lateness.read_late(now);
        }
        if new > 0 {
            lateness.dropped(now);
            if before == 0 {
                tracing::warn!(
                    datagrams = new,
                    "the bot reads too late: its socket's buffer was full"
                );
            }
            counters.add(|counters| counters.datagrams_dropped += new);
        }
        new
    }
}

/// How much a count has grown, or of a new connection all of it.
fn added(last: &mut u64, count: u64) -> u64 {
    let before = mem::replace(last, count);
    count.checked_sub(before).unwrap_or(count)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use meetbot_types::CommandId;

    use super::*;
    use crate::{
        clock,
        media::TrackId,
        meeting::{MeetingEvent, Remainder},
    };

    struct Lossy(u64);

    #[async_trait]
    impl Meeting for Lossy {
        async fn next(&mut self) -> MeetingEvent {
            std::future::pending().await
        }

        fn send_chat(&mut self, _: CommandId, _: String) {}

        fn request_permission(&mut self, _: CommandId) {}

        fn request_keyframe(&mut self, _: TrackId) {}

        fn dropped_datagrams(&self) -> u64 {
            self.0
        }

        async fn leave(self: Box<Self>) -> Remainder {
            Remainder::default()
        }
    }

    #[test]
    fn the_datagrams_of_all_connections_of_a_bot_are_counted_once() {
        let (mut overflow, counters) = (Overflow::default(), Counters::default());
        let (lateness, now) = (Lateness::default(), clock::now());
        let mut check =
            |meeting: Option<&dyn Meeting>| overflow.check(meeting, &counters, &lateness, now);
        let mut total = 0;
        for (dropped, new) in [(0, 0), (5, 5), (5, 0), (7, 2)] {
            assert_eq!(check(Some(&Lossy(dropped))), new);
            assert_eq!(lateness.is_behind(), total + new > 0);
            total += new;
            assert_eq!(counters.get().datagrams_dropped, total);
        }
        assert_eq!((check(None), check(Some(&Lossy(3)))), (0, 3));
        assert_eq!(counters.get().datagrams_dropped, 10);
    }
}
