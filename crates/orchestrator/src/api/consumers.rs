//! Erasing a consumer.

use std::time::Duration;

use axum::{Json, extract::State};
use meetbot_types::{ErasureReceipt, ErrorBody, JobId, RemovedObject};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Server, caller::Caller, deletion, error::ApiError, query::Query};
use crate::store::Tenant;

/// How long the call waits for bots to leave their meetings.
const PATIENCE: Duration = Duration::from_secs(25);
/// How many jobs are erased in one transaction; reports of bots are handled between two of them.
const PORTION: usize = 20;
/// How often the jobs are read while bots leave.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(erase_consumer))
}

/// Cancel all bots of the key's consumer and erase everything it has: jobs, recordings, webhooks and keys.
///
/// A live key erases both worlds, a test key the test world alone: live jobs, recordings and keys stay, with the consumer and its webhook secret.
#[utoipa::path(delete, path = "/api/v1/consumers/me", tag = "consumers",
    params(("confirm" = String, Query, description = "The name of the key's consumer, so that nobody erases by mistake")),
    responses(
        (status = 200, description = "What was erased", body = ErasureReceipt),
        (status = 400, description = "invalid_input: confirm is not the consumer's name", body = ErrorBody),
        (status = 403, description = "forbidden: this needs the scope admin", body = ErrorBody),
        (status = 503, description = "unavailable: bots are still leaving; ask again", body = ErrorBody),
    ))]
async fn erase_consumer(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
    query: Query,
) -> Result<Json<ErasureReceipt>, ApiError> {
    let consumer = tenant.consumer;
    let gone = || ApiError::unauthorized("the consumer of this key is erased");
    let name = server.store.consumer_name(consumer).await?.ok_or_else(gone)?;
    erase(&server, tenant, name, query).await
}

/// Erases the parts of the consumer that a key of this tenant may erase. The query has to contain the consumer's name as confirmation.
pub(super) async fn erase(
    server: &Server,
    tenant: Tenant,
    name: String,
    mut query: Query,
) -> Result<Json<ErasureReceipt>, ApiError> {
    let consumer = tenant.consumer;
    if query.text("confirm").as_ref() != Some(&name) {
        let message =
            "must be, in the query, the name of the consumer: everything it has is erased";
        query.refuse("confirm", "not_confirmed", message);
    }
    query.finish()?;
    let (mut removed, mut erased, mut waited) = (Vec::new(), 0, Duration::ZERO);
    loop {
        let jobs = server.store.consumer_jobs(tenant).await?;
        let (ended, leaving): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|(.., ended)| *ended);
        for (of, job, _) in &leaving {
            server.store.cancel(*of, *job, server.store.now()).await?;
            server.notify_changed(*job);
        }
        for portion in ended.chunks(PORTION) {
            let jobs: Vec<JobId> = portion.iter().map(|(_, job, _)| *job).collect();
            server.store.drop_mixes(jobs.clone()).await?;
            for job in &jobs {
                server.recordings.give_up_upload(*job).await;
                // Before the rows, so that after a crash in between the call can be repeated.
                removed.extend(recordings(server, *job).await?);
            }
            erased += server.store.erase_jobs(consumer, jobs, server.store.now()).await?;
        }
        // Jobs that were created meanwhile have files too, so the store refuses while there are any.
        if leaving.is_empty()
            && let Some(keys) = server.store.erase_consumer(tenant).await?
        {
            server.known_keys.forget(consumer);
            tracing::info!(%consumer, live = tenant.live, jobs = erased, "a consumer was erased");
            let (consumer, erased_at) = (name, server.clock.now().wall);
            return Ok(Json(ErasureReceipt { consumer, erased_at, jobs: erased, keys, removed }));
        }
        if waited >= PATIENCE {
            let message =
                format!("bots are still leaving their meetings ({}); ask again", leaving.len());
            return Err(ApiError::unavailable(message));
        }
        tokio::time::sleep(LOOK).await;
        waited += LOOK;
    }
}

async fn recordings(server: &Server, job: JobId) -> Result<Vec<RemovedObject>, ApiError> {
    let (removed, _) = deletion::remove_recording(server, job).await?;
    let named =
        |object: RemovedObject| RemovedObject { name: format!("{job}/{}", object.name), ..object };
    Ok(removed.into_iter().map(named).collect())
}
