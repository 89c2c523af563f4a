//! How long transactions take. The store is opened without a server too, so it does not depend on the metrics.

use std::time::Duration;

use crate::{
    clock::{Clock, Now},
    store::Observer,
};

/// Measures transactions.
#[derive(Clone)]
pub(super) struct Times {
    pub(super) clock: Clock,
    pub(super) observer: Option<Observer>,
}

impl Times {
    /// A transaction begins.
    pub(super) fn begin(&self) -> Now {
        self.clock.now()
    }

    /// For how long a transaction that began at `begun` has been worked on.
    pub(super) fn since(&self, begun: Now) -> Duration {
        self.clock.now().steady.saturating_sub(begun.steady)
    }

    /// A transaction that began at `begun` has ended.
    pub(super) fn end(&self, kind: &'static str, begun: Now, ok: bool) {
        if let Some(observer) = &self.observer {
            observer(kind, ok, self.since(begun));
        }
    }
}
