//! `meetbot completions SHELL`.

use std::process::ExitCode;

use clap::CommandFactory as _;

/// The arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Prints the script to standard output.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments by value")]
pub(crate) fn run(args: Args) -> ExitCode {
    clap_complete::generate(
        args.shell,
        &mut crate::Cli::command(),
        "meetbot",
        &mut std::io::stdout(),
    );
    ExitCode::SUCCESS
}
