//! Which job gets which stream. Pure.

use std::time::Duration;

use meetbot_types::{
    JobId, Timestamp,
    bot::{ZoomStream, ZoomStreamState},
};

use super::webhook::{StreamEvent, StreamEventKind};

/// For how long a stream without a job waits for one: an app that starts by itself may do so before a job is created.
pub(crate) const WAITS_MS: i64 = 10 * 60 * 1000;

/// How long a stream that no job has is kept: as long as Zoom may repeat its webhooks.
pub(crate) const KEEP: Duration = Duration::from_hours(24);

/// A stream as the server keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) id: String,
    pub(crate) meeting_uuid: String,
    /// The meeting's number, once an event had it.
    pub(crate) meeting: Option<String>,
    pub(crate) server_urls: Vec<String>,
    pub(crate) state: ZoomStreamState,
    pub(crate) stop_reason: Option<u32>,
    /// Grows with each change, from 1.
    pub(crate) version: u64,
    /// When it was first heard of.
    pub(crate) since: Timestamp,
    /// When the last event that was taken happened, by Zoom's clock, in milliseconds.
    pub(crate) heard_ms: i64,
    /// The job that has it, from then on without end.
    pub(crate) job: Option<JobId>,
}

impl Stream {
    /// The state for a bot of its job.
    pub(crate) fn shown(&self) -> ZoomStream {
        ZoomStream {
            version: self.version,
            meeting_uuid: self.meeting_uuid.clone(),
            stream_id: self.id.clone(),
            server_urls: self.server_urls.clone(),
            state: self.state,
            stop_reason: self.stop_reason,
        }
    }

    /// The state for a bot of another job for the same meeting.
    fn shown_to_others(&self) -> ZoomStream {
        let state = ZoomStreamState::GivenToAnotherJob;
        ZoomStream { state, server_urls: Vec::new(), ..self.shown() }
    }

    /// The state for a bot of this job, whose meeting the stream is of. `has_ended` is whether the job has ended that has it: that one keeps it, and it is over, so that the
    /// next one may come.
    pub(crate) fn shown_to(&self, job: JobId, has_ended: bool) -> Option<ZoomStream> {
        match self.job {
            Some(has) if has == job => Some(self.shown()),
            Some(_) if !has_ended => Some(self.shown_to_others()),
            _ => None,
        }
    }

    /// The word of its state, as it is stored.
    pub(crate) const fn state_name(&self) -> &'static str {
        match self.state {
            ZoomStreamState::Interrupted => "interrupted",
            ZoomStreamState::Stopped => "stopped",
            ZoomStreamState::Started | ZoomStreamState::GivenToAnotherJob => "started",
        }
    }

    /// Whether a job can still get it.
    pub(crate) fn is_free(&self, now: Timestamp) -> bool {
        self.job.is_none()
            && self.state != ZoomStreamState::Stopped
            && now.millis_since(self.since) <= WAITS_MS
    }
}

/// A job that is due or has a bot, has not ended, and has had no stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) job: JobId,
    /// The meeting's number.
    pub(crate) meeting: String,
}

/// A stream after an event. `None` where nothing changes: the event came before, is older than what is known, or is about a stream that is unknown or
/// that is over.
pub(crate) fn apply_event(
    known: Option<Stream>,
    event: &StreamEvent,
    number_of_uuid: Option<String>,
    now: Timestamp,
) -> Option<Stream> {
    let Some(mut stream) = known else {
        let StreamEventKind::Started(server_urls) = &event.kind else { return None };
        return Some(Stream {
            id: event.stream_id.clone(),
            meeting_uuid: event.meeting_uuid.clone(),
            meeting: event.meeting.clone().or(number_of_uuid),
            server_urls: server_urls.clone(),
            state: ZoomStreamState::Started,
            stop_reason: None,
            version: 1,
            since: now,
            heard_ms: event.at_ms,
            job: None,
        });
    };
    // An end is final, independent of the order of arrival.
    let ends = matches!(event.kind, StreamEventKind::Stopped(_));
    let is_old = event.at_ms <= stream.heard_ms && !ends;
    if stream.state == ZoomStreamState::Stopped || is_old {
        return None;
    }
    match &event.kind {
        StreamEventKind::Started(server_urls) => {
            stream.server_urls.clone_from(server_urls);
            stream.state = ZoomStreamState::Started;
        }
        StreamEventKind::Interrupted => stream.state = ZoomStreamState::Interrupted,
        StreamEventKind::Stopped(reason) => {
            stream.state = ZoomStreamState::Stopped;
            stream.stop_reason = *reason;
        }
    }
    stream.version += 1;
    stream.heard_ms = stream.heard_ms.max(event.at_ms);
    Some(stream)
}

