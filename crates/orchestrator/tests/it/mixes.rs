//! The mix of a recording: made after the job has ended, reported once, and never written into a deleted recording.

use std::{fs, path::PathBuf};

use futures_util::TryStreamExt as _;
use meetbot::{EventName, JobStatus, MeetBot, NewJob, TimelineEvent, Webhooks};
use meetbot_orchestrator::store::Scope;
use meetbot_testkit::scripted::Receiver;
use meetbot_types::{
    Cause, Failure, FailureCode, Manifest,
    manifest::{File, MixState, Mixed},
};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use xtask::spec_file;

use crate::server::{PATIENCE, Server, await_status, new_job};

fn mix() -> File {
    File {
        name: "audio.mixed.webm".to_owned(),
        media_type: "audio/webm".to_owned(),
        bytes: 7,
        sha256: "ab".to_owned(),
    }
}

/// A manifest that lists the mix.
fn manifest() -> Manifest {
    let vectors = spec_file::read_json("spec/vectors/models.json");
    let cases = vectors["cases"].as_array().unwrap();
    let manifest = cases.iter().find(|case| case["model"] == "manifest").unwrap();
    let mut manifest: Manifest = serde_json::from_value(manifest["json"].clone()).unwrap();
    manifest.mixed =
        Mixed { state: Some(MixState::Made), file: Some(mix().name), missing_because: None };
    manifest.files.push(mix());
    manifest
}

/// A job that has ended with a manifest in its folder, `completed` or `failed`.
async fn ended(server: &Server, client: &MeetBot, new: NewJob, well: bool) -> (String, PathBuf) {
    let id = client.dispatch_bot(new).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    let folder = bot.order.folder.join("e1");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("manifest.json"), b"{}").unwrap();
    let uri = format!("file://{}", folder.join("manifest.json").display());
    if well {
        bot.complete(&uri).await;
    } else {
        let failure = Failure::new(FailureCode::NetworkLoss, "gone");
        let ending = Cause::Failed(failure).ending(true, false);
        assert_eq!(bot.end(ending, Some(&uri)).await, StatusCode::OK);
    }
    (id, folder)
}

fn is_final(event: &TimelineEvent) -> bool {
    event.data.status.as_ref().is_some_and(JobStatus::is_final)
}

/// The names of a job's events from its end on.
async fn after_the_end(client: &MeetBot, id: &str) -> Vec<String> {
    let events = client.events(id, None).await.unwrap().data;
    let events = events.into_iter().skip_while(|event| !is_final(event)).skip(1);
    events.map(|event| event.event.to_string()).collect()
}

