//! `meetbot consumers list|limit`: works on the store of a data folder, also while a server runs on it.

use std::{num::NonZeroU32, process::ExitCode};

use meetbot_orchestrator::store::{
    ConsumerUse, Own, QuotaChange, SqliteStore, Store as _, UsageStore as _, Used,
};
use serde_json::{Value, json};

use crate::{
    folder::FolderArgs,
    output::{Output, Usage, counted, size, table},
};

/// What to do with consumers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the consumers: bots, minutes of this month (UTC), jobs in the queue, and what each may use; what recordings of jobs that have ended have on disk.
    List(FolderArgs),
    /// Give a consumer a limit of its own; a running server keeps to it at once. No bot leaves its meeting for that.
    Limit(LimitArgs),
}

/// The arguments of `consumers limit`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["bots", "minutes", "queued"]).required(true).multiple(true))]
pub(crate) struct LimitArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// The consumer's name.
    consumer: String,
    /// Bots at the same time, in each world: a number, none (no limit) or default (what the settings say).
    #[arg(long, value_name = "COUNT", value_parser = own)]
    bots: Option<Own>,
    /// Minutes in meetings in a month, with live keys: a number, none (no limit) or default (what the settings say).
    #[arg(long, value_name = "COUNT", value_parser = own)]
    minutes: Option<Own>,
    /// Jobs that have had no bot yet, in each world: a number, none (no limit) or default (what the settings say).
    #[arg(long, value_name = "COUNT", value_parser = own)]
    queued: Option<Own>,
}

fn own(text: &str) -> Result<Own, String> {
    match text {
        "default" => Ok(Own::Default),
        "none" => Ok(Own::Unlimited),
        number => number
            .parse::<NonZeroU32>()
            .map(Own::Limit)
            .map_err(|_| "a limit is a number from 1 on, none or default".to_owned()),
    }
}

/// Runs one of them.
pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(args) => list(&args, output).await?,
        Command::Limit(args) => limit(&args, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: &FolderArgs, output: Output) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let consumers = args.with_store(async |store| Ok(store.consumers(store.now()).await?)).await?;
    for ConsumerUse { consumer, live, live_recording_bytes, test, test_recording_bytes } in
        consumers
    {
        output.object(&json!({
            "consumer": consumer,
            "live": shown(live, live_recording_bytes),
            "test": shown(test, test_recording_bytes),
            "maxBots": live.quota.bots,
            "maxMinutes": live.quota.minutes,
            "maxQueuedJobs": live.quota.queued,
        }))?;
        rows.push(vec![
            consumer,
            of(live.bots.into(), live.quota.bots),
            of(test.bots.into(), live.quota.bots),
            of(live.minutes, live.quota.minutes),
            test.minutes.to_string(),
            of(live.queued.into(), live.quota.queued),
            of(test.queued.into(), live.quota.queued),
            size(live_recording_bytes),
            size(test_recording_bytes),
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
    ];
    output.lines(table(&columns, &rows));
    Ok(())
}

fn shown(used: Used, recording_bytes: u64) -> Value {
    json!({
        "bots": used.bots,
        "minutes": used.minutes,
        "queuedJobs": used.queued,
        "recordingBytes": recording_bytes,
    })
}

fn of(used: u64, limit: Option<NonZeroU32>) -> String {
    limit.map_or_else(|| used.to_string(), |limit| format!("{used} of {limit}"))
}

async fn limit(args: &LimitArgs, output: Output) -> anyhow::Result<()> {
    let change = QuotaChange { bots: args.bots, minutes: args.minutes, queued: args.queued };
    let changed = async |store: &SqliteStore| {
        if !store.change_quota(&args.consumer, change).await? {
            let message = format!(
                "there is no consumer {:?}; `meetbot consumers list` shows them",
                args.consumer
            );
            return Err(Usage(message).into());
        }
        Ok(store.consumers(store.now()).await?)
    };
    let all = args.folder.with_store(changed).await?;
    let Some(changed) = all.into_iter().find(|one| one.consumer == args.consumer) else {
        anyhow::bail!("the consumer {:?} was erased meanwhile", args.consumer);
    };
    let quota = changed.live.quota;
    output.object(&json!({
        "consumer": changed.consumer, "maxBots": quota.bots, "maxMinutes": quota.minutes, "maxQueuedJobs": quota.queued,
    }))?;
    let number = |limit: Option<NonZeroU32>, thing: &str| {
        limit.map_or_else(
            || format!("any number of {thing}s"),
            |limit| counted(limit.get().into(), thing),
        )
    };
    output.line(format_args!(
        "{} may have {} at the same time, {} in a month and {} in the queue",
        changed.consumer,
        number(quota.bots, "bot"),
        number(quota.minutes, "minute"),
        number(quota.queued, "job")
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_none_or_the_default() {
        assert_eq!(own("7"), Ok(Own::Limit(NonZeroU32::new(7).unwrap())));
        assert_eq!((own("none"), own("default")), (Ok(Own::Unlimited), Ok(Own::Default)));
        for wrong in ["", "0", "-1", "many", "1.5", "4294967296"] {
            assert!(own(wrong).is_err(), "{wrong}");
        }
    }
}
