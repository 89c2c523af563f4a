//! `meetbot webhooks listen`: a receiver to try webhooks with.

use std::{collections::HashSet, net::SocketAddr, process::ExitCode};

use meetbot::webhook::WebhookEvent;
use meetbot_types::{pasted::trimmed, signature::check_secret};
use serde_json::{Value, json};

use crate::{
    clock,
    output::{Output, Usage, known},
    signals::Signals,
    text::escaped,
    webhooks::receiver::{Received, Receiver},
};

/// The arguments of `webhooks listen`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The exit code is 1 when a webhook was refused, and 0 otherwise.")]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:3012")]
    listen: SocketAddr,
    /// The consumer's webhook secret, as `webhooks secret` shows it; during a rotation both, with a comma between them or the option twice.
    #[arg(
        long = "secret",
        value_name = "whsec_…",
        env = "MEETBOT_WEBHOOK_SECRET",
        hide_env_values = true,
        required = true,
        value_delimiter = ','
    )]
    secrets: Vec<String>,
    /// Hand what is verified to this URL, with its headers, and answer what that answers.
    #[arg(long, value_name = "URL")]
    forward_to: Option<String>,
    /// Print headers and body of each.
    #[arg(long)]
    full: bool,
    /// End after this many, instead of at Ctrl-C.
    #[arg(long, value_name = "N")]
    count: Option<usize>,
}

/// As after `export MEETBOT_WEBHOOK_SECRET=$(…)` of a command that failed.
pub(super) fn no_secret() -> anyhow::Error {
    Usage(
        "MEETBOT_WEBHOOK_SECRET (or --secret) is empty: `meetbot webhooks secret` prints the secret, or says why it cannot"
            .to_owned(),
    )
    .into()
}

/// Prints each webhook as it comes, until it is interrupted or has seen enough.
pub(crate) async fn run(args: Args, output: Output) -> anyhow::Result<ExitCode> {
    let Args { listen, secrets, forward_to, full, count } = args;
    if secrets.iter().all(|secret| trimmed(secret).is_empty()) {
        return Err(no_secret());
    }
    for (number, secret) in secrets.iter().enumerate() {
        check_secret(secret).map_err(|error| Usage(format!("secret {}: {error}", number + 1)))?;
    }
    let mut signals = Signals::listen()?;
    let mut inbox = Receiver::start(listen, secrets, forward_to).await?;
    output.object(&json!({"url": inbox.url()}))?;
    output.remark(format_args!(
        "listening: give {} as a webhook URL to a server that runs with --dev; end with Ctrl-C",
        inbox.url()
    ));
    let (mut seen, mut refused) = (HashSet::new(), 0_usize);
    for _ in 0..count.unwrap_or(usize::MAX) {
        let received = tokio::select! {
            received = inbox.next() => received,
            () = signals.next() => None,
        };
        let Some(received) = received else { break };
        refused += usize::from(!received.signatures.are_good());
        print(&received, &mut seen, full, output)?;
    }
    inbox.finish().await;
    Ok(ExitCode::from(u8::from(refused > 0)))
}

fn print(
    received: &Received,
    seen: &mut HashSet<String>,
    full: bool,
    output: Output,
) -> anyhow::Result<()> {
    let mut shown = json!({
        "verified": received.signatures.are_good(),
        "signatures": received.signatures,
        "answered": received.answered.as_u16(),
    });
    let line = match &received.event {
        Some(Ok(event)) => {
            let again = event.delivery_id.clone().is_some_and(|id| !seen.insert(id));
            shown["event"] = serde_json::to_value(event)?;
            shown["again"] = again.into();
            let late = event.emitted_at.map(|at| clock::now().millis_since(at));
            let again = if again { " AGAIN" } else { "" };
            format!("{}{again} +{} ms", described(event), known(late))
        }
        Some(Err(error)) => {
            shown["error"] = error.to_string().into();
            format!("verified, but not readable by this version: {error}")
        }
        None => format!("REFUSED with 401: {}", received.signatures.describe()),
    };
    output.object(&shown)?;
    output.line(line);
    if let Some(why) = &received.unreachable {
        output.line(format_args!("  not forwarded, answered 502: {why}"));
    } else if !received.answered.is_success() {
        output.line(format_args!("  answered {}", received.answered));
    }
    if full {
        output.lines(whole(received));
    }
    Ok(())
}

/// An event in a line.
fn described(event: &WebhookEvent) -> String {
    let data = &event.data;
    let (at, status) = (known(event.emitted_at), known(data.status.as_ref()));
    let mut text = format!("{at} {} #{} {}", event.event, data.sequence, data.job_id);
    let details = serde_json::to_value(&data.details).unwrap_or_default();
    match details.get("previousStatus") {
        Some(Value::String(previous)) => text.extend([" ", previous, " → ", &status]),
        _ => text.extend([" ", &status]),
    }
    for (name, value) in details.as_object().into_iter().flatten() {
        if name != "previousStatus" && !value.is_null() {
            text.extend([" ", name, "=", &value.to_string()]);
        }
    }
    let delivery = known(event.delivery_id.as_ref());
    text.extend([" (try ", &event.attempt.to_string(), ", ", &delivery, ")"]);
    text
}

/// Headers and body, indented; the body as it came where it is no JSON.
fn whole(received: &Received) -> Vec<String> {
    let headers = received.headers.iter();
    let mut lines: Vec<String> = headers
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let parsed: Result<Value, _> = serde_json::from_slice(&received.body);
    let body = parsed.and_then(|value| serde_json::to_string_pretty(&value));
    let body = body.map(|json| escaped(&json).into_owned());
    let body = body.unwrap_or_else(|_| String::from_utf8_lossy(&received.body).into_owned());
    lines.push(String::new());
    lines.extend(body.lines().map(ToOwned::to_owned));
    lines.iter().map(|line| format!("  {line}").trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_printed_in_a_line_without_absent_fields() {
        let event = |name: &str, details: &str| -> WebhookEvent {
            serde_json::from_str(&format!(
                r#"{{"deliveryId": "dlv_01KAB1CDEFGHJKMNPQRSTVWXYZ", "event": "{name}",
                    "emittedAt": "2026-11-23T10:01:00.000Z", "attempt": 2, "version": 2, "data": {{
                    "event": "{name}", "sequence": 3, "jobId": "job_01KAB1CDEFGHJKMNPQRSTVWXYZ",
                    "externalId": null, "status": "in_call", "metadata": {{}}, {details}}}}}"#
            ))
            .unwrap()
        };
        let changed =
            r#""previousStatus": "joining", "statusDetail": "no_media", "leaveReason": null"#;
        assert_eq!(
            described(&event("job.status_changed", changed)),
            "2026-11-23T10:01:00.000Z job.status_changed #3 job_01KAB1CDEFGHJKMNPQRSTVWXYZ joining → in_call \
             statusDetail=\"no_media\" (try 2, dlv_01KAB1CDEFGHJKMNPQRSTVWXYZ)"
        );
        let granted =
            described(&event("bot.recording_permission_granted", r#""permission": "granted""#));
        assert!(granted.contains(" in_call permission=\"granted\" (try 2"), "{granted}");
    }
}
