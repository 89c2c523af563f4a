//! Lists and rotates the secrets with which webhooks are signed; lists do not contain the secrets.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, Uri},
    response::{IntoResponse as _, Response},
};
use meetbot_types::{
    ConsumerId, ConsumerSecret, ErrorBody, Page, RotatedSecret, SecretRotation, bot::Secret,
    signature,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{bodies, consumer_id, no_consumer};
use crate::{
    api::{
        Server,
        caller::Caller,
        error::ApiError,
        pages::page,
        query::Query,
        request::{BODY_LIMIT, JsonBody, PathParams, idempotency_key, replay},
    },
    store::{ConsumerFilter, Rotation, RotationAnswer},
};

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(list_secrets)).routes(routes!(rotate_secret))
}

/// List whose webhook secret is being rotated and until when, newest consumers first. No secret is shown.
#[utoipa::path(get, path = "/api/v1/admin/secrets", tag = "operators",
    params(
        ("consumer" = Option<String>, Query, description = "Of the consumer with this name"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "1 to 200, by default 50"),
        ("cursor" = Option<ConsumerId>, Query, description = "nextCursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<ConsumerSecret>),
        (status = 400, description = "invalid_input", body = ErrorBody),
        (status = 403, description = "forbidden: this needs a live key with the scope operator", body = ErrorBody),
    ))]
async fn list_secrets(
    State(server): State<Server>,
    mut query: Query,
) -> Result<Response, ApiError> {
    let filter = ConsumerFilter { name: query.text("consumer"), id: None };
    let window = query.window();
    query.finish()?;
    page(window, move |window| {
        let (store, filter) = (Arc::clone(&server.store), filter.clone());
        async move {
            let now = store.now();
            let Page { data, next_cursor } = store.list_consumers(filter, window, now).await?;
            let data = data.into_iter().map(|one| one.secret_at(now.wall)).collect();
            Ok(Page { data, next_cursor })
        }
    })
    .await
}

/// Give a consumer a new webhook secret, which is shown once. The previous one stays valid for a while, so that no receiver is cut off.
#[utoipa::path(post, path = "/api/v1/admin/secrets/{id}/rotate", tag = "operators",
    params(("id" = ConsumerId, Path, description = "The consumer's id")), request_body = SecretRotation,
    responses(
        (status = 200, description = "The new secret", body = RotatedSecret),
        (status = 400, description = "invalid_input: every problem of the body", body = ErrorBody),
        (status = 403, description = "forbidden: this needs a live key with the scope operator", body = ErrorBody),
        (status = 404, description = "not_found", body = ErrorBody),
        (status = 409, description = "conflict: another rotation is under way", body = ErrorBody),
    ))]
async fn rotate_secret(
    State(server): State<Server>,
    caller: Caller,
    PathParams(id): PathParams<String>,
    uri: Uri,
    headers: HeaderMap,
    query: Query,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Response, ApiError> {
    let consumer = consumer_id(&id)?;
    let (overlap, ignored) = query.with(bodies::rotation(&body))?;
    // The caller's key is part of the fingerprint, so that another key does not get the stored response.
    let path = format!("{} {}", uri.path(), caller.key().id);
    let idempotency = idempotency_key(&headers, "POST", &path, &body, &ignored)?;
    let new = Secret::new(signature::generate_secret());
    let (store, now) = (&server.store, server.store.now());
    let rotated = store.rotate_webhook_secret_idempotently(
        caller.tenant,
        consumer,
        new,
        overlap,
        idempotency,
        now,
    );
    match rotated.await? {
        RotationAnswer::Now(Rotation::Done(secrets)) => {
            tracing::info!(%consumer, by = %caller.key().id, "a webhook secret was rotated");
            let name = store.consumer_name(consumer).await?.ok_or_else(|| no_consumer(consumer))?;
            Ok((Extension(ignored), Json(secrets.shown(consumer, name))).into_response())
        }
        RotationAnswer::Now(Rotation::UnderWay(until)) => {
            let message = format!(
                "a rotation is under way until {until}: another one would cut off receivers that know only the secret before it; wait until then, or cut off with overlapSeconds 0"
            );
            Err(ApiError::conflict(message))
        }
        RotationAnswer::Now(Rotation::NoConsumer) => Err(no_consumer(consumer)),
        RotationAnswer::Prior(prior) => replay(prior),
    }
}
