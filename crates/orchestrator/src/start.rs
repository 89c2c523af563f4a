//! Starts the server's parts, and stops them in order.

mod open;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use meetbot_types::{Availability, KeyId, bot::Secret, work::Pool};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::open::{open, open_bucket, retried, warn_of_open_loopback};
use crate::{
    api::{self, KnownKeys, Server},
    audit::Audit,
    change_notifier::ChangeNotifier,
    clock::Clock,
    config::{Config, ConfigError, Workers},
    connections,
    data_folder::{DataFolder, DataFolderError},
    dispatch::{Launcher, LocalJobs, Orders, Reaper, Stop, Work, available_to},
    egress::Guard,
    jobs::create::CreationRules,
    limits::{Limits, RateLimiter},
    metrics::{Metrics, StoreTimes},
    mixes::Mixes,
    other_servers::OtherServers,
    recordings::{self, Recordings, Uploads},
    retention::{self, RetentionPeriods},
    sessions,
    shares::Shares,
    store::{IsAlive, OpenError, PostgresStore, Store, StoreError, TakenOver},
    store_outage::StoreOutage,
    webhooks::{Post, sender::Sender},
    worker_statuses::{self, Statuses},
    zoom::{Zoom, auto_dispatch},
};

/// How many test events may run concurrently, in all and for one key.
const WEBHOOK_TESTS: usize = 32;
const WEBHOOK_TESTS_PER_KEY: usize = 4;

/// The sandbox that plays meetings.
#[derive(Debug, Clone)]
pub struct SandboxLink {
    /// The sandbox's WebSocket.
    pub address: String,
    /// The token that bots send to it.
    pub token: Secret,
    /// Checks the name and parameters of a scenario, as in `two-speakers?seconds=20`; the error says what is wrong.
    pub check: fn(&str) -> Result<(), String>,
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The store in it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database that the settings name.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The address.
    #[error("cannot listen on {address}: {error}; {}", remedy(error))]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The bucket for the recordings.
    #[error(transparent)]
    Bucket(#[from] recordings::ClaimError),
    /// Recordings of this data folder are in a bucket, and the settings name no bucket.
    #[error(
        "recordings of this data folder are in {0}, and no bucket is set: set storage.url to where they are"
    )]
    NoBucket(String),
    /// The client that sends webhooks.
    #[error("no HTTP client for webhooks: {0}")]
    Client(#[from] reqwest::Error),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there: stop it, or give --listen another port (0 picks a free one)"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: give --listen one that it has"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 are root's: give --listen a higher one"
        }
        _ => "give --listen another address",
    }
}

/// A running server.
pub struct Orchestrator {
    address: SocketAddr,
    folder: DataFolder,
    store: Arc<dyn Store>,
    database: Option<PostgresStore>,
    clock: Clock,
    dashboard: bool,
    drain: CancellationToken,
    drain_for: Duration,
    stop_work: CancellationToken,
    stop_api: CancellationToken,
    stop_audit: CancellationToken,
    dispatch: JoinHandle<()>,
    work: Vec<JoinHandle<()>>,
    api: JoinHandle<()>,
    audit: JoinHandle<()>,
}

