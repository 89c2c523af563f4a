//! A claim's bots know ways into meetings, and the job's platform may not be among them.

use meetbot_types::{Missing, Platform};

use super::*;

#[test]
fn a_job_whose_platform_became_unavailable_fails_with_the_missing_requirement() {
    let mut available = all_available();
    let way = available.iter_mut().find(|way| way.platform == Platform::Janus).unwrap();
    way.missing.push(Missing { code: "no_cable".into(), message: "plug the cable in".into() });
    let (ending, changes) = queued().claim(TOKEN, &available, at(1));
    let ending = ending.unwrap();
    assert_eq!((ending.status, ending.leave_reason), (JobStatus::Failed, None));
    let failure = ending.failure.unwrap();
    assert_eq!(failure.code, FailureCode::DispatchTimeout);
    assert_eq!(failure.detail, "no bot of this server can join janus any more; plug the cable in");
    // Its bot says that it leaves.
    assert_eq!(reported(&changes), ["joining"]);
    available.retain(|way| way.platform == Platform::Sandbox);
    assert!(queued().claim(TOKEN, &available, at(1)).0.is_some());
    // A second way that lacks nothing is enough.
    available.extend(all_available());
    assert_eq!(queued().claim(TOKEN, &available, at(1)).0, None);
}

#[test]
fn a_leaving_job_ends_normally_if_its_platform_became_unavailable() {
    let (_, mut record) =
        play(&[RECORDS[0].clone(), RECORDS[1].clone(), leaving(LeaveReason::Solo)]);
    record.release(1, at(7)).unwrap();
    let ending = record.claim(TOKEN, &[], at(8)).0.unwrap();
    assert_eq!(
        (ending.status, ending.leave_reason),
        (JobStatus::Completed, Some(LeaveReason::Solo))
    );
}

#[test]
fn a_job_whose_platform_is_available_again_is_joined_again() {
    let mut record = queued();
    assert!(record.claim(TOKEN, &[], at(1)).0.is_some());
    record.release(1, at(2)).unwrap();
    assert_eq!(record.claim(TOKEN, &all_available(), at(9)).0, None);
}
