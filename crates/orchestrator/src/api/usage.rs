//! A consumer's usage.

use std::num::NonZeroU32;

use axum::{Json, extract::State};
use meetbot_types::{ErrorBody, Usage};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Server, caller::Caller, error::ApiError};
use crate::{jobs::quota, store::Used};

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(get_usage))
}

/// Read what the key's consumer has used in this month, in the key's world, and what it may use.
#[utoipa::path(get, path = "/api/v1/usage", tag = "consumers",
    responses(
        (status = 200, description = "What was used", body = Usage),
        (status = 401, description = "unauthorized", body = ErrorBody),
    ))]
async fn get_usage(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
) -> Result<Json<Usage>, ApiError> {
    let now = server.store.now();
    let Used { quota, bots, minutes, queued } = server.store.used(tenant, now).await?;
    let number = |limit: Option<NonZeroU32>| limit.map(|limit| limit.get().into());
    Ok(Json(Usage {
        month: quota::month(now.wall),
        minutes,
        max_minutes: number(quota.minutes.filter(|_| tenant.live)),
        bots: bots.into(),
        max_bots: number(quota.bots),
        queued_jobs: queued.into(),
        max_queued_jobs: number(quota.queued),
    }))
}
