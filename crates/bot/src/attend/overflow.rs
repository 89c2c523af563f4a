//! Counts the datagrams that were lost because a bot's sockets were full.

use crate::{meeting::Meeting, recording::Counters};

/// The count of the current connection as it was last seen: a new connection begins at 0.
#[derive(Debug, Default)]
pub(super) struct Overflow(u64);

impl Overflow {
    /// Adds what is new to the counters, and returns it; without a connection, there is nothing new.
    pub(super) fn check(&mut self, meeting: Option<&dyn Meeting>, counters: &Counters) -> u64 {
        let dropped = meeting.map_or(0, Meeting::dropped_datagrams);
        let before = std::mem::replace(&mut self.0, dropped);
        let new = if dropped >= before { dropped - before } else { dropped };
        if new > 0 {
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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use meetbot_types::CommandId;

    use super::*;
    use crate::{
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
        let mut total = 0;
        for (dropped, new) in [(0, 0), (5, 5), (5, 0), (7, 2)] {
            assert_eq!(overflow.check(Some(&Lossy(dropped)), &counters), new);
            total += new;
            assert_eq!(counters.get().datagrams_dropped, total);
        }
        assert_eq!(overflow.check(None, &counters), 0);
        assert_eq!(overflow.check(Some(&Lossy(3)), &counters), 3);
        assert_eq!(counters.get().datagrams_dropped, 10);
    }
}
