//! `meetbot dashboard`: opens the dashboard in a browser, signed in with this machine's key.

use std::{
    io::IsTerminal as _,
    process::{Command, ExitCode, Stdio},
};

use anyhow::Context as _;
use meetbot::Request;
use serde::Deserialize;
use serde_json::json;

use crate::{connection::Connection, output::Output};

/// The arguments of `dashboard`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the link, and open no browser.
    #[arg(long)]
    print: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    path: String,
    expires_at: String,
}

/// Makes a link with the key of this machine, prints it, and at a terminal opens it.
pub(crate) async fn run(
    connection: &Connection,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let client = connection.client()?;
    let made = client.request(Request::new("POST", "/api/v1/sessions/links")?).await?;
    let link: Link = serde_json::from_slice(made.body())
        .context("the server answers something else than a link: is it older than this program?")?;
    // What is not shaped like a link is not handed to another program.
    let token = link.path.strip_prefix("/#link=").unwrap_or_default();
    anyhow::ensure!(
        !token.is_empty() && token.bytes().all(|letter| letter.is_ascii_alphanumeric()),
        "the server answers something else than a link: {:?}",
        link.path
    );
    let url = format!("{}{}", client.base_url().trim_end_matches('/'), link.path);
    output.object(&json!({"url": url, "expiresAt": link.expires_at}))?;
    output.line(&url);
    output.remark("The link is good once, for a minute.");
    let opens = !args.print && !output.is_json() && std::io::stdout().is_terminal();
    if opens && !open(&url) {
        output.remark("No browser was found here: open the link yourself.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Hands a link to the system's browser; answers whether there is a program that does.
pub(crate) fn open(url: &str) -> bool {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    quiet(Command::new(program).arg(url).stdin(Stdio::null())).is_ok()
}
