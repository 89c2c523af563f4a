//! `meetbot backup`: a copy of a server's database, also while it runs.

use std::{path::PathBuf, process::ExitCode};

use meetbot_orchestrator::store;
use serde_json::json;

use crate::{
    folder::FolderArgs,
    output::{Output, counted},
};

/// The arguments of `backup`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    folder: FolderArgs,
    /// The new file; one that is there already is not overwritten.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Makes the copy, and says what is not in it.
pub(crate) fn run(args: &Args, output: Output) -> anyhow::Result<ExitCode> {
    if args.folder.settings()?.store.is_some() {
        anyhow::bail!(
            "this server's database is PostgreSQL: back it up with pg_dump, and the data folder's recordings beside it"
        );
    }
    let data = &args.folder.path()?;
    let backup = store::backup(data, &args.file)?;
    let recordings = data.join("recordings");
    let accounts = data.join("accounts");
    let accounts = accounts.is_dir().then_some(accounts);
    output.object(&json!({
        "file": args.file,
        "bytes": backup.bytes,
        "jobs": backup.jobs,
        "notIncluded": std::iter::once(&recordings).chain(&accounts).collect::<Vec<_>>(),
    }))?;
    output.line(format_args!(
        "{}: {}, {}; it holds webhook secrets, so keep it as you keep those",
        args.file.display(),
        counted(backup.jobs, "job"),
        counted(backup.bytes, "byte")
    ));
    output.remark(format_args!(
        "not in it: the recordings, in {}; copy them after this backup, so that every manifest it names is there",
        recordings.display()
    ));
    if let Some(accounts) = accounts {
        output.remark(format_args!(
            "nor the profiles of accounts, in {}; sign in again instead of copying them: who has one is signed in",
            accounts.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}
