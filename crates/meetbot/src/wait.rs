//! Waiting for a job's end: when to ask again, and when to give up.

use std::{fmt, time::Duration};

use futures_util::{FutureExt as _, Stream, StreamExt, stream};
use meetbot_types::{EventName, JobStatus};
use tokio::time::Instant;

use crate::{Error, ErrorKind, Job, MeetBot, TimelineEvent, clock, endpoint};

/// How long the server may be away, or answer with transient errors, before waiting gives up.
const LONGEST_OUTAGE: Duration = Duration::from_mins(5);

/// The shortest pause between two requests, without and with events.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LIVE_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause between two requests.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long before its time limit a wait sends its last request: as long as an answer may take.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// Yields the job each time it has changed, until it has ended or an error occurs.
pub(crate) fn updates(
    mb: MeetBot,
    job_id: String,
    timeout: Option<Duration>,
) -> impl Stream<Item = Result<Job, Error>> + Send + Unpin + use<> {
    let wait = mb.wait(&job_id, timeout);
    let updates = Updates { mb, job_id, wait, seen: None, pause: None, over: false };
    stream::unfold(updates, async |mut updates| {
        let job = updates.next().await?;
        Some((job, updates))
    })
    .boxed()
}

/// The error for a stream that ended without any state of the job. It should not occur: [`updates`] ends after the job's end or an error.
pub(crate) fn job_never_seen(job_id: &str) -> Error {
    Error::new(ErrorKind::Connection, format!("the job {job_id} was not seen"))
}

struct Updates {
    mb: MeetBot,
    job_id: String,
    wait: Wait,
    seen: Option<Job>,
    /// The pause before the next request.
    pause: Option<Duration>,
    over: bool,
}

impl Updates {
    async fn next(&mut self) -> Option<Result<Job, Error>> {
        while !self.over {
            if let Some(pause) = self.pause.take() {
                self.wait.news(pause).await;
            }
            let answer = match self.wait.left() {
                Ok(left) => ask(&self.mb, &self.job_id, left).await,
                Err(error) => Err(error),
            };
            let (job, next) = match answer {
                Ok(job) => {
                    let next = self.wait.answered(Some(&job.status));
                    (Some(job), next)
                }
                Err(error) => match self.wait.failed(error.is_transient()) {
                    Ok(None) => (None, Err(error)),
                    next => (None, next),
                },
            };
            match next {
                Ok(Some(pause)) => self.pause = Some(pause),
                Ok(None) => self.over = true,
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
            if job.is_some() && job != self.seen {
                self.seen.clone_from(&job);
                return job.map(Ok);
            }
        }
        None
    }
}

/// Requests the job, within the time that the wait has left.
async fn ask(mb: &MeetBot, job_id: &str, left: Option<Duration>) -> Result<Job, Error> {
    let request = mb.transport.call(endpoint::get_bot(job_id)?);
    let Some(left) = left else { return request.await };
    match tokio::time::timeout(left, request).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::new(ErrorKind::Timeout, "no answer within the time of the wait")),
    }
}

/// A wait for a job's end, by the rules of [`MeetBot::wait_for_bot`], for callers that send the requests themselves.
///
/// Request the job, pass its status to [`Wait::answered`] or the error to [`Wait::failed`], and repeat after [`Wait::news`].
///
/// ```
/// use std::time::Duration;
///
/// use meetbot::{JobStatus, Wait};
///
/// # fn main() -> Result<(), meetbot::Error> {
/// let mut wait = Wait::new("job_1", Some(Duration::from_secs(60)));
/// assert_eq!(wait.answered(Some(&JobStatus::Queued))?, Some(Duration::from_millis(200)));
/// assert_eq!(wait.answered(Some(&JobStatus::Completed))?, None);
/// # Ok(())
/// # }
/// ```
pub struct Wait {
    rules: Rules,
    started: Instant,
    /// `None` if there is no stream of events, or it has ended.
    events: Option<stream::BoxStream<'static, Result<TimelineEvent, Error>>>,
    /// Whether an event has arrived: a proxy may buffer a stream that it has let begin.
    has_had_event: bool,
}

impl Wait {
    /// A wait that begins now, without the job's events; [`MeetBot::wait`] makes one with them.
    pub fn new(job_id: impl Into<String>, timeout: Option<Duration>) -> Self {
        let rules = Rules::new(job_id.into(), timeout);
        Self { rules, started: clock::now(), events: None, has_had_event: false }
    }

    /// Adds the job's event stream, so that changes are noticed at once.
    pub(crate) fn listening(mut self, mb: &MeetBot) -> Self {
        self.events = mb.watch(&self.rules.job_id).ok().map(StreamExt::boxed);
        self
    }

    fn elapsed(&self) -> Duration {
        clock::now() - self.started
    }

    /// How long the next request may take; `None` if the wait has no time limit.
    ///
    /// Fails with [`ErrorKind::Timeout`] when the time is over.
    pub fn left(&self) -> Result<Option<Duration>, Error> {
        self.rules.left(self.elapsed())
    }

    /// The pause before the next request, after the job was seen in this status; `None` if it has ended.
    ///
    /// Fails with [`ErrorKind::NotFound`] where there is no such job (no status), and with [`ErrorKind::Timeout`] when the time is over.
    pub fn answered(&mut self, status: Option<&JobStatus>) -> Result<Option<Duration>, Error> {
        self.rules.answered(status, self.elapsed(), self.live())
    }

