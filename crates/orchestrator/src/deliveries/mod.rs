//! The rules for deliveries: the state after a try, the time of the next try, and the number of concurrent tries of an endpoint. Pure.

mod breaker;
mod lanes;
mod record;
pub(crate) mod schedule;

use std::time::Duration;

use meetbot_types::Timestamp;

pub(crate) use self::{
    breaker::{Health, Lane},
    lanes::Lanes,
    record::DeliveryRecord,
};

/// After so many failed tries of the oldest delivery, later ones of the same job may pass it.
pub const TRIES_IN_ORDER: u32 = 4;
/// How long one sender may take over one delivery before another one takes it.
pub(crate) const LEASE: Duration = Duration::from_mins(1);
/// A delivery that has waited for so long for an endpoint that is down is given up: all its tries would have been made by then.
pub(crate) const KEEP_TRYING: Duration = Duration::from_hours(36);
/// How many deliveries of an endpoint that is down are given up at once, at most.
pub(crate) const GIVEN_UP_AT_ONCE: u32 = 100;

/// How many tries may begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// At endpoints that answer.
    pub proven: u32,
    /// At others.
    pub unproven: u32,
}

impl Capacity {
    /// The tries that may begin at the endpoints of a lane.
    pub(crate) const fn of(&mut self, lane: Lane) -> &mut u32 {
        match lane {
            Lane::Proven => &mut self.proven,
            Lane::New | Lane::Failing => &mut self.unproven,
        }
    }
}

/// The URL of an endpoint, which is that of its deliveries without the query.
pub(crate) fn endpoint_of(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// The state of a delivery after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Delivered,
    /// Try again at this time.
    RetryAt(Timestamp),
    /// Give up.
    Dead,
}
