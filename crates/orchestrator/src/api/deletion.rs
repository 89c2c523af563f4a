//! Deletes recordings.

use axum::{Json, extract::State};
use meetbot_types::{DeletionReceipt, ErrorBody, JobId, RemovedObject};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    caller::Caller,
    error::ApiError,
    jobs::{job_id, no_job},
    request::PathParams,
};

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(delete_recording))
}

/// Delete every stored object of a job that has ended. Asked again, it removes what the first time left.
#[utoipa::path(delete, path = "/api/v1/jobs/{id}/recording", tag = "recordings", params(("id" = JobId, Path)),
    responses(
        (status = 200, description = "What was removed, and what was gone already", body = DeletionReceipt),
        (status = 404, description = "not_found", body = ErrorBody),
        (status = 409, description = "invalid_state: the job has not ended", body = ErrorBody),
    ))]
async fn delete_recording(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
    PathParams(id): PathParams<String>,
) -> Result<Json<DeletionReceipt>, ApiError> {
    let id = job_id(&id)?;
    // The job is marked first, so that no manifest is served whose files are being removed. After a crash in between, the call can be repeated.
    let marked = server.store.delete_recording(tenant, id, server.store.now()).await?;
    let job = marked.ok_or_else(|| no_job(id))?;
    let Some(deleted_at) = job.recording.deleted_at else {
        let message =
            format!("the job is {}: its recording can be deleted when it has ended", job.status);
        return Err(ApiError::invalid_state(message));
    };
    let (removed, already_gone) = remove_recording(&server, id).await?;
    server.store.recording_removed(id, server.store.now()).await?;
    tracing::info!(job = %id, objects = removed.len(), "a recording was deleted");
    Ok(Json(DeletionReceipt { job_id: id, deleted_at, removed, already_gone }))
}

/// Removes all stored files of a job. Returns those that were removed, and those that were listed but already missing.
pub(super) async fn remove_recording(
    server: &Server,
    id: JobId,
) -> Result<(Vec<RemovedObject>, Vec<String>), ApiError> {
    server.recordings.remove(id).await.map_err(|error| {
        tracing::error!(job = %id, %error, "a recording cannot be removed");
        ApiError::unavailable("not every object could be removed; ask again")
    })
}
