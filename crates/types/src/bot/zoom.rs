//! The credentials and the stream with which a bot receives the realtime media of a Zoom meeting (RTMS).

use serde::{Deserialize, Serialize};

use super::Secret;

/// The credentials with which a bot authenticates to Zoom as the app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoomApp {
    /// The operator's name for the app.
    pub name: String,
    /// The app's client id.
    pub client_id: String,
    /// The app's client secret.
    pub client_secret: Secret,
    /// The domains that servers may belong to, as in `zoom.us`.
    pub hosts: Vec<String>,
    /// Whether cameras are asked for: as the job wants it, else as the app's settings have it.
    pub video: bool,
}

/// The stream of a job's meeting in its last known state. It is a state and no event, so that a bot that replaces a killed one gets the present one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoomStream {
    /// Grows with each change, from 1.
    pub version: u64,
    /// The meeting's UUID, as Zoom wrote it.
    pub meeting_uuid: String,
    /// The stream's id.
    pub stream_id: String,
    /// The signalling servers.
    pub server_urls: Vec<String>,
    /// How it is.
    pub state: ZoomStreamState,
    /// Zoom's number for why it stopped.
    #[serde(default)]
    pub stop_reason: Option<u32>,
}

/// How a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoomStreamState {
    /// It can be joined.
    Started,
    /// Its connections are down, and it may be joined again.
    Interrupted,
    /// It is over.
    Stopped,
    /// An older job for the same meeting has it.
    GivenToAnotherJob,
}
