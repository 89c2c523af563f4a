//! Bots whose claim the database has forgotten.

use meetbot_types::{JobId, bot::Secret};

use super::*;
use crate::jobs::{BotCredentials, sign_claim};

fn numbered(first: u64, reports: &[BotReport]) -> Vec<NumberedReport> {
    let number = |(seq, report): (u64, &BotReport)| NumberedReport {
        seq,
        at: at(3).wall,
        report: report.clone(),
    };
    (first..).zip(reports).map(number).collect()
}

fn adopt(record: &mut JobRecord, epoch: u32, reports: &[NumberedReport]) -> (u64, Option<Changes>) {
    assert!(record.adopts(epoch));
    let adopted = record.adopt(epoch, reports, TOKEN, &Recorded::default(), at(4));
    let (Reported::Applied(answer), changes) = adopted else { panic!("{adopted:?}") };
    assert_eq!(answer.status, record.job.status);
    (answer.acknowledged, changes)
}

#[test]
fn a_job_is_as_if_its_claim_and_the_reports_of_its_bot_had_not_been_forgotten() {
    let mut known = claimed();
    let mut events = vec!["joining".to_owned()];
    let (_, changes) =
        known.report(1, &numbered(1, &RECORDS), &TOKEN, &Recorded::default(), None, at(4));
    events.extend(reported(&changes.unwrap()));

    let mut forgotten = JobRecord { tenant: known.tenant, job: known.job.clone(), ..queued() };
    forgotten.job = new_job(at(0));
    forgotten.job.id = known.job.id;
    let (acknowledged, changes) = adopt(&mut forgotten, 1, &numbered(1, &RECORDS));
    let changes = changes.unwrap();
    assert_eq!(acknowledged, 2);
    assert_eq!((reported(&changes), forgotten), (events, known));
    assert_eq!(changes.slot, SlotChange { bots: 1, waiting: -1 });
}

#[test]
fn without_its_first_report_a_bot_is_asked_for_all_of_them() {
    let before = queued();
    for reports in [&[][..], &numbered(2, &RECORDS), &numbered(900, &RECORDS)] {
        let mut record = before.clone();
        assert_eq!(adopt(&mut record, 1, reports), (0, None));
        assert_eq!(record, before);
    }
}

#[test]
fn the_bot_before_an_adopted_one_was_lost() {
    let mut record = queued();
    record.claim([9; 32], &all_available(), at(1));
    record.report(1, &numbered(1, &RECORDS), &[9; 32], &Recorded::default(), None, at(2));
    let (_, changes) = adopt(&mut record, 3, &numbered(1, &[BotReport::Admitted]));
    let changes = changes.unwrap();
    assert_eq!(reported(&changes), ["queued", "joining", "in_call"]);
    assert_eq!(changes.rooms, [RoomChange::Leaves]);
    assert_eq!(changes.commands, [CommandChange::Settled(command::ON_BOT_LOST)]);
    assert_eq!(changes.slot, SlotChange::default());
    assert_eq!((record.epoch, record.job.attempt, record.applied), (3, 3, 1));
    let late = record.report(1, &[], &[9; 32], &Recorded::default(), None, at(4));
    assert_eq!(late, (Reported::Superseded, None));
    let known = record.report(3, &[], &TOKEN, &Recorded::default(), None, at(4));
    assert!(matches!(known, (Reported::Applied(_), Some(_))), "{known:?}");
}

#[test]
fn a_bot_of_a_known_attempt_or_of_a_job_whose_end_is_decided_is_not_adopted() {
    let record = claimed();
    assert!(!record.adopts(0) && !record.adopts(1) && record.adopts(2));
    let mut cancelled = record.clone();
    cancelled.cancel(at(2)).unwrap();
    let (_, ended) = play(&[ended(Cause::Requested, false)]);
    let (_, mut leaves) = play(&[&RECORDS[..], &[leaving(LeaveReason::MeetingEnded)]].concat());
    leaves.release(1, at(9)).unwrap();
    assert_eq!(leaves.job.status, JobStatus::Queued);
    for record in [cancelled, ended, leaves] {
        assert!(!record.adopts(2), "{record:?}");
    }
}

#[test]
fn credentials_prove_one_attempt_at_one_job_with_one_token_to_one_store() {
    let secret = Secret::new("s");
    let job = JobId::generate(at(1).wall);
    let signature = sign_claim(&secret, job, 2, &TOKEN).expose().to_owned();
    let shown = BotCredentials { token_hash: TOKEN, claim_signature: Some(signature) };
    assert!(shown.prove_claim(&secret, job, 2));
    assert!(!shown.prove_claim(&Secret::new("another"), job, 2));
    assert!(!shown.prove_claim(&secret, JobId::generate(at(2).wall), 2));
    assert!(!shown.prove_claim(&secret, job, 3));
    assert!(!BotCredentials { token_hash: [9; 32], ..shown }.prove_claim(&secret, job, 2));
    assert!(!BotCredentials::from(TOKEN).prove_claim(&secret, job, 2));
}
