//! Feeds: every event of a consumer's jobs once, in one order, with any number of concurrent writers.

use std::collections::BTreeSet;

use meetbot_types::{FeedEvent, event::EventDetails};

use super::*;

/// Which event it is.
fn named(event: &FeedEvent) -> (JobId, u64) {
    (event.data.job_id, event.data.sequence)
}

fn read(feed: Feed) -> FeedPage {
    match feed {
        Feed::Read(page) => page,
        other => panic!("{other:?}"),
    }
}

impl Fixture {
    async fn look(&self, after: Option<FeedCursor>, limit: u32) -> Feed {
        self.store.feed(self.tenant, Vec::new(), after, limit).await.unwrap()
    }

    /// All that is in the feed behind a place, so many events at a time: `count` events, which may wait for transactions of other tests on the same database server.
    async fn feed(&self, after: Option<FeedCursor>, limit: u32, count: usize) -> Vec<FeedEvent> {
        let whole = async {
            loop {
                let all = self.feed_now(after, limit).await;
                if all.len() >= count {
                    return all;
                }
                tokio::task::yield_now().await;
            }
        };
        let all = tokio::time::timeout(Duration::from_mins(1), whole).await;
        all.expect("so many events are in the feed")
    }

    async fn feed_now(&self, mut after: Option<FeedCursor>, limit: u32) -> Vec<FeedEvent> {
        let mut all = Vec::new();
        loop {
            let page = read(self.look(after, limit).await);
            assert!(page.events.len() <= limit as usize);
            all.extend(page.events);
            after = Some(page.end);
            if !page.has_more {
                return all;
            }
        }
    }

    /// A place behind all that has been written, once all transactions that were under way have ended.
    async fn place(&self, count: usize) -> FeedCursor {
        let all = self.feed(None, 100, count).await;
        assert_eq!(all.len(), count);
        all.last().map_or(FeedCursor::BEGINNING, |event| event.cursor.parse().unwrap())
    }

    async fn quiet_job(&self, now: StoreNow) -> JobId {
        self.create(|job| job.webhooks = Webhooks::default(), now).await.id
    }
}

#[tokio::test]
async fn a_feed_has_each_event_once_and_begins_with_the_creation_of_each_job() {
    let fixture = fixture().await;
    assert_eq!(fixture.feed_now(None, 9).await, []);
    let start = fixture.store.feed_end(fixture.tenant).await.unwrap();
    let first = fixture.create(|job| job.external_id = Some("lesson".into()), at(1)).await;
    let second = fixture.quiet_job(at(2)).await;
    fixture.claim(1, at(3)).await.unwrap();
    fixture.store.cancel(fixture.tenant, second, at(4)).await.unwrap();
    fixture.report(first.id, 1, 1, 1, &[BotReport::Admitted], at(5)).await;
    let whole = fixture.feed(Some(start), 100, 5).await;
    let order = [(first.id, 0), (second, 0), (first.id, 1), (second, 1), (first.id, 2)];
    assert_eq!(whole.iter().map(named).collect::<Vec<_>>(), order);
    for limit in [1, 2, 3] {
        assert_eq!(fixture.feed(None, limit, 5).await, whole, "{limit} at a time");
    }
    for (index, event) in whole.iter().enumerate() {
        let behind = fixture.feed_now(Some(event.cursor.parse().unwrap()), 100).await;
        assert_eq!(behind, whole[index + 1..], "behind {}", event.cursor);
    }
    let created = &whole[0].data;
    assert_eq!(
        (created.status.as_str(), created.external_id.as_deref()),
        ("queued", Some("lesson"))
    );
    assert!(matches!(created.details, EventDetails::StatusChanged { previous_status: None, .. }));
    // It is in no timeline, and no endpoint gets it.
    assert_eq!(fixture.timeline_names(first.id).await, ["joining", "in_call"]);
    let window = Window { limit: 100, after: None };
    let sent = fixture.store.deliveries(fixture.tenant, DeliveryFilter::default(), window).await;
    assert!(sent.unwrap().data.iter().all(|delivery| delivery.sequence > 0));
    let end = fixture.store.feed_end(fixture.tenant).await.unwrap();
    assert_eq!(fixture.feed_now(Some(end), 9).await, []);
}

