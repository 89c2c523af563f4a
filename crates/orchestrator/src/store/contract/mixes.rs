//! Mixes wait from their jobs' ends until they are reported, each once.

use super::{labels::labels, *};
use crate::{jobs::derive, store::DueMix};

/// A job of this fixture that has ended.
async fn job_that_ended(fixture: &Fixture, token: u8, cause: Cause, has_media: bool) -> Job {
    let job = fixture.create(|_| {}, at(token.into())).await;
    fixture.claim(token, at(token.into())).await.unwrap();
    let reports = [BotReport::Admitted, BotReport::RecordingStarted, ended(cause, has_media)];
    fixture.report(job.id, 1, token, 1, &reports, at(token.into())).await;
    fixture.job(job.id).await
}

/// How many bytes a recording has with its mix.
const MIXED: u64 = 1_500;

fn mix() -> File {
    File {
        name: "audio.mixed.webm".to_owned(),
        media_type: "audio/webm".to_owned(),
        bytes: 7,
        sha256: "ab".to_owned(),
    }
}

/// A lease.
fn one() -> String {
    "one".to_owned()
}

fn failure() -> Cause {
    Cause::Failed(Failure::new(FailureCode::NetworkLoss, "gone"))
}

async fn due(fixture: &Fixture, now: StoreNow) -> Vec<JobId> {
    first_due(fixture, 9, now).await
}

/// The first of those that are due.
async fn first_due(fixture: &Fixture, limit: u32, now: StoreNow) -> Vec<JobId> {
    let due = fixture.store.waiting_mixes(limit, now).await.unwrap().due;
    due.into_iter().map(|mix| mix.job).collect()
}

#[tokio::test]
async fn a_mix_is_queued_for_each_job_that_ends_with_a_manifest() {
    let fixture = fixture().await;
    let left = || Cause::Left(LeaveReason::MeetingEnded);
    let completed = job_that_ended(&fixture, 1, left(), true).await;
    let failed = job_that_ended(&fixture, 2, failure(), true).await;
    let cancelled = job_that_ended(&fixture, 3, Cause::Cancelled, true).await;
    let nothing = job_that_ended(&fixture, 4, failure(), false).await;
    let with_media = [completed.id, failed.id, cancelled.id];
    assert_eq!(due(&fixture, at(0)).await, with_media);
    assert_eq!(fixture.store.tally().await.unwrap().mixes, 3);
    assert_eq!(first_due(&fixture, 2, at(0)).await, with_media[..2]);
    assert_eq!(fixture.store.waiting_mix(nothing.id).await.unwrap(), None);
    for job in [completed, failed, cancelled] {
        assert_eq!(fixture.store.waiting_mix(job.id).await.unwrap().as_ref(), Some(&job));
        let reported = fixture.timeline_names(job.id).await;
        assert!(fixture.store.end_mix(job.id, Some(mix()), Some(MIXED), at(9)).await.unwrap());
        assert_eq!(
            fixture.timeline_names(job.id).await.strip_prefix(&*reported).unwrap(),
            ["job.artifact_ready"]
        );
        // The answer was lost.
        assert!(!fixture.store.end_mix(job.id, Some(mix()), Some(MIXED), at(9)).await.unwrap());
        assert_eq!(fixture.timeline_names(job.id).await.len(), reported.len() + 1);
        assert_eq!(fixture.store.waiting_mix(job.id).await.unwrap(), None);
        assert_eq!(
            (job.recording.bytes, fixture.job(job.id).await.recording.bytes),
            (Some(RECORDED), Some(MIXED))
        );
        let mut job = job;
        job.recording.bytes = Some(MIXED);
        assert_eq!(fixture.job(job.id).await, job, "the rest of the job is as it ended");
    }
    assert_eq!(due(&fixture, at(99)).await, []);
    // Each end was counted once.
    let ends: u64 = fixture.store.tally().await.unwrap().ended.iter().map(|end| end.jobs).sum();
    assert_eq!(ends, 4);
}

