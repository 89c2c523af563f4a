//! The rules of webhooks on their way: what becomes of a delivery after a try, when the next one is, and how many an endpoint gets at once. Pure.

mod breaker;
mod lanes;
mod record;
pub(crate) mod schedule;

use meetbot_types::Timestamp;

pub(crate) use self::{
    breaker::{Health, Lane},
    lanes::Lanes,
    record::DeliveryRecord,
};

/// After so many failed tries of the oldest delivery, later ones of the same job may pass it.
pub const TRIES_IN_ORDER: u32 = 4;

/// How many tries may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// At endpoints that answer.
    pub proven: u32,
    /// At others.
    pub unproven: u32,
}

/// Where a delivery goes from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Delivered,
    /// Try again then.
    Again(Timestamp),
    /// Give up.
    Dead,
}
