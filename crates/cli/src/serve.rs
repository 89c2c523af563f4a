//! `meetbot serve`: the server, with its sandbox and its bots in one process.

use std::{io::IsTerminal as _, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use meetbot_bot::landmarks_of;
use meetbot_orchestrator::{
    Config, Orchestrator, SandboxLink,
    config::{self, LogFormat},
    keys::{self, FreshKey, KeySpec},
    store::Scope,
};
use meetbot_sandbox::{Sandbox, scenario};
use meetbot_types::bot::{ImitationSeat, Secret};
use serde_json::json;

use crate::{
    folder::{FolderArgs, quoted},
    launcher::BotLauncher,
    log,
    output::{Output, Usage},
    signals::Signals,
};

/// How log lines are written, where the command line does not say it.
const LOG_FORMAT: &str = "MEETBOT_LOG_FORMAT";

/// Where a server's settings come from. These win over the environment, which wins over the file.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// Where the API listens; port 0 takes a free one [default: 127.0.0.1:3010]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// For development: webhooks and meetings may lead to this machine too; only where the API listens on loopback
    #[arg(long)]
    dev: bool,
    #[command(flatten)]
    folder: FolderArgs,
}

/// The arguments of `serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: Settings,
    /// How log lines are written: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Print the annotated default settings and exit.
    #[arg(long)]
    print_config: bool,
    /// A sandbox that runs already (`meetbot sandbox serve`, with the same token), instead of one in this process.
    #[arg(long, value_name = "ws://HOST:PORT", requires = "sandbox_token")]
    sandbox: Option<String>,
    #[command(flatten)]
    sandbox_token: SandboxToken,
}

/// The token that bots present to a sandbox in a separate process.
#[derive(Debug, clap::Args)]
pub(crate) struct SandboxToken {
    /// What bots show the sandbox: the same text for `serve --sandbox` and `sandbox serve`, as `openssl rand -hex 16` makes one.
    #[arg(
        long = "sandbox-token",
        id = "sandbox_token",
        value_name = "TEXT",
        env = "MEETBOT_SANDBOX_TOKEN",
        hide_env_values = true,
        value_parser = sandbox_token
    )]
    pub(crate) token: Option<Secret>,
}

/// Short ones can be guessed, and others do not fit into a header.
fn sandbox_token(text: &str) -> Result<Secret, String> {
    if text.len() >= 16 && text.bytes().all(|letter| letter.is_ascii_graphic()) {
        Ok(Secret::new(text))
    } else {
        Err("must be 16 or more ASCII letters, digits or signs, without spaces".to_owned())
    }
}

impl Settings {
    /// The settings, complete and checked.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let mut config = self.folder.settings()?;
        if let Some(listen) = &self.listen {
            config.listen = config::parse_listen(listen)
                .map_err(|problem| Usage(format!("--listen: {problem}")))?;
        }
        config.development |= self.dev;
        config.check_development().map_err(|error| Usage(error.to_string()))?;
        Ok(config)
    }
}

/// Serves until it is interrupted, then stops in order; interrupted again it ends at once, with exit code 1. With a log in JSON all that it prints is JSON.
pub(crate) async fn run(args: Args, output: Output) -> anyhow::Result<ExitCode> {
    if args.print_config {
        output.object(&json!({"config": config::DEFAULT}))?;
        output.lines(config::DEFAULT.trim_end().lines());
        return Ok(ExitCode::SUCCESS);
    }
    // A wrong setting is reported before the format of the log is known.
    let asked = args.log_format.or_else(|| std::env::var(LOG_FORMAT).ok()?.parse().ok());
    let config = match args.settings.config() {
        Ok(config) => config,
        Err(error) if asked == Some(LogFormat::Json) => return Ok(Output::new(true).fail(&error)),
        Err(error) => return Err(error),
    };
    let format = args.log_format.unwrap_or(config.log_format);
    let said = if format == LogFormat::Json { Output::new(true) } else { output };
    let sandbox = args.sandbox.zip(args.sandbox_token.token);
    match log::start("info", format) {
        Ok(()) => serve(config, sandbox, format, output).await,
        Err(error) => Err(error),
    }
    .or_else(|error| Ok(said.fail(&error)))
}

