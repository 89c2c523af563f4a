//! How long the store's transactions take.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;

use super::{Times, times};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TransactionLabels {
    kind: &'static str,
    outcome: &'static str,
}

/// The times of a store's transactions.
#[derive(Debug, Clone)]
pub(crate) struct StoreTimes {
    pub(super) transactions: Times<TransactionLabels>,
}

impl StoreTimes {
    /// No times yet.
    pub(crate) fn new() -> Self {
        Self { transactions: times() }
    }

    /// A transaction took so long.
    pub(crate) fn took(&self, kind: &'static str, ok: bool, took: Duration) {
        let labels = TransactionLabels { kind, outcome: if ok { "done" } else { "failed" } };
        self.transactions.get_or_create(&labels).observe(took.as_secs_f64());
    }
}
