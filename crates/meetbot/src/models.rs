//! How answers are read.

use std::collections::HashMap;

use meetbot_types::{Job, Page};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// The fields of a job that this version knows.
const JOB_FIELDS: [&str; 21] = [
    "id",
    "externalId",
    "meetingUrl",
    "platform",
    "displayName",
    "status",
    "statusDetail",
    "recording",
    "joinAt",
    "webhooks",
    "metadata",
    "autoLeave",
    "attempt",
    "leaveReason",
    "failureCode",
    "failureDetail",
    "manifestUri",
    "createdAt",
    "updatedAt",
    "joinedAt",
    "endedAt",
];

/// Anything that needs no more than its own reader.
pub(crate) fn plain<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(body)
}

/// A job, with the fields that this version does not know in `extra`.
pub(crate) fn job(body: &[u8]) -> serde_json::Result<Job> {
    let mut job: Job = serde_json::from_slice(body)?;
    let fields: HashMap<String, &RawValue> = serde_json::from_slice(body)?;
    for (name, value) in fields {
        if !JOB_FIELDS.contains(&name.as_str()) {
            job.extra.insert(name, serde_json::from_str(value.get())?);
        }
    }
    Ok(job)
}

/// A page of jobs.
pub(crate) fn jobs(body: &[u8]) -> serde_json::Result<Page<Job>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct RawPage<'a> {
        #[serde(borrow)]
        data: Vec<&'a RawValue>,
        #[serde(default)]
        next_cursor: Option<String>,
    }
    let page: RawPage<'_> = serde_json::from_slice(body)?;
    let data =
        page.data.into_iter().map(|raw| job(raw.get().as_bytes())).collect::<Result<_, _>>()?;
    Ok(Page { data, next_cursor: page.next_cursor })
}

/// Nothing: the body of a 204, or whatever else came.
#[expect(clippy::unnecessary_wraps, reason = "it stands beside the other readers")]
pub(crate) fn nothing(_: &[u8]) -> serde_json::Result<()> {
    Ok(())
}
