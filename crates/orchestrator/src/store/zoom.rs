//! The verbs of Zoom's streams.

use async_trait::async_trait;
use meetbot_types::{JobId, bot::ZoomStream};

use super::Result;
use crate::clock::StoreNow;
pub use crate::zoom::webhook::{StreamEvent, StreamEventKind};

/// What follows from an event of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ZoomEventOutcome {
    /// The jobs whose bots have to look.
    pub jobs: Vec<JobId>,
    /// The number of the stream's meeting, where no job has the stream and one can still get it.
    pub unclaimed: Option<String>,
}

/// Streams of Zoom meetings, and which jobs have them.
#[async_trait]
pub trait ZoomStore: Send + Sync + 'static {
    /// Applies an event that the app of this consumer received, and gives a new stream to the oldest live job for its meeting. An event that comes again
    /// changes nothing.
    async fn zoom_event(
        &self,
        consumer: String,
        event: StreamEvent,
        now: StoreNow,
    ) -> Result<ZoomEventOutcome>;
    /// The stream of a job's meeting. A job that has none gets one that waits for a job.
    async fn zoom_stream(&self, job: JobId, now: StoreNow) -> Result<Option<ZoomStream>>;
}
