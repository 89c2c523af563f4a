//! Bots that are lost while they finalise a recording.

use meetbot_types::bot::LAST_ATTEMPT;

use super::*;

/// So many bots of a job are lost, one after the other.
fn lost(record: &mut JobRecord, bots: u32) -> Changes {
    for _ in 1..bots {
        record.release(record.epoch, at(9)).unwrap();
        record.claim(TOKEN, &all_available(), at(9));
    }
    record.release(record.epoch, at(9)).unwrap()
}

#[test]
fn a_job_whose_bot_was_lost_while_it_finalised_keeps_its_ending_when_it_is_cancelled() {
    let (_, mut record) = play(&[&RECORDS[..], &[leaving(LeaveReason::Solo)]].concat());
    record.release(1, at(9)).unwrap();
    assert_eq!(record.cancel(at(9)), None);
    let ending = record.claim(TOKEN, &all_available(), at(9)).0.unwrap();
    assert_eq!(ending, Cause::Left(LeaveReason::Solo).ending(true, false));

    // Where nothing was recorded, nothing is to be finalised, and no bot may come.
    let (_, mut silent) = play(&[BotReport::Admitted, leaving(LeaveReason::Solo)]);
    silent.release(1, at(9)).unwrap();
    silent.cancel(at(9)).unwrap();
    assert_eq!(silent.job.status, JobStatus::Cancelled);
}

#[test]
fn a_job_whose_recording_no_bot_can_finish_ends_after_the_last_attempt() {
    let (_, mut left) = play(&[&RECORDS[..], &[leaving(LeaveReason::Solo)]].concat());
    let (_, mut recording) = play(&RECORDS);
    let mut cancelled = recording.clone();
    cancelled.cancel(at(8)).unwrap();
    for (record, status) in [
        (&mut left, JobStatus::Failed),
        (&mut recording, JobStatus::Failed),
        (&mut cancelled, JobStatus::Cancelled),
    ] {
        let changes = lost(record, LAST_ATTEMPT - 1);
        assert_eq!((&record.job.status, changes.end), (&JobStatus::Queued, None));
        record.claim(TOKEN, &all_available(), at(9));
        // Its server stops: that is no lost bot.
        record.hand_over(LAST_ATTEMPT, at(9)).unwrap();
        record.claim(TOKEN, &all_available(), at(9));
        let changes = record.release(LAST_ATTEMPT + 1, at(9)).unwrap();
        let end = changes.end.expect("it has ended");
        assert_eq!((&end.job.status, changes.mix), (&status, None));
        assert_eq!((&end.job.manifest_uri, end.job.recording.deleted_at), (&None, None));
        assert!(record.has_lost_recording());
        assert_eq!(record.release(LAST_ATTEMPT + 1, at(9)), None);
    }
    assert_eq!(left.job.failure_code, Some(FailureCode::InternalError));
}
