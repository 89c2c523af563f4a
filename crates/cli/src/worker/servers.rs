//! The servers that a worker works for, over HTTP. It stays with the first that answers until that one fails.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use meetbot_orchestrator::{Attempt, JobSource, Room, tls};
use meetbot_types::{
    ErrorBody, ErrorCode, JobId,
    bot::{BotOrder, IngestRequest, SandboxSeat, Secret},
    work::{
        BEAT_SECONDS, CLAIM_SECONDS, MOST_SPOOLED, MixEnd, MixLease, SpoolState, SpooledJob,
        WorkBeat, WorkClaim, WorkGone, WorkHeard, WorkMix, WorkMixes, WorkMixing, WorkMixingHeard,
        WorkOrders, WorkReleased, WorkSpool, WorkSpooled, WorkUploaded, WorkerDescription,
    },
};
use reqwest::{Client, StatusCode, redirect};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::status::Status;

/// How long a server may take for a response that it does not hold back.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a server may take for a claim, which it holds until there is work.
const LONGEST_CLAIM: Duration = Duration::from_secs(CLAIM_SECONDS + 10);
/// The pause after no server has answered.
const PAUSE: Duration = Duration::from_secs(1);
/// How long to wait for a claim's response once the worker has reported that it drains.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// How long a server may take while meetings wait for another worker.
const HAND_OVER: Duration = Duration::from_secs(2);

/// Why a server gives no work.
#[derive(Debug)]
enum Refusal {
    /// It does not answer, or has a temporary problem.
    Unavailable(String),
    /// It refuses the worker; trying again does not help.
    Refused(String),
}

impl Refusal {
    fn text(self) -> String {
        match self {
            Self::Unavailable(problem) | Self::Refused(problem) => problem,
        }
    }
}

/// The servers, and the settings of this machine that complete their orders.
pub(super) struct Servers {
    pub(super) urls: Vec<String>,
    pub(super) key: Secret,
    pub(super) http: Client,
    pub(super) worker: WorkerDescription,
    /// Where bots record.
    pub(super) recordings: PathBuf,
    /// The name of the data folder, if it is not the server's.
    pub(super) spool: Option<String>,
    /// How the worker is.
    pub(super) status: Arc<Status>,
    /// The address of this machine's sandbox, and its token.
    pub(super) sandbox: Option<(String, Secret)>,
    /// How often the worker switched to the next server.
    pub(super) asked: AtomicUsize,
}

/// Reads the URL of a server, without a path.
pub(super) fn url(text: &str) -> Result<String, String> {
    let wrong =
        || format!("{text:?} is not the URL of a server, as in https://meetbot.example.com");
    let url = Url::parse(text.trim()).map_err(|_| wrong())?;
    let path = url.path().trim_end_matches('/');
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let is_server = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !is_plain || !is_server || !matches!(path, "" | "/api/v1") {
        return Err(wrong());
    }
    Ok(url.origin().ascii_serialization())
}

/// The HTTP client. It follows no redirects, since the key is for the configured server only; a redirect is reported.
pub(super) fn client() -> reqwest::Result<Client> {
    let builder = Client::builder().tls_backend_preconfigured(tls::config());
    builder.no_proxy().redirect(redirect::Policy::none()).build()
}

impl Servers {
    /// Finds a server that accepts this worker, and returns its URL and its answer. Fails when a server refuses it, or when none answers.
    pub(super) async fn greet(&self) -> Result<(String, WorkHeard), String> {
        let mut away = Vec::new();
        for _ in &self.urls {
            let (turn, server) = self.server();
            match self.post::<WorkHeard>(server, "beat", &self.beat(false), PATIENCE).await {
                Ok(heard) => {
                    self.status.heard();
                    return Ok((server.to_owned(), heard));
                }
                Err(Refusal::Refused(problem)) => return Err(problem),
                Err(Refusal::Unavailable(problem)) => away.push(problem),
            }
            self.pass(turn);
        }
        Err(format!("no server answers: {}", away.join("; ")))
    }

    /// The server that is asked now, and how often the worker had switched before.
    fn server(&self) -> (usize, &str) {
        let turn = self.asked.load(Ordering::Relaxed);
        (turn, &self.urls[turn % self.urls.len()])
    }

