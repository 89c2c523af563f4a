//! `meetbot keys create|list|revoke`: works on the store of a data folder, also while a server runs on it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use meetbot_orchestrator::{
    clock::{Clock, Now},
    keys::{self, FreshKey},
    prepare,
    store::{Scope, SqliteStore, Store as _},
};
use meetbot_types::KeyId;
use serde_json::{Value, json};

use crate::output::{Output, Usage, table};

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a key; it is shown once.
    Create(CreateArgs),
    /// List the keys, without their secrets.
    List(FolderArgs),
    /// Revoke a key: no new calls with it; bots in flight keep running.
    Revoke(RevokeArgs),
}

/// Which server.
#[derive(Debug, clap::Args)]
pub(crate) struct FolderArgs {
    /// The server's data folder.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "meetbot-data",
        env = "MEETBOT_SERVER_DATA_DIR"
    )]
    data_dir: PathBuf,
}

/// The arguments of `keys create`.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// A key for real meetings.
    #[arg(long, conflicts_with = "test", required_unless_present = "test")]
    live: bool,
    /// A key for the sandbox: its bots meet nobody.
    #[arg(long)]
    test: bool,
    /// Whose key it is; a consumer that is new is made, with a webhook secret.
    #[arg(long, value_name = "NAME", default_value = "default")]
    consumer: String,
    /// What the key may do; each includes the one before: look, make and change jobs, run the server.
    #[arg(long, default_value = "write", value_parser = ["read", "write", "admin"])]
    scope: String,
}

/// The arguments of `keys revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// The key's id, as `keys list` shows it.
    id: String,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    let now = Clock::start().now();
    match command {
        Command::Create(args) => create(args, now, output).await?,
        Command::List(args) => list(&args.store()?, output).await?,
        Command::Revoke(args) => revoke(&args, now, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

impl FolderArgs {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.data_dir
    }

    /// The store in it.
    pub(crate) fn store(&self) -> anyhow::Result<SqliteStore> {
        prepare(&self.data_dir)?;
        Ok(SqliteStore::open(&self.data_dir)?)
    }
}

async fn create(args: CreateArgs, now: Now, output: Output) -> anyhow::Result<()> {
    let consumer = args.consumer.trim();
    if consumer.is_empty()
        || consumer.chars().count() > 100
        || consumer.chars().any(char::is_control)
    {
        return Err(Usage(
            "--consumer: a name has 1 to 100 characters, all of them visible".to_owned(),
        )
        .into());
    }
    let scope = Scope::known(&args.scope)
        .ok_or_else(|| Usage(format!("--scope: there is no {}", args.scope)))?;
    let store = args.folder.store()?;
    let fresh = keys::create(&store, consumer, args.live, scope, now).await?;
    output.object(&shown(&fresh))?;
    output.line(format_args!("{}", fresh.secret.expose()));
    output.remark(format_args!(
        "key {} of {}: kept as a hash only, so keep it now\nwebhook secret: {}",
        fresh.key.id,
        fresh.key.consumer_name,
        fresh.webhook_secret.expose()
    ));
    Ok(())
}

/// A fresh key as JSON: the only time that the key itself is shown.
pub(crate) fn shown(fresh: &FreshKey) -> Value {
    json!({
        "id": fresh.key.id,
        "key": fresh.secret.expose(),
        "webhookSecret": fresh.webhook_secret.expose(),
        "consumer": fresh.key.consumer_name,
        "live": fresh.key.tenant.live,
        "scope": fresh.key.scope.as_str(),
    })
}

async fn list(store: &SqliteStore, output: Output) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for key in store.keys().await? {
        output.object(&json!({
            "id": key.id,
            "consumer": key.consumer_name,
            "live": key.tenant.live,
            "scope": key.scope.as_str(),
            "prefix": key.prefix,
            "createdAt": key.created_at,
            "revokedAt": key.revoked_at,
        }))?;
        let revoked = key.revoked_at.map_or("-".to_owned(), |at| at.to_string());
        let (id, created) = (key.id.to_string(), key.created_at.to_string());
        rows.push(vec![
            id,
            key.consumer_name,
            format!("{}…", key.prefix),
            key.scope.to_string(),
            created,
            revoked,
        ]);
    }
    output.line(table(&["id", "consumer", "key", "scope", "created", "revoked"], &rows));
    Ok(())
}

async fn revoke(args: &RevokeArgs, now: Now, output: Output) -> anyhow::Result<()> {
    let id: KeyId = args.id.parse().map_err(|error| Usage(format!("{}: {error}", args.id)))?;
    if !args.folder.store()?.revoke_key(id, now).await? {
        anyhow::bail!("there is no key {id}; `meetbot keys list` shows those that there are");
    }
    output.object(&json!({"id": id, "revoked": true}))?;
    output.line(format_args!(
        "{id} is revoked: calls with it fail within a second, and bots in flight go on"
    ));
    Ok(())
}