impl Orchestrator {
    /// Starts a server. When this returns, the API accepts requests.
    pub async fn start(
        config: Config,
        launcher: Arc<dyn Launcher>,
        sandbox: SandboxLink,
    ) -> Result<Self, StartError> {
        config.check_development()?;
        let zoom = Arc::new(Zoom::read(&config.zoom).map_err(|(setting, problem)| {
            ConfigError::Invalid { place: String::new(), setting, problem }
        })?);
        let folder = DataFolder::open(&config.data_dir)?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|error| StartError::Listen { address: config.listen, error })?;
        let address = listener
            .local_addr()
            .map_err(|error| StartError::Listen { address: config.listen, error })?;
        let times = StoreTimes::new();
        let observer = times.clone();
        let observer = move |kind, done, took| observer.took(kind, done, took);
        let (store, database) = open(&config, &folder, Arc::new(observer)).await?;
        let (bucket, claimed) = open_bucket(&config, store.as_ref()).await?;
        let clock = Clock::start();
        let max_bots = match config.workers {
            Workers::Own => config.max_bots,
            Workers::None => 0,
        };
        let metrics = Arc::new(Metrics::new(clock.now().wall, max_bots, &times));
        retried(|| store.set_default_quota(config.quota)).await?;
        retried(|| store.set_accounts(config.accounts.limits())).await?;
        let accounts = Arc::new(config.accounts.clone());
        launcher
            .set_server_url(&url_of(address))
            .map_err(|error| DataFolderError::Unusable { path: folder.path().to_owned(), error })?;
        let alive = Arc::clone(&launcher);
        let is_alive: Arc<IsAlive> = Arc::new(move |job, attempt| alive.is_alive(job, attempt));
        let take_over = || store.take_over(Arc::clone(&is_alive), store.now());
        let TakenOver { running, lost } = retried(take_over).await?;
        if !lost.is_empty() {
            tracing::warn!(
                jobs = lost.len(),
                "bots were lost with the server before; they are replaced"
            );
        }

        warn_of_open_loopback(&config, store.as_ref(), clock.now().wall).await?;