#[tokio::test]
async fn a_mix_is_reported_to_on_finalize_with_the_file_and_the_manifest() {
    let fixture = fixture().await;
    let job = job_that_ended(&fixture, 1, failure(), true).await;
    fixture.store.end_mix(job.id, Some(mix()), Some(MIXED), at(9)).await.unwrap();
    let filter = DeliveryFilter { job_id: Some(job.id), state: None };
    let window = Window { limit: 200, after: None };
    let sent = fixture.store.deliveries(fixture.tenant, filter, window).await.unwrap().data;
    let sent: Vec<_> = sent
        .iter()
        .filter(|one| one.event == EventName::ArtifactReady)
        .map(|one| &*one.url)
        .collect();
    assert_eq!(sent, ["http://127.0.0.1:1/final"]);
    let window = Window { limit: 200, after: None };
    let timeline = fixture.store.timeline(fixture.tenant, job.id, window).await.unwrap().unwrap();
    let last = timeline.data.last().unwrap();
    assert_eq!((&last.data.status, last.emitted_at), (&JobStatus::Failed, at(9).wall));
    let data = serde_json::to_value(&last.data).unwrap();
    assert_eq!(data["artifact"], serde_json::to_value(mix()).unwrap());
    assert_eq!(data["manifestUri"], "file:///m.json");
}

#[tokio::test]
async fn a_mix_that_is_not_made_or_whose_recording_is_deleted_is_not_reported() {
    let fixture = fixture().await;
    let jobs = [1, 2, 3].map(|token| job_that_ended(&fixture, token, failure(), true));
    let [unavailable, deleted, dropped] = jobs;
    let (unavailable, deleted, dropped) = (unavailable.await, deleted.await, dropped.await);
    assert!(fixture.store.end_mix(unavailable.id, None, Some(MIXED), at(9)).await.unwrap());
    fixture.store.delete_recording(fixture.tenant, deleted.id, at(9)).await.unwrap().unwrap();
    fixture.store.drop_mixes(vec![dropped.id]).await.unwrap();
    assert_eq!(due(&fixture, at(99)).await, []);
    for job in [&unavailable, &deleted, &dropped] {
        // It was under way meanwhile.
        assert!(!fixture.store.end_mix(job.id, Some(mix()), Some(MIXED), at(10)).await.unwrap());
        assert_eq!(fixture.store.put_off_mix(job.id, None, at(10)).await.unwrap(), None);
        assert!(!fixture.store.lease_mix(job.id, one(), at(10)).await.unwrap());
        assert!(!fixture.store.hold_mix(job.id, one(), at(20).wall).await.unwrap());
        assert!(!fixture.timeline_names(job.id).await.contains(&"job.artifact_ready".to_owned()));
    }
    let erased = fixture.store.erase_jobs(fixture.tenant.consumer, vec![dropped.id], at(99)).await;
    assert_eq!(erased.unwrap(), 1);
}

#[tokio::test]
async fn a_mix_that_cannot_be_made_now_is_due_later_behind_those_that_were_never_tried() {
    let fixture = fixture().await;
    let first = job_that_ended(&fixture, 1, failure(), true).await;
    let second = job_that_ended(&fixture, 2, failure(), true).await;
    let next = fixture.store.put_off_mix(first.id, None, at(10)).await.unwrap().unwrap();
    assert!(next > at(10).wall);
    let waiting = fixture.store.waiting_mixes(9, at(10)).await.unwrap();
    let due_since_its_end = DueMix { job: second.id, since: at(2).wall, requires: labels("") };
    assert_eq!(waiting, WaitingMixes { due: vec![due_since_its_end], next: Some(next) });
    assert_eq!(due(&fixture, at(10_000)).await, [second.id, first.id]);
    let later = fixture.store.put_off_mix(first.id, None, at(10)).await.unwrap().unwrap();
    assert!(later > next);
    let mut tries = 2;
    while fixture.store.put_off_mix(first.id, None, at(10)).await.unwrap().is_some() {
        tries += 1;
    }
    assert!((100..200).contains(&tries), "{tries}");
    assert_eq!(fixture.store.waiting_mix(first.id).await.unwrap(), None);
}

