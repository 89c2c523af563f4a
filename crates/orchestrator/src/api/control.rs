//! The control verbs: asked of the bot, answered when it has done them.

use std::time::Duration;

use axum::{body::Body, http::HeaderMap, response::Response};
use meetbot_types::{
    CommandId, ControlAction, ControlResult, ControlState, ErrorBody, Issue, JobId,
    control::MAX_CHAT_CHARACTERS,
};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    caller::Caller,
    error::ApiError,
    jobs::{job_id, no_job},
    request::{BODY_LIMIT, JsonBody, Named, again, json, not_json, once, read_idle_body},
};
use crate::{
    jobs::control_result,
    store::{Commanded, KeptAnswer, Tenant},
};

/// How long a call waits for the bot; after that the answer is 202.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look when no poke comes.
const POLL: Duration = Duration::from_millis(500);

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(request_recording_permission))
        .routes(routes!(pause_recording))
        .routes(routes!(resume_recording))
        .routes(routes!(stop_recording))
        .routes(routes!(leave_call))
        .routes(routes!(send_chat_message))
}

/// Ask the host for permission to record.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/request-recording-permission", tag = "control", params(("id" = JobId, Path)),
    responses(
        (status = 200, description = "Done", body = ControlResult),
        (status = 202, description = "The bot has not answered yet", body = ControlResult),
        (status = 404, description = "not_found", body = ErrorBody),
        (status = 409, description = "invalid_state", body = ErrorBody),
    ))]
async fn request_recording_permission(call: Call, body: Body) -> Result<Response, ApiError> {
    call.plain(ControlAction::RequestRecordingPermission, body).await
}

/// Record nothing until resumed.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/pause-recording", tag = "control", params(("id" = JobId, Path)),
    responses(
        (status = 200, description = "Done", body = ControlResult),
        (status = 202, description = "The bot has not answered yet", body = ControlResult),
        (status = 404, description = "not_found", body = ErrorBody),
        (status = 409, description = "invalid_state", body = ErrorBody),
    ))]
async fn pause_recording(call: Call, body: Body) -> Result<Response, ApiError> {
    call.plain(ControlAction::PauseRecording, body).await
}

/// Go on recording.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/resume-recording", tag = "control", params(("id" = JobId, Path)),
    responses(
        (status = 200, description = "Done", body = ControlResult),
        (status = 202, description = "The bot has not answered yet", body = ControlResult),
        (status = 404, description = "not_found", body = ErrorBody),
        (status = 409, description = "invalid_state", body = ErrorBody),
    ))]
async fn resume_recording(call: Call, body: Body) -> Result<Response, ApiError> {
    call.plain(ControlAction::ResumeRecording, body).await
}

/// Stop recording for good; the bot stays.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/stop-recording", tag = "control", params(("id" = JobId, Path)),
    responses(
        (status = 200, description = "Done", body = ControlResult),
        (status = 202, description = "The bot has not answered yet", body = ControlResult),
        (status = 404, description = "not_found", body = ErrorBody),
        (status = 409, description = "invalid_state", body = ErrorBody),
    ))]
async fn stop_recording(call: Call, body: Body) -> Result<Response, ApiError> {
    call.plain(ControlAction::StopRecording, body).await
}

/// Leave the call and finish the recording.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/leave-call", tag = "control", params(("id" = JobId, Path)),
    responses(
        (status = 200, description = "Done", body = ControlResult),
        (status = 202, description = "The bot has not answered yet", body = ControlResult),
        (status = 404, description = "not_found", body = ErrorBody),
        (status = 409, description = "invalid_state", body = ErrorBody),
    ))]
async fn leave_call(call: Call, body: Body) -> Result<Response, ApiError> {
    call.plain(ControlAction::LeaveCall, body).await
}

/// What to write into the chat.
#[derive(Deserialize, utoipa::ToSchema)]
struct ChatRequest {
    /// 1 to 4000 characters, not all of them blank.
    #[schema(max_length = 4000, pattern = r"\S")]
    message: String,
}

