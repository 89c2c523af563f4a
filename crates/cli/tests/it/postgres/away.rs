//! A database that is unavailable for a while: nothing that was acknowledged is lost, and no bot is given up.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use meetbot::{CallOptions, ErrorKind, JobStatus, ListBots, NewJob};
use meetbot_testkit::scripted::Receiver;
use meetbot_types::bot::LEASE_SECONDS;
use tempfile::TempDir;
use xtask::postgres::Postgres;

use super::serve_on;
use crate::{
    disk_full::ready,
    kills::{far_ahead, grown},
    load::{
        all_delivered, every_event_came, recordings_match_their_manifests, wait_until, webhooks_to,
    },
    program::{PATIENCE, client, manifest_of},
};

#[test]
fn a_crashed_database_loses_no_bot_and_nothing_acknowledged() {
    let mut database = Postgres::start();
    let data = TempDir::new().unwrap();
    let (_server, url, key, secret) = serve_on(&data, &database.url("postgres"), &[]);
    let patient = client(&url, &key);
    let mut receiver = Receiver::start([]).unwrap();
    let new = NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=20".to_owned(),
        webhooks: Some(webhooks_to(&receiver, true)),
        ..NewJob::default()
    };
    let id = patient.dispatch_bot(new).unwrap().id;
    grown(&data.path().join(format!("recordings/{id}/e1")), 2_000);
    let once = patient.with(CallOptions::new().max_retries(0)).unwrap();
    let (acknowledged, over) = (Mutex::new(HashSet::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    if let Ok(job) = once.dispatch_bot(far_ahead()) {
                        acknowledged.lock().unwrap().insert(job.id);
                    }
                }
            });
        }
        let more_than = |count: usize| {
            wait_until(|| match acknowledged.lock().unwrap().len() {
                now if now > count => Ok(()),
                now => Err(format!("{now} jobs")),
            });
        };
        for round in 0..3 {
            more_than(20 * (round + 1));
            database.crash();
            let refused = once.dispatch_bot(far_ahead()).unwrap_err();
            assert_eq!((refused.kind(), refused.status()), (ErrorKind::Server, Some(503)));
            assert!(refused.retry_after().is_some(), "{refused}");
            assert!(ready(&once).is_err());
            let before = acknowledged.lock().unwrap().len();
            database.go_on();
            more_than(before);
        }
        over.store(true, Ordering::Relaxed);
    });
    let job = patient.wait_for_bot(&id, Some(PATIENCE * 2)).unwrap();
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
    assert!(manifest_of(&patient, &id).complete);
    recordings_match_their_manifests(data.path(), std::slice::from_ref(&job), &patient);
    all_delivered(&patient);
    every_event_came(std::slice::from_ref(&job), &mut receiver, &secret, &patient);
    let stored: HashSet<String> =
        patient.bots(&ListBots::default()).map(|job| job.unwrap().id).collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{} of {}: {lost:?}", lost.len(), acknowledged.len());
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a lease is measured by the clock, and here it would have to run out"
)]
fn bots_survive_a_postgresql_outage_longer_than_a_lease() {
    let mut database = Postgres::start();
    let data = TempDir::new().unwrap();
    let (_server, url, key, secret) = serve_on(&data, &database.url("postgres"), &[]);
    let client = client(&url, &key);
    let mut receiver = Receiver::start([]).unwrap();
    let new = NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=50".to_owned(),
        webhooks: Some(webhooks_to(&receiver, true)),
        ..NewJob::default()
    };
    let id = client.dispatch_bot(new).unwrap().id;
    grown(&data.path().join(format!("recordings/{id}/e1")), 2_000);
    database.stop();
    let back = Instant::now() + Duration::from_secs(u64::from(LEASE_SECONDS) + 5);
    while let Some(left) = back.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
    database.go_on();
    wait_until(|| ready(&client));
    let job = client.wait_for_bot(&id, Some(PATIENCE * 2)).unwrap();
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
    assert!(manifest_of(&client, &id).complete);
    all_delivered(&client);
    every_event_came(std::slice::from_ref(&job), &mut receiver, &secret, &client);
}