/// A job of this tenant that has ended with a manifest at this second.
async fn waits(fixture: &Fixture, tenant: Tenant, second: u64) -> JobId {
    let job = new_job(at(second));
    let (id, start) = (job.id, start(&job));
    fixture.store.create_job(tenant, job, link(), start, None, at(second)).await.unwrap();
    fixture.claim(1, at(second)).await.unwrap();
    let reports = [BotReport::Admitted, BotReport::RecordingStarted, ended(failure(), true)];
    fixture.report(id, 1, 1, 1, &reports, at(second)).await;
    id
}

#[tokio::test]
async fn mixes_of_consumers_alternate() {
    let fixture = fixture().await;
    let tenant =
        async |name, live| fixture.store.create_key(key(name, live), at(0)).await.unwrap().0.tenant;
    let (flood, other) = (fixture.tenant, tenant("other", true).await);
    let mut waiting = Vec::new();
    for (second, tenant) in (1..).zip([flood, flood, flood, flood, other, other]) {
        waiting.push(waits(&fixture, tenant, second).await);
    }
    let [first, second, third, fourth, theirs, their_next] = waiting[..] else {
        unreachable!("six wait")
    };
    assert_eq!(due(&fixture, at(9)).await, [first, theirs, second, their_next, third, fourth]);
    assert_eq!(first_due(&fixture, 2, at(9)).await, [first, theirs]);
    // One at a time, with one that cannot be made now and consumers that come later.
    let one = async |expected| {
        assert_eq!(first_due(&fixture, 1, at(20)).await, [expected]);
    };
    one(first).await;
    fixture.store.end_mix(first, Some(mix()), Some(MIXED), at(20)).await.unwrap();
    one(theirs).await;
    fixture.store.put_off_mix(theirs, None, at(20)).await.unwrap();
    one(second).await;
    let late = waits(&fixture, tenant("late", true).await, 10).await;
    let in_test = waits(&fixture, tenant("acme", false).await, 11).await;
    for expected in [late, in_test, second, their_next, third] {
        one(expected).await;
        fixture.store.end_mix(expected, None, Some(MIXED), at(20)).await.unwrap();
    }
    assert_eq!(due(&fixture, at(99)).await, [theirs, fourth], "the other's last was longer ago");
}

#[tokio::test]
async fn a_leased_mix_is_due_again_only_when_its_lease_has_run_out_or_was_given_back() {
    let fixture = fixture().await;
    let job = job_that_ended(&fixture, 1, failure(), true).await.id;
    let (store, other) = (&fixture.store, || "other".to_owned());
    assert!(store.lease_mix(job, one(), at(10)).await.unwrap());
    assert!(!store.lease_mix(job, other(), at(10)).await.unwrap(), "it is the first one's");
    let end = derive::lease_end(at(10));
    assert_eq!(due(&fixture, at(10)).await, []);
    assert_eq!(store.waiting_mixes(9, at(10)).await.unwrap().next, Some(end));
    // It goes on, and then gives it back.
    let later = derive::lease_end(at(25));
    assert!(store.hold_mix(job, one(), later).await.unwrap());
    assert!(!store.hold_mix(job, other(), at(25).wall).await.unwrap());
    assert_eq!(due(&fixture, at(41)).await, []);
    assert!(store.hold_mix(job, one(), at(41).wall).await.unwrap());
    let given_before = DueMix { job, since: Timestamp::UNIX_EPOCH, requires: labels("") };
    assert_eq!(store.waiting_mixes(9, at(41)).await.unwrap().due, [given_before]);
    // The next one is cut off until its lease has run out, and reports then.
    assert!(store.lease_mix(job, other(), at(41)).await.unwrap());
    assert!(!store.hold_mix(job, one(), at(999).wall).await.unwrap());
    assert_eq!(due(&fixture, at(71)).await, [job]);
    assert!(store.lease_mix(job, "third".to_owned(), at(71)).await.unwrap());
    assert!(!store.hold_mix(job, other(), at(999).wall).await.unwrap());
    assert_eq!(store.put_off_mix(job, Some(other()), at(72)).await.unwrap(), None);
    assert_eq!(store.waiting_mixes(9, at(72)).await.unwrap().next, Some(at(101).wall));
    // Its mix is in the bucket all the same.
    assert!(store.end_mix(job, Some(mix()), Some(MIXED), at(73)).await.unwrap());
    assert!(!store.hold_mix(job, "third".to_owned(), at(999).wall).await.unwrap());
    assert!(!store.end_mix(job, Some(mix()), Some(MIXED), at(74)).await.unwrap());
}

