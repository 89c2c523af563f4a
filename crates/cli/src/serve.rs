//! `meetbot serve`: the server, with its sandbox and its bots in one process.

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use meetbot_orchestrator::{
    Config, Orchestrator, SandboxLink,
    config::{self, LogFormat},
    keys::{self, FreshKey, Wanted},
    store::{Scope, Store as _},
};
use meetbot_sandbox::{Sandbox, scenario};
use meetbot_types::bot::Secret;
use serde_json::json;

use crate::{
    launcher::Tasks,
    log,
    output::{Output, Usage},
    signals::Signals,
};

/// Where a server's settings come from. These win over the environment, which wins over the file.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// Where the API listens; port 0 takes a free one [default: 127.0.0.1:3010]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The folder that holds everything; made where there is none [default: meetbot-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// For development: webhooks and meetings may lead to this machine too; only where the API listens on loopback
    #[arg(long)]
    dev: bool,
    /// A file with settings, like the one that --print-config prints.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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

/// What bots show a sandbox in a process of its own.
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
        let file = match &self.config {
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?,
            ),
            None => None,
        };
        let usage = |problem: String| Usage(problem);
        let mut config = Config::load(file.as_deref(), |name| std::env::var(name).ok())
            .map_err(|error| usage(error.to_string()))?;
        if let Some(listen) = &self.listen {
            config.listen = config::parse_listen(listen)
                .map_err(|problem| usage(format!("--listen: {problem}")))?;
        }
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        config.development |= self.dev;
        config.check_development().map_err(|error| usage(error.to_string()))?;
        Ok(config)
    }
}

/// Serves until it is interrupted, then stops in order; interrupted again it ends at once, with exit code 1.
pub(crate) async fn run(args: Args, output: Output) -> anyhow::Result<ExitCode> {
    if args.print_config {
        output.object(&json!({"config": config::DEFAULT}))?;
        output.lines(config::DEFAULT.trim_end().lines());
        return Ok(ExitCode::SUCCESS);
    }
    let config = args.settings.config()?;
    log::start("info", args.log_format.unwrap_or(config.log_format));
    let (drain, development) = (config.drain.as_secs(), config.development);
    // Before it is said that the server serves: whoever reads that may stop it at once.
    let mut signals = Signals::listen()?;
    let (server, sandbox) = start(config, args.sandbox.zip(args.sandbox_token.token)).await?;
    let is_new = server.store().keys().await?.is_empty();
    // What goes into a journal or a file is read by others, and kept.
    let key = if is_new && std::io::stdout().is_terminal() {
        Some(first_key(&server).await?)
    } else {
        None
    };
    output.object(&json!({"url": server.url(), "key": key.as_ref().map(crate::keys::shown)}))?;
    output.line(format_args!(
        "meetbot serves at {} (data: {})",
        server.url(),
        server.folder().path().display()
    ));
    if development {
        output.line("For development: webhooks and meetings may lead to this machine.");
    }
    if let Some(key) = &key {
        output.lines(welcome(&server, key).lines());
    } else if is_new {
        output.line(format_args!(
            "This server has no key yet: `meetbot keys create --test --data-dir {0}` makes one whose bots meet the sandbox only, `--live` in place of `--test` one for real meetings",
            server.folder().path().display()
        ));
    }
    signals.next().await;
    let bots = if drain == 0 {
        "bots leave and finish their files".to_owned()
    } else {
        format!(
            "bots stay in their meetings for {drain} s at most, then leave and finish their files"
        )
    };
    output.remark(format_args!("stopping: {bots} (interrupt again to end at once)"));
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

/// Starts a server, and a sandbox beside it unless one is given, with its token.
pub(crate) async fn start(
    config: Config,
    sandbox: Option<(String, Secret)>,
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
    let launcher = Arc::new(Tasks::new().context("there is no HTTP client for bots")?);
    let link = SandboxLink { address, token, check: scenario::check };
    Ok((Orchestrator::start(config, launcher, link).await?, own))
}

/// A test key for a server that has none yet.
async fn first_key(server: &Orchestrator) -> anyhow::Result<FreshKey> {
    let wanted = Wanted { consumer: "default", live: false, scope: Scope::Write, expires_at: None };
    Ok(keys::create(server.store(), wanted, server.clock().now()).await?)
}

fn welcome(server: &Orchestrator, key: &FreshKey) -> String {
    format!(
        "\nThis server is new. Here is a test key, whose bots meet the sandbox only; it is not shown again:\n\n  \
         export MEETBOT_API_KEY={}\n  export MEETBOT_API_BASE_URL={}\n  \
         meetbot dispatch 'https://sandbox.meetbot.dev/two-speakers?seconds=20' --watch\n\n\
         Webhooks of `default` are signed with {}\n\
         For real meetings: meetbot keys create --live --data-dir {}\n",
        key.secret.expose(),
        server.url(),
        key.webhook_secret.expose(),
        server.folder().path().display(),
    )
}
