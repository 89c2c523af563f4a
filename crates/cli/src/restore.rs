//! `meetbot restore|unpause`: a backup becomes a new data folder, and a server that was restored to be looked at first goes on.

use std::{path::PathBuf, process::ExitCode};

use meetbot_orchestrator::{clock::Clock, restore, store::RestoreOptions};
use serde_json::json;

use crate::{
    folder::{FolderArgs, quoted},
    output::{Output, counted},
};

/// The arguments of `restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The backup, as `meetbot backup` makes it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The new data folder; one that holds a database is refused.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// A server on it starts no bots and sends no webhooks until `meetbot unpause`.
    #[arg(long)]
    paused: bool,
    /// End the jobs that were in meetings, as failed (`internal_error`), instead of joining these again.
    #[arg(long)]
    end_running: bool,
}

/// Restores it, and says what a server will do with it.
pub(crate) fn run(args: &Args, output: Output) -> anyhow::Result<ExitCode> {
    let Args { file, data_dir, paused, end_running } = args;
    let options = RestoreOptions { paused: *paused, end_running: *end_running };
    let restored = restore(file, data_dir, options, Clock::start().now().wall)?;
    output.object(&json!({
        "dataDir": restored.folder,
        "jobs": restored.jobs,
        "running": restored.running,
        "deliveries": restored.deliveries,
        "recordings": restored.recordings,
        "missingRecordings": restored.missing,
        "paused": restored.paused,
    }))?;
    output.line(format_args!(
        "{}: {}, {} to be delivered",
        restored.folder.display(),
        counted(restored.jobs, "job"),
        counted(restored.deliveries, "webhook"),
    ));
    if restored.running > 0 && *end_running {
        output.line(format_args!(
            "{} recorded when the backup was made: the next server writes their manifests and ends them, without joining their meetings",
            counted(restored.running, "job")
        ));
    } else if restored.running > 0 {
        output.line(format_args!(
            "{} were in meetings when the backup was made: the next server joins these again (restore with --end-running to end them instead)",
            counted(restored.running, "job")
        ));
    }
    if restored.missing > 0 {
        output.line(format_args!(
            "{} of {} are not there yet: copy them into {}",
            restored.missing,
            counted(restored.recordings as u64, "recording"),
            quoted(&restored.folder.join("recordings"))
        ));
    }
    let folder = quoted(&restored.folder);
    if restored.paused {
        output.line(format_args!(
            "paused: a server on it starts no bots and sends no webhooks until meetbot unpause --data-dir {folder}"
        ));
    }
    output.line(format_args!("next: meetbot serve --data-dir {folder}"));
    Ok(ExitCode::SUCCESS)
}

/// Lets a paused server go on.
pub(crate) async fn unpause(folder: &FolderArgs, output: Output) -> anyhow::Result<ExitCode> {
    let was_paused = folder.with_store(async |store| Ok(store.unpause().await?)).await?;
    output.object(&json!({"wasPaused": was_paused}))?;
    output.line(if was_paused {
        "unpaused: bots start and webhooks are sent; a running server notices within seconds"
    } else {
        "it was not paused"
    });
    Ok(ExitCode::SUCCESS)
}
