//! Waiting for a job's end: when to ask again, and when to give up.

use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt, stream};
use meetbot_types::{EventName, Job, JobStatus, TimelineEvent};
use tokio::time::Instant;

use crate::{Error, ErrorKind, MeetBot};

/// How long the server may be away, or answer with errors that pass, before waiting gives up.
const PATIENCE: Duration = Duration::from_mins(5);

/// How long an answer may take when the time of the wait is over.
const LAST_QUESTION: Duration = Duration::from_secs(1);
/// The shortest pause between two questions while events come.
const LIVE_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause between two questions.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The job each time it is seen to have changed, until it has ended; or until there is an error.
///
/// It asks when the job's events say that something happened, and now and then besides: what is not an event changes too, and the
/// stream of events may be kept away by a proxy. Then asking is all.
pub(crate) fn updates(
    mb: MeetBot,
    job_id: String,
    timeout: Option<Duration>,
) -> impl Stream<Item = Result<Job, Error>> + Send + Unpin + use<> {
    let events = mb.watch(&job_id).ok().map(StreamExt::boxed);
    let updates = Updates {
        mb,
        job_id,
        started: Instant::now(),
        wait: Wait::new(timeout),
        seen: None,
        events,
        pause: None,
        over: false,
    };
    stream::unfold(updates, async |mut updates| {
        let job = updates.next().await?;
        Some((job, updates))
    })
    .boxed()
}

/// A stream that ended without showing the job: not to be seen, since [`updates`] ends after the job's end or an error.
pub(crate) fn unseen(job_id: &str) -> Error {
    Error::new(ErrorKind::Connection, format!("the job {job_id} was not seen"))
}

struct Updates {
    mb: MeetBot,
    job_id: String,
    started: Instant,
    wait: Wait,
    seen: Option<Job>,
    /// `None` once it has failed.
    events: Option<stream::BoxStream<'static, Result<TimelineEvent, Error>>>,
    /// Before the next question.
    pause: Option<Duration>,
    over: bool,
}

impl Updates {
    async fn next(&mut self) -> Option<Result<Job, Error>> {
        while !self.over {
            if let Some(pause) = self.pause.take() {
                self.news(pause).await;
            }
            let until = self.wait.timeout.map(|timeout| self.started + timeout);
            let answer = ask(&self.mb, &self.job_id, until).await;
            let changed = match &answer {
                Ok(Some(job)) if self.seen.as_ref() != Some(job) => Some(job.clone()),
                _ => None,
            };
            let (now, live) = (self.started.elapsed(), self.events.is_some());
            match self.wait.step(&self.job_id, answer, now, live) {
                Step::Done => self.over = true,
                Step::Again(pause) => self.pause = Some(pause),
                Step::Fail(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
            if let Some(job) = changed {
                self.seen = Some(job.clone());
                return Some(Ok(job));
            }
        }
        None
    }

    /// Returns when something may have happened to the job, or after the pause.
    async fn news(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        while let Some(events) = &mut self.events {
            match tokio::time::timeout_at(until, events.next()).await {
                Ok(Some(Ok(event))) => {
                    let mut told = tells(&event);
                    // One question answers all that have come together.
                    while let Some(Some(Ok(event))) = events.next().now_or_never() {
                        told |= tells(&event);
                    }
                    if told {
                        return;
                    }
                }
                Ok(Some(Err(_)) | None) => {
                    self.events = None;
                    return;
                }
                Err(_) => return,
            }
        }
        tokio::time::sleep_until(until).await;
    }
}

/// The job. A server that hangs holds up no wait for longer than its time and [`LAST_QUESTION`].
async fn ask(mb: &MeetBot, job_id: &str, until: Option<Instant>) -> Result<Option<Job>, Error> {
    let Some(until) = until else { return mb.get_bot(job_id).await };
    let until = until.max(Instant::now() + LAST_QUESTION);
    match tokio::time::timeout_at(until, mb.get_bot(job_id)).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::new(ErrorKind::Timeout, "no answer within the time of the wait")),
    }
}

