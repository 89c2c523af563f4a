//! Runs bots as tasks of this process, or as separate processes, which outlive it.

pub(crate) mod child;
mod processes;
mod slots;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use meetbot_bot::{Connect, Lateness, Machine, needs_browser};
use meetbot_orchestrator::{BotExit, Config, Launcher, Stop, profile_folder, tls};
use meetbot_types::{
    Availability, JobId, Manifest,
    bot::{BotOrder, BrowserSettings, ImitationSeat, MixOrder},
};
use reqwest::Client;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::processes::Processes;

/// Runs each bot; those that are tasks share one HTTP client.
#[derive(Debug)]
pub(crate) struct BotLauncher {
    connect: Connect,
    browser: Option<BrowserSettings>,
    /// The data folder, which has the profiles of accounts.
    data_dir: PathBuf,
    /// Whether bots without a browser run as separate processes too.
    all_as_processes: bool,
    /// The sandbox's meetings end with this process.
    sandbox_is_here: bool,
    /// The imitation that browsers open in demonstrations. It ends with this process, and so do the bots.
    imitation: Option<ImitationSeat>,
    processes: Processes,
}

impl BotLauncher {
    /// The launcher of a server with these settings. Processes of bots outlive the server.
    pub(crate) fn for_server(
        config: &Config,
        sandbox_is_here: bool,
        imitation: Option<ImitationSeat>,
    ) -> anyhow::Result<Self> {
        let processes = Processes::new(&config.data_dir, config.max_browsers, true)?;
        Ok(Self {
            connect: processes.connections()?,
            browser: config.browser.clone(),
            data_dir: std::path::absolute(&config.data_dir)?,
            all_as_processes: config.own_processes,
            sandbox_is_here,
            imitation,
            processes,
        })
    }

    /// The launcher of a worker with these settings. The bots leave their meetings when the worker ends.
    pub(crate) fn for_worker(config: &Config) -> anyhow::Result<Self> {
        let processes = Processes::new(&config.data_dir, config.max_browsers, false)?;
        processes.prepare()?;
        Ok(Self {
            connect: processes.connections()?,
            browser: config.browser.clone(),
            data_dir: std::path::absolute(&config.data_dir)?,
            all_as_processes: config.own_processes,
            sandbox_is_here: false,
            imitation: None,
            processes,
        })
    }

    /// How late the bots read their media.
    pub(crate) fn lateness(&self) -> Arc<Lateness> {
        Arc::clone(&self.connect.lateness)
    }

    /// Whether a bot has to run as a separate process. A bot that only finishes files needs none; neither does one whose meeting ends with this process.
    fn needs_process(&self, order: &BotOrder) -> bool {
        let stays_behind = order.sandbox.is_some() && self.sandbox_is_here;
        let wants_it = needs_browser(order) || self.all_as_processes && !stays_behind;
        order.finalize.is_none() && self.imitation.is_none() && wants_it
    }
}

/// The HTTP client, the TLS settings and the limits that the bots of one process share. `orchestrator` is the file with the server's address, for bots that outlive it.
fn shared_connections(
    orchestrator: Option<&Path>,
    browsers: usize,
    lateness: Lateness,
) -> reqwest::Result<Connect> {
    // Bots connect to the server that launched them only, without a proxy of the environment.
    let http = Client::builder().tls_backend_preconfigured(tls::config()).no_proxy().build()?;
    Ok(Connect {
        http,
        tls: Arc::new(tls::config()),
        orchestrator: orchestrator.map(Path::to_owned),
        browsers: Arc::new(Semaphore::new(browsers)),
        lateness: Arc::new(lateness),
    })
}

#[async_trait]
impl Launcher for BotLauncher {
    fn available(&self) -> Vec<Availability> {
        meetbot_bot::available(&Machine::look(), self.browser.as_ref())
    }

    async fn run(&self, order: BotOrder, stop: Stop) -> BotExit {
        let profile = order.account.as_deref().map(|name| profile_folder(&self.data_dir, name));
        let browser = self.browser.clone().map(|browser| BrowserSettings { profile, ..browser });
        let imitation = self.imitation.clone();
        let order = BotOrder { browser, imitation, ..order };
        // Attempts on one disk follow one another.
        if self.is_alive(order.job_id, order.epoch)
            && self.adopt(order.job_id, order.epoch, stop.clone()).await == BotExit::Detached
        {
            return BotExit::Detached;
        }
        if meetbot_bot::has_begun(&order) {
            tracing::warn!(
                "the servers have forgotten that this attempt had a bot; another attempt continues its recording"
            );
            return BotExit::HadAnother;
        }
        if self.needs_process(&order) {
            return self.processes.run(order, stop).await;
        }
        meetbot_bot::run(order, self.connect.clone(), stop.leave).await;
        BotExit::Ended
    }

    fn is_behind(&self) -> bool {
        self.connect.lateness.is_behind()
    }

    fn set_server_url(&self, url: &str) -> io::Result<()> {
        self.processes.set_server_url(url)
    }

    fn is_alive(&self, job: JobId, attempt: u32) -> bool {
        self.processes.is_alive(job, attempt)
    }

    async fn adopt(&self, job: JobId, attempt: u32, stop: Stop) -> BotExit {
        self.processes.adopt(job, attempt, stop).await
    }

    async fn mix(&self, order: MixOrder, stop: CancellationToken) -> io::Result<Option<Manifest>> {
        meetbot_bot::mix(&order, &stop).await
    }
}
