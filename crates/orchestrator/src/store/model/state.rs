//! The state of the model: the expected contents of the store, and its clients.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

use meetbot_types::{Ending, Timestamp, bot::Secret};

use super::job::{BotMessage, ModelJob};
use crate::{
    clock::StoreNow,
    store::{
        Backend, DueDelivery, Key, Store, StoredResponse, Tenant,
        contract::{at, key},
    },
};

/// Enough to show all of a job.
pub(super) const ALL: u32 = 10_000;

pub(super) struct ModelTest {
    pub(super) backend: Backend,
    pub(super) store: Arc<dyn Store>,
    pub(super) now: StoreNow,
    /// The end of the store's last outage.
    pub(super) away: Option<StoreNow>,
    /// It was restored so that nothing begins from it.
    pub(super) paused: bool,
    pub(super) keys: Vec<(Key, Option<Timestamp>)>,
    pub(super) jobs: Vec<ModelJob>,
    pub(super) bots: Vec<Bot>,
    /// Deliveries that a sender holds: the job, and the index among its deliveries.
    pub(super) held_deliveries: Vec<(usize, usize, DueDelivery)>,
    pub(super) names: HashMap<(Tenant, String), usize>,
    pub(super) answers: HashMap<(Tenant, String), StoredAnswer>,
    /// Bots, and minutes in a month, that the consumer may have.
    pub(super) limits: [Option<NonZeroU32>; 3],
    /// Tenants, in the order in which a mix of theirs was tried last.
    pub(super) mix_turns: Vec<Tenant>,
    /// Minutes of jobs that have ended, by the month of their end.
    pub(super) ledger: HashMap<(Tenant, String), u64>,
}

/// An attempt at a job, as long as the model has it.
pub(super) struct Bot {
    pub(super) job: usize,
    pub(super) epoch: u32,
    pub(super) token: [u8; 32],
    pub(super) signature: Secret,
    /// The ending in its order, when it only finalises.
    pub(super) ending: Option<Ending>,
    pub(super) log: Vec<(u64, BotMessage)>,
}

/// A response that is stored for its key.
pub(super) struct StoredAnswer {
    pub(super) fingerprint: [u8; 32],
    pub(super) at: i64,
    pub(super) running_until: i64,
    pub(super) answer: StoredResponse,
}

pub(super) fn ms(time: Timestamp) -> i64 {
    time.as_millis()
}

impl ModelTest {
    pub(super) async fn new() -> Self {
        let backend = Backend::new();
        let store = backend.open();
        let now =
            // Half an hour before a month ends.
            StoreNow { wall: "2027-01-31T23:30:00Z".parse().unwrap(), ..at(1) };
        let mut keys = Vec::new();
        for live in [true, false] {
            keys.push((store.create_key(key("acme", live), now).await.unwrap().0, None));
        }
        Self {
            backend,
            store,
            now,
            away: None,
            paused: false,
            keys,
            jobs: Vec::new(),
            bots: Vec::new(),
            held_deliveries: Vec::new(),
            names: HashMap::new(),
            answers: HashMap::new(),
            limits: [None; 3],
            mix_turns: Vec::new(),
            ledger: HashMap::new(),
        }
    }
}
