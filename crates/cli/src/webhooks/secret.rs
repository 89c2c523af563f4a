//! `meetbot webhooks secret|secrets|rotate`: the secrets that webhooks are signed with. Works on the store of a data folder, also while a server runs on it,
//! or over the server's admin API, which shows a secret once.

use std::time::Duration;

use anyhow::{Context as _, bail};
use meetbot_orchestrator::store::{Rotation, Store, WebhookSecrets};
use meetbot_types::{
    ConsumerSecret, RotatedSecret, SecretRotation, Timestamp, admin::LONGEST_OVERLAP_SECONDS,
    bot::Secret, signature,
};
use serde_json::{Value, json};

use crate::{
    consumers::{named, unknown},
    output::{Output, table},
    span::span,
    target::{Target, TargetArgs},
};

/// Why no server is asked for a secret.
const NOT_SHOWN: &str = "a server shows a webhook secret once, when it is made: `meetbot webhooks rotate --server URL` makes a new one; without --server this command reads the data folder";

/// Whose secret to show.
#[derive(Debug, clap::Args)]
pub(crate) struct SecretArgs {
    #[command(flatten)]
    target: TargetArgs,
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
    let longest = Duration::from_secs(LONGEST_OVERLAP_SECONDS.into());
    if overlap > longest { Err("at most 90d".to_owned()) } else { Ok(overlap) }
}

/// Shows it.
pub(crate) async fn show(args: SecretArgs, output: Output) -> anyhow::Result<()> {
    let known =
        async |store: &dyn Store| Ok(store.webhook_secrets(&args.consumer, store.now()).await?);
    let folder = args.target.folder_only(NOT_SHOWN)?;
    let Some(secrets) = folder.with_store(known).await? else {
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

/// Lists whose secret is being rotated, and until when; no secret is shown.
pub(crate) async fn list(args: &TargetArgs, output: Output) -> anyhow::Result<()> {
    let secrets: Vec<ConsumerSecret> = match args.target()? {
        Target::Folder(folder) => {
            let all = async |store: &dyn Store| {
                let now = store.now();
                let all = store.consumers(now).await?.into_iter();
                Ok(all.map(|one| one.secret_at(now.wall)).collect())
            };
            folder.with_store(all).await?
        }
        Target::Server(admin) => {
            let mut all: Vec<ConsumerSecret> = admin.list("secrets", &[], usize::MAX).await?;
            all.sort_by(|one, other| one.consumer.cmp(&other.consumer));
            all
        }
    };
    let mut rows = Vec::new();
    for one in secrets {
        output.object(&one)?;
        let until = one.previous_until.map_or("-".to_owned(), |until| until.to_string());
        rows.push(vec![one.consumer, until]);
    }
    output.lines(table(&["consumer", "previous secret valid until"], &rows));
    Ok(())
}

/// Replaces it by a new one.
pub(crate) async fn rotate(args: RotateArgs, output: Output) -> anyhow::Result<()> {
    let RotateArgs { of: SecretArgs { target, consumer }, overlap } = args;
    let (current, until) = match target.target()? {
        Target::Folder(folder) => {
            let new = Secret::new(signature::generate_secret());
            let rotate = async |store: &dyn Store| {
                Ok(store.rotate_webhook_secret(&consumer, new, overlap, store.now()).await?)
            };
            match folder.with_store(rotate).await? {
                Rotation::Done(secrets) => {
                    output.object(&shown(&consumer, &secrets))?;
                    (secrets.current, secrets.previous.map(|previous| previous.until))
                }
                Rotation::UnderWay(until) => bail!(
                    "a rotation is under way until {until}: another one would cut off receivers that know only the secret before it; \
                     wait until then, or cut off with --overlap 0"
                ),
                Rotation::NoConsumer => return Err(unknown(&consumer)),
            }
        }
        Target::Server(admin) => {
            let id = named(&admin, &consumer).await?.id.to_string();
            let overlap_seconds = Some(u32::try_from(overlap.as_secs())?);
            let body = serde_json::to_value(SecretRotation { overlap_seconds })?;
            let rotated = admin.ask("POST", &["secrets", &id, "rotate"], Some(&body)).await?;
            let rotated: RotatedSecret = rotated
                .with_context(|| format!("the consumer {consumer:?} was erased meanwhile"))?;
            let RotatedSecret { webhook_secret, previous_until, .. } = rotated;
            output.object(&json!({
                "consumer": consumer,
                "webhookSecret": webhook_secret,
                "previousSecret": null,
                "previousUntil": previous_until,
            }))?;
            (Secret::new(webhook_secret), previous_until)
        }
    };
    output.line(current.expose());
    output.remark(rotation_note(until));
    Ok(())
}

fn rotation_note(until: Option<Timestamp>) -> String {
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
