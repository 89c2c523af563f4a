//! Bots whose claim the store has forgotten, as a promoted replica or a restored backup does.

use super::*;

/// A store that has forgotten the claim of a bot; and what the bot shows.
struct Forgotten {
    fixture: Fixture,
    job: JobId,
    credentials: BotCredentials,
}

/// A job without a bot, and one that a bot has.
async fn forgotten() -> Forgotten {
    let mut fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await.id;
    let copy = fixture.backend.restored(RestoreOptions::default(), at(1));
    let claimed = fixture.claim(1, at(2)).await.unwrap();
    let credentials = BotCredentials {
        token_hash: [1; 32],
        claim_signature: Some(claimed.signature.expose().to_owned()),
    };
    assert_eq!((claimed.job.id, claimed.job.attempt), (job, 1));
    fixture.report(job, 1, 1, 1, &[BotReport::Admitted], at(3)).await;
    fixture.store.close().await;
    (fixture.store, fixture.backend) = (copy.open(), copy);
    Forgotten { fixture, job, credentials }
}

impl Forgotten {
    async fn report(&self, first: u64, reports: &[BotReport], now: u64) -> Reported {
        self.shows(self.credentials.clone(), first, reports, now).await
    }

    async fn shows(
        &self,
        credentials: BotCredentials,
        first: u64,
        reports: &[BotReport],
        now: u64,
    ) -> Reported {
        let reports = (first..)
            .zip(reports)
            .map(|(seq, report)| NumberedReport { seq, at: at(now).wall, report: report.clone() })
            .collect();
        let request = IngestRequest { job_id: self.job, epoch: 1, reports };
        let recorded = Recorded { bytes: Some(RECORDED), ..Recorded::default() };
        self.fixture.store.report(request, credentials, recorded, None, at(now)).await.unwrap()
    }
}

#[tokio::test]
async fn a_bot_whose_claim_was_forgotten_keeps_its_job() {
    let forgotten = forgotten().await;
    let Forgotten { fixture, job, .. } = &forgotten;
    let beat = [BotReport::Heartbeat { media: MediaCounters::default() }];
    let later = [BotReport::RecordingStarted];
    for (first, reports) in [(1, &[][..]), (2, &beat[..]), (2, &later[..])] {
        assert_eq!(acknowledged(&forgotten.report(first, reports, 4).await), 0);
        assert_eq!(fixture.job(*job).await.status, JobStatus::Queued);
    }
    let all = [BotReport::Admitted, BotReport::RecordingStarted];
    assert_eq!(acknowledged(&forgotten.report(1, &all, 5).await), 2);
    let shown = fixture.job(*job).await;
    assert_eq!((shown.status, shown.attempt), (JobStatus::Recording, 1));
    assert_eq!(fixture.store.used(fixture.tenant, at(5)).await.unwrap().bots, 1);
    assert!(fixture.claim(2, at(5)).await.is_none());
    assert_eq!(fixture.store.bot_commands(*job, 1, [1; 32], 0).await.unwrap(), Some(Vec::new()));
    // Its token is known from now on.
    assert_eq!(acknowledged(&fixture.report(*job, 1, 1, 3, &beat, at(6)).await), 3);

    // A server that starts does not know on which machine the bot is.
    let boot = |seconds| StoreNow { lease: at(seconds).lease, ..at(1_000 + seconds) };
    let taken = fixture.store.take_over(Arc::new(|_, _| false), boot(0)).await.unwrap();
    assert_eq!(taken.lost, []);
    let ended = [ended(Cause::Left(LeaveReason::MeetingEnded), true)];
    fixture.report(*job, 1, 1, 4, &ended, boot(1)).await;
    assert_eq!(
        fixture.timeline_names(*job).await,
        ["joining", "in_call", "recording", "finalizing", "completed", "job.finalized"]
    );
}

#[tokio::test]
async fn an_adopted_bot_that_is_silent_is_lost() {
    let forgotten = forgotten().await;
    forgotten.report(1, &[BotReport::Admitted], 5).await;
    let lease = u64::from(LEASE_SECONDS);
    let store = &forgotten.fixture.store;
    assert_eq!(store.reap(at(4 + lease)).await.unwrap(), []);
    assert_eq!(store.reap(at(5 + lease)).await.unwrap(), [forgotten.job]);
}

#[tokio::test]
async fn a_bot_that_cannot_prove_its_claim_is_unknown() {
    let forgotten = forgotten().await;
    let forged = BotCredentials { token_hash: [2; 32], ..forgotten.credentials.clone() };
    for credentials in [forged, [1; 32].into()] {
        let reported = forgotten.shows(credentials, 1, &[BotReport::Admitted], 4).await;
        assert_eq!(reported, Reported::Unknown);
    }
    let other = Forgotten { job: JobId::generate(at(9).wall), ..forgotten };
    assert_eq!(other.report(1, &[BotReport::Admitted], 4).await, Reported::Unknown);
}

#[tokio::test]
async fn the_bot_that_the_store_knows_keeps_the_job() {
    let forgotten = forgotten().await;
    let claimed = forgotten.fixture.claim(2, at(3)).await.unwrap();
    assert_eq!((claimed.job.id, claimed.job.attempt), (forgotten.job, 1));
    assert_eq!(forgotten.report(1, &[BotReport::Admitted], 4).await, Reported::Unknown);
    let admitted = [BotReport::Admitted];
    assert_eq!(
        acknowledged(&forgotten.fixture.report(forgotten.job, 1, 2, 1, &admitted, at(4)).await),
        1
    );
}
