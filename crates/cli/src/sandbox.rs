//! `meetbot sandbox serve|list`.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use meetbot_sandbox::{Sandbox, scenario};
use serde_json::json;

use crate::{
    output::{Output, Usage, table},
    serve::SandboxToken,
    signals::Signals,
};

/// What to do with the sandbox.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Play meetings in a process of its own, so that they outlive a server (`meetbot serve --sandbox ADDRESS`).
    Serve(ServeArgs),
    /// List the scenarios and what to expect of each.
    List,
}

/// The arguments of `sandbox serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:3011")]
    listen: SocketAddr,
    #[command(flatten)]
    token: SandboxToken,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve(args, output).await,
        Command::List => list(output),
    }
}

async fn serve(args: ServeArgs, output: Output) -> anyhow::Result<ExitCode> {
    let token = args.token.token.ok_or_else(|| {
        Usage("set MEETBOT_SANDBOX_TOKEN: bots of a server that has the same are let in".to_owned())
    })?;
    let mut signals = Signals::listen()?;
    let sandbox = Sandbox::start(args.listen, token).await.with_context(|| {
        format!(
            "cannot listen on {}: if the port is taken, give another with --listen",
            args.listen
        )
    })?;
    output.object(&json!({"address": sandbox.address()}))?;
    output.line(format_args!(
        "the sandbox plays at {0}: with the same MEETBOT_SANDBOX_TOKEN, meetbot serve --sandbox {0}",
        sandbox.address()
    ));
    signals.next().await;
    sandbox.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn list(output: Output) -> anyhow::Result<ExitCode> {
    let host = meetbot_types::sandbox::HOST;
    for scenario in scenario::ALL {
        output.object(&json!({
            "url": format!("https://{host}/{}", scenario.name),
            "plays": scenario.plays,
            "expect": scenario.expect,
        }))?;
    }
    let rows: Vec<Vec<String>> = scenario::ALL
        .iter()
        .map(|scenario| {
            vec![scenario.name.to_owned(), scenario.plays.to_owned(), scenario.expect.to_owned()]
        })
        .collect();
    output.lines(table(&["scenario", "what it plays", "what to expect"], &rows));
    output.line("");
    output.line(format_args!("As in https://{host}/two-speakers?seconds=20"));
    Ok(ExitCode::SUCCESS)
}
