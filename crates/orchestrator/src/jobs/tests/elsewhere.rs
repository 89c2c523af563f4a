//! A finished recording whose worker is silent.

use super::*;
use crate::jobs::{Upload, UploadChange, quota::Slot};

/// A job whose bot ended so, and whose recording waits on a worker's disk; and its upload.
fn held(cause: Cause) -> (JobRecord, Upload) {
    let (_, mut record) = play(&[&RECORDS[..], &[leaving(LeaveReason::MeetingEnded)]].concat());
    let changes = ends(&mut record, "n", ended(cause, true));
    let Some(UploadChange::Waits(upload)) = changes.upload else { panic!("{changes:?}") };
    (record, upload)
}

fn ends(record: &mut JobRecord, nonce: &str, report: BotReport) -> Changes {
    let recorded =
        Recorded { bytes: None, upload: Some(nonce.to_owned()), spool: Some("w".to_owned()) };
    let report = NumberedReport { seq: record.applied + 1, at: at(9).wall, report };
    record.report(record.epoch, &[report], &TOKEN, &recorded, None, at(9)).1.unwrap()
}

#[test]
fn the_next_bot_finishes_the_recording_and_its_job_ends_as_the_first_one_said() {
    for cause in [
        Cause::Left(LeaveReason::MeetingEnded),
        Cause::Requested,
        Cause::Removed,
        // The last file could not be closed.
        Cause::Failed(Failure::new(FailureCode::InternalError, "why")),
    ] {
        let (mut record, upload) = held(cause);
        assert_eq!(record.finish_elsewhere(&upload, "of another attempt", at(99).wall), None);
        let changes = record.finish_elsewhere(&upload, "n", at(99).wall).unwrap();
        assert_eq!(reported(&changes), ["queued"]);
        assert_eq!((&changes.upload, &changes.end), (&Some(UploadChange::Ended), &None));
        assert_eq!((record.run_at, record.lost()), (at(99).wall, 0), "no bot was lost");
        assert_eq!(record.finish_elsewhere(&upload, "n", at(99).wall), None);

        let billed = upload.ending.failure.as_ref().is_none_or(|failure| failure.code.billed());
        let minutes = if billed { record.metered.minutes() } else { 0 };
        assert_eq!(record.claim(TOKEN, &all_available(), at(99)).0.as_ref(), Some(&upload.ending));
        let Ending { status, leave_reason, failure } = upload.ending.clone();
        let report = BotReport::Ended {
            ending: upload.ending,
            manifest_uri: Some("file:///m.json".into()),
            duration_ms: 20_000,
            paused_ms: 0,
            consent_revoked: false,
        };
        let changes = ends(&mut record, "m", report);
        let Some(UploadChange::Waits(upload)) = changes.upload else { panic!("{changes:?}") };
        assert_eq!((upload.epoch, &*upload.nonce, record.slot()), (2, "m", Slot::None));
        let stored = ("s3://acme/m.json".to_owned(), 7);
        for late in [None, Some(&stored)] {
            assert_eq!(record.end_upload(&upload, "n", late, at(99).wall), None);
        }
        let end =
            record.end_upload(&upload, "m", Some(&stored), at(100).wall).unwrap().end.unwrap();
        assert_eq!((&end.job.status, &end.job.leave_reason), (&status, &leave_reason));
        assert_eq!(end.job.failure_code, failure.map(|failure| failure.code));
        assert_eq!(end.minutes, minutes);
    }
}

#[test]
fn a_job_that_does_not_wait_for_an_upload_is_not_finished_elsewhere() {
    let (mut record, upload) = held(Cause::Requested);
    record.end_upload(&upload, "n", None, at(9).wall).unwrap();
    let (_, mut recording) = play(&RECORDS);
    for record in [&mut record, &mut recording] {
        assert_eq!(record.finish_elsewhere(&upload, "n", at(99).wall), None);
    }
}

#[test]
fn a_cancel_or_a_leave_before_the_second_finish_changes_no_ending() {
    for cause in [Cause::Left(LeaveReason::MeetingEnded), Cause::Requested, Cause::Removed] {
        let (mut record, upload) = held(cause);
        record.finish_elsewhere(&upload, "n", at(99).wall).unwrap();
        assert_eq!(record.cancel(at(100)), None, "its bot has left, and said why");
        let (command, _) = record.command(&ControlAction::LeaveCall, None, at(100)).unwrap();
        assert_eq!(command.state, ControlState::Done);
        let ending = record.claim(TOKEN, &all_available(), at(101)).0.unwrap();
        assert_eq!((record.cancel(at(102)), &ending), (None, &upload.ending));
        ends(&mut record, "m", ended(upload.ending.cause(), true));
        let job = &record.job;
        assert_eq!(
            (&job.status, &job.leave_reason),
            (&JobStatus::Finalizing, &ending.leave_reason)
        );
    }
}
