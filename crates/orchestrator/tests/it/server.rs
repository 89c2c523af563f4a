//! A server for tests, whose launcher hands the orders of bots to the test.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use meetbot::{JobStatus, MeetBot, NewJob, Timestamp};
use meetbot_orchestrator::{
    BotExit, Config, Launcher, Orchestrator, SandboxLink, Stop,
    clock::Clock,
    keys::{self, FreshKey, KeySpec},
    store::{Rotation, Scope, Store},
    tls,
};
use meetbot_types::{
    Availability, Cause, Ending, JobId, LeaveReason, Manifest, Platform, Via,
    bot::{BotOrder, BotReport, Commands, IngestRequest, MixOrder, NumberedReport, Secret},
    signature,
};
use reqwest::{Client, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// A timeout that is long enough for a busy machine, and is reached only by failures.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const MEETING: &str = "https://sandbox.meetbot.dev/two-speakers";

/// A launcher that hands every order to the test. The bot's task runs until the test drops its end.
struct ManualLauncher {
    bots: mpsc::UnboundedSender<(BotOrder, oneshot::Sender<()>)>,
    mixes: mpsc::UnboundedSender<Mixing>,
    behind: Arc<AtomicBool>,
}

/// A mix that the server has ordered.
pub(crate) struct Mixing {
    pub(crate) order: MixOrder,
    pub(crate) stop: CancellationToken,
    answer: oneshot::Sender<io::Result<Option<Manifest>>>,
}

impl Mixing {
    /// Sends the result of the mix.
    pub(crate) fn answer(self, answer: io::Result<Option<Manifest>>) {
        let _ = self.answer.send(answer);
    }
}

#[async_trait]
impl Launcher for ManualLauncher {
    fn available(&self) -> Vec<Availability> {
        let joinable = |platform| Availability {
            platform,
            via: Via::Native,
            experimental: false,
            missing: Vec::new(),
        };
        let streams = Availability { via: Via::Rtms, ..joinable(Platform::ZoomWeb) };
        let sandbox = Availability { via: Via::Sandbox, ..joinable(Platform::Sandbox) };
        [sandbox, joinable(Platform::Janus), streams].into()
    }

    async fn run(&self, order: BotOrder, stop: Stop) -> BotExit {
        let (life, mut end) = oneshot::channel();
        if self.bots.send((order, life)).is_ok() {
            tokio::select! {
                () = life_ends(&mut end) => {}
                () = stop.leave.cancelled() => {}
            }
        }
        BotExit::Ended
    }

    fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    fn set_server_url(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn is_alive(&self, _: JobId, _: u32) -> bool {
        false
    }

    async fn adopt(&self, _: JobId, _: u32, _: Stop) -> BotExit {
        BotExit::Ended
    }

    async fn mix(&self, order: MixOrder, stop: CancellationToken) -> io::Result<Option<Manifest>> {
        let (answer, answered) = oneshot::channel();
        let stopped = stop.clone();
        if self.mixes.send(Mixing { order, stop, answer }).is_err() {
            return Ok(None);
        }
        tokio::select! {
            biased;
            Ok(answer) = answered => answer,
            () = stopped.cancelled() => Ok(None),
        }
    }
}

/// Waits until the test drops the other end, which ends the bot.
async fn life_ends(end: &mut oneshot::Receiver<()>) {
    let _ = end.await;
}

pub(crate) struct Server {
    orchestrator: Orchestrator,
    orders: Mutex<mpsc::UnboundedReceiver<(BotOrder, oneshot::Sender<()>)>>,
    mixes: Mutex<mpsc::UnboundedReceiver<Mixing>>,
    /// Whether the bots read their media too late.
    pub(crate) behind: Arc<AtomicBool>,
    pub(crate) http: Client,
    pub(crate) key: String,
    pub(crate) webhook_secret: String,
}

/// Plain HTTP to this machine.
pub(crate) fn http() -> Client {
    Client::builder().tls_backend_preconfigured(tls::config()).no_proxy().build().unwrap()
}

impl Server {
    /// Starts a server on this folder, with a test key.
    pub(crate) async fn start(data: &TempDir) -> Self {
        Self::start_with(data, |_| None).await
    }

    /// The same, with settings. The server is in development mode unless the settings say otherwise, because webhooks of tests go to loopback.
    pub(crate) async fn start_with(
        data: &TempDir,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let variable = |name: &str| {
            let development = (name == "MEETBOT_SERVER_DEVELOPMENT").then(|| "true".to_owned());
            variable(name).or(development)
        };
        Self::start_as(data, Config::load(None, variable).unwrap()).await
    }

    /// The same, with settings that have no environment variable.
    pub(crate) async fn start_changed(data: &TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let development =
            |name: &str| (name == "MEETBOT_SERVER_DEVELOPMENT").then(|| "true".to_owned());
        let mut config = Config::load(None, development).unwrap();
        change(&mut config);
        Self::start_as(data, config).await
    }

    async fn start_as(data: &TempDir, mut config: Config) -> Self {
        log();
        config.listen = ([127, 0, 0, 1], 0).into();
        config.data_dir = data.path().to_owned();
        let ((bots, orders), (mixing, mixes)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let behind = Arc::<AtomicBool>::default();
        let launcher = ManualLauncher { bots, mixes: mixing, behind: Arc::clone(&behind) };
        let (address, token) = ("ws://127.0.0.1:1".to_owned(), Secret::new("of the sandbox"));
        let sandbox = SandboxLink { address, token, check: |_| Ok(()) };
        let orchestrator = Orchestrator::start(config, Arc::new(launcher), sandbox).await.unwrap();
        let spec = KeySpec { consumer: "acme", live: false, scope: Scope::Write, expires_at: None };
        let fresh = keys::create(orchestrator.store(), spec).await.unwrap();
        Self {
            orchestrator,
            orders: Mutex::new(orders),
            mixes: Mutex::new(mixes),
            behind,
            http: http(),
            key: fresh.secret.expose().to_owned(),
            webhook_secret: fresh.webhook_secret.expose().to_owned(),
        }
    }

    pub(crate) async fn stop(self) {
        self.orchestrator.stop().await;
    }

    /// Creates another key.
    pub(crate) async fn key(&self, consumer: &str, live: bool, scope: Scope) -> String {
        let spec = KeySpec { consumer, live, scope, expires_at: None };
        self.fresh_key(spec).await.secret.expose().to_owned()
    }

    /// Creates another key, and returns it with its row.
    pub(crate) async fn fresh_key(&self, spec: KeySpec<'_>) -> FreshKey {
        keys::create(self.orchestrator.store(), spec).await.unwrap()
    }

    /// The store of this server.
    pub(crate) fn store(&self) -> &dyn Store {
        self.orchestrator.store()
    }

    /// The server's clocks.
    pub(crate) fn clock(&self) -> Clock {
        self.orchestrator.clock()
    }

    /// The base URL.
    pub(crate) fn url(&self) -> String {
        self.orchestrator.url()
    }

    /// Gives the consumer of this server's key a new webhook secret, and returns it.
    pub(crate) async fn rotate(&self, overlap: Duration) -> String {
        let new = signature::generate_secret();
        let (store, secret) = (self.orchestrator.store(), Secret::new(&*new));
        let rotation = store.rotate_webhook_secret("acme", secret, overlap, store.now()).await;
        assert!(matches!(rotation.unwrap(), Rotation::Done(_)));
        new
    }

    /// The SDK, with this server's key.
    pub(crate) fn client(&self) -> MeetBot {
        self.client_of(&self.key)
    }

    pub(crate) fn client_of(&self, key: &str) -> MeetBot {
        MeetBot::builder()
            .api_key(key)
            .base_url(self.orchestrator.url())
            .max_retries(0)
            .build()
            .unwrap()
    }

    /// A bare request with this server's key.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.request_as(&self.key, method, path)
    }

    pub(crate) fn request_as(
        &self,
        key: &str,
        method: Method,
        path: &str,
    ) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.orchestrator.url());
        self.http.request(method, url).bearer_auth(key)
    }

    /// The next bot that the server launches.
    pub(crate) async fn bot(&self) -> Bot {
        let next = async { self.orders.lock().await.recv().await.unwrap() };
        let (order, life) = tokio::time::timeout(PATIENCE, next).await.expect("a bot is launched");
        Bot { http: self.http.clone(), order, seq: 0, _life: Some(life) }
    }

    /// The next mix that the server orders.
    pub(crate) async fn mix(&self) -> Mixing {
        let next = async { self.mixes.lock().await.recv().await.unwrap() };
        tokio::time::timeout(PATIENCE, next).await.expect("a mix is wanted")
    }

    /// Whether no further bot has been launched.
    pub(crate) async fn has_launched_none(&self) -> bool {
        self.orders.lock().await.is_empty()
    }
}

