//! Uploads of recordings to a bucket.

use std::num::NonZeroU32;

use super::*;

const URI: &str = "s3://acme/jobs/job_1/1.n/manifest.json";

impl Fixture {
    /// A job whose bot ended at this time, and whose recording is queued for upload.
    async fn held(&self, cause: Cause, now: u64) -> JobId {
        let id = self.recorded(now).await;
        assert_eq!(self.ends(id, cause, now).await, JobStatus::Finalizing);
        id
    }

    /// A job whose bot records.
    async fn recorded(&self, now: u64) -> JobId {
        let job = self.create(|_| {}, at(now)).await;
        self.claim(1, at(now)).await.unwrap();
        let begun = [BotReport::Admitted, BotReport::RecordingStarted];
        self.report(job.id, 1, 1, 1, &begun, at(now)).await;
        job.id
    }

    async fn ends(&self, job_id: JobId, cause: Cause, now: u64) -> JobStatus {
        self.ends_on(None, job_id, cause, now).await
    }

    /// The same of a bot whose recording is on the disk of a worker.
    async fn ends_on(
        &self,
        spool: Option<&str>,
        job_id: JobId,
        cause: Cause,
        now: u64,
    ) -> JobStatus {
        let reports = vec![NumberedReport { seq: 3, at: at(now).wall, report: ended(cause, true) }];
        let request = IngestRequest { job_id, epoch: 1, reports };
        let recorded = Recorded {
            bytes: Some(RECORDED),
            upload: Some("n".to_owned()),
            spool: spool.map(str::to_owned),
        };
        match self.store.report(request, [1; 32].into(), recorded, None, at(now)).await.unwrap() {
            Reported::Applied(answer) => answer.status,
            other => panic!("{other:?}"),
        }
    }

    async fn end_upload(
        &self,
        id: JobId,
        nonce: &str,
        stored: Option<(String, u64)>,
        now: u64,
    ) -> Option<Job> {
        self.store.end_upload(id, nonce.to_owned(), stored, at(now)).await.unwrap()
    }

    async fn waiting(&self) -> Vec<JobId> {
        let waiting = self.store.waiting_uploads(10).await.unwrap();
        assert_eq!(waiting.all, waiting.first.len() as u64);
        waiting.first.into_iter().map(|(job, _)| job).collect()
    }
}

fn left() -> Cause {
    Cause::Left(LeaveReason::MeetingEnded)
}

#[tokio::test]
async fn a_job_ends_only_after_its_recording_is_in_the_bucket() {
    let fixture = fixture().await;
    let id = fixture.held(left(), 5).await;
    // The answer was lost: the same again changes nothing.
    assert_eq!(fixture.ends(id, left(), 6).await, JobStatus::Finalizing);
    let job = fixture.job(id).await;
    assert_eq!(job.status_detail.as_deref(), Some("uploading"));
    assert_eq!((&job.manifest_uri, job.recording.bytes, job.ended_at), (&None, None, None));
    assert!(!fixture.timeline_names(id).await.contains(&"job.finalized".to_owned()));
    let waiting = fixture.store.waiting_uploads(10).await.unwrap();
    let [(job, upload)] = &waiting.first[..] else { panic!("{waiting:?}") };
    assert_eq!((*job, upload.epoch, &*upload.nonce, upload.since), (id, 1, "n", at(5).wall));
    assert!(fixture.store.waiting_mix(id).await.unwrap().is_none());

    let stored = Some((URI.to_owned(), 77));
    let job = fixture.end_upload(id, "n", stored.clone(), 9).await.unwrap();
    assert_eq!((&job.status, job.manifest_uri.as_deref()), (&JobStatus::Completed, Some(URI)));
    assert_eq!(fixture.job(id).await, job);
    assert_eq!((job.recording.bytes, job.status_detail), (Some(77), None));
    let expected = ["joining", "in_call", "recording", "finalizing", "completed", "job.finalized"];
    assert_eq!(fixture.timeline_names(id).await, expected);
    assert!(fixture.waiting().await.is_empty());
    assert!(fixture.end_upload(id, "n", stored, 10).await.is_none());
    assert!(fixture.store.waiting_mix(id).await.unwrap().is_some());
    assert!(!fixture.store.is_stored(id).await.unwrap(), "the mix is made of the copy on disk");
    fixture.store.end_mix(id, None, Some(78), at(11)).await.unwrap();
    assert!(fixture.store.is_stored(id).await.unwrap());
}

