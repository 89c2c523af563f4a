//! The audit log: what keys changed or were refused.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use meetbot_types::{ConsumerId, ErrorBody, JobId, KeyId, KeyUse, Page, Timestamp, UseId};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{Server, error::ApiError, pages::page, query::Query},
    store::UseFilter,
};

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(list_uses))
}

/// List what keys changed or were refused, newest first. A call is in the list a moment after it was answered, at most a second.
///
/// A page ends early, even without a line, where few are found among very many; it has a nextCursor then.
#[utoipa::path(get, path = "/api/v1/admin/audit", tag = "operators",
    params(
        ("key" = Option<KeyId>, Query, description = "Of this key"),
        ("consumer" = Option<ConsumerId>, Query, description = "Of keys of the consumer with this id"),
        ("job" = Option<JobId>, Query, description = "About this job"),
        ("refused" = Option<bool>, Query, description = "true: only what was refused"),
        ("after" = Option<Timestamp>, Query, description = "Then or later"),
        ("before" = Option<Timestamp>, Query, description = "Before then"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "1 to 200, by default 50"),
        ("cursor" = Option<UseId>, Query, description = "nextCursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<KeyUse>),
        (status = 400, description = "invalid_input", body = ErrorBody),
        (status = 403, description = "forbidden: this needs a live key with the scope operator", body = ErrorBody),
    ))]
async fn list_uses(State(server): State<Server>, mut query: Query) -> Result<Response, ApiError> {
    let time = "an RFC 3339 time with an offset";
    let filter = UseFilter {
        key: query.one("key", "a key's id"),
        consumer: query.one("consumer", "a consumer's id"),
        job: query.one("job", "a job's id"),
        refused: query.one("refused", "true or false").unwrap_or(false),
        after: query.one("after", time),
        before: query.one("before", time),
    };
    let window = query.window();
    query.finish()?;
    page(window, move |window| {
        let (store, filter) = (Arc::clone(&server.store), filter.clone());
        async move { Ok(store.key_uses(filter, window).await?) }
    })
    .await
}
