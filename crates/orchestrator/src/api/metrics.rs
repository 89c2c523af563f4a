//! The metrics in Prometheus' text format.

use std::time::Duration;

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
};
use meetbot_types::ErrorBody;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Server, error::ApiError};
use crate::metrics;

/// How long the store may take to count. After that the response has the other metrics only.
const PATIENCE: Duration = Duration::from_secs(2);

/// Jobs that start within this time want a place already: a machine for one takes as long to come.
const DUE_SOON: Duration = Duration::from_mins(2);

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(get_metrics))
}

/// Read the server's metrics, in Prometheus' text format. They hold nothing of any consumer.
#[utoipa::path(get, path = "/metrics", tag = "operators",
    responses(
        (status = 200, description = "The metrics; `docs/operations.md` lists them", body = String, content_type = "text/plain"),
        (status = 403, description = "forbidden: this needs the scope admin", body = ErrorBody),
    ))]
async fn get_metrics(State(server): State<Server>) -> Result<Response, ApiError> {
    let tally = match tokio::time::timeout(PATIENCE, server.store.tally()).await {
        Ok(Ok(tally)) => Some(tally),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store's counts cannot be read");
            None
        }
        Err(_) => None,
    };
    let wanted = server.store.places_wanted(server.clock.now().wall + DUE_SOON);
    match tokio::time::timeout(PATIENCE, wanted).await {
        Ok(Ok(wanted)) => server.metrics.workers.set_wanted(&wanted),
        Ok(Err(error)) => tracing::warn!(%error, "the store's counts of places cannot be read"),
        Err(_) => {}
    }
    let (now, uploads) = (server.clock.now(), server.recordings.health());
    server.metrics.attempts.set_behind(server.launcher.is_behind());
    server.metrics.workers.set(&server.workers.statuses.summary(now.steady));
    let now = now.wall;
    let failing = uploads.problem.is_some();
    server.metrics.uploads(uploads.waiting, uploads.since, failing, now);
    let text = server.metrics.text(tally.as_ref(), now);
    Ok(([(CONTENT_TYPE, metrics::METRICS_TYPE)], text).into_response())
}
