//! The vocabulary of meetbot, shared by the server, the bots and the SDKs.
//!
//! Plain data and pure rules: no I/O, no async, and no clock (the time is an argument).
//! Every name that goes over the wire is declared here once; `docs/` and `spec/` are made from it by tests.

#[macro_use]
mod words;

pub mod address_policy;
pub mod admin;
pub mod auto_leave;
pub mod availability;
pub mod bot;
pub mod control;
pub mod delivery;
pub mod ending;
pub mod error;
pub mod event;
pub mod failure;
pub mod host;
pub mod id;
pub mod job;
pub mod labels;
pub mod link;
pub mod login;
pub mod manifest;
pub mod metadata;
pub mod page;
pub mod pasted;
pub mod receipt;
pub mod sandbox;
mod secret;
pub mod signature;
pub mod time;
#[cfg(any(test, fuzzing))]
mod untrusted;
pub mod usage;
pub mod visible;
pub mod work;

pub use address_policy::AddressPolicy;
pub use admin::{
    ApiKey, Consumer, ConsumerQuota, ConsumerSecret, ConsumerUsage, CreatedKey, KeyScope, KeyUse,
    QuotaLimit, RotatedSecret, SecretRotation,
};
pub use auto_leave::{AutoLeave, AutoLeaveConfig, Rule};
pub use availability::{Availability, Missing, PlatformAvailability, Via};
pub use control::{ControlAction, ControlResult, ControlState};
pub use delivery::{
    Delivery, DeliveryState, DeliveryTry, Endpoint, EndpointState, FeedEvent, Redeliver,
    Redelivered, TestWebhook, TestedWebhook, TimelineEvent,
};
pub use ending::{Cause, Ending};
pub use error::{ErrorBody, ErrorCode, Issue};
pub use event::{EventName, WebhookEvent};
pub use failure::{Failure, FailureCode};
pub use host::Host;
pub use id::{CommandId, ConsumerId, DeliveryId, EventId, JobId, KeyId, RequestId, UseId};
pub use job::{
    Job, JobEvent, JobStatus, LeaveReason, NewJob, Permission, Recording, RecordingState, Webhooks,
};
pub use labels::Labels;
pub use link::{JanusLink, MeetingLink, Platform};
pub use manifest::Manifest;
pub use metadata::{InvalidMetadata, Metadata};
pub use page::Page;
pub use receipt::{DeletionReceipt, ErasureReceipt, RemovedObject};
pub use time::Timestamp;
pub use usage::Usage;

/// The functions that the targets in `fuzz/` call.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::untrusted::*;
}
