//! Servers whose database is lost, and that continue on its replica.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Mutex,
    thread,
};

use meetbot::{CallOptions, EventName, JobStatus, ListBots, blocking::MeetBot};
use meetbot_testkit::{polling::poll_until, scripted::Receiver};
use meetbot_types::WebhookEvent;
use xtask::postgres::Postgres;

use super::{Cluster, DATABASE, dead::all_events_arrived, meeting, recording};
use crate::{
    cluster::Server,
    kills::{far_ahead, grown},
    program::{PATIENCE, Running, await_job, client, manifest_of},
};

/// How many callers create jobs while the database is lost.
const CALLERS: usize = 4;
/// How many jobs are acknowledged before that, at least.
const ENOUGH: usize = 200;

/// What is known of the jobs that were acknowledged before the database was lost.
struct Promoted {
    /// Those that the promoted replica has, and those that it has not.
    kept: usize,
    forgotten: usize,
}

/// Two servers that use the database, and its replica once that is promoted.
fn serve_both(cluster: &Cluster, replica: &Postgres) -> [Server; 2] {
    let hosts = [&cluster.database, replica].map(|one| one.socket().replace('/', "%2F"));
    let url = format!(
        "postgres://{}@{}/{DATABASE}?target_session_attrs=read-write",
        xtask::postgres::USER,
        hosts.join(",")
    );
    [0, 1].map(|number| {
        let mut command = cluster.serve_command(number);
        let (running, started) = Running::start(command.env("MEETBOT_STORE_URL", &url));
        let url = started["url"].as_str().unwrap().to_owned();
        let client = client(&url, &cluster.key);
        Server { running, url, client }
    })
}

