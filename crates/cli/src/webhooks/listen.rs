//! `meetbot webhooks listen`: a receiver to try webhooks with.

use std::{net::SocketAddr, process::ExitCode};

use meetbot::webhook::WebhookEvent;
use serde_json::json;

use crate::{
    output::Output,
    webhooks::receiver::{Received, Receiver},
};

/// The arguments of `webhooks listen`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:3012")]
    listen: SocketAddr,
    /// The consumer's webhook secret, as `keys create` showed it.
    #[arg(long, value_name = "whsec_…", env = "MEETBOT_WEBHOOK_SECRET", hide_env_values = true)]
    secret: String,
}

/// Prints each webhook as it comes, until it is interrupted.
pub(crate) async fn run(args: Args, output: Output) -> anyhow::Result<ExitCode> {
    let mut inbox = Receiver::start(args.listen, args.secret).await?;
    output.object(&json!({"url": inbox.url()}))?;
    output
        .remark(format_args!("listening: give {} as a webhook URL; end with Ctrl-C", inbox.url()));
    loop {
        let received = tokio::select! {
            received = inbox.next() => received,
            interrupted = crate::serve::interrupted() => {
                interrupted?;
                None
            }
        };
        match received {
            Some(received) => print(&received, output)?,
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}

fn print(received: &Received, output: Output) -> anyhow::Result<()> {
    match received {
        Received::Verified(event) => {
            output.object(&json!({"verified": true, "event": event}))?;
            output.line(describe(event));
        }
        Received::Unreadable(error) => {
            output.object(&json!({"verified": true, "error": error}))?;
            output.line(format_args!("verified, but not readable by this version: {error}"));
        }
        Received::Refused => {
            output.object(&json!({"verified": false}))?;
            output.line("REFUSED with 401: the signature is not made with this secret");
        }
    }
    Ok(())
}

fn describe(event: &WebhookEvent) -> String {
    let data = &event.data;
    let details = serde_json::to_string(&data.details).unwrap_or_default();
    format!(
        "{} #{} {} {} {} (try {}, {})",
        event.emitted_at,
        data.sequence,
        event.event,
        data.job_id,
        details,
        event.attempt,
        event.delivery_id
    )
}
