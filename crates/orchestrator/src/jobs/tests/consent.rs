//! The host withdraws the consent to a recording.

use super::*;

#[test]
fn a_job_whose_consent_was_withdrawn_fails_without_a_recording() {
    let (_, mut record) = play(&RECORDS);
    let failure = Failure::new(FailureCode::RecordingDisabled, "the host withdrew the consent");
    let mut end = ended(Cause::Failed(failure), true);
    if let BotReport::Ended { consent_revoked, .. } = &mut end {
        *consent_revoked = true;
    }
    let changes = apply_report(&mut record, &[end], at(6));
    let job = &record.job;
    assert_eq!(
        (&job.status, &job.failure_code),
        (&JobStatus::Failed, &Some(FailureCode::RecordingDisabled))
    );
    assert_eq!(job.recording.deleted_at, Some(at(6).wall));
    assert_eq!((&job.manifest_uri, changes.mix), (&None, None));
    assert_eq!(record.delete_recording(at(8).wall), None, "it is deleted already");
}
