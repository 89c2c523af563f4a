//! `meetbot keys create|list|revoke|audit`: works on the store of a data folder, also while a server runs on it, or over the server's admin API.

use std::process::ExitCode;

use anyhow::Context as _;
use meetbot_orchestrator::{
    clock::Clock,
    keys::{self, FreshKey, KeySpec},
    store::{Key, Revocation, Scope, Store, UseFilter, Window},
};
use meetbot_types::{ApiKey, CreatedKey, JobId, KeyId, KeyUse, Timestamp};
use serde_json::{Value, json};

use crate::{
    output::{Output, Usage, table},
    span::span,
    target::{Target, TargetArgs},
};

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a key; it is shown once.
    Create(CreateArgs),
    /// List the keys, without their secrets.
    List(TargetArgs),
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
    target: TargetArgs,
    /// A key for real meetings.
    #[arg(long)]
    live: bool,
    /// A key for the sandbox: its bots join no real meeting, the server plays one.
    #[arg(long)]
    test: bool,
    /// Make a data folder where there is none, for a key that is there before the server.
    #[arg(long, conflicts_with = "server")]
    init: bool,
    /// Whose key it is; a consumer that is new is made, with a webhook secret.
    #[arg(long, value_name = "NAME", default_value = "default")]
    consumer: String,
    /// What the key may do; each includes the one before: look, make and change jobs, see the metrics and erase its consumer, run the server. `worker` is for `meetbot worker` alone
    #[arg(long, default_value = "write", value_parser = Scope::ALL.map(Scope::as_str))]
    scope: String,
    /// When the key ends: a time from now (90d, 12h), a day (its first moment in UTC) or a moment (2027-01-31T18:00:00Z)
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
}

/// The arguments of `keys revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The key's id, as `keys list` shows it.
    id: String,
}

/// The arguments of `keys audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    target: TargetArgs,
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
        Command::List(args) => list(&args, now, output).await?,
        Command::Revoke(args) => revoke(&args, output).await?,
        Command::Audit(args) => audit(&args, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(args: CreateArgs, now: Timestamp, output: Output) -> anyhow::Result<()> {
    let consumer = args.consumer.trim();
    if let Some(problem) = keys::name_problem(consumer) {
        return Err(Usage(format!("--consumer: {problem}")).into());
    }
    let scope = Scope::known(&args.scope)
        .ok_or_else(|| Usage(format!("--scope: there is no {}", args.scope)))?;
    if scope.is_of_whole_server() && args.test {
        let message = format!(
            "--scope {scope} is about the whole server, and a test key reaches the test world alone: give --live"
        );
        return Err(Usage(message).into());
    }
    let expires_at = match &args.expires {
        Some(text) => Some(expiry(text, now).map_err(|why| Usage(format!("--expires: {why}")))?),
        None => None,
    };
    let made: CreatedKey = match args.target.target()? {
        Target::Folder(folder) => {
            let spec = KeySpec { consumer, live: args.live, scope, expires_at };
            let made = async |store: &dyn Store| Ok(keys::create(store, spec).await?);
            folder.with_new_store(args.init, output, made).await?.shown()
        }
        Target::Server(admin) => {
            let body = json!({
                "consumer": consumer, "live": args.live, "scope": scope.as_str(), "expiresAt": expires_at,
            });
            admin.ask("POST", &["keys"], Some(&body)).await?.context("the server made no key")?
        }
    };
    output.object(&shown(&made))?;
    output.line(format_args!("{}", made.key));
    let ApiKey { id, consumer, expires_at, .. } = &made.shown;
    output.remark(format_args!("key {id} of {consumer}. Copy it now: it cannot be shown again."));
    match &made.webhook_secret {
        Some(secret) => output.remark(format_args!("webhook secret: {secret}")),
        None => output.remark(format_args!(
            "{consumer} was there before and keeps its webhook secret, which a server does not show"
        )),
    }
    if let Some(at) = expires_at {
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

/// The first key of a server as JSON.
pub(crate) fn first(fresh: &FreshKey) -> Value {
    shown(&fresh.clone().shown())
}

/// A fresh key as JSON: the only time that the key itself is shown.
fn shown(CreatedKey { key, webhook_secret, shown }: &CreatedKey) -> Value {
    json!({
        "id": shown.id,
        "key": key,
        "webhookSecret": webhook_secret,
        "consumer": shown.consumer,
        "live": shown.live,
        "scope": shown.scope,
        "expiresAt": shown.expires_at,
    })
}

async fn list(args: &TargetArgs, now: Timestamp, output: Output) -> anyhow::Result<()> {
    let keys: Vec<ApiKey> = match args.target()? {
        Target::Folder(folder) => {
            let keys = folder.with_store(async |store| Ok(store.keys().await?)).await?;
            keys.into_iter().map(Key::shown).collect()
        }
        Target::Server(admin) => {
            let mut keys = admin.list("keys", &[], usize::MAX).await?;
            // The API has the newest first.
            keys.reverse();
            keys
        }
    };
    let mut rows = Vec::new();
    for key in keys {
        output.object(&key)?;
        let ends = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(at)) if at <= now => format!("expired {at}"),
            (None, Some(at)) => at.to_string(),
            (None, None) => "-".to_owned(),
        };
        let used = key.last_used_at.map_or("-".to_owned(), |at| at.to_string());
        rows.push(vec![
            key.id.to_string(),
            key.consumer,
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
    let most = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let uses = match args.target.target()? {
        Target::Folder(folder) => {
            let uses = async |store: &dyn Store| uses(store, args, most).await;
            folder.with_store(uses).await?
        }
        Target::Server(admin) => {
            let (key, job) = (args.key.map(|id| id.to_string()), args.job.map(|id| id.to_string()));
            let filter = [("key", key.as_deref()), ("job", job.as_deref())];
            let refused = args.refused.then_some(("refused", "true"));
            let filter = filter.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let filter: Vec<_> = filter.chain(refused).collect();
            admin.list("audit", &filter, most).await?
        }
    };
    let mut rows = Vec::new();
    for used in uses {
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

/// The newest lines of the audit log, as many as the store has of those that are wanted.
async fn uses(store: &dyn Store, args: &AuditArgs, most: usize) -> anyhow::Result<Vec<KeyUse>> {
    let filter =
        UseFilter { key: args.key, job: args.job, refused: args.refused, ..UseFilter::default() };
    let (mut uses, mut after) = (Vec::new(), None);
    while uses.len() < most {
        let limit = u32::try_from(most - uses.len()).unwrap_or(u32::MAX);
        let page = store.key_uses(filter.clone(), Window { limit, after }).await?;
        uses.extend(page.data);
        let Some(next) = page.next_cursor else { break };
        after = Some(next.parse()?);
    }
    Ok(uses)
}

async fn revoke(args: &RevokeArgs, output: Output) -> anyhow::Result<()> {
    let id: KeyId = args.id.parse().map_err(|error| Usage(format!("{}: {error}", args.id)))?;
    let is_there = match args.target.target()? {
        Target::Folder(folder) => {
            let revoke =
                async |store: &dyn Store| Ok(store.revoke_key(id, false, store.now()).await?);
            matches!(folder.with_store(revoke).await?, Revocation::Done(_))
        }
        Target::Server(admin) => {
            let id = id.to_string();
            admin.ask::<ApiKey>("DELETE", &["keys", id.as_str()], None).await?.is_some()
        }
    };
    if !is_there {
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
