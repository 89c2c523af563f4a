//! `meetbot doctor`: looks at everything a server needs, and says what to do about what is missing.

mod accounts;
mod browser;
mod database;
mod folder;
mod join;
mod loopback;
mod machine;
mod programs;
mod server;
mod storage;
mod zoom;

use std::process::ExitCode;

use meetbot_orchestrator::{clock::Clock, config::Workers, profile_folder};
use meetbot_types::bot::BrowserSettings;
use serde::Serialize;
use serde_json::json;

use crate::{
    connection::Connection,
    log,
    output::{Output, Usage},
    serve::Settings,
};

/// The arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The exit code is 1 when something fails, and 0 otherwise; a warning fails nothing."
)]
pub(crate) struct Args {
    /// Look at this alone: `zoom` is the Zoom apps of the settings, whether the server at --base-url answers Zoom's validation of their endpoint, and the clock.
    /// `join` joins the Google Meet meeting of the link that follows, for a minute, and prints what the bot recognises there and what not, for a bug report.
    #[arg(value_enum)]
    only: Option<Only>,
    /// The meeting of `join`.
    link: Option<String>,
    /// How long `join` stays in the meeting, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..), requires = "link")]
    seconds: u32,
    /// The account as which `join` joins; without it as a guest.
    #[arg(long, value_name = "NAME", requires = "link")]
    account: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

/// What can be looked at alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Only {
    Zoom,
    Join,
}

/// The state of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// A server runs, but not as well as it could.
    Warn,
    /// No server runs like this, or bots in browsers are switched on and cannot run.
    Fail,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    found: String,
    #[serde(rename = "do")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), remedy: None }
    }

    fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (found, remedy) = (found.into(), Some(remedy.into()));
        Self { check, state: State::Warn, found, remedy }
    }

    fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Fail, ..Self::warn(check, found, remedy) }
    }
}

/// Runs all checks, and prints each finding.
pub(crate) async fn run(
    args: &Args,
    connection: &Connection,
    output: Output,
) -> anyhow::Result<ExitCode> {
    if args.only == Some(Only::Join) {
        let config = args.settings.config()?;
        let profile = args.account.as_deref().map(|name| profile_folder(&config.data_dir, name));
        let settings = BrowserSettings { profile, ..config.browser.unwrap_or_default() };
        return join::run(args.link.as_deref(), args.seconds, &settings, output).await;
    }
    if args.link.is_some() {
        return Err(Usage("only `meetbot doctor join` takes a link".to_owned()).into());
    }
    let now = Clock::start().now().wall;
    let mut findings = Vec::new();
    match args.settings.config().and_then(|config| log::wanted().map(|_| config)) {
        Ok(config) if args.only == Some(Only::Zoom) => {
            let none = || {
                let remedy = "docs/platforms/zoom.md says how an app is set up";
                Finding::warn("zoom", "no [zoom.apps.NAME] is in the settings", remedy)
            };
            findings.push(zoom::look(&config.zoom).unwrap_or_else(none));
            findings.extend(zoom::validate(connection, config.listen, &config.zoom, now).await);
        }
        Ok(config) => {
            findings.push(Finding::ok("config", "every setting can be used"));
            let (in_use, found) = folder::look(&config.data_dir);
            findings.extend(found);
            let (found, contents) = database::look(&config, now).await;
            findings.extend(found);
            findings.push(loopback::look(&config, &contents.live_keys));
            findings.extend(storage::look(&config, contents.storage).await);
            findings.extend(zoom::look(&config.zoom));
            let asked = server::look(connection, config.listen, in_use, now).await;
            let answers = server::is_at(&asked, connection.base_url()?.as_deref(), config.listen);
            findings.push(machine::listen(config.listen, in_use, answers));
            findings.push(machine::udp());
            findings.push(machine::open_files(config.max_bots));
            // Otherwise they run on the machines of workers.
            if config.workers == Workers::Own {
                findings.extend(browser::look(config.browser.as_ref(), config.max_browsers));
            }
            findings.extend(accounts::look(&config.accounts, &config.data_dir, now));
            findings.extend(asked);
        }
        Err(error) => {
            let remedy = "mend it in the settings, the environment or the command line";
            findings.push(Finding::fail("config", format!("{error:#}"), remedy));
        }
    }
    findings.push(machine::clock(now));
    if args.only.is_none() {
        findings.extend(programs::look());
    }

    let well = findings.iter().all(|finding| finding.state != State::Fail);
    output.object(&json!({"ok": well, "checks": findings}))?;
    for Finding { check, state, found, remedy } in &findings {
        let state = match state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        let mut found = found.lines();
        output.line(format_args!("{state:<4}  {check:<12}  {}", found.next().unwrap_or_default()));
        output.lines(found.map(|line| format!("{:20}{line}", "")));
        if let Some(remedy) = remedy {
            output.line(format_args!("{:20}→ {remedy}", ""));
        }
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
