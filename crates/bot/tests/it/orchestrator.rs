//! A fake orchestrator for bots under test: it accepts reports, sends commands, and can be unavailable or refuse a superseded bot.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
    routing::{get, post},
};
use meetbot_bot::Connect;
use meetbot_sandbox::Sandbox;
use meetbot_types::{
    AddressPolicy, AutoLeave, CommandId, ControlAction, Ending, ErrorBody, ErrorCode, JobId,
    JobStatus, Manifest, MeetingLink, Timestamp,
    bot::{
        BotCommand, BotOrder, BotReport, Commands, IngestAnswer, IngestRequest, NumberedReport,
        OwnBots, SandboxSeat, Secret, ZoomStream,
    },
};
use reqwest::Client;
use rustls::crypto::aws_lc_rs;
use tempfile::TempDir;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use xtask::ffmpeg::decodes;

/// A timeout for busy machines, reached only when a test fails.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);

/// How the orchestrator answers to reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Available,
    Unavailable,
    Superseded,
    /// The job has ended, and what was acknowledged is forgotten.
    Over,
    /// A proxy in between answers with an HTML page of this status.
    Proxy(u16),
    /// It has the first version, and refuses requests with newer reports.
    Older,
}

#[derive(Clone)]
struct FakeOrchestrator {
    behaviour: watch::Sender<Behaviour>,
    reports: watch::Sender<Vec<NumberedReport>>,
    commands: watch::Sender<Vec<BotCommand>>,
    own_bots: watch::Sender<OwnBots>,
    zoom_stream: watch::Sender<Option<ZoomStream>>,
    refused: Arc<Mutex<usize>>,
}

/// A job with its folder, the sandbox, and the fake orchestrator.
pub(crate) struct Fixture {
    pub(crate) sandbox: Sandbox,
    pub(crate) job: JobId,
    folder: TempDir,
    address: SocketAddr,
    server: FakeOrchestrator,
}

