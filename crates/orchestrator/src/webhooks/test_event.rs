//! A test event: sent once, as every webhook is, and in no list and no count.

use meetbot_types::{
    DeliveryId, EventName, JobId, JobStatus, Metadata, TestedWebhook, Timestamp, WebhookEvent,
    event::{ENVELOPE_VERSION, EventData, EventDetails},
};

use super::Post;
use crate::{
    deliveries::Lane,
    store::{DueDelivery, WebhookSecrets},
};

/// Its name: SDKs pass an event that they do not know through.
const NAME: &str = "webhook.test";

/// Sends one to this URL; answers what became of it.
pub(crate) async fn send(
    post: &Post,
    url: String,
    secrets: WebhookSecrets,
    now: Timestamp,
) -> TestedWebhook {
    let event = event(now);
    let delivery_id = event.delivery_id;
    let due = DueDelivery { event, tries: 0, since: now, url, secrets, lane: Lane::New };
    let (tried, _) = post.make(&due).await;
    let delivered = tried.status.is_some_and(|status| (200..300).contains(&status));
    TestedWebhook { delivery_id, endpoint: due.url, delivered, tried }
}

/// An event of a job that does not exist.
fn event(now: Timestamp) -> WebhookEvent {
    let name = EventName::from(NAME);
    let test = ("test".to_owned(), true.into());
    let data = EventData {
        event: name.clone(),
        sequence: 0,
        job_id: JobId::generate(now),
        external_id: None,
        status: JobStatus::Queued,
        metadata: Metadata::default(),
        details: EventDetails::Other([test].into_iter().collect()),
    };
    WebhookEvent {
        delivery_id: DeliveryId::generate(now),
        event: name,
        emitted_at: now,
        attempt: 1,
        version: ENVELOPE_VERSION,
        data,
    }
}
