//! `meetbot webhooks list|show|redeliver|test|secret|secrets|rotate|listen|verify`.

mod deliveries;
mod endpoints;
mod listen;
pub(crate) mod receiver;
mod secret;
mod signatures;
mod verify;

use std::process::ExitCode;

use crate::{connection::Connection, output::Output, target::TargetArgs};

/// What to do with webhooks.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
list, show, redeliver and test ask the server (--base-url, MEETBOT_API_KEY).
secret, secrets and rotate work on its data folder, on the server's machine (--data-dir);
secrets and rotate also from elsewhere (--server, a key with the scope operator).
listen and verify need neither.")]
pub(crate) enum Command {
    /// List deliveries, newest first: what arrived, what is tried again, what was given up (asks the server).
    List {
        #[command(flatten)]
        connection: Connection,
        #[command(flatten)]
        args: deliveries::ListArgs,
    },
    /// Show a delivery with every try and what the endpoint answered (asks the server).
    Show {
        #[command(flatten)]
        connection: Connection,
        #[command(flatten)]
        args: deliveries::ShowArgs,
    },
    /// Send deliveries again (asks the server).
    Redeliver {
        #[command(flatten)]
        connection: Connection,
        #[command(flatten)]
        args: deliveries::RedeliverArgs,
    },
    /// Send a test event to a URL, signed as every webhook is, and show what came of it; exit code 1 when it was not taken (asks the server).
    Test {
        #[command(flatten)]
        connection: Connection,
        #[command(flatten)]
        args: endpoints::TestArgs,
    },
    /// Show the secret that a consumer's webhooks are signed with (on the server's machine).
    Secret(secret::SecretArgs),
    /// List whose secret is being rotated, without the secrets (on the server's machine, or with --server).
    Secrets(TargetArgs),
    /// Give a consumer a new webhook secret; the previous one stays valid for a while (on the server's machine, or with --server).
    Rotate(secret::RotateArgs),
    /// Receive webhooks on this machine, verify and print them.
    Listen(listen::Args),
    /// Check the signature of a body; exit code 0 when it is right, 1 when it is not.
    Verify(verify::Args),
}

impl Command {
    /// How it talks to a server, where it does.
    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        match self {
            Self::List { connection, .. }
            | Self::Show { connection, .. }
            | Self::Redeliver { connection, .. }
            | Self::Test { connection, .. } => Some(connection),
            _ => None,
        }
    }
}

/// Runs one of them.
pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { connection, args } => {
            deliveries::list(args, &connection.client()?, output).await?;
        }
        Command::Show { connection, args } => {
            deliveries::show(args, &connection.client()?, output).await?;
        }
        Command::Redeliver { connection, args } => {
            deliveries::redeliver(args, &connection.client()?, output).await?;
        }
        Command::Test { connection, args } => {
            return endpoints::test(args, &connection.client()?, output).await;
        }
        Command::Secret(args) => secret::show(args, output).await?,
        Command::Secrets(args) => secret::list(&args, output).await?,
        Command::Rotate(args) => secret::rotate(args, output).await?,
        Command::Listen(args) => return listen::run(args, output).await,
        Command::Verify(args) => return verify::run(args, output),
    }
    Ok(ExitCode::SUCCESS)
}
