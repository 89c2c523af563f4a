//! `meetbot worker`: runs bots for a server, on its machine or on another one.

mod leftover;
mod metrics;
mod mixes;
mod servers;
mod spool;
mod status;

use std::{
    collections::HashMap, fs, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use meetbot_bot::landmarks_of;
use meetbot_orchestrator::{
    Bucket, Config, DataFolder, Launcher, Spool, Stop, Work,
    config::LogFormat,
    keys, name_of, prepare,
    store::{Found, SqliteStore},
};
use meetbot_types::{
    Labels,
    bot::Secret,
    labels::InvalidLabels,
    work::{Pool, VERSION, WorkHeard, WorkerDescription},
};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::{
    mixes::Mixer,
    servers::Servers,
    spool::{SpoolLauncher, Spooler},
    status::{CountedLauncher, Status},
};
use crate::{
    folder::FolderArgs,
    launcher::BotLauncher,
    log,
    output::{Output, Usage},
    serve::SandboxToken,
    signals::Signals,
};

/// How long a worker that is to stop waits for uploads of finished recordings.
const LAST_UPLOADS: Duration = Duration::from_mins(1);

/// The arguments of `worker`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the servers are, as in `https://one.example.com,https://two.example.com`; the first that answers is asked for jobs, and the next one where it does not.
    #[arg(long, value_name = "URL,URL", value_delimiter = ',', required = true, value_parser = servers::url)]
    servers: Vec<String>,
    /// The file with the worker's key, of `meetbot keys create --live --scope worker --consumer workers`
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// The folder that bots record into: the server's data folder, or on another machine one of the worker's own, whose recordings go into the bucket of `storage.url` [env: `MEETBOT_SERVER_DATA_DIR`] [default: meetbot-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The worker's file with settings; of those that `serve --print-config` prints it heeds `bots.max`, `bots.labels`, `bots.own_processes`, `bots.browser`, `storage`, `recordings.mix_at_once`, `server.drain_seconds` and `log` [env: `MEETBOT_CONFIG`]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many bots it runs at most [default: `bots.max`]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    bots: Option<u32>,
    /// The bots that it takes jobs for: native (those without a browser), browser [default: both]
    #[arg(long, value_name = "POOL,POOL", value_delimiter = ',')]
    pools: Vec<Pool>,
    /// A label of the worker, as in eu or net=fast; may be repeated. Consumers may require labels of the workers that run their bots and make their mixes [default: `bots.labels`]
    #[arg(long, value_name = "LABEL", value_parser = label)]
    label: Vec<String>,
    /// The address of the worker's own metrics, a loopback or private one, as in 127.0.0.1:9310 [default: none]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = metrics::address)]
    metrics: Option<SocketAddr>,
    /// End after so many seconds without a bot, and with no mix in progress
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    until_idle: Option<Duration>,
    /// The sandbox that this machine reaches, in place of the servers'
    #[arg(long, value_name = "ws://HOST:PORT", requires = "sandbox_token")]
    sandbox: Option<String>,
    #[command(flatten)]
    sandbox_token: SandboxToken,
    /// How log lines are written: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

fn label(text: &str) -> Result<String, InvalidLabels> {
    Labels::read([text]).map(|_| text.to_owned())
}

/// `60` and `60s` are the same.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('s').unwrap_or(text).parse() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        _ => Err("give whole seconds, at least 1, as in 60".to_owned()),
    }
}

