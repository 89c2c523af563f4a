//! The calls of bots: they send reports and poll for commands. Not part of the public API.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::HttpBody as _,
    extract::{FromRequest as _, RawQuery, Request, State},
    http::HeaderMap,
    routing::{get, post},
};
use meetbot_types::{
    JobId,
    bot::{
        BotReport, CLAIM_SIGNATURE, Commands, HEARTBEAT_SECONDS, IngestAnswer, IngestRequest,
        NumberedReport, OwnBots, spool_of,
    },
};
use serde_json::json;
use tokio::sync::watch;

use super::{
    Server,
    caller::bearer,
    error::ApiError,
    open_connections::Connection,
    query::Query,
    request::{INGEST_LIMIT, JsonBody, not_json},
};
use crate::{
    keys,
    metrics::ReportCounts,
    store::{BotCredentials, Recorded, Reported},
};

/// The longest time for which a bot's long poll for commands is held.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How often a long poll reads the bots of the room at least: they may have joined through another server.
const POLL_ROOM: Duration = Duration::from_secs(HEARTBEAT_SECONDS as u64);

/// Bots that join a room within this time go into one response; otherwise the number of responses would grow with the square of the number of bots.
const JOIN_WINDOW: Duration = Duration::from_millis(250);

/// The largest body, in bytes, that is read before its bot is authenticated. A larger one has to name its attempt in the query, too. Requests of bots have no
/// limit of connections, so that other callers could otherwise fill the memory with endless bodies.
const UNAUTHENTICATED_LIMIT: u64 = 16 * 1024;

/// The path of bots' calls.
pub(super) const PATH: &str = "/api/v1/ingest";

pub(super) fn router() -> Router<Server> {
    Router::new().route(PATH, post(report)).route("/api/v1/ingest/commands", get(commands))
}

fn unknown() -> ApiError {
    ApiError::unauthorized("no bot of this job has, or had, this token")
}

fn superseded() -> ApiError {
    ApiError::conflict("another attempt has the job, or this one's lease ran out: leave")
}

fn credentials(headers: &HeaderMap) -> Result<BotCredentials, ApiError> {
    let signature = headers.get(CLAIM_SIGNATURE).and_then(|value| value.to_str().ok());
    let token_hash = keys::hash(bearer(headers)?);
    Ok(BotCredentials { token_hash, claim_signature: signature.map(str::to_owned) })
}

async fn report(
    State(server): State<Server>,
    request: Request,
) -> Result<Json<IngestAnswer>, ApiError> {
    let credentials = credentials(request.headers())?;
    let mut hold = None;
    if request.body().size_hint().upper().is_none_or(|most| most > UNAUTHENTICATED_LIMIT) {
        let mut query = Query::new(request.uri().query());
        let (job_id, epoch) = attempt(&mut query)?;
        query.finish()?;
        let sign_of_life = IngestRequest { job_id, epoch, reports: Vec::new() };
        apply(&server, sign_of_life, &credentials, Recorded::default()).await?;
        // The bot is authenticated: its whole body is read.
        hold = request.extensions().get::<Arc<Connection>>().map(Connection::hold);
    }
    let JsonBody(body) = JsonBody::<INGEST_LIMIT>::from_request(request, &server).await?;
    drop(hold);
    let request: IngestRequest = serde_json::from_str(&body).map_err(not_json)?;
    for NumberedReport { seq, report, .. } in &request.reports {
        if let BotReport::Unreadable { kind } = report {
            tracing::warn!(job = %request.job_id, seq, kind, "a report cannot be read and is ignored: is the bot of another version?");
        }
    }
    let (job, counted) = (request.job_id, ReportCounts::from(&request));
    let any = |is: fn(&BotReport) -> bool| request.reports.iter().any(|one| is(&one.report));
    let joins = any(|report| matches!(report, BotReport::JoiningAs { .. }));
    let ends = any(|report| matches!(report, BotReport::Ended { .. }));
    let revoked = any(|report| matches!(report, BotReport::Ended { consent_revoked: true, .. }));
    let news = any(|report| !matches!(report, BotReport::Heartbeat { .. }));
    // Only after authentication: another caller's report must neither be counted nor remove anything.
    let recorded = if revoked {
        let sign_of_life = IngestRequest { job_id: job, epoch: request.epoch, reports: Vec::new() };
        apply(&server, sign_of_life, &credentials, Recorded::default()).await?;
        // Before the job ends: if the server dies in between, the job's next bot gets the same stream and reports the same again.
        Recorded { bytes: Some(remove(&server, job).await?), ..Recorded::default() }
    } else if ends {
        if !server.store.has_had_bot(job, credentials.token_hash).await? {
            // One whose claim was forgotten may be adopted.
            let sign_of_life =
                IngestRequest { job_id: job, epoch: request.epoch, reports: Vec::new() };
            apply(&server, sign_of_life, &credentials, Recorded::default()).await?;
        }
        let spool = spool_of_end(&request);
        if spool.is_some() && !server.recordings.has_bucket() {
            return Err(ApiError::unavailable(
                "this server has no bucket, and a worker's recording goes there",
            ));
        }
        server.recordings.recorded(job, spool).await
    } else {
        Recorded::default()
    };
    let answer = apply(&server, request, &credentials, recorded).await?;
    if joins {
        server.changes.notify_rooms();
    }
    server.metrics.attempts.heard(&counted, server.clock.now().steady);
    if news {
        server.notify_changed(job);
    } else {
        server.notify_here(job);
    }
    if answer.status.is_final() {
        server.mixes.notify_one();
    }
    if ends {
        server.uploads.notify_one();
    }
    Ok(Json(answer))
}

