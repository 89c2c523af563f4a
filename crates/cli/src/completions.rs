//! `meetbot completions SHELL`.

use std::process::ExitCode;

use clap::CommandFactory as _;

/// The arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where it goes:
  bash        source <(meetbot completions bash), in ~/.bashrc
  zsh         source <(meetbot completions zsh), in ~/.zshrc after compinit
  fish        meetbot completions fish > ~/.config/fish/completions/meetbot.fish
  elvish      eval (meetbot completions elvish | slurp), in ~/.config/elvish/rc.elv
  powershell  meetbot completions powershell | Out-String | Invoke-Expression, in $PROFILE")]
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
