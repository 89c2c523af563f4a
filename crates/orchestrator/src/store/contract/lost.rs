//! Bots that are lost: who comes after them, when, and to do what.

use meetbot_types::bot::LAST_ATTEMPT;

use super::*;

/// A job whose first bot records.
async fn recorded(fixture: &Fixture) -> JobId {
    let job = fixture.create(|_| {}, at(1)).await;
    fixture.claim(1, at(2)).await.unwrap();
    let reports = [BotReport::Admitted, BotReport::RecordingStarted];
    fixture.report(job.id, 1, 1, 1, &reports, at(3)).await;
    job.id
}

#[tokio::test]
async fn the_pause_before_the_next_bot_grows_with_each_lost_one() {
    let fixture = fixture().await;
    let job = recorded(&fixture).await;
    let mut now = 4;
    // The first one is replaced at once, since no bot records meanwhile.
    for (epoch, wait) in (1..).zip([0, 5, 10, 20, 40, 80, 160, 320, 600, 600]) {
        assert!(fixture.store.release(job, epoch, at(now)).await.unwrap());
        if wait > 0 {
            assert!(fixture.claim(1, at(now)).await.is_none(), "{epoch}");
            assert!(fixture.claim(1, at(now + wait - 1)).await.is_none(), "{epoch}");
        }
        assert_eq!(fixture.store.next_start().await.unwrap(), Some(at(now + wait).wall));
        now += wait;
        let claimed = fixture.claim(1, at(now)).await.unwrap();
        assert_eq!(claimed.job.attempt, epoch + 1);
        assert_eq!(claimed.finalize.is_some(), epoch >= MAX_ATTEMPTS);
    }
}

#[tokio::test]
async fn a_bot_that_ran_long_or_whose_server_stopped_is_replaced_at_once() {
    let fixture = fixture().await;
    let job = recorded(&fixture).await;
    for epoch in 1..MAX_ATTEMPTS {
        let hours = at(u64::from(epoch) * 3_600);
        assert!(fixture.store.release(job, epoch, hours).await.unwrap());
        assert!(fixture.claim(1, hours).await.is_some(), "{epoch}");
    }
    let now = at(u64::from(MAX_ATTEMPTS) * 3_600 - 3_599);
    assert!(fixture.store.hand_over(job, MAX_ATTEMPTS, now).await.unwrap());
    assert_eq!(fixture.claim(1, now).await.unwrap().finalize, None);
    assert_eq!(fixture.store.take_over(Arc::new(|_, _| false), now).await.unwrap().lost, [job]);
    assert!(fixture.claim(1, now).await.is_some());
}

#[tokio::test]
async fn a_bot_that_outlived_its_server_keeps_its_job_and_gets_a_full_lease() {
    let fixture = fixture().await;
    let [lives, gone] = [recorded(&fixture).await, recorded(&fixture).await];
    let minute = [BotReport::Heartbeat { media: MediaCounters::default() }];
    fixture.report(lives, 1, 1, 3, &minute, at(20)).await;
    // The clock of the next server's leases begins anew, and the wall clock does not.
    let boot = |seconds| StoreNow { lease: at(seconds).lease, ..at(1_000 + seconds) };
    let running = move |job, epoch| (job, epoch) == (lives, 1);
    let taken = fixture.store.take_over(Arc::new(running), boot(0)).await.unwrap();
    let running: Vec<_> = taken.running.iter().map(|job| (job.id, job.attempt)).collect();
    assert_eq!((running, taken.lost), (vec![(lives, 1)], vec![gone]));
    assert_eq!(fixture.job(lives).await.status, JobStatus::Recording);
    assert_eq!(fixture.job(gone).await.status, JobStatus::Queued);
    let lease = u64::from(LEASE_SECONDS);
    assert_eq!(fixture.store.reap(boot(lease - 1)).await.unwrap(), []);
    assert_eq!(fixture.store.bot_commands(lives, 1, [1; 32], 0).await.unwrap(), Some(Vec::new()));
    acknowledged(&fixture.report(lives, 1, 1, 4, &minute, boot(lease - 1)).await);
    assert_eq!(fixture.store.reap(boot(2 * lease - 2)).await.unwrap(), []);
    assert_eq!(fixture.store.reap(boot(2 * lease - 1)).await.unwrap(), [lives]);
}

