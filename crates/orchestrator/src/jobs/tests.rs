//! A job's life, verb by verb, without a store.

use meetbot_types::{
    Cause, ControlAction, ControlState, Ending, EventName, Failure, FailureCode, JobStatus,
    LeaveReason, RecordingState,
    bot::{BotReport, IngestAnswer, LEASE_SECONDS, Lobby, NumberedReport},
    event::EventDetails,
};

use super::{
    change::{Changes, MixChange, RoomChange},
    claim::all_available,
    command::{self, CommandChange},
    quota::{MeteredTime, SlotChange},
    record::{JobRecord, MAX_ATTEMPTS, Tenant},
    report::{Recorded, Reported},
    withheld::Withheld,
};
use crate::{
    clock::StoreNow,
    store::contract::{at, link, new_job},
};

mod adopted;
mod availability;
mod consent;
mod elsewhere;
mod given_up;
mod streamed;
mod withheld;

const TOKEN: [u8; 32] = [1; 32];

fn queued() -> JobRecord {
    let now = at(0).wall;
    JobRecord {
        tenant: Tenant { consumer: meetbot_types::ConsumerId::generate(now), live: true },
        job: new_job(at(0)),
        link: link(),
        epoch: 0,
        token_hash: None,
        past_tokens: Vec::new(),
        lease_until: None,
        applied: 0,
        sequence: 0,
        cause: None,
        run_at: now,
        handovers: 0,
        metered: MeteredTime::default(),
        withheld: Withheld::default(),
    }
}

/// A job that a bot has, from second 1 on.
fn claimed() -> JobRecord {
    let mut record = queued();
    let (ending, _) = record.claim(TOKEN, &all_available(), at(1));
    assert_eq!(ending, None);
    record
}

/// Its bot says this, each a second after the one before; answers what follows, and the job.
fn apply_report(record: &mut JobRecord, reports: &[BotReport], now: StoreNow) -> Changes {
    let numbered: Vec<NumberedReport> = (record.applied + 1..)
        .zip(reports)
        .map(|(seq, report)| NumberedReport { seq, at: now.wall, report: report.clone() })
        .collect();
    let (reported, changes) = {
        let recorded = Recorded { bytes: Some(7), ..Recorded::default() };
        record.report(record.epoch, &numbered, &TOKEN, &recorded, None, now)
    };
    assert!(matches!(reported, Reported::Applied(_)), "{reported:?}");
    changes.unwrap_or_default()
}

/// The reported events: statuses, counts of withheld content, and the names of other events.
fn reported(changes: &Changes) -> Vec<String> {
    let name = |emitted: &super::EmittedEvent| match (&emitted.event, &emitted.details) {
        (EventName::StatusChanged, _) => emitted.status.to_string(),
        (_, EventDetails::ChatWithheld { messages, captions }) => {
            format!("withheld {messages} {captions}")
        }
        (event, _) => event.to_string(),
    };
    changes.events.iter().map(name).collect()
}

/// Applies reports to a claimed job, a second apart; returns the events and the job.
fn play(reports: &[BotReport]) -> (Vec<String>, JobRecord) {
    let mut record = queued();
    let mut all = reported(&record.claim(TOKEN, &all_available(), at(1)).1);
    for (second, report) in (2..).zip(reports) {
        all.extend(reported(&apply_report(&mut record, std::slice::from_ref(report), at(second))));
    }
    (all, record)
}

fn ended(cause: Cause, has_media: bool) -> BotReport {
    BotReport::Ended {
        ending: cause.ending(has_media, false),
        manifest_uri: has_media.then(|| "file:///m.json".into()),
        duration_ms: 20_000,
        paused_ms: 0,
        consent_revoked: false,
    }
}

fn leaving(reason: LeaveReason) -> BotReport {
    BotReport::Leaving { reason: Some(reason), failure: None }
}

