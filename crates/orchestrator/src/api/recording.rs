//! A job's recording: its manifest and files.

use std::{io, path::PathBuf, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
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
    request::PathParams,
};
use crate::{
    recordings::{
        Finished, MANIFEST, StoredObject,
        bucket::{Bucket, BucketError, Part, Reading, Serve},
    },
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
    PathParams(id): PathParams<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let finished = finished(&server, &job(&server, tenant, &id).await?)?;
    serve_manifest(&finished, request).await
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
    PathParams(id): PathParams<String>,
) -> Result<Json<Page<File>>, ApiError> {
    let job = job(&server, tenant, &id).await?;
    let mut data = match server.recordings.finished(&job) {
        Some(finished) => finished.manifest().await.map_err(|error| unreadable(&error))?.files,
        None => Vec::new(),
    };
    data.extend(evidence_on_disk(&server, &job).await?);
    data.extend(evidence_in_bucket(&server, &job).await?.into_iter().map(|stored| stored.file));
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
            (Vec<u8> = "audio/webm"), (Vec<u8> = "video/webm"), (Vec<u8> = "audio/x-matroska"), (Vec<u8> = "video/x-matroska"),
            (Vec<u8> = "application/jsonl"), (Vec<u8> = "application/octet-stream"), (Vec<u8> = "image/png"),
            (Manifest = "application/json"),
        )),
        (status = 206, description = "Some of the bytes", content(
            (Vec<u8> = "audio/webm"), (Vec<u8> = "video/webm"), (Vec<u8> = "audio/x-matroska"), (Vec<u8> = "video/x-matroska"),
            (Vec<u8> = "application/jsonl"), (Vec<u8> = "application/octet-stream"), (Vec<u8> = "image/png"),
            (Manifest = "application/json"),
        )),
        (status = 302, description = "The bytes are at this URL, for five minutes; ask it without the key", headers(("Location" = String, description = "The URL"))),
        (status = 404, description = "not_found", body = ErrorBody),
        (status = 416, description = "The range is outside of the file"),
    ))]
async fn get_artifact(
    State(server): State<Server>,
    caller: Caller,
    PathParams((id, name)): PathParams<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let job = job(&server, caller.tenant, &id).await?;
    // Only listed files are served: a name is never used as a path.
    if let Some(file) = named(evidence_on_disk(&server, &job).await?, &name) {
        let path = server.recordings.evidence_file(job.id, &file.name);
        let share = caller.stream(&server)?;
        return Ok((share, serve(path, &file.media_type, request).await?).into_response());
    }
    let recording = server.recordings.finished(&job);
    let of_manifest = match &recording {
        Some(finished) if name == MANIFEST => return serve_manifest(finished, request).await,
        Some(finished) => {
            let manifest = finished.manifest().await.map_err(|error| unreadable(&error))?;
            named(manifest.files, &name).map(|file| (finished, file))
        }
        None => None,
    };
    let StoredObject { file, bucket, key } = match of_manifest {
        Some((Finished::OnDisk(folder), file)) => {
            let share = caller.stream(&server)?;
            let file = serve(folder.join(&file.name), &file.media_type, request).await?;
            return Ok((share, file).into_response());
        }
        Some((finished @ Finished::InBucket { bucket, .. }, file)) => {
            let key = finished.key(&file.name);
            StoredObject { file, bucket: Arc::clone(bucket), key }
        }
        None => {
            let stored = evidence_in_bucket(&server, &job).await?;
            let Some(found) = stored.into_iter().find(|stored| stored.file.name == name) else {
                finished(&server, &job)?;
                let message = format!("the manifest of {id} lists no file {name:?}");
                return Err(ApiError::not_found(message));
            };
            found
        }
    };
    // Pages may load media only from this server, so browsers are never redirected to the bucket.
    if bucket.serve() == Serve::Redirect && !caller.is_browser() {
        return redirect(&bucket, &key, request.method().clone()).await;
    }
    let share = caller.stream(&server)?;
    let file = pass_on(&bucket, &key, &file, request.headers()).await?;
    Ok((share, file).into_response())
}

/// A redirect to a presigned URL of the bucket.
async fn redirect(bucket: &Bucket, key: &str, method: Method) -> Result<Response, ApiError> {
    let url = bucket.sign(method, key).await.map_err(|error| unreadable(&error.into()))?;
    let location = HeaderValue::from_str(url.as_str()).map_err(|_| ApiError::internal())?;
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::FOUND, headers).into_response())
}

