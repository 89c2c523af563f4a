//! The state of the machine, for operators.

use axum::{Json, extract::State};
use meetbot_types::{ErrorBody, Host, JobStatus, host::HostBots};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Server, error::ApiError};
use crate::{machine, store::Tally};

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(get_host))
}

/// Read how the server's machine is, and how much the server does.
#[utoipa::path(get, path = "/api/v1/admin/host", tag = "operators",
    responses(
        (status = 200, description = "The machine", body = Host),
        (status = 401, description = "unauthorized", body = ErrorBody),
        (status = 403, description = "forbidden: this needs the scope admin", body = ErrorBody),
        (status = 503, description = "unavailable", body = ErrorBody),
    ))]
async fn get_host(State(server): State<Server>) -> Result<Json<Host>, ApiError> {
    let tally = server.store.tally().await?;
    let disk = machine::disk(server.recordings.data_folder())
        .map_err(|error| unreadable("disk", &error))?;
    Ok(Json(Host {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: server.clock.now().steady.as_secs(),
        draining: server.draining.is_cancelled(),
        cpu: machine::cpu().await.map_err(|error| unreadable("processor", &error))?,
        memory: machine::memory().map_err(|error| unreadable("memory", &error))?,
        disk,
        bots: HostBots { running: server.metrics.attempts.running(), max: server.max_bots as u64 },
        jobs: JobStatus::ALL
            .iter()
            .map(|status| (status.to_string(), jobs_in(&tally, status)))
            .collect(),
        webhook_backlog: tally.backlog,
    }))
}

fn unreadable(part: &str, error: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%error, part, "the state of the machine cannot be read");
    ApiError::unavailable(format!("the state of the machine's {part} cannot be read"))
}

fn jobs_in(tally: &Tally, status: &JobStatus) -> u64 {
    let open = tally.open.iter().filter(|(open, _)| open == status).map(|(_, jobs)| *jobs);
    let ended = tally.ended.iter().filter(|ended| ended.status == *status).map(|ended| ended.jobs);
    open.chain(ended).sum()
}
