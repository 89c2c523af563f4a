//! How many tries may be under way in all, and of which kind. Pure.

use std::{collections::HashMap, time::Duration};

use meetbot_types::DeliveryId;

use super::{Capacity, Lane};

/// A try at a proven endpoint is set aside once it takes longer than this: it no longer counts against `proven`, so that another one may begin.
const SLOW: Duration = Duration::from_secs(1);

/// The running tries. Proven endpoints have separate capacity, which endpoints that hang cannot take.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// The most quick tries at proven endpoints; as many again may be set aside.
    proven: u32,
    /// The most tries at all other endpoints.
    unproven: u32,
    in_flight: HashMap<DeliveryId, (Lane, Duration)>,
}

impl Lanes {
    /// Lanes for so many connections in all.
    pub(crate) fn new(connections: u32) -> Self {
        let proven = (connections / 8).clamp(16, 256);
        let unproven = connections.saturating_sub(2 * proven).clamp(32, 2048);
        Self { proven, unproven, in_flight: HashMap::new() }
    }

    /// A try begins, at `now` on the steady clock.
    pub(crate) fn begin(&mut self, delivery: DeliveryId, lane: Lane, now: Duration) {
        self.in_flight.insert(delivery, (lane, now));
    }

    /// A try has ended.
    pub(crate) fn end(&mut self, delivery: DeliveryId) {
        self.in_flight.remove(&delivery);
    }

    /// How many tries may begin, in each lane.
    pub(crate) fn room(&self, now: Duration) -> Capacity {
        let (mut quick, mut slow, mut unproven) = (0_u32, 0_u32, 0_u32);
        for (lane, began) in self.in_flight.values() {
            match lane {
                Lane::Proven if now.saturating_sub(*began) < SLOW => quick += 1,
                Lane::Proven => slow += 1,
                Lane::New | Lane::Failing => unproven += 1,
            }
        }
        // Further slow tries keep counting as quick.
        let quick = quick + slow.saturating_sub(self.proven);
        Capacity {
            proven: self.proven.saturating_sub(quick),
            unproven: self.unproven.saturating_sub(unproven),
        }
    }

    /// Whether no try may begin at proven endpoints. The sender then checks again soon: a running try may have become slow, which makes room.
    pub(crate) fn proven_is_full(&self, now: Duration) -> bool {
        self.room(now).proven == 0
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::Timestamp;

    use super::*;

    fn filled(lanes: &mut Lanes, lane: Lane, count: u32, now: Duration) {
        for _ in 0..count {
            lanes.begin(DeliveryId::generate(Timestamp::UNIX_EPOCH), lane, now);
        }
    }

    #[test]
    fn endpoints_that_hang_do_not_use_the_capacity_of_others() {
        let mut lanes = Lanes::new(1_024);
        filled(&mut lanes, Lane::New, 768, Duration::ZERO);
        assert_eq!(lanes.room(Duration::ZERO), Capacity { proven: 128, unproven: 0 });
    }

    #[test]
    fn slow_tries_are_counted_apart_up_to_a_limit() {
        let mut lanes = Lanes::new(1_024);
        filled(&mut lanes, Lane::Proven, 128, Duration::ZERO);
        assert!(lanes.proven_is_full(Duration::from_millis(999)));
        assert_eq!(lanes.room(SLOW).proven, 128);
        filled(&mut lanes, Lane::Proven, 100, SLOW);
        assert_eq!(lanes.room(2 * SLOW).proven, 28, "a hundred found no place aside");
    }

    #[test]
    fn a_try_that_ends_frees_capacity() {
        let mut lanes = Lanes::new(1_024);
        let id = DeliveryId::generate(Timestamp::UNIX_EPOCH);
        lanes.begin(id, Lane::Failing, Duration::ZERO);
        assert_eq!(lanes.room(Duration::ZERO).unproven, 767);
        lanes.end(id);
        assert_eq!(lanes.room(Duration::ZERO).unproven, 768);
    }
}