/// The token that the sandbox of these tests requires.
fn sandbox_token() -> Secret {
    Secret::new("of the sandbox")
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = FakeOrchestrator {
            behaviour: watch::Sender::new(Behaviour::Available),
            reports: watch::Sender::new(Vec::new()),
            commands: watch::Sender::new(Vec::new()),
            own_bots: watch::Sender::new(OwnBots::default()),
            zoom_stream: watch::Sender::default(),
            refused: Arc::default(),
        };
        let routes = Router::new()
            .route("/api/v1/ingest", post(ingest))
            .route("/api/v1/ingest/commands", get(commands))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            sandbox: Sandbox::start(([127, 0, 0, 1], 0).into(), sandbox_token()).await.unwrap(),
            job: JobId::generate(now()),
            folder: TempDir::new().unwrap(),
            address,
            server,
        }
    }

    pub(crate) fn order(&self, epoch: u32, scenario: &str) -> BotOrder {
        let sandbox = SandboxSeat {
            address: self.sandbox.address(),
            scenario: scenario.to_owned(),
            token: Some(sandbox_token()),
        };
        let meeting_url = format!("https://sandbox.meetbot.dev/{scenario}");
        BotOrder { sandbox: Some(sandbox), ..self.order_for(epoch, &meeting_url) }
    }

    /// An order for a meeting outside of the sandbox.
    pub(crate) fn order_for(&self, epoch: u32, meeting_url: &str) -> BotOrder {
        BotOrder {
            job_id: self.job,
            epoch,
            token: Secret::new("a token"),
            claim_signature: None,
            orchestrator_url: format!("http://{}", self.address),
            other_urls: Vec::new(),
            link: MeetingLink::parse(meeting_url, None).unwrap(),
            meeting_url: meeting_url.to_owned(),
            external_id: Some("lesson-7".to_owned()),
            display_name: "meetbot".to_owned(),
            auto_leave: AutoLeave::default(),
            record_video: None,
            account: None,
            joined_ms_ago: None,
            sandbox: None,
            zoom: None,
            browser: None,
            imitation: None,
            address_policy: AddressPolicy {
                loopback: true,
                networks: vec!["10.213.0.0/16".parse().unwrap()],
            },
            stun_servers: Vec::new(),
            folder: self.folder.path().join(self.job.to_string()),
            spool: None,
            begun: None,
            most_bytes: None,
            heartbeat_ms: 5_000,
            alone_ms: 86_400_000,
            finalize: None,
        }
    }

    /// Starts a bot.
    pub(crate) fn run(order: BotOrder) -> Running {
        Self::run_trusting(order, rustls::RootCertStore::empty())
    }

    /// Starts a bot that trusts these certificates only.
    pub(crate) fn run_trusting(order: BotOrder, roots: rustls::RootCertStore) -> Running {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http =
            Client::builder().tls_backend_preconfigured(tls.clone()).no_proxy().build().unwrap();
        let browsers = Arc::new(Semaphore::new(8));
        let (tls, lateness) = (Arc::new(tls), Arc::default());
        let connect = Connect { http, tls, orchestrator: None, browsers, lateness };
        let stop = CancellationToken::new();
        Running { bot: tokio::spawn(meetbot_bot::run(order, connect, stop.clone())), stop }
    }

    pub(crate) fn set_behaviour(&self, behaviour: Behaviour) {
        self.server.behaviour.send_replace(behaviour);
    }

    /// How many requests with reports were refused.
    pub(crate) fn refused(&self) -> usize {
        *self.server.refused.lock().unwrap()
    }

    pub(crate) fn command(&self, command: BotCommand) {
        self.server.commands.send_modify(|commands| commands.push(command));
    }

    /// Sets the ids of the server's bots in the room.
    pub(crate) fn own_bots(&self, ids: Vec<String>) {
        self.server.own_bots.send_replace(OwnBots { ids });
    }

    /// Sets the Zoom stream of the job's meeting.
    pub(crate) fn zoom_stream(&self, stream: ZoomStream) {
        self.server.zoom_stream.send_replace(Some(stream));
    }

    /// Waits for a report for which `wanted` is true.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&BotReport) -> bool) {
        self.wait_until(|reports| reports.iter().any(&wanted)).await;
    }

    /// The same with another timeout.
    pub(crate) async fn wait_for_within(
        &self,
        timeout: Duration,
        wanted: impl Fn(&BotReport) -> bool,
    ) {
        self.wait_reports(timeout, |reports| reports.iter().any(&wanted)).await;
    }

    /// Waits until `wanted` is true for the list of reports.
    pub(crate) async fn wait_until(&self, wanted: impl Fn(&[BotReport]) -> bool) {
        self.wait_reports(TIMEOUT, wanted).await;
    }

    async fn wait_reports(&self, timeout: Duration, wanted: impl Fn(&[BotReport]) -> bool) {
        let mut reports = self.server.reports.subscribe();
        let outcome = reports.wait_for(|numbered| {
            let reports: Vec<_> = numbered.iter().map(|one| one.report.clone()).collect();
            wanted(&reports)
        });
        let outcome = tokio::time::timeout(timeout, outcome).await;
        assert!(outcome.is_ok(), "it was not reported: {:#?}", self.take_reports());
    }

    /// The reports since the last [`Self::take_reports`], which are kept.
    pub(crate) fn peek_reports(&self) -> Vec<BotReport> {
        self.server.reports.borrow().iter().map(|one| one.report.clone()).collect()
    }

    /// Takes the reports since the last call, in order.
    pub(crate) fn take_reports(&self) -> Vec<BotReport> {
        let numbered = self.server.reports.send_replace(Vec::new());
        for (index, report) in numbered.iter().enumerate() {
            assert_eq!(
                report.seq,
                index as u64 + 1,
                "a missing or duplicate report: {numbered:#?}"
            );
        }
        numbered.into_iter().map(|numbered| numbered.report).collect()
    }

    pub(crate) fn folder(&self, epoch: u32) -> std::path::PathBuf {
        self.folder.path().join(format!("{}/e{epoch}", self.job))
    }

    /// The manifest of an attempt; checks every file of it.
    pub(crate) fn manifest(&self, epoch: u32) -> Manifest {
        let folder = self.folder(epoch);
        let manifest: Manifest =
            serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        for file in &manifest.files {
            let bytes = std::fs::read(folder.join(&file.name)).unwrap();
            assert_eq!(bytes.len() as u64, file.bytes, "{}", file.name);
            assert_eq!(meetbot_types::signature::sha256(&bytes), file.sha256, "{}", file.name);
            if file.media_type.ends_with("/webm") {
                decodes(&folder.join(&file.name));
            }
        }
        let on_disk = std::fs::read_dir(&folder).unwrap().count();
        assert_eq!(on_disk, manifest.files.len() + 1, "every file is listed: {manifest:#?}");
        manifest
    }
}

/// A running bot.
pub(crate) struct Running {
    bot: JoinHandle<()>,
    pub(crate) stop: CancellationToken,
}

impl Running {
    /// Aborts its task, like a crash: it writes nothing more.
    pub(crate) async fn crash(self) {
        self.bot.abort();
        let _ = self.bot.await;
    }

