//! What became of an event: its line in a job's timeline, and its deliveries to webhook endpoints.

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, EventId, EventName, JobId, Timestamp, event::EventData};

/// One line of a job's timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TimelineEvent {
    /// Its id.
    pub id: EventId,
    /// What happened.
    pub event: EventName,
    /// When.
    pub emitted_at: Timestamp,
    /// What the webhook says about it.
    pub data: EventData,
}

/// An event of a consumer's feed, which has those of all its jobs in one order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct FeedEvent {
    /// Its place in the feed: what to pass to go on behind it.
    pub cursor: String,
    /// Its id.
    pub id: EventId,
    /// What happened. Two kinds of `job.status_changed` are in the feed alone, and have the `sequence` of the job's event before: of a new job (0), without `previousStatus`; and of one whose hint or recording changed (paused, reconnecting, deleted), with the same status as `previousStatus`.
    pub event: EventName,
    /// When.
    pub emitted_at: Timestamp,
    /// What the webhook says about it.
    pub data: EventData,
}

words! {
    /// How far a delivery has come.
    pub enum DeliveryState {
        /// To be tried, for the first time or again.
        Pending = "pending",
        /// The endpoint answered 2xx.
        Delivered = "delivered",
        /// Given up; it is kept and can be sent again.
        Dead = "dead",
    }
}

words! {
    /// How an endpoint is.
    pub enum EndpointState {
        /// Nothing is wrong with it.
        Up = "up",
        /// Its last tries failed.
        Failing = "failing",
        /// It has failed so often in a row that it is only probed now and then.
        Down = "down",
    }
}

/// How the endpoint of a delivery is now. An endpoint is a URL without its query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// In a word.
    pub state: EndpointState,
    /// How many tries have failed since the last one that did not, over all deliveries.
    pub failures: u32,
    /// Since when they fail; `null` when they do not.
    pub failing_since: Option<Timestamp>,
    /// Nothing is sent there before; `null` when it does not rest. Sending a delivery again ends the rest.
    pub rests_until: Option<Timestamp>,
}

/// One event on its way to one webhook endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Its id, as the endpoint sees it in `deliveryId` and `webhook-id`.
    pub id: DeliveryId,
    /// The job.
    pub job_id: JobId,
    /// What happened.
    pub event: EventName,
    /// The event's place among the job's events.
    pub sequence: u64,
    /// The endpoint.
    pub url: String,
    /// How far it has come.
    pub state: DeliveryState,
    /// When it is tried next, at the earliest; `null` when it is not, while it is on its way, and while it waits for an earlier one of its job.
    pub next_try_at: Option<Timestamp>,
    /// When the event happened.
    pub created_at: Timestamp,
    /// How the endpoint is now.
    pub endpoint: Endpoint,
    /// Every try, oldest first.
    pub tries: Vec<DeliveryTry>,
}

/// One try of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeliveryTry {
    /// When it began.
    pub at: Timestamp,
    /// How long it took until the answer's status was there, or until it was given up, in ms.
    pub duration_ms: u64,
    /// The HTTP status of the answer; `null` when there was no answer.
    pub status: Option<u16>,
    /// What went wrong; `null` when nothing did.
    pub error: Option<String>,
    /// The first 4,096 bytes of the answer's body, as text; `null` when it had none.
    pub answer: Option<String>,
}

/// Which deliveries to send once more: the body of `POST /api/v1/webhooks/deliveries/redeliver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Redeliver {
    /// The endpoint: a URL that webhooks were sent to. Its query does not count.
    #[cfg_attr(feature = "openapi", schema(example = "https://example.com/hooks/meetbot"))]
    pub endpoint: String,
    /// Deliveries that were made then or later (RFC 3339 with an offset).
    pub since: Timestamp,
    /// `nextCursor` of the answer before, to go on behind it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, pattern = "^dlv_[0-7][0-9A-HJKMNP-TV-Z]{25}$"))]
    pub cursor: Option<DeliveryId>,
}

/// What is sent once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Redelivered {
    /// How many deliveries.
    pub count: u32,
    /// What to pass as `cursor` for those behind them; `null` where there are no more.
    pub next_cursor: Option<DeliveryId>,
}

/// Where to send a test event: the body of `POST /api/v1/webhooks/test`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TestWebhook {
    /// The URL.
    #[cfg_attr(feature = "openapi", schema(example = "https://example.com/hooks/meetbot"))]
    pub endpoint: String,
}

/// What became of a test event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TestedWebhook {
    /// The `deliveryId` that the endpoint was shown. No list has it.
    pub delivery_id: DeliveryId,
    /// Where it was sent.
    pub endpoint: String,
    /// Whether the endpoint took it, with a status of 200 to 299.
    pub delivered: bool,
    /// What happened.
    pub tried: DeliveryTry,
}
