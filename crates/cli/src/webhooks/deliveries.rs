//! `meetbot webhooks list|show|redeliver`: what became of each webhook.

use meetbot::{Delivery, DeliveryState, DeliveryTry, Endpoint, ListDeliveries, MeetBot, Timestamp};

use super::endpoints;
use crate::{
    clock,
    jobs::{self, age},
    output::{Output, known, table},
};

/// Which deliveries to list.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only those of the job with this id or external id.
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only those in this state.
    #[arg(long, value_parser = state)]
    state: Option<DeliveryState>,
    /// At most this many; 0 lists all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// Which delivery to show.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The delivery's id.
    delivery: String,
}

/// Which deliveries to send again.
#[derive(Debug, clap::Args)]
pub(crate) struct RedeliverArgs {
    /// Their ids.
    #[arg(required_unless_present_any = ["dead", "endpoint"])]
    deliveries: Vec<String>,
    /// All that were given up, as after an endpoint's outage.
    #[arg(long, conflicts_with = "deliveries")]
    dead: bool,
    /// With --dead: only those of the job with this id or external id.
    #[arg(long, value_name = "JOB", requires = "dead")]
    job: Option<String>,
    /// All deliveries to this URL that were made since a time, those that arrived included.
    #[arg(long, value_name = "URL", conflicts_with_all = ["deliveries", "dead"], requires = "since")]
    endpoint: Option<String>,
    /// With --endpoint: since then, as in 2026-11-29T10:00:00Z, or so long ago, as in 2h.
    #[arg(long, value_name = "TIME", requires = "endpoint", value_parser = endpoints::since)]
    since: Option<Timestamp>,
}

fn state(word: &str) -> Result<DeliveryState, String> {
    DeliveryState::known(word).ok_or_else(|| {
        let words: Vec<&str> = DeliveryState::ALL.iter().map(DeliveryState::as_str).collect();
        format!("give one of {}", words.join(", "))
    })
}

/// Lists deliveries, newest first.
pub(crate) async fn list(args: ListArgs, client: &MeetBot, output: Output) -> anyhow::Result<()> {
    let most = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut pages = Pages::new(ListDeliveries {
        job_id: id_of(client, args.job).await?,
        state: args.state,
        limit: Some(u32::try_from(most).unwrap_or(u32::MAX).min(200)),
        cursor: None,
    });
    let (mut rows, now) = (Vec::new(), clock::now());
    while let Some(page) = pages.next(client).await? {
        for delivery in page {
            if rows.len() == most {
                break;
            }
            output.object(&delivery)?;
            rows.push(row(&delivery, now));
        }
        if rows.len() == most {
            break;
        }
    }
    output.lines(table(
        &["id", "state", "age", "event", "tries", "last try", "next try", "url"],
        &rows,
    ));
    Ok(())
}

/// Shows a delivery with every try.
pub(crate) async fn show(args: ShowArgs, client: &MeetBot, output: Output) -> anyhow::Result<()> {
    let delivery = client.get_delivery(&args.delivery).await?;
    let delivery =
        delivery.ok_or_else(|| anyhow::anyhow!("there is no delivery {}", args.delivery))?;
    output.object(&delivery)?;
    output.lines(described(&delivery));
    Ok(())
}

/// Sends deliveries again.
pub(crate) async fn redeliver(
    args: RedeliverArgs,
    client: &MeetBot,
    output: Output,
) -> anyhow::Result<()> {
    if let (Some(endpoint), Some(since)) = (&args.endpoint, args.since) {
        return endpoints::redeliver(client, endpoint, since, output).await;
    }
    let mut count = 0_usize;
    let mut again = async |id: &str| -> anyhow::Result<()> {
        let delivery = client.redeliver(id).await?;
        count += 1;
        output.object(&delivery)?;
        let url = known(delivery.url.as_ref());
        output.line(format_args!("{} is sent again to {url}", delivery.id));
        Ok(())
    };
    for id in &args.deliveries {
        again(id).await?;
    }
    if args.dead {
        let mut pages = Pages::new(ListDeliveries {
            job_id: id_of(client, args.job).await?,
            state: Some(DeliveryState::Dead),
            limit: Some(200),
            cursor: None,
        });
        while let Some(page) = pages.next(client).await? {
            for delivery in page {
                again(&delivery.id).await?;
            }
        }
    }
    let again = if count == 1 { "delivery is" } else { "deliveries are" };
    output.remark(format_args!("{count} {again} sent again"));
    Ok(())
}

async fn id_of(client: &MeetBot, job: Option<String>) -> anyhow::Result<Option<String>> {
    match job {
        Some(job) => jobs::id_of(client, &job).await.map(Some),
        None => Ok(None),
    }
}

/// A list, page by page.
struct Pages(Option<ListDeliveries>);

impl Pages {
    const fn new(list: ListDeliveries) -> Self {
        Self(Some(list))
    }

