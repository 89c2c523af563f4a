//! What can be asked of a bot in a meeting, and its answer.

use serde::{Deserialize, Serialize};

use crate::{CommandId, JobId, JobStatus, Recording, Timestamp};

/// The longest chat message, in characters.
pub const MAX_CHAT_CHARACTERS: usize = 4_000;

words! {
    /// What a bot is asked to do.
    pub enum ControlAction {
        /// Ask the host for permission to record.
        RequestRecordingPermission = "request_recording_permission",
        /// Record nothing until resumed.
        PauseRecording = "pause_recording",
        /// Go on recording.
        ResumeRecording = "resume_recording",
        /// Stop recording for good; the bot stays.
        StopRecording = "stop_recording",
        /// Leave the call and finish the recording.
        LeaveCall = "leave_call",
        /// Write a message into the meeting's chat.
        SendChatMessage = "send_chat_message",
        /// Leave because the job was cancelled (not a call of its own: `DELETE /api/v1/jobs/{id}`).
        Cancel = "cancel",
    }
}

words! {
    /// How far a bot has come with what it was asked.
    pub enum ControlState {
        /// Done.
        Done = "done",
        /// Not answered yet.
        Pending = "pending",
        /// Refused by the meeting or its host.
        Denied = "denied",
        /// Its bot died, or its job ended, before it was done. A chat message or a request to the host may have been sent all the same.
        Expired = "expired",
    }
}

/// What to write into the chat: the body of `POST …/send-chat-message`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChatRequest {
    /// 1 to 4000 characters, at least one of them visible.
    #[cfg_attr(
        feature = "openapi",
        schema(max_length = 4000, pattern = r"\S", format = "visible-text")
    )]
    pub message: String,
}

/// The answer to a control call (`RequestRecordingPermissionResult` in the SDKs).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControlResult {
    /// The job.
    pub job_id: JobId,
    /// The command.
    pub command_id: CommandId,
    /// What was asked.
    pub action: ControlAction,
    /// How far it has come.
    pub state: ControlState,
    /// The job's status now.
    pub status: JobStatus,
    /// The job's recording now.
    pub recording: Recording,
    /// When it was asked.
    pub requested_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
}
