//! The tries of a call: how long each may take, and whether another follows. Pure: the time and random numbers are arguments.

use std::time::Duration;

use http::{HeaderMap, Method};
use tokio::time::Instant;
use url::Url;

use crate::{
    redirect::{self, MAX_REDIRECTS},
    retry::{self, Outcome},
};

/// The limits of a call's tries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The number of retries after the first try.
    pub(crate) retries: u32,
    /// How long one try may take.
    pub(crate) timeout: Duration,
    /// How long all tries and the pauses between them may take; `None`: no limit.
    pub(crate) deadline: Option<Duration>,
}

/// The state of a call's tries.
#[derive(Debug)]
pub(crate) struct Tries {
    limits: Limits,
    began: Instant,
    made: u32,
    /// Where this try was redirected to, and how many redirects that took.
    redirected: Option<(Url, u32)>,
}

/// Whether a response redirects the try.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// No redirect: the response ends this try.
    None,
    /// A redirect that this try follows.
    Followed,
    /// A redirect to this URL, after too many others.
    TooMany(Url),
}

impl Tries {
    /// The tries of a call that begins now.
    pub(crate) const fn new(limits: Limits, now: Instant) -> Self {
        Self { limits, began: now, made: 0, redirected: None }
    }

    /// The number of tries that have ended.
    pub(crate) const fn made(&self) -> u32 {
        self.made
    }

    /// Where this try was redirected to.
    pub(crate) fn redirected_to(&self) -> Option<&Url> {
        self.redirected.as_ref().map(|(url, _)| url)
    }

    /// How long a try that begins now may take: the limit of a try, or what is left for the whole call.
    pub(crate) fn limit(&self, now: Instant) -> Duration {
        self.left(now).map_or(self.limits.timeout, |left| left.min(self.limits.timeout))
    }

    /// Applies the response's redirect, if calls of this method and path follow redirects. `from` is the URL that answered.
    pub(crate) fn redirect(
        &mut self,
        (method, path): (&Method, &str),
        from: &str,
        status: u16,
        headers: &HeaderMap,
    ) -> Redirect {
        let from = Url::parse(from).ok().filter(|_| redirect::are_followed(method, path));
        let Some(next) = from.and_then(|from| redirect::target(&from, status, headers)) else {
            return Redirect::None;
        };
        let followed = self.redirected.as_ref().map_or(0, |(_, redirects)| *redirects);
        if followed == MAX_REDIRECTS {
            return Redirect::TooMany(next);
        }
        self.redirected = Some((next, followed + 1));
        Redirect::Followed
    }

    /// Ends this try: the next one goes to the server again.
    pub(crate) fn ended(&mut self) {
        self.made += 1;
        self.redirected = None;
    }

    /// How long to wait before the next try after this outcome; `None` where no try follows. `jitter` is a random number from 0 to 1.
    pub(crate) fn pause(
        &self,
        outcome: Outcome,
        retry_after: Option<Duration>,
        jitter: f64,
        now: Instant,
    ) -> Option<Duration> {
        let wait = retry::decide(self.made, self.limits.retries, outcome, retry_after, jitter)?;
        self.left(now).is_none_or(|left| wait < left).then_some(wait)
    }

    /// The time left for the whole call.
    fn left(&self, now: Instant) -> Option<Duration> {
        let deadline = self.limits.deadline?;
        Some(deadline.saturating_sub(now.saturating_duration_since(self.began)))
    }
}

#[cfg(test)]
mod tests {
    use http::header::LOCATION;

    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);

    fn with(deadline: Option<u32>, now: Instant) -> Tries {
        let deadline = deadline.map(|seconds| SECOND * seconds);
        Tries::new(Limits { retries: 2, timeout: 30 * SECOND, deadline }, now)
    }

    #[test]
    fn the_time_for_the_whole_call_bounds_tries_and_pauses() {
        let began = clock::now();
        let mut tries = with(Some(40), began);
        assert_eq!(tries.limit(began), 30 * SECOND);
        assert_eq!(tries.limit(began + 15 * SECOND), 25 * SECOND);
        tries.ended();
        let pause = |tries: &Tries, second| {
            tries.pause(Outcome::Broken, Some(5 * SECOND), 1.0, began + SECOND * second)
        };
        assert_eq!(pause(&tries, 34), Some(5 * SECOND));
        assert_eq!(pause(&tries, 35), None, "nothing would be left for the try");
        assert_eq!(tries.limit(began + 50 * SECOND), Duration::ZERO);
        let unlimited = with(None, began);
        assert_eq!(unlimited.limit(began + 1_000 * SECOND), 30 * SECOND);
    }

    #[test]
    fn a_call_has_as_many_tries_as_it_may() {
        let now = clock::now();
        let mut tries = with(None, now);
        let mut pauses = Vec::new();
        loop {
            tries.ended();
            let Some(pause) = tries.pause(Outcome::Answer(503), None, 1.0, now) else { break };
            pauses.push(pause.as_millis());
        }
        assert_eq!((tries.made(), pauses), (3, vec![500, 1_000]));
        assert_eq!(tries.pause(Outcome::Answer(404), None, 1.0, now), None);
    }

    #[test]
    fn a_try_follows_five_redirects_of_an_artifact_and_the_next_begins_at_the_server() {
        let mut tries = with(None, clock::now());
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, "https://files.example.com/a".parse().unwrap());
        let get = Method::GET;
        let artifact = (&get, "/api/v1/jobs/job_1/artifacts/a");
        let mut follow =
            |call, status| tries.redirect(call, "https://api.example.com/", status, &headers);
        assert_eq!(follow((&get, "/api/v1/jobs"), 302), Redirect::None);
        assert_eq!(follow(artifact, 200), Redirect::None);
        for _ in 0..MAX_REDIRECTS {
            assert_eq!(follow(artifact, 302), Redirect::Followed);
        }
        assert!(matches!(follow(artifact, 302), Redirect::TooMany(_)));
        assert_eq!(tries.redirected_to().unwrap().path(), "/a");
        tries.ended();
        assert_eq!(tries.redirected_to(), None);
    }
}
