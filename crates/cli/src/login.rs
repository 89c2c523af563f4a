//! `meetbot login` and `logout`: gets a key of a server by a code that somebody approves in its dashboard, and ends it again.

use std::{io::IsTerminal as _, process::ExitCode, time::Duration};

use anyhow::Context as _;
use meetbot::{ErrorCode, MeetBot, Request, api_path};
use meetbot_types::{
    CreatedKey, KeyScope,
    login::{NewLogin, StartedLogin, World},
};
use serde_json::json;

use crate::{
    connection::Connection,
    dashboard,
    output::{Output, Usage},
    profiles::{self, Profile, Profiles},
};

/// The longest name of a machine that servers take.
const LONGEST_HOST: usize = 64;
/// The minimum interval, also if a server asks for a shorter one.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// The arguments of `login`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("world").args(["live", "test"]))]
pub(crate) struct Args {
    /// What the key may do; each includes the one before. The person who approves may give less
    #[arg(long, default_value = "write", value_parser = ["read", "write", "admin", "operator"])]
    scope: String,
    /// Only a key for real meetings
    #[arg(long)]
    live: bool,
    /// Only a key for the sandbox
    #[arg(long)]
    test: bool,
    /// Open no browser
    #[arg(long)]
    no_browser: bool,
}

/// Gets a key, and keeps it as a profile.
pub(crate) async fn login(
    connection: &Connection,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let profiles = Profiles::read()?;
    if let Some(problem) = connection.profile().and_then(profiles::name_problem) {
        return Err(Usage(format!("--profile: {problem}")).into());
    }
    let client = connection.client_without_key(&profiles)?;
    let url = client.base_url().to_owned();
    let profile = connection.profile().map_or_else(|| profiles.name_for(&url), ToOwned::to_owned);
    let started = begin(&client, args).await?;
    let StartedLogin { user_code, verification_url, expires_in, .. } = &started;
    // The address is printed and handed to another program: only http and https are allowed.
    let is_page = ["http://", "https://"].iter().any(|scheme| verification_url.starts_with(scheme));
    let page = if is_page { verification_url.clone() } else { format!("{url}/#/login") };
    output.object(&json!({
        "userCode": user_code, "verificationUrl": page, "expiresIn": expires_in,
    }))?;
    output.line(format_args!("Open {page} and type this code:"));
    output.line(format_args!("    {user_code}"));
    let minutes = expires_in.div_ceil(60);
    output.remark(format_args!("It is good for {minutes} minutes, and only you should type it."));
    let opens = !args.no_browser && !output.is_json() && std::io::stdout().is_terminal();
    if opens && !dashboard::open(&page) {
        output.remark("No browser was found here: open the page yourself.");
    }
    let made = await_key(&client, &started).await?;
    let shown = &made.shown;
    let fresh = Profile {
        url: url.clone(),
        key: made.key.clone(),
        ca_bundle: connection.ca_bundle(&profiles),
        consumer: shown.consumer.clone(),
        world: if shown.live { "live" } else { "test" }.to_owned(),
        scope: shown.scope.to_string(),
        expires_at: shown.expires_at.map(|at| at.to_string()),
    };
    let said = json!({
        "profile": profile, "url": url, "consumer": fresh.consumer, "world": fresh.world,
        "scope": fresh.scope, "expiresAt": fresh.expires_at,
    });
    let before = Profiles::change(|profiles| {
        profiles.default.get_or_insert_with(|| profile.clone());
        profiles.profiles.insert(profile.clone(), fresh.clone())
    });
    let before = match before {
        Ok(before) => before,
        Err(error) => {
            // A key that could not be stored is revoked.
            let _ = end(&fresh).await;
            return Err(error);
        }
    };
    if let Some(before) = before {
        // The key of the login before this one is kept nowhere any more.
        let _ = end(&before).await;
    }
    output.object(&said)?;
    let Profile { consumer, world, scope, .. } = &fresh;
    output.remark(format_args!(
        "Logged in to {url} as {consumer} with a {world} key of scope {scope}: profile {profile}"
    ));
    Ok(ExitCode::SUCCESS)
}