/// Works until it is interrupted, or idle for long; interrupted again it ends at once, with exit code 1.
pub(crate) async fn run(args: Args, output: Output) -> anyhow::Result<ExitCode> {
    let config = FolderArgs::of_worker(args.data_dir, args.config).settings()?;
    let format = args.log_format.unwrap_or(config.log_format);
    log::start("info", format)?;
    let mut signals = Signals::listen()?;
    let key = read_key(&args.key_file)?;
    let max_bots = args.bots.map_or(config.max_bots, |bots| bots as usize);
    prepare(&config.data_dir)?;
    let data_dir = std::path::absolute(&config.data_dir).context("the data folder")?;
    if let Some(settings) = &config.browser {
        landmarks_of(settings).context("bots.browser.landmarks_dir")?;
        tokio::task::spawn_blocking(meetbot_bot::remove_left_browsers);
    }
    let bots = BotLauncher::for_worker(&config).context("bots cannot be started")?;
    let bucket = match &config.storage {
        Some(settings) => Some(
            Bucket::open(settings)
                .map_err(|(setting, problem)| Usage(format!("{setting}: {problem}")))?,
        ),
        None => None,
    };
    let metrics = match args.metrics {
        Some(address) => Some(metrics::listen(address).await?),
        None => None,
    };
    let status = Arc::new(Status::new(max_bots, &data_dir, bots.lateness()));
    let mut servers = Servers {
        urls: args.servers,
        key,
        http: servers::client()?,
        worker: describe(&config, bucket.as_ref(), &args.pools, args.label)?,
        recordings: data_dir.join("recordings"),
        spool: None,
        status: Arc::clone(&status),
        sandbox: args.sandbox.zip(args.sandbox_token.token),
        asked: std::sync::atomic::AtomicUsize::new(0),
    };
    let (server, heard) = servers.greet().await.map_err(|problem| anyhow::anyhow!(problem))?;
    let spool = match bucket.filter(|_| !heard.shares_folder) {
        Some(bucket) => Some(open_spool(&config, bucket, &heard).await?),
        None => None,
    };
    if let Some(spool) = &spool {
        servers.worker.folder = Some(spool.name().to_owned());
        servers.spool = Some(spool.name().to_owned());
        servers.recordings = spool.recordings().to_owned();
    }
    let id = servers.worker.worker.clone();
    let metrics_url = metrics.as_ref().map(|(url, _)| url);
    output.object(
        &json!({"worker": id, "server": server, "bots": max_bots, "metrics": metrics_url}),
    )?;
    match format {
        LogFormat::Json => {
            tracing::info!(worker = id, server, bots = max_bots, data_dir = %data_dir.display(), "meetbot worker runs");
        }
        LogFormat::Text => output.line(format_args!(
            "meetbot worker runs up to {max_bots} bots for {server} (data: {})",
            data_dir.display()
        )),
    }
    let [drain, leave, ended, over] = [(); 4].map(|()| CancellationToken::new());
    let servers = Arc::new(servers);
    let mix_at_once = if spool.is_some() { mixes::at_once(config.mix_at_once) } else { 0 };
    let spooler = spool.map(|spool| {
        let (servers, status) = (Arc::clone(&servers), Arc::clone(&status));
        Spooler::new(spool, servers, status, config.timing.silent(), mix_at_once > 0)
    });
    let launcher: Arc<dyn Launcher> = match &spooler {
        Some(spooler) => Arc::new(SpoolLauncher { bots, spooler: spooler.clone() }),
        None => Arc::new(bots),
    };
    let launcher = Arc::new(CountedLauncher { bots: launcher, status: Arc::clone(&status) });
    let maker = spooler.clone().filter(|_| mix_at_once > 0).map(|spooler| Mixer {
        spooler,
        servers: Arc::clone(&servers),
        launcher: launcher.clone(),
        status: Arc::clone(&status),
        at_once: mix_at_once,
    });
    let mixes = maker.map(|maker| tokio::spawn(maker.run(drain.clone())));
    let uploads = spooler.map(|spooler| tokio::spawn(spooler.run(ended.clone())));
    // The first heartbeat is sent before the first claim, so that a full disk is known.
    status.look_at_disk().await;
    let (servers_of_reports, draining, stopped) =
        (Arc::clone(&servers), drain.clone(), over.clone());
    let reports = tokio::spawn(async move { servers_of_reports.report(&draining, &stopped).await });
    if let Some((_, listener)) = metrics {
        tokio::spawn(metrics::serve(listener, Arc::clone(&status), drain.clone()));
    }
    let work = Work {
        source: servers,
        launcher,
        max_bots,
        max_browsers: config.max_browsers,
        until_idle: args.until_idle,
        stop: Stop { drain: drain.clone(), leave: leave.clone() },
    };
    let mut work = tokio::spawn(work.run(HashMap::new()));
    tokio::select! {
        crashed = &mut work => {
            crashed.context("the worker crashed")?;
            tokio::select! {
                finished = finish(mixes, &ended, uploads) => finished?,
                () = signals.next() => {}
            }
            over.cancel();
            reports.await.context("the worker crashed")?;
            return Ok(ExitCode::SUCCESS);
        }
        () = signals.next() => {}
    }
    let patience = config.drain;
    let stays = if patience.is_zero() {
        "bots leave their files whole, and their jobs go to other workers".to_owned()
    } else {
        format!("bots stay in their meetings for {} s at most", patience.as_secs())
    };
    match format {
        LogFormat::Json => tracing::info!(drain_seconds = patience.as_secs(), "stopping"),
        LogFormat::Text => {
            output.remark(format_args!("stopping: {stays} (interrupt again to end at once)"));
        }
    }
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(1);
    });
    drain.cancel();
    if tokio::time::timeout(patience, &mut work).await.is_err() {
        leave.cancel();
        work.await.context("the worker crashed")?;
    }
    if tokio::time::timeout(LAST_UPLOADS, finish(mixes, &ended, uploads)).await.is_err() {
        tracing::error!(
            data_dir = %data_dir.display(),
            "recordings are not in the bucket yet: their jobs wait until a worker runs on this data folder again"
        );
    }
    over.cancel();
    reports.await.context("the worker crashed")?;
    Ok(ExitCode::SUCCESS)
}