    /// Switches to the next server, unless a claim or a heartbeat that failed at the same time has done so.
    fn pass(&self, turn: usize) {
        let switched = turn.wrapping_add(1);
        let _ = self.asked.compare_exchange(turn, switched, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn beat(&self, draining: bool) -> WorkBeat {
        WorkBeat { worker: self.worker.clone(), draining, status: None }
    }

    /// Reports to a server how the worker is, every [`BEAT_SECONDS`], and once more when the worker is `over`.
    pub(super) async fn report(&self, drain: &CancellationToken, over: &CancellationToken) {
        let mut ticks = tokio::time::interval(Duration::from_secs(BEAT_SECONDS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = over.cancelled() => break,
                _ = ticks.tick() => {}
            }
            self.status.look_at_disk().await;
            // A worker without a free place claims nothing, so its heartbeats find another server.
            for _ in &self.urls {
                if self.report_once(drain.is_cancelled(), PATIENCE).await {
                    break;
                }
            }
        }
        self.report_once(true, LAST_ANSWER).await;
    }

    /// Reports to one server, and returns whether it has answered.
    async fn report_once(&self, draining: bool, patience: Duration) -> bool {
        let beat = WorkBeat { status: Some(self.status.report()), ..self.beat(draining) };
        let (turn, server) = self.server();
        match self.post::<WorkHeard>(server, "beat", &beat, patience).await {
            Ok(_) => {
                self.status.heard();
                true
            }
            Err(refusal) => {
                tracing::debug!(problem = refusal.text(), "a heartbeat was not heard");
                self.pass(turn);
                false
            }
        }
    }

    /// Completes an order with the folder of this machine and the addresses for the bot's reports.
    fn complete(&self, mut order: BotOrder) -> BotOrder {
        order.folder = self.recordings.join(order.job_id.to_string());
        order.spool.clone_from(&self.spool);
        tracing::info!(job = %order.job_id, attempt = order.epoch, "a bot was given to this worker");
        let turn = self.asked.load(Ordering::Relaxed) % self.urls.len();
        let mut urls = self.urls.clone();
        urls.rotate_left(turn);
        order.orchestrator_url = urls.remove(0);
        order.other_urls = urls;
        if let (Some(seat), Some((address, token))) = (&mut order.sandbox, &self.sandbox) {
            let scenario = std::mem::take(&mut seat.scenario);
            *seat = SandboxSeat { address: address.clone(), scenario, token: Some(token.clone()) };
        }
        order
    }

    /// Waits for the response to a claim. Once the worker drains, a beat reports that to the server, which then answers the claim soon.
    async fn claim_of(
        &self,
        (turn, server): (usize, &str),
        claim: &WorkClaim,
        drain: &CancellationToken,
    ) -> Result<WorkOrders, Refusal> {
        let mut answer =
            std::pin::pin!(self.post::<WorkOrders>(server, "claim", claim, LONGEST_CLAIM));
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = drain.cancelled() => {}
        }
        let beat = self.beat(true);
        let notified = async {
            if self.post::<WorkHeard>(server, "beat", &beat, HAND_OVER).await.is_err() {
                // The bots that leave now are reported to another server.
                self.pass(turn);
            }
        };
        let both = async { tokio::join!(notified, answer) };
        match tokio::time::timeout(LAST_ANSWER, both).await {
            Ok(((), answer)) => answer,
            Err(_) => Ok(WorkOrders { orders: Vec::new() }),
        }
    }

    /// What to do with the files of these jobs. `None`: no server says so now.
    pub(super) async fn spooled(
        &self,
        jobs: &[JobId],
        makes_mixes: bool,
    ) -> Option<Vec<SpooledJob>> {
        let mut states = Vec::new();
        for jobs in jobs.chunks(MOST_SPOOLED) {
            let ask = WorkSpool { worker: self.worker.clone(), jobs: jobs.to_vec(), makes_mixes };
            let WorkSpooled { jobs } =
                self.post_to_any("spool", &ask, "what to do with files", PATIENCE).await?;
            states.extend(jobs);
        }
        Some(states)
    }

    /// Reports that an upload is complete, or that its files are lost.
    pub(super) async fn uploaded(
        &self,
        job_id: JobId,
        nonce: String,
        lost: Option<String>,
        makes_mixes: bool,
    ) -> Option<SpoolState> {
        let worker = self.worker.clone();
        let uploaded = WorkUploaded { worker, job_id, nonce, lost, makes_mixes };
        let answer: SpooledJob =
            self.post_to_any("uploaded", &uploaded, "the end of an upload", PATIENCE).await?;
        Some(answer.state)
    }

    /// Mixes to make, at most `room`; those of jobs whose files are here come first. None from a server of an earlier version.
    pub(super) async fn mixes(&self, room: usize, mut has: Vec<JobId>) -> Vec<MixLease> {
        has.truncate(MOST_SPOOLED);
        let ask = WorkMix { worker: self.worker.clone(), room, has };
        match self.post::<WorkMixes>(self.server().1, "mix", &ask, PATIENCE).await {
            Ok(WorkMixes { mixes }) => mixes,
            Err(refusal) => {
                tracing::debug!(problem = refusal.text(), "no mixes are given");
                Vec::new()
            }
        }
    }

    /// Goes on with a mix; answers whether to. `None`: no server says so now.
    pub(super) async fn renew_mix(&self, mix: &MixLease) -> Option<bool> {
        let going: WorkMixingHeard =
            self.post_to_any("mixing", &self.mixing(mix, None), "a mix", PATIENCE).await?;
        Some(going.goes_on)
    }

    /// Reports what became of a mix. Returns whether a server has heard it.
    pub(super) async fn end_mix(&self, mix: &MixLease, end: MixEnd) -> bool {
        let ended = self.mixing(mix, Some(end));
        let heard: Option<WorkMixingHeard> =
            self.post_to_any("mixing", &ended, "the end of a mix", PATIENCE).await;
        heard.is_some()
    }

    fn mixing(&self, mix: &MixLease, end: Option<MixEnd>) -> WorkMixing {
        let (worker, lease) = (self.worker.clone(), mix.lease.clone());
        WorkMixing { worker, job_id: mix.job_id, lease, end }
    }

    /// Renews the lease of a bot that does not run yet.
    pub(super) async fn renew(&self, order: &BotOrder) {
        let request =
            IngestRequest { job_id: order.job_id, epoch: order.epoch, reports: Vec::new() };
        let url = format!("{}/api/v1/ingest", order.orchestrator_url);
        let sent = self.http.post(url).bearer_auth(order.token.expose()).timeout(PATIENCE);
        if let Err(error) = sent.json(&request).send().await {
            tracing::warn!(job = %order.job_id, error = %error.without_url(), "a lease is not renewed");
        }
    }

    /// Asks the servers one after the other until one answers. The worker leaves those that do not.
    async fn post_to_any<T: DeserializeOwned>(
        &self,
        what: &str,
        body: &impl Serialize,
        about: &str,
        patience: Duration,
    ) -> Option<T> {
        for _ in &self.urls {
            let (turn, server) = self.server();
            match self.post(server, what, body, patience).await {
                Ok(answer) => return Some(answer),
                Err(refusal) => {
                    tracing::warn!(problem = refusal.text(), "no server answers about {about}");
                    self.pass(turn);
                }
            }
        }
        None
    }

    async fn post<T: DeserializeOwned>(
        &self,
        server: &str,
        what: &str,
        body: &impl Serialize,
        patience: Duration,
    ) -> Result<T, Refusal> {
        let request = self.http.post(format!("{server}/api/v1/work/{what}"));
        let sent = request.bearer_auth(self.key.expose()).timeout(patience).json(body).send();
        let answer = sent.await.map_err(|error| {
            let error = error.without_url();
            // The first error says only that the request failed; its last source says why.
            let mut cause: &dyn std::error::Error = &error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            Refusal::Unavailable(format!("{server} does not answer: {cause}"))
        })?;
        let status = answer.status();
        let text = answer.bytes().await.unwrap_or_default();
        if status == StatusCode::OK
            && let Ok(answer) = serde_json::from_slice(&text)
        {
            return Ok(answer);
        }
        Err(judge(server, status, serde_json::from_slice(&text).ok()))
    }
}

/// The refusal in an unsuccessful response. Only a response with an error body comes from a meetbot server.
fn judge(server: &str, status: StatusCode, body: Option<ErrorBody>) -> Refusal {
    let Some(ErrorBody { error, message, .. }) = body else {
        return match status {
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Refusal::Unavailable(format!("{server} answers {status}"))
            }
            _ => Refusal::Refused(format!(
                "what answers at {server} is no meetbot server: it answers {status}"
            )),
        };
    };
    match error {
        ErrorCode::Unauthorized => {
            Refusal::Refused(format!("{server} does not take the key of --key-file: {message}"))
        }
        ErrorCode::Forbidden => Refusal::Refused(format!(
            "{server} does not take the key of --key-file: {message}; `meetbot keys create --live --scope worker --consumer workers` makes one"
        )),
        ErrorCode::NoSuchPath | ErrorCode::MethodNotAllowed => Refusal::Refused(format!(
            "the server at {server} knows no workers: it is older than this program; upgrade it first"
        )),
        ErrorCode::Conflict | ErrorCode::InvalidInput => {
            Refusal::Refused(format!("{server} does not take this worker: {message}"))
        }
        _ => Refusal::Unavailable(format!("{server} answers {status}: {message}")),
    }
}