#[tokio::test]
async fn a_job_that_waits_for_its_upload_has_no_lease_and_no_slot() {
    let fixture = fixture().await;
    let one = Some(QuotaOverride::Limit(NonZeroU32::new(1).unwrap()));
    let change = QuotaChange { bots: one, ..QuotaChange::default() };
    fixture.store.change_quota("acme", change).await.unwrap();
    let id = fixture.held(left(), 5).await;
    let lease = u64::from(LEASE_SECONDS);
    let store = &fixture.store;
    assert!(store.reap(at(9 * lease)).await.unwrap().is_empty());
    let taken = store.take_over(Arc::new(|_, _| false), at(9 * lease)).await.unwrap();
    assert_eq!(taken, TakenOver::default());
    assert!(!store.release(id, 1, at(9 * lease)).await.unwrap());
    let cancelled = store.cancel(fixture.tenant, id, at(9 * lease)).await.unwrap().unwrap();
    assert_eq!(cancelled.status, JobStatus::Finalizing, "its bot has ended its work");
    let next = fixture.create(|_| {}, at(9 * lease)).await;
    assert_eq!(fixture.claim(2, at(9 * lease)).await.unwrap().job.id, next.id);

    // Counting anew finds the same.
    store.set_default_quota(Quota::default()).await.unwrap();
    let used = async || store.used(fixture.tenant, at(9 * lease)).await.unwrap().bots;
    assert_eq!(used().await, 1);
    fixture.end_upload(id, "n", Some((URI.to_owned(), 7)), 9 * lease).await.unwrap();
    assert_eq!(used().await, 1);
}

#[tokio::test]
async fn the_minutes_of_a_meeting_count_also_while_its_recording_waits_for_the_bucket() {
    let fixture = fixture().await;
    let used = async |now| fixture.store.used(fixture.tenant, at(now)).await.unwrap().minutes;
    let id = fixture.held(left(), 5).await;
    assert_eq!(used(9).await, 1);
    fixture.end_upload(id, "n", Some((URI.to_owned(), 7)), 9).await.unwrap();
    assert_eq!(used(9).await, 1);
}

#[tokio::test]
async fn a_recording_that_is_lost_during_its_upload_fails_its_job() {
    let fixture = fixture().await;
    let first = fixture.held(left(), 5).await;
    let second = fixture.held(left(), 6).await;
    assert_eq!(fixture.waiting().await, [first, second]);
    let job = fixture.end_upload(first, "n", None, 7).await.unwrap();
    assert_eq!((&job.status, &job.manifest_uri), (&JobStatus::Failed, &None));
    assert_eq!(job.failure_code, Some(FailureCode::InternalError));
    assert_eq!(fixture.waiting().await, [second]);
}

#[tokio::test]
async fn a_worker_uploads_removes_or_keeps_the_files_on_its_disk() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let of = async |id, spool: &str| store.spooled(id, spool.to_owned()).await.unwrap();
    let id = fixture.recorded(5).await;
    assert_eq!(of(id, "w1").await, Spooled::Live);
    let status = fixture.ends_on(Some("w1"), id, left(), 6).await;
    assert_eq!(status, JobStatus::Finalizing);
    let Spooled::Waits(upload) = of(id, "w1").await else { panic!("its recording waits") };
    assert_eq!((upload.epoch, &*upload.nonce, upload.spool.as_deref()), (1, "n", Some("w1")));
    assert_eq!(of(id, "w2").await, Spooled::Live, "another worker has it");
    fixture.end_upload(id, "n", Some((URI.to_owned(), 7)), 9).await.unwrap();
    assert_eq!(of(id, "w1").await, Spooled::Over(Some(URI.to_owned())));
    store.delete_recording(fixture.tenant, id, at(10)).await.unwrap().unwrap();
    assert_eq!(of(id, "w1").await, Spooled::Deleted);

    let lost = fixture.recorded(11).await;
    fixture.ends_on(Some("w1"), lost, left(), 12).await;
    let job = fixture.end_upload(lost, "n", None, 13).await.unwrap();
    assert_eq!(job.failure_code, Some(FailureCode::InternalError));
    assert!(job.failure_detail.unwrap().contains("worker"));
    assert_eq!(of(lost, "w1").await, Spooled::Live, "its files may be whole after all");

    let erased = fixture.recorded(14).await;
    fixture.ends_on(Some("w1"), erased, left(), 15).await;
    store.use_storage("s3://acme/a".to_owned()).await.unwrap();
    store.erase_jobs(fixture.tenant.consumer, vec![erased], at(99)).await.unwrap();
    assert_eq!(of(erased, "w1").await, Spooled::Deleted);
    let newer = JobId::generate(at(16).wall);
    assert_eq!(of(newer, "w1").await, Spooled::Unknown, "of a job that was never here");
}