/// The data folder of the worker whose disk has the recording that ends with these reports; `None`: the server has it.
fn spool_of_end(request: &IngestRequest) -> Option<String> {
    request.reports.iter().find_map(|NumberedReport { report, .. }| match report {
        BotReport::Ended { manifest_uri: Some(uri), .. } => spool_of(uri).map(str::to_owned),
        _ => None,
    })
}

/// Removes all recorded files of a job, also of earlier attempts, because the consent was withdrawn. Returns how many bytes are left.
async fn remove(server: &Server, job: JobId) -> Result<u64, ApiError> {
    let (objects, missing) = server.recordings.remove(job).await.map_err(|error| {
        tracing::error!(%job, %error, "the recording of a job without consent cannot be removed; its bot asks again");
        ApiError::unavailable("the recording cannot be removed now")
    })?;
    let receipt = json!({"objects": objects, "missing": missing});
    tracing::info!(%job, %receipt, "the consent to a recording was withdrawn; it was removed");
    Ok(0)
}

async fn apply(
    server: &Server,
    request: IngestRequest,
    credentials: &BotCredentials,
    recorded: Recorded,
) -> Result<IngestAnswer, ApiError> {
    let (last_outage, now) = (server.store_outage.last(), server.store.now());
    let credentials = credentials.clone();
    let reported = server.store.report(request, credentials, recorded, last_outage, now).await;
    match server.store_outage.observe(reported, server.store.now().lease)? {
        Reported::Applied(answer) => Ok(answer),
        Reported::Superseded => Err(superseded()),
        Reported::Unknown => Err(unknown()),
    }
}

/// The attempt that the query names.
fn attempt(query: &mut Query) -> Result<(JobId, u32), ApiError> {
    let job: Option<JobId> = query.one("jobId", "a job's id");
    let epoch: Option<u32> = query.one("epoch", "a number");
    job.zip(epoch)
        .ok_or_else(|| ApiError::invalid("jobId", "required", "jobId and epoch are required"))
}

async fn commands(
    State(server): State<Server>,
    connection: Option<Extension<Arc<Connection>>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<Commands>, ApiError> {
    let token_hash = keys::hash(bearer(&headers)?);
    let mut query = Query::new(query.as_deref());
    let after = query.number("after").unwrap_or(0);
    let wait = query.number("wait").unwrap_or(0);
    let known_bots = query.text("knownBots");
    let known_stream = query.number("knownStream");
    let (job, epoch) = attempt(&mut query)?;
    query.finish()?;
    let mut woken = server.changes.subscribe(job);
    let mut rooms = server.changes.subscribe_to_rooms();
    let look = async || {
        let store = &server.store;
        let Some(commands) = store.bot_commands(job, epoch, token_hash, after).await? else {
            // Callers without a token of the job must not learn whether it exists.
            let was_its = store.has_had_bot(job, token_hash).await?;
            return Err(if was_its { superseded() } else { unknown() });
        };
        let mut answer = Commands { commands, own_bots: None, zoom_stream: None };
        // A bot without `knownBots` does not want the list.
        if let Some(known) = &known_bots {
            let own_bots = OwnBots { ids: store.own_bots(job, epoch).await? };
            answer.own_bots = Some(own_bots).filter(|own_bots| own_bots.version() != *known);
        }
        // A bot without `knownStream` has no RTMS stream.
        if let Some(known) = known_stream {
            let stream = store.zoom_stream(job, store.now()).await?;
            answer.zoom_stream = stream.filter(|stream| stream.version > known);
        }
        Ok::<_, ApiError>(answer)
    };
    // Before any wait, so that an unauthorized bot is refused at once.
    let mut answer = look().await?;
    let _hold = connection.map(|Extension(connection)| connection.hold());
    let is_nothing = |answer: &Commands| {
        answer.commands.is_empty() && answer.own_bots.is_none() && answer.zoom_stream.is_none()
    };
    let found = async {
        while is_nothing(&answer) {
            tokio::select! {
                woken = woken.changed() => if woken.is_err() { break },
                () = joined(&mut rooms) => {}
                () = tokio::time::sleep(POLL_ROOM) => {}
            }
            answer = look().await?;
        }
        Ok::<_, ApiError>(())
    };
    let wait = Duration::from_secs(wait).min(LONGEST_WAIT);
    let stopping = server.stopping.clone();
    tokio::select! {
        biased;
        found = found => found?,
        () = tokio::time::sleep(wait) => {}
        () = stopping.cancelled() => {}
    }
    Ok(Json(answer))
}

/// Waits until bots have joined rooms, and then for `JOIN_WINDOW`, so that those that join together are reported together.
async fn joined(rooms: &mut watch::Receiver<()>) {
    if rooms.changed().await.is_err() {
        return std::future::pending().await;
    }
    tokio::time::sleep(JOIN_WINDOW).await;
}
