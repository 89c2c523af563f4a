//! Deliveries of webhooks.

use meetbot_types::{DeliveryState, EndpointState, EventName, Timestamp};
use serde::{Deserialize, Serialize};

use super::{id, object, objects, or_default};

/// One event on its way to one webhook endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Its id, as the endpoint sees it in `deliveryId` and `webhook-id`.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// The job's id.
    pub job_id: Option<String>,
    /// What happened.
    pub event: Option<EventName>,
    /// The event's place among the job's events, from 1.
    #[serde(default, deserialize_with = "or_default")]
    pub sequence: u64,
    /// The endpoint.
    pub url: Option<String>,
    /// How far it has come.
    pub state: DeliveryState,
    /// When it is tried next, at the earliest; `None` when it is not, while it is on its way, and while it waits for an earlier one of its job.
    pub next_try_at: Option<Timestamp>,
    /// When the event happened.
    pub created_at: Option<Timestamp>,
    /// How the endpoint is now.
    #[serde(default, deserialize_with = "object")]
    pub endpoint: Endpoint,
    /// Every try, oldest first.
    #[serde(default, deserialize_with = "objects")]
    pub tries: Vec<DeliveryTry>,
}

/// How the endpoint of a delivery is now. An endpoint is a URL without its query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// In a word.
    pub state: Option<EndpointState>,
    /// How many tries have failed since the last one that did not, over all deliveries.
    #[serde(default, deserialize_with = "or_default")]
    pub failures: u32,
    /// Since when they fail; `None` when they do not.
    pub failing_since: Option<Timestamp>,
    /// Nothing is sent there before; `None` when it does not rest. Sending a delivery again ends the rest.
    pub rests_until: Option<Timestamp>,
}

/// One try of a delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryTry {
    /// When it began.
    pub at: Option<Timestamp>,
    /// How long it took until the answer's status was there, or until it was given up, in ms.
    #[serde(default, deserialize_with = "or_default")]
    pub duration_ms: u64,
    /// The HTTP status of the answer; `None` when there was no answer.
    pub status: Option<u16>,
    /// What went wrong; `None` when nothing did.
    pub error: Option<String>,
    /// The first 4,096 bytes of the answer's body, as text; `None` when it had none.
    pub answer: Option<String>,
}
