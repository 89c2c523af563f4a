//! How long the store's transactions take. The store has these itself, so that it can be opened without a server.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;

use super::{Times, times};
use crate::clock::{Clock, Now};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TransactionLabels {
    kind: &'static str,
    outcome: &'static str,
}

/// The times of a store's transactions.
#[derive(Debug, Clone)]
pub(crate) struct StoreTimes {
    clock: Clock,
    pub(super) transactions: Times<TransactionLabels>,
}

impl StoreTimes {
    /// No times yet.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, transactions: times() }
    }

    /// A transaction begins.
    pub(crate) fn begin(&self) -> Now {
        self.clock.now()
    }

    /// For how long a transaction that began at `begun` has been worked on.
    pub(crate) fn since(&self, begun: Now) -> Duration {
        self.clock.now().steady.saturating_sub(begun.steady)
    }

    /// A transaction that began at `begun` has ended.
    pub(crate) fn end(&self, kind: &'static str, begun: Now, ok: bool) {
        self.took(kind, ok, self.since(begun));
    }

    pub(super) fn took(&self, kind: &'static str, ok: bool, took: Duration) {
        let labels = TransactionLabels { kind, outcome: if ok { "done" } else { "failed" } };
        self.transactions.get_or_create(&labels).observe(took.as_secs_f64());
    }
}
