//! `meetbot watch JOB`: a spinner on a terminal, plain lines elsewhere.

use std::{process::ExitCode, time::Duration};

use futures_util::TryStreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use meetbot::{EventName, Job, JobStatus, MeetBot, TimelineEvent, webhook::EventDetails};

use crate::{
    clock,
    connection::Connection,
    jobs,
    output::{Output, counted, known},
    text::plain,
};

/// How often to poll what a queued job waits for, which is no event.
const LOOK: Duration = Duration::from_secs(5);

/// The arguments of `watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job's id, or its external id.
    job: String,
    /// Give up after this long; the job goes on.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Follows a job to its end; the exit code says whether it completed.
pub(crate) async fn run(
    args: Args,
    connection: &Connection,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let client = connection.client()?;
    let id = jobs::id_of(&client, &args.job).await?;
    follow(&client, &id, args.timeout.map(Duration::from_secs), output).await
}

/// Follows a job to its end.
pub(crate) async fn follow(
    client: &MeetBot,
    job_id: &str,
    timeout: Option<Duration>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let spinner = spinner(output);
    let shown = show(client, job_id, &spinner, output);
    let ended = match timeout {
        Some(limit) => tokio::time::timeout(limit, shown).await.unwrap_or_else(|_| {
            Err(anyhow::anyhow!(
                "the job {job_id} has not ended after {} s; it goes on",
                limit.as_secs()
            ))
        }),
        None => shown.await,
    };
    spinner.finish_and_clear();
    ended?;
    let job = client.get_bot(job_id).await?.ok_or_else(|| jobs::no_job(job_id))?;
    output.object(&job)?;
    output.lines(ending(&job));
    Ok(ExitCode::from(u8::from(job.status != JobStatus::Completed)))
}

/// Shows each event as it comes, to the last; before the first, what the job waits for.
async fn show(
    client: &MeetBot,
    job_id: &str,
    spinner: &ProgressBar,
    output: Output,
) -> anyhow::Result<()> {
    let mut events = client.watch(job_id)?;
    let mut looks = tokio::time::interval(LOOK);
    let mut said = String::new();
    let mut begun = false;
    loop {
        let event = tokio::select! {
            biased;
            event = events.try_next() => event?,
            _ = looks.tick(), if !begun => {
                // The stream of events reports an error, or that there is no such job.
                let Ok(Some(job)) = client.get_bot(job_id).await else { continue };
                begun = job.status != JobStatus::Queued;
                let waits = queued(&job);
                if !begun && waits != said {
                    spinner.set_message(plain(&waits).into_owned());
                    spinner.suspend(|| output.line(format_args!("{} {waits}", clock::now())));
                    said = waits;
                }
                continue;
            }
        };
        let Some(event) = event else { return Ok(()) };
        begun = true;
        output.object(&event)?;
        if event.event == EventName::StatusChanged {
            spinner.set_message(plain(&known(event.data.status.as_ref())).into_owned());
        }
        if let Some(text) = describe(&event) {
            let at = known(event.emitted_at);
            spinner.suspend(|| output.line(format_args!("{at} {text}")));
        }
    }
}

/// A job in the queue, and what it waits for.
fn queued(job: &Job) -> String {
    match (&job.status_detail, job.join_at) {
        (Some(detail), Some(at)) if detail == "scheduled" => format!("queued ({detail} for {at})"),
        (Some(detail), _) => format!("queued ({detail})"),
        (None, _) => "queued".to_owned(),
    }
}

/// An event in a line; details of the end come with the job.
fn describe(event: &TimelineEvent) -> Option<String> {
    let name = event.event.as_str();
    let status = known(event.data.status.as_ref());
    let text = |text: &Option<String>| known(text.as_ref());
    match &event.data.details {
        EventDetails::StatusChanged { status_detail: Some(detail), .. } => {
            Some(format!("{status} ({detail})"))
        }
        EventDetails::StatusChanged { .. } | EventDetails::Failed { .. } => Some(status),
        EventDetails::Chat { message } => {
            Some(format!("{} wrote: {}", text(&message.sender), text(&message.text)))
        }
        EventDetails::ChatWithheld { messages, captions } => Some(format!(
            "kept nowhere while nothing was recorded: {}, {}",
            counted(*messages, "message"),
            counted(*captions, "caption")
        )),
        EventDetails::EventsLeftOut { messages, participant_events } => Some(format!(
            "only in the recording's files: {}; {} that somebody joined or left",
            counted(*messages, "message"),
            counted(*participant_events, "time")
        )),
        EventDetails::Participant { participant } => {
            let did = if event.event == EventName::ParticipantJoined { "joined" } else { "left" };
            Some(format!("{} {did}", text(&participant.name)))
        }
        EventDetails::ParticipantRenamed { participant, previous_name } => {
            Some(format!("{} is now called {}", text(previous_name), text(&participant.name)))
        }
        EventDetails::Permission { permission } => {
            Some(format!("permission to record: {}", known(permission.as_ref())))
        }
        EventDetails::Other(_) => Some(name.to_owned()),
        _ => None,
    }
}

fn spinner(output: Output) -> ProgressBar {
    if !output.is_live() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{spinner} {msg} ({elapsed})").expect("the template is right");
    let spinner = ProgressBar::new_spinner().with_style(style);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// How it ended, and what to do next.
pub(crate) fn ending(job: &Job) -> Vec<String> {
    let left = job.leave_reason.as_ref().map(|reason| format!(", left: {reason}"));
    let mut lines = vec![format!("{} {}{}", job.id, job.status, left.unwrap_or_default())];
    if let Some(code) = &job.failure_code {
        let detail = job.failure_detail.as_deref().unwrap_or_default();
        // A meeting that no bot was in has no minutes.
        let billed = code.billed() && job.joined_at.is_some();
        let billed = if billed { "billed" } else { "not billed" };
        let retry = if code.retryable() { "a retry may help" } else { "a retry will not help" };
        lines.push(format!("{code}: {detail} ({billed}, {retry})"));
        lines.push(code.advice().to_owned());
    }
    lines.extend(job.manifest_uri.as_ref().map(|uri| format!("manifest: {uri}")));
    lines
}

#[cfg(test)]
mod tests {
    use xtask::spec_file;

    use super::*;

    #[test]
    fn a_failed_job_is_described_with_reason_billing_and_advice() {
        let vectors = spec_file::read_json("spec/vectors/models.json");
        let cases = vectors["cases"].as_array().unwrap().iter();
        let failed = cases
            .filter(|case| case["model"] == "job")
            .find(|case| case["json"]["status"] == "failed")
            .unwrap();
        let job: Job = serde_json::from_value(failed["json"].clone()).unwrap();
        let code = job.failure_code.clone().unwrap();
        let text = ending(&job).join("\n");
        for part in [
            job.id.as_str(),
            "failed",
            code.as_str(),
            job.failure_detail.as_deref().unwrap(),
            "billed",
            "retry",
            code.advice(),
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
