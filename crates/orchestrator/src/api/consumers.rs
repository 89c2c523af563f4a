//! Erasing a consumer.

use std::time::Duration;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use meetbot_types::{ErasureReceipt, ErrorBody, RemovedObject};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Server, caller::Caller, deletion, error::ApiError, query::Query};

/// How long the call waits for bots to leave their meetings.
const PATIENCE: Duration = Duration::from_secs(25);
/// How often to look.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(erase_consumer))
}

/// Cancel all bots of the key's consumer and erase everything it has: jobs, recordings, webhooks and keys, of both worlds.
#[utoipa::path(delete, path = "/api/v1/consumers/me", tag = "consumers",
    params(("confirm" = String, Query, description = "The consumer's name, so that nobody erases by mistake")),
    responses(
        (status = 200, description = "What was erased", body = ErasureReceipt),
        (status = 400, description = "invalid_input: confirm is not the consumer's name", body = ErrorBody),
        (status = 403, description = "forbidden: this needs the scope admin", body = ErrorBody),
        (status = 503, description = "unavailable: bots are still leaving; ask again", body = ErrorBody),
    ))]
async fn erase_consumer(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<ErasureReceipt>, ApiError> {
    let consumer = tenant.consumer;
    let gone = || ApiError::unauthorized("the consumer of this key is erased");
    let name = server.store.consumer_name(consumer).await?.ok_or_else(gone)?;
    let query = Query::new(query.as_deref());
    if query.text("confirm") != Some(name.as_str()) {
        let message = "must be the name of this key's consumer: everything it has is erased";
        return Err(ApiError::invalid("confirm", "not_confirmed", message));
    }
    query.finish()?;
    let (mut removed, mut waited) = (Vec::new(), Duration::ZERO);
    loop {
        let jobs = server.store.consumer_jobs(consumer).await?;
        let mut leaving = 0;
        for (tenant, job, ended) in jobs {
            if ended {
                // Before the rows, so that a crash in between leaves what can be asked for again.
                removed.extend(recordings(&server, job).await?);
            } else {
                leaving += 1;
                server.store.cancel(tenant, job, server.clock.now()).await?;
                server.happened(job);
            }
        }
        if leaving == 0
            && let Some((jobs, keys)) = server.store.erase_consumer(consumer).await?
        {
            server.known_keys.forget();
            tracing::info!(consumer = %consumer, jobs, "a consumer was erased");
            let erased_at = server.clock.now().wall;
            return Ok(Json(ErasureReceipt { consumer: name, erased_at, jobs, keys, removed }));
        }
        if waited >= PATIENCE {
            let message = format!("{leaving} bots are still leaving their meetings; ask again");
            return Err(ApiError::unavailable(message));
        }
        tokio::time::sleep(LOOK).await;
        waited += LOOK;
    }
}

async fn recordings(
    server: &Server,
    job: meetbot_types::JobId,
) -> Result<Vec<RemovedObject>, ApiError> {
    let (removed, _) = deletion::remove_recording(server, job).await?;
    let named =
        |object: RemovedObject| RemovedObject { name: format!("{job}/{}", object.name), ..object };
    Ok(removed.into_iter().map(named).collect())
}