        let kept = Arc::clone(&store);
        let [queue, outbox, mixes, uploads] = [(); 4].map(|()| Arc::new(Notify::new()));
        let recordings = Recordings::new(folder.recordings(), bucket.clone());
        let may_have_others = database.as_ref().is_some_and(PostgresStore::may_have_others);
        let changes = if may_have_others {
            ChangeNotifier::of_several_servers()
        } else {
            ChangeNotifier::default()
        };
        let (changes, store_outage) = (Arc::new(changes), Arc::new(StoreOutage::default()));
        let guard = Arc::new(Guard::new(config.webhook_address_policy()));
        let meetings = Arc::new(config.meeting_address_policy());
        let own = config.workers == Workers::Own;
        let available = available_to(launcher.as_ref(), own, config.browser.is_some());
        let available: Arc<[Availability]> = available.into();
        for app in &zoom.apps {
            let Some(template) = &app.settings.auto_dispatch else { continue };
            let terms = CreationRules {
                live: true,
                available: &zoom.available(&available, &app.settings.consumer),
                accounts: &[],
                scenario: sandbox.check,
                guard: &guard,
                meetings: &meetings,
                start_within: config.start_within,
                now: clock.now().wall,
            };
            auto_dispatch::check(template, &terms).map_err(|problem| ConfigError::Invalid {
                place: String::new(),
                setting: format!("zoom.apps.{}.auto_dispatch", app.name),
                problem,
            })?;
        }
        let [drain, stop_work, stop_api, stop_audit] = [(); 4].map(|()| CancellationToken::new());
        let audit = Arc::new(Audit::new(config.keep_audit));
        let connections = connections::for_api(config.limits.connections);
        // Half of the connections are for streams and a quarter for calls, so that the rest is always free for new callers.
        let requests_at_once = config.limits.requests_at_once.min(connections / 4).max(1);
        let limits = Limits { requests_at_once, connections, ..config.limits };
        let post = Arc::new(Post::new(Arc::clone(&guard), clock)?);
        let sender = Sender::new(
            Arc::clone(&store),
            Arc::clone(&post),
            connections::for_webhooks(),
            clock,
            Arc::clone(&outbox),
            Arc::clone(&metrics),
        );
        let orders = Arc::new(Orders {
            store: Arc::clone(&store),
            clock,
            queue: Arc::clone(&queue),
            outbox: Arc::clone(&outbox),
            changes: Arc::clone(&changes),
            metrics: Arc::clone(&metrics),
            url: url_of(address),
            sandbox: (sandbox.address, sandbox.token),
            recordings: folder.recordings(),
            meetings: Arc::clone(&meetings),
            available: Arc::clone(&available),
            stun_servers: config.stun_servers,
            zoom: Arc::clone(&zoom),
            accounts: Arc::clone(&accounts),
            most_bytes_per_job: config.most_bytes_per_job,
            alone_ms: config.timing.alone_ms(),
            heartbeat_ms: u64::try_from(config.timing.heartbeat().as_millis()).unwrap_or(u64::MAX),
        });
        let dispatch = Work {
            source: Arc::new(LocalJobs {
                orders: Arc::clone(&orders),
                launcher: Arc::clone(&launcher),
                labels: config.labels,
            }),
            launcher: Arc::clone(&launcher),
            max_bots,
            max_browsers: config.max_browsers,
            until_idle: None,
            stop: Stop { drain: drain.clone(), leave: stop_work.clone() },
        };
        for job in &running {
            metrics.attempts.adopted(job.id, job.attempt, &job.platform);
            tracing::info!(job = %job.id, attempt = job.attempt, platform = %job.platform, "a bot is taken over");
        }
        // Bots in meetings that the sandbox plays in place of a platform count as others of the platform.
        let running = running
            .iter()
            .map(|job| ((job.id, job.attempt), Pool::of(&job.platform, true)))
            .collect();
        let uploading = bucket.map(|bucket| Uploads {
            store: Arc::clone(&store),
            recordings: recordings.clone(),
            bucket,
            clock,
            wake: Arc::clone(&uploads),
            queue: Arc::clone(&queue),
            outbox: Arc::clone(&outbox),
            mixes: Arc::clone(&mixes),
            changes: Arc::clone(&changes),
        });
        let statuses = Arc::new(Statuses::default());
        let making = Mixes {
            store: Arc::clone(&store),
            launcher: Arc::clone(&launcher),
            clock,
            recordings: recordings.clone(),
            at_once: config.mix_at_once,
            has_far_workers: recordings.has_bucket() && max_bots == 0,
            wake: Arc::clone(&mixes),
            outbox: Arc::clone(&outbox),
            changes: Arc::clone(&changes),
        };
        let server = Server {
            store: Arc::clone(&store),
            clock,
            store_outage: Arc::clone(&store_outage),
            changes: Arc::clone(&changes),
            queue: Arc::clone(&queue),
            outbox: Arc::clone(&outbox),
            mixes: Arc::clone(&mixes),
            uploads: Arc::clone(&uploads),
            guard,
            meetings: Arc::clone(&meetings),
            available: Arc::clone(&available),
            scenario: sandbox.check,
            accounts,
            data_dir: folder.path().into(),
            recordings: recordings.clone(),
            start_within: config.start_within,
            draining: drain.clone(),
            stopping: stop_work.clone(),
            launcher,
            known_keys: Arc::new(KnownKeys::default()),
            metrics: Arc::clone(&metrics),
            dashboard: config.dashboard,
            max_bots,
            audit: Arc::clone(&audit),
            limits,
            requests: Arc::new(RateLimiter::new(limits.requests_per_minute)),
            unknown_keys: Arc::new(RateLimiter::new(limits.unknown_keys_per_minute)),
            unknown_key_lookups: Arc::new(Semaphore::new(1)),
            request_slots: Arc::new(Semaphore::new(limits.requests_at_once)),
            calls: Shares::new(limits.requests_at_once, usize::MAX),
            streams: Shares::new((connections / 2).max(1), limits.streams_per_key),
            post,
            webhook_tests: Shares::new(WEBHOOK_TESTS, WEBHOOK_TESTS_PER_KEY),
            readiness: Arc::default(),
            logins: Arc::default(),
            hooks: Arc::new(api::hooks::Hooks::new(zoom)),
            workers: Arc::new(api::work::Workers::new(api::work::WorkersOf {
                orders,
                folder: folder.node()?,
                bucket: uploading
                    .as_ref()
                    .map(|uploads| (uploads.bucket.url().to_owned(), uploads.clone())),
                cluster: store.storage().await?.cluster,
                recordings: recordings.clone(),
                mixes: making.clone(),
                runs_bots: max_bots > 0,
                browsers: config.browser.is_some(),
                statuses: Arc::clone(&statuses),
            })),
        };
        let mut work = vec![
            tokio::spawn(sender.run(stop_work.clone())),
            tokio::spawn(making.run(stop_work.clone())),
            tokio::spawn(worker_statuses::watch(statuses, clock, stop_work.clone())),
            tokio::spawn(recordings::count(
                Arc::clone(&store),
                recordings.clone(),
                stop_work.clone(),
            )),
        ];
        if let Some(uploads) = uploading {
            work.push(tokio::spawn(uploads.run(claimed, stop_work.clone())));
            work.push(tokio::spawn(recordings::remove_again(
                Arc::clone(&store),
                recordings.clone(),
                stop_work.clone(),
            )));
        }
        let keep = RetentionPeriods { recordings: config.keep_recordings, jobs: config.keep_jobs };
        if keep.has_an_end() {
            let (store, stop) = (Arc::clone(&store), stop_work.clone());
            work.push(tokio::spawn(retention::run(store, recordings, keep, stop)));
        }
        if let Some(database) = database.clone().filter(|_| may_have_others) {
            let (changes, queue) = (Arc::clone(&changes), Arc::clone(&queue));
            let metrics = Arc::clone(&metrics);
            let others =
                OtherServers { database, changes, queue, metrics, unnotified: Notify::new() };
            work.push(tokio::spawn(others.run(stop_work.clone())));
        }
        let auditing = audit.run(Arc::clone(&store), clock, stop_audit.clone());
        let reaper =
            Reaper { store, store_outage, changes, metrics: Arc::clone(&metrics), queue, outbox };
        work.push(tokio::spawn(reaper.run(stop_work.clone())));
        let router = api::router(server);
        Ok(Self {
            address,
            folder,
            store: kept,
            database,
            clock,
            dashboard: config.dashboard,
            dispatch: tokio::spawn(dispatch.run(running)),
            work,
            api: tokio::spawn(api::serve::serve(
                listener,
                router,
                limits,
                metrics,
                stop_api.clone(),
            )),
            drain,
            drain_for: config.drain,
            stop_work,
            stop_api,
            audit: tokio::spawn(auditing),
            stop_audit,
        })
    }

    /// The address on which it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of its API.
    pub fn url(&self) -> String {
        url_of(self.address)
    }

    /// A URL that signs one browser in to the dashboard with the rights of this key, valid for a minute. `None` if the dashboard is disabled.
    pub async fn dashboard_link(&self, key: KeyId) -> Result<Option<Secret>, StoreError> {
        if !self.dashboard {
            return Ok(None);
        }
        let (token, _) = sessions::make_link(self.store.as_ref(), key).await?;
        Ok(Some(Secret::new(format!("{}{}", self.url(), sessions::path(&token)))))
    }

    /// Its data folder.
    pub const fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// Its store.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Its clocks.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Waits until the server has lost its database: another server has taken it over because this one seemed dead.
    pub async fn displaced(&self) {
        match &self.database {
            Some(database) => database.displaced().await,
            None => std::future::pending().await,
        }
    }

    /// Stops in order. No more jobs are claimed, and bots stay in their meetings until these end or [`Config::drain`] is over. Then they complete their files
    /// while the API still accepts their reports, and their jobs go back to the queue for the next server on this data folder. Bots in separate processes continue;
    /// they are not waited for. Running tries of webhooks finish, the API ends, and the database is closed last, so that its file is complete without a journal.
    pub async fn stop(mut self) {
        self.drain.cancel();
        if tokio::time::timeout(self.drain_for, &mut self.dispatch).await.is_err() {
            self.stop_work.cancel();
            let _ = self.dispatch.await;
        }
        self.stop_work.cancel();
        for work in self.work {
            let _ = work.await;
        }
        self.stop_api.cancel();
        let _ = self.api.await;
        self.stop_audit.cancel();
        let _ = self.audit.await;
        self.store.close().await;
    }
}

/// The URL for bots and SDKs on this machine: loopback, if the server listens on all addresses.
fn url_of(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("http://127.0.0.1:{}", address.port())
    } else {
        format!("http://{address}")
    }
}