#[tokio::test]
async fn a_worker_that_cannot_make_a_mix_puts_it_off_for_all() {
    let fixture = fixture().await;
    let job = job_that_ended(&fixture, 1, failure(), true).await.id;
    assert!(fixture.store.lease_mix(job, one(), at(10)).await.unwrap());
    let next = fixture.store.put_off_mix(job, Some(one()), at(12)).await.unwrap().unwrap();
    assert!((at(12).wall..at(40).wall).contains(&next), "{next}");
    assert!(!fixture.store.hold_mix(job, one(), at(999).wall).await.unwrap());
    assert_eq!(due(&fixture, at(20)).await, [job]);
}

#[tokio::test]
async fn a_consumer_whose_mix_is_leased_comes_behind_the_others() {
    let fixture = fixture().await;
    let theirs = fixture.store.create_key(key("other", true), at(0)).await.unwrap().0.tenant;
    let flood = fixture.tenant;
    let mut waiting = Vec::new();
    for (second, tenant) in (1..).zip([flood, flood, flood, theirs, theirs]) {
        waiting.push(waits(&fixture, tenant, second).await);
    }
    let [first, second, third, theirs, their_next] = waiting[..] else { unreachable!("five wait") };
    for expected in [first, theirs, second, their_next, third] {
        assert_eq!(first_due(&fixture, 1, at(10)).await, [expected]);
        assert!(fixture.store.lease_mix(expected, one(), at(10)).await.unwrap());
        if expected == theirs {
            // The end of a leased mix takes no second turn.
            fixture.store.end_mix(first, Some(mix()), Some(MIXED), at(10)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn each_due_mix_has_the_labels_that_its_consumer_requires_now() {
    let fixture = fixture().await;
    let other = fixture.store.create_key(key("other", true), at(0)).await.unwrap().0.tenant;
    let in_test = fixture.store.create_key(key("acme", false), at(0)).await.unwrap().0.tenant;
    let live = waits(&fixture, fixture.tenant, 1).await;
    let in_test = waits(&fixture, in_test, 2).await;
    let theirs = waits(&fixture, other, 3).await;
    let required = async || {
        let due = fixture.store.waiting_mixes(9, at(10)).await.unwrap().due;
        due.into_iter().map(|mix| (mix.job, mix.requires.to_string())).collect::<Vec<_>>()
    };
    // For both worlds, and also if they are set when the mix waits.
    for text in ["", "eu,net=fast", "us"] {
        fixture.require("acme", text).await;
        let expected = [(live, text), (in_test, text), (theirs, "")];
        assert_eq!(required().await, expected.map(|(job, text)| (job, text.to_owned())));
    }
    // A worker had it, and gives it back.
    assert!(fixture.store.lease_mix(live, one(), at(10)).await.unwrap());
    assert!(fixture.store.hold_mix(live, one(), at(10).wall).await.unwrap());
    assert!(required().await.contains(&(live, "us".to_owned())));
}

#[tokio::test]
async fn mixes_that_require_labels_are_not_in_the_way_of_others() {
    let fixture = fixture().await;
    let tenant =
        async |name| fixture.store.create_key(key(name, true), at(0)).await.unwrap().0.tenant;
    let (flood, also, other) = (fixture.tenant, tenant("also").await, tenant("other").await);
    let mut waiting = Vec::new();
    for (second, tenant) in (1..).zip([flood, flood, flood, also, other, other, other]) {
        waiting.push(waits(&fixture, tenant, second).await);
    }
    let [first, second, third, of_also, free, next_free, last] = waiting[..] else {
        unreachable!("seven wait")
    };
    for consumer in ["acme", "also"] {
        fixture.require(consumer, "eu").await;
    }
    assert_eq!(first_due(&fixture, 1, at(9)).await, [first, free]);
    assert_eq!(first_due(&fixture, 2, at(9)).await, [first, of_also, free, next_free]);
    let all = [first, of_also, free, second, next_free, third, last];
    assert_eq!(due(&fixture, at(9)).await, all);
}
