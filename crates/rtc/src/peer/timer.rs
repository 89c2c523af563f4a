//! The timer of a peer. It is kept between waits: each new one would take the lock of the runtime's timers twice; to move one to a later moment takes no lock.

use std::{pin::Pin, time::Instant};

use tokio::time::Sleep;

#[derive(Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Waits until this moment. Cancel-safe.
    pub(super) async fn until(&mut self, at: Instant) {
        let at = at.into();
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().await;
    }
}
