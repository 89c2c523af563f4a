//! `meetbot bot`: one bot in a process of its own, started by a server.

use std::{fs, io::Read as _, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use meetbot_bot::needs_browser;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{connect, places, processes::Told};
use crate::{log, output::Usage, signals::Signals};

/// The largest order, in bytes.
const LARGEST: u64 = 1 << 20;
/// The pause before a place for a browser is looked for again, where that has failed.
const AGAIN: Duration = Duration::from_secs(5);

/// The arguments of `bot`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job, shown in the list of processes.
    _job: String,
}

/// Runs a bot to its end, or until it is told to leave its files in order and to end (SIGTERM).
pub(crate) async fn run() -> anyhow::Result<ExitCode> {
    // A session of its own: what a terminal or a supervisor sends to the server's group is not for it. It fails where it has one already.
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
    let told: Told = serde_json::from_slice(&order).context("the order cannot be read")?;
    let connect = connect(told.server().as_deref(), 0)?;
    let output = told.output();
    let Told { order, folder, browsers, .. } = told;
    if needs_browser(&order) {
        tokio::spawn(hold_place(folder, browsers, Arc::clone(&connect.browsers)));
    }
    let stop = CancellationToken::new();
    let told_to_stop = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        told_to_stop.cancel();
    });
    meetbot_bot::run(order, connect, stop).await;
    // Who ends in order leaves nothing behind.
    let _ = fs::remove_file(output);
    Ok(ExitCode::SUCCESS)
}

/// Waits for a place for the bot's browser, and holds it until the process ends.
async fn hold_place(folder: PathBuf, browsers: usize, permits: Arc<Semaphore>) {
    let _place = loop {
        match places::take(&folder, browsers).await {
            Ok(place) => break place,
            Err(error) => tracing::error!(%error, "no place for a browser can be taken"),
        }
        tokio::time::sleep(AGAIN).await;
    };
    permits.add_permits(1);
    std::future::pending::<()>().await;
}