#[tokio::test]
async fn a_recording_of_a_silent_worker_is_finished_by_the_next_bot() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let id = fixture.recorded(5).await;
    fixture.ends_on(Some("w1"), id, left(), 6).await;
    let used = async |now| {
        let used = store.used(fixture.tenant, at(now)).await.unwrap();
        (used.bots, used.minutes)
    };
    assert_eq!(used(9).await, (0, 1));
    let elsewhere =
        async |nonce: &str| store.finish_elsewhere(id, nonce.to_owned(), at(999)).await.unwrap();
    assert!(elsewhere("other").await.is_none());
    let job = elsewhere("n").await.unwrap();
    assert_eq!((&job.status, job.attempt), (&JobStatus::Queued, 1));
    assert_eq!(fixture.job(id).await, job);
    assert!(elsewhere("n").await.is_none());
    assert!(fixture.waiting().await.is_empty());
    assert_eq!(store.next_start().await.unwrap(), Some(at(999).wall));
    // The worker comes back: it keeps its files, and its upload ends nothing.
    let spooled = async || store.spooled(id, "w1".to_owned()).await.unwrap();
    assert_eq!(spooled().await, Spooled::Live);
    let stored = Some((URI.to_owned(), 7));
    assert!(fixture.end_upload(id, "n", stored.clone(), 999).await.is_none());

    let claimed = fixture.claim(2, at(999)).await.unwrap();
    assert_eq!((claimed.job.id, claimed.job.attempt), (id, 2));
    assert_eq!(claimed.finalize, Some(left().ending(true, false)));
    assert_eq!(used(999).await, (1, 1));
    let report = NumberedReport { seq: 1, at: at(999).wall, report: ended(left(), true) };
    let request = IngestRequest { job_id: id, epoch: 2, reports: vec![report] };
    let spool = Some("w2".to_owned());
    let recorded = Recorded { bytes: None, upload: Some("m".to_owned()), spool };
    store.report(request, [2; 32].into(), recorded, None, at(999)).await.unwrap();
    assert_eq!(spooled().await, Spooled::Live);
    // The worker's report of the first upload was under way for long.
    for late in [None, stored.clone()] {
        assert!(fixture.end_upload(id, "n", late, 999).await.is_none());
    }
    assert_eq!(fixture.waiting().await, [id]);
    let job = fixture.end_upload(id, "m", stored, 999).await.unwrap();
    assert_eq!(
        (&job.status, job.leave_reason),
        (&JobStatus::Completed, Some(LeaveReason::MeetingEnded))
    );
    assert_eq!(used(999).await, (0, 1));
    assert_eq!(spooled().await, Spooled::Over(Some(URI.to_owned())));
}

#[tokio::test]
async fn a_consumer_with_pending_uploads_can_be_erased() {
    let fixture = fixture().await;
    let id = fixture.held(left(), 5).await;
    let store = &fixture.store;
    let jobs = store.consumer_jobs(fixture.tenant).await.unwrap();
    assert_eq!(jobs, [(fixture.tenant, id, true)]);
    assert_eq!(store.erase_jobs(fixture.tenant.consumer, vec![id], at(99)).await.unwrap(), 1);
    assert!(fixture.waiting().await.is_empty());
    assert!(fixture.end_upload(id, "n", Some((URI.to_owned(), 7)), 6).await.is_none());
}

#[tokio::test]
async fn a_store_has_one_cluster_id_and_stores_its_buckets_url() {
    let fixture = fixture().await;
    let before = fixture.store.storage().await.unwrap();
    assert!(before.cluster.len() >= 16 && before.url.is_none(), "{before:?}");
    fixture.store.use_storage("s3://acme/a".to_owned()).await.unwrap();
    fixture.store.use_storage("s3://acme/b".to_owned()).await.unwrap();
    let url = Some("s3://acme/b".to_owned());
    assert_eq!(fixture.store.storage().await.unwrap(), Storage { url, ..before });
}