/// Waits until mixes are given back and finished recordings are uploaded, once the last bot has ended.
async fn finish(
    mixes: Option<JoinHandle<()>>,
    ended: &CancellationToken,
    uploads: Option<JoinHandle<()>>,
) -> anyhow::Result<()> {
    if let Some(mixes) = mixes {
        mixes.await.context("the worker crashed")?;
    }
    ended.cancel();
    if let Some(uploads) = uploads {
        uploads.await.context("the worker crashed")?;
    }
    Ok(())
}

/// Takes a data folder that is not the server's. Fails where another process uses it, where a server's data are in it, or where the bucket will not take uploads.
async fn open_spool(
    config: &Config,
    bucket: Bucket,
    heard: &WorkHeard,
) -> anyhow::Result<Arc<Spool>> {
    if SqliteStore::check(&config.data_dir)? != Found::Nothing {
        let message = format!(
            "the data folder {} is that of another server: give --data-dir one for this worker alone",
            config.data_dir.display()
        );
        return Err(Usage(message).into());
    }
    let folder = DataFolder::open(&config.data_dir)?;
    match bucket.check_for_worker(&heard.cluster).await {
        Ok(()) => {}
        Err(error) if error.is_lasting() => {
            return Err(anyhow::Error::new(error).context(bucket.url().to_owned()));
        }
        Err(error) => {
            tracing::error!(bucket = bucket.url(), %error, "recordings wait on this machine's disk");
        }
    }
    Ok(Arc::new(Spool::open(folder, bucket)?))
}

fn describe(
    config: &Config,
    bucket: Option<&Bucket>,
    pools: &[Pool],
    labels: Vec<String>,
) -> anyhow::Result<WorkerDescription> {
    let labels = if labels.is_empty() {
        config.labels.clone()
    } else {
        Labels::read(labels).map_err(|error| Usage(format!("--label: {error}")))?
    };
    let random = Secret::random();
    if pools.contains(&Pool::Browser) && config.browser.is_none() {
        let message = "--pools browser needs bots.browser.enabled = true in the worker's settings";
        return Err(Usage(message.to_owned()).into());
    }
    let takes = |pool: &Pool| pools.is_empty() || pools.contains(pool);
    Ok(WorkerDescription {
        version: VERSION,
        worker: random.expose().chars().filter(char::is_ascii_alphanumeric).take(20).collect(),
        folder: name_of(&config.data_dir),
        bucket: bucket.map(|bucket| bucket.url().to_owned()),
        browsers: config.browser.is_some(),
        pools: Pool::ALL.into_iter().filter(takes).collect(),
        labels,
    })
}

fn read_key(path: &std::path::Path) -> anyhow::Result<Secret> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("--key-file: cannot read {}", path.display()))?;
    let key = text.trim();
    if !keys::is_shaped(key) {
        let message = format!(
            "--key-file: {} holds no key; `meetbot keys create --live --scope worker --consumer workers` on the server's machine makes one",
            path.display()
        );
        return Err(Usage(message).into());
    }
    Ok(Secret::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_seconds_are_whole_and_at_least_one() {
        assert_eq!(seconds("60"), Ok(Duration::from_mins(1)));
        assert_eq!(seconds("60s"), Ok(Duration::from_mins(1)));
        for wrong in ["", "s", "0", "-1", "1.5", "1m"] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
    }
}
