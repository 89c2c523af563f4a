//! Zoom's realtime media streams (RTMS): the apps of the operator, what Zoom's webhooks say, and which job gets which stream.

mod apps;
pub(crate) mod auto_dispatch;
pub(crate) mod matching;
pub(crate) mod webhook;

pub use self::apps::{App, AppSettings, Zoom, ZoomSettings};