const RECORDS: [BotReport; 2] = [BotReport::Admitted, BotReport::RecordingStarted];
const PAUSES: [BotReport; 3] =
    [BotReport::Admitted, BotReport::RecordingStarted, BotReport::RecordingPaused];

#[test]
fn a_completed_job_emits_each_status_once_and_then_finalized() {
    let (reported, record) = play(&[
        BotReport::Waiting { lobby: Lobby::WaitingRoom },
        BotReport::Admitted,
        BotReport::RecordingStarted,
        leaving(LeaveReason::MeetingEnded),
        ended(Cause::Left(LeaveReason::MeetingEnded), true),
    ]);
    let expected = ["joining", "in_call", "recording", "finalizing", "completed", "job.finalized"];
    assert_eq!(reported, expected);
    assert_eq!(record.sequence, 6);
    let job = record.job;
    assert_eq!(job.leave_reason, Some(LeaveReason::MeetingEnded));
    assert_eq!(job.manifest_uri.as_deref(), Some("file:///m.json"));
    assert_eq!(job.joined_at, Some(at(3).wall));
    assert_eq!(job.recording.started_at, Some(at(4).wall));
    assert_eq!(job.recording.state, RecordingState::Stopped);
    assert_eq!(job.ended_at, Some(at(6).wall));
}

#[test]
fn a_job_has_a_slot_from_its_first_bot_to_its_end_and_ends_once() {
    let mut record = queued();
    let (_, first) = record.claim(TOKEN, &all_available(), at(1));
    assert_eq!(first.slot, SlotChange { bots: 1, waiting: -1 });
    let lost = record.release(1, at(2)).unwrap();
    assert_eq!((lost.slot, &lost.end), (SlotChange::default(), &None));
    let (_, second) = record.claim(TOKEN, &all_available(), at(3));
    assert_eq!(second.slot, SlotChange::default());
    let mut end = apply_report(&mut record, &RECORDS, at(4));
    assert_eq!((end.slot, end.mix, &end.end), (SlotChange::default(), None, &None));
    end = apply_report(&mut record, &[ended(Cause::Left(LeaveReason::Solo), true)], at(5));
    assert_eq!((end.slot, end.mix), (SlotChange { bots: -1, waiting: 0 }, Some(MixChange::Waits)));
    let ending = end.end.unwrap();
    assert_eq!((ending.minutes, ending.may_have_files()), (1, true));
    assert_eq!((end.rooms, record.lease_until), (vec![RoomChange::Leaves], None));
    let (again, changes) = record.report(2, &[], &TOKEN, &Recorded::default(), None, at(6));
    let answer = IngestAnswer { status: JobStatus::Completed, acknowledged: 3 };
    assert_eq!((again, changes), (Reported::Applied(answer), None));

    let mut never = queued();
    let end = never.expire(None, at(700).wall);
    assert_eq!((end.slot, end.mix), (SlotChange { bots: 0, waiting: -1 }, None));
    assert!(!end.end.unwrap().may_have_files(), "no bot, no files");
}

#[test]
fn a_refused_bot_fails_the_job_with_one_event() {
    let failure = Failure::new(FailureCode::HostDeniedAdmission, "the host said no");
    let (reported, JobRecord { job, .. }) = play(&[ended(Cause::Failed(failure), false)]);
    assert_eq!(reported, ["joining", "job.failed"]);
    assert_eq!(job.failure_code, Some(FailureCode::HostDeniedAdmission));
    assert_eq!(job.leave_reason, Some(LeaveReason::NotAdmitted));
    assert_eq!(job.manifest_uri, None);
}

#[test]
fn a_final_job_ignores_all_further_changes() {
    let end = ended(Cause::Left(LeaveReason::Solo), true);
    let mut record = claimed();
    let reports = [BotReport::Admitted, end.clone(), end, BotReport::Admitted];
    let changes = apply_report(&mut record, &reports, at(2));
    assert_eq!(reported(&changes), ["in_call", "finalizing", "completed", "job.finalized"]);
    assert_eq!(record.job.status, JobStatus::Completed);
    assert_eq!(record.cancel(at(3)), None);
    assert_eq!(record.release(1, at(3)), None);
    assert_eq!(record.command(&ControlAction::LeaveCall, None, at(3)), None);
}

