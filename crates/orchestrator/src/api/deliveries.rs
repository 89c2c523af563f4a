//! Lists, reads and redelivers webhook deliveries.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, Uri},
    response::{IntoResponse as _, Response},
};
use meetbot_types::{Delivery, DeliveryId, DeliveryState, ErrorBody, JobId, Page};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    caller::Caller,
    error::ApiError,
    pages::page,
    query::{Query, listed},
    request::{PathParams, idempotency_key, read_unused_body, replay},
};
use crate::{
    fields::check_unused_body,
    store::{DeliveryFilter, Redelivery},
};

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(list_deliveries))
        .routes(routes!(get_delivery))
        .routes(routes!(redeliver))
}

/// List webhook deliveries with every try, newest first.
#[utoipa::path(get, path = "/api/v1/webhooks/deliveries", tag = "webhooks",
    params(
        ("jobId" = Option<JobId>, Query, description = "Of this job"),
        ("state" = Option<DeliveryState>, Query, description = "In this state"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "1 to 200, by default 50; a page of more than 1 MiB ends early"),
        ("cursor" = Option<DeliveryId>, Query, description = "nextCursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<Delivery>),
        (status = 400, description = "invalid_input", body = ErrorBody),
    ))]
async fn list_deliveries(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
    mut query: Query,
) -> Result<Response, ApiError> {
    let filter = DeliveryFilter {
        job_id: query.one("jobId", "a job's id"),
        state: query.word("state", DeliveryState::known, &listed(DeliveryState::ALL)),
    };
    let window = query.window();
    query.finish()?;
    page(window, move |window| {
        let (store, filter) = (Arc::clone(&server.store), filter.clone());
        async move { Ok(store.deliveries(tenant, filter, window).await?) }
    })
    .await
}

/// A delivery with every try.
#[utoipa::path(get, path = "/api/v1/webhooks/deliveries/{id}", tag = "webhooks", params(("id" = DeliveryId, Path)),
    responses(
        (status = 200, description = "The delivery", body = Delivery),
        (status = 404, description = "not_found", body = ErrorBody),
    ))]
async fn get_delivery(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
    PathParams(id): PathParams<String>,
) -> Result<Json<Delivery>, ApiError> {
    let none = || none(&id);
    let parsed = id.parse().map_err(|_| none())?;
    Ok(Json(server.store.delivery(tenant, parsed).await?.ok_or_else(none)?))
}

fn none(id: &str) -> ApiError {
    ApiError::not_found(format!("there is no delivery {id}"))
}

/// Send a delivery once more, with the same `deliveryId`.
#[utoipa::path(post, path = "/api/v1/webhooks/deliveries/{id}/redeliver", tag = "webhooks", params(("id" = DeliveryId, Path)),
    responses(
        (status = 200, description = "It is pending again", body = Delivery),
        (status = 404, description = "not_found", body = ErrorBody),
    ))]
async fn redeliver(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
    PathParams(id): PathParams<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let parsed = id.parse().map_err(|_| none(&id))?;
    let body = read_unused_body(&server, body).await?;
    let ignored = check_unused_body(&body).map_err(ApiError::invalid_input)?;
    let idempotency = idempotency_key(&headers, "POST", uri.path(), &body, &ignored)?;
    match server.store.redeliver(tenant, parsed, idempotency, server.store.now()).await? {
        Redelivery::Sent(delivery) => {
            server.outbox.notify_one();
            Ok((Extension(ignored), Json(delivery)).into_response())
        }
        Redelivery::NotFound => Err(none(&id)),
        Redelivery::Prior(prior) => replay(prior),
    }
}
