//! `meetbot jobs list|get|cancel|leave|delete-recording`.

use std::process::ExitCode;

use futures_util::{StreamExt as _, TryStreamExt as _};
use meetbot::{Job, JobStatus, ListBots, Timestamp};
use serde_json::json;

use crate::{
    connection::Connection,
    output::{Output, known, table},
    watch,
};

/// What to do with jobs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List jobs, newest first.
    List(ListArgs),
    /// Show a job.
    Get(JobArgs),
    /// Call a job off; what was recorded is kept.
    Cancel(JobArgs),
    /// Let the bot leave and finish its recording.
    Leave(JobArgs),
    /// Delete everything that was recorded of a job that has ended.
    DeleteRecording(JobArgs),
}

/// Which jobs.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only those in this status; can be given more than once.
    #[arg(long, value_parser = status)]
    status: Vec<JobStatus>,
    /// Only the one with this id of your own.
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Only meetings of this product.
    #[arg(long)]
    platform: Option<String>,
    /// Only those created at this time or later.
    #[arg(long, value_name = "TIME")]
    created_after: Option<Timestamp>,
    /// Only those created before this time.
    #[arg(long, value_name = "TIME")]
    created_before: Option<Timestamp>,
    /// At most this many; 0 lists all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// Which job.
#[derive(Debug, clap::Args)]
pub(crate) struct JobArgs {
    /// The job's id.
    job: String,
}

fn status(word: &str) -> Result<JobStatus, String> {
    JobStatus::known(word).ok_or_else(|| {
        let words: Vec<&str> = JobStatus::ALL.iter().map(JobStatus::as_str).collect();
        format!("give one of {}", words.join(", "))
    })
}

/// Runs one of them.
pub(crate) async fn run(
    command: Command,
    connection: &Connection,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let client = connection.client()?;
    match command {
        Command::List(args) => list(args, &client, output).await?,
        Command::Get(args) => {
            let job = client.get_bot(&args.job).await?;
            let job = job.ok_or_else(|| anyhow::anyhow!("there is no job {}", args.job))?;
            output.object(&job)?;
            output.pretty(&job)?;
        }
        Command::Cancel(args) => {
            client.cancel_bot(&args.job).await?;
            output.object(&json!({"id": args.job, "cancelled": true}))?;
            output.line(format_args!(
                "{} is called off; its end shows in: meetbot watch {}",
                args.job, args.job
            ));
        }
        Command::Leave(args) => {
            let result = client.leave_bot(&args.job).await?;
            output.object(&result)?;
            output.line(format_args!(
                "{} {}: the job is {}",
                known(result.action.as_ref()),
                result.state,
                known(result.status.as_ref())
            ));
        }
        Command::DeleteRecording(args) => {
            let receipt = client.delete_recording(&args.job).await?;
            output.object(&receipt)?;
            for object in &receipt.removed {
                let name = known(object.name.as_ref());
                output.line(format_args!("removed {name} ({} bytes)", object.bytes));
            }
            for name in &receipt.already_gone {
                output.line(format_args!("was gone already: {name}"));
            }
            output.remark(format_args!("{} objects removed", receipt.removed.len()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: ListArgs, client: &meetbot::MeetBot, output: Output) -> anyhow::Result<()> {
    let page = u32::try_from(args.limit).ok().filter(|limit| (1..200).contains(limit));
    let list = ListBots {
        status: args.status,
        external_id: args.external_id,
        platform: args.platform.as_deref().map(Into::into),
        created_after: args.created_after,
        created_before: args.created_before,
        limit: Some(page.unwrap_or(200)),
        cursor: None,
    };
    let most = if args.limit == 0 { usize::MAX } else { args.limit };
    if output.is_json() {
        let mut jobs = client.bots(list).take(most);
        while let Some(job) = jobs.try_next().await? {
            output.object(&job)?;
        }
        return Ok(());
    }
    let jobs: Vec<Job> = client.bots(list).take(most).try_collect().await?;
    let now = watch::now();
    let rows: Vec<Vec<String>> = jobs.iter().map(|job| row(job, now)).collect();
    output.lines(table(&["id", "status", "age", "platform", "external id", "meeting"], &rows));
    Ok(())
}

fn row(job: &Job, now: Timestamp) -> Vec<String> {
    let outcome = job.failure_code.as_ref().map_or(String::new(), |code| format!(" {code}"));
    vec![
        job.id.clone(),
        format!("{}{outcome}", job.status),
        known(job.created_at.map(|created| age(now.millis_since(created)))),
        known(job.platform.as_ref()),
        known(job.external_id.as_ref()),
        known(job.meeting_url.as_ref()),
    ]
}

/// The largest unit alone.
pub(crate) fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_of_which_little_is_known_has_dashes_in_the_list() {
        let job: Job = serde_json::from_value(json!({"id": "job_1", "status": "resting"})).unwrap();
        let shown = row(&job, Timestamp::UNIX_EPOCH);
        assert_eq!(shown, ["job_1", "resting", "-", "-", "-", "-"]);
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let ages = [-5, 59_999, 60_000, 3_599_000, 3_600_000, 86_400_000].map(age);
        assert_eq!(ages, ["0 s", "59 s", "1 min", "59 min", "1 h", "1 d"]);
    }
}
