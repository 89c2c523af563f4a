//! Control commands: sent to the bot, answered once it has carried them out.

use std::time::Duration;

use axum::{body::Body, http::HeaderMap, response::Response};
use meetbot_types::{
    CommandId, ControlAction, ControlResult, ControlState, ErrorBody, Issue, JobId,
    control::{ChatRequest, MAX_CHAT_CHARACTERS},
    visible::is_blank,
};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    caller::Caller,
    error::ApiError,
    jobs::{job_id, no_job},
    query::Query,
    request::{BODY_LIMIT, JsonBody, PathParams, idempotency_key, json, read_unused_body, replay},
};
use crate::{
    fields::{CHAT_MESSAGE, Fields, Ignored, Issues, check_unused_body},
    jobs::refusal::refusal,
    store::{CommandOutcome, StoredResponse, Tenant},
};

/// How long a call waits for the bot; after that the answer is 202.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the store is polled without a wake-up.
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
    query: Query,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Response, ApiError> {
    let (message, ignored) = query.with(chat_message(&body))?;
    call.give(ControlAction::SendChatMessage, Some(message), &body, ignored).await
}

/// Reads the chat message of a body, and the names of ignored fields.
fn chat_message(body: &str) -> Result<(String, Ignored), Vec<Issue>> {
    const FIELD: &[&str] = &["message"];
    let fields = Fields::read(body).map_err(Issues::into_vec)?;
    let (mut issues, mut ignored) = (Issues::default(), Ignored::default());
    CHAT_MESSAGE.check_names(&fields, &mut issues, &mut ignored);
    let message = match fields.value("message", &mut issues) {
        Some(Value::String(message)) => Some(message),
        Some(_) => {
            issues.wrong_type(FIELD, "a string");
            None
        }
        None => {
            if fields.raw("message").is_none() {
                issues.add(FIELD, "required", "is required: the text to write");
            }
            None
        }
    };
    let message = message.unwrap_or_default();
    let length = message.chars().count();
    if length > MAX_CHAT_CHARACTERS || (issues.is_empty() && is_blank(&message)) {
        let problem = format!(
            "must have 1 to {MAX_CHAT_CHARACTERS} characters, at least one of them visible; it has {length}"
        );
        issues.add(FIELD, "invalid_length", problem);
    }
    if issues.is_empty() { Ok((message, ignored)) } else { Err(issues.into_vec()) }
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
        let PathParams(id) = PathParams::<String>::from_request_parts(parts, server).await?;
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
    /// Sends a command that has no parameters.
    async fn plain(self, action: ControlAction, body: Body) -> Result<Response, ApiError> {
        let body = read_unused_body(&self.server, body).await?;
        let ignored = check_unused_body(&body).map_err(ApiError::invalid_input)?;
        self.give(action, None, &body, ignored).await
    }

    async fn give(
        self,
        action: ControlAction,
        message: Option<String>,
        body: &str,
        ignored: Ignored,
    ) -> Result<Response, ApiError> {
        let idempotency = idempotency_key(&self.headers, "POST", &self.path, body, &ignored)?;
        let key = idempotency.as_ref().map(|asked| asked.key.clone());
        let mut woken = self.server.changes.subscribe(self.job);
        let now = self.server.clock.now();
        let store = &self.server.store;
        let asked = action.clone();
        let commanded =
            store.command(self.tenant, self.job, action, message, idempotency, store.now()).await?;
        let (command, job) = match commanded {
            CommandOutcome::Accepted(command, job) => (command, job),
            CommandOutcome::NotFound => return Err(no_job(self.job)),
            CommandOutcome::Prior(prior) => return replay(prior),
            CommandOutcome::InvalidState(job) => {
                return Err(ApiError::invalid_state(refusal(&asked, &job)));
            }
        };
        self.server.notify_changed(self.job);
        let mut result = command.result(&job);
        let answered = async {
            while result.state == ControlState::Pending {
                let _ = tokio::time::timeout(POLL, woken.changed()).await;
                result = self.look(command.id).await?;
            }
            Ok::<_, ApiError>(())
        };
        // A timeout is no error: the command stays pending, and the response says so.
        if let Ok(answered) = tokio::time::timeout(PATIENCE, answered).await {
            answered?;
        }
        let took = self.server.clock.now().steady.saturating_sub(now.steady);
        self.server.metrics.controlled(&result.action, &result.state, took);
        let status = if result.state == ControlState::Pending { 202 } else { 200 };
        let body = serde_json::to_string(&result).map_err(|_| ApiError::internal())?;
        if let Some(key) = key {
            let ignored = ignored.clone().into_header();
            let answer = StoredResponse { status, body: body.clone(), ignored };
            store.set_final_response(self.tenant, key, answer).await?;
        }
        let mut response = json(status, body);
        response.extensions_mut().insert(ignored);
        Ok(response)
    }

    async fn look(&self, command: CommandId) -> Result<ControlResult, ApiError> {
        let found = self.server.store.commanded(self.tenant, command).await?;
        let (command, job) = found.ok_or_else(|| no_job(self.job))?;
        Ok(command.result(&job))
    }
}

#[cfg(test)]
mod tests {
    use super::chat_message;

    #[test]
    fn all_issues_of_a_message_are_reported_together() {
        let issue_codes = |body: &str| -> Vec<String> {
            let issues = chat_message(body).unwrap_err().into_iter();
            issues.map(|issue| format!("{} {}", issue.path.join("."), issue.code)).collect()
        };
        assert_eq!(issue_codes("[]"), [" invalid_json"]);
        assert_eq!(issue_codes("{}"), ["message required"]);
        assert_eq!(issue_codes(r#"{"message":null}"#), ["message required"]);
        assert_eq!(issue_codes(r#"{"message":5}"#), ["message invalid_type"]);
        assert_eq!(
            issue_codes(r#"{"Message":"hi","text":"hi"}"#),
            ["Message unknown_field", "text unknown_field", "message required",]
        );
        assert_eq!(issue_codes(r#"{"message":"a","message":"b"}"#), ["message duplicate_field"]);
        for blank in ["", " \n", "\u{200b}\u{3164}"] {
            let body = serde_json::json!({ "message": blank }).to_string();
            assert_eq!(issue_codes(&body), ["message invalid_length"], "{blank:?}");
        }
        let long = serde_json::json!({"message": "é".repeat(4_001), "text": 1}).to_string();
        assert_eq!(issue_codes(&long), ["text unknown_field", "message invalid_length"]);
        let (message, ignored) = chat_message(r#"{"message":"hi","to":"host"}"#).unwrap();
        assert_eq!((message.as_str(), ignored.header()), ("hi", Some("to")));
    }
}
