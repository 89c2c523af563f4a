//! The health of an endpoint: a circuit breaker that limits its concurrent tries, and pauses them while it is down. Pure.

use std::time::Duration;

use meetbot_types::{Endpoint, EndpointState, Timestamp};

use super::Verdict;

/// After this many failures in a row an endpoint is down: it gets no tries for a rest, and then one try at a time.
const DOWN_AFTER: u32 = 5;
/// The first rest; each failed probe doubles it.
const FIRST_REST: Duration = Duration::from_secs(5);
/// The longest rest, also for a `Retry-After`.
const LONGEST_REST: Duration = Duration::from_mins(10);
/// After this many failures in a row an endpoint is no longer proven.
const DOUBTED_AFTER: u32 = 3;

/// The health of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Health {
    /// Failed tries since the last success.
    pub failures: u32,
    /// When the first of these ended.
    pub failing_since: Option<Timestamp>,
    /// The length of the last rest; zero while it is not down.
    pub rest: Duration,
    /// No try begins before this time.
    pub rests_until: Option<Timestamp>,
    /// A try has succeeded, and fewer than [`DOUBTED_AFTER`] in a row have failed since.
    pub proven: bool,
}

/// The class of an endpoint: proven endpoints never wait for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A try has succeeded, and fewer than [`DOUBTED_AFTER`] in a row have failed since.
    Proven,
    /// No try has ended yet.
    New,
    /// A try has failed, and the endpoint is not proven.
    Failing,
}

impl Lane {
    /// All lanes, by priority.
    pub(crate) const ALL: [Self; 3] = [Self::Proven, Self::New, Self::Failing];

    /// The number that the database stores.
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Proven => 0,
            Self::New => 1,
            Self::Failing => 2,
        }
    }
}

impl Health {
    /// Records a try's outcome. `rest_wanted` is the endpoint's `Retry-After`. Returns whether the endpoint is down now: the caller then gives up deliveries that have
    /// waited for longer than [`KEEP_TRYING`](super::KEEP_TRYING).
    pub(crate) fn tried(
        &mut self,
        verdict: Verdict,
        began: Timestamp,
        rest_wanted: Option<Duration>,
        now: Timestamp,
    ) -> bool {
        if verdict == Verdict::Delivered {
            self.succeeded(began);
            return false;
        }
        self.failed(began, rest_wanted, now);
        self.is_down()
    }

    /// Records a successful try. A rest that the endpoint requested after the try began stays in force.
    fn succeeded(&mut self, began: Timestamp) {
        let asked = self.rest.is_zero().then_some(self.rests_until).flatten();
        let rests_until = asked.filter(|until| *until > began);
        *self = Self { proven: true, rests_until, ..Self::default() };
    }

    /// Records a failed try. `rest_wanted` is the endpoint's `Retry-After`.
    fn failed(&mut self, began: Timestamp, rest_wanted: Option<Duration>, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
        if self.failures >= DOUBTED_AFTER {
            self.proven = false;
        }
        // Tries that ran when the rest began do not count.
        let probed = self.rests_until.is_none_or(|until| began >= until);
        if self.failures >= DOWN_AFTER && probed {
            self.rest = (self.rest * 2).clamp(FIRST_REST, LONGEST_REST);
            self.rests_until = Some(now + self.rest);
        }
        if let Some(rest_wanted) = rest_wanted {
            let until = now + rest_wanted.min(LONGEST_REST);
            self.rests_until = self.rests_until.max(Some(until));
        }
    }

    /// A caller states that it works again: the next try begins at once.
    pub(crate) const fn wake(&mut self) {
        self.rests_until = None;
    }

    /// The limit of concurrent tries.
    pub(crate) const fn max_concurrent(&self) -> u32 {
        match (self.proven, self.failures) {
            (true, 0) => 32,
            (true, _) => 4,
            (false, _) => 1,
        }
    }

    /// Whether another try may begin while `under_way` are running. If not, the end of a try causes another check.
    pub(crate) const fn has_room(&self, under_way: u32) -> bool {
        under_way < self.max_concurrent()
    }

    /// How many tries may begin now: the fair share of `left` tries among `endpoints` endpoints of its lane, within its limit; `under_way` are running.
    pub(crate) fn share(&self, under_way: u32, left: u32, endpoints: u32) -> u32 {
        self.max_concurrent().saturating_sub(under_way).min(left.div_ceil(endpoints.max(1)))
    }