    /// The pause before the next request, after one that failed; `None` if its error ends the wait: it is not
    /// [transient](Error::is_transient), or the server has been away for five minutes.
    ///
    /// Fails with [`ErrorKind::Timeout`] when the time is over.
    pub fn failed(&mut self, transient: bool) -> Result<Option<Duration>, Error> {
        self.rules.failed(transient, self.elapsed(), self.live())
    }

    /// Returns when the job's events say that something happened to it, and after the pause at the latest. It may be dropped.
    pub async fn news(&mut self, pause: Duration) {
        let until = clock::now() + pause;
        while let Some(events) = &mut self.events {
            match tokio::time::timeout_at(until, events.next()).await {
                Ok(Some(Ok(event))) => {
                    self.has_had_event = true;
                    let mut has_event = changes_job(&event.event);
                    // One request answers all events that have arrived together.
                    while let Some(Some(Ok(event))) = events.next().now_or_never() {
                        has_event |= changes_job(&event.event);
                    }
                    if has_event {
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

    const fn live(&self) -> bool {
        self.events.is_some() && self.has_had_event
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// Whether the job has changed with this event. Chat, people who join or leave, and files that are made after its end are not part of it.
pub(crate) fn changes_job(event: &EventName) -> bool {
    let apart = [
        EventName::ChatMessage,
        EventName::ChatWithheld,
        EventName::EventsLeftOut,
        EventName::ParticipantJoined,
        EventName::ParticipantRenamed,
        EventName::ParticipantLeft,
        EventName::ArtifactReady,
    ];
    !apart.contains(event)
}

/// The decisions of a wait, without I/O: how long to pause after each answer, and when to give up. Times are since the wait began; `live` is whether events arrive.
#[derive(Debug)]
pub(crate) struct Rules {
    job_id: String,
    timeout: Option<Duration>,
    /// When the job was last seen.
    answered: Duration,
    /// Its status then.
    last: Option<JobStatus>,
}

impl Rules {
    pub(crate) const fn new(job_id: String, timeout: Option<Duration>) -> Self {
        Self { job_id, timeout, answered: Duration::ZERO, last: None }
    }

    fn left(&self, now: Duration) -> Result<Option<Duration>, Error> {
        let Some(timeout) = self.timeout else { return Ok(None) };
        match timeout.saturating_sub(now) {
            Duration::ZERO => Err(self.too_late(timeout)),
            left => Ok(Some(left)),
        }
    }

    /// See [`Wait::answered`].
    pub(crate) fn answered(
        &mut self,
        status: Option<&JobStatus>,
        now: Duration,
        live: bool,
    ) -> Result<Option<Duration>, Error> {
        let status = status.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no job {}", self.job_id))
        })?;
        (self.answered, self.last) = (now, Some(status.clone()));
        if status.is_final() { Ok(None) } else { self.pause(now, live).map(Some) }
    }

    /// See [`Wait::failed`].
    pub(crate) fn failed(
        &self,
        transient: bool,
        now: Duration,
        live: bool,
    ) -> Result<Option<Duration>, Error> {
        if !transient || now.saturating_sub(self.answered) >= LONGEST_OUTAGE {
            return Ok(None);
        }
        self.pause(now, live).map(Some)
    }

    /// A tenth of the time waited so far: the end of a short job is noticed at once, and a long one costs few requests. Most changes arrive as events.
    fn pause(&self, now: Duration, live: bool) -> Result<Duration, Error> {
        let least = if live { LIVE_PAUSE } else { SHORTEST_PAUSE };
        let pause = (now / 10).clamp(least, LONGEST_PAUSE);
        let Some(left) = self.left(now)? else { return Ok(pause) };
        match left.saturating_sub(LAST_REQUEST) {
            Duration::ZERO => Ok(pause.min(left)),
            until_last_request => Ok(pause.min(until_last_request)),
        }
    }

    fn too_late(&self, timeout: Duration) -> Error {
        let seen = self.last.as_ref().map_or("not seen yet".to_owned(), |last| format!("`{last}`"));
        let seconds = timeout.as_secs_f64();
        let message = format!("the job {} is {seen} after {seconds} s; it goes on", self.job_id);
        Error::new(ErrorKind::Timeout, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn rules(timeout: Option<Duration>) -> Rules {
        Rules::new("j".to_owned(), timeout)
    }

    #[test]
    fn a_time_limit_holds_to_the_end_and_is_reported() {
        let mut wait = rules(Some(seconds(10)));
        let at = Duration::from_millis;
        let pauses = [7_500, 8_500, 9_000, 9_900].map(|now| wait.failed(true, at(now), true));
        // The last question before the end has a second.
        let expected = [1_500, 500, 1_000, 100].map(|pause| Some(at(pause)));
        assert_eq!(pauses.map(Result::unwrap), expected);
        assert_eq!(wait.left(at(9_900)).unwrap(), Some(at(100)));
        assert_eq!(wait.left(at(10_000)).unwrap_err().kind(), ErrorKind::Timeout);
        let error = wait.failed(true, seconds(10), true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.message(), "the job j is not seen yet after 10 s; it goes on");
        let error = wait.answered(Some(&JobStatus::Queued), seconds(11), true).unwrap_err();
        assert_eq!(error.message(), "the job j is `queued` after 10 s; it goes on");
    }

    #[test]
    fn a_final_job_is_returned_even_after_the_time_limit() {
        let mut wait = rules(Some(seconds(10)));
        let ended = wait.answered(Some(&JobStatus::Failed), seconds(11), false);
        assert_eq!(ended.unwrap(), None);
    }

    #[test]
    fn a_job_that_is_not_there_is_not_waited_for() {
        let error = rules(None).answered(None, seconds(0), false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
