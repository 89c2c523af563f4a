//! The calls of workers: claim jobs, report bots that have ended, heartbeat. Not part of the public API.

mod mixes;

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
use meetbot_types::{
    JobId,
    work::{
        CLAIM_SECONDS, FULL_CLAIM_SECONDS, MOST_ORDERS, MOST_SPOOLED, Pool, SpoolState, SpooledJob,
        VERSION, WorkBeat, WorkClaim, WorkGone, WorkHeard, WorkOrders, WorkReleased, WorkSpool,
        WorkSpooled, WorkUploaded, WorkerDescription,
    },
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
use crate::{
    clock::StoreNow,
    dispatch::{Orders, POOL_POLL, Room, with_room},
    mixes::Mixes,
    recordings::{Recordings, Uploads},
    store::{Scope, Spooled, StoreError},
    worker_statuses::Statuses,
};

/// The prefix of the calls of workers.
pub(super) const PATH: &str = "/api/v1/work";
/// The longest id of a worker.
const LONGEST_ID: usize = 64;
/// How long a worker counts as present that was not heard: longer than two of its claims.
const PRESENT: Duration = Duration::from_mins(2);
/// How long a draining worker is remembered: much longer than one takes to end.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

/// What the server knows of the workers that call it.
pub(crate) struct Workers {
    orders: Arc<Orders>,
    /// The name of this server's data folder.
    folder: String,
    /// The bucket to which recordings are uploaded, and who does that here.
    bucket: Option<(String, Uploads)>,
    /// The id of this server's store in the bucket.
    cluster: String,
    recordings: Recordings,
    /// The mixes that workers make, too.
    mixes: Mixes,
    /// Whether the server itself runs bots.
    runs_bots: bool,
    /// Whether jobs may need a browser.
    browsers: bool,
    /// Workers that drain, with the time on the steady clock at which each began to.
    draining: Mutex<HashMap<String, Duration>>,
    /// Notified when a worker begins to drain.
    drains: Notify,
    /// What workers reported of themselves.
    pub(super) statuses: Arc<Statuses>,
    /// When a worker with this server's data folder claimed last, and one with its own, on the steady clock.
    present: Mutex<[Option<Duration>; 2]>,
}

/// What workers need of their server.
pub(crate) struct WorkersOf {
    pub(crate) orders: Arc<Orders>,
    pub(crate) folder: String,
    pub(crate) bucket: Option<(String, Uploads)>,
    pub(crate) cluster: String,
    pub(crate) recordings: Recordings,
    pub(crate) mixes: Mixes,
    pub(crate) runs_bots: bool,
    pub(crate) browsers: bool,
    pub(crate) statuses: Arc<Statuses>,
}

impl Workers {
    pub(crate) fn new(of: WorkersOf) -> Self {
        let (draining, drains, present) = (Mutex::default(), Notify::new(), Mutex::default());
        Self {
            orders: of.orders,
            folder: of.folder,
            bucket: of.bucket,
            cluster: of.cluster,
            recordings: of.recordings,
            mixes: of.mixes,
            runs_bots: of.runs_bots,
            browsers: of.browsers,
            draining,
            drains,
            statuses: of.statuses,
            present,
        }
    }

    /// Whether a worker's data folder is this server's.
    fn shares_folder(&self, worker: &WorkerDescription) -> bool {
        worker.folder.as_ref() == Some(&self.folder)
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
        if worker.pools.is_empty() {
            let message = "must name at least one pool";
            return Some(ApiError::invalid("pools", "too_few_items", message));
        }
        if self.browsers && !worker.browsers && worker.pools.contains(&Pool::Browser) {
            let message = "jobs of this server may need a browser (bots.browser.enabled), and the worker's bots have none: set it for the worker, too, or give it --pools native";
            return Some(ApiError::conflict(message));
        }
        if self.shares_folder(worker) {
            return None;
        }
        self.problem_with_folder(worker).map(ApiError::conflict)
    }

    /// Why a worker with a data folder of its own cannot work for this server.
    fn problem_with_folder(&self, worker: &WorkerDescription) -> Option<String> {
        let near = "run the worker on the server's machine, with the server's --data-dir";
        let Some((own, _)) = &self.bucket else {
            return Some(format!(
                "this server keeps recordings in its own data folder, which is not the worker's: set storage.url for the server and for the worker, so that recordings go into a bucket, or {near}"
            ));
        };
        match &worker.bucket {
            Some(bucket) if bucket == own => {}
            Some(bucket) => {
                return Some(format!(
                    "this server's recordings are in {own}, and the worker would upload to {bucket}: set storage.url of the worker to {own}"
                ));
            }
            None => {
                return Some(format!(
                    "the worker's data folder is not this server's, and the worker has no bucket to upload to: set storage.url of the worker to {own}, with credentials, or {near}"
                ));
            }
        }
        self.runs_bots.then(|| {
            "this server runs bots itself, and could not continue the recordings of workers with data folders of their own: set bots.workers = \"none\" for the server".to_owned()
        })
    }

    /// Notes that a worker claims. Fails where workers of the other kind claim too: one cannot continue the recordings of the other.
    fn meets(&self, worker: &WorkerDescription, now: Duration) -> Result<(), ApiError> {
        let (own, other) = if self.shares_folder(worker) { (0, 1) } else { (1, 0) };
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if present[other].is_some_and(|heard| now.saturating_sub(heard) < PRESENT) {
            return Err(ApiError::conflict(
                "workers with the server's data folder and workers with data folders of their own cannot continue each other's recordings: stop those of one kind, and wait two minutes",
            ));
        }
        present[own] = Some(now);
        Ok(())
    }

    /// Whether the job has ended, and its mix is still to be made.
    async fn waits_for_mix(&self, job: JobId) -> Result<bool, StoreError> {
        Ok(self.orders.store.waiting_mix(job).await?.is_some())
    }

    /// What a worker with this data folder does with the files of a job. What must not stay in the bucket is removed from there before.
    async fn spooled(&self, job: JobId, folder: &str) -> Result<SpoolState, ApiError> {
        let spooled = self.orders.store.spooled(job, folder.to_owned()).await?;
        let removed = match &spooled {
            Spooled::Live => return Ok(SpoolState::Live),
            Spooled::Waits(upload) => {
                let (epoch, nonce) = (upload.epoch, upload.nonce.clone());
                return Ok(SpoolState::Upload { epoch, nonce });
            }
            Spooled::Unknown => return Ok(SpoolState::Unknown),
            Spooled::Over(manifest_uri) => {
                self.recordings.remove_leftovers(job, manifest_uri.as_deref()).await
            }
            // What the worker uploaded after the deletion.
            Spooled::Deleted => self.recordings.remove(job).await.map(drop),
        };
        let state = match spooled {
            Spooled::Deleted => SpoolState::Deleted,
            _ => SpoolState::Over,
        };
        removed.map_err(|error| {
            tracing::warn!(%job, %error, "what a worker uploaded cannot be removed from the bucket now");
            ApiError::unavailable("the bucket does not answer")
        })?;
        Ok(state)
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
        .route("/api/v1/work/spool", post(spool))
        .route("/api/v1/work/uploaded", post(uploaded))
        .route("/api/v1/work/mix", post(mixes::ask))
        .route("/api/v1/work/mixing", post(mixes::report))
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
    let WorkClaim { worker, room, browser_room } = read(&body)?;
    let workers = &server.workers;
    if let Some(problem) = workers.problem(&worker) {
        return Err(problem);
    }
    if workers.shares_folder(&worker) {
        keep_files(&server).await?;
    } else {
        folder_of(worker.folder.as_deref())?;
    }
    if room > 0 {
        workers.meets(&worker, server.clock.now().steady)?;
    }
    let (orders, id) = (&workers.orders, worker.worker.as_str());
    let room = Room { bots: room.min(MOST_ORDERS), browsers: browser_room.unwrap_or(usize::MAX) };
    let takes_all_pools = with_room(&worker.pools, room.browsers).len() > 1;
    let is_full = room.browsers == 0 && worker.pools.contains(&Pool::Browser);
    let held = if is_full { FULL_CLAIM_SECONDS } else { CLAIM_SECONDS };
    let _hold = connection.map(|Extension(connection)| connection.hold());
    let stops = || ApiError::unavailable("the server stops");
    let mut over = std::pin::pin!(tokio::time::sleep(Duration::from_secs(held)));
    loop {
        let mut drains = std::pin::pin!(workers.drains.notified());
        drains.as_mut().enable();
        if server.draining.is_cancelled() {
            return Err(stops());
        }
        let no_jobs = workers.statuses.takes_no_jobs(id, server.clock.now().steady);
        if room.bots == 0 || no_jobs || workers.is_draining(id) {
            return Ok(Json(WorkOrders { orders: Vec::new() }));
        }
        let due = orders.due(room, Some(id), &worker.pools, &worker.labels).await?;
        let browsers = due.iter().filter(|order| order.pool() == Pool::Browser).count();
        if due.len() == room.bots || browsers > 0 && browsers == room.browsers {
            orders.pass_on();
        }
        if !due.is_empty() {
            return Ok(Json(WorkOrders { orders: due }));
        }
        // A worker that may take every job is woken for each. Another one is not, since it may not take the new job, and the wake would be lost.
        let takes_all = takes_all_pools && orders.are_all_for(&worker.labels).await;
        let next = if takes_all { orders.until_next().await } else { POOL_POLL };
        tokio::select! {
            () = orders.queue.notified(), if takes_all => {}
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
    let WorkBeat { worker, draining, status } = read(&body)?;
    if let Some(problem) = server.workers.problem(&worker) {
        return Err(problem);
    }
    if server.workers.shares_folder(&worker) {
        keep_files(&server).await?;
    }
    let now = server.clock.now().steady;
    if draining {
        server.workers.drains(&worker.worker, now);
        server.workers.statuses.drains(&worker.worker);
    }
    if let Some(status) = status {
        server.workers.statuses.hear(&worker.worker, status, draining, now);
    }
    // A worker whose uploads take hours asks nothing else meanwhile.
    if !server.workers.shares_folder(&worker)
        && let Ok(folder) = folder_of(worker.folder.as_deref())
        && let Err(error) = hear(&server, folder).await
    {
        tracing::debug!(%error, "the store does not note that a worker was heard");
    }
    Ok(Json(WorkHeard {
        version: VERSION,
        shares_folder: server.workers.shares_folder(&worker),
        cluster: server.workers.cluster.clone(),
    }))
}

/// A worker records into this server's data folder. Fails where other servers are there, which could serve nothing of it.
async fn keep_files(server: &Server) -> Result<(), ApiError> {
    if server.store.keep_files().await? {
        return Ok(());
    }
    let message = "several servers work on this database, and the worker's data folder is one server's: give the worker a --data-dir of its own and the servers' storage.url";
    Err(ApiError::conflict(message))
}

/// The name of the data folder of a worker that does not share the server's.
fn folder_of(folder: Option<&str>) -> Result<&str, ApiError> {
    let is_name = |name: &&str| {
        (1..=LONGEST_ID).contains(&name.len())
            && name.bytes().all(|letter| letter.is_ascii_alphanumeric())
    };
    folder.filter(is_name).ok_or_else(|| {
        let message = format!("must be 1 to {LONGEST_ID} ASCII letters and digits");
        ApiError::invalid("folder", "invalid_id", message)
    })
}

/// A worker with a data folder of its own: the folder's name.
async fn spool_of<'a>(server: &Server, worker: &'a WorkerDescription) -> Result<&'a str, ApiError> {
    if let Some(problem) = server.workers.problem(worker) {
        return Err(problem);
    }
    if server.workers.shares_folder(worker) {
        let message =
            "the worker's data folder is the server's, which uploads and removes files itself";
        return Err(ApiError::conflict(message));
    }
    let folder = folder_of(worker.folder.as_deref())?;
    // A restored database does not know its last jobs: nothing is removed before an operator looks at it.
    if server.store.paused_since().await?.is_some() {
        return Err(ApiError::unavailable("the server is paused after a restore"));
    }
    hear(server, folder).await?;
    Ok(folder)
}

/// Notes that the worker with this data folder was heard.
async fn hear(server: &Server, folder: &str) -> Result<(), StoreError> {
    let StoreNow { wall, timing, .. } = server.store.now();
    if server.recordings.spools.hear(folder, wall, timing.noted_every()) {
        server.store.hear_spool(folder.to_owned(), wall).await?;
    }
    Ok(())
}

/// A worker asks what to do with files on its disk.
async fn spool(
    State(server): State<Server>,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Json<WorkSpooled>, ApiError> {
    let WorkSpool { worker, jobs: ids, makes_mixes } = read(&body)?;
    let folder = spool_of(&server, &worker).await?;
    let mut jobs = Vec::new();
    for job_id in ids.into_iter().take(MOST_SPOOLED) {
        // The files of a job whose state is not known now stay where they are, and hold up no other job's.
        let workers = &server.workers;
        let waits = makes_mixes && workers.waits_for_mix(job_id).await?;
        let state = if waits { Ok(SpoolState::Mix) } else { workers.spooled(job_id, folder).await };
        if let Ok(state) = state {
            jobs.push(SpooledJob { job_id, state });
        }
    }
    Ok(Json(WorkSpooled { jobs }))
}

/// A worker has uploaded a recording, or has lost it: the job ends once the bucket has all of it.
async fn uploaded(
    State(server): State<Server>,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Json<SpooledJob>, ApiError> {
    let WorkUploaded { worker, job_id, nonce, lost, makes_mixes } = read(&body)?;
    let folder = spool_of(&server, &worker).await?;
    let workers = &server.workers;
    if let Spooled::Waits(upload) = server.store.spooled(job_id, folder.to_owned()).await?
        && upload.nonce == nonce
        && let Some((_, uploads)) = &workers.bucket
    {
        let stored = match lost {
            None => server.recordings.stored(job_id, &upload).await.map(Some).map_err(|error| {
                tracing::error!(job = %job_id, %error, "a worker's upload is not in the bucket");
                ApiError::unavailable("the recording is not in the bucket as its manifest says")
            })?,
            Some(problem) => {
                tracing::error!(job = %job_id, worker = worker.worker, problem, "a worker cannot upload a recording");
                None
            }
        };
        if stored.is_some() || upload.is_lost(None, server.clock.now().wall) {
            uploads.end(job_id, &upload, stored).await?;
        }
    }
    let mut state = workers.spooled(job_id, folder).await?;
    if makes_mixes && workers.waits_for_mix(job_id).await? {
        state = SpoolState::Mix;
    }
    Ok(Json(SpooledJob { job_id, state }))
}
