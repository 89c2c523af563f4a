//! Liveness and readiness.

use std::time::Duration;

use axum::{Json, extract::State};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Server, error::ApiError};
use crate::recordings::UploadHealth;

const PATIENCE: Duration = Duration::from_secs(2);
/// How long the result of a check of the store is cached.
const CACHE_FOR: Duration = Duration::from_secs(1);

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
        (status = 200, description = "It can. `storage` is there while the bucket takes no recordings: how many wait for it, and since when", body = Object),
    ))]
async fn readyz(State(server): State<Server>) -> Result<Json<Value>, ApiError> {
    if server.draining.is_cancelled() {
        let message = "the server is stopping: it takes no more jobs, and ends when its bots have";
        return Err(ApiError::unavailable(message));
    }
    server.readiness.look(&server).await?;
    let mut answer = json!({"status": "ok"});
    // Uploads that fail do not make the server unready: meetings are still recorded on its disk.
    let UploadHealth { waiting, since, problem } = server.recordings.health();
    if problem.is_some() {
        // The endpoint is public, so the reason is only in the log.
        let problem = "the bucket does not take recordings now; the server's log says why";
        answer["storage"] = json!({"problem": problem, "waiting": waiting, "since": since});
    } else {
        let failing = server.workers.statuses.summary(server.clock.now().steady).uploads_failing;
        if failing > 0 {
            let problem = format!(
                "the bucket does not take recordings of {failing} workers now; the server's log says why"
            );
            answer["storage"] = json!({"problem": problem, "waiting": waiting, "since": since});
        }
    }
    Ok(Json(answer))
}

/// The cached result of the last check of the store. The endpoint is public, and each check writes to the disk.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Duration, Result<(), ApiError>)>>);

impl Readiness {
    async fn look(&self, server: &Server) -> Result<(), ApiError> {
        let mut last = self.0.lock().await;
        let now = server.clock.now();
        if let Some((at, ready)) = &*last
            && now.steady.saturating_sub(*at) < CACHE_FOR
        {
            return ready.clone();
        }
        let ready =
            match tokio::time::timeout(PATIENCE, server.store.sweep(server.store.now())).await {
                Ok(swept) => swept.map_err(ApiError::from),
                Err(_) => Err(ApiError::unavailable("the store does not answer")),
            };
        *last = Some((server.clock.now().steady, ready.clone()));
        ready
    }
}