#[tokio::test]
async fn a_restart_of_a_server_keeps_the_jobs_of_workers() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    let Claim::Bot(claimed) =
        fixture.store.claim_for(worker(), [1; 32], all_available(), at(2)).await.unwrap()
    else {
        panic!("it is due")
    };
    assert_eq!((claimed.job.id, claimed.job.attempt), (job.id, 1));
    let reports = [BotReport::Admitted, BotReport::RecordingStarted];
    fixture.report(job.id, 1, 1, 1, &reports, at(3)).await;
    let own = recorded(&fixture).await;
    let boot = |seconds| StoreNow { lease: at(seconds).lease, ..at(1_000 + seconds) };
    let taken = fixture.store.take_over(Arc::new(|_, _| false), boot(0)).await.unwrap();
    assert_eq!(taken, TakenOver { running: Vec::new(), lost: vec![own] });
    assert_eq!(fixture.job(job.id).await.status, JobStatus::Recording);
    let beat = [BotReport::Heartbeat { media: MediaCounters::default() }];
    let lease = u64::from(LEASE_SECONDS);
    acknowledged(&fixture.report(job.id, 1, 1, 3, &beat, boot(lease - 1)).await);
    // It is the server's again with the next claim.
    assert!(fixture.store.release(job.id, 1, boot(lease)).await.unwrap());
    let mut claimed = Vec::new();
    while let Some(one) = fixture.claim(2, boot(lease)).await {
        claimed.push(one.job.id);
    }
    assert!(claimed.contains(&job.id), "{claimed:?}");
    let again = |seconds| StoreNow { lease: at(seconds).lease, ..at(2_000 + seconds) };
    let taken = fixture.store.take_over(Arc::new(|_, _| false), again(0)).await.unwrap();
    assert!(taken.lost.contains(&job.id), "{taken:?}");
}

#[tokio::test]
async fn time_without_a_server_is_not_counted_as_time_in_the_meeting() {
    let fixture = fixture().await;
    let job = recorded(&fixture).await;
    let beat = [BotReport::Heartbeat { media: MediaCounters::default() }];
    for second in 1..=10 {
        fixture.report(job, 1, 1, 2 + second, &beat, at(3 + 5 * second)).await;
    }
    let boot = |seconds| StoreNow { lease: at(seconds).lease, ..at(7_000 + seconds) };
    fixture.store.take_over(Arc::new(|_, _| true), boot(0)).await.unwrap();
    // 50 s with the server before, and 20 s with this one.
    for second in 1..=3 {
        fixture.report(job, 1, 1, 12 + second, &beat, boot(5 * second)).await;
    }
    fixture.report(job, 1, 1, 16, &[ended(Cause::Requested, true)], boot(20)).await;
    let used = fixture.store.used(fixture.tenant, boot(20)).await.unwrap();
    assert_eq!(used.minutes, 2);
}

#[tokio::test]
async fn a_wall_clock_set_back_does_not_delay_a_job_with_a_lost_bot() {
    let fixture = fixture().await;
    let job = recorded(&fixture).await;
    for epoch in 1..=2 {
        assert!(fixture.store.release(job, epoch, at(4)).await.unwrap());
        if epoch == 1 {
            fixture.claim(1, at(4)).await.unwrap();
        }
    }
    fixture.claim(1, at(9)).await.unwrap();
    let back = |seconds| StoreNow {
        wall: Timestamp::from_millis(at(seconds).wall.as_millis() - 3_600_000),
        ..at(seconds)
    };
    assert!(fixture.store.release(job, 3, back(10)).await.unwrap());
    assert!(fixture.claim(1, back(19)).await.is_none());
    assert!(fixture.claim(1, back(20)).await.is_some());
}

#[tokio::test]
async fn a_claim_to_finalise_does_not_wait_for_a_slot() {
    for cancelled in [true, false] {
        let fixture = fixture().await;
        let job = recorded(&fixture).await;
        fixture.store.release(job, 1, at(4)).await.unwrap();
        fixture.claim(1, at(4)).await.unwrap();
        fixture.store.release(job, 2, at(4)).await.unwrap();
        assert!(fixture.claim(1, at(5)).await.is_none());
        if cancelled {
            fixture.store.cancel(fixture.tenant, job, at(5)).await.unwrap().unwrap();
        } else {
            let leave = ControlAction::LeaveCall;
            fixture.store.command(fixture.tenant, job, leave, None, None, at(5)).await.unwrap();
        }
        assert!(fixture.claim(1, at(5)).await.unwrap().finalize.is_some(), "{cancelled}");
    }
}

#[tokio::test]
async fn after_a_permanent_failure_the_next_bot_only_finalises() {
    let fixture = fixture().await;
    let job = recorded(&fixture).await;
    let failure = Failure::new(FailureCode::InternalError, "the disk is full");
    let leaving = BotReport::Leaving { reason: None, failure: Some(failure.clone()) };
    fixture.report(job, 1, 1, 3, &[leaving], at(4)).await;
    fixture.store.release(job, 1, at(5)).await.unwrap();
    let ending = fixture.claim(2, at(5)).await.unwrap().finalize.unwrap();
    assert_eq!(ending, Cause::Failed(failure).ending(true, false));
}