#[tokio::test]
async fn a_feed_reports_changes_that_only_a_list_of_jobs_shows() {
    let fixture = fixture().await;
    let job = fixture.quiet_job(at(1)).await;
    fixture.claim(1, at(2)).await.unwrap();
    let from = fixture.place(2).await;
    let reports = [
        vec![BotReport::Admitted, BotReport::RecordingStarted, BotReport::RecordingPaused],
        vec![],
        vec![BotReport::RecordingResumed { paused_ms: 5 }],
        vec![BotReport::RecordingPaused, BotReport::RecordingResumed { paused_ms: 9 }],
        vec![BotReport::Reconnecting],
        vec![ended(Cause::Left(LeaveReason::MeetingEnded), true)],
    ];
    let mut seq = 1;
    for (second, reports) in (3..).zip(&reports) {
        fixture.report(job, 1, 1, seq, reports, at(second)).await;
        seq += reports.len() as u64;
    }
    fixture.store.delete_recording(fixture.tenant, job, at(20)).await.unwrap();
    let reported =
        fixture.feed(Some(from), 100, 9).await.into_iter().map(|event| match event.data.details {
            EventDetails::StatusChanged { previous_status, status_detail, .. } => {
                let only_here = previous_status.as_ref() == Some(&event.data.status);
                let detail = status_detail.unwrap_or_default();
                format!(
                    "{} {} {detail}{}",
                    event.data.sequence,
                    event.data.status,
                    if only_here { "!" } else { "" }
                )
            }
            _ => format!("{} {}", event.data.sequence, event.event),
        });
    let reported: Vec<_> = reported.collect();
    assert_eq!(
        reported,
        [
            "2 in_call ",
            "3 recording ",
            "3 recording paused!",
            "3 recording !",
            "3 recording reconnecting!",
            "4 finalizing ",
            "5 completed ",
            "6 job.finalized",
            "6 completed !",
        ]
    );
    let timeline = ["joining", "in_call", "recording", "finalizing", "completed", "job.finalized"];
    assert_eq!(fixture.timeline_names(job).await, timeline);
}