/// The state that is stored as this word.
pub(crate) fn state_of(word: &str) -> Option<ZoomStreamState> {
    match word {
        "started" => Some(ZoomStreamState::Started),
        "interrupted" => Some(ZoomStreamState::Interrupted),
        "stopped" => Some(ZoomStreamState::Stopped),
        _ => None,
    }
}

/// Gives a stream that has changed to the job that gets it, if it is free, and answers the jobs whose bots have to look: also those that wait for the same meeting and do
/// not get it.
pub(crate) fn give(stream: &mut Stream, waiting: &[Waiting], now: Timestamp) -> Vec<JobId> {
    let was_free = stream.job.is_none();
    stream.job = stream.job.or_else(|| chosen(stream, waiting, now));
    let others =
        waiting.iter().filter(|one| was_free && Some(&one.meeting) == stream.meeting.as_ref());
    let mut jobs: Vec<JobId> = others.map(|one| one.job).chain(stream.job).collect();
    jobs.sort();
    jobs.dedup();
    jobs
}

/// The number of a stream's meeting, where a job can still be made for it.
pub(crate) fn unclaimed(stream: &Stream, now: Timestamp) -> Option<String> {
    stream.meeting.clone().filter(|_| stream.is_free(now))
}

/// The job that gets a free stream: the oldest one for its meeting.
pub(crate) fn chosen(stream: &Stream, waiting: &[Waiting], now: Timestamp) -> Option<JobId> {
    if !stream.is_free(now) {
        return None;
    }
    let meeting = stream.meeting.as_ref()?;
    waiting.iter().filter(|one| one.meeting == *meeting).map(|one| one.job).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    fn event(at_ms: i64, kind: StreamEventKind) -> StreamEvent {
        StreamEvent {
            stream_id: "s".into(),
            meeting_uuid: "u".into(),
            meeting: Some("123456789".into()),
            account_id: None,
            at_ms,
            kind,
        }
    }

    fn started(at_ms: i64, url: &str) -> StreamEvent {
        event(at_ms, StreamEventKind::Started(vec![url.into()]))
    }

    #[test]
    fn each_event_changes_a_stream_once_and_the_end_is_the_last() {
        use StreamEventKind::{Interrupted, Stopped};
        let apply_event = |known: &Stream, event: &StreamEvent| {
            apply_event(Some(known.clone()), event, None, at(9))
        };
        let first = super::apply_event(None, &started(10, "a"), None, at(0)).unwrap();
        assert_eq!((first.version, first.state), (1, ZoomStreamState::Started));
        assert_eq!(apply_event(&first, &started(10, "a")), None, "it came twice");
        let cut = apply_event(&first, &event(20, Interrupted)).unwrap();
        assert_eq!((cut.version, cut.state), (2, ZoomStreamState::Interrupted));
        assert_eq!(apply_event(&cut, &started(10, "a")), None, "a late repetition");
        let again = apply_event(&cut, &started(30, "b")).unwrap();
        assert_eq!((again.version, again.server_urls.as_slice()), (3, ["b".to_owned()].as_slice()));
        let over = apply_event(&again, &event(25, Stopped(Some(6)))).unwrap();
        assert_eq!(
            (over.version, over.state, over.stop_reason),
            (4, ZoomStreamState::Stopped, Some(6))
        );
        for late in [started(40, "c"), event(40, Interrupted), event(40, Stopped(Some(1)))] {
            assert_eq!(apply_event(&over, &late), None, "{late:?}");
        }
        for unknown in [event(1, Interrupted), event(1, Stopped(None))] {
            assert_eq!(super::apply_event(None, &unknown, None, at(0)), None, "{unknown:?}");
        }
    }

    #[test]
    fn the_oldest_job_for_the_meeting_gets_the_stream_while_it_is_free() {
        let stream = apply_event(None, &started(1, "a"), None, at(0)).unwrap();
        let (older, newer) = (JobId::generate(at(1)), JobId::generate(at(2)));
        let waits = |job, meeting: &str| Waiting { job, meeting: meeting.into() };
        let waiting = [
            waits(newer, "123456789"),
            waits(older, "123456789"),
            waits(JobId::generate(at(0)), "987654321"),
        ];
        let given = Stream { job: Some(newer), ..stream.clone() };
        let stopped = Stream { state: ZoomStreamState::Stopped, ..stream.clone() };
        let nameless = Stream { meeting: None, ..stream.clone() };
        for (stream, waiting, second, expected) in [
            (&stream, waiting.as_slice(), 5, Some(older)),
            (&stream, &waiting[..1], 600, Some(newer)),
            (&stream, &waiting[..1], 601, None),
            (&stream, &waiting[2..], 5, None),
            (&stream, &[], 5, None),
            (&given, &waiting, 5, None),
            (&stopped, &waiting, 5, None),
            (&nameless, &waiting, 5, None),
        ] {
            assert_eq!(chosen(stream, waiting, at(second)), expected, "{stream:?} {second}");
        }
    }

    #[test]
    fn jobs_that_wait_for_a_meeting_are_notified_when_its_stream_is_given() {
        let mut stream = apply_event(None, &started(1, "a"), None, at(0)).unwrap();
        let [first, second, other] = [1, 2, 3].map(|second| JobId::generate(at(second)));
        let waits = |job, meeting: &str| Waiting { job, meeting: meeting.into() };
        let waiting =
            [waits(second, "123456789"), waits(first, "123456789"), waits(other, "987654321")];
        assert_eq!(give(&mut stream, &waiting, at(5)), [first, second]);
        assert_eq!(stream.job, Some(first));
        // From then on only the job that has it.
        assert_eq!(give(&mut stream, &waiting[..1], at(6)), [first]);
        let shown = |job, has_ended| stream.shown_to(job, has_ended).map(|shown| shown.state);
        assert_eq!(shown(first, false), Some(ZoomStreamState::Started));
        assert_eq!(shown(second, false), Some(ZoomStreamState::GivenToAnotherJob));
        assert_eq!(shown(second, true), None);
        let free = Stream { job: None, ..stream.clone() };
        assert_eq!(free.shown_to(first, false), None);
    }

    #[test]
    fn a_stored_state_is_read_back() {
        for state in
            [ZoomStreamState::Started, ZoomStreamState::Interrupted, ZoomStreamState::Stopped]
        {
            let stream =
                Stream { state, ..apply_event(None, &started(1, "a"), None, at(0)).unwrap() };
            assert_eq!(state_of(stream.state_name()), Some(state));
        }
        assert_eq!(state_of("over"), None);
    }

    #[test]
    fn an_event_without_a_meeting_number_gets_that_of_its_uuid() {
        let nameless = StreamEvent { meeting: None, ..started(1, "a") };
        let number = Some("123456789".to_owned());
        assert_eq!(apply_event(None, &nameless, number.clone(), at(0)).unwrap().meeting, number);
        assert_eq!(apply_event(None, &nameless, None, at(0)).unwrap().meeting, None);
    }
}
