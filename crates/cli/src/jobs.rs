//! `meetbot jobs`: look at jobs, tell their bots what to do, fetch or delete what they recorded.

mod download;

use std::process::ExitCode;

use futures_util::{StreamExt as _, TryStreamExt as _};
use meetbot::{ControlResult, ControlState, Job, JobStatus, ListBots, MeetBot, Timestamp};
use meetbot_types::JobId;
use serde_json::json;

use crate::{
    clock,
    connection::Connection,
    output::{Output, counted, known, size, table},
};

/// What to do with jobs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List jobs, newest first.
    List(ListArgs),
    /// Show a job as the API has it, in JSON.
    Get(JobArgs),
    /// Show a job's manifest as the API has it, in JSON: speakers, files, gaps.
    Manifest(JobArgs),
    /// Download all files of a recording and its manifest, and check their SHA-256; waits for the mix, where one is being made.
    Download(download::Args),
    /// Write a message into the meeting's chat. What others wrote is in the recording's chat.jsonl.
    #[command(visible_alias = "chat")]
    SendChatMessage(ChatArgs),
    /// Ask the host for permission to record.
    RequestPermission(JobArgs),
    /// Record nothing until `resume`; the bot stays in the meeting.
    Pause(JobArgs),
    /// Go on recording after `pause`.
    Resume(JobArgs),
    /// Stop recording for good; the bot stays in the meeting.
    StopRecording(JobArgs),
    /// Let the bot leave the meeting and finish its recording.
    Leave(JobArgs),
    /// Cancel a job; what was recorded is kept.
    Cancel(JobArgs),
    /// Delete everything that was recorded of a job that has ended.
    DeleteRecording(JobArgs),
}

/// Which jobs.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only those in this status; can be given more than once.
    #[arg(long, value_parser = status)]
    status: Vec<JobStatus>,
    /// Only the one with this external id.
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
    /// The job's id, or its external id.
    job: String,
}

/// What to write, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    of: JobArgs,
    /// The message: 1 to 4,000 characters.
    message: String,
}

fn status(word: &str) -> Result<JobStatus, String> {
    JobStatus::known(word).ok_or_else(|| {
        let words: Vec<&str> = JobStatus::ALL.iter().map(JobStatus::as_str).collect();
        format!("give one of {}", words.join(", "))
    })
}

/// The id of the job that was named by its id or by its external id.
pub(crate) async fn id_of(client: &MeetBot, named: &str) -> anyhow::Result<String> {
    if named.parse::<JobId>().is_ok() {
        return Ok(named.to_owned());
    }
    let external_id = Some(named.to_owned());
    let list = ListBots { external_id, limit: Some(1), ..ListBots::default() };
    let found = client.list_bots(&list).await?.data.into_iter().next();
    found.map(|job| job.id).ok_or_else(|| no_job(named))
}

/// The job that was named by its id or by its external id.
async fn job_of(client: &MeetBot, named: &str) -> anyhow::Result<Job> {
    let id = id_of(client, named).await?;
    client.get_bot(&id).await?.ok_or_else(|| no_job(named))
}

pub(crate) fn no_job(named: &str) -> anyhow::Error {
    anyhow::anyhow!("there is no job with the id or the external id {named}")
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
            let job = job_of(&client, &args.job).await?;
            output.object(&job)?;
            output.pretty(&job)?;
        }
        Command::Manifest(args) => {
            let manifest = client.manifest(&id_of(&client, &args.job).await?).await?;
            output.object(&manifest)?;
            output.pretty(&manifest)?;
        }
        Command::Download(args) => download::run(args, &client, output).await?,
        Command::Cancel(args) => {
            let id = id_of(&client, &args.job).await?;
            client.cancel_bot(&id).await?;
            output.object(&json!({"id": id, "cancelled": true}))?;
            output.line(format_args!("{id} is cancelled; to see its end: meetbot watch {id}"));
        }
        Command::SendChatMessage(ChatArgs { of, message }) => {
            let id = id_of(&client, &of.job).await?;
            controlled(&client.send_chat_message(&id, &message).await?, output)?;
        }
        Command::RequestPermission(args) => {
            let id = id_of(&client, &args.job).await?;
            controlled(&client.request_recording_permission(&id).await?, output)?;
        }
        Command::Pause(args) => {
            let id = id_of(&client, &args.job).await?;
            controlled(&client.pause_recording(&id).await?, output)?;
        }
        Command::Resume(args) => {
            let id = id_of(&client, &args.job).await?;
            controlled(&client.resume_recording(&id).await?, output)?;
        }
        Command::StopRecording(args) => {
            let id = id_of(&client, &args.job).await?;
            controlled(&client.stop_recording(&id).await?, output)?;
        }
        Command::Leave(args) => {
            let id = id_of(&client, &args.job).await?;
            controlled(&client.leave_bot(&id).await?, output)?;
        }
        Command::DeleteRecording(args) => {
            let receipt = client.delete_recording(&id_of(&client, &args.job).await?).await?;
            output.object(&receipt)?;
            for object in &receipt.removed {
                let (name, bytes) = (known(object.name.as_ref()), counted(object.bytes, "byte"));
                output.line(format_args!("removed {name} ({bytes})"));
            }
            for name in &receipt.already_gone {
                output.line(format_args!("was gone already: {name}"));
            }
            let removed = counted(receipt.removed.len() as u64, "object");
            output.remark(format_args!("{removed} removed"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The result of a command to a bot.
fn controlled(result: &ControlResult, output: Output) -> anyhow::Result<()> {
    output.object(result)?;
    let (action, status) = (known(result.action.as_ref()), known(result.status.as_ref()));
    let recording = known(result.recording.state.as_ref());
    output.line(format_args!(
        "{action} {}: the job is {status}, the recording {recording}",
        result.state
    ));
    if result.state == ControlState::Pending {
        output.remark("the bot has not answered yet; it does so as soon as it can");
    }
    Ok(())
}

async fn list(args: ListArgs, client: &MeetBot, output: Output) -> anyhow::Result<()> {
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
    let now = clock::now();
    let rows: Vec<Vec<String>> = jobs.iter().map(|job| row(job, now).into()).collect();
    output.lines(table(&COLUMNS, &rows));
    Ok(())
}

const COLUMNS: [&str; 7] = ["id", "status", "age", "size", "platform", "external id", "meeting"];

fn row(job: &Job, now: Timestamp) -> [String; 7] {
    let outcome = job.failure_code.as_ref().map_or(String::new(), |code| format!(" {code}"));
    [
        job.id.clone(),
        format!("{}{outcome}", job.status),
        known(job.created_at.map(|created| age(now.millis_since(created)))),
        known(job.recording.bytes.map(size)),
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
    fn a_job_with_missing_fields_has_dashes_in_the_list() {
        let job: Job = serde_json::from_value(json!({"id": "job_1", "status": "resting"})).unwrap();
        let shown = row(&job, Timestamp::UNIX_EPOCH);
        assert_eq!(shown, ["job_1", "resting", "-", "-", "-", "-", "-"]);
    }

    #[test]
    fn an_age_is_printed_in_its_largest_unit() {
        let ages = [-5, 59_999, 60_000, 3_599_000, 3_600_000, 86_400_000].map(age);
        assert_eq!(ages, ["0 s", "59 s", "1 min", "59 min", "1 h", "1 d"]);
    }
}