#[tokio::test]
async fn a_feed_has_only_events_of_its_consumer_and_world() {
    let fixture = fixture().await;
    let mine = fixture.quiet_job(at(1)).await;
    let (test, _) = fixture.store.create_key(key("acme", false), at(0)).await.unwrap();
    let (other, _) = fixture.store.create_key(key("other", true), at(0)).await.unwrap();
    let cursor = fixture.place(1).await;
    for stranger in [test.tenant, other.tenant] {
        let look = async |after| fixture.store.feed(stranger, Vec::new(), after, 9).await.unwrap();
        assert_eq!(read(look(None).await).events, []);
        assert_eq!(look(Some(cursor)).await, Feed::Foreign);
        let mut job = new_job(at(2));
        job.webhooks = Webhooks::default();
        let start = start(&job);
        fixture.store.create_job(stranger, job, link(), start, None, at(2)).await.unwrap();
        assert_eq!(look(Some(cursor)).await, Feed::Foreign, "their feeds have places of their own");
        while read(look(None).await).events.is_empty() {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(fixture.feed_now(None, 9).await.iter().map(named).collect::<Vec<_>>(), [(mine, 0)]);
    assert_eq!(fixture.feed_now(Some(cursor), 9).await, []);
}

#[tokio::test]
async fn events_of_other_names_are_skipped_and_not_read_again() {
    let fixture = fixture().await;
    let job = fixture.quiet_job(at(1)).await;
    fixture.claim(1, at(2)).await.unwrap();
    let failed =
        ended(Cause::Failed(Failure::new(FailureCode::LobbyTimeout, "nobody came")), false);
    fixture.report(job, 1, 1, 1, &[failed], at(3)).await;
    for _ in 0..3 {
        fixture.quiet_job(at(4)).await;
    }
    let whole = fixture.feed(None, 100, 6).await;
    let names = vec![EventName::Failed, EventName::Finalized];
    let look = async |after, limit| {
        read(fixture.store.feed(fixture.tenant, names.clone(), after, limit).await.unwrap())
    };
    let page = look(None, 9).await;
    assert_eq!(
        page.events.iter().map(|event| event.event.as_str()).collect::<Vec<_>>(),
        ["job.failed"]
    );
    assert!(!page.has_more);
    assert_eq!(page.end.to_string(), whole[5].cursor);
    let page = look(None, 1).await;
    assert!(page.has_more, "others are behind it, of whichever name");
    assert_eq!(look(Some(page.end), 1).await.events, []);
}

#[tokio::test]
async fn a_cursor_before_a_deleted_event_is_refused_and_later_ones_are_not() {
    let fixture = fixture().await;
    let before = FeedCursor::BEGINNING;
    let old = fixture.quiet_job(at(1)).await;
    let within = fixture.place(1).await;
    fixture.store.cancel(fixture.tenant, old, at(2)).await.unwrap();
    let behind = fixture.place(2).await;
    let kept = fixture.quiet_job(at(3)).await;
    let newest = fixture.place(3).await;
    assert_eq!(fixture.store.prune_jobs(at(9).wall, 9, at(9)).await.unwrap(), [old]);
    for expired in [before, within] {
        assert_eq!(fixture.look(Some(expired), 9).await, Feed::Expired, "{expired}");
    }
    for (place, found) in
        [(None, vec![(kept, 0)]), (Some(behind), vec![(kept, 0)]), (Some(newest), vec![])]
    {
        assert_eq!(fixture.feed_now(place, 1).await.iter().map(named).collect::<Vec<_>>(), found);
    }
    // What was deleted last keeps its numbers: they are given to no other event.
    fixture.store.cancel(fixture.tenant, kept, at(10)).await.unwrap();
    assert_eq!(fixture.store.prune_jobs(at(99).wall, 9, at(99)).await.unwrap(), [kept]);
    let next = fixture.quiet_job(at(100)).await;
    assert_eq!(fixture.look(Some(newest), 9).await, Feed::Expired);
    assert_eq!(fixture.feed(None, 9, 1).await.iter().map(named).collect::<Vec<_>>(), [(next, 0)]);
}

#[tokio::test]
async fn a_restored_database_refuses_cursors_of_the_original() {
    let fixture = fixture().await;
    fixture.quiet_job(at(1)).await;
    let seen = fixture.place(1).await;
    let backend = fixture.backend.restored(RestoreOptions::default(), at(2));
    let restored = Fixture { store: backend.open(), tenant: fixture.tenant, backend };
    assert_eq!(restored.look(Some(seen), 9).await, Feed::Foreign);
    assert_eq!(restored.feed(None, 9, 1).await.len(), 1);
}

#[tokio::test]
async fn an_erased_consumer_has_no_feed() {
    let fixture = fixture().await;
    let job = fixture.quiet_job(at(1)).await;
    fixture.store.cancel(fixture.tenant, job, at(2)).await.unwrap();
    let seen = fixture.store.feed_end(fixture.tenant).await.unwrap();
    fixture.store.erase_jobs(fixture.tenant.consumer, vec![job], at(99)).await.unwrap();
    assert!(fixture.store.erase_consumer(fixture.tenant).await.unwrap().is_some());
    assert_eq!(fixture.look(Some(seen), 9).await, Feed::Foreign);
    assert_eq!(fixture.look(None, 9).await, fixture.look(Some(FeedCursor::BEGINNING), 9).await);
}

/// Each writer has a store of its own, as servers on one database have, and one reader goes on from where it stands while they write.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_four_concurrent_writers_no_event_is_skipped_or_repeated() {
    const WRITERS: usize = 4;
    const JOBS: usize = 40;
    let fixture = fixture().await;
    let tenant = fixture.tenant;
    let mut after = Some(fixture.store.feed_end(tenant).await.unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = fixture.backend.open();
        writers.spawn(async move {
            let mut written = Vec::new();
            for _ in 0..JOBS {
                let now = at(u64::try_from(writer).unwrap());
                let mut job = new_job(now);
                job.webhooks = Webhooks::default();
                let (id, start) = (job.id, start(&job));
                store.create_job(tenant, job, link(), start, None, now).await.unwrap();
                store.cancel(tenant, id, now).await.unwrap();
                written.extend([(id, 0), (id, 1)]);
            }
            written
        });
    }
    let mut reported = Vec::new();
    while reported.len() < 2 * WRITERS * JOBS {
        let page = read(fixture.look(after, 7).await);
        reported.extend(page.events.iter().map(named));
        after = Some(page.end);
        tokio::task::yield_now().await;
    }
    let written: BTreeSet<_> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(reported.iter().copied().collect::<BTreeSet<_>>(), written);
    assert_eq!(reported.len(), written.len(), "each once");
    for (place, (job, sequence)) in reported.iter().enumerate() {
        let before = reported[..place].contains(&(*job, 0));
        assert_eq!(before, *sequence > 0, "a job's events come in their order");
    }
    assert_eq!(fixture.feed_now(after, 9).await, [], "and nothing else");
}
