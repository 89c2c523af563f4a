//! Commands for one endpoint: `meetbot webhooks redeliver --endpoint URL --since TIME` and `meetbot webhooks test URL`.

use std::process::ExitCode;

use meetbot::{MeetBot, Request, Timestamp, api_path};
use meetbot_types::{Redeliver, Redelivered, TestWebhook, TestedWebhook};
use serde::{Serialize, de::DeserializeOwned};

use crate::{clock, output::Output, span::span};

/// Where to send a test event.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// The URL.
    url: String,
}

/// Reads a time, or how long ago it was.
pub(super) fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = span(text) {
        return Ok(clock::now() - ago);
    }
    text.parse().map_err(|error| {
        format!("{error}; give one as in 2026-11-29T10:00:00Z, or how long ago, as in 2h")
    })
}

/// Sends all deliveries of an endpoint once more.
pub(super) async fn redeliver(
    client: &MeetBot,
    endpoint: &str,
    since: Timestamp,
    output: Output,
) -> anyhow::Result<()> {
    let (mut count, mut cursor) = (0_u64, None);
    loop {
        let body = Redeliver { endpoint: endpoint.to_owned(), since, cursor };
        let sent: Redelivered =
            ask(client, &["webhooks", "deliveries", "redeliver"], &body).await?;
        count += u64::from(sent.count);
        // A server that repeats a cursor would be asked without end.
        if sent.next_cursor.is_none() || sent.next_cursor == cursor {
            break;
        }
        cursor = sent.next_cursor;
    }
    output.object(&serde_json::json!({ "count": count }))?;
    let again = if count == 1 { "delivery is" } else { "deliveries are" };
    output.line(format_args!("{count} {again} sent again to {endpoint}"));
    Ok(())
}

/// Sends a test event.
pub(super) async fn test(
    args: TestArgs,
    client: &MeetBot,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let body = TestWebhook { endpoint: args.url };
    let tested: TestedWebhook = ask(client, &["webhooks", "test"], &body).await?;
    output.object(&tested)?;
    let TestedWebhook { endpoint, delivered, tried, .. } = &tested;
    let status = tried.status.map(|status| status.to_string());
    let answer = tried.error.clone().or(status).unwrap_or_else(|| "no answer".to_owned());
    let took = if *delivered { "took" } else { "did not take" };
    let after = tried.duration_ms;
    output.line(format_args!("{endpoint} {took} the test event: {answer}, after {after} ms"));
    Ok(if *delivered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask<T: DeserializeOwned>(
    client: &MeetBot,
    path: &[&str],
    body: &impl Serialize,
) -> anyhow::Result<T> {
    let path = api_path(path, &[])?;
    let request = Request::new("POST", path.clone())?.json(serde_json::to_string(body)?);
    let answer = client.request(request).await?;
    let read = serde_json::from_slice(answer.body());
    Ok(read.map_err(|error| client.unreadable(&path, &answer, error))?)
}
