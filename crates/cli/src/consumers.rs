//! `meetbot consumers list|limit`: works on the store of a data folder, also while a server runs on it, or over the server's admin API.

use std::process::ExitCode;

use anyhow::Context as _;
use meetbot_orchestrator::store::{ConsumerUse, Store};
use meetbot_types::{Consumer, Labels, QuotaLimit, admin::QuotaChange, labels::InvalidLabels};
use serde_json::json;

use crate::{
    output::{Output, Usage, counted, size, table},
    target::{Admin, Target, TargetArgs},
};

/// What to do with consumers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the consumers: bots, minutes of this month (UTC), jobs in the queue, and what each may use; what recordings of jobs that have ended have on disk; the labels of the workers that run their bots.
    List(TargetArgs),
    /// Give a consumer a limit of its own, or say which workers run its bots; a running server keeps to it at once. No bot leaves its meeting for that.
    Limit(LimitArgs),
}

/// The arguments of `consumers limit`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["bots", "minutes", "queued", "labels"]).required(true).multiple(true))]
pub(crate) struct LimitArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The consumer's name.
    consumer: String,
    /// Bots at the same time, in each world: a number, none (no limit) or default (what the settings say).
    #[arg(long, value_name = "COUNT", value_parser = limit_of)]
    bots: Option<QuotaLimit>,
    /// Minutes in meetings in a month, with live keys: a number, none (no limit) or default (what the settings say).
    #[arg(long, value_name = "COUNT", value_parser = limit_of)]
    minutes: Option<QuotaLimit>,
    /// Jobs that have had no bot yet, in each world: a number, none (no limit) or default (what the settings say).
    #[arg(long, value_name = "COUNT", value_parser = limit_of)]
    queued: Option<QuotaLimit>,
    /// The labels that a worker must have to run its bots and make its mixes, of both worlds; '' lets any worker do so.
    #[arg(long, value_name = "LABEL,LABEL", value_parser = labels_of)]
    labels: Option<Labels>,
}

fn limit_of(text: &str) -> Result<QuotaLimit, &'static str> {
    text.parse()
}

fn labels_of(text: &str) -> Result<Labels, InvalidLabels> {
    text.parse()
}

/// Runs one of them.
pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(args) => list(&args, output).await?,
        Command::Limit(args) => limit(&args, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: &TargetArgs, output: Output) -> anyhow::Result<()> {
    let consumers: Vec<Consumer> = match args.target()? {
        Target::Folder(folder) => {
            let all = async |store: &dyn Store| Ok(store.consumers(store.now()).await?);
            folder.with_store(all).await?.into_iter().map(ConsumerUse::shown).collect()
        }
        Target::Server(admin) => {
            let mut all: Vec<Consumer> = admin.list("consumers", &[], usize::MAX).await?;
            all.sort_by(|one, other| one.name.cmp(&other.name));
            all
        }
    };
    let mut rows = Vec::new();
    for one in consumers {
        output.object(&json!({
            "consumer": one.name,
            "live": one.live,
            "test": one.test,
            "maxBots": one.max_bots,
            "maxMinutes": one.max_minutes,
            "maxQueuedJobs": one.max_queued_jobs,
            "workerLabels": one.worker_labels,
        }))?;
        rows.push(vec![
            one.name,
            of(one.live.bots, one.max_bots),
            of(one.test.bots, one.max_bots),
            of(one.live.minutes, one.max_minutes),
            one.test.minutes.to_string(),
            of(one.live.queued_jobs, one.max_queued_jobs),
            of(one.test.queued_jobs, one.max_queued_jobs),
            size(one.live.recording_bytes),
            size(one.test.recording_bytes),
            one.worker_labels.to_string(),
        ]);
    }
    let columns = [
        "consumer",
        "bots",
        "test bots",
        "minutes this month",
        "test minutes",
        "queued jobs",
        "test queued jobs",
        "recordings",
        "test recordings",
        "worker labels",
    ];
    output.lines(table(&columns, &rows));
    Ok(())
}

fn of(used: u64, limit: Option<u64>) -> String {
    limit.map_or_else(|| used.to_string(), |limit| format!("{used} of {limit}"))
}

async fn limit(args: &LimitArgs, output: Output) -> anyhow::Result<()> {
    let change = QuotaChange {
        bots: args.bots,
        minutes: args.minutes,
        queued_jobs: args.queued,
        worker_labels: args.labels.clone(),
    };
    let changed = match args.target.target()? {
        Target::Folder(folder) => {
            let change = async |store: &dyn Store| {
                if !store.change_quota(&args.consumer, change.clone().into()).await? {
                    return Err(unknown(&args.consumer));
                }
                Ok(store.consumers(store.now()).await?)
            };
            let all = folder.with_store(change).await?.into_iter();
            let mut all = all.filter(|one| one.consumer == args.consumer);
            all.next().map(ConsumerUse::shown)
        }
        Target::Server(admin) => {
            let id = named(&admin, &args.consumer).await?.id.to_string();
            let body = serde_json::to_value(change)?;
            admin.ask("PATCH", &["consumers", &id, "quota"], Some(&body)).await?
        }
    };
    let changed: Consumer = changed
        .with_context(|| format!("the consumer {:?} was erased meanwhile", args.consumer))?;
    let Consumer { name, max_bots, max_minutes, max_queued_jobs, worker_labels, .. } = changed;
    // An older server ignores them.
    anyhow::ensure!(
        args.labels.as_ref().is_none_or(|labels| *labels == worker_labels),
        "the server knows no labels of workers: upgrade it first"
    );
    output.object(&json!({
        "consumer": name, "maxBots": max_bots, "maxMinutes": max_minutes, "maxQueuedJobs": max_queued_jobs,
        "workerLabels": worker_labels,
    }))?;
    let number = |limit: Option<u64>, thing: &str| {
        limit.map_or_else(|| format!("any number of {thing}s"), |limit| counted(limit, thing))
    };
    let on = if worker_labels.is_empty() {
        String::new()
    } else {
        format!("; only workers with the labels {worker_labels} run its bots")
    };
    output.line(format_args!(
        "{name} may have {} at the same time, {} in a month and {} in the queue{on}",
        number(max_bots, "bot"),
        number(max_minutes, "minute"),
        number(max_queued_jobs, "job")
    ));
    Ok(())
}

/// The consumer with this name, as a server knows it.
pub(crate) async fn named(admin: &Admin, name: &str) -> anyhow::Result<Consumer> {
    let found: Vec<Consumer> = admin.list("consumers", &[("name", name)], 1).await?;
    found.into_iter().find(|one| one.name == name).ok_or_else(|| unknown(name))
}

/// There is no consumer with this name.
pub(crate) fn unknown(name: &str) -> anyhow::Error {
    Usage(format!("there is no consumer {name:?}; `meetbot consumers list` shows them")).into()
}
