//! Creates, lists and revokes API keys.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use meetbot_types::{ApiKey, CreatedKey, ErrorBody, KeyId, Page, admin::NewKey};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::bodies::{self, AskedKey};
use crate::{
    api::{
        Server,
        caller::{Caller, CreatedPath},
        error::ApiError,
        pages::page,
        query::Query,
        request::{BODY_LIMIT, JsonBody, PathParams, idempotency_key, replay},
    },
    keys::{self, KeySpec},
    store::{Key, KeyCreation, KeyFilter, PriorRequest, Revocation, StoredResponse},
};

const PATH: &str = "/api/v1/admin/keys";

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(create_key, list_keys)).routes(routes!(revoke_key))
}

/// Make an API key, which is shown once. With a consumer that is new its webhook secret is shown too.
///
/// A request that is sent again with its Idempotency-Key and the same API key is answered with the same key, which is not stored for that.
#[utoipa::path(post, path = "/api/v1/admin/keys", tag = "operators", request_body = NewKey,
    responses(
        (status = 201, description = "The key", body = CreatedKey),
        (status = 400, description = "invalid_input: every problem of the body", body = ErrorBody),
        (status = 403, description = "forbidden: this needs a live key with the scope operator", body = ErrorBody),
    ))]
async fn create_key(
    State(server): State<Server>,
    caller: Caller,
    headers: HeaderMap,
    query: Query,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Response, ApiError> {
    let now = server.store.now();
    let (asked, ignored) = query.with(bodies::new_key(&body, caller.key().scope, now.wall))?;
    let AskedKey { consumer, live, scope, expires_at } = asked;
    let shown = caller.secret(&server, &headers)?;
    // The caller's credential is part of the fingerprint: the secret is derived from it.
    let path = format!("{PATH} {:?}", keys::hash(shown));
    let idempotency = idempotency_key(&headers, "POST", &path, &body, &ignored)?;
    let name = idempotency.as_ref().map(|asked| asked.key.clone());
    let spec = KeySpec { consumer: &consumer, live, scope, expires_at };
    let (new, secret) = keys::for_caller(spec, now.wall, shown, name.as_deref());
    let made = |id: KeyId| Extension(CreatedPath(format!("{PATH}/{id}")));
    match server.store.create_key_idempotently(caller.tenant, new, idempotency, now).await? {
        KeyCreation::Created(key, webhook_secret) => {
            tracing::info!(key = %key.id, by = %caller.key().id, scope = %key.scope, "a key was made");
            let answer = CreatedKey {
                key: secret.expose().to_owned(),
                webhook_secret: webhook_secret.map(|secret| secret.expose().to_owned()),
                shown: key.shown(),
            };
            let extensions = (made(answer.shown.id), Extension(ignored));
            Ok((StatusCode::CREATED, extensions, Json(answer)).into_response())
        }
        KeyCreation::Prior(PriorRequest::Answered(StoredResponse { status, body, ignored })) => {
            let mut answer: CreatedKey =
                serde_json::from_str(&body).map_err(|_| ApiError::internal())?;
            let ApiKey { id, prefix, .. } = &answer.shown;
            let name = name.unwrap_or_default();
            let key = keys::for_caller_again(*id, prefix, shown, &name);
            key.expose().clone_into(&mut answer.key);
            let body = serde_json::to_string(&answer).map_err(|_| ApiError::internal())?;
            let prior = PriorRequest::Answered(StoredResponse { status, body, ignored });
            Ok((made(answer.shown.id), replay(prior)?).into_response())
        }
        KeyCreation::Prior(prior) => replay(prior),
    }
}

/// List the API keys of all consumers, newest first, without their secrets.
#[utoipa::path(get, path = "/api/v1/admin/keys", tag = "operators",
    params(
        ("consumer" = Option<String>, Query, description = "Of the consumer with this name"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "1 to 200, by default 50"),
        ("cursor" = Option<KeyId>, Query, description = "nextCursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<ApiKey>),
        (status = 400, description = "invalid_input", body = ErrorBody),
        (status = 403, description = "forbidden: this needs a live key with the scope operator", body = ErrorBody),
    ))]
async fn list_keys(State(server): State<Server>, mut query: Query) -> Result<Response, ApiError> {
    let filter = KeyFilter { consumer: query.text("consumer") };
    let window = query.window();
    query.finish()?;
    page(window, move |window| {
        let (store, filter) = (Arc::clone(&server.store), filter.clone());
        async move {
            let Page { data, next_cursor } = store.list_keys(filter, window).await?;
            Ok(Page { data: data.into_iter().map(Key::shown).collect(), next_cursor })
        }
    })
    .await
}

/// Revoke an API key: no new calls with it, event streams end, bots in flight go on. Asked again, it changes nothing.
#[utoipa::path(delete, path = "/api/v1/admin/keys/{id}", tag = "operators", params(("id" = KeyId, Path)),
    responses(
        (status = 200, description = "The key, which is revoked", body = ApiKey),
        (status = 403, description = "forbidden: this needs a live key with the scope operator", body = ErrorBody),
        (status = 404, description = "not_found", body = ErrorBody),
        (status = 409, description = "conflict: it is the last good key with the scope operator", body = ErrorBody),
    ))]
async fn revoke_key(
    State(server): State<Server>,
    caller: Caller,
    PathParams(id): PathParams<String>,
) -> Result<Json<ApiKey>, ApiError> {
    let none = || ApiError::not_found(format!("there is no key {id}"));
    let parsed = id.parse().map_err(|_| none())?;
    revoke(&server, &caller, parsed).await?.map(Json).ok_or_else(none)
}

/// Revokes a key; `None` if it does not exist.
pub(in crate::api) async fn revoke(
    server: &Server,
    by: &Caller,
    id: KeyId,
) -> Result<Option<ApiKey>, ApiError> {
    match server.store.revoke_key(id, true, server.store.now()).await? {
        Revocation::Done(key) => {
            server.known_keys.forget(key.tenant.consumer);
            tracing::info!(key = %key.id, by = %by.key().id, "a key was revoked");
            Ok(Some(key.shown()))
        }
        Revocation::NotFound => Ok(None),
        Revocation::LastOperator => Err(ApiError::conflict(
            "this is the last good key with the scope operator: make another one first, or revoke it on the server's machine with `meetbot keys revoke`",
        )),
    }
}
