//! A delivery after a try.

use meetbot_types::{DeliveryState, Timestamp};

use super::{TRIES_IN_ORDER, Verdict};

/// The state of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryRecord {
    pub(crate) state: DeliveryState,
    /// How many tries have failed since it was sent first, or again.
    pub(crate) tries: u32,
    /// When it was sent first, or last asked for again.
    pub(crate) since: Timestamp,
    /// When it may be tried; `None` while that is not its turn.
    pub(crate) due_at: Option<Timestamp>,
    /// A sender holds it.
    pub(crate) under_way: bool,
    /// Later ones of its job wait for it at its endpoint.
    pub(crate) holds: bool,
}

impl DeliveryRecord {
    /// A new one, due at once unless it waits for an older one of its job at its endpoint.
    pub(crate) fn new(is_held: bool, now: Timestamp) -> Self {
        Self {
            state: DeliveryState::Pending,
            tries: 0,
            since: now,
            due_at: (!is_held).then_some(now),
            under_way: false,
            holds: true,
        }
    }

    /// It is sent once more, with all its tries. One that is done goes beside those that wait, and none waits for it; one whose turn has not come, or that a sender
    /// has, is tried when that is over.
    pub(crate) fn redeliver(&mut self, now: Timestamp) {
        let due = self.state != DeliveryState::Pending || self.due_at.is_some();
        self.state = DeliveryState::Pending;
        self.due_at = due.then_some(now);
        self.tries = 0;
        self.since = now;
    }

    /// It is not tried again, and no other delivery waits for it.
    pub(crate) fn give_up(&mut self) {
        self.state = DeliveryState::Dead;
        self.due_at = None;
        self.holds = false;
    }

    /// A try that began when the delivery was sent at `since` came to this. `false` where that changes nothing: another try has settled it.
    pub(crate) fn tried(&mut self, verdict: Verdict, since: Timestamp, now: Timestamp) -> bool {
        if self.state != DeliveryState::Pending {
            return false;
        }
        let anew = self.since != since;
        self.tries += u32::from(!anew);
        self.under_way = false;
        (self.state, self.due_at) = match verdict {
            Verdict::Delivered => (DeliveryState::Delivered, None),
            // The verdict counts tries from before the redelivery.
            _ if anew => (DeliveryState::Pending, Some(now)),
            Verdict::RetryAt(at) => (DeliveryState::Pending, Some(at)),
            Verdict::Dead => (DeliveryState::Dead, None),
        };
        self.holds &= self.state == DeliveryState::Pending && self.tries < TRIES_IN_ORDER;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// A sender has it, which was sent then.
    fn taken(since: Timestamp) -> DeliveryRecord {
        DeliveryRecord { due_at: None, under_way: true, ..DeliveryRecord::new(false, since) }
    }

    #[test]
    fn a_new_delivery_waits_for_an_older_one_of_its_job() {
        assert_eq!(DeliveryRecord::new(false, at(1)).due_at, Some(at(1)));
        let held = DeliveryRecord::new(true, at(1));
        assert_eq!((held.due_at, held.holds, held.state), (None, true, DeliveryState::Pending));
    }

    #[test]
    fn a_redelivery_is_due_unless_it_waits_for_another_or_is_in_flight() {
        let due = DeliveryRecord { tries: 3, ..DeliveryRecord::new(false, at(1)) };
        let mut dead = due.clone();
        dead.give_up();
        assert_eq!((dead.state.clone(), dead.due_at), (DeliveryState::Dead, None));
        for (mut record, due_at, holds) in [
            (due, Some(at(9)), true),
            (dead, Some(at(9)), false),
            (DeliveryRecord::new(true, at(1)), None, true),
            (taken(at(1)), None, true),
        ] {
            let under_way = record.under_way;
            record.redeliver(at(9));
            let state = DeliveryState::Pending;
            let since = at(9);
            let expected = DeliveryRecord { state, tries: 0, since, due_at, under_way, holds };
            assert_eq!(record, expected);
        }
    }

    #[test]
    fn a_verdict_ends_a_delivery_or_sets_its_next_try() {
        use DeliveryState::{Dead, Delivered, Pending};
        for (verdict, state, due_at, holds) in [
            (Verdict::Delivered, Delivered, None, false),
            (Verdict::RetryAt(at(90)), Pending, Some(at(90)), true),
            (Verdict::Dead, Dead, None, false),
        ] {
            let mut record = taken(at(1));
            assert!(record.tried(verdict, at(1), at(50)));
            let (under_way, since) = (false, at(1));
            let expected = DeliveryRecord { state, tries: 1, since, due_at, under_way, holds };
            assert_eq!(record, expected, "{verdict:?}");
            let settled = record.state != Pending;
            assert_eq!(record.tried(Verdict::Dead, at(1), at(60)), !settled, "{verdict:?}");
        }
    }

    #[test]
    fn later_deliveries_wait_for_the_oldest_until_its_fourth_failed_try() {
        let mut record = taken(at(1));
        let holds = [2, 3, 4, 5].map(|now| {
            record.tried(Verdict::RetryAt(at(now + 9)), at(1), at(now));
            record.holds
        });
        assert_eq!(holds, [true, true, true, false]);
    }

    #[test]
    fn a_failed_try_does_not_count_if_a_redelivery_was_requested_during_it() {
        let anew = DeliveryRecord { holds: false, ..taken(at(40)) };
        for verdict in [Verdict::RetryAt(at(90)), Verdict::Dead] {
            let mut record = anew.clone();
            assert!(record.tried(verdict, at(1), at(50)));
            assert_eq!(
                record,
                DeliveryRecord { due_at: Some(at(50)), under_way: false, ..anew.clone() }
            );
        }
        let mut record = anew;
        record.tried(Verdict::Delivered, at(1), at(50));
        assert_eq!(record.state, DeliveryState::Delivered, "it has arrived all the same");
    }
}