#[tokio::test]
async fn a_job_whose_bots_are_all_lost_while_they_finalise_ends_and_keeps_its_files() {
    let fixture = fixture().await;
    let job = recorded(&fixture).await;
    let leaving = BotReport::Leaving { reason: Some(LeaveReason::Solo), failure: None };
    fixture.report(job, 1, 1, 3, &[leaving], at(4)).await;
    for epoch in 1..=LAST_ATTEMPT {
        let hours = at(u64::from(epoch) * 3_600);
        assert_eq!(fixture.job(job).await.status, JobStatus::Finalizing, "{epoch}");
        assert!(fixture.store.release(job, epoch, hours).await.unwrap());
        let claimed = fixture.claim(2, hours).await;
        assert_eq!(claimed.is_some(), epoch < LAST_ATTEMPT, "{epoch}");
    }
    let ended = fixture.job(job).await;
    assert_eq!((ended.status, ended.manifest_uri), (JobStatus::Failed, None));
    let spooled = async || fixture.store.spooled(job, "w1".to_owned()).await.unwrap();
    assert_eq!(spooled().await, Spooled::Live, "the files on a worker's disk may be all there is");
    fixture.store.delete_recording(fixture.tenant, job, at(9)).await.unwrap().unwrap();
    assert_eq!(spooled().await, Spooled::Deleted);
}

#[tokio::test]
async fn the_recording_of_a_job_whose_next_bot_is_not_recording_yet_can_be_stopped() {
    let given = |commanded: &CommandOutcome| matches!(commanded, CommandOutcome::Accepted(..));
    for paused in [true, false] {
        for action in [
            ControlAction::StopRecording,
            ControlAction::PauseRecording,
            ControlAction::ResumeRecording,
        ] {
            let fixture = fixture().await;
            let job = recorded(&fixture).await;
            if paused {
                fixture.report(job, 1, 1, 3, &[BotReport::RecordingPaused], at(4)).await;
            }
            fixture.store.release(job, 1, at(5)).await.unwrap();
            fixture.claim(2, at(5)).await.unwrap();
            let command = async |now| {
                let action = action.clone();
                fixture.store.command(fixture.tenant, job, action, None, None, now).await.unwrap()
            };
            assert!(!given(&command(at(6)).await), "nobody is in the call");
            fixture.report(job, 2, 2, 1, &[BotReport::Admitted], at(7)).await;
            let commanded = command(at(8)).await;
            assert!(given(&commanded), "{commanded:?}");
        }
    }
}

#[tokio::test]
async fn a_job_that_is_already_ending_keeps_its_ending() {
    let removed = Failure::new(FailureCode::RemovedFromMeeting, "someone took the bot out");
    for (reason, cause, reported) in [
        (
            LeaveReason::MeetingEnded,
            Cause::Left(LeaveReason::MeetingEnded),
            &["completed", "job.finalized"][..],
        ),
        (LeaveReason::Removed, Cause::Removed, &["job.failed"]),
        (LeaveReason::Removed, Cause::Failed(removed), &["job.failed"]),
    ] {
        let fixture = fixture().await;
        let job = recorded(&fixture).await;
        let leaving = BotReport::Leaving { reason: Some(reason.clone()), failure: None };
        fixture.report(job, 1, 1, 3, &[leaving], at(4)).await;
        let shown = fixture.store.cancel(fixture.tenant, job, at(5)).await.unwrap().unwrap();
        assert_eq!((shown.status, shown.leave_reason), (JobStatus::Finalizing, Some(reason)));
        let commands = fixture.store.bot_commands(job, 1, [1; 32], 0).await.unwrap().unwrap();
        assert_eq!(commands, []);
        fixture.report(job, 1, 1, 4, &[ended(cause, true)], at(6)).await;
        let all = fixture.timeline_names(job).await;
        assert_eq!(&all[..4], ["joining", "in_call", "recording", "finalizing"]);
        assert_eq!(&all[4..], reported);
    }
}

#[tokio::test]
async fn a_bot_without_reports_during_an_outage_of_the_store_is_not_late() {
    let fixture = fixture().await;
    let job = recorded(&fixture).await;
    let lease = u64::from(LEASE_SECONDS);
    let report = async |away: Option<u64>, now: u64| {
        let request = IngestRequest { job_id: job, epoch: 1, reports: Vec::new() };
        let away = away.map(|away| at(away).lease);
        let reported = fixture
            .store
            .report(request, [1; 32].into(), Recorded::default(), away, at(now))
            .await
            .unwrap();
        reported != Reported::Superseded
    };
    // It was heard last in second 3.
    assert!(!report(None, 3 + lease).await);
    assert!(!report(Some(3), 3 + lease).await, "the store was back for a whole lease");
    assert!(report(Some(3 + lease), 2 + 2 * lease).await);
    assert!(report(Some(3 + lease), 1 + 3 * lease).await);
    assert!(!report(Some(3 + lease), 1 + 4 * lease).await);
    // Whose lease was ended does not get it back.
    assert!(fixture.store.release(job, 1, at(2 + 4 * lease)).await.unwrap());
    assert!(!report(Some(2 + 4 * lease), 3 + 4 * lease).await);
}