async fn await_mix(client: &MeetBot, id: &str) {
    let look = async {
        while !after_the_end(client, id).await.contains(&"job.artifact_ready".to_owned()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the mix is reported");
}

#[tokio::test]
async fn a_job_ends_and_frees_its_slot_before_its_mix_is_made() {
    let data = TempDir::new().unwrap();
    let one = |name: &str| (name == "MEETBOT_BOTS_MAX").then(|| "1".to_owned());
    let server = Server::start_with(&data, one).await;
    let client = server.client();
    let mut receiver = Receiver::start([]).unwrap();
    let webhooks = Webhooks { on_status_change: None, on_finalize: Some(receiver.url.clone()) };
    for well in [true, false] {
        let new = NewJob { webhooks: Some(webhooks.clone()), ..new_job() };
        let (id, folder) = ended(&server, &client, new, well).await;
        let mixing = server.mix().await;
        assert_eq!((&mixing.order.folder, &mixing.order.unwanted), (&folder, &None));
        let status = if well { JobStatus::Completed } else { JobStatus::Failed };
        await_status(&client, &id, status.clone()).await;
        // Neither the job's stream nor the next job waits for the mix.
        let watched: Vec<_> = client.watch(&id).unwrap().try_collect().await.unwrap();
        assert!(is_final(watched.last().unwrap()));
        client.dispatch_bot(new_job()).await.unwrap();
        let ending = Cause::Cancelled.ending(false, false);
        assert_eq!(server.bot().await.end(ending, None).await, StatusCode::OK);

        let last = if well { "job.finalized" } else { "job.failed" };
        assert_eq!(receiver.next().await.event().event, last);
        mixing.answer(Ok(Some(manifest())));
        let webhook: Value = serde_json::from_slice(receiver.next().await.body()).unwrap();
        assert_eq!(webhook["event"], "job.artifact_ready");
        assert_eq!(webhook["data"]["status"], status.as_str());
        assert_eq!(webhook["data"]["artifact"], serde_json::to_value(mix()).unwrap());
        let job = client.get_bot(&id).await.unwrap().unwrap();
        assert_eq!(webhook["data"]["manifestUri"].as_str(), job.manifest_uri.as_deref());
        let events = client.events(&id, None).await.unwrap().data;
        assert_eq!(events.last().unwrap().event, EventName::ArtifactReady);
        let late: Vec<_> = client.watch(&id).unwrap().try_collect().await.unwrap();
        assert_eq!(late, watched, "the stream ends with the job");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_mix_interrupted_by_a_stop_is_made_by_the_next_server_and_reported_once() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let key = server.key.clone();
    let (id, folder) = ended(&server, &server.client(), new_job(), true).await;
    let stop = server.mix().await.stop;
    server.stop().await;
    assert!(stop.is_cancelled());

    let server = Server::start(&data).await;
    let client = server.client_of(&key);
    let mixing = server.mix().await;
    assert_eq!(mixing.order.folder, folder);
    mixing.answer(Ok(Some(manifest())));
    await_mix(&client, &id).await;
    server.stop().await;

    let server = Server::start(&data).await;
    let client = server.client_of(&key);
    // The next mix is of another job.
    let (_, other) = ended(&server, &client, new_job(), true).await;
    assert_eq!(server.mix().await.order.folder, other);
    assert_eq!(after_the_end(&client, &id).await, ["job.finalized", "job.artifact_ready"]);
    server.stop().await;
}

#[tokio::test]
async fn a_failed_mix_is_not_reported_and_the_next_one_starts() {
    let data = TempDir::new().unwrap();
    let one = |name: &str| (name == "MEETBOT_RECORDINGS_MIX_AT_ONCE").then(|| "1".to_owned());
    let server = Server::start_with(&data, one).await;
    let client = server.client();
    let mut unavailable = manifest();
    unavailable.mixed = Mixed {
        state: Some(MixState::Unavailable),
        file: None,
        missing_because: Some("ffmpeg is not on the machine that recorded".to_owned()),
    };
    let gone = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let broken = || std::io::Error::other("the disk is broken");
    for answer in [Ok(Some(unavailable)), Err(gone()), Err(broken())] {
        let (id, folder) = ended(&server, &client, new_job(), true).await;
        let (later, _) = ended(&server, &client, new_job(), true).await;
        let mixing = server.mix().await;
        assert_eq!(mixing.order.folder, folder);
        mixing.answer(answer);
        server.mix().await.answer(Ok(Some(manifest())));
        await_mix(&client, &later).await;
        assert_eq!(after_the_end(&client, &id).await, ["job.finalized"]);
    }
    server.stop().await;
}

#[tokio::test]
async fn with_mixes_disabled_waiting_ones_are_cancelled_with_the_reason() {
    let data = TempDir::new().unwrap();
    let none = |name: &str| (name == "MEETBOT_RECORDINGS_MIX_AT_ONCE").then(|| "0".to_owned());
    let server = Server::start_with(&data, none).await;
    ended(&server, &server.client(), new_job(), true).await;
    let unwanted = server.mix().await.order.unwanted.unwrap();
    assert!(unwanted.contains("mix_at_once"), "{unwanted}");
    server.stop().await;
}

#[tokio::test]
async fn a_running_mix_is_stopped_before_its_recording_is_deleted() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let (deleted, folder) = ended(&server, &client, new_job(), true).await;
    let mixing = server.mix().await;
    assert!(!mixing.stop.is_cancelled());
    client.delete_recording(&deleted).await.unwrap();
    assert!(mixing.stop.is_cancelled() && !folder.exists());
    mixing.answer(Ok(Some(manifest())));
    assert_eq!(after_the_end(&client, &deleted).await, ["job.finalized"]);

    let admin = server.key("acme", true, Scope::Admin).await;
    let (_, folder) = ended(&server, &client, new_job(), true).await;
    let mixing = server.mix().await;
    let erase = server.request_as(&admin, Method::DELETE, "/api/v1/consumers/me?confirm=acme");
    assert_eq!(erase.send().await.unwrap().status(), StatusCode::OK);
    assert!(mixing.stop.is_cancelled() && !folder.exists());
    server.stop().await;
}