#[async_trait]
impl JobSource for Servers {
    fn is_busy(&self) -> bool {
        self.status.makes_mixes()
    }

    async fn claim(&self, room: Room, drain: &CancellationToken) -> Vec<BotOrder> {
        let Room { bots, browsers } = room;
        let claim =
            WorkClaim { worker: self.worker.clone(), room: bots, browser_room: Some(browsers) };
        let mut failed = 0;
        while !drain.is_cancelled() {
            if self.status.takes_no_jobs() {
                tokio::select! {
                    () = drain.cancelled() => {}
                    () = tokio::time::sleep(PAUSE) => {}
                }
                continue;
            }
            let (turn, server) = self.server();
            match self.claim_of((turn, server), &claim, drain).await {
                Ok(WorkOrders { orders }) => {
                    return orders.into_iter().map(|order| self.complete(order)).collect();
                }
                Err(refusal) => {
                    tracing::warn!(problem = refusal.text(), "no jobs are taken");
                }
            }
            self.pass(turn);
            failed += 1;
            if failed % self.urls.len() == 0 {
                tokio::select! {
                    () = drain.cancelled() => {}
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
        Vec::new()
    }

    async fn end_attempt(&self, (job_id, epoch): Attempt, handed_over: bool) -> bool {
        let gone = WorkGone { job_id, epoch, handed_over };
        let patience = if handed_over { HAND_OVER } else { PATIENCE };
        let answer = self.post_to_any("gone", &gone, "a bot that has ended", patience).await;
        let Some(WorkReleased { released }) = answer else { return false };
        if released {
            tracing::info!(job = %job_id, attempt = epoch, handed_over, "a job goes to another bot");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_url_must_not_have_a_path() {
        for (text, server) in [
            ("https://a.example.com", "https://a.example.com"),
            ("http://127.0.0.1:3010/", "http://127.0.0.1:3010"),
            (" https://a.example.com:8443/api/v1/ ", "https://a.example.com:8443"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(server));
        }
        for wrong in [
            "",
            "a.example.com",
            "ftp://a.example.com",
            "https://",
            "https://k@a.example.com",
            "https://a.example.com/x",
            "https://a.example.com?x=1",
        ] {
            assert!(url(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_refusals_of_a_meetbot_server_end_the_worker() {
        let body = |error: ErrorCode| {
            Some(ErrorBody { error, message: "why".into(), issues: None, request_id: None })
        };
        for (status, body, refused, word) in [
            (502, None, false, "502"),
            (429, None, false, "429"),
            (404, None, true, "no meetbot server"),
            (200, None, true, "no meetbot server"),
            (401, body(ErrorCode::Unauthorized), true, "does not take the key"),
            (403, body(ErrorCode::Forbidden), true, "--scope worker"),
            (404, body(ErrorCode::NoSuchPath), true, "upgrade it first"),
            (409, body(ErrorCode::Conflict), true, "does not take this worker"),
            (503, body(ErrorCode::Unavailable), false, "why"),
        ] {
            let judged = judge("http://a", StatusCode::from_u16(status).unwrap(), body);
            assert_eq!(matches!(judged, Refusal::Refused(_)), refused, "{status}");
            let text = judged.text();
            assert!(text.contains(word), "{text}");
        }
    }
}
