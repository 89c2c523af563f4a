//! What is done at one server is seen at the other, within milliseconds.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use meetbot::{CallOptions, ControlState, JobStatus, ListBots, blocking::MeetBot};
use meetbot_testkit::{polling::poll_until, scripted::Receiver};
use tempfile::TempDir;
use xtask::postgres::Postgres;

use super::{Cluster, DATABASE, meeting, recording};
use crate::{
    bucket_server::BucketServer,
    cluster::NOT_NOTIFIED,
    doctor::check,
    first_key::terminal,
    program::{PATIENCE, client, manifest_of, mix_reported},
};

/// How many control calls are measured.
const CALLS: usize = 20;

/// How long control calls take: the median and the longest time.
#[expect(clippy::disallowed_methods, reason = "control calls are measured by the clock")]
fn control_times(client: &MeetBot, id: &str) -> [Duration; 2] {
    let mut times: Vec<Duration> = (0..CALLS)
        .map(|call| {
            let began = Instant::now();
            let result = if call % 2 == 0 {
                client.pause_recording(id)
            } else {
                client.resume_recording(id)
            };
            assert_eq!(result.unwrap().state, ControlState::Done);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    [times[CALLS / 2], times[CALLS - 1]]
}

#[test]
fn a_job_is_created_controlled_followed_and_deleted_at_different_servers() {
    let cluster = Cluster::new();
    let [one, other] = cluster.serve_both();
    // Its bots wait for commands at the other server.
    let _worker = cluster.worker(0, &[&other, &one]);
    let _second = cluster.worker(1, &[&other, &one]);
    let mut receiver = Receiver::start([]).unwrap();
    let id = one.client.dispatch_bot(meeting(60, Some(&receiver))).unwrap().id;
    let (job, of_other) = (id.clone(), client(&other.url, &cluster.key));
    let watching = thread::spawn(move || -> Vec<u64> {
        let events = of_other.watch(&job).unwrap();
        events.map(|event| event.unwrap().data.sequence).collect()
    });
    recording(&one.client, &id);

    let there = control_times(&other.client, &id);
    let over_two = control_times(&one.client, &id);
    eprintln!("control at the bot's server: {there:?}, at the other one: {over_two:?}");
    // Without notifications the look of each second would find the command: half a second later on average, and the poll for its result.
    assert!(over_two[0] < 2 * there[0] + Duration::from_millis(250), "{over_two:?}, {there:?}");

    assert_eq!(one.client.leave_bot(&id).unwrap().state, ControlState::Done);
    let done = other.client.wait_for_bot(&id, Some(PATIENCE)).unwrap();
    assert_eq!((&done.status, done.attempt), (&JobStatus::Completed, 1), "{done:#?}");
    let seen = watching.join().unwrap();
    mix_reported(&one.client, &id);
    let events = one.client.events(&id, None).unwrap().data;
    let streamed: Vec<u64> = events
        .iter()
        .filter(|event| event.event != "job.artifact_ready")
        .map(|event| event.data.sequence)
        .collect();
    assert_eq!(seen, streamed, "the stream of the other server has every event once, in order");

    // Both servers send webhooks, and each goes once.
    let mut sent = BTreeMap::<String, u32>::new();
    let wanted = poll_until(PATIENCE, || {
        for webhook in receiver.so_far() {
            let event = webhook.event();
            assert_eq!(event.attempt, 1);
            *sent.entry(event.delivery_id.to_string()).or_default() += 1;
        }
        let list = meetbot::ListDeliveries { job_id: Some(id.clone()), ..Default::default() };
        let deliveries = other.client.deliveries(&list).unwrap().data;
        let open = deliveries.iter().filter(|one| one.state != meetbot::DeliveryState::Delivered);
        if open.count() > 0 || deliveries.len() > sent.len() {
            return Err(format!("{} of {deliveries:#?}", sent.len()));
        }
        Ok(deliveries.len())
    });
    assert!(wanted >= 4, "{wanted}");
    assert_eq!(sent.len(), wanted);
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");

    let manifest = manifest_of(&other.client, &id);
    for file in &manifest.files {
        let read = other.client.artifact(&id, &file.name).unwrap();
        assert_eq!(read.len() as u64, file.bytes, "{}", file.name);
    }
    let receipt = other.client.delete_recording(&id).unwrap();
    assert!(receipt.removed.len() > manifest.files.len(), "{receipt:#?}");
    assert!(one.client.get_bot(&id).unwrap().unwrap().recording.deleted_at.is_some());
    assert!(cluster.bucket.of_job(&id).is_empty());
}

#[test]
fn servers_that_start_together_on_an_empty_database_print_one_key() {
    let (database, bucket) = (Postgres::start(), BucketServer::start());
    let mut settings = bucket.settings("eu");
    settings.extend([
        ("MEETBOT_STORE_URL", database.url(DATABASE)),
        ("MEETBOT_BOTS_WORKERS", "none".to_owned()),
        ("MEETBOT_SERVER_DEVELOPMENT", "true".to_owned()),
    ]);
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let folders = [(); 2].map(|()| TempDir::new().unwrap());
    let printed = thread::scope(|scope| {
        let start =
            |folder: &TempDir| terminal(folder.path(), "127.0.0.1:0", &settings, "serves at");
        let servers = folders.each_ref().map(|folder| scope.spawn(move || start(folder)));
        servers.map(|server| server.join().unwrap()).concat()
    });
    assert_eq!(printed.matches("export MEETBOT_API_KEY=mb_test_").count(), 1, "{printed}");
    assert!(!printed.contains("has no key yet"), "{printed}");
    assert_eq!(database.sql(DATABASE, &["SELECT count(*) FROM keys"]), "1");
}

#[test]
fn calls_with_one_idempotency_key_at_both_servers_make_one_job() {
    let cluster = Cluster::new();
    let servers = cluster.serve_both();
    for round in 0..5 {
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let options = CallOptions::new().idempotency_key(format!("order-{round}"));
                let client = servers[caller % 2].client.with(options).unwrap();
                thread::spawn(move || client.dispatch_bot(meeting(1, None)).unwrap().id)
            })
            .collect();
        let mut ids: Vec<String> =
            callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
    for server in &servers {
        let jobs = server.client.list_bots(&ListBots::default()).unwrap().data;
        assert_eq!(jobs.len(), 5);
    }
}

#[test]
fn without_notifications_control_calls_take_a_second_at_most() {
    let cluster = Cluster::new();
    let [one, other] = cluster.serve_both();
    let _worker = cluster.worker(0, &[&other, &one]);
    let id = one.client.dispatch_bot(meeting(60, None)).unwrap().id;
    recording(&one.client, &id);
    let (state, found, _) = check(&cluster.doctor(), "database");
    assert_eq!(state, "ok", "{found}");
    assert!(found.contains("2 servers run on it"), "{found}");
    let with = control_times(&one.client, &id);
    let cut = cluster.cut_notifications();
    let without = control_times(&one.client, &id);
    drop(cut);
    eprintln!("control with notifications, median and longest: {with:?}, without: {without:?}");
    // Both servers look every 300 ms: for the command, and for its result.
    assert!(without[1] < with[1] + Duration::from_millis(750), "{without:?}, {with:?}");
    poll_until(PATIENCE, || match cluster.doctor() {
        output if output.out.contains(NOT_NOTIFIED) => Err(output.out),
        _ => Ok(()),
    });
}