/// Creates jobs through two servers until their database crashes in the middle of a meeting, and promotes its replica.
fn promote(synchronous: bool) -> Promoted {
    let mut cluster = Cluster::on(Postgres::start_durable());
    let replica = cluster.database.start_replica(synchronous);
    let servers = serve_both(&cluster, &replica);
    let [one, other] = &servers;
    let _worker = cluster.worker(0, &[one, other]);
    let mut receiver = Receiver::start([]).unwrap();
    let id = one.client.dispatch_bot(meeting(25, Some(&receiver))).unwrap().id;
    recording(&other.client, &id);

    let job = far_ahead();
    let acknowledged = Mutex::new(Vec::<(String, String)>::new());
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (acknowledged, key, job) = (&acknowledged, &cluster.key, &job);
            let url = &servers[caller % 2].url;
            scope.spawn(move || {
                let server =
                    MeetBot::builder().api_key(key).base_url(url).max_retries(0).build().unwrap();
                for number in 0.. {
                    let name = format!("key-{caller}-{number}");
                    let server = server.with(CallOptions::new().idempotency_key(&name)).unwrap();
                    // The first error is the loss of the database.
                    let Ok(job) = server.dispatch_bot(job.clone()) else { return };
                    acknowledged.lock().unwrap().push((name, job.id));
                }
            });
        }
        poll_until(PATIENCE, || match acknowledged.lock().unwrap().len() {
            enough if enough >= ENOUGH => Ok(()),
            few => Err(format!("{few} jobs")),
        });
        cluster.database.crash();
    });
    replica.promote();

    let list = ListBots { limit: Some(200), ..ListBots::default() };
    let stored: HashSet<String> = poll_until(PATIENCE, || {
        let jobs: Result<Vec<_>, _> = one.client.bots(&list).collect();
        jobs.map(|jobs| jobs.into_iter().map(|job| job.id).collect())
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    let (kept, forgotten): (Vec<_>, Vec<_>) =
        acknowledged.iter().partition(|(_, id)| stored.contains(id));
    // A caller that repeats its request has the job, or has it again.
    for (is_kept, (name, id)) in kept
        .iter()
        .take(3)
        .map(|job| (true, job))
        .chain(forgotten.iter().take(3).map(|job| (false, job)))
    {
        let server = other.client.with(CallOptions::new().idempotency_key(name)).unwrap();
        assert_eq!(server.dispatch_bot(job.clone()).unwrap().id == *id, is_kept, "{name}");
    }
    // The meeting went on without a database, and so do its events.
    let done = other.client.wait_for_bot(&id, Some(PATIENCE)).unwrap();
    assert_eq!((&done.status, done.attempt), (&JobStatus::Completed, 1), "{done:#?}");
    all_events_arrived(&other.client, &id, &mut receiver);
    for server in servers {
        assert_eq!(server.running.terminate(), Some(0));
    }
    Promoted { kept: kept.len(), forgotten: forgotten.len() }
}

#[test]
fn a_promoted_synchronous_replica_has_everything_that_was_acknowledged() {
    let promoted = promote(true);
    assert_eq!(promoted.forgotten, 0, "of {}", promoted.kept);
    assert!(promoted.kept >= ENOUGH);
}

#[test]
fn servers_and_bots_continue_on_a_promoted_asynchronous_replica() {
    let Promoted { kept, forgotten } = promote(false);
    eprintln!("an asynchronous replica had {kept} of {} acknowledged jobs", kept + forgotten);
    assert!(kept > 0);
}

/// Stops the replica as soon as it has the job in this state.
fn fall_behind(replica: &mut Postgres, id: &str, state: &str) {
    let job = format!("SELECT count(*) FROM jobs WHERE id = '{id}' AND {state}");
    poll_until(PATIENCE, || match replica.sql(DATABASE, &[&job]).as_str() {
        "1" => Ok(()),
        found => Err(format!("the replica has {found} jobs")),
    });
    replica.crash();
}

/// The job ends after its only bot has recorded all of it, and its events are complete and in order, also where the endpoint was sent some of them twice.
fn ends_with_its_first_bot(client: &MeetBot, id: &str, receiver: &mut Receiver) {
    let done = await_job(client, id, |job| job.status.is_final());
    assert_eq!((&done.status, done.attempt), (&JobStatus::Completed, 1), "{done:#?}");
    let manifest = manifest_of(client, id);
    assert_eq!(manifest.attempts.len(), 1, "{manifest:#?}");
    let begins = manifest.tracks.iter().map(|track| track.start_ms).min();
    let ends = manifest.tracks.iter().map(|track| track.start_ms + track.duration_ms).max();
    assert!(begins.unwrap() < 2_000 && ends.unwrap() > 25_000, "{manifest:#?}");
    let events = client.events(id, None).unwrap().data;
    let named = |event: &WebhookEvent| (event.data.sequence, event.event.to_string());
    let timeline: Vec<_> =
        events.iter().map(|one| (one.data.sequence, one.event.to_string())).collect();
    assert!(timeline.iter().map(|(sequence, _)| *sequence).eq(1..=timeline.len() as u64));
    let statuses: Vec<_> = events
        .iter()
        .filter(|one| one.event == EventName::StatusChanged)
        .filter_map(|one| one.data.status.as_ref().map(ToString::to_string))
        .collect();
    assert_eq!(statuses, ["joining", "in_call", "recording", "finalizing", "completed"]);
    let mut arrived = BTreeSet::new();
    poll_until(PATIENCE, || {
        arrived.extend(receiver.so_far().iter().map(|webhook| named(&webhook.event())));
        let missing: Vec<_> = timeline
            .iter()
            .filter(|(_, name)| name != "job.finalized" && name != "job.artifact_ready")
            .filter(|event| !arrived.contains(event))
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
    });
    assert!(arrived.iter().all(|event| timeline.contains(event)), "{arrived:?}");
}

#[test]
fn a_bot_whose_claim_a_promoted_replica_has_forgotten_stays_in_its_meeting() {
    let mut cluster = Cluster::on(Postgres::start_durable());
    let mut replica = cluster.database.start_replica(false);
    let servers = serve_both(&cluster, &replica);
    let [one, other] = &servers;
    let mut receiver = Receiver::start([]).unwrap();
    let id = one.client.dispatch_bot(meeting(30, Some(&receiver))).unwrap().id;
    fall_behind(&mut replica, &id, "status = 'queued'");
    let _worker = cluster.worker(0, &[one, other]);
    recording(&other.client, &id);
    grown(&cluster.workers[0].path().join(format!("recordings/{id}/e1")), 8_000);
    cluster.database.crash();
    replica.go_on();
    replica.promote();
    ends_with_its_first_bot(&other.client, &id, &mut receiver);
}

#[test]
fn a_job_ends_whose_reports_a_promoted_replica_has_forgotten() {
    let mut cluster = Cluster::on(Postgres::start_durable());
    let mut replica = cluster.database.start_replica(false);
    let servers = serve_both(&cluster, &replica);
    let [one, other] = &servers;
    let _worker = cluster.worker(0, &[one, other]);
    let mut receiver = Receiver::start([]).unwrap();
    let id = one.client.dispatch_bot(meeting(30, Some(&receiver))).unwrap().id;
    fall_behind(&mut replica, &id, "epoch = 1");
    recording(&other.client, &id);
    grown(&cluster.workers[0].path().join(format!("recordings/{id}/e1")), 8_000);
    let applied = format!("SELECT applied FROM leases WHERE job = '{id}'");
    let applied = |of: &Postgres| of.sql(DATABASE, &[&applied]).parse::<u64>().unwrap();
    let acknowledged = applied(&cluster.database);
    cluster.database.crash();
    replica.go_on();
    assert!(applied(&replica) < acknowledged, "{acknowledged}");
    replica.promote();
    ends_with_its_first_bot(&other.client, &id, &mut receiver);
}

/// The replica has the job, and not that it has a bot, and the bot cannot prove its claim: another one joins, on the same machine or, if that is gone (`elsewhere`),
/// on another one.
fn forget_a_claim(elsewhere: bool) {
    let mut cluster = Cluster::on(Postgres::start_durable());
    let mut replica = cluster.database.start_replica(false);
    let servers = serve_both(&cluster, &replica);
    let [one, other] = &servers;
    let id = one.client.dispatch_bot(meeting(60, None)).unwrap().id;
    fall_behind(&mut replica, &id, "status = 'queued'");
    cluster.database.sql(DATABASE, &["UPDATE cluster SET claim_secret = 'another'"]);
    let mut worker = Some(cluster.worker(0, &[one, other]));
    recording(&other.client, &id);
    let first = cluster.workers[0].path().join(format!("recordings/{id}/e1"));
    grown(&first, 8_000);
    if elsewhere {
        poll_until(PATIENCE, || match cluster.bucket.of_job(&id) {
            objects if objects.keys().any(|key| key.starts_with("log/1.")) => Ok(()),
            objects => Err(format!("no log: {:?}", objects.keys())),
        });
    }
    if elsewhere {
        worker.take().unwrap().kill();
    }
    cluster.database.crash();
    replica.go_on();
    replica.promote();
    if elsewhere {
        // It needs a database to start.
        poll_until(PATIENCE, || one.client.get_bot(&id).map_err(|error| error.to_string()));
        worker = Some(cluster.worker(1, &[one, other]));
    }
    let done = await_job(&other.client, &id, |job| job.status.is_final());
    assert_eq!((&done.status, done.attempt), (&JobStatus::Completed, 2), "{done:#?}");
    let manifest = manifest_of(&one.client, &id);
    let begins = manifest.tracks.iter().map(|track| track.start_ms).min();
    assert!(begins.unwrap() < 2_000, "{manifest:#?}");
    let gaps: Vec<u64> = manifest.attempts.iter().filter_map(|attempt| attempt.gap_ms).collect();
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| *gap < 30_000), "{manifest:#?}");
    drop(worker);
}

#[test]
fn a_recording_goes_on_after_its_claim_was_forgotten_by_a_promoted_replica() {
    forget_a_claim(false);
}

#[test]
fn another_machine_continues_a_recording_whose_claim_a_promoted_replica_has_forgotten() {
    forget_a_claim(true);
}
