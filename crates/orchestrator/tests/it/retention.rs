//! Retention: old recordings and jobs are deleted by settings, but never those of a job that has not ended.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use meetbot::{FailureCode, Job, JobStatus, MeetBot, NewJob};
use meetbot_types::{Cause, Failure};
use reqwest::StatusCode;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use crate::server::{Bot, PATIENCE, Server, await_status, new_job, now};

/// Writes some files of the bot's attempt. Returns their folder.
fn record_files(bot: &Bot) -> PathBuf {
    let folder = bot.order.folder.join("e1");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("audio.Alice.webm"), b"voice").unwrap();
    fs::write(folder.join("manifest.json"), b"{}").unwrap();
    bot.order.folder.clone()
}

/// A job that has ended, with files.
async fn recorded(server: &Server, client: &MeetBot) -> (String, PathBuf) {
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    let folder = record_files(&bot);
    bot.record().await;
    let manifest = format!("file://{}", folder.join("e1/manifest.json").display());
    bot.complete(&manifest).await;
    (id, folder)
}

/// Sets the end of these jobs and the times of their files to a month ago.
fn age(data: &Path, jobs: &[&String]) {
    let database = Connection::open(data.join("meetbot.db")).unwrap();
    let ago = 31_i64 * 24 * 60 * 60 * 1000;
    for job in jobs {
        let aged = database.execute(
            "UPDATE jobs SET files_since = CAST(strftime('%s', 'now') AS INTEGER) * 1000 - ?2,
                ended_at = CASE WHEN ended_at IS NOT NULL THEN CAST(strftime('%s', 'now') AS INTEGER) * 1000 - ?2 END,
                job = CASE WHEN ended_at IS NULL THEN job
                    ELSE json_set(job, '$.endedAt', strftime('%Y-%m-%dT%H:%M:%S.000Z', 'now', '-31 days')) END
             WHERE id = ?1",
            params![job, ago],
        );
        assert_eq!(aged.unwrap(), 1);
    }
}

async fn await_deleted(client: &MeetBot, id: &str, folder: &Path) -> Job {
    let look = async {
        loop {
            let job = client.get_bot(id).await.unwrap().unwrap();
            let removed = job.recording.bytes == Some(0) && !folder.exists();
            if job.recording.deleted_at.is_some() && removed {
                return job;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{id} is kept"))
}

#[tokio::test]
async fn only_recordings_of_jobs_that_ended_long_ago_are_deleted() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let (old, old_folder) = recorded(&server, &client).await;
    let (young, young_folder) = recorded(&server, &client).await;
    // Marked as deleted, but a crash prevented the removal of its files.
    let (half, half_folder) = recorded(&server, &client).await;
    client.delete_recording(&half).await.unwrap();
    fs::create_dir_all(half_folder.join("e1")).unwrap();
    let running = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    let running_folder = record_files(&bot);
    bot.record().await;
    server.stop().await;
    age(data.path(), &[&old, &half, &running]);

    let keep = |name: &str| (name == "MEETBOT_RECORDINGS_KEEP_DAYS").then(|| "30".to_owned());
    let server = Server::start_with(&data, keep).await;
    let client = server.client();
    let job = await_deleted(&client, &old, &old_folder).await;
    assert_eq!((job.status, job.manifest_uri), (JobStatus::Completed, None));
    assert!(client.manifest(&old).await.is_err());
    await_deleted(&client, &half, &half_folder).await;
    let job = client.get_bot(&young).await.unwrap().unwrap();
    assert_eq!(job.recording.deleted_at, None);
    assert!(job.manifest_uri.is_some() && young_folder.join("e1/manifest.json").exists());
    let job = await_status(&client, &running, JobStatus::Joining).await;
    assert_eq!(job.recording.deleted_at, None);
    assert!(running_folder.join("e1/audio.Alice.webm").exists());
    server.stop().await;

    // A removed recording is not processed again.
    let database = Connection::open(data.path().join("meetbot.db")).unwrap();
    let left: Vec<String> = {
        let mut left = database
            .prepare("SELECT id FROM jobs WHERE files_since IS NOT NULL ORDER BY id")
            .unwrap();
        left.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(left, [young, running]);
}

#[tokio::test]
async fn old_jobs_are_deleted_after_their_recordings_and_free_their_external_ids() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let (recorded, folder) = recorded(&server, &client).await;
    let named = || NewJob { external_id: Some("lesson-1".to_owned()), ..new_job() };
    let never_in = client.dispatch_bot(named()).await.unwrap().id;
    let mut bot = server.bot().await;
    let failure = Failure::new(FailureCode::LobbyTimeout, "nobody admitted the bot");
    assert_eq!(bot.end(Cause::Failed(failure).ending(false, false), None).await, StatusCode::OK);
    let cancelled = client.dispatch_bot(later()).await.unwrap().id;
    client.cancel_bot(&cancelled).await.unwrap();
    let young = client.dispatch_bot(later()).await.unwrap().id;
    client.cancel_bot(&young).await.unwrap();
    server.stop().await;
    age(data.path(), &[&recorded, &never_in, &cancelled]);

    let jobs_only = |name: &str| (name == "MEETBOT_JOBS_KEEP_DAYS").then(|| "30".to_owned());
    let server = Server::start_with(&data, jobs_only).await;
    let client = server.client();
    await_gone(&client, &never_in).await;
    await_gone(&client, &cancelled).await;
    assert!(client.get_bot(&young).await.unwrap().is_some());
    assert!(client.get_bot(&recorded).await.unwrap().is_some(), "its recording is still there");
    assert!(folder.join("e1/audio.Alice.webm").exists());
    let again = client.dispatch_bot(named()).await.unwrap();
    assert_ne!(again.id, never_in, "the external id makes a new job");
    server.stop().await;

    let both = |name: &str| match name {
        "MEETBOT_JOBS_KEEP_DAYS" | "MEETBOT_RECORDINGS_KEEP_DAYS" => Some("30".to_owned()),
        _ => None,
    };
    let server = Server::start_with(&data, both).await;
    await_gone(&server.client(), &recorded).await;
    assert!(!folder.exists(), "the recording went first");
    server.stop().await;
}

/// A job for tomorrow.
fn later() -> NewJob {
    NewJob { join_at: Some(now() + Duration::from_hours(24)), ..new_job() }
}

async fn await_gone(client: &MeetBot, id: &str) {
    let look = async {
        while client.get_bot(id).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{id} is kept"));
}