#[test]
fn each_report_is_applied_once_and_in_order() {
    let mut record = claimed();
    let numbered = |seq| NumberedReport { seq, at: at(2).wall, report: BotReport::Admitted };
    let mut report = |seqs: &[u64]| {
        let reports: Vec<_> = seqs.iter().copied().map(numbered).collect();
        let (reported, changes) =
            record.report(1, &reports, &TOKEN, &Recorded::default(), None, at(2));
        let Reported::Applied(answer) = reported else { panic!("{reported:?}") };
        (answer.acknowledged, changes.unwrap().events.len())
    };
    assert_eq!(report(&[2]), (0, 0), "the first was lost on the way");
    assert_eq!(report(&[1, 1, 2]), (2, 1));
    assert_eq!(report(&[1, 2]), (2, 0), "the answer was lost");
    assert_eq!(record.job.status, JobStatus::InCall);
}

#[test]
fn only_reports_of_the_current_attempt_are_applied_and_only_during_its_lease() {
    let lease = u64::from(LEASE_SECONDS);
    let mut second = claimed();
    second.release(1, at(2)).unwrap();
    second.claim([2; 32], &all_available(), at(3));
    for (record, epoch, token, away, now, expected) in [
        (claimed(), 1, 1, None, lease, true),
        (claimed(), 1, 1, None, 1 + lease, false),
        (claimed(), 1, 1, Some(2), 1 + lease, true),
        (claimed(), 1, 1, Some(2), 2 + lease, false),
        (second.clone(), 1, 1, None, 4, false),
        (second.clone(), 2, 2, None, 4, true),
    ] {
        let mut heard = record.clone();
        let token = [token; 32];
        let (reported, changes) = heard.report(
            epoch,
            &[],
            &token,
            &Recorded::default(),
            away.map(|away| at(away).lease),
            at(now),
        );
        let what = format!("attempt {epoch} at {now} s, away at {away:?}: {reported:?}");
        assert_eq!(matches!(reported, Reported::Applied(_)), expected, "{what}");
        assert!(expected || reported == Reported::Superseded, "{what}");
        assert!(expected || (heard == record && changes.is_none()), "{what}");
    }
    for (epoch, token) in [(2, 1), (3, 2), (1, 9), (0, 9), (2, 9)] {
        let heard = second.report(epoch, &[], &[token; 32], &Recorded::default(), None, at(4));
        assert_eq!(heard, (Reported::Unknown, None), "attempt {epoch}, token {token}");
    }
}

#[test]
fn the_next_bot_continues_after_a_lost_one() {
    let (_, mut record) = play(&RECORDS);
    let lost = record.release(1, at(9)).unwrap();
    assert_eq!(reported(&lost), ["queued"]);
    assert_eq!(record.job.status_detail.as_deref(), Some("reconnecting"));
    assert_eq!(record.release(1, at(9)), None, "it is gone already");
    record.claim(TOKEN, &all_available(), at(9));
    apply_report(&mut record, &RECORDS, at(10));
    let job = record.job;
    assert_eq!((job.status, job.attempt), (JobStatus::Recording, 2));
    assert_eq!(job.recording.started_at, Some(at(3).wall));
    assert_eq!(job.joined_at, Some(at(2).wall));
}

