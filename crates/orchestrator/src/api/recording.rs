//! What was recorded: the manifest and its files.

use std::path::PathBuf;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use meetbot_types::{ErrorBody, Job, JobId, Manifest, Page, manifest::File};
use tower::ServiceExt as _;
use tower_http::services::ServeFile;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    caller::Caller,
    error::ApiError,
    jobs::{job_id, no_job},
    request::Named,
};
use crate::{
    recordings::{Finished, MANIFEST},
    store::Tenant,
};

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(get_manifest))
        .routes(routes!(list_artifacts))
        .routes(routes!(get_artifact))
}

/// Read a job's manifest.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/manifest", tag = "recordings", params(("id" = JobId, Path)),
    responses(
        (status = 200, description = "The manifest", body = Manifest),
        (status = 404, description = "not_found: no such job, nothing is recorded (yet), or the recording was deleted", body = ErrorBody),
    ))]
async fn get_manifest(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
    Named(id): Named<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let finished = finished(&server, &job(&server, tenant, &id).await?)?;
    serve(finished.file(MANIFEST), "application/json", request).await
}

/// List a job's files: those of its manifest, and the evidence of joins that failed, which a job without a manifest may have too.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/artifacts", tag = "recordings", params(("id" = JobId, Path)),
    responses(
        (status = 200, description = "All files, on one page; none while there are none, and once they were deleted", body = Page<File>),
        (status = 404, description = "not_found: no such job", body = ErrorBody),
    ))]
async fn list_artifacts(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
    Named(id): Named<String>,
) -> Result<Json<Page<File>>, ApiError> {
    let job = job(&server, tenant, &id).await?;
    let mut data = match server.recordings.finished(&job) {
        Some(finished) => finished.manifest().await.map_err(|error| unreadable(&error))?.files,
        None => Vec::new(),
    };
    data.extend(evidence(&server, &job).await?);
    Ok(Json(Page { data, next_cursor: None }))
}

/// Read one of a job's files. Ranges are served.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/artifacts/{name}", tag = "recordings",
    params(
        ("id" = JobId, Path),
        ("name" = String, Path, example = "manifest.json", description = "The file's name in the manifest or in the list of artifacts"),
        ("Range" = Option<String>, Header, description = "As in bytes=0-1023"),
    ),
    responses(
        (status = 200, description = "The bytes", content(
            (Vec<u8> = "audio/webm"), (Vec<u8> = "application/jsonl"), (Vec<u8> = "image/png"), (Manifest = "application/json"),
        )),
        (status = 206, description = "Some of the bytes", content(
            (Vec<u8> = "audio/webm"), (Vec<u8> = "application/jsonl"), (Vec<u8> = "image/png"), (Manifest = "application/json"),
        )),
        (status = 404, description = "not_found", body = ErrorBody),
        (status = 416, description = "The range is outside of the file"),
    ))]
async fn get_artifact(
    State(server): State<Server>,
    caller: Caller,
    Named((id, name)): Named<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let job = job(&server, caller.tenant, &id).await?;
    // Only what is listed is served: a name is never a path.
    if let Some(file) = named(evidence(&server, &job).await?, &name) {
        let path = server.recordings.evidence_file(job.id, &file.name);
        let share = caller.stream(&server)?;
        return Ok((share, serve(path, &file.media_type, request).await?).into_response());
    }
    let finished = finished(&server, &job)?;
    if name == MANIFEST {
        return serve(finished.file(MANIFEST), "application/json", request).await;
    }
    let manifest = finished.manifest().await.map_err(|error| unreadable(&error))?;
    let file = named(manifest.files, &name).ok_or_else(|| {
        ApiError::not_found(format!("the manifest of {id} lists no file {name:?}"))
    })?;
    let share = caller.stream(&server)?;
    let file = serve(finished.file(&file.name), &file.media_type, request).await?;
    Ok((share, file).into_response())
}

fn named(files: Vec<File>, name: &str) -> Option<File> {
    files.into_iter().find(|file| file.name == name)
}

/// What is kept of joins that failed, unless it was deleted.
async fn evidence(server: &Server, job: &Job) -> Result<Vec<File>, ApiError> {
    if job.recording.deleted_at.is_some() {
        return Ok(Vec::new());
    }
    server.recordings.evidence(job.id).await.map_err(|error| {
        tracing::error!(job = %job.id, %error, "the evidence of joins that failed cannot be read");
        ApiError::internal()
    })
}

async fn job(server: &Server, tenant: Tenant, id: &str) -> Result<Job, ApiError> {
    let id = job_id(id)?;
    server.store.job(tenant, id).await?.ok_or_else(|| no_job(id))
}

/// What was recorded of a job.
fn finished(server: &Server, job: &Job) -> Result<Finished, ApiError> {
    server.recordings.finished(job).ok_or_else(|| {
        ApiError::not_found(match job.recording.deleted_at {
            Some(at) => format!("the recording of {} was deleted at {at}", job.id),
            None => format!("{} is {} and has no manifest", job.id, job.status),
        })
    })
}

async fn serve(
    path: PathBuf,
    media_type: &str,
    mut request: Request,
) -> Result<Response, ApiError> {
    // RFC 9110, 14.2: what is no range that is served here is passed over, and the whole file is the answer.
    let range =
        request.headers().get(header::RANGE).map(|range| range.to_str().unwrap_or_default());
    if range.is_some_and(|range| !is_one_range(range)) {
        request.headers_mut().remove(header::RANGE);
    }
    let media_type = media_type.parse().map_err(|_| ApiError::internal())?;
    let served = ServeFile::new_with_mime(&path, &media_type).oneshot(request).await;
    let response = served.unwrap_or_else(|never| match never {});
    if response.status() == axum::http::StatusCode::NOT_FOUND {
        return Err(ApiError::not_found("the file is no longer there"));
    }
    let mut response = response.map(Body::new);
    // What strangers wrote is never taken for a page of this server.
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn unreadable(error: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%error, "a manifest cannot be read");
    ApiError::internal()
}

/// One range of bytes: from one to another, from one on, or so many of the last.
fn is_one_range(range: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
    let ends = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    ends.is_some_and(|(first, last)| match (first, last) {
        ("", last) => number(last).is_some(),
        (first, "") => number(first).is_some(),
        (first, last) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
    })
}

#[cfg(test)]
mod tests {
    use super::is_one_range;

    #[test]
    fn only_one_range_of_bytes_is_a_range() {
        for range in ["bytes=0-0", "bytes=5-", "bytes=-5", "bytes=0-18446744073709551615"] {
            assert!(is_one_range(range), "{range}");
        }
        for range in [
            "",
            "Q",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "bytes=1-+2",
            "items=0-1",
            "bytes= 0-1",
            "bytes=0--1",
        ] {
            assert!(!is_one_range(range), "{range:?}");
        }
    }
}
