//! Streams of Zoom meetings find their jobs, once each.

use meetbot_types::bot::ZoomStreamState;

use super::*;

const MEETING: &str = "91234567890";

fn event(stream: &str, at_ms: i64, kind: StreamEventKind) -> StreamEvent {
    StreamEvent {
        stream_id: stream.into(),
        meeting_uuid: format!("uuid of {stream}"),
        meeting: Some(MEETING.into()),
        account_id: None,
        at_ms,
        kind,
    }
}

fn started(stream: &str, at_ms: i64) -> StreamEvent {
    let url = format!("wss://{at_ms}.zoom.us/");
    event(stream, at_ms, StreamEventKind::Started(vec![url]))
}

impl Fixture {
    /// A job for the meeting, which has its bot.
    async fn zoom_job(&self, tenant: Tenant, now: StoreNow) -> JobId {
        let url = format!("https://zoom.us/j/{MEETING}?pwd=x");
        let mut job = new_job(now);
        job.platform = Platform::ZoomWeb;
        job.meeting_url.clone_from(&url);
        let link = MeetingLink::parse(&url, None).unwrap();
        let created =
            self.store.create_job(tenant, job.clone(), link, start(&job), None, now).await;
        assert!(matches!(created.unwrap(), Creation::Created(_)));
        assert_eq!(self.claim(1, now).await.unwrap().job.id, job.id);
        job.id
    }

    async fn receive(&self, event: StreamEvent, now: StoreNow) -> Vec<JobId> {
        self.store.zoom_event("acme".into(), event, now).await.unwrap().jobs
    }

    async fn stream(&self, job: JobId, now: StoreNow) -> Option<(u64, ZoomStreamState)> {
        let stream = self.store.zoom_stream(job, now).await.unwrap();
        stream.map(|stream| (stream.version, stream.state))
    }
}

#[tokio::test]
async fn a_waiting_job_gets_its_stream_and_the_streams_events() {
    use ZoomStreamState::{Interrupted, Started, Stopped};
    let fixture = fixture().await;
    let job = fixture.zoom_job(fixture.tenant, at(1)).await;
    assert_eq!(fixture.stream(job, at(1)).await, None);
    assert_eq!(fixture.receive(started("s", 10), at(2)).await, [job]);
    assert_eq!(fixture.receive(started("s", 10), at(2)).await, [], "the webhook came twice");
    assert_eq!(fixture.stream(job, at(3)).await, Some((1, Started)));
    let interrupted = event("s", 20, StreamEventKind::Interrupted);
    assert_eq!(fixture.receive(interrupted, at(4)).await, [job]);
    assert_eq!(fixture.stream(job, at(4)).await, Some((2, Interrupted)));
    // An hour later there are new servers.
    assert_eq!(fixture.receive(started("s", 30), at(3_600)).await, [job]);
    let stream = fixture.store.zoom_stream(job, at(3_601)).await.unwrap().unwrap();
    assert_eq!((stream.version, stream.server_urls), (3, vec!["wss://30.zoom.us/".to_owned()]));
    let stopped = event("s", 40, StreamEventKind::Stopped(Some(8)));
    assert_eq!(fixture.receive(stopped, at(3_700)).await, [job]);
    let stream = fixture.store.zoom_stream(job, at(3_701)).await.unwrap().unwrap();
    assert_eq!((stream.state, stream.stop_reason), (Stopped, Some(8)));
}

#[tokio::test]
async fn a_stream_waits_ten_minutes_for_its_job() {
    let fixture = fixture().await;
    for (stream, began, asks, gets) in [("s1", 10, 610, true), ("s2", 2_000, 2_601, false)] {
        assert_eq!(fixture.receive(started(stream, 1), at(began)).await, []);
        let job = fixture.zoom_job(fixture.tenant, at(asks)).await;
        assert_eq!(fixture.stream(job, at(asks)).await.is_some(), gets, "{stream}");
        let cause = Cause::Left(LeaveReason::MeetingEnded);
        fixture.report(job, 1, 1, 1, &[ended(cause, false)], at(asks + 1)).await;
    }
}