/// The logs of all servers in this process go into one file, which is searched for secrets.
fn log() {
    static BEGUN: std::sync::Once = std::sync::Once::new();
    BEGUN.call_once(|| {
        let log = std::sync::Mutex::new(xtask::test_log::create("orchestrator").0);
        let debug = tracing_subscriber::EnvFilter::new("debug");
        tracing_subscriber::fmt().with_env_filter(debug).with_ansi(false).with_writer(log).init();
    });
}

/// The status and JSON of a response.
pub(crate) async fn answered(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap())
}

/// A bot that the test plays. Dropping it ends its task without a report.
pub(crate) struct Bot {
    http: Client,
    pub(crate) order: BotOrder,
    seq: u64,
    _life: Option<oneshot::Sender<()>>,
}

impl Bot {
    /// The same bot, as if its process still ran elsewhere after it was lost.
    pub(crate) fn stale(&self) -> Self {
        Self { http: self.http.clone(), order: self.order.clone(), seq: self.seq, _life: None }
    }

    /// Sends a report. Returns the status of the response.
    pub(crate) async fn report(&mut self, report: BotReport) -> StatusCode {
        self.seq += 1;
        self.report_as(self.seq, report).await
    }

    /// Sends a report with this sequence number.
    pub(crate) async fn report_as(&self, seq: u64, report: BotReport) -> StatusCode {
        let request = IngestRequest {
            job_id: self.order.job_id,
            epoch: self.order.epoch,
            reports: vec![NumberedReport { seq, at: now(), report }],
        };
        let url = format!("{}/api/v1/ingest", self.order.orchestrator_url);
        let sent = self.http.post(url).bearer_auth(self.order.token.expose()).json(&request).send();
        sent.await.unwrap().status()
    }

