//! The model of a delivery: the URLs of an event, and when a sender may take it.

use meetbot_types::{DeliveryId, DeliveryState, EventName, Timestamp};

use crate::{
    clock::StoreNow,
    store::{TRIES_IN_ORDER, Verdict},
};

pub(super) const LEASE_MS: i64 = 60_000;

/// The receivers of an event: `onFinalize` gets the success or failure of a job and files made after its end; `onStatusChange` gets all events except the success, what follows it, and events about withheld or omitted content. A URL gets an event once.
pub(super) fn urls_of(urls: [Option<&'static str>; 2], event: &EventName) -> Vec<&'static str> {
    let [on_status, on_finalize] = urls;
    let wanted = match event {
        EventName::Finalized | EventName::ArtifactReady => [on_finalize, None],
        EventName::Failed => [on_finalize, on_status],
        EventName::ChatWithheld | EventName::EventsLeftOut => [None, None],
        _ => [on_status, None],
    };
    let mut reported: Vec<_> = wanted.into_iter().flatten().collect();
    reported.dedup();
    reported
}

#[derive(Debug, Clone)]
pub(super) struct ModelDelivery {
    /// Known once the store has shown it.
    pub(super) id: Option<DeliveryId>,
    pub(super) sequence: u64,
    pub(super) event: EventName,
    pub(super) url: &'static str,
    pub(super) state: DeliveryState,
    /// Since it was sent first, or again.
    pub(super) tries: u32,
    pub(super) tries_ever: u32,
    /// When it was last asked for again.
    pub(super) again_at: Option<Timestamp>,
    /// Not before this moment of the wall clock; none for a first try.
    not_before: Option<i64>,
    /// On the steady clock.
    lease: i64,
    /// Later ones of its job wait for it at its endpoint.
    pub(super) holds: bool,
}

impl ModelDelivery {
    pub(super) fn new(sequence: u64, event: EventName, url: &'static str) -> Self {
        Self {
            id: None,
            sequence,
            event,
            url,
            state: DeliveryState::Pending,
            tries: 0,
            tries_ever: 0,
            again_at: None,
            not_before: None,
            lease: 0,
            holds: true,
        }
    }

    /// Whether a sender may get it, apart from those it waits for.
    pub(super) fn free(&self, now: StoreNow) -> bool {
        self.state == DeliveryState::Pending
            && self.not_before.is_none_or(|at| at <= now.wall.as_millis())
            && self.lease <= now.lease.as_millis()
    }

    pub(super) fn take(&mut self, now: StoreNow) {
        self.lease = now.lease.as_millis() + LEASE_MS;
    }

    /// The result of a try. One that is reported late, after another sender's, is recorded, and changes nothing that is finished.
    /// What failed while it was asked for again is as if it had not been tried.
    pub(super) fn note(&mut self, verdict: &Verdict, since: Timestamp, now: StoreNow) {
        self.tries_ever += 1;
        if self.state != DeliveryState::Pending {
            return;
        }
        let anew = self.again_at.is_some_and(|at| at != since);
        self.tries += u32::from(!anew);
        self.lease = 0;
        match verdict {
            Verdict::Delivered => self.state = DeliveryState::Delivered,
            _ if anew => self.not_before = Some(now.wall.as_millis()),
            Verdict::Dead => self.state = DeliveryState::Dead,
            Verdict::RetryAt(at) => self.not_before = Some(at.as_millis()),
        }
        self.holds &= self.state == DeliveryState::Pending && self.tries < TRIES_IN_ORDER;
    }

    /// It is sent once more. Those that passed it, or waited until it was done, do not wait for it again.
    pub(super) fn redeliver(&mut self, now: StoreNow) {
        self.again_at = Some(now.wall);
        self.state = DeliveryState::Pending;
        self.tries = 0;
        self.not_before = None;
    }

    /// The process that held it has ended.
    pub(super) fn forget_lease(&mut self) {
        self.lease = 0;
    }
}
