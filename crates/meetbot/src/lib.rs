//! The Rust SDK of meetbot: dispatch bots to video meetings, follow them, fetch what they recorded, verify their webhooks.
//!
//! ```no_run
//! use meetbot::{MeetBot, NewJob};
//!
//! # async fn example() -> Result<(), meetbot::Error> {
//! let mb = MeetBot::from_env()?; // MEETBOT_API_KEY, MEETBOT_API_BASE_URL
//! let job = mb
//!     .dispatch_bot(NewJob {
//!         meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=20".to_owned(),
//!         ..NewJob::default()
//!     })
//!     .await?;
//! let job = mb.wait_for_bot(&job.id, None).await?;
//! println!("{}: {:?}", job.status, job.manifest_uri);
//! # Ok(())
//! # }
//! ```
//!
//! [`blocking::MeetBot`] has the same methods without `await`. Every call retries what may pass (429, 500, 502, 503, 504 and
//! lost connections; 3 times, with the same `Idempotency-Key`), and every error is an [`Error`] with a [`kind`](Error::kind).
//!
//! Calls are traced (`tracing`, target `meetbot`); a warning names the fields that the server did not know and passed over.
//!
//! TLS is rustls with the platform's roots. Its crypto provider is the feature `aws-lc-rs` (the default) or `ring`.

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!("meetbot needs a crypto provider for TLS: enable the feature `aws-lc-rs` or `ring`");

pub mod blocking;
mod builder;
mod client;
mod clock;
mod connections;
mod download;
mod endpoint;
mod error;
mod events;
mod exchange;
mod key;
mod lines;
mod models;
mod network;
mod no_proxy;
mod options;
mod pieces;
mod proxy;
mod received_bytes;
mod redirect;
mod request;
mod retry;
mod settings;
mod transport;
mod tries;
#[cfg(any(test, fuzzing))]
mod untrusted;
mod wait;
pub mod webhook;

#[cfg(test)]
mod answers;
#[cfg(test)]
mod surface;
#[cfg(test)]
mod vectors;

pub use meetbot_types::{
    AutoLeaveConfig, ControlAction, ControlState, DeliveryState, EndpointState, ErrorCode,
    EventName, FailureCode, Issue, JobStatus, LeaveReason, Metadata, NewJob, Page, Permission,
    Platform, RecordingState, Rule, Timestamp, Via, Webhooks, manifest::MixState,
};

pub use crate::{
    builder::Builder,
    client::MeetBot,
    endpoint::{ListBots, ListDeliveries},
    error::{Error, ErrorKind},
    exchange::{Exchange, Verdict},
    models::{
        AutoLeave, Caption, ChatMessage, ControlResult, DeletionReceipt, Delivery, DeliveryTry,
        Endpoint, ErasureReceipt, Host, Job, Manifest, MissingRequirement, Participant,
        PlatformAvailability, Recording, RecordingEvent, RemovedObject, TimelineEvent, Usage, host,
        manifest,
    },
    options::CallOptions,
    request::{Request, Response, api_path},
    wait::Wait,
    webhook::verify_webhook_signature,
};

/// Where calls go when neither the builder nor `MEETBOT_API_BASE_URL` says otherwise.
pub const DEFAULT_BASE_URL: &str = "https://api.meetbot.dev";

/// What `fuzz/` feeds.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::untrusted::*;
}
