//! `meetbot keys create|list|revoke|audit`: works on the store of a data folder, also while a server runs on it.

use std::process::ExitCode;

use meetbot_orchestrator::{
    clock::Clock,
    keys::{self, FreshKey, Wanted},
    store::{KeyStore as _, Scope, SqliteStore, Store as _, UseFilter},
};
use meetbot_types::{JobId, KeyId, Timestamp};
use serde_json::{Value, json};

use crate::{
    folder::FolderArgs,
    output::{Output, Usage, table},
    span::span,
};

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a key; it is shown once.
    Create(CreateArgs),
    /// List the keys, without their secrets.
    List(FolderArgs),
    /// Revoke a key: no new calls with it; bots in flight keep running.
    Revoke(RevokeArgs),
    /// What keys changed or were refused, newest first: the server's audit log. A line stands for all refusals of a key for one reason in a minute.
    Audit(AuditArgs),
}

/// The arguments of `keys create`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("world").args(["live", "test"]).required(true))]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// A key for real meetings.
    #[arg(long)]
    live: bool,
    /// A key for the sandbox: its bots join no real meeting, the server plays one.
    #[arg(long)]
    test: bool,
    /// Make a data folder where there is none, for a key that is there before the server.
    #[arg(long)]
    init: bool,
    /// Whose key it is; a consumer that is new is made, with a webhook secret.
    #[arg(long, value_name = "NAME", default_value = "default")]
    consumer: String,
    /// What the key may do; each includes the one before: look, make and change jobs, run the server.
    #[arg(long, default_value = "write", value_parser = ["read", "write", "admin"])]
    scope: String,
    /// When the key ends: a time from now (90d, 12h), a day (its first moment in UTC) or a moment (2027-01-31T18:00:00Z)
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
}

/// The arguments of `keys revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// The key's id, as `keys list` shows it.
    id: String,
}

/// The arguments of `keys audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Of this key.
    #[arg(long, value_name = "ID")]
    key: Option<KeyId>,
    /// About this job.
    #[arg(long, value_name = "ID")]
    job: Option<JobId>,
    /// Only what was refused.
    #[arg(long)]
    refused: bool,
    /// How many lines at most.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: u32,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    let now = Clock::start().now().wall;
    match command {
        Command::Create(args) => create(args, now, output).await?,
        Command::List(args) => {
            args.with_store(async |store| list(store, now, output).await).await?;
        }
        Command::Revoke(args) => revoke(&args, output).await?,
        Command::Audit(args) => audit(&args, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(args: CreateArgs, now: Timestamp, output: Output) -> anyhow::Result<()> {
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
    let expires_at = match &args.expires {
        Some(text) => Some(expiry(text, now).map_err(|why| Usage(format!("--expires: {why}")))?),
        None => None,
    };
    let wanted = Wanted { consumer, live: args.live, scope, expires_at };
    let made = async |store: &SqliteStore| Ok(keys::create(store, wanted).await?);
    let fresh = args.folder.with_new_store(args.init, output, made).await?;
    output.object(&shown(&fresh))?;
    output.line(format_args!("{}", fresh.secret.expose()));
    output.remark(format_args!(
        "key {} of {}. Copy it now: it cannot be shown again.",
        fresh.key.id, fresh.key.consumer_name
    ));
    output.remark(format_args!("webhook secret: {}", fresh.webhook_secret.expose()));
    if let Some(at) = fresh.key.expires_at {
        output.remark(format_args!("it expires {at}"));
    }
    Ok(())
}

/// When a key ends that is made now.
fn expiry(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let day = || format!("{text}T00:00:00Z").parse::<Timestamp>();
    let at = text.parse().or_else(|_| day()).or_else(|_| span(text).map(|span| now + span));
    match at {
        Ok(at) if at > now => Ok(at),
        Ok(at) => Err(format!("{at} is over")),
        Err(_) => Err(format!(
            "{text:?} is neither a time from now, as in 90d, nor a day, as in 2027-01-31, nor a moment, as in 2027-01-31T18:00:00Z"
        )),
    }
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
        "expiresAt": fresh.key.expires_at,
    })
}

async fn list(store: &SqliteStore, now: Timestamp, output: Output) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for key in store.keys().await? {
        output.object(&json!({
            "id": key.id,
            "consumer": key.consumer_name,
            "live": key.tenant.live,
            "scope": key.scope.as_str(),
            "prefix": key.prefix,
            "createdAt": key.created_at,
            "expiresAt": key.expires_at,
            "revokedAt": key.revoked_at,
            "lastUsedAt": key.last_used_at,
        }))?;
        let ends = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(at)) if at <= now => format!("expired {at}"),
            (None, Some(at)) => at.to_string(),
            (None, None) => "-".to_owned(),
        };
        let used = key.last_used_at.map_or("-".to_owned(), |at| at.to_string());
        rows.push(vec![
            key.id.to_string(),
            key.consumer_name,
            format!("{}…", key.prefix),
            key.scope.to_string(),
            key.created_at.to_string(),
            ends,
            used,
        ]);
    }
    output.lines(table(&["id", "consumer", "key", "scope", "created", "ends", "last used"], &rows));
    Ok(())
}

async fn audit(args: &AuditArgs, output: Output) -> anyhow::Result<()> {
    let filter = UseFilter { key: args.key, job: args.job, refused: args.refused };
    let mut rows = Vec::new();
    let uses = args.folder.with_store(async |store| Ok(store.key_uses(filter, args.limit).await?));
    for used in uses.await? {
        output.object(&used)?;
        let answer = match &used.error {
            Some(error) => format!("{} {error}", used.status),
            None if used.status == 499 => "the caller had gone".to_owned(),
            None => used.status.to_string(),
        };
        rows.push(vec![
            used.at.to_string(),
            used.key.to_string(),
            used.address.to_string(),
            format!("{} {}", used.method, used.path),
            answer,
            used.times.to_string(),
            used.job.map_or("-".to_owned(), |job| job.to_string()),
            used.request,
        ]);
    }
    output.lines(table(&["at", "key", "from", "call", "answer", "times", "job", "request"], &rows));
    Ok(())
}

async fn revoke(args: &RevokeArgs, output: Output) -> anyhow::Result<()> {
    let id: KeyId = args.id.parse().map_err(|error| Usage(format!("{}: {error}", args.id)))?;
    if !args.folder.with_store(async |store| Ok(store.revoke_key(id, store.now()).await?)).await? {
        anyhow::bail!("there is no key {id}; `meetbot keys list` shows them");
    }
    output.object(&json!({"id": id, "revoked": true}))?;
    output.line(format_args!(
        "{id} is revoked: calls with it fail within a second, and bots in flight go on"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_after_a_time_on_a_day_or_at_a_moment() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        let read = |text: &str| expiry(text, now).map(|at| at.to_string());
        for (text, at) in [
            ("90d", "2027-02-23T12:00:00.000Z"),
            ("12h", "2026-11-26T00:00:00.000Z"),
            ("2027-01-31", "2027-01-31T00:00:00.000Z"),
            ("2027-01-31T18:00:00+02:00", "2027-01-31T16:00:00.000Z"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(at), "{text}");
        }
        for wrong in ["", "90", "soon", "2027-02-30", "0s", "2026-11-25", "2020-01-01T00:00:00Z"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
