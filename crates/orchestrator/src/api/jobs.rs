//! Creates, reads, lists and cancels jobs.

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use meetbot_types::{ErrorBody, Job, JobId, JobStatus, NewJob, Page, Platform};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    caller::{Caller, SubjectJob},
    error::ApiError,
    pages::page,
    query::{Query, listed},
    request::{BODY_LIMIT, JsonBody, PathParams, idempotency_key, replay},
};
use crate::{
    clock::StoreNow,
    jobs::{
        create::{self, CreationRules, New},
        minutes_are_used_up, quota,
    },
    store::{Awaited, Creation, JobFilter, Tenant},
};

/// `Retry-After` of a full queue, in milliseconds: longer than SDKs wait by themselves, so that their callers get the error.
const QUEUE_RETRY_AFTER_MS: i64 = 120_000;

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(create_job, list_jobs)).routes(routes!(get_job, cancel_job))
}

/// The job id in a path. An invalid id is answered as an unknown job.
pub(super) fn job_id(text: &str) -> Result<JobId, ApiError> {
    text.parse().map_err(|_| no_job(text))
}

pub(super) fn no_job(id: impl std::fmt::Display) -> ApiError {
    ApiError::not_found(format!("there is no job {id}"))
}

/// Ask for a bot in a meeting. A field that is misspelt, or called otherwise elsewhere, is refused with its right name; others that are not known are passed over.
#[utoipa::path(post, path = "/api/v1/jobs", tag = "jobs", request_body = NewJob,
    responses(
        (status = 201, description = "The new job", body = Job),
        (status = 200, description = "The job that this externalId already names", body = Job),
        (status = 400, description = "invalid_input: every problem of the body", body = ErrorBody),
    ))]
async fn create_job(
    State(server): State<Server>,
    caller: Caller,
    headers: HeaderMap,
    query: Query,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Response, ApiError> {
    let tenant = caller.tenant;
    let now = server.store.now();
    let available = server.available(&caller);
    let accounts = server.accounts(&caller).await?;
    let terms = CreationRules {
        live: tenant.live,
        available: &available,
        accounts: &accounts,
        scenario: server.scenario,
        guard: &server.guard,
        meetings: &server.meetings,
        start_within: server.start_within,
        now: now.wall,
    };
    let New { job, link, start, ignored } = query.with(create::create(&body, &terms))?;
    let idempotency = idempotency_key(&headers, "POST", "/api/v1/jobs", &body, &ignored)?;
    let extensions = |job| (Extension(SubjectJob(job)), Extension(ignored));
    match server.store.create_job(tenant, job, link, start, idempotency, now).await? {
        Creation::Created(job) => {
            // Also for a scheduled job: the dispatch has to know when the next one is due.
            server.queue.notify_one();
            server.changes.notify_job(job.id);
            Ok((StatusCode::CREATED, extensions(job.id), Json(job)).into_response())
        }
        Creation::Existing(job) => Ok((extensions(job.id), Json(job)).into_response()),
        Creation::Prior(prior) => replay(prior),
        Creation::NoMinutes(minutes) => {
            server.metrics.refused("minutes_per_month");
            let wait = quota::next_month(now.wall).millis_since(now.wall);
            Err(ApiError::quota_exceeded(minutes_are_used_up(minutes, now.wall), wait))
        }
        Creation::QueueFull(limit) => {
            server.metrics.refused("queued_jobs");
            let jobs = if limit.get() == 1 { "job" } else { "jobs" };
            let message = format!(
                "the consumer has {limit} {jobs} in the queue and may have no more; they leave it as bots take them, or when they are cancelled"
            );
            Err(ApiError::quota_exceeded(message, QUEUE_RETRY_AFTER_MS))
        }
    }
}

/// List jobs, newest first.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs",
    params(
        ("status" = Option<Vec<JobStatus>>, Query, description = "Any of these; repeatable"),
        ("externalId" = Option<String>, Query, min_length = 1, max_length = 255, description = "The caller's own id"),
        ("platform" = Option<Platform>, Query, description = "The platform"),
        ("createdAfter" = Option<meetbot_types::Timestamp>, Query, description = "Created then or later"),
        ("createdBefore" = Option<meetbot_types::Timestamp>, Query, description = "Created before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "1 to 200, by default 50; a page of more than 1 MiB ends early"),
        ("cursor" = Option<JobId>, Query, description = "nextCursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<Job>),
        (status = 400, description = "invalid_input", body = ErrorBody),
    ))]
async fn list_jobs(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
    mut query: Query,
) -> Result<Response, ApiError> {
    let time = "an RFC 3339 time with an offset";
    let filter = JobFilter {
        statuses: query.words("status", JobStatus::known, &listed(JobStatus::ALL)),
        external_id: query.external_id(),
        platform: query.word("platform", Platform::known, &listed(Platform::ALL)),
        created_after: query.one("createdAfter", time),
        created_before: query.one("createdBefore", time),
    };
    let window = query.window();
    query.finish()?;
    page(window, move |window| {
        let (server, filter) = (server.clone(), filter.clone());
        async move {
            let mut page = server.store.jobs(tenant, filter, window).await?;
            mark_waiting(&server, tenant, &mut page.data, server.store.now()).await?;
            Ok(page)
        }
    })
    .await
}

/// Read a job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = JobId, Path)),
    responses(
        (status = 200, description = "The job", body = Job),
        (status = 404, description = "not_found", body = ErrorBody),
    ))]
async fn get_job(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
    PathParams(id): PathParams<String>,
) -> Result<Json<Job>, ApiError> {
    let id = job_id(&id)?;
    let mut job = server.store.job(tenant, id).await?.ok_or_else(|| no_job(id))?;
    mark_waiting(&server, tenant, std::slice::from_mut(&mut job), server.store.now()).await?;
    Ok(Json(job))
}

/// Sets `statusDetail` of due jobs that wait for a slot of their consumer, or for a place of their account.
async fn mark_waiting(
    server: &Server,
    tenant: Tenant,
    jobs: &mut [Job],
    now: StoreNow,
) -> Result<(), ApiError> {
    let wants = |job: &Job| quota::wants_slot(job, now.wall);
    if !jobs.iter().any(wants) {
        return Ok(());
    }
    let at_bot_limit = server.store.at_bot_limit(tenant).await?;
    let full = if jobs.iter().any(|job| wants(job) && job.account.is_some()) {
        server.store.full_accounts().await?
    } else {
        Vec::new()
    };
    for job in jobs.iter_mut().filter(|job| wants(job)) {
        let account_is_full = job.account.as_ref().is_some_and(|account| full.contains(account));
        if let Some(awaited) = Awaited::of(at_bot_limit, account_is_full) {
            quota::mark_waiting(job, awaited);
        }
    }
    Ok(())
}

/// Cancel a job. A bot in the meeting leaves, and what it recorded is kept.
#[utoipa::path(delete, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = JobId, Path)),
    responses(
        (status = 204, description = "Cancelled, or ended before; a job whose bot has left already ends as it would have"),
        (status = 404, description = "not_found", body = ErrorBody),
    ))]
async fn cancel_job(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
    PathParams(id): PathParams<String>,
) -> Result<StatusCode, ApiError> {
    let id = job_id(&id)?;
    server.store.cancel(tenant, id, server.store.now()).await?.ok_or_else(|| no_job(id))?;
    server.notify_changed(id);
    Ok(StatusCode::NO_CONTENT)
}
