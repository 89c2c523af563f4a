//! A test with a meeting that has media which it has not read when the bot leaves.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use meetbot_types::{AutoLeave, CommandId};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};

use super::{
    flood::{admitted, connect, order, speaks},
    *,
};
use crate::{media::TrackId, meeting::Remainder};

/// A meeting that reads in ticks, the next of which does not come in time.
struct BetweenTicks {
    read: VecDeque<MeetingEvent>,
    unread: VecDeque<MeetingEvent>,
    stop: CancellationToken,
    /// All that was read is handled.
    handled: Arc<Notify>,
}

#[async_trait]
impl Meeting for BetweenTicks {
    async fn next(&mut self) -> MeetingEvent {
        if let Some(event) = self.read.pop_front() {
            return event;
        }
        self.handled.notify_one();
        if self.stop.is_cancelled() {
            tokio::task::yield_now().await;
            if let Some(event) = self.unread.pop_front() {
                return event;
            }
        }
        std::future::pending().await
    }

    fn send_chat(&mut self, _: CommandId, _: String) {}

    fn request_permission(&mut self, _: CommandId) {}

    fn request_keyframe(&mut self, _: TrackId) {}

    async fn leave(self: Box<Self>) -> Remainder {
        Remainder::default()
    }
}

#[tokio::test]
async fn media_that_arrived_before_the_bot_leaves_are_recorded() {
    let folder = TempDir::new().unwrap();
    let order = order(&folder.path().join("job"), AutoLeave::default());
    let (connect, counters) = (connect(), Counters::default());
    let (stop, handled) = (CancellationToken::new(), Arc::new(Notify::new()));
    let reporter = Reporter::start(&order, &connect, counters.clone(), &CancellationToken::new());
    let mut bot = Bot::new(&order, &connect, &reporter, counters.clone());
    let meeting = BetweenTicks {
        read: [admitted(), speaks(0)].into(),
        unread: (1..4).map(speaks).collect(),
        stop: stop.clone(),
        handled: Arc::clone(&handled),
    };
    let joining =
        AbortOnDropHandle::new(tokio::spawn(async { Ok(Box::new(meeting) as Box<dyn Meeting>) }));
    let (_commands, given) = mpsc::channel(16);
    let mut inbox = Inbox::of(given);
    let stops = async {
        handled.notified().await;
        assert_eq!(counters.get().packets_received, 1);
        stop.cancel();
    };
    let (cause, ()) = tokio::join!(bot.stay(joining, &mut inbox, &stop), stops);
    assert_eq!((cause, counters.get().packets_received), (None, 4));
}