    /// Reports that the bot is admitted and records.
    pub(crate) async fn record(&mut self) {
        assert_eq!(self.report(BotReport::Admitted).await, StatusCode::OK);
        assert_eq!(self.report(BotReport::RecordingStarted).await, StatusCode::OK);
    }

    /// Ends the job, with a manifest at this place.
    pub(crate) async fn complete(&mut self, manifest_uri: &str) {
        let ending = Cause::Left(LeaveReason::MeetingEnded).ending(true, false);
        assert_eq!(self.end(ending, Some(manifest_uri)).await, StatusCode::OK);
    }

    pub(crate) async fn end(&mut self, ending: Ending, manifest_uri: Option<&str>) -> StatusCode {
        let manifest_uri = manifest_uri.map(ToOwned::to_owned);
        let (duration_ms, paused_ms) = (1_000, 0);
        let consent_revoked = false;
        self.report(BotReport::Ended {
            ending,
            manifest_uri,
            duration_ms,
            paused_ms,
            consent_revoked,
        })
        .await
    }

    /// Waits for commands and returns them.
    pub(crate) async fn commands(&self, after: u64) -> Commands {
        self.asks(&format!("after={after}&wait=30")).await
    }

    /// The response to a poll for commands with this query.
    pub(crate) async fn asks<T: DeserializeOwned>(&self, how: &str) -> T {
        let (job, epoch) = (self.order.job_id, self.order.epoch);
        let url = format!(
            "{}/api/v1/ingest/commands?jobId={job}&epoch={epoch}&{how}",
            self.order.orchestrator_url
        );
        let sent = self.http.get(url).bearer_auth(self.order.token.expose()).send();
        sent.await.unwrap().json().await.unwrap()
    }
}

pub(crate) fn new_job() -> NewJob {
    NewJob { meeting_url: MEETING.to_owned(), ..NewJob::default() }
}

/// Waits until the job is in this status.
pub(crate) async fn await_status(client: &MeetBot, id: &str, status: JobStatus) -> meetbot::Job {
    let look = async {
        loop {
            let job = client.get_bot(id).await.unwrap().unwrap();
            if job.status == status {
                return job;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{id} is never {status}"))
}

#[expect(clippy::disallowed_methods, reason = "a bot says when something happened")]
pub(crate) fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}
