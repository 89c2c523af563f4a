//! The platforms that bots can join.

use axum::{Json, extract::State};
use meetbot_types::{
    Availability, ErrorBody, Page, PlatformAvailability,
    availability::{of_platforms, with_test_key},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Server, caller::Caller, error::ApiError};
use crate::{
    accounts::AccountChoice,
    store::{ConsumerFilter, Window},
};

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(list_platforms))
}

impl Server {
    /// The ways into meetings for the jobs of a key.
    pub(super) fn available(&self, caller: &Caller) -> Vec<Availability> {
        if caller.tenant.live {
            self.hooks.zoom.available(&self.available, &caller.key().consumer_name)
        } else {
            with_test_key(&self.available)
        }
    }

    /// The accounts, as they are for the jobs of a key.
    pub(super) async fn accounts(&self, caller: &Caller) -> Result<Vec<AccountChoice>, ApiError> {
        if self.accounts.is_empty() || !caller.tenant.live {
            return Ok(Vec::new());
        }
        let is_alone = if self.accounts.depend_on_other_consumers() {
            let two = Window { limit: 2, after: None };
            let now = self.store.now();
            let page = self.store.list_consumers(ConsumerFilter::default(), two, now).await?;
            page.data.len() < 2
        } else {
            false
        };
        Ok(self.accounts.choices(&self.data_dir, &caller.key().consumer_name, is_alone))
    }
}

/// List every platform that links are recognised of, with each way into its meetings: whether a job for it is taken, and what the operator has to install or set where none is. All of it on one page.
/// With a test key the sandbox plays the meetings of every platform.
#[utoipa::path(get, path = "/api/v1/platforms", tag = "jobs",
    responses(
        (status = 200, description = "The platforms", body = Page<PlatformAvailability>),
        (status = 401, description = "unauthorized", body = ErrorBody),
    ))]
async fn list_platforms(
    State(server): State<Server>,
    caller: Caller,
) -> Json<Page<PlatformAvailability>> {
    Json(Page { data: of_platforms(&server.available(&caller)), next_cursor: None })
}
