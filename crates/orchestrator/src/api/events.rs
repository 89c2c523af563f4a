//! A job's timeline, as a list and as a stream.

use std::{collections::VecDeque, convert::Infallible, str::FromStr, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderName, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use meetbot_types::{ErrorBody, EventName, JobId, Page, TimelineEvent};
use tokio::sync::watch;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    caller::Caller,
    error::ApiError,
    jobs::{job_id, no_job},
    pages::page,
    query::{Query, digits},
    request::PathParams,
    sending::Streamed,
};
use crate::store::Window;

/// How often a comment is sent, so that both sides notice a dead connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often the store is polled without a wake-up.
const POLL: Duration = Duration::from_secs(5);
/// How many events are read at once.
const BATCH: u32 = 100;

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(list_events))
}

/// List a job's events, oldest first; with `Accept: text/event-stream` they come live, until the job has ended: `job.artifact_ready`, which comes after that, is in the list alone.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/events", tag = "jobs",
    params(
        ("id" = JobId, Path),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "1 to 200, by default 50 (of the list); a page of more than 1 MiB ends early"),
        ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,18}$", description = "nextCursor of the page before (of the list)"),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, pattern = "^[0-9]{1,18}$", description = "The id of the last event that was seen (of the stream)"),
    ),
    responses(
        (status = 200, description = "A page; or a stream of the same events, each with its id, its name and its JSON", content(
            (Page<TimelineEvent> = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = 400, description = "invalid_input", body = ErrorBody),
        (status = 404, description = "not_found", body = ErrorBody),
    ))]
async fn list_events(
    State(server): State<Server>,
    caller: Caller,
    PathParams(id): PathParams<String>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, ApiError> {
    let tenant = caller.tenant;
    let id = job_id(&id)?;
    let after = last_event_id(&headers)?;
    let window = query.window::<Sequence>();
    query.finish()?;
    if wants_stream(&headers) {
        server.store.job(tenant, id).await?.ok_or_else(|| no_job(id))?;
        let share = caller.stream(&server)?;
        return Ok(streamed(share, live(server, caller, id, after)));
    }
    let window = Window { limit: window.limit, after: window.after.map(|Sequence(after)| after) };
    page(window, move |window| {
        let store = Arc::clone(&server.store);
        async move { store.timeline(tenant, id, window).await?.ok_or_else(|| no_job(id)) }
    })
    .await
}

/// A position in the timeline.
struct Sequence(u64);

impl FromStr for Sequence {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        digits(text).map(Self).ok_or(())
    }
}

pub(super) fn wants_stream(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

/// The response with a stream of events. It holds its share of the streams until it ends.
pub(super) fn streamed(
    share: Extension<Streamed>,
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> Response {
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // nginx buffers responses, and so do proxies that compress them; events would arrive only at the end.
    let at_once = [
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (share, at_once, events).into_response()
}

fn last_event_id(headers: &HeaderMap) -> Result<u64, ApiError> {
    let Some(id) = headers.get("last-event-id") else { return Ok(0) };
    id.to_str().ok().and_then(|id| digits(id.trim())).ok_or_else(|| {
        ApiError::invalid("Last-Event-ID", "invalid_header", "is not an id that this stream gave")
    })
}

/// The state of a stream.
struct Live {
    server: Server,
    caller: Caller,
    id: JobId,
    /// The last event that was read.
    after: u64,
    read: VecDeque<TimelineEvent>,
    woken: watch::Receiver<()>,
}

/// The events after `after`, as they happen. Ends with the job, with the server, with the key, and when the store is not available; clients reconnect.
fn live(
    server: Server,
    caller: Caller,
    id: JobId,
    after: u64,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let woken = server.changes.subscribe(id);
    let live = Live { server, caller, id, after, read: VecDeque::new(), woken };
    stream::unfold(live, async |mut live| {
        let event = live.next().await?;
        Some((Ok(sse(&event)), live))
    })
}

impl Live {
    async fn next(&mut self) -> Option<TimelineEvent> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Some(event);
            }
            if !self.caller.is_still_admitted(&self.server).await {
                return None;
            }
            let tenant = self.caller.tenant;
            // The job is read before the timeline: if it has ended, the timeline already has its last event.
            let job = self.server.store.job(tenant, self.id).await.ok()??;
            let window = Window { limit: BATCH, after: Some(self.after) };
            let page = self.server.store.timeline(tenant, self.id, window).await.ok()??;
            let last = page.data.last().map(|event| event.data.sequence);
            // The stream ends with the job's final status. Later events, as of the mix, are not part of it, not even for a client that connects late.
            let events = page.data.into_iter();
            self.read = events.filter(|event| event.event != EventName::ArtifactReady).collect();
            match last {
                Some(last) => self.after = last,
                None if job.status.is_final() => return None,
                None => tokio::select! {
                    () = self.server.stopping.cancelled() => return None,
                    () = self.caller.ends(&self.server) => return None,
                    _ = tokio::time::timeout(POLL, self.woken.changed()) => {}
                },
            }
        }
    }
}

fn sse(event: &TimelineEvent) -> Event {
    let data = serde_json::to_string(event).expect("an event is JSON");
    Event::default().id(event.data.sequence.to_string()).event(event.event.as_str()).data(data)
}