/// Whether a job differs after this event. Chat and comings and goings are not part of it.
fn tells(event: &TimelineEvent) -> bool {
    let apart = [EventName::ChatMessage, EventName::ParticipantJoined, EventName::ParticipantLeft];
    !apart.contains(&event.event)
}

/// What to do next.
#[derive(Debug)]
enum Step {
    /// It is over.
    Done,
    /// Ask again after this long.
    Again(Duration),
    /// Give up.
    Fail(Error),
}

/// A wait that began at 0; all times are since then.
#[derive(Debug)]
struct Wait {
    timeout: Option<Duration>,
    answered: Duration,
    last: Option<JobStatus>,
}

impl Wait {
    const fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, answered: Duration::ZERO, last: None }
    }

    /// What follows from an answer at `now`. `answer` is `None` when there is no such job; `live` when its events are listened to.
    fn step(
        &mut self,
        job_id: &str,
        answer: Result<Option<Job>, Error>,
        now: Duration,
        live: bool,
    ) -> Step {
        match answer {
            Ok(Some(job)) if job.status.is_final() => return Step::Done,
            Ok(Some(job)) => {
                self.answered = now;
                self.last = Some(job.status);
            }
            Ok(None) => {
                return Step::Fail(Error::new(
                    ErrorKind::NotFound,
                    format!("there is no job {job_id}"),
                ));
            }
            Err(error) if error.is_transient() && now.saturating_sub(self.answered) < PATIENCE => {}
            Err(error) => return Step::Fail(error),
        }
        let pause = pause(now, live);
        match self.timeout {
            Some(timeout) if now >= timeout => {
                let seen = self
                    .last
                    .as_ref()
                    .map_or("not seen yet".to_owned(), |status| format!("`{status}`"));
                let message = format!(
                    "the job {job_id} is {seen} after {} s; it goes on",
                    timeout.as_secs_f64()
                );
                Step::Fail(Error::new(ErrorKind::Timeout, message))
            }
            Some(timeout) => Step::Again(pause.min(timeout.saturating_sub(now))),
            None => Step::Again(pause),
        }
    }
}

/// A tenth of the time waited so far: what is short is noticed at once, what is long costs little. Events tell most of it sooner.
fn pause(waited: Duration, live: bool) -> Duration {
    let least = if live { LIVE_PAUSE } else { Duration::from_millis(200) };
    (waited / 10).clamp(least, LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> Error {
        Error::new(ErrorKind::Connection, "away")
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn asks_often_at_first_and_seldom_later() {
        let waits =
            |live| [0, 10, 30, 3_600].map(|waited| pause(seconds(waited), live).as_millis());
        assert_eq!(waits(false), [200, 1_000, 3_000, 5_000]);
        assert_eq!(waits(true), [2_000, 2_000, 3_000, 5_000]);
    }

    #[test]
    fn a_server_that_restarts_does_not_end_the_wait_but_one_that_is_gone_does() {
        let mut wait = Wait::new(None);
        assert!(matches!(wait.step("j", Err(away()), seconds(299), false), Step::Again(_)));
        assert!(
            matches!(wait.step("j", Err(away()), seconds(301), false), Step::Fail(error) if error.kind() == ErrorKind::Connection)
        );
        let unauthorized = Error::from_answer(401, None, None, String::new());
        assert!(matches!(
            Wait::new(None).step("j", Err(unauthorized), seconds(0), false),
            Step::Fail(_)
        ));
    }

    #[test]
    fn a_time_limit_is_kept_to_the_end_and_told() {
        let mut wait = Wait::new(Some(seconds(10)));
        let Step::Again(pause) = wait.step("j", Err(away()), Duration::from_millis(9_900), true)
        else {
            panic!("too early")
        };
        assert_eq!(pause.as_millis(), 100);
        let Step::Fail(error) = wait.step("j", Err(away()), seconds(10), true) else {
            panic!("too late")
        };
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }

    #[test]
    fn a_job_that_is_not_there_is_not_waited_for() {
        assert!(
            matches!(Wait::new(None).step("j", Ok(None), seconds(0), false), Step::Fail(error) if error.kind() == ErrorKind::NotFound)
        );
    }
}
