//! How a job ends: the rule from a bot's ending to the final status.

use serde::{Deserialize, Serialize};

use crate::{Failure, FailureCode, JobStatus, LeaveReason};

/// Why a bot's work in the meeting came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "cause", content = "with")]
pub enum Cause {
    /// The meeting was over, or a leave rule applied (`silence`, `solo`, `max_duration`, `bot_detected`).
    Left(LeaveReason),
    /// Someone called leave-call.
    Requested,
    /// The job was cancelled.
    Cancelled,
    /// Someone took the bot out.
    Removed,
    /// The bot could not go on, or never came in.
    Failed(Failure),
}

/// The end of a job as the bot reports it and the server stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// The final status.
    pub status: JobStatus,
    /// Why the bot left, where it was in the meeting or at its door.
    pub leave_reason: Option<LeaveReason>,
    /// Why the job failed, where it did.
    pub failure: Option<Failure>,
}

impl Ending {
    /// A cause that leads to this end where something was recorded.
    pub fn cause(&self) -> Cause {
        match (&self.status, &self.failure, &self.leave_reason) {
            (JobStatus::Cancelled, _, _) => Cause::Cancelled,
            (JobStatus::Failed, _, Some(LeaveReason::Removed)) => Cause::Removed,
            (JobStatus::Failed, Some(failure), _) => Cause::Failed(failure.clone()),
            (_, _, reason) => Cause::Left(reason.clone().unwrap_or(LeaveReason::MeetingEnded)),
        }
    }
}

impl Cause {
    /// The end of a job: `has_media` is whether any packet is on disk, `denied` whether the host refused the recording.
    pub fn ending(self, has_media: bool, denied: bool) -> Ending {
        let failed = |leave_reason, failure| Ending {
            status: JobStatus::Failed,
            leave_reason,
            failure: Some(failure),
        };
        let cancelled = |leave_reason| Ending {
            status: JobStatus::Cancelled,
            leave_reason: Some(leave_reason),
            failure: None,
        };
        match self {
            Self::Cancelled => cancelled(LeaveReason::Cancelled),
            Self::Requested if !has_media => cancelled(LeaveReason::Requested),
            Self::Removed => failed(
                Some(LeaveReason::Removed),
                Failure::new(
                    FailureCode::RemovedFromMeeting,
                    "the bot was removed from the meeting",
                ),
            ),
            Self::Failed(failure) => {
                let at_the_door = matches!(
                    failure.code,
                    FailureCode::LobbyTimeout
                        | FailureCode::WaitingForHost
                        | FailureCode::HostDeniedAdmission
                );
                failed(at_the_door.then_some(LeaveReason::NotAdmitted), failure)
            }
            Self::Left(reason) if !has_media && denied => failed(
                Some(reason),
                Failure::new(
                    FailureCode::RecordingDisabled,
                    "the host did not permit the recording",
                ),
            ),
            Self::Left(reason) if !has_media => failed(
                Some(reason),
                Failure::new(
                    FailureCode::MeetingEnded,
                    "the meeting was over before anything was recorded",
                ),
            ),
            Self::Left(reason) => {
                Ending { status: JobStatus::Completed, leave_reason: Some(reason), failure: None }
            }
            Self::Requested => Ending {
                status: JobStatus::Completed,
                leave_reason: Some(LeaveReason::Requested),
                failure: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cause: Cause, has_media: bool, denied: bool, expected: &str) {
        let ending = cause.ending(has_media, denied);
        let words = [
            Some(ending.status.to_string()),
            ending.leave_reason.map(|reason| reason.to_string()),
            ending.failure.map(|failure| failure.code.to_string()),
        ];
        assert_eq!(
            words.into_iter().map(|word| word.unwrap_or("-".into())).collect::<Vec<_>>().join(" "),
            expected
        );
    }

    #[test]
    fn a_bot_that_left_with_a_recording_completes_its_job() {
        check(Cause::Left(LeaveReason::Silence), true, false, "completed silence -");
        check(Cause::Left(LeaveReason::MeetingEnded), true, false, "completed meeting_ended -");
        check(Cause::Requested, true, false, "completed requested -");
    }

    #[test]
    fn nothing_recorded_never_completes() {
        check(Cause::Left(LeaveReason::Solo), false, false, "failed solo meeting_ended");
        check(
            Cause::Left(LeaveReason::MeetingEnded),
            false,
            true,
            "failed meeting_ended recording_disabled",
        );
        check(Cause::Requested, false, false, "cancelled requested -");
    }

    #[test]
    fn a_recording_does_not_change_a_kick_a_cancel_or_a_failure() {
        for has_media in [false, true] {
            check(Cause::Removed, has_media, false, "failed removed removed_from_meeting");
            check(Cause::Cancelled, has_media, false, "cancelled cancelled -");
            let denied = Failure::new(FailureCode::HostDeniedAdmission, "");
            check(
                Cause::Failed(denied),
                has_media,
                false,
                "failed not_admitted host_denied_admission",
            );
            check(
                Cause::Failed(Failure::new(FailureCode::NetworkLoss, "")),
                has_media,
                false,
                "failed - network_loss",
            );
        }
    }

    #[test]
    fn the_end_of_a_recording_has_a_cause_that_leads_to_it_again() {
        let failures = [FailureCode::NetworkLoss, FailureCode::HostDeniedAdmission];
        let failures = failures.map(|code| Cause::Failed(Failure::new(code, "why")));
        let reasons = LeaveReason::ALL.iter().cloned().map(Cause::Left);
        let causes = [Cause::Requested, Cause::Cancelled, Cause::Removed].into_iter();
        for cause in causes.chain(failures).chain(reasons) {
            let ending = cause.ending(true, false);
            assert_eq!(ending.cause().ending(true, false), ending);
        }
    }
}
