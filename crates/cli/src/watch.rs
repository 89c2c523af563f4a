//! `meetbot watch JOB`: a spinner on a terminal, plain lines elsewhere.

use std::{
    process::ExitCode,
    time::{Duration, SystemTime},
};

use indicatif::{ProgressBar, ProgressStyle};
use meetbot::{Job, JobStatus, MeetBot, Timestamp};

use crate::{connection::Connection, output::Output};

/// The arguments of `watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job's id.
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
    follow(&connection.client()?, &args.job, args.timeout.map(Duration::from_secs), output).await
}

/// Follows a job to its end.
pub(crate) async fn follow(
    client: &MeetBot,
    job_id: &str,
    timeout: Option<Duration>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let spinner = spinner(output);
    let (mut shown, mut printed) = (String::new(), Ok(()));
    let job = client
        .wait_for_bot_with(job_id, timeout, |job| {
            let state = state(job);
            if state != shown {
                spinner.suspend(|| output.line(format_args!("{} {state}", job.updated_at)));
                spinner.set_message(state.clone());
                shown = state;
            }
            if printed.is_ok() {
                printed = output.object(job);
            }
        })
        .await;
    spinner.finish_and_clear();
    let job = job?;
    printed?;
    output.line(ending(&job));
    Ok(ExitCode::from(u8::from(job.status != JobStatus::Completed)))
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

fn state(job: &Job) -> String {
    match &job.status_detail {
        Some(detail) => format!("{} ({detail})", job.status),
        None => job.status.to_string(),
    }
}

/// How it ended, and what to do next.
pub(crate) fn ending(job: &Job) -> String {
    let left = job.leave_reason.as_ref().map(|reason| format!(", left: {reason}"));
    let failure = job.failure_code.as_ref().map(|code| {
        let detail = job.failure_detail.as_deref().unwrap_or_default();
        format!("\n{code}: {detail}\n{}", code.advice())
    });
    let manifest = job.manifest_uri.as_ref().map(|uri| format!("\nmanifest: {uri}"));
    let more: String = [left, failure, manifest].into_iter().flatten().collect();
    format!("{} {}{more}", job.id, job.status)
}

/// The time now, for ages.
#[expect(clippy::disallowed_methods, reason = "the commands' one reading of the clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