#[test]
fn the_pause_grows_while_bots_are_lost_at_once() {
    let mut record = queued();
    let mut waits = Vec::new();
    let mut now = at(1);
    for epoch in 1..=MAX_ATTEMPTS {
        record.claim(TOKEN, &all_available(), now);
        record.release(epoch, now).unwrap();
        waits.push(record.run_at.millis_since(now.wall) / 1000);
        now = StoreNow { wall: record.run_at, ..now };
    }
    assert_eq!(waits, [0, 5, 10, 20, 40]);

    record.claim(TOKEN, &all_available(), now);
    let later = StoreNow { wall: now.wall + std::time::Duration::from_hours(1), ..now };
    record.release(MAX_ATTEMPTS + 1, later).unwrap();
    assert_eq!(record.run_at, later.wall, "one that lived for longer is replaced at once");
}

#[test]
fn a_bot_that_was_handed_over_or_died_with_its_server_is_replaced_at_once() {
    let mut record = queued();
    for epoch in 1..=MAX_ATTEMPTS {
        record.claim(TOKEN, &all_available(), at(1));
        record.hand_over(epoch, at(2)).unwrap();
        assert_eq!((record.run_at, record.lost()), (at(2).wall, 0));
    }
    record.claim(TOKEN, &all_available(), at(3));
    record.died_with_server(at(4));
    assert_eq!((record.run_at, record.lost()), (at(4).wall, 1));
}

#[test]
fn a_pause_outlives_a_lost_bot() {
    let (_, mut record) = play(&PAUSES);
    record.release(1, at(9)).unwrap();
    record.claim(TOKEN, &all_available(), at(9));
    apply_report(&mut record, &[BotReport::Admitted], at(9));
    let job = &record.job;
    assert_eq!(
        (job.status.as_str(), job.status_detail.as_deref(), job.recording.state.as_str()),
        ("in_call", Some("paused"), "paused")
    );
    let resumed = [BotReport::RecordingResumed { paused_ms: 6000 }, BotReport::RecordingStarted];
    apply_report(&mut record, &resumed, at(9));
    let job = record.job;
    assert_eq!((job.status.as_str(), job.recording.state.as_str()), ("recording", "on"));
    assert_eq!((job.status_detail, job.recording.paused_ms), (None, 6000));
}

#[test]
fn paused_time_is_counted_however_the_pause_ends() {
    let stopped = BotReport::RecordingStopped { paused_ms: 700 };
    let (reported, JobRecord { job, .. }) = play(&[&PAUSES[..], &[stopped]].concat());
    assert_eq!(reported, ["joining", "in_call", "recording", "in_call"]);
    assert_eq!((job.recording.state, job.recording.paused_ms), (RecordingState::Stopped, 700));

    let mut end = ended(Cause::Left(LeaveReason::Requested), true);
    if let BotReport::Ended { paused_ms, .. } = &mut end {
        *paused_ms = 900;
    }
    let leaves = [leaving(LeaveReason::Requested), end];
    let (_, record) = play(&[&PAUSES[..], &leaves].concat());
    assert_eq!(record.job.recording.paused_ms, 900);
}

#[test]
fn a_cancelled_job_ends_cancelled_for_any_report_of_its_bot() {
    let (_, mut record) = play(&RECORDS);
    let cancelled = record.cancel(at(9)).unwrap();
    assert_eq!(record.job.status, JobStatus::Finalizing);
    assert!(
        matches!(&cancelled.commands[..], [CommandChange::Issued { command, .. }]
            if command.action == ControlAction::Cancel && command.state == ControlState::Pending),
        "{cancelled:?}"
    );
    assert_eq!(record.cancel(at(9)), None, "it is cancelled");
    let says = [leaving(LeaveReason::Solo), ended(Cause::Left(LeaveReason::MeetingEnded), true)];
    let end = apply_report(&mut record, &says, at(10));
    assert_eq!(reported(&end), ["cancelled"]);
    assert_eq!(end.commands, [CommandChange::Settled(command::ON_JOB_END)]);
    assert_eq!(record.job.leave_reason, Some(LeaveReason::Cancelled));
    assert_eq!(record.job.manifest_uri.as_deref(), Some("file:///m.json"));
}

