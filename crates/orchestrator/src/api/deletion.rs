//! Deleting what was recorded.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use axum::{Json, extract, extract::State};
use meetbot_types::{DeletionReceipt, ErrorBody, JobId, Manifest, RemovedObject};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    error::ApiError,
    jobs::{job_id, no_job},
    request::Caller,
};
use crate::store::Scope;

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(delete_recording))
}

/// Delete every stored object of a job that has ended. Asked again, it removes what the first time left.
#[utoipa::path(delete, path = "/api/v1/jobs/{id}/recording", tag = "recordings", params(("id" = JobId, Path)),
    responses(
        (status = 200, description = "What was removed, and what was gone already", body = DeletionReceipt),
        (status = 403, description = "forbidden", body = ErrorBody),
        (status = 404, description = "not_found", body = ErrorBody),
        (status = 409, description = "invalid_state: the job has not ended", body = ErrorBody),
    ))]
async fn delete_recording(
    State(server): State<Server>,
    caller: Caller,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<DeletionReceipt>, ApiError> {
    let tenant = caller.may(Scope::Write)?;
    let id = job_id(&id)?;
    // First the mark, so that nobody is shown a manifest whose files go; a crash in between is mended by asking again.
    let marked = server.store.delete_recording(tenant, id, server.clock.now()).await?;
    let job = marked.ok_or_else(|| no_job(id))?;
    let Some(deleted_at) = job.recording.deleted_at else {
        let message =
            format!("the job is {}: its recording can be deleted when it has ended", job.status);
        return Err(ApiError::invalid_state(message));
    };
    let (removed, already_gone) = remove_recording(&server, id).await?;
    tracing::info!(job = %id, objects = removed.len(), "a recording was deleted");
    Ok(Json(DeletionReceipt { job_id: id, deleted_at, removed, already_gone }))
}

/// Removes all that is stored of a job; answers it, and what was named but gone already.
pub(super) async fn remove_recording(
    server: &Server,
    id: JobId,
) -> Result<(Vec<RemovedObject>, Vec<String>), ApiError> {
    let folder = server.recordings.join(id.to_string());
    match tokio::task::spawn_blocking(move || remove(&folder)).await {
        Ok(Ok(removed)) => Ok(removed),
        Ok(Err(error)) => Err(not_removed(&error)),
        Err(error) => Err(not_removed(&error)),
    }
}

fn not_removed(error: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%error, "a recording cannot be removed");
    ApiError::unavailable("not every object could be removed; ask again")
}

/// Removes a job's folder; answers what was in it, and what its manifests name besides.
fn remove(folder: &Path) -> io::Result<(Vec<RemovedObject>, Vec<String>)> {
    let (mut removed, mut named) = (Vec::new(), BTreeSet::new());
    for attempt in entries(folder)? {
        let name = attempt.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Ok(text) = fs::read(attempt.join("manifest.json"))
            && let Ok(manifest) = serde_json::from_slice::<Manifest>(&text)
        {
            named.extend(manifest.files.into_iter().map(|file| format!("{name}/{}", file.name)));
        }
        // The manifest last: while it is there, a deletion that was cut short still knows what there was.
        let mut files = entries(&attempt)?;
        files.sort_by_key(|file| file.ends_with("manifest.json"));
        for file in files {
            let bytes = fs::symlink_metadata(&file)?.len();
            fs::remove_file(&file)?;
            let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            removed.push(RemovedObject { name: format!("{name}/{file}"), bytes });
        }
        fs::remove_dir(&attempt)?;
    }
    if folder.exists() {
        fs::remove_dir(folder)?;
        if let Some(parent) = folder.parent() {
            fs::File::open(parent)?.sync_all()?;
        }
    }
    let gone = named.into_iter().filter(|name| removed.iter().all(|object| object.name != *name));
    let gone = gone.collect();
    Ok((removed, gone))
}

/// What is in a folder, by name; nothing when it is not there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = listed.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
