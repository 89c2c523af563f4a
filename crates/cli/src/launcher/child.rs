//! `meetbot bot`: one bot in a separate process, started by a server.

use std::{fs, io::Read as _, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use meetbot_bot::{Lateness, needs_browser};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{processes::BotLaunch, shared_connections, slots};
use crate::{log, output::Usage, signals::Signals};

/// The largest order, in bytes.
const LARGEST: u64 = 1 << 20;
/// The pause before the next try to acquire a slot for a browser, after an error.
const AGAIN: Duration = Duration::from_secs(5);

/// The arguments of `bot`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job, shown in the list of processes.
    _job: String,
}

/// Runs a bot to its end. On SIGTERM it closes its files and ends.
pub(crate) async fn run() -> anyhow::Result<ExitCode> {
    // A new session, so that signals to the server's process group do not reach it. This fails where the process leads a session already.
    let _ = rustix::process::setsid();
    log::start_bounded("info")?;
    let mut signals = Signals::listen()?;
    let mut order = Vec::new();
    std::io::stdin().take(LARGEST).read_to_end(&mut order).context("no order can be read")?;
    if order.is_empty() {
        return Err(
            Usage("servers run this; it needs an order on its standard input".to_owned()).into()
        );
    }
    let launch: BotLaunch = serde_json::from_slice(&order).context("the order cannot be read")?;
    let lateness = Lateness::reported_in(launch.late());
    let connect = shared_connections(launch.server().as_deref(), 0, lateness)?;
    let output = launch.output();
    let BotLaunch { order, folder, browsers, .. } = launch;
    if needs_browser(&order) {
        tokio::spawn(hold_slot(folder, browsers, Arc::clone(&connect.browsers)));
    }
    let stop = CancellationToken::new();
    let stop_on_signal = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        stop_on_signal.cancel();
    });
    meetbot_bot::run(order, connect, stop).await;
    // The output is kept after a crash only.
    let _ = fs::remove_file(output);
    Ok(ExitCode::SUCCESS)
}

/// Waits for a slot for the bot's browser, and holds it until the process ends.
async fn hold_slot(folder: PathBuf, browsers: usize, permits: Arc<Semaphore>) {
    let _place = loop {
        match slots::acquire(&folder, browsers).await {
            Ok(slot) => break slot,
            Err(error) => tracing::error!(%error, "no slot for a browser can be acquired"),
        }
        tokio::time::sleep(AGAIN).await;
    };
    permits.add_permits(1);
    std::future::pending::<()>().await;
}
