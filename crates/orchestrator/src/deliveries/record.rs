//! A delivery after a try.

use meetbot_types::{DeliveryState, Timestamp};

use super::{TRIES_IN_ORDER, Verdict};

/// Where a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryRecord {
    pub(crate) state: DeliveryState,
    /// How many tries have failed since it was sent first, or again.
    pub(crate) tries: u32,
    /// When it was sent first, or last asked for again.
    pub(crate) since: Timestamp,
    /// When it may be tried; `None` while that is not its turn.
    pub(crate) due_at: Option<Timestamp>,
    /// Later ones of its job wait for it at its endpoint.
    pub(crate) holds: bool,
}

impl DeliveryRecord {
    /// A try that began when the delivery was sent at `since` came to this. `false` where that changes nothing: another try has settled it.
    pub(crate) fn tried(&mut self, verdict: Verdict, since: Timestamp, now: Timestamp) -> bool {
        if self.state != DeliveryState::Pending {
            return false;
        }
        let anew = self.since != since;
        self.tries += u32::from(!anew);
        (self.state, self.due_at) = match verdict {
            Verdict::Delivered => (DeliveryState::Delivered, None),
            // The verdict counts tries of before it was asked for again.
            _ if anew => (DeliveryState::Pending, Some(now)),
            Verdict::Again(at) => (DeliveryState::Pending, Some(at)),
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

    #[test]
    fn a_verdict_settles_a_delivery_or_names_its_next_try() {
        use DeliveryState::{Dead, Delivered, Pending};
        for (verdict, state, due_at, holds) in [
            (Verdict::Delivered, Delivered, None, false),
            (Verdict::Again(at(90)), Pending, Some(at(90)), true),
            (Verdict::Dead, Dead, None, false),
        ] {
            let mut record = DeliveryRecord {
                state: Pending,
                tries: 0,
                since: at(1),
                due_at: None,
                holds: true,
            };
            assert!(record.tried(verdict, at(1), at(50)));
            let expected = DeliveryRecord { state, tries: 1, since: at(1), due_at, holds };
            assert_eq!(record, expected, "{verdict:?}");
            let settled = record.state != Pending;
            assert_eq!(record.tried(Verdict::Dead, at(1), at(60)), !settled, "{verdict:?}");
        }
    }

    #[test]
    fn the_oldest_holds_those_behind_it_until_its_fourth_try_failed() {
        let state = DeliveryState::Pending;
        let mut record =
            DeliveryRecord { state, tries: 0, since: at(1), due_at: None, holds: true };
        let holds = [2, 3, 4, 5].map(|now| {
            record.tried(Verdict::Again(at(now + 9)), at(1), at(now));
            record.holds
        });
        assert_eq!(holds, [true, true, true, false]);
    }

    #[test]
    fn a_try_that_failed_while_the_delivery_was_asked_for_again_does_not_count() {
        let state = DeliveryState::Pending;
        let anew = DeliveryRecord { state, tries: 0, since: at(40), due_at: None, holds: false };
        for verdict in [Verdict::Again(at(90)), Verdict::Dead] {
            let mut record = anew.clone();
            assert!(record.tried(verdict, at(1), at(50)));
            assert_eq!(record, DeliveryRecord { due_at: Some(at(50)), ..anew.clone() });
        }
        let mut record = anew;
        record.tried(Verdict::Delivered, at(1), at(50));
        assert_eq!(record.state, DeliveryState::Delivered, "it has arrived all the same");
    }
}
