//! Whether the process lives, and whether it can work.

use std::time::Duration;

use axum::{Json, extract::State};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Server, error::ApiError};

const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "operators", security(()),
    responses((status = 200, description = "It does", body = Object)))]
async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// The store can be written, and jobs are taken.
#[utoipa::path(get, path = "/readyz", tag = "operators", security(()),
    responses(
        (status = 200, description = "It can", body = Object),
    ))]
async fn readyz(State(server): State<Server>) -> Result<Json<Value>, ApiError> {
    if server.draining.is_cancelled() {
        let message = "the server is stopping: it takes no more jobs, and ends when its bots have";
        return Err(ApiError::unavailable(message));
    }
    let swept = server.store.sweep(server.clock.now());
    match tokio::time::timeout(PATIENCE, swept).await {
        Ok(Ok(())) => Ok(Json(json!({"status": "ok"}))),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(ApiError::unavailable("the store does not answer")),
    }
}
