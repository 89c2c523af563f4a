//! Files that become unwritable or missing: nothing is acknowledged that is not stored, and everything continues when they are back.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use meetbot::{
    CallOptions, ErrorKind, EventName, Job, JobStatus, ListBots, NewJob, blocking::MeetBot,
};
use meetbot_testkit::scripted::Receiver;
use tempfile::TempDir;

use crate::{
    disk_full::ready,
    kills::grown,
    load::{
        all_delivered, every_event_came, recordings_match_their_manifests, wait_until, webhooks_to,
    },
    program::{PATIENCE, TIMING, client, create_key, manifest_of, serve, serve_with},
};

/// How long a lease lasts where one has to run out. `stopped` lets one run out that lasts as long as it is meant to.
const LEASE: Duration = Duration::from_secs(6);

/// A job whose meeting is long enough for something to happen in it.
fn meeting(receiver: &Receiver) -> NewJob {
    NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=10".to_owned(),
        webhooks: Some(webhooks_to(receiver, true)),
        ..NewJob::default()
    }
}

/// The server reports that it is unavailable, and changes nothing.
fn refuses(client: &MeetBot, receiver: &Receiver) {
    assert!(ready(client).unwrap_err().contains("not available"));
    let once = client.with(CallOptions::new().max_retries(0)).unwrap();
    let refused = once.dispatch_bot(meeting(receiver)).unwrap_err();
    assert_eq!((refused.kind(), refused.status()), (ErrorKind::Server, Some(503)), "{refused}");
    // What is there is still read.
    assert_eq!(client.list_bots(&ListBots::default()).unwrap().data.len(), 1);
}

/// The meeting that was under way ends with all that was promised, and new ones come.
fn goes_on(data: &Path, client: &MeetBot, receiver: &mut Receiver, secret: &str, id: &str) -> Job {
    wait_until(|| ready(client));
    let job = client.wait_for_bot(id, Some(PATIENCE * 2)).unwrap();
    assert_eq!(job.status, JobStatus::Completed, "{job:#?}");
    recordings_match_their_manifests(data, std::slice::from_ref(&job), client);
    let next = client.dispatch_bot(meeting(receiver)).unwrap();
    let next = client.wait_for_bot(&next.id, Some(PATIENCE * 2)).unwrap();
    assert_eq!(next.status, JobStatus::Completed, "{next:#?}");
    all_delivered(client);
    every_event_came(&[job.clone(), next], receiver, secret, client);
    job
}

/// Makes a file immutable, or mutable again, also for processes that have it open. Returns whether that is possible here.
fn set_immutable(path: &Path, immutable: bool) -> bool {
    let flag = if immutable { "+i" } else { "-i" };
    Command::new("chattr").arg(flag).arg(path).output().is_ok_and(|done| done.status.success())
}

#[test]
fn a_meeting_survives_a_read_only_database() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, secret) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let mut receiver = Receiver::start([]).unwrap();
    let id = client.dispatch_bot(meeting(&receiver)).unwrap().id;
    grown(&data.path().join(format!("recordings/{id}/e1")), 2_000);
    let files = ["meetbot.db", "meetbot.db-wal"].map(|name| data.path().join(name));
    if !files.iter().all(|path| set_immutable(path, true)) {
        for path in &files {
            set_immutable(path, false);
        }
        let test = "a_meeting_survives_a_read_only_database";
        xtask::not_tested(test, "needs root and a file system that knows chattr +i");
        return;
    }
    wait_until(|| if ready(&client).is_err() { Ok(()) } else { Err("it is ready".to_owned()) });
    refuses(&client, &receiver);
    for path in &files {
        assert!(set_immutable(path, false));
    }
    let job = goes_on(data.path(), &client, &mut receiver, &secret, &id);
    assert_eq!(job.attempt, 1, "its bot went on all the while");
    assert!(manifest_of(&client, &id).complete);
}