/// Streams a file from the bucket.
async fn pass_on(
    bucket: &Bucket,
    key: &str,
    file: &File,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let part = headers.get(header::RANGE).and_then(|range| part(range.to_str().ok()?));
    // Conditional headers are not passed on: the whole file is a valid response in any case.
    let part = part.filter(|_| !headers.contains_key(header::IF_RANGE));
    let reading = match bucket.read(key, part).await {
        Ok(reading) => reading,
        Err(BucketError::OutOfRange) => {
            let range = format!("bytes */{}", file.bytes);
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, range)])
                .into_response());
        }
        Err(error) => return Err(unreadable(&error.into())),
    };
    let Reading { range, bytes, e_tag, content } = reading;
    let mut response = Response::new(Body::from_stream(content));
    let headers = response.headers_mut();
    let text = |text: String| HeaderValue::from_str(&text).map_err(|_| ApiError::internal());
    headers.insert(header::CONTENT_TYPE, text(file.media_type.clone())?);
    headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(e_tag) = e_tag {
        headers.insert(header::ETAG, text(e_tag)?);
    }
    if part.is_some() {
        let last = range.end.saturating_sub(1);
        headers
            .insert(header::CONTENT_RANGE, text(format!("bytes {}-{last}/{bytes}", range.start))?);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

async fn serve_manifest(finished: &Finished, request: Request) -> Result<Response, ApiError> {
    const MEDIA_TYPE: &str = "application/json";
    if let Finished::OnDisk(folder) = finished {
        return serve(folder.join(MANIFEST), MEDIA_TYPE, request).await;
    }
    let text = finished.manifest_text().await.map_err(|error| unreadable(&error))?;
    let headers = [(header::CONTENT_TYPE, MEDIA_TYPE), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, text).into_response())
}

fn named(files: Vec<File>, name: &str) -> Option<File> {
    files.into_iter().find(|file| file.name == name)
}

/// The evidence of failed joins that workers have uploaded, unless it was deleted.
async fn evidence_in_bucket(server: &Server, job: &Job) -> Result<Vec<StoredObject>, ApiError> {
    if job.recording.deleted_at.is_some() {
        return Ok(Vec::new());
    }
    let stored = server.recordings.evidence_in_bucket(job.id).await;
    stored.map_err(|error| unreadable(&error))
}

/// The evidence of failed joins on this disk, unless it was deleted.
async fn evidence_on_disk(server: &Server, job: &Job) -> Result<Vec<File>, ApiError> {
    if job.recording.deleted_at.is_some() {
        return Ok(Vec::new());
    }
    server.recordings.evidence_on_disk(job.id).await.map_err(|error| {
        tracing::error!(job = %job.id, %error, "the evidence of failed joins cannot be read");
        ApiError::internal()
    })
}

async fn job(server: &Server, tenant: Tenant, id: &str) -> Result<Job, ApiError> {
    let id = job_id(id)?;
    server.store.job(tenant, id).await?.ok_or_else(|| no_job(id))
}

/// The finished recording of a job.
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
    // RFC 9110, 14.2: an unsupported range is ignored, and the response is the whole file.
    let range =
        request.headers().get(header::RANGE).map(|range| range.to_str().unwrap_or_default());
    if range.is_some_and(|range| part(range).is_none()) {
        request.headers_mut().remove(header::RANGE);
    }
    let media_type = media_type.parse().map_err(|_| ApiError::internal())?;
    let served = ServeFile::new_with_mime(&path, &media_type).oneshot(request).await;
    let response = served.unwrap_or_else(|never| match never {});
    if response.status() == StatusCode::NOT_FOUND {
        return Err(ApiError::not_found("the file is no longer there"));
    }
    let mut response = response.map(Body::new);
    // Recorded content must never be interpreted as a page of this server.
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn unreadable(error: &io::Error) -> ApiError {
    match error.kind() {
        io::ErrorKind::NotFound => ApiError::not_found("the file is no longer there"),
        io::ErrorKind::NotConnected => {
            tracing::warn!(%error, "a recording cannot be read now");
            ApiError::unavailable("the bucket that has the recording does not answer; try again")
        }
        _ => {
            tracing::error!(%error, "a recording cannot be read");
            ApiError::internal()
        }
    }
}

/// One range of bytes: `first-last`, `first-` or `-count`.
fn part(range: &str) -> Option<Part> {
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
    match range.strip_prefix("bytes=")?.split_once('-')? {
        ("", last) => Some(Part::Last(number(last)?)),
        (first, "") => Some(Part::From(number(first)?)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Part::FromTo(first, last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, part};

    #[test]
    fn only_a_single_range_of_bytes_is_accepted() {
        assert_eq!(part("bytes=2-5"), Some(Part::FromTo(2, 5)));
        assert_eq!(
            (part("bytes=5-"), part("bytes=-5")),
            (Some(Part::From(5)), Some(Part::Last(5)))
        );
        for range in ["bytes=0-0", "bytes=5-", "bytes=-5", "bytes=0-18446744073709551615"] {
            assert!(part(range).is_some(), "{range}");
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
            assert_eq!(part(range), None, "{range:?}");
        }
    }
}