    /// Waits for its end.
    pub(crate) async fn finish(self) {
        tokio::time::timeout(TIMEOUT, self.bot).await.expect("the bot ends").unwrap();
    }
}

/// The reported ending, and whether there is a manifest.
pub(crate) fn ended(reports: &[BotReport]) -> (Ending, bool) {
    let ends: Vec<_> = reports
        .iter()
        .filter_map(|report| match report {
            BotReport::Ended { ending, manifest_uri, .. } => {
                Some((ending.clone(), manifest_uri.is_some()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(ends.len(), 1, "{reports:#?}");
    ends.into_iter().next().unwrap()
}

/// The reports of the first version.
const FIRST_VERSION: &str = include_str!("../../../types/src/bot/wire.json");

/// A refusal of the orchestrator itself.
fn refusal(error: ErrorCode) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap();
    let (message, request_id) = ("no".to_owned(), Some("req_1".to_owned()));
    (status, Json(ErrorBody { error, message, issues: None, request_id })).into_response()
}

fn of_the_first_version(report: &NumberedReport) -> bool {
    FIRST_VERSION.contains(&format!("\"type\": \"{}\"", report.report.kind()))
}

async fn ingest(
    State(server): State<FakeOrchestrator>,
    Json(request): Json<IngestRequest>,
) -> Response {
    let refuse = |answer: Response| {
        *server.refused.lock().unwrap() += 1;
        answer
    };
    let behaviour = *server.behaviour.borrow();
    match behaviour {
        Behaviour::Unavailable => return refuse(StatusCode::SERVICE_UNAVAILABLE.into_response()),
        Behaviour::Superseded => return refuse(refusal(ErrorCode::Conflict)),
        Behaviour::Over => {
            let answer = IngestAnswer { status: JobStatus::Failed, acknowledged: 0 };
            return refuse(Json(answer).into_response());
        }
        Behaviour::Proxy(status) => {
            let page = Html("<html><h1>A proxy</h1></html>");
            return refuse((StatusCode::from_u16(status).unwrap(), page).into_response());
        }
        Behaviour::Older if !request.reports.iter().all(of_the_first_version) => {
            return refuse(refusal(ErrorCode::InvalidInput));
        }
        Behaviour::Available | Behaviour::Older => {}
    }
    let mut acknowledged = 0;
    server.reports.send_modify(|reports| {
        for report in request.reports {
            acknowledged = report.seq;
            if let BotReport::CommandDone { command_id, .. } = &report.report {
                server
                    .commands
                    .send_modify(|commands| commands.retain(|one| one.id != *command_id));
            }
            if reports.last().is_none_or(|last| last.seq < report.seq) {
                reports.push(report);
            }
        }
    });
    Json(IngestAnswer { status: JobStatus::Recording, acknowledged }).into_response()
}

async fn commands(State(server): State<FakeOrchestrator>, uri: axum::http::Uri) -> Json<Commands> {
    let query = uri.query().unwrap_or_default();
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap();
    let (after, known) = (value("after=").parse().unwrap(), value("knownBots="));
    let newer = |commands: &Vec<BotCommand>| -> Vec<BotCommand> {
        commands.iter().filter(|command| command.seq > after).cloned().collect()
    };
    let known_stream = query.split('&').find_map(|pair| pair.strip_prefix("knownStream="));
    let known_stream: Option<u64> = known_stream.map(|known| known.parse().unwrap());
    let (mut given, mut bots) = (server.commands.subscribe(), server.own_bots.subscribe());
    let mut streams = server.zoom_stream.subscribe();
    let is_newer = |stream: &Option<ZoomStream>| {
        stream.as_ref().zip(known_stream).is_some_and(|(stream, known)| stream.version > known)
    };
    tokio::select! {
        commands = given.wait_for(|commands| !newer(commands).is_empty()) => {
            let commands = newer(&commands.unwrap());
            Json(Commands { commands, ..Commands::default() })
        }
        bots = bots.wait_for(|bots| bots.version() != known) => {
            let own_bots = Some(bots.unwrap().clone());
            Json(Commands { own_bots, ..Commands::default() })
        }
        stream = streams.wait_for(is_newer) => {
            let zoom_stream = stream.unwrap().clone();
            Json(Commands { zoom_stream, ..Commands::default() })
        }
    }
}

/// A command with a new id.
pub(crate) fn command(seq: u64, action: ControlAction, message: Option<&str>) -> BotCommand {
    let message = message.map(ToOwned::to_owned);
    BotCommand { id: CommandId::generate(now()), seq, action, message }
}

#[expect(clippy::disallowed_methods, reason = "a job of now")]
pub(crate) fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}
