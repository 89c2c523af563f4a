//! `meetbot webhooks secret|rotate`: the secret that a consumer's webhooks are signed with. Works on the store of a data folder, also while a server runs on it.

use std::time::Duration;

use anyhow::bail;
use meetbot_orchestrator::store::{
    KeyStore as _, Rotation, SqliteStore, Store as _, WebhookSecrets,
};
use meetbot_types::{Timestamp, bot::Secret, signature};
use serde_json::{Value, json};

use crate::{
    folder::FolderArgs,
    output::{Output, Usage},
    span::span,
};

/// Longer than this nobody takes to change a secret.
const LONGEST_OVERLAP: Duration = Duration::from_hours(24 * 90);

/// Whose secret to show.
#[derive(Debug, clap::Args)]
pub(crate) struct SecretArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Whose.
    #[arg(long, value_name = "NAME", default_value = "default")]
    consumer: String,
}

/// Whose secret to replace.
#[derive(Debug, clap::Args)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    of: SecretArgs,
    /// How long the previous secret stays valid, as in 90s, 30m, 24h or 7d; 0 when it has leaked.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = overlap)]
    overlap: Duration,
}

fn overlap(text: &str) -> Result<Duration, String> {
    let overlap = if text == "0" { Duration::ZERO } else { span(text)? };
    if overlap > LONGEST_OVERLAP { Err("at most 90d".to_owned()) } else { Ok(overlap) }
}

/// Shows it.
pub(crate) async fn show(args: SecretArgs, output: Output) -> anyhow::Result<()> {
    let known =
        async |store: &SqliteStore| Ok(store.webhook_secrets(&args.consumer, store.now()).await?);
    let Some(secrets) = args.folder.with_store(known).await? else {
        return Err(unknown(&args.consumer));
    };
    output.object(&shown(&args.consumer, &secrets))?;
    output.line(secrets.current.expose());
    if let Some(previous) = &secrets.previous {
        output.remark(format_args!(
            "the previous secret is valid too until {}: {}",
            previous.until,
            previous.secret.expose()
        ));
    }
    Ok(())
}

/// Replaces it by a new one.
pub(crate) async fn rotate(args: RotateArgs, output: Output) -> anyhow::Result<()> {
    let RotateArgs { of: SecretArgs { folder, consumer }, overlap } = args;
    let new = Secret::new(signature::generate_secret());
    let rotate = async |store: &SqliteStore| {
        Ok(store.rotate_webhook_secret(&consumer, new, overlap, store.now()).await?)
    };
    match folder.with_store(rotate).await? {
        Rotation::Done(secrets) => {
            output.object(&shown(&consumer, &secrets))?;
            output.line(secrets.current.expose());
            output.remark(told(secrets.previous.as_ref().map(|previous| previous.until)));
            Ok(())
        }
        Rotation::UnderWay(until) => bail!(
            "a rotation is under way until {until}: another one would cut off receivers that know only the secret before it; \
             wait until then, or cut off with --overlap 0"
        ),
        Rotation::NoConsumer => Err(unknown(&consumer)),
    }
}

fn told(until: Option<Timestamp>) -> String {
    match until {
        Some(until) => format!(
            "give it to your receivers beside the previous one; until {until}, X-Meetbot-Signature is made with the previous one, webhook-signature with both"
        ),
        None => "the previous secret is no longer valid".to_owned(),
    }
}

fn shown(consumer: &str, secrets: &WebhookSecrets) -> Value {
    let previous = secrets.previous.as_ref();
    json!({
        "consumer": consumer,
        "webhookSecret": secrets.current.expose(),
        "previousSecret": previous.map(|previous| previous.secret.expose()),
        "previousUntil": previous.map(|previous| previous.until),
    })
}

fn unknown(consumer: &str) -> anyhow::Error {
    Usage(format!("there is no consumer {consumer}; `meetbot consumers list` shows them")).into()
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn an_overlap_has_a_unit_and_a_bound() {
        let seconds = |text: &str| overlap(text).map(|overlap| overlap.as_secs());
        assert_eq!(["0", "24h", "90d"].map(seconds), [Ok(0), Ok(86_400), Ok(7_776_000)]);
        for wrong in ["", "24", "91d", "9999999999999999999d"] {
            assert!(overlap(wrong).is_err(), "{wrong}");
        }
    }
}
