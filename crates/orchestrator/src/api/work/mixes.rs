//! The calls of workers that make mixes.

use axum::{Json, extract::State};
use meetbot_types::work::{MOST_SPOOLED, WorkMix, WorkMixes, WorkMixing, WorkMixingHeard};

use super::{read, spool_of};
use crate::{
    api::{
        Server,
        error::ApiError,
        request::{BODY_LIMIT, JsonBody},
    },
    mixes::EndError,
};

/// A worker with free places asks for mixes.
pub(super) async fn ask(
    State(server): State<Server>,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Json<WorkMixes>, ApiError> {
    let WorkMix { worker, room, mut has } = read(&body)?;
    spool_of(&server, &worker).await?;
    has.truncate(MOST_SPOOLED);
    let workers = &server.workers;
    let room = if workers.is_draining(&worker.worker) { 0 } else { room.min(MOST_SPOOLED) };
    Ok(Json(WorkMixes { mixes: workers.mixes.give(room, &worker.labels, &has).await? }))
}

/// A worker goes on with a mix, or has no more to do with it. Of a recording that was deleted meanwhile, what the worker uploaded is removed before the answer.
pub(super) async fn report(
    State(server): State<Server>,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Json<WorkMixingHeard>, ApiError> {
    let WorkMixing { worker, job_id, lease, end } = read(&body)?;
    let folder = spool_of(&server, &worker).await?;
    let workers = &server.workers;
    let Some(end) = end else {
        let goes_on = workers.mixes.renew(job_id, &worker.labels, lease).await?;
        return Ok(Json(WorkMixingHeard { goes_on }));
    };
    workers.mixes.end_on_worker(job_id, lease, end).await.map_err(|error| match error {
        EndError::Store(error) => error.into(),
        EndError::Bucket(error) => {
            tracing::warn!(job = %job_id, %error, "the mix of a worker cannot be looked at in the bucket");
            ApiError::unavailable("the bucket does not answer")
        }
    })?;
    workers.spooled(job_id, folder).await?;
    Ok(Json(WorkMixingHeard { goes_on: false }))
}
