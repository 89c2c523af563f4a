//! Every call of the API as data, so that the async and the blocking client share everything but the sending.

use http::Method;
use meetbot_types::{DeliveryState, JobStatus, NewJob, Page, Platform, Timestamp};
use serde_json::json;
use url::form_urlencoded;

use crate::{
    Error,
    models::{
        self, ControlResult, DeletionReceipt, Delivery, ErasureReceipt, Host, Job, Manifest,
        PlatformAvailability, TimelineEvent, Usage, manifest::File,
    },
};

/// One call: what to send, and how to read the answer.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint<T> {
    pub(crate) method: Method,
    /// From `/api` on, with its query, percent-encoded.
    pub(crate) path: String,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) decode: fn(&[u8]) -> serde_json::Result<T>,
}

impl<T> Endpoint<T> {
    fn get(path: String, decode: fn(&[u8]) -> serde_json::Result<T>) -> Self {
        Self { method: Method::GET, path, body: None, decode }
    }
}

/// Which jobs to list; what is not set does not narrow the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListBots {
    /// Jobs in any of these statuses.
    pub status: Vec<JobStatus>,
    /// The job with this id of your own.
    pub external_id: Option<String>,
    /// Jobs for meetings of this product.
    pub platform: Option<Platform>,
    /// Jobs created at this time or later.
    pub created_after: Option<Timestamp>,
    /// Jobs created before this time.
    pub created_before: Option<Timestamp>,
    /// How many jobs a page holds: 1 to 200; the server's default is 50. A page of large jobs holds fewer, and has a `next_cursor` all the same.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Which deliveries to list; what is not set does not narrow the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListDeliveries {
    /// Deliveries of this job.
    pub job_id: Option<String>,
    /// Deliveries in this state.
    pub state: Option<DeliveryState>,
    /// How many a page holds: 1 to 200; the server's default is 50. A page of large deliveries holds fewer, and has a `next_cursor` all the same.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

pub(crate) fn dispatch_bot(new: &NewJob) -> Result<Endpoint<Job>, Error> {
    let body = serde_json::to_vec(new).map_err(|error| {
        Error::configuration("the job cannot be written as JSON").with_source(error)
    })?;
    Ok(Endpoint {
        method: Method::POST,
        path: "/api/v1/jobs".to_owned(),
        body: Some(body),
        decode: models::job,
    })
}

pub(crate) fn get_bot(job_id: &str) -> Result<Endpoint<Job>, Error> {
    Ok(Endpoint::get(job_path(job_id, "")?, models::job))
}

pub(crate) fn list_bots(list: &ListBots) -> Endpoint<Page<Job>> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for status in &list.status {
        query.append_pair("status", status.as_str());
    }
    append(&mut query, "externalId", list.external_id.as_ref());
    append(&mut query, "platform", list.platform.as_ref());
    append(&mut query, "createdAfter", list.created_after.as_ref());
    append(&mut query, "createdBefore", list.created_before.as_ref());
    append(&mut query, "limit", list.limit.as_ref());
    append(&mut query, "cursor", list.cursor.as_ref());
    Endpoint::get(with_query("/api/v1/jobs", &query.finish()), models::jobs)
}

pub(crate) fn cancel_bot(job_id: &str) -> Result<Endpoint<()>, Error> {
    Ok(Endpoint {
        method: Method::DELETE,
        path: job_path(job_id, "")?,
        body: None,
        decode: models::nothing,
    })
}

pub(crate) fn delete_recording(job_id: &str) -> Result<Endpoint<DeletionReceipt>, Error> {
    let path = job_path(job_id, "/recording")?;
    Ok(Endpoint { method: Method::DELETE, path, body: None, decode: models::plain })
}

pub(crate) fn erase_consumer(confirm: &str) -> Endpoint<ErasureReceipt> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("confirm", confirm);
    let path = with_query("/api/v1/consumers/me", &query.finish());
    Endpoint { method: Method::DELETE, path, body: None, decode: models::plain }
}

/// One of the control verbs, by its place in the path.
pub(crate) fn control(job_id: &str, verb: &str) -> Result<Endpoint<ControlResult>, Error> {
    let path = job_path(job_id, &format!("/{verb}"))?;
    Ok(Endpoint { method: Method::POST, path, body: None, decode: models::plain })
}

