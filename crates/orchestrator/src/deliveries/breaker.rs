//! What is known of an endpoint, and what follows from it: how many tries it gets at once, and when it is left alone. Pure.

use std::time::Duration;

use meetbot_types::{Endpoint, EndpointState, Timestamp};

/// An endpoint that has failed so often in a row is down: it rests, and is then probed with one try at a time.
const DOWN_AFTER: u32 = 5;
/// How long it rests first; each probe that fails doubles it.
const FIRST_REST: Duration = Duration::from_secs(5);
/// The longest rest, also of one that an endpoint asks for.
const LONGEST_REST: Duration = Duration::from_mins(10);
/// An endpoint that was well keeps its place among those that are until it has failed so often in a row.
const DOUBTED_AFTER: u32 = 3;

/// How an endpoint has been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Health {
    /// Tries that failed since the last one that did not.
    pub failures: u32,
    /// When the first of these ended.
    pub failing_since: Option<Timestamp>,
    /// The length of the last rest; zero while it is not down.
    pub rest: Duration,
    /// Nothing is tried before.
    pub rests_until: Option<Timestamp>,
    /// A try has succeeded, and not many have failed since.
    pub proven: bool,
}

/// Where an endpoint queues, so that those that answer never wait for those that do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// It answers.
    Proven,
    /// Nobody knows yet.
    New,
    /// It does not answer.
    Failing,
}

impl Lane {
    /// All lanes, the most promising first.
    pub(crate) const ALL: [Self; 3] = [Self::Proven, Self::New, Self::Failing];
}

impl Health {
    /// After a try that succeeded. What the endpoint asked for after it had begun still holds.
    pub(crate) fn succeeded(&mut self, began: Timestamp) {
        let asked = self.rest.is_zero().then_some(self.rests_until).flatten();
        let rests_until = asked.filter(|until| *until > began);
        *self = Self { proven: true, rests_until, ..Self::default() };
    }

    /// After a try that failed. `wish` is how long the endpoint asks to be left alone.
    pub(crate) fn failed(&mut self, began: Timestamp, wish: Option<Duration>, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
        if self.failures >= DOUBTED_AFTER {
            self.proven = false;
        }
        // Tries that were under way when the rest began say nothing new.
        let probed = self.rests_until.is_none_or(|until| began >= until);
        if self.failures >= DOWN_AFTER && probed {
            self.rest = (self.rest * 2).clamp(FIRST_REST, LONGEST_REST);
            self.rests_until = Some(now + self.rest);
        }
        if let Some(wish) = wish {
            let until = now + wish.min(LONGEST_REST);
            self.rests_until = self.rests_until.max(Some(until));
        }
    }

    /// Someone says that it is well again: the next try comes at once.
    pub(crate) const fn wake(&mut self) {
        self.rests_until = None;
    }

    /// The bulkhead: how many tries may be under way at once.
    pub(crate) const fn at_once(&self) -> u32 {
        match (self.proven, self.failures) {
            (true, 0) => 32,
            (true, _) => 4,
            (false, _) => 1,
        }
    }

    /// Where it queues.
    pub(crate) const fn lane(&self) -> Lane {
        match (self.proven, self.failures) {
            (true, _) => Lane::Proven,
            (false, 0) => Lane::New,
            (false, _) => Lane::Failing,
        }
    }

    /// Whether it is down.
    pub(crate) const fn is_down(&self) -> bool {
        !self.rest.is_zero()
    }

    /// As the ledger shows it.
    pub(crate) const fn shown(&self) -> Endpoint {
        let state = if self.is_down() {
            EndpointState::Down
        } else if self.failures > 0 {
            EndpointState::Failing
        } else {
            EndpointState::Up
        };
        let Self { failures, failing_since, rests_until, .. } = *self;
        Endpoint { state, failures, failing_since, rests_until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Fails at once, each time as soon as it may be tried, until it has rested so often.
    fn rests(health: &mut Health, count: usize) -> Vec<u64> {
        let mut now = at(0);
        let mut rests = Vec::new();
        while rests.len() < count {
            now = health.rests_until.unwrap_or(now);
            health.failed(now, None, now);
            rests.extend(health.is_down().then_some(health.rest.as_secs()));
        }
        rests
    }

    #[test]
    fn one_that_stays_down_is_probed_ever_less_often() {
        let mut health = Health::default();
        assert_eq!(rests(&mut health, 9), [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!((health.shown().state, health.at_once()), (EndpointState::Down, 1));
        assert_eq!(health.shown().failing_since, Some(at(0)));
        health.succeeded(at(0));
        assert_eq!((health.shown().state, health.lane()), (EndpointState::Up, Lane::Proven));
        assert_eq!(rests(&mut health, 1), [5], "the next outage begins anew");
    }

    #[test]
    fn tries_that_were_under_way_when_the_rest_began_do_not_lengthen_it() {
        let mut health = Health { proven: true, ..Health::default() };
        for _ in 0..32 {
            health.failed(at(0), None, at(10));
        }
        assert_eq!((health.rest, health.rests_until), (FIRST_REST, Some(at(15))));
    }

    #[test]
    fn a_few_failures_cost_a_proven_endpoint_its_width_but_not_its_lane() {
        let mut health = Health::default();
        assert_eq!((health.lane(), health.at_once()), (Lane::New, 1));
        health.succeeded(at(0));
        assert_eq!((health.lane(), health.at_once()), (Lane::Proven, 32));
        health.failed(at(0), None, at(0));
        health.failed(at(0), None, at(0));
        assert_eq!((health.lane(), health.at_once()), (Lane::Proven, 4));
        assert_eq!(health.shown().state, EndpointState::Failing);
        health.failed(at(0), None, at(0));
        assert_eq!((health.lane(), health.at_once()), (Lane::Failing, 1));
        assert!(!health.is_down());
    }

    #[test]
    fn one_that_asks_to_be_left_alone_is_within_bounds() {
        let mut health = Health::default();
        health.failed(at(0), Some(Duration::from_mins(1)), at(1));
        assert_eq!((health.rests_until, health.is_down()), (Some(at(61)), false));
        health.succeeded(at(0));
        assert_eq!(health.rests_until, Some(at(61)), "that one had begun before");
        health.succeeded(at(61));
        assert_eq!(health.rests_until, None);
        health.failed(at(61), Some(Duration::from_hours(24)), at(61));
        assert_eq!(health.rests_until, Some(at(661)));
        health.wake();
        assert_eq!(health.rests_until, None);
    }
}