#[test]
fn requests_fail_while_the_data_folder_is_missing() {
    let parent = TempDir::new().unwrap();
    let (data, elsewhere) = (parent.path().join("data"), parent.path().join("elsewhere"));
    let (_server, url) = serve(&data, None);
    let (key, secret) = create_key(&data, &[]);
    let client = client(&url, &key);
    let mut receiver = Receiver::start([]).unwrap();
    let id = client.dispatch_bot(meeting(&receiver)).unwrap().id;
    grown(&data.join(format!("recordings/{id}/e1")), 2_000);
    fs::rename(&data, &elsewhere).unwrap();
    refuses(&client, &receiver);
    // Someone puts an empty folder there: not even then.
    fs::create_dir(&data).unwrap();
    refuses(&client, &receiver);
    fs::remove_dir(&data).unwrap();
    fs::rename(&elsewhere, &data).unwrap();
    goes_on(&data, &client, &mut receiver, &secret, &id);
}

#[test]
fn a_server_stops_without_its_data_folder() {
    let parent = TempDir::new().unwrap();
    let (data, elsewhere) = (parent.path().join("data"), parent.path().join("elsewhere"));
    let (mut server, url) = serve(&data, None);
    let (key, _) = create_key(&data, &[]);
    let new = NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=3".to_owned(),
        ..NewJob::default()
    };
    let id = client(&url, &key).dispatch_bot(new).unwrap().id;
    let journal = format!("recordings/{id}/e1/events.jsonl");
    let says = |path: &Path, line: &str| match fs::read_to_string(path) {
        Ok(lines) if lines.contains(line) => Ok(()),
        lines => Err(format!("{line} is not logged: {lines:?}")),
    };
    wait_until(|| says(&data.join(&journal), r#""type":"track""#));
    fs::rename(&data, &elsewhere).unwrap();
    wait_until(|| says(&elsewhere.join(&journal), r#""type":"left""#));
    server.signal();
    let mut ended = None;
    wait_until(|| {
        ended = server.child.try_wait().unwrap();
        if ended.is_some() { Ok(()) } else { Err("the server does not end".to_owned()) }
    });
    assert_eq!(ended.unwrap().code(), Some(0));
    assert!(!data.exists(), "nothing is made in the place of what is gone");

    fs::rename(&elsewhere, &data).unwrap();
    let (_server, url) = serve(&data, None);
    let client = client(&url, &key);
    let job = client.wait_for_bot(&id, Some(PATIENCE)).unwrap();
    assert_eq!(job.status, JobStatus::Completed, "{job:#?}");
    let of_first = manifest_of(&client, &id).tracks;
    assert!(of_first.iter().any(|track| !track.file.contains(".a2.")), "{of_first:#?}");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a lease is measured by the clock, and here it would have to run out"
)]
fn bots_survive_a_database_outage_longer_than_a_lease() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve_with(data.path(), None, &[(TIMING, r#"{"leaseMs":6000}"#)]);
    let (key, secret) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let mut receiver = Receiver::start([]).unwrap();
    let new = NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=20".to_owned(),
        ..meeting(&receiver)
    };
    let id = client.dispatch_bot(new).unwrap().id;
    grown(&data.path().join(format!("recordings/{id}/e1")), 2_000);
    let (database, elsewhere) = (data.path().join("meetbot.db"), data.path().join("elsewhere"));
    fs::rename(&database, &elsewhere).unwrap();
    let back = Instant::now() + LEASE + Duration::from_secs(5);
    while let Some(left) = back.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
    fs::rename(&elsewhere, &database).unwrap();
    let job = goes_on(data.path(), &client, &mut receiver, &secret, &id);
    assert_eq!(job.attempt, 1, "its bot went on all the while");
    assert!(manifest_of(&client, &id).complete);
    let events = client.events(&id, None).unwrap().data;
    let chat = events.iter().filter(|event| event.event == EventName::ChatMessage).count();
    let lines = client.artifact(&id, "chat.jsonl").unwrap().to_vec();
    let lines = String::from_utf8(lines).unwrap();
    assert_eq!((chat, lines.lines().count()), (2, 2), "{events:#?}");
}
