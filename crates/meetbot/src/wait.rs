//! Waiting for a job's end: when to ask again, and when to give up. Pure.

use std::time::Duration;

use meetbot_types::Job;

use crate::Error;

/// How long the server may be away, or answer with errors that pass, before waiting gives up.
const PATIENCE: Duration = Duration::from_mins(5);

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// It is over.
    Done(Box<Job>),
    /// Ask again after this long.
    Again(Duration),
    /// Give up.
    Fail(Error),
}

/// A wait that began at 0; all times are since then.
#[derive(Debug)]
pub(crate) struct Wait {
    timeout: Option<Duration>,
    answered: Duration,
    last: Option<Job>,
}

impl Wait {
    pub(crate) const fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, answered: Duration::ZERO, last: None }
    }

    /// What follows from an answer at `now`. `answer` is `None` when there is no such job.
    pub(crate) fn step(
        &mut self,
        job_id: &str,
        answer: Result<Option<Job>, Error>,
        now: Duration,
    ) -> Step {
        match answer {
            Ok(Some(job)) if job.status.is_final() => return Step::Done(Box::new(job)),
            Ok(Some(job)) => {
                self.answered = now;
                self.last = Some(job);
            }
            Ok(None) => {
                return Step::Fail(Error::new(
                    crate::ErrorKind::NotFound,
                    format!("there is no job {job_id}"),
                ));
            }
            Err(error) if error.is_transient() && now.saturating_sub(self.answered) < PATIENCE => {}
            Err(error) => return Step::Fail(error),
        }
        let pause = pause(now);
        match self.timeout {
            Some(timeout) if now >= timeout => {
                let seen = self
                    .last
                    .as_ref()
                    .map_or("not seen yet".to_owned(), |job| format!("`{}`", job.status));
                let message = format!(
                    "the job {job_id} is {seen} after {} s; it goes on",
                    timeout.as_secs_f64()
                );
                Step::Fail(Error::new(crate::ErrorKind::Timeout, message))
            }
            Some(timeout) => Step::Again(pause.min(timeout.saturating_sub(now))),
            None => Step::Again(pause),
        }
    }
}

/// A tenth of the time waited so far: what is short is noticed at once, what is long costs little.
fn pause(waited: Duration) -> Duration {
    (waited / 10).clamp(Duration::from_millis(200), Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn away() -> Error {
        Error::new(ErrorKind::Connection, "away")
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn asks_often_at_first_and_seldom_later() {
        let waits = [0, 10, 30, 3_600].map(|waited| pause(seconds(waited)).as_millis());
        assert_eq!(waits, [200, 1_000, 3_000, 5_000]);
    }

    #[test]
    fn a_server_that_restarts_does_not_end_the_wait_but_one_that_is_gone_does() {
        let mut wait = Wait::new(None);
        assert!(matches!(wait.step("j", Err(away()), seconds(299)), Step::Again(_)));
        assert!(
            matches!(wait.step("j", Err(away()), seconds(301)), Step::Fail(error) if error.kind() == ErrorKind::Connection)
        );
        let unauthorized = Error::from_answer(401, None, None, String::new());
        assert!(matches!(Wait::new(None).step("j", Err(unauthorized), seconds(0)), Step::Fail(_)));
    }

    #[test]
    fn a_time_limit_is_kept_to_the_end_and_told() {
        let mut wait = Wait::new(Some(seconds(10)));
        let Step::Again(pause) = wait.step("j", Err(away()), Duration::from_millis(9_900)) else {
            panic!("too early")
        };
        assert_eq!(pause.as_millis(), 100);
        let Step::Fail(error) = wait.step("j", Err(away()), seconds(10)) else {
            panic!("too late")
        };
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }

    #[test]
    fn a_job_that_is_not_there_is_not_waited_for() {
        assert!(
            matches!(Wait::new(None).step("j", Ok(None), seconds(0)), Step::Fail(error) if error.kind() == ErrorKind::NotFound)
        );
    }
}