pub(crate) fn send_chat_message(
    job_id: &str,
    message: &str,
) -> Result<Endpoint<ControlResult>, Error> {
    let body = json!({ "message": message }).to_string().into_bytes();
    Ok(Endpoint { body: Some(body), ..control(job_id, "send-chat-message")? })
}

pub(crate) fn manifest(job_id: &str) -> Result<Endpoint<Manifest>, Error> {
    Ok(Endpoint::get(job_path(job_id, "/manifest")?, models::plain))
}

pub(crate) fn artifacts(job_id: &str) -> Result<Endpoint<Vec<File>>, Error> {
    Ok(Endpoint::get(job_path(job_id, "/artifacts")?, |body| Ok(models::page(body)?.data)))
}

pub(crate) fn artifact_path(job_id: &str, name: &str) -> Result<String, Error> {
    let name = segment(name, "the artifact's name")?;
    job_path(job_id, &format!("/artifacts/{name}"))
}

pub(crate) fn events(
    job_id: &str,
    cursor: Option<&str>,
) -> Result<Endpoint<Page<TimelineEvent>>, Error> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    append(&mut query, "cursor", cursor.as_ref());
    Ok(Endpoint::get(with_query(&events_path(job_id)?, &query.finish()), models::page))
}

pub(crate) fn events_path(job_id: &str) -> Result<String, Error> {
    job_path(job_id, "/events")
}

pub(crate) fn deliveries(list: &ListDeliveries) -> Endpoint<Page<Delivery>> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    append(&mut query, "jobId", list.job_id.as_ref());
    append(&mut query, "state", list.state.as_ref());
    append(&mut query, "limit", list.limit.as_ref());
    append(&mut query, "cursor", list.cursor.as_ref());
    Endpoint::get(with_query("/api/v1/webhooks/deliveries", &query.finish()), models::page)
}

pub(crate) fn host() -> Endpoint<Host> {
    Endpoint::get("/api/v1/admin/host".to_owned(), models::plain)
}

pub(crate) fn usage() -> Endpoint<Usage> {
    Endpoint::get("/api/v1/usage".to_owned(), models::plain)
}

pub(crate) fn list_platforms() -> Endpoint<Page<PlatformAvailability>> {
    Endpoint::get("/api/v1/platforms".to_owned(), models::page)
}

pub(crate) fn get_delivery(delivery_id: &str) -> Result<Endpoint<Delivery>, Error> {
    Ok(Endpoint::get(delivery_path(delivery_id, "")?, models::plain))
}

pub(crate) fn redeliver(delivery_id: &str) -> Result<Endpoint<Delivery>, Error> {
    let path = delivery_path(delivery_id, "/redeliver")?;
    Ok(Endpoint { method: Method::POST, path, body: None, decode: models::plain })
}

fn delivery_path(delivery_id: &str, rest: &str) -> Result<String, Error> {
    Ok(format!("/api/v1/webhooks/deliveries/{}{rest}", segment(delivery_id, "the delivery's id")?))
}

fn append(
    query: &mut form_urlencoded::Serializer<'_, String>,
    name: &str,
    value: Option<&impl ToString>,
) {
    if let Some(value) = value {
        query.append_pair(name, &value.to_string());
    }
}

pub(crate) fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

fn job_path(job_id: &str, rest: &str) -> Result<String, Error> {
    Ok(format!("/api/v1/jobs/{}{rest}", segment(job_id, "the job's id")?))
}

/// One segment of a path. An empty one would name the list, and dots would climb: neither is sent.
pub(crate) fn segment(text: &str, what: &str) -> Result<String, Error> {
    if text.is_empty() || text.bytes().all(|byte| byte == b'.') {
        return Err(Error::configuration(format!("{what} cannot be {text:?}")));
    }
    // The encoding of forms differs from that of paths in the space alone.
    Ok(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_leaves_its_place_in_the_path() {
        for id in ["", ".", "..", "..."] {
            assert!(get_bot(id).is_err(), "{id:?}");
        }
        assert_eq!(get_bot("../a b?c#d").unwrap().path, "/api/v1/jobs/..%2Fa%20b%3Fc%23d");
    }
}
