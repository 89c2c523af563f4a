//! The bots' side: reports in, commands out. Not part of the public API.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    http::HeaderMap,
    routing::{get, post},
};
use meetbot_types::{
    JobId,
    bot::{Commands, IngestAnswer, IngestRequest},
};

use super::{
    Server,
    caller::bearer,
    error::ApiError,
    query::Query,
    request::{INGEST_LIMIT, JsonBody, not_json},
};
use crate::{keys, metrics::Heard, store::Reported};

/// The longest a bot's question for commands is held.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Where bots report and ask.
pub(super) const PATH: &str = "/api/v1/ingest";

pub(super) fn router() -> Router<Server> {
    Router::new().route(PATH, post(report)).route("/api/v1/ingest/commands", get(commands))
}

fn unknown() -> ApiError {
    ApiError::unauthorized("no bot has this token")
}

fn superseded() -> ApiError {
    ApiError::conflict("another attempt has the job, or this one's lease ran out: leave")
}

async fn report(
    State(server): State<Server>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<INGEST_LIMIT>,
) -> Result<Json<IngestAnswer>, ApiError> {
    let token_hash = keys::hash(bearer(&headers)?);
    let request: IngestRequest = serde_json::from_str(&body).map_err(not_json)?;
    let (job, heard) = (request.job_id, Heard::from(&request));
    let now = server.clock.now();
    match server.store.report(request, token_hash, now).await? {
        Reported::Applied(answer) => {
            server.metrics.attempts.heard(&heard, now.steady);
            server.happened(job);
            Ok(Json(answer))
        }
        Reported::Superseded => Err(superseded()),
        Reported::Unknown => Err(unknown()),
    }
}

async fn commands(
    State(server): State<Server>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<Commands>, ApiError> {
    let token_hash = keys::hash(bearer(&headers)?);
    let mut query = Query::new(query.as_deref());
    let job: Option<JobId> = query.one("jobId", "a job's id");
    let epoch: Option<u32> = query.one("epoch", "a number");
    let after = query.number("after").unwrap_or(0);
    let wait = query.number("wait").unwrap_or(0);
    query.finish()?;
    let (Some(job), Some(epoch)) = (job, epoch) else {
        return Err(ApiError::invalid("jobId", "required", "jobId and epoch are required"));
    };
    let mut woken = server.wakes.subscribe(job);
    let look = async || {
        server.store.bot_commands(job, epoch, token_hash, after).await?.ok_or_else(superseded)
    };
    // Before any wait, so that whoever has no right to ask is told so.
    let commands = look().await?;
    if !commands.is_empty() {
        return Ok(Json(Commands { commands }));
    }
    let found = async {
        while woken.changed().await.is_ok() {
            let commands = look().await?;
            if !commands.is_empty() {
                return Ok(commands);
            }
        }
        Ok::<_, ApiError>(Vec::new())
    };
    let wait = Duration::from_secs(wait).min(LONGEST_WAIT);
    let stopping = server.stopping.clone();
    let commands = tokio::select! {
        biased;
        found = found => found?,
        () = tokio::time::sleep(wait) => Vec::new(),
        () = stopping.cancelled() => Vec::new(),
    };
    Ok(Json(Commands { commands }))
}
