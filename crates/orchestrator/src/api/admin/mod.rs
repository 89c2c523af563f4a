//! The calls of operators: keys, consumers with their quotas, the audit log, webhook secrets. All of them require a live key with the
//! scope `operator`.

mod audit;
pub(super) mod bodies;
mod consumers;
mod keys;
mod secrets;

pub(super) use self::keys::revoke;

use meetbot_types::ConsumerId;
use utoipa_axum::router::OpenApiRouter;

use super::{Server, error::ApiError};

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .merge(keys::router())
        .merge(consumers::router())
        .merge(audit::router())
        .merge(secrets::router())
}

/// The consumer id in a path. An invalid id is answered as an unknown consumer.
fn consumer_id(text: &str) -> Result<ConsumerId, ApiError> {
    text.parse().map_err(|_| no_consumer(text))
}

fn no_consumer(id: impl std::fmt::Display) -> ApiError {
    ApiError::not_found(format!("there is no consumer {id}"))
}