#[test]
fn the_next_bot_ends_the_job_with_the_cause_of_the_lost_one() {
    type Action = fn(&mut JobRecord) -> Option<Changes>;
    let asked: Action =
        |record| Some(record.command(&ControlAction::LeaveCall, None, at(4)).unwrap().1);
    let alone: Action = |record| Some(apply_report(record, &[leaving(LeaveReason::Solo)], at(5)));
    let full: Action = |record| {
        let failure = Failure::new(FailureCode::InternalError, "the disk is full");
        let leaving = BotReport::Leaving { reason: None, failure: Some(failure) };
        Some(apply_report(record, &[leaving], at(5)))
    };
    let cancelled: Action = |record| record.cancel(at(6));
    for (what, before, status, reason) in [
        ("asked", &[asked][..], JobStatus::Completed, Some(LeaveReason::Requested)),
        ("alone", &[alone], JobStatus::Completed, Some(LeaveReason::Solo)),
        ("full", &[full], JobStatus::Failed, None),
        ("cancelled", &[cancelled], JobStatus::Cancelled, Some(LeaveReason::Cancelled)),
        ("asked, alone", &[asked, alone], JobStatus::Completed, Some(LeaveReason::Requested)),
        (
            "asked, cancelled",
            &[asked, cancelled],
            JobStatus::Cancelled,
            Some(LeaveReason::Cancelled),
        ),
        (
            "alone, cancelled too late",
            &[alone, cancelled],
            JobStatus::Completed,
            Some(LeaveReason::Solo),
        ),
    ] {
        let (_, mut record) = play(&RECORDS);
        for act in before {
            act(&mut record);
        }
        record.release(1, at(7)).unwrap();
        let (ending, changes) = record.claim(TOKEN, &all_available(), at(8));
        let ending = ending.expect(what);
        assert_eq!((&ending.status, &ending.leave_reason), (&status, &reason), "{what}");
        assert_eq!(reported(&changes), ["joining", "finalizing"], "{what}");
        let (manifest_uri, duration_ms) = (Some("file:///m.json".into()), 1);
        let consent_revoked = false;
        let end =
            BotReport::Ended { ending, manifest_uri, duration_ms, paused_ms: 0, consent_revoked };
        apply_report(&mut record, &[end], at(9));
        assert_eq!((record.job.status, record.job.leave_reason), (status, reason), "{what}");
    }
}

#[test]
fn in_the_queue_cancel_and_leave_end_at_once() {
    let (mut cancelled, mut left) = (queued(), queued());
    let changes = cancelled.cancel(at(5)).unwrap();
    let settled = || CommandChange::Settled(command::ON_JOB_END);
    assert_eq!(changes.commands, [settled()], "there is no bot to tell");
    let (command, changes) = left.command(&ControlAction::LeaveCall, None, at(5)).unwrap();
    assert_eq!(command.state, ControlState::Done);
    let given = CommandChange::Issued { command, message: None };
    assert_eq!(changes.commands, [given, settled()]);
    assert_eq!(cancelled.job.leave_reason, Some(LeaveReason::Cancelled));
    assert_eq!(left.job.leave_reason, Some(LeaveReason::Requested));
    assert!([cancelled, left].iter().all(|one| one.job.status == JobStatus::Cancelled));
}

#[test]
fn a_job_whose_lost_bot_recorded_leaves_the_queue_by_one_that_only_finalises() {
    for action in ["cancel", "leave"] {
        let (_, mut record) = play(&RECORDS);
        for epoch in 1..=3 {
            record.release(epoch, at(4)).unwrap();
            record.claim(TOKEN, &all_available(), at(5));
        }
        record.release(4, at(5)).unwrap();
        assert!(record.run_at > at(6).wall, "it waits");
        let changes = if action == "cancel" {
            record.cancel(at(6)).unwrap()
        } else {
            record.command(&ControlAction::LeaveCall, None, at(6)).unwrap().1
        };
        assert_eq!((reported(&changes), record.run_at), (Vec::new(), at(6).wall), "{action}");
        assert!(record.claim(TOKEN, &all_available(), at(6)).0.is_some(), "{action}");
    }
}

