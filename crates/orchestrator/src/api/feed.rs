//! The feed of a consumer: the events of all its jobs, as a list and as a stream.

use std::{collections::VecDeque, convert::Infallible, mem, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{Response, sse::Event},
};
use futures_util::{Stream, stream};
use meetbot_types::{ErrorBody, EventName, FeedEvent, Page};
use tokio::sync::watch;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    caller::Caller,
    error::ApiError,
    events::{self, wants_stream},
    pages::page,
    query::{Query, listed},
};
use crate::store::{Feed, FeedCursor, FeedPage};

/// How often the store is polled without a wake-up.
const POLL: Duration = Duration::from_secs(5);
/// The shortest time between two reads of a stream that has caught up: at most four reads a second for each stream, however many events there are.
const PACE: Duration = Duration::from_millis(250);
/// How many events are read at once.
const BATCH: u32 = 100;

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(list_feed))
}

/// List the events of all jobs, oldest first; with `Accept: text/event-stream` they come live, for as long as the caller listens.
///
/// What a key reaches is in it: the jobs of its consumer in its world. Each event has a `cursor`; a client that goes on from there is given each later event exactly once. Two kinds of
/// `job.status_changed` are in the feed alone, and neither in the job's own events nor in webhooks: that of a new job, with `previousStatus` null and `sequence` 0; and that of a job whose `statusDetail` or recording changed (paused, resumed, reconnecting, deleted), with `previousStatus` the same as `status` and the `sequence` of the event before.
///
/// Events go with their jobs, when old ones are deleted; a cursor of before that is refused with the issue code `expired_cursor`, since something behind it would be missing: list the jobs, and begin anew without one.
///
/// The list begins without a cursor with the oldest event behind which none is missing, the stream with what happens next. A stream says at its begin where it stands, as the `id` of a message without data, so that clients that come back (`Last-Event-ID`) miss nothing.
#[utoipa::path(get, path = "/api/v1/events", tag = "jobs",
    params(
        ("event" = Option<Vec<EventName>>, Query, description = "Of any of these names; repeat it for several"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "1 to 200, by default 50 (of the list); a page of more than 1 MiB ends early"),
        ("cursor" = Option<String>, Query, pattern = "^[0-9A-Za-z]{8}-[0-9]{1,18}-[0-9]{1,18}$", description = "nextCursor of the page before, or the cursor of the last event that was seen"),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, pattern = "^[0-9A-Za-z]{8}-[0-9]{1,18}-[0-9]{1,18}$", description = "The id of the last event that was seen; it comes before `cursor` (of the stream)"),
    ),
    responses(
        (status = 200, description = "A page; or a stream of the same events, each with its cursor as id, its name and its JSON", content(
            (Page<FeedEvent> = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = 400, description = "invalid_input: also where the cursor is older than what is kept, or of another database", body = ErrorBody),
    ))]