/// Write into the meeting's chat.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/send-chat-message", tag = "control", params(("id" = JobId, Path)), request_body = ChatRequest,
    responses(
        (status = 200, description = "Done", body = ControlResult),
        (status = 202, description = "The bot has not answered yet", body = ControlResult),
        (status = 400, description = "invalid_input", body = ErrorBody),
        (status = 404, description = "not_found", body = ErrorBody),
        (status = 409, description = "invalid_state", body = ErrorBody),
    ))]
async fn send_chat_message(
    call: Call,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Response, ApiError> {
    let ChatRequest { message } = serde_json::from_str(&body).map_err(not_json)?;
    let length = message.chars().count();
    if message.trim().is_empty() || length > MAX_CHAT_CHARACTERS {
        let message = format!("must have 1 to {MAX_CHAT_CHARACTERS} characters; it has {length}");
        let issue = Issue { path: vec!["message".into()], code: "invalid_length".into(), message };
        return Err(ApiError::invalid_input(vec![issue]));
    }
    call.give(ControlAction::SendChatMessage, Some(message), &body).await
}

/// One call to one job's bot.
struct Call {
    server: Server,
    tenant: Tenant,
    job: JobId,
    headers: HeaderMap,
    path: String,
}

impl axum::extract::FromRequestParts<Server> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        server: &Server,
    ) -> Result<Self, ApiError> {
        let Caller { tenant, .. } = Caller::from_request_parts(parts, server).await?;
        let Named(id) = Named::<String>::from_request_parts(parts, server).await?;
        Ok(Self {
            server: server.clone(),
            tenant,
            job: job_id(&id)?,
            headers: parts.headers.clone(),
            path: parts.uri.path().to_owned(),
        })
    }
}

impl Call {
    /// A verb whose body says nothing.
    async fn plain(self, action: ControlAction, body: Body) -> Result<Response, ApiError> {
        let body = read_idle_body(&self.server, body).await?;
        self.give(action, None, &body).await
    }

    async fn give(
        self,
        action: ControlAction,
        message: Option<String>,
        body: &str,
    ) -> Result<Response, ApiError> {
        let once = once(&self.headers, "POST", &self.path, body)?;
        let key = once.as_ref().map(|once| once.key.clone());
        let mut woken = self.server.wakes.subscribe(self.job);
        let now = self.server.clock.now();
        let store = &self.server.store;
        let commanded = store.command(self.tenant, self.job, action, message, once, now).await?;
        let (command, job) = match commanded {
            Commanded::Given(command, job) => (command, job),
            Commanded::NotFound => return Err(no_job(self.job)),
            Commanded::Earlier(earlier) => return again(earlier),
            Commanded::InvalidState(job) => {
                let message = format!(
                    "the job is {} with recording {}, and cannot take this",
                    job.status, job.recording.state
                );
                return Err(ApiError::invalid_state(message));
            }
        };
        self.server.happened(self.job);
        let mut result = control_result(&command, &job);
        let answered = async {
            while result.state == ControlState::Pending {
                let _ = tokio::time::timeout(POLL, woken.changed()).await;
                result = self.look(command.id).await?;
            }
            Ok::<_, ApiError>(())
        };
        // A time-out is no error: the command stands, and the answer says so.
        if let Ok(answered) = tokio::time::timeout(PATIENCE, answered).await {
            answered?;
        }
        let took = self.server.clock.now().steady.saturating_sub(now.steady);
        self.server.metrics.controlled(&result.action, &result.state, took);
        let status = if result.state == ControlState::Pending { 202 } else { 200 };
        let body = serde_json::to_string(&result).map_err(|_| ApiError::internal())?;
        if let Some(key) = key {
            let answer = KeptAnswer { status, body: body.clone() };
            store.keep_answer(self.tenant, key, answer).await?;
        }
        Ok(json(status, body))
    }

    async fn look(&self, command: CommandId) -> Result<ControlResult, ApiError> {
        let found = self.server.store.commanded(self.tenant, command).await?;
        let (command, job) = found.ok_or_else(|| no_job(self.job))?;
        Ok(control_result(&command, &job))
    }
}
