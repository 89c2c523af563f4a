//! Lists consumers with their usage, sets their quotas, and erases them.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use meetbot_types::{Consumer, ConsumerId, ErasureReceipt, ErrorBody, Page, admin::QuotaChange};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{bodies, consumer_id, no_consumer};
use crate::{
    api::{
        Server,
        caller::Caller,
        consumers::erase,
        error::ApiError,
        pages::page,
        query::Query,
        request::{BODY_LIMIT, JsonBody, PathParams},
    },
    store::{ConsumerFilter, ConsumerUse, Tenant, Window},
};

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(list_consumers))
        .routes(routes!(get_consumer, erase_any_consumer))
        .routes(routes!(change_quota))
}

/// List consumers with what they use and may use, newest first.
#[utoipa::path(get, path = "/api/v1/admin/consumers", tag = "operators",
    params(
        ("name" = Option<String>, Query, description = "The one with this name"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "1 to 200, by default 50"),
        ("cursor" = Option<ConsumerId>, Query, description = "nextCursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<Consumer>),
        (status = 400, description = "invalid_input", body = ErrorBody),
        (status = 403, description = "forbidden: this needs a live key with the scope operator", body = ErrorBody),
    ))]
async fn list_consumers(
    State(server): State<Server>,
    mut query: Query,
) -> Result<Response, ApiError> {
    let filter = ConsumerFilter { name: query.text("name"), id: None };
    let window = query.window();
    query.finish()?;
    page(window, move |window| {
        let (store, filter) = (Arc::clone(&server.store), filter.clone());
        async move {
            let Page { data, next_cursor } =
                store.list_consumers(filter, window, store.now()).await?;
            Ok(Page { data: data.into_iter().map(ConsumerUse::shown).collect(), next_cursor })
        }
    })
    .await
}

/// Read what a consumer uses and may use.
#[utoipa::path(get, path = "/api/v1/admin/consumers/{id}", tag = "operators", params(("id" = ConsumerId, Path)),
    responses(
        (status = 200, description = "The consumer", body = Consumer),
        (status = 403, description = "forbidden: this needs a live key with the scope operator", body = ErrorBody),
        (status = 404, description = "not_found", body = ErrorBody),
    ))]
async fn get_consumer(
    State(server): State<Server>,
    PathParams(id): PathParams<String>,
) -> Result<Json<Consumer>, ApiError> {
    find(&server, consumer_id(&id)?).await.map(Json)
}

async fn find(server: &Server, id: ConsumerId) -> Result<Consumer, ApiError> {
    let filter = ConsumerFilter { id: Some(id), name: None };
    let window = Window { limit: 1, after: None };
    let found = server.store.list_consumers(filter, window, server.store.now()).await?;
    let found = found.data.into_iter().next().ok_or_else(|| no_consumer(id))?;
    Ok(found.shown())
}

/// Change what a consumer may use, and which workers run its bots; what is not named stays as it is. It holds at once, and no bot leaves its meeting for that.
#[utoipa::path(patch, path = "/api/v1/admin/consumers/{id}/quota", tag = "operators",
    params(("id" = ConsumerId, Path)), request_body = QuotaChange,
    responses(
        (status = 200, description = "The consumer", body = Consumer),
        (status = 400, description = "invalid_input: every problem of the body", body = ErrorBody),
        (status = 403, description = "forbidden: this needs a live key with the scope operator", body = ErrorBody),
        (status = 404, description = "not_found", body = ErrorBody),
    ))]
async fn change_quota(
    State(server): State<Server>,
    PathParams(id): PathParams<String>,
    query: Query,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Response, ApiError> {
    let id = consumer_id(&id)?;
    let (change, ignored) = query.with(bodies::quota_change(&body))?;
    let name = server.store.consumer_name(id).await?.ok_or_else(|| no_consumer(id))?;
    if !server.store.change_quota(&name, change.into()).await? {
        return Err(no_consumer(id));
    }
    // A higher quota may have slots for waiting jobs.
    server.queue.notify_one();
    Ok((Extension(ignored), Json(find(&server, id).await?)).into_response())
}

/// Cancel all bots of a consumer and erase everything it has, of both worlds: jobs, recordings, webhooks and keys.
///
/// The consumer of the key that asks is erased by `DELETE /api/v1/consumers/me` only.
#[utoipa::path(delete, path = "/api/v1/admin/consumers/{id}", tag = "operators",
    params(
        ("id" = ConsumerId, Path),
        ("confirm" = String, Query, description = "The consumer's name, so that nobody erases by mistake"),
    ),
    responses(
        (status = 200, description = "What was erased", body = ErasureReceipt),
        (status = 400, description = "invalid_input: confirm is not the consumer's name", body = ErrorBody),
        (status = 403, description = "forbidden: this needs a live key with the scope operator", body = ErrorBody),
        (status = 404, description = "not_found", body = ErrorBody),
        (status = 409, description = "conflict: it is the consumer of the key that asks", body = ErrorBody),
        (status = 503, description = "unavailable: bots are still leaving; ask again", body = ErrorBody),
    ))]
async fn erase_any_consumer(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
    PathParams(id): PathParams<String>,
    query: Query,
) -> Result<Json<ErasureReceipt>, ApiError> {
    let consumer = consumer_id(&id)?;
    let name = server.store.consumer_name(consumer).await?.ok_or_else(|| no_consumer(consumer))?;
    if consumer == tenant.consumer {
        return Err(ApiError::conflict(
            "the key that asks is one of this consumer: DELETE /api/v1/consumers/me erases it, the key included",
        ));
    }
    erase(&server, Tenant { consumer, live: true }, name, query).await
}