async fn serve(
    config: Config,
    sandbox: Option<(String, Secret)>,
    format: LogFormat,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let (drain, development) = (config.drain.as_secs(), config.development);
    let database = config.store.as_ref().map(|store| store.url.clone());
    // Before the line that the server serves: its reader may stop the server at once.
    let mut signals = Signals::listen()?;
    let (server, sandbox) = start(config, sandbox, None).await?;
    // A journal or a log file is read by others, and kept.
    let shows_key =
        std::io::stdout().is_terminal() && (format == LogFormat::Text || output.is_json());
    let key = if shows_key { first_key(&server).await? } else { None };
    let is_new = key.is_some() || server.store().keys().await?.is_empty();
    let link = match &key {
        Some(key) => server.dashboard_link(key.key.id).await?,
        None => None,
    };
    let paused = server.store().paused_since().await?;
    output.object(&json!({"url": server.url(), "key": key.as_ref().map(crate::keys::first)}))?;
    match format {
        LogFormat::Json => {
            let (url, listen) = (server.url(), server.address());
            let data_dir = server.folder().path().display();
            tracing::info!(url, %listen, %data_dir, development, paused = paused.is_some(), "meetbot serves");
            if is_new && key.is_none() {
                tracing::warn!("{}", no_key(&server));
            }
        }
        LogFormat::Text => {
            introduce(&server, development, is_new, key.as_ref(), link.as_ref(), output);
        }
    }
    if !server.address().ip().to_canonical().is_loopback() {
        tracing::warn!(
            listen = %server.address(),
            "other machines reach the API, and it speaks plain HTTP: let a proxy that speaks TLS stand in front of it"
        );
    }
    if let Some(since) = paused {
        let place = match database {
            Some(url) => format!("--store {url}"),
            None => format!("--data-dir {}", quoted(server.folder().path())),
        };
        tracing::warn!(
            %since,
            "paused: no bots start and no webhooks are sent until `meetbot unpause {place}`"
        );
    }
    let displaced = tokio::select! {
        () = signals.next() => false,
        () = server.displaced() => true,
    };
    if displaced {
        server.stop().await;
        anyhow::bail!(
            "another meetbot server works on this database now: this one was not heard for 10 seconds"
        );
    }
    match format {
        LogFormat::Json => tracing::info!(drain_seconds = drain, "stopping"),
        LogFormat::Text if drain == 0 => output.remark(format_args!(
            "stopping: bots leave and finish their files (interrupt again to end at once)"
        )),
        LogFormat::Text => output.remark(format_args!(
            "stopping: bots stay in their meetings for {drain} s at most, then leave and finish their files (interrupt again to end at once)"
        )),
    }
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(1);
    });
    server.stop().await;
    if let Some(sandbox) = sandbox {
        sandbox.stop().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what runs, and on a new server the next command.
fn introduce(
    server: &Orchestrator,
    development: bool,
    is_new: bool,
    key: Option<&FreshKey>,
    dashboard: Option<&Secret>,
    output: Output,
) {
    let (address, data) = (server.address(), server.folder().path().display());
    // Where it listens everywhere, it is not only reached by the URL that bots use.
    let url =
        if address.ip().is_unspecified() { format!("http://{address}") } else { server.url() };
    output.line(format_args!("meetbot serves at {url} (data: {data})"));
    if development {
        output.line("For development: webhooks and meetings may lead to this machine.");
    }
    match key {
        Some(key) => {
            output.lines(welcome(server, key).lines());
            if let Some(link) = dashboard {
                output.line(format_args!("In a browser, within a minute: {}", link.expose()));
                output.lines(["Later: meetbot dashboard", ""]);
            }
        }
        None if is_new => output.line(no_key(server)),
        None => {}
    }
}

fn no_key(server: &Orchestrator) -> String {
    format!(
        "This server has no key yet: `meetbot keys create --test --data-dir {0}` makes one whose bots meet the sandbox only, `--live` in place of `--test` one for real meetings. \
         For further commands: export MEETBOT_SERVER_DATA_DIR={0}",
        quoted(server.folder().path())
    )
}

/// Starts a server, and a sandbox beside it unless one is given, with its token. `imitation` leads its browsers to an imitation, for demonstrations.
pub(crate) async fn start(
    config: Config,
    sandbox: Option<(String, Secret)>,
    imitation: Option<ImitationSeat>,
) -> anyhow::Result<(Orchestrator, Option<Sandbox>)> {
    let (own, address, token) = if let Some((address, token)) = sandbox {
        (None, address, token)
    } else {
        let token = Secret::random();
        let own = Sandbox::start(([127, 0, 0, 1], 0).into(), token.clone())
            .await
            .context("the sandbox does not start")?;
        let address = own.address();
        (Some(own), address, token)
    };
    if let Some(settings) = &config.browser {
        landmarks_of(settings).context("bots.browser.landmarks_dir")?;
        tokio::task::spawn_blocking(meetbot_bot::remove_left_browsers);
    }
    let launcher = Arc::new(BotLauncher::for_server(&config, own.is_some(), imitation)?);
    let link = SandboxLink { address, token, check: scenario::check };
    Ok((Orchestrator::start(config, launcher, link).await?, own))
}

/// A test key, unless there is a key: that of another server too, which started on the same database.
async fn first_key(server: &Orchestrator) -> anyhow::Result<Option<FreshKey>> {
    let spec = KeySpec { consumer: "default", live: false, scope: Scope::Write, expires_at: None };
    Ok(keys::create_first(server.store(), spec).await?)
}

fn welcome(server: &Orchestrator, key: &FreshKey) -> String {
    let data = quoted(server.folder().path());
    format!(
        "\nThis server is new. Here is a test key, whose bots meet the sandbox only; it is not shown again:\n\n  \
         export MEETBOT_API_KEY={}\n  export MEETBOT_API_BASE_URL={}\n  export MEETBOT_SERVER_DATA_DIR={}\n  \
         meetbot dispatch 'https://sandbox.meetbot.dev/two-speakers?seconds=20' --watch\n\n\
         Webhooks of `default` are signed with {}\n\
         For real meetings: meetbot keys create --live --data-dir {}\n",
        key.secret.expose(),
        server.url(),
        data,
        key.webhook_secret.expose(),
        data,
    )
}