async fn begin(client: &MeetBot, args: &Args) -> anyhow::Result<StartedLogin> {
    let world = args.live.then_some(World::Live).or_else(|| args.test.then_some(World::Test));
    let scope = Some(KeyScope::from(args.scope.as_str()));
    let body = serde_json::to_string(&NewLogin { scope, world, host: host() })?;
    let path = api_path(&["cli-auth", "init"], &[])?;
    let answer = client.request(Request::new("POST", path.clone())?.json(body)).await;
    let answer = answer.map_err(|error| match error.code() {
        Some(ErrorCode::NoSuchPath) => anyhow::Error::new(error).context(
            "this server has no dashboard where a login could be approved, or is older than this program: `meetbot keys create` on its machine makes a key",
        ),
        _ => error.into(),
    })?;
    let read = serde_json::from_slice(answer.body());
    Ok(read.map_err(|error| client.unreadable(&path, &answer, error))?)
}

/// Polls until the login is approved or denied.
async fn await_key(client: &MeetBot, started: &StartedLogin) -> anyhow::Result<CreatedKey> {
    let interval = Duration::from_secs(started.interval).max(LEAST_INTERVAL);
    let polls = async {
        let path = api_path(&["cli-auth", "poll", &started.nonce], &[])?;
        let mut wait = interval;
        loop {
            tokio::time::sleep(wait).await;
            wait = interval;
            match client.request(Request::new("POST", path.clone())?).await {
                Ok(answer) if answer.status() == 202 => {}
                Ok(answer) => {
                    return serde_json::from_slice(answer.body())
                        .context("the server answers something else than a key");
                }
                Err(error) => match error.status() {
                    Some(429) => wait = error.retry_after().unwrap_or(interval).max(interval),
                    Some(403 | 410) => anyhow::bail!("{}", error.message()),
                    // A server that is unavailable for a moment. It reports itself when the login has expired.
                    _ if error.is_transient() => {}
                    _ => return Err(error.into()),
                },
            }
        }
    };
    let limit = Duration::from_secs(started.expires_in) + interval;
    let timed = tokio::time::timeout(limit, polls).await;
    timed.unwrap_or_else(|_| anyhow::bail!("nobody has approved it in time: log in again"))
}

/// The name of this machine, as far as servers take it.
fn host() -> Option<String> {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    let plain = |letter: &char| letter.is_ascii_alphanumeric() || "._-".contains(*letter);
    let name: String = name.chars().filter(plain).take(LONGEST_HOST).collect();
    Some(name).filter(|name| !name.is_empty())
}

/// Revokes the key of a profile at its server.
async fn end(profile: &Profile) -> anyhow::Result<()> {
    let client = Connection::of_profile(profile)?;
    client.request(Request::new("DELETE", api_path(&["cli-auth", "key"], &[])?)?).await?;
    Ok(())
}

/// Ends the key of a profile and forgets it.
pub(crate) async fn logout(connection: &Connection, output: Output) -> anyhow::Result<ExitCode> {
    let profiles = Profiles::read()?;
    let name = match connection.profile() {
        Some(name) => name.to_owned(),
        None => profiles.default.clone().ok_or_else(|| {
            Usage("which login is to end? `meetbot profiles list` shows them; name one with --profile".to_owned())
        })?,
    };
    let profile = profiles.named(&name)?.clone();
    let ended = end(&profile).await;
    Profiles::change(|profiles| {
        profiles.profiles.remove(&name);
        // No other profile becomes the default: a command would go to an unintended server.
        profiles.default = profiles.default.take().filter(|default| *default != name);
    })?;
    output.object(&json!({"profile": name, "url": profile.url, "revoked": ended.is_ok()}))?;
    match ended {
        Ok(()) => output.remark(format_args!("Logged out of {}: the key is revoked", profile.url)),
        Err(error) => output.remark(format_args!(
            "Logged out of {}; the key could not be revoked: {error:#}",
            profile.url
        )),
    }
    Ok(ExitCode::SUCCESS)
}
