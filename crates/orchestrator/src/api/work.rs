//! The calls of workers: claim jobs, report bots that have ended, heartbeat. Not part of the public API.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::post,
};
use meetbot_types::work::{
    CLAIM_SECONDS, MOST_ORDERS, VERSION, WorkBeat, WorkClaim, WorkGone, WorkHeard, WorkOrders,
    WorkReleased, WorkerDescription,
};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::{
    Server,
    caller::{AuditEntry, AuditedRequest, PresentedCredential, bearer, check, find, peer},
    error::ApiError,
    open_connections::Connection,
    request::{BODY_LIMIT, JsonBody, not_json},
};
use crate::{dispatch::Orders, store::Scope};

/// The prefix of the calls of workers.
pub(super) const PATH: &str = "/api/v1/work";
/// The longest id of a worker.
const LONGEST_ID: usize = 64;
/// How long a draining worker is remembered: much longer than one takes to end.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

/// What the server knows of the workers that call it.
pub(crate) struct Workers {
    orders: Arc<Orders>,
    /// The name of this server's data folder.
    folder: String,
    /// The bucket to which recordings are uploaded.
    bucket: Option<String>,
    /// Whether jobs may need a browser.
    browsers: bool,
    /// Workers that drain, with the time on the steady clock at which each began to.
    draining: Mutex<HashMap<String, Duration>>,
    /// Notified when a worker begins to drain.
    drains: Notify,
}

impl Workers {
    pub(crate) fn new(
        orders: Arc<Orders>,
        folder: String,
        bucket: Option<String>,
        browsers: bool,
    ) -> Self {
        let (draining, drains) = (Mutex::default(), Notify::new());
        Self { orders, folder, bucket, browsers, draining, drains }
    }

    /// Why a worker cannot work for this server.
    fn problem(&self, worker: &WorkerDescription) -> Option<ApiError> {
        if worker.version != VERSION {
            let message = format!(
                "the worker speaks version {} of the workers' messages, and this server version {VERSION}: run the same release of meetbot on both",
                worker.version
            );
            return Some(ApiError::conflict(message));
        }
        let is_id = (1..=LONGEST_ID).contains(&worker.worker.len())
            && worker.worker.bytes().all(|letter| letter.is_ascii_alphanumeric());
        if !is_id {
            let message = format!("must be 1 to {LONGEST_ID} ASCII letters and digits");
            return Some(ApiError::invalid("worker", "invalid_id", message));
        }
        if self.browsers && !worker.browsers {
            let message = "jobs of this server may need a browser (bots.browser.enabled), and the worker's bots have none: set it for the worker, too";
            return Some(ApiError::conflict(message));
        }
        if worker.folder.as_ref() == Some(&self.folder) {
            return None;
        }
        Some(ApiError::conflict(match &self.bucket {
            Some(_) => {
                "this server's recordings go from its own data folder into the bucket: run the worker on the server's machine, with the server's --data-dir"
            }
            None => {
                "this server keeps recordings in its own data folder, which is not the worker's: run the worker on the server's machine, with the server's --data-dir"
            }
        }))
    }

    fn drains(&self, worker: &str, now: Duration) {
        let mut draining = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
        draining.retain(|_, since| now.saturating_sub(*since) < FORGOTTEN_AFTER);
        draining.insert(worker.to_owned(), now);
        self.drains.notify_waiters();
    }

    fn is_draining(&self, worker: &str) -> bool {
        self.draining.lock().unwrap_or_else(PoisonError::into_inner).contains_key(worker)
    }
}

pub(super) fn router(server: &Server) -> Router<Server> {
    Router::new()
        .route("/api/v1/work/claim", post(claim))
        .route("/api/v1/work/gone", post(gone))
        .route("/api/v1/work/beat", post(beat))
        .route_layer(middleware::from_fn_with_state(server.clone(), admit))
}

/// Middleware: authenticates a worker. Claims are long polls and do not count as concurrent calls of the key. The audit log records refusals only.
async fn admit(State(server): State<Server>, request: Request, next: Next) -> Response {
    let now = server.clock.now();
    let found = match bearer(request.headers()) {
        Ok(token) => {
            find(
                &server,
                &PresentedCredential::Key(token.to_owned()),
                peer(request.extensions()),
                now,
            )
            .await
        }
        Err(refusal) => Err(refusal),
    };
    let key = match found {
        Ok(key) => key,
        Err(refusal) => return refusal.into_response(),
    };
    server.audit.key_used(key.id, now.wall);
    let Err(refusal) = check(&key, Scope::Worker, now) else { return next.run(request).await };
    let audited = AuditedRequest {
        method: request.method(),
        path: request.uri().path(),
        extensions: request.extensions(),
    };
    let response = refusal.into_response();
    AuditEntry::begin(&server, &key, &audited, now).end(&response);
    response
}

fn read<T: DeserializeOwned>(body: &str) -> Result<T, ApiError> {
    serde_json::from_str(body).map_err(not_json)
}

/// Waits for jobs that are due, and answers with their orders.
async fn claim(
    State(server): State<Server>,
    connection: Option<Extension<Arc<Connection>>>,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Json<WorkOrders>, ApiError> {
    let WorkClaim { worker, room } = read(&body)?;
    let workers = &server.workers;
    if let Some(problem) = workers.problem(&worker) {
        return Err(problem);
    }
    let (orders, id) = (&workers.orders, worker.worker.as_str());
    let room = room.min(MOST_ORDERS);
    let _hold = connection.map(|Extension(connection)| connection.hold());
    let stops = || ApiError::unavailable("the server stops");
    let mut over = std::pin::pin!(tokio::time::sleep(Duration::from_secs(CLAIM_SECONDS)));
    loop {
        let mut drains = std::pin::pin!(workers.drains.notified());
        drains.as_mut().enable();
        if server.draining.is_cancelled() {
            return Err(stops());
        }
        if room == 0 || workers.is_draining(id) {
            return Ok(Json(WorkOrders { orders: Vec::new() }));
        }
        let due = orders.due(room, Some(id)).await?;
        if due.len() == room {
            orders.pass_on();
        }
        if !due.is_empty() {
            return Ok(Json(WorkOrders { orders: due }));
        }
        let next = orders.until_next().await;
        tokio::select! {
            () = orders.queue.notified() => {}
            () = tokio::time::sleep(next) => {}
            () = drains => {}
            () = server.draining.cancelled() => return Err(stops()),
            () = &mut over => return Ok(Json(WorkOrders { orders: Vec::new() })),
        }
    }
}

/// A worker's bot has ended.
async fn gone(
    State(server): State<Server>,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Json<WorkReleased>, ApiError> {
    let WorkGone { job_id, epoch, handed_over } = read(&body)?;
    let released = server.workers.orders.end_attempt((job_id, epoch), handed_over).await?;
    Ok(Json(WorkReleased { released }))
}

/// A worker's heartbeat.
async fn beat(
    State(server): State<Server>,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Json<WorkHeard>, ApiError> {
    let WorkBeat { worker, draining, .. } = read(&body)?;
    if let Some(problem) = server.workers.problem(&worker) {
        return Err(problem);
    }
    if draining {
        server.workers.drains(&worker.worker, server.clock.now().steady);
    }
    Ok(Json(WorkHeard { version: VERSION }))
}