async fn list_feed(
    State(server): State<Server>,
    caller: Caller,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, ApiError> {
    let names = query.words("event", EventName::known, &listed(EventName::ALL));
    let window = query.window::<FeedCursor>();
    query.finish()?;
    let tenant = caller.tenant;
    if wants_stream(&headers) {
        let seen = last_event_id(&headers)?;
        let from = if seen.is_some() { ("Last-Event-ID", seen) } else { ("cursor", window.after) };
        let woken = server.changes.subscribe_to_feeds();
        let at = match from {
            (name, Some(after)) => {
                look(&server, &caller, &names, after, name).await?;
                after
            }
            (_, None) => server.store.feed_end(tenant).await?,
        };
        let share = caller.stream(&server)?;
        let read = VecDeque::new();
        let live = Live { server, caller, names, at, read, woken, looked: None, again: true };
        return Ok(events::streamed(share, live.events()));
    }
    page(window, move |window| {
        let (store, names) = (Arc::clone(&server.store), names.clone());
        async move {
            let FeedPage { events, end, has_more } =
                found(store.feed(tenant, names, window.after, window.limit).await?, "cursor")?;
            Ok(Page { data: events, next_cursor: has_more.then(|| end.to_string()) })
        }
    })
    .await
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<FeedCursor>, ApiError> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let read = id.to_str().ok().and_then(|id| id.trim().parse().ok());
    read.map(Some).ok_or_else(|| {
        ApiError::invalid("Last-Event-ID", "invalid_header", "is not an id that this stream gave")
    })
}

/// The page, or an issue of the parameter `name` if its cursor is invalid or expired.
fn found(feed: Feed, name: &str) -> Result<FeedPage, ApiError> {
    let (code, problem) = match feed {
        Feed::Read(page) => return Ok(page),
        Feed::Expired => ("expired_cursor", "is older than the events that are kept"),
        Feed::Foreign => (
            "unknown_cursor",
            "is none of this feed: it is another key's, or of before the database was restored",
        ),
    };
    Err(ApiError::invalid(
        name,
        code,
        format!("{problem}; list the jobs, and begin anew without it"),
    ))
}

async fn look(
    server: &Server,
    caller: &Caller,
    names: &[EventName],
    after: FeedCursor,
    name: &str,
) -> Result<FeedPage, ApiError> {
    found(server.store.feed(caller.tenant, names.to_vec(), Some(after), BATCH).await?, name)
}

/// The state of a stream.
struct Live {
    server: Server,
    caller: Caller,
    names: Vec<EventName>,
    /// The cursor of the last event that was read.
    at: FeedCursor,
    read: VecDeque<FeedEvent>,
    woken: watch::Receiver<()>,
    /// When the store was last read, on the steady clock.
    looked: Option<Duration>,
    /// Whether to read again soon without a wake-up: an event becomes visible only when all older transactions have ended, and those may wake nobody.
    again: bool,
}

impl Live {
    /// First the current cursor, then the events. Ends with the server, with the key, when the store is not available, and when the next events were deleted
    /// meanwhile. Clients reconnect, and then get the error.
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        let begin = Event::default().id(self.at.to_string());
        stream::unfold((self, Some(begin)), async |(mut live, begin)| {
            let event = match begin {
                Some(begin) => begin,
                None => sse(&live.next().await?),
            };
            Some((Ok(event), (live, None)))
        })
    }

    async fn next(&mut self) -> Option<FeedEvent> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Some(event);
            }
            let now = self.server.clock.now().steady;
            let rest =
                self.looked.map_or(Duration::ZERO, |looked| (looked + PACE).saturating_sub(now));
            self.until(tokio::time::sleep(rest)).await?;
            if !self.caller.is_still_admitted(&self.server).await {
                return None;
            }
            self.again |= self.woken.has_changed().unwrap_or(false);
            self.woken.mark_unchanged();
            self.looked = Some(self.server.clock.now().steady);
            let page =
                look(&self.server, &self.caller, &self.names, self.at, "cursor").await.ok()?;
            let FeedPage { events, end, has_more } = page;
            if has_more {
                self.looked = None;
            } else if end == self.at {
                let patience = if mem::take(&mut self.again) { PACE } else { POLL };
                let mut woken = self.woken.clone();
                self.again =
                    self.until(tokio::time::timeout(patience, woken.changed())).await?.is_ok();
            } else {
                self.again = true;
            }
            self.at = end;
            self.read = events.into();
        }
    }

    /// Waits for `wait`; `None` if the server or the key ends first.
    async fn until<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.server.stopping.cancelled() => None,
            () = self.caller.ends(&self.server) => None,
            done = wait => Some(done),
        }
    }
}

fn sse(event: &FeedEvent) -> Event {
    let data = serde_json::to_string(event).expect("an event is JSON");
    Event::default().id(&event.cursor).event(event.event.as_str()).data(data)
}