#[test]
fn a_command_changes_nothing_but_the_commands_unless_the_bot_is_to_leave() {
    let (_, mut record) = play(&RECORDS);
    let before = record.clone();
    let text = Some("hello".to_owned());
    let (command, changes) =
        record.command(&ControlAction::SendChatMessage, text.clone(), at(5)).unwrap();
    let commands = vec![CommandChange::Issued { command, message: text }];
    assert_eq!(changes, Changes { commands, ..Changes::default() });
    assert_eq!(record, before);
    let (_, changes) = record.command(&ControlAction::LeaveCall, None, at(5)).unwrap();
    assert!(changes.record && record.cause == Some(Cause::Requested));
}

#[test]
fn after_the_last_attempt_only_the_disk_is_finalised() {
    let (_, mut record) = play(&RECORDS);
    for epoch in 1..MAX_ATTEMPTS {
        record.release(epoch, at(9)).unwrap();
        assert_eq!(record.claim(TOKEN, &all_available(), at(9)).0, None);
    }
    record.release(MAX_ATTEMPTS, at(9)).unwrap();
    let ending = record.claim(TOKEN, &all_available(), at(9)).0.unwrap();
    assert_eq!(ending.status, JobStatus::Failed);
    assert_eq!(ending.failure.unwrap().code, FailureCode::InternalError);
}

#[test]
fn a_restored_job_that_had_a_bot_ends_with_what_it_has_recorded() {
    let (_, mut silent) = play(&[BotReport::Admitted]);
    let end = silent.end_after_restore(at(9).wall);
    assert_eq!((reported(&end), end.end.is_some()), (vec!["job.failed".to_owned()], true));
    let (_, mut recorded) = play(&RECORDS);
    let lost = recorded.end_after_restore(at(9).wall);
    assert_eq!((reported(&lost), recorded.lease_until), (vec!["queued".to_owned()], None));
    let ending = recorded.claim(TOKEN, &all_available(), at(9)).0.unwrap();
    assert_eq!(ending.status, JobStatus::Failed);
}

#[test]
fn a_recording_is_deleted_once_and_only_after_the_end() {
    let (_, mut record) = play(&RECORDS);
    assert_eq!(record.delete_recording(at(5).wall), None);
    apply_report(&mut record, &[ended(Cause::Left(LeaveReason::Solo), true)], at(6));
    let deleted = record.delete_recording(at(7).wall).unwrap();
    assert_eq!((deleted.mix, deleted.end), (Some(MixChange::Dropped), None));
    assert_eq!((record.job.manifest_uri.clone(), record.lease_until), (None, None));
    assert_eq!(record.delete_recording(at(8).wall), None);
}

#[test]
fn a_bots_clock_cannot_run_ahead_of_the_servers() {
    let mut record = claimed();
    let ahead = NumberedReport { seq: 1, at: at(99).wall, report: BotReport::Admitted };
    record.report(1, &[ahead], &TOKEN, &Recorded::default(), None, at(2));
    assert_eq!(record.job.joined_at, Some(at(2).wall));
}

#[test]
fn a_report_of_another_version_changes_nothing() {
    let unknown = BotReport::Unreadable { kind: "moved".into() };
    let (reported, record) = play(&[BotReport::Admitted, unknown]);
    assert_eq!(reported, ["joining", "in_call"]);
    assert_eq!(record.job.updated_at, at(2).wall);
}

#[test]
fn commands_that_must_not_run_twice_expire_with_a_lost_bot() {
    let (_, mut record) = play(&[BotReport::Admitted]);
    let lost = record.release(1, at(5)).unwrap();
    assert_eq!(lost.commands, [CommandChange::Settled(command::ON_BOT_LOST)]);
    assert_eq!(lost.rooms, [RoomChange::Leaves]);
}
