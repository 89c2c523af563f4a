//! `meetbot restore|unpause`: a backup becomes a new data folder or the database of a server, and a server that was restored to be looked at first goes on.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use meetbot_orchestrator::{clock::Clock, make_ready, restore, store::RestoreOptions};
use serde_json::json;

use crate::{
    folder::{FolderArgs, quoted},
    output::{Output, Usage, counted},
};

/// The arguments of `restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The backup, as `meetbot backup` makes it; none with --store
    #[arg(value_name = "FILE", required_unless_present = "store")]
    file: Option<PathBuf>,
    /// The new data folder; one that holds a database is refused.
    #[arg(long, value_name = "DIR", required_unless_present = "store")]
    data_dir: Option<PathBuf>,
    /// In place of FILE and --data-dir: the PostgreSQL database that `pg_restore` has filled, without a password, which is in the file that the setting `store.password_file` names
    #[arg(long, value_name = "postgres://USER@HOST/DATABASE", conflicts_with_all = ["file", "data_dir"])]
    store: Option<String>,
    /// With --store: the server's file with settings [env: `MEETBOT_CONFIG`]
    #[arg(long, value_name = "FILE", requires = "store")]
    config: Option<PathBuf>,
    /// A server on it starts no bots and sends no webhooks until `meetbot unpause`.
    #[arg(long)]
    paused: bool,
    /// End the jobs that were in meetings, as failed (`internal_error`), instead of joining these again.
    #[arg(long)]
    end_running: bool,
}

/// Restores it, and says what a server will do with it.
pub(crate) async fn run(args: Args, output: Output) -> anyhow::Result<ExitCode> {
    let Args { file, data_dir, store, config, paused, end_running } = args;
    let options = RestoreOptions { paused, end_running };
    match (store, file, data_dir) {
        (Some(store), ..) => of_database(store, config, options, output).await,
        (None, Some(file), Some(data_dir)) => of_file(&file, &data_dir, options, output),
        _ => Err(Usage("give FILE and --data-dir, or --store".to_owned()).into()),
    }
}

/// Makes a database ready into which a dump was restored.
async fn of_database(
    store: String,
    config: Option<PathBuf>,
    options: RestoreOptions,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let settings = FolderArgs::of_database(store, config).settings()?;
    let Some(url) = &settings.store else {
        return Err(Usage("--store: give a database's URL".to_owned()).into());
    };
    let ready = make_ready(url, options).await?;
    output.object(&json!({
        "store": url.url,
        "jobs": ready.jobs,
        "running": ready.running,
        "deliveries": ready.deliveries,
        "paused": ready.paused,
    }))?;
    output.line(format_args!(
        "{}: {}, {} to be delivered",
        url.url,
        counted(ready.jobs, "job"),
        counted(ready.deliveries, "webhook"),
    ));
    say_running(ready.running, options, output);
    if ready.paused {
        output.line(format_args!(
            "paused: a server on it starts no bots and sends no webhooks until meetbot unpause --store {}",
            url.url
        ));
    }
    output.line(format_args!("next: meetbot serve --store {}", url.url));
    Ok(ExitCode::SUCCESS)
}

/// What becomes of the jobs that had a bot.
fn say_running(running: u64, options: RestoreOptions, output: Output) {
    if running > 0 && options.end_running {
        output.line(format_args!(
            "{} recorded when the backup was made: the next server writes their manifests and ends them, without joining their meetings",
            counted(running, "job")
        ));
    } else if running > 0 {
        output.line(format_args!(
            "{} were in meetings when the backup was made: the next server joins these again (restore with --end-running to end them instead)",
            counted(running, "job")
        ));
    }
}

/// Makes a new data folder of a backup.
fn of_file(
    file: &Path,
    data_dir: &Path,
    options: RestoreOptions,
    output: Output,
) -> anyhow::Result<ExitCode> {
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
    say_running(restored.running, options, output);
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