#[tokio::test]
async fn of_two_jobs_for_one_meeting_the_older_gets_the_stream() {
    use ZoomStreamState::{GivenToAnotherJob, Started};
    let fixture = fixture().await;
    let older = fixture.zoom_job(fixture.tenant, at(1)).await;
    let newer = fixture.zoom_job(fixture.tenant, at(2)).await;
    let mut both = vec![older, newer];
    both.sort();
    assert_eq!(fixture.receive(started("s", 1), at(3)).await, both);
    assert_eq!(fixture.stream(newer, at(4)).await, Some((1, GivenToAnotherJob)));
    assert_eq!(fixture.stream(older, at(4)).await, Some((1, Started)));
    // The older one ends: its stream is over, and the next one is the newer job's.
    let ends = ended(Cause::Left(LeaveReason::MeetingEnded), false);
    fixture.report(older, 1, 1, 1, &[ends], at(5)).await;
    assert_eq!(fixture.stream(newer, at(6)).await, None);
    assert_eq!(fixture.receive(started("next", 2), at(7)).await, [newer]);
    assert_eq!(fixture.stream(newer, at(8)).await, Some((1, Started)));
}

#[tokio::test]
async fn a_stream_is_given_only_to_jobs_of_its_consumer() {
    let fixture = fixture().await;
    let other = fixture.store.create_key(key("other", true), at(0)).await.unwrap().0.tenant;
    let strangers = fixture.zoom_job(other, at(1)).await;
    let test_world = Tenant { live: false, ..fixture.tenant };
    let played = fixture.zoom_job(test_world, at(1)).await;
    assert_eq!(fixture.receive(started("s", 1), at(2)).await, []);
    for job in [strangers, played] {
        assert_eq!(fixture.stream(job, at(3)).await, None);
    }
    // Another app cannot change a stream by its id.
    let job = fixture.zoom_job(fixture.tenant, at(4)).await;
    assert!(fixture.stream(job, at(4)).await.is_some());
    let stopped = event("s", 9, StreamEventKind::Stopped(None));
    let heard = fixture.store.zoom_event("other".into(), stopped, at(5)).await.unwrap();
    assert_eq!(heard, ZoomEventOutcome::default());
    assert_eq!(fixture.stream(job, at(6)).await, Some((1, ZoomStreamState::Started)));
}

#[tokio::test]
async fn streams_are_removed_with_their_job_or_unclaimed_after_a_day() {
    let fixture = fixture().await;
    let job = fixture.zoom_job(fixture.tenant, at(1)).await;
    fixture.receive(started("s", 1), at(2)).await;
    let ends = ended(Cause::Left(LeaveReason::MeetingEnded), false);
    fixture.report(job, 1, 1, 1, &[ends], at(3)).await;
    assert_eq!(
        fixture.store.erase_jobs(fixture.tenant.consumer, vec![job], at(99)).await.unwrap(),
        1
    );
    fixture.receive(started("free", 1), at(4)).await;
    fixture.store.sweep(at(4 + 24 * 3_600)).await.unwrap();
    // It is forgotten, so that it may come anew.
    let job = fixture.zoom_job(fixture.tenant, at(90_000)).await;
    assert_eq!(fixture.receive(started("free", 1), at(90_001)).await, [job]);
}

#[tokio::test]
async fn a_stream_without_a_job_is_unclaimed_until_a_job_gets_it_or_it_ends() {
    let fixture = fixture().await;
    let unclaimed = async |event: StreamEvent, second| {
        fixture.store.zoom_event("acme".into(), event, at(second)).await.unwrap().unclaimed
    };
    let meeting = Some(MEETING.to_owned());
    assert_eq!(unclaimed(started("s", 1), 1).await, meeting);
    assert_eq!(unclaimed(started("s", 1), 2).await, meeting, "the webhook came twice");
    assert_eq!(unclaimed(started("s", 1), 700).await, None, "it has waited for ten minutes");
    let nameless = StreamEvent { meeting: None, ..started("nameless", 1) };
    assert_eq!(unclaimed(nameless, 700).await, None);
    assert_eq!(unclaimed(started("t", 1), 800).await, meeting);
    let over = event("t", 2, StreamEventKind::Stopped(Some(6)));
    assert_eq!(unclaimed(over, 801).await, None);
    let job = fixture.zoom_job(fixture.tenant, at(900)).await;
    assert_eq!(unclaimed(started("u", 1), 901).await, None);
    assert_eq!(unclaimed(started("u", 1), 902).await, None, "a job has it");
    assert!(fixture.stream(job, at(903)).await.is_some());
}
