//! `meetbot`: the one binary. Parses the command line, runs one command, and turns its outcome into an exit code.

mod backup;
mod browser;
mod certificates;
mod clock;
mod completions;
mod connection;
mod consumers;
mod dashboard;
mod demo;
mod dispatch;
mod doctor;
mod folder;
mod jobs;
mod keys;
mod launcher;
mod log;
mod login;
mod migrate;
mod output;
mod platforms;
mod profiles;
mod restore;
mod sandbox;
mod serve;
mod signals;
mod span;
mod target;
mod text;
mod usage;
mod watch;
mod webhooks;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use meetbot_orchestrator::config::LogFormat;
use rustix::fs::Mode;

use crate::{
    connection::{BeforeCommand, Connection},
    output::{Output, Usage},
};

/// Bots that join video meetings, record each speaker and hand over the files.
///
/// Start with `meetbot demo`: it needs nothing and shows everything. Then `meetbot serve`.
#[derive(Debug, Parser)]
#[command(name = "meetbot", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 the job or call failed, 2 the command line is wrong."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Print JSON on standard output instead of text.
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    before: BeforeCommand,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play the whole product once, in one process: a bot joins a meeting, records two speakers, leaves.
    Demo(demo::Args),
    /// Run the server.
    Serve(serve::Args),
    /// Run bots for a server, on its machine.
    Worker(worker::Args),
    /// Send a bot to a meeting.
    Dispatch {
        #[command(flatten)]
        args: dispatch::Args,
        #[command(flatten)]
        connection: Connection,
    },
    /// Follow a job until it ends.
    Watch {
        #[command(flatten)]
        args: watch::Args,
        #[command(flatten)]
        connection: Connection,
    },
    /// List jobs, tell their bots what to do, download or delete what they recorded.
    Jobs {
        #[command(flatten)]
        connection: Connection,
        #[command(subcommand)]
        command: jobs::Command,
    },
    /// Make, list and revoke API keys of a server, on this machine or with --server; see what they were used for.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Get a key of a server by a code that is approved in its dashboard, and keep it for the commands of this program.
    Login {
        #[command(flatten)]
        args: login::Args,
        #[command(flatten)]
        connection: Connection,
    },
    /// End the key of a login and forget it.
    Logout(Connection),
    /// The servers that you have logged in to.
    #[command(subcommand)]
    Profiles(profiles::Command),
    /// Open the dashboard in a browser, signed in with your key.
    Dashboard {
        #[command(flatten)]
        args: dashboard::Args,
        #[command(flatten)]
        connection: Connection,
    },
    /// What the consumers of a server, on this machine or with --server, have used, and what they may use.
    #[command(subcommand)]
    Consumers(consumers::Command),
    /// What you have used this month, and what you may use.
    Usage(Connection),
    /// Which platforms the server's bots can join, and what is missing for the others.
    Platforms(Connection),
    /// What became of each webhook; receive webhooks on this machine; check a signature.
    #[command(subcommand)]
    Webhooks(webhooks::Command),
    /// Check this machine and its server, and say what to do about each problem.
    Doctor {
        #[command(flatten)]
        args: doctor::Args,
        #[command(flatten)]
        connection: Connection,
    },
    /// Sign in with accounts as which bots with browsers can join.
    #[command(subcommand)]
    Browser(browser::Command),
    /// Copy a server's database into a file, also while the server runs.
    Backup(backup::Args),
    /// Make a new data folder of a backup, or a PostgreSQL database ready into which a dump was restored.
    Restore(restore::Args),
    /// Take a data folder's database over into PostgreSQL, while no server runs on either.
    Migrate(migrate::Args),
    /// Let a server go on that was restored with `restore --paused`.
    Unpause(folder::FolderArgs),
    /// Run the sandbox in a process of its own, or list its scenarios.
    #[command(subcommand)]
    Sandbox(sandbox::Command),
    /// Run one bot: servers do that.
    #[command(hide = true)]
    Bot(launcher::child::Args),
    /// Print the completion script of a shell.
    Completions(completions::Args),
}

impl Command {
    /// How it talks to a server, where it does.
    fn connection(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Dispatch { connection, .. }
            | Self::Watch { connection, .. }
            | Self::Jobs { connection, .. }
            | Self::Dashboard { connection, .. }
            | Self::Login { connection, .. }
            | Self::Logout(connection)
            | Self::Usage(connection)
            | Self::Platforms(connection)
            | Self::Doctor { connection, .. } => Some(connection),
            Self::Webhooks(command) => command.connection(),
            _ => None,
        }
    }
}

fn main() -> ExitCode {
    // Files of the program are readable for their owner only, those that SQLite and ffmpeg make included.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return output.fail(&anyhow::Error::new(error).context("the runtime does not start"));
        }
    };
    let outcome = runtime.block_on(run(cli, output));
    // A pending name lookup or a read of standard input must not keep a finished command alive.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(error) => output.fail(&error),
    }
}

async fn run(cli: Cli, output: Output) -> anyhow::Result<ExitCode> {
    let Cli { mut command, before, .. } = cli;
    if let Some(option) = before.given() {
        let connection = command
            .connection()
            .ok_or_else(|| Usage(format!("this command has no {option}: it asks no server")))?;
        connection.take(before);
    }
    // Those that run a server, a sandbox or a bot say themselves what of it is logged.
    if !matches!(
        command,
        Command::Serve(_)
            | Command::Worker(_)
            | Command::Demo(_)
            | Command::Sandbox(_)
            | Command::Bot(_)
    ) {
        let format = if output.is_json() { LogFormat::Json } else { LogFormat::Text };
        let started = log::start("meetbot=warn", format);
        // The doctor reports it among the settings.
        if !matches!(command, Command::Doctor { .. }) {
            started?;
        }
    }
    match command {
        Command::Demo(args) => demo::run(args, output).await,
        Command::Serve(args) => serve::run(args, output).await,
        Command::Worker(args) => worker::run(args, output).await,
        Command::Dispatch { connection, args } => dispatch::run(args, &connection, output).await,
        Command::Watch { connection, args } => watch::run(args, &connection, output).await,
        Command::Jobs { connection, command } => jobs::run(command, &connection, output).await,
        Command::Keys(command) => keys::run(command, output).await,
        Command::Consumers(command) => consumers::run(command, output).await,
        Command::Login { connection, args } => login::login(&connection, &args, output).await,
        Command::Logout(connection) => login::logout(&connection, output).await,
        Command::Profiles(command) => profiles::run(&command, output),
        Command::Dashboard { connection, args } => dashboard::run(&connection, &args, output).await,
        Command::Usage(connection) => usage::run(&connection, output).await,
        Command::Platforms(connection) => platforms::run(&connection, output).await,
        Command::Webhooks(command) => webhooks::run(command, output).await,
        Command::Doctor { connection, args } => doctor::run(&args, &connection, output).await,
        Command::Browser(command) => browser::run(command, output).await,
        Command::Backup(args) => backup::run(&args, output),
        Command::Restore(args) => restore::run(args, output).await,
        Command::Migrate(args) => migrate::run(&args, output).await,
        Command::Unpause(folder) => restore::unpause(&folder, output).await,
        Command::Sandbox(command) => sandbox::run(command, output).await,
        Command::Bot(_) => launcher::child::run().await,
        Command::Completions(args) => Ok(completions::run(args)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