    async fn next(&mut self, client: &MeetBot) -> anyhow::Result<Option<Vec<Delivery>>> {
        let Some(list) = self.0.take() else { return Ok(None) };
        let page = client.deliveries(&list).await?;
        let next = page.next_cursor.filter(|next| list.cursor.as_ref() != Some(next));
        self.0 = next.map(|next| ListDeliveries { cursor: Some(next), ..list });
        Ok(Some(page.data))
    }
}

fn row(delivery: &Delivery, now: Timestamp) -> Vec<String> {
    let last = delivery.tries.last().map_or_else(|| "-".to_owned(), outcome);
    vec![
        delivery.id.clone(),
        delivery.state.to_string(),
        known(delivery.created_at.map(|created| age(now.millis_since(created)))),
        known(delivery.event.as_ref()),
        delivery.tries.len().to_string(),
        last,
        known(delivery.next_try_at),
        known(delivery.url.as_ref()),
    ]
}

fn outcome(tried: &DeliveryTry) -> String {
    tried.error.clone().unwrap_or_else(|| known(tried.status))
}

fn described(delivery: &Delivery) -> Vec<String> {
    let Delivery { id, sequence, state, .. } = delivery;
    let (event, job_id) = (known(delivery.event.as_ref()), known(delivery.job_id.as_ref()));
    let mut lines = vec![
        format!("{id} {state}"),
        format!("{event} #{sequence} of {job_id}, {}", known(delivery.created_at)),
        format!("to {}", known(delivery.url.as_ref())),
        endpoint(&delivery.endpoint),
    ];
    for (number, tried) in (1..).zip(&delivery.tries) {
        let (at, took) = (known(tried.at), tried.duration_ms);
        lines.push(format!("{number:>3}. {at}  {took:>5} ms  {}", outcome(tried)));
        let answer = tried.answer.iter().flat_map(|answer| answer.lines());
        lines.extend(answer.map(|line| format!("     | {line}")));
    }
    lines.extend(delivery.next_try_at.map(|next| format!("next try at {next}")));
    lines
}

fn endpoint(endpoint: &Endpoint) -> String {
    let Endpoint { state, failures, failing_since, rests_until } = endpoint;
    let mut text = format!("the endpoint is {}", known(state.as_ref()));
    text.extend(failing_since.map(|since| {
        let tries = if *failures == 1 { "try" } else { "tries" };
        format!(" since {since}: {failures} {tries} failed in a row")
    }));
    text.extend(rests_until.map(|until| format!("; nothing is sent there before {until}")));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_delivery_is_printed_with_every_try_and_its_response() {
        let delivery: Delivery = serde_json::from_value(json!({
            "id": "dlv_01KAB1CDEFGHJKMNPQRSTVWXYZ", "jobId": "job_01KAB1CDEFGHJKMNPQRSTVWXYZ",
            "event": "job.finalized", "sequence": 7, "url": "https://a.example/f", "state": "pending",
            "nextTryAt": "2026-11-23T10:01:35.000Z", "createdAt": "2026-11-23T10:01:00.000Z",
            "endpoint": {"state": "failing", "failures": 2, "failingSince": "2026-11-23T10:01:00.012Z", "restsUntil": null},
            "tries": [
                {"at": "2026-11-23T10:01:00.000Z", "durationMs": 12, "status": 503, "error": "503 Service Unavailable", "answer": "back\nat ten"},
                {"at": "2026-11-23T10:01:05.000Z", "durationMs": 10000, "status": null, "error": "no answer within 10 s", "answer": null},
            ],
        }))
        .unwrap();
        assert_eq!(
            described(&delivery).join("\n"),
            "dlv_01KAB1CDEFGHJKMNPQRSTVWXYZ pending\n\
             job.finalized #7 of job_01KAB1CDEFGHJKMNPQRSTVWXYZ, 2026-11-23T10:01:00.000Z\n\
             to https://a.example/f\n\
             the endpoint is failing since 2026-11-23T10:01:00.012Z: 2 tries failed in a row\n\
             \x20 1. 2026-11-23T10:01:00.000Z     12 ms  503 Service Unavailable\n\
             \x20    | back\n\
             \x20    | at ten\n\
             \x20 2. 2026-11-23T10:01:05.000Z  10000 ms  no answer within 10 s\n\
             next try at 2026-11-23T10:01:35.000Z"
        );
    }

    #[test]
    fn a_delivery_with_missing_fields_is_printed_with_dashes() {
        let delivery: Delivery =
            serde_json::from_value(json!({"id": "dlv_1", "state": "resting", "tries": [{}]}))
                .unwrap();
        assert_eq!(
            described(&delivery).join("\n"),
            "dlv_1 resting\n- #0 of -, -\nto -\nthe endpoint is -\n  1. -      0 ms  -"
        );
        let shown = row(&delivery, Timestamp::UNIX_EPOCH);
        assert_eq!(shown, ["dlv_1", "resting", "-", "-", "1", "-", "-", "-"]);
    }
}
