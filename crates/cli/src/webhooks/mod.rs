//! `meetbot webhooks listen|verify`.

mod listen;
pub(crate) mod receiver;
mod verify;

use std::process::ExitCode;

use crate::output::Output;

/// What to do with webhooks.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Receive webhooks on this machine, verify and print them.
    Listen(listen::Args),
    /// Check the signature of a body; exit code 0 when it is right, 1 when it is not.
    Verify(verify::Args),
}

/// Runs one of them.
pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Listen(args) => listen::run(args, output).await,
        Command::Verify(args) => verify::run(args, output),
    }
}
