//! `meetbot webhooks verify`.

use std::{io::Read as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use meetbot::verify_webhook_signature;
use meetbot_types::pasted::trimmed;
use serde_json::json;

use super::listen::no_secret;
use crate::output::{Output, Usage};

/// The arguments of `webhooks verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file with the raw body; `-` reads standard input.
    #[arg(default_value = "-")]
    body: PathBuf,
    /// The value of the header `X-Meetbot-Signature`.
    #[arg(long, value_name = "sha256=…")]
    header: String,
    /// The consumer's webhook secret.
    #[arg(long, value_name = "whsec_…", env = "MEETBOT_WEBHOOK_SECRET", hide_env_values = true)]
    secret: String,
}

/// Says whether the signature is right.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments by value")]
pub(crate) fn run(args: Args, output: Output) -> anyhow::Result<ExitCode> {
    if trimmed(&args.secret).is_empty() {
        return Err(no_secret());
    }
    let mut body = Vec::new();
    if args.body.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut body).context("cannot read standard input")?;
    } else {
        body = std::fs::read(&args.body)
            .with_context(|| format!("cannot read {}", args.body.display()))?;
    }
    let valid = verify_webhook_signature(&body, Some(&args.header), &args.secret)
        .map_err(|error| Usage(error.to_string()))?;
    output.object(&json!({"valid": valid, "bytes": body.len()}))?;
    output.line(if valid {
        "the signature is right"
    } else {
        "the signature is NOT right: another secret, another body (parsed and printed again?), or not from this server"
    });
    Ok(ExitCode::from(u8::from(!valid)))
}
