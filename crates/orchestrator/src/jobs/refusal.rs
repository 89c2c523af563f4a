//! Why a job's state does not allow a command.

use meetbot_types::{ControlAction, Job, JobStatus, RecordingState};

/// The sentence of the error.
pub(crate) fn refusal(action: &ControlAction, job: &Job) -> String {
    let status = &job.status;
    let (why, until) = match status {
        JobStatus::Finalizing => {
            (format!("the bot is leaving the meeting (the job is {status})"), "any more")
        }
        ended if ended.is_final() && job.joined_at.is_some() => {
            (format!("the bot has left the meeting (the job is {status})"), "any more")
        }
        ended if ended.is_final() => {
            (format!("the job is {status}, and no bot was in the meeting"), "any more")
        }
        JobStatus::InCall | JobStatus::Recording => match &job.recording.state {
            RecordingState::Stopped => {
                ("the recording was stopped for good".to_owned(), "any more")
            }
            state => (format!("nothing is recorded yet (the recording is {state})"), "yet"),
        },
        _ => (format!("the bot is not in the meeting (the job is {status})"), "yet"),
    };
    format!("{why}: {action} is not possible {until}")
}

#[cfg(test)]
mod tests {
    use meetbot_types::Timestamp;
    use xtask::spec_file;

    use super::*;

    fn queued() -> Job {
        let vectors = spec_file::read_json("spec/vectors/models.json");
        serde_json::from_value(vectors["cases"][0]["json"].clone()).unwrap()
    }

    #[test]
    fn each_refusal_names_the_status_and_the_action() {
        let joined = Some(Timestamp::UNIX_EPOCH);
        let cases = [
            (JobStatus::Queued, None, RecordingState::Off, ControlAction::PauseRecording),
            (JobStatus::InCall, joined, RecordingState::Off, ControlAction::PauseRecording),
            (JobStatus::InCall, joined, RecordingState::Stopped, ControlAction::ResumeRecording),
            (JobStatus::Finalizing, joined, RecordingState::On, ControlAction::SendChatMessage),
            (JobStatus::Completed, joined, RecordingState::On, ControlAction::LeaveCall),
            (JobStatus::Cancelled, None, RecordingState::Off, ControlAction::LeaveCall),
        ];
        let sentences = cases.map(|(status, joined_at, state, action)| {
            let mut job = Job { status, joined_at, ..queued() };
            job.recording.state = state;
            refusal(&action, &job)
        });
        let expected = [
            "the bot is not in the meeting (the job is queued): pause_recording is not possible yet",
            "nothing is recorded yet (the recording is off): pause_recording is not possible yet",
            "the recording was stopped for good: resume_recording is not possible any more",
            "the bot is leaving the meeting (the job is finalizing): send_chat_message is not possible any more",
            "the bot has left the meeting (the job is completed): leave_call is not possible any more",
            "the job is cancelled, and no bot was in the meeting: leave_call is not possible any more",
        ];
        assert_eq!(sentences, expected);
    }
}
