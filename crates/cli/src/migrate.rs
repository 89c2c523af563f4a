//! `meetbot migrate`: a data folder's database is taken over into PostgreSQL.

use std::process::ExitCode;

use clap::ValueEnum;
use meetbot_orchestrator::migrate;
use serde_json::{Map, json};

use crate::{
    folder::{FolderArgs, quoted},
    output::{Output, Usage, counted},
};

/// What is taken over.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    /// The database of the data folder
    Sqlite,
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is taken over; --store says into which database
    #[arg(long, value_name = "KIND")]
    from: From,
    #[command(flatten)]
    folder: FolderArgs,
    /// Do all of it and undo it again: says whether it can be done, and how much there is
    #[arg(long)]
    dry_run: bool,
}

/// Takes it over, and says how much of what.
pub(crate) async fn run(args: &Args, output: Output) -> anyhow::Result<ExitCode> {
    let From::Sqlite = args.from;
    let settings = args.folder.settings()?;
    let Some(url) = &settings.store else {
        let missing = "migrate needs --store postgres://USER@HOST/DATABASE (or MEETBOT_STORE_URL)";
        return Err(Usage(missing.to_owned()).into());
    };
    let done = migrate(&args.folder.path()?, url, args.dry_run).await?;
    let rows: Map<_, _> =
        done.rows.iter().map(|(table, rows)| ((*table).to_owned(), json!(rows))).collect();
    output.object(&json!({
        "dataDir": done.folder,
        "store": url.url,
        "dryRun": args.dry_run,
        "rows": rows,
    }))?;
    for (table, rows) in done.rows.iter().filter(|(_, rows)| *rows > 0) {
        output.line(format_args!("{table}: {}", counted(*rows, "row")));
    }
    let folder = quoted(&done.folder);
    if args.dry_run {
        output.line("a dry run: all rows could be taken over, and nothing was changed");
    } else {
        output.line(format_args!(
            "all is in {}; recordings stay in {folder}, and the database there is paused",
            url.url
        ));
        output.line(format_args!("next: meetbot serve --store {} --data-dir {folder}", url.url));
    }
    Ok(ExitCode::SUCCESS)
}