    /// The time of a delivery's next try: when it is due, and not during a rest.
    pub(crate) fn not_before(&self, due: Timestamp) -> Timestamp {
        self.rests_until.map_or(due, |until| until.max(due))
    }

    /// The endpoint's lane.
    pub(crate) const fn lane(&self) -> Lane {
        match (self.proven, self.failures) {
            (true, _) => Lane::Proven,
            (false, 0) => Lane::New,
            (false, _) => Lane::Failing,
        }
    }

    /// Whether the endpoint is down.
    pub(crate) const fn is_down(&self) -> bool {
        !self.rest.is_zero()
    }

    /// The endpoint's state in the API.
    pub(crate) const fn api_endpoint(&self) -> Endpoint {
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

    /// Fails each try as soon as it is allowed, and returns the first `count` rests in seconds.
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
    fn the_rest_of_an_endpoint_doubles_with_each_failed_probe() {
        let mut health = Health::default();
        assert_eq!(rests(&mut health, 9), [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(
            (health.api_endpoint().state, health.max_concurrent()),
            (EndpointState::Down, 1)
        );
        assert_eq!(health.api_endpoint().failing_since, Some(at(0)));
        health.succeeded(at(0));
        assert_eq!((health.api_endpoint().state, health.lane()), (EndpointState::Up, Lane::Proven));
        assert_eq!(rests(&mut health, 1), [5], "the next outage begins anew");
    }

    #[test]
    fn tries_begun_before_a_rest_do_not_lengthen_it() {
        let mut health = Health { proven: true, ..Health::default() };
        for _ in 0..32 {
            health.failed(at(0), None, at(10));
        }
        assert_eq!((health.rest, health.rests_until), (FIRST_REST, Some(at(15))));
    }

    #[test]
    fn an_endpoint_gets_its_share_of_the_capacity_within_its_own_limit() {
        let new = Health::default();
        let proven = Health { proven: true, ..Health::default() };
        for (health, under_way, left, endpoints, share) in [
            (proven, 0, 100, 1, 32),
            (proven, 30, 100, 1, 2),
            (proven, 40, 100, 1, 0),
            (proven, 0, 10, 3, 4),
            (proven, 0, 0, 3, 0),
            (new, 0, 10, 3, 1),
            (new, 1, 10, 3, 0),
        ] {
            assert_eq!(health.share(under_way, left, endpoints), share, "{under_way} {left}");
        }
        assert!(new.has_room(0) && !new.has_room(1) && proven.has_room(31));
    }

    #[test]
    fn no_delivery_is_tried_while_an_endpoint_rests_and_old_ones_are_given_up() {
        let mut health = Health { proven: true, ..Health::default() };
        let rest_wanted = Some(Duration::from_secs(9));
        assert!(
            !health.tried(Verdict::RetryAt(at(5)), at(0), rest_wanted, at(1)),
            "it is not down"
        );
        assert_eq!([at(3), at(30)].map(|due| health.not_before(due)), [at(10), at(30)]);
        for _ in 0..3 {
            assert!(!health.tried(Verdict::RetryAt(at(50)), at(20), None, at(20)));
        }
        assert!(health.tried(Verdict::Dead, at(20), None, at(20)));
        assert!(!health.tried(Verdict::Delivered, at(40), None, at(41)));
        assert_eq!(health.not_before(at(42)), at(42));
    }

    #[test]
    fn a_few_failures_lower_a_proven_endpoints_limit_before_its_lane() {
        let mut health = Health::default();
        assert_eq!((health.lane(), health.max_concurrent()), (Lane::New, 1));
        health.succeeded(at(0));
        assert_eq!((health.lane(), health.max_concurrent()), (Lane::Proven, 32));
        health.failed(at(0), None, at(0));
        health.failed(at(0), None, at(0));
        assert_eq!((health.lane(), health.max_concurrent()), (Lane::Proven, 4));
        assert_eq!(health.api_endpoint().state, EndpointState::Failing);
        health.failed(at(0), None, at(0));
        assert_eq!((health.lane(), health.max_concurrent()), (Lane::Failing, 1));
        assert!(!health.is_down());
    }

    #[test]
    fn a_retry_after_of_an_endpoint_is_bounded() {
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
