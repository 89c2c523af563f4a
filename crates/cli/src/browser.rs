//! `meetbot browser`: the accounts as which bots with browsers join.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use meetbot_bot::{SignInError, save_profile, sign_in_to_google};
use meetbot_orchestrator::{Config, is_account_name, prepare, profile_folder};
use serde_json::json;

use crate::{
    folder::{FolderArgs, quoted},
    output::{Output, Usage},
};

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Sign in with an account as which bots can join then, in a window of Chromium.
    Login(LoginArgs),
}

/// A site on which bots can be signed in.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Site {
    /// For Google Meet
    Google,
}

/// The arguments of `browser login`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The profile is kept in the data folder, without the password. Who can read it is signed in as the account."
)]
pub(crate) struct LoginArgs {
    /// Where to sign in.
    site: Site,
    /// The account, as in [bots.browser.accounts.NAME]; not needed where there is only one
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Keep the profile in this new folder, to bring it to a server that has no screen
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["account", "profile"])]
    out: Option<PathBuf>,
    /// Open no window: take the profile of this folder, which --out has made on another machine
    #[arg(long, value_name = "FOLDER")]
    profile: Option<PathBuf>,
    #[command(flatten)]
    folder: FolderArgs,
}

/// Runs a command.
pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    let Command::Login(args) = command;
    // It waits for a person.
    tokio::task::spawn_blocking(move || login(&args, output)).await?
}

fn login(args: &LoginArgs, output: Output) -> anyhow::Result<ExitCode> {
    let Site::Google = args.site;
    let config = args.folder.settings()?;
    if let Some(out) = &args.out {
        if out.exists() {
            return Err(Usage(format!("--out: {} is there already", out.display())).into());
        }
        sign_in(&config, out, "NAME", output)?;
        let shown = quoted(out);
        output.object(&json!({"profile": out}))?;
        output.line(format_args!(
            "The profile is in {shown}. Copy it to the server, run there\n  meetbot browser login google --account NAME --profile {}\nand delete both copies: who has one is signed in as the account.",
            quoted(Path::new(out.file_name().unwrap_or(out.as_os_str())))
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let account = account(args.account.as_deref(), &config)?;
    let data = std::path::absolute(&config.data_dir).context("the data folder")?;
    let kept = profile_folder(&data, &account);
    prepare(&data)?;
    match &args.profile {
        Some(profile) => save_profile(profile, &kept).context("--profile")?,
        None => sign_in(&config, &kept, &account, output)?,
    }
    output.object(&json!({"account": account, "profile": kept}))?;
    output.line(format_args!(
        "The profile of {account} is in {}. Who can read it is signed in as the account.",
        quoted(&kept)
    ));
    if config.accounts.iter().all(|(name, _)| name != account) {
        output.remark(format_args!(
            "no job can use it yet: add [bots.browser.accounts.{account}] to the server's settings"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The account that is given, or the only one of the settings.
fn account(given: Option<&str>, config: &Config) -> anyhow::Result<String> {
    let Some(given) = given else {
        let mut names = config.accounts.iter().map(|(name, _)| name.to_owned());
        return match (names.next(), names.next()) {
            (Some(name), None) => Ok(name),
            _ => Err(Usage("which account? give --account NAME, as in [bots.browser.accounts.NAME] of the settings".to_owned()).into()),
        };
    };
    if !is_account_name(given) {
        let message = "--account: a name has at most 40 small letters, digits, - and _, and begins with a letter or digit";
        return Err(Usage(message.to_owned()).into());
    }
    Ok(given.to_owned())
}

/// Shows the window, and waits until it is closed.
fn sign_in(config: &Config, kept: &Path, account: &str, output: Output) -> anyhow::Result<()> {
    output.remark("Sign in with the account in the window that opens now, then close it.");
    let settings = config.browser.clone().unwrap_or_default();
    match sign_in_to_google(&settings, kept) {
        Ok(()) => Ok(()),
        Err(SignInError::NoScreen) => Err(anyhow::anyhow!(
            "{}. On a Linux machine that has a screen, run\n  meetbot browser login google --out meetbot-account\nCopy that folder to this machine, and run here\n  meetbot browser login google --account {account} --profile meetbot-account",
            SignInError::NoScreen
        )),
        Err(error) => Err(error.into()),
    }
}
