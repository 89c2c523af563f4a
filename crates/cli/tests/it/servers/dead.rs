//! A server that is killed, or stopped for a while.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use meetbot::{DeliveryState, JobStatus, ListDeliveries, Webhooks, blocking::MeetBot};
use meetbot_testkit::{
    polling::poll_until,
    scripted::{Receiver, Reply, Server as Endpoint, Webhook},
};
use meetbot_types::WebhookEvent;
use rustix::process::{Pid, Signal, kill_process};

use super::{Cluster, meeting, recording};
use crate::program::PATIENCE;

/// For how long a server is stopped: longer than others wait for it.
const STOPPED: Duration = Duration::from_secs(13);

/// Every event of the job that its endpoint wants has arrived there, under one id each.
fn all_events_are_sent(
    client: &MeetBot,
    id: &str,
    mut received: impl FnMut() -> Vec<WebhookEvent>,
) {
    let list = ListDeliveries { job_id: Some(id.to_owned()), ..ListDeliveries::default() };
    let deliveries = poll_until(PATIENCE, || {
        let deliveries = client.deliveries(&list).unwrap().data;
        if deliveries.iter().all(|one| one.state == DeliveryState::Delivered) {
            Ok(deliveries)
        } else {
            Err(format!("{deliveries:#?}"))
        }
    });
    let sent: BTreeSet<(u64, String)> = received()
        .into_iter()
        .map(|event| (event.data.sequence, event.delivery_id.to_string()))
        .collect();
    let sequences: BTreeSet<u64> = sent.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sent.len(), sequences.len(), "no event comes under two ids: {sent:?}");
    assert_eq!(sent.len(), deliveries.len(), "{sent:?}");
    let listed: BTreeSet<String> = deliveries.iter().map(|one| one.id.clone()).collect();
    assert!(sent.iter().all(|(_, id)| listed.contains(id)), "{sent:?} of {listed:?}");
}

/// The same, at a receiver that answers every webhook.
pub(super) fn all_events_arrived(client: &MeetBot, id: &str, receiver: &mut Receiver) {
    let mut events = Vec::new();
    all_events_are_sent(client, id, || {
        events.extend(receiver.so_far().iter().map(Webhook::event));
        events.clone()
    });
}

#[test]
fn bots_and_webhooks_go_on_at_the_other_server_when_one_is_killed() {
    let cluster = Cluster::new();
    let [one, other] = cluster.serve_both();
    let _worker = cluster.worker(0, &[&one, &other]);
    // The first server's first try gets no answer.
    let well = Reply { always: true, ..Reply::answer(200, &[], "thanks") };
    let endpoint = Endpoint::start(vec![Reply::hangs(), well]).unwrap();
    let received = || -> Vec<WebhookEvent> {
        let requests = endpoint.requests().into_iter();
        requests.map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    };
    let webhooks = Webhooks { on_status_change: Some(endpoint.url()), on_finalize: None };
    let job = meetbot::NewJob { webhooks: Some(webhooks), ..meeting(15, None) };
    let id = one.client.dispatch_bot(job).unwrap().id;
    recording(&other.client, &id);
    poll_until(PATIENCE, || if received().is_empty() { Err("no webhook") } else { Ok(()) });
    one.running.kill();
    // The worker hears of a new job at the other server.
    let next = other.client.dispatch_bot(meeting(2, None)).unwrap().id;
    for id in [&id, &next] {
        let done = other.client.wait_for_bot(id, Some(PATIENCE)).unwrap();
        assert_eq!((&done.status, done.attempt), (&JobStatus::Completed, 1), "{done:#?}");
    }
    all_events_are_sent(&other.client, &id, received);
    let first = &received()[0];
    let again = received().iter().filter(|event| event.delivery_id == first.delivery_id).count();
    assert_eq!(again, 2, "what the killed server was sending is sent again, with the same id");
    // A restart of the killed one takes nothing away.
    let long = other.client.dispatch_bot(meeting(6, None)).unwrap().id;
    recording(&other.client, &long);
    let one = cluster.serve(0);
    let done = one.client.wait_for_bot(&long, Some(PATIENCE)).unwrap();
    assert_eq!((&done.status, done.attempt), (&JobStatus::Completed, 1), "{done:#?}");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the time for which a process is stopped passes on the clock"
)]
fn a_server_that_was_stopped_for_a_while_is_back_among_the_others() {
    let cluster = Cluster::new();
    let [one, other] = cluster.serve_both();
    let _worker = cluster.worker(0, &[&one, &other]);
    let mut receiver = Receiver::start([]).unwrap();
    let id = one.client.dispatch_bot(meeting(20, Some(&receiver))).unwrap().id;
    recording(&other.client, &id);
    let pid = Pid::from_child(&one.running.child);
    kill_process(pid, Signal::STOP).unwrap();
    let woken = Instant::now() + STOPPED;
    while let Some(left) = woken.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
    kill_process(pid, Signal::CONT).unwrap();
    poll_until(PATIENCE, || one.client.get_bot(&id).map_err(|error| error.to_string()));
    let done = other.client.wait_for_bot(&id, Some(PATIENCE)).unwrap();
    assert_eq!((&done.status, done.attempt), (&JobStatus::Completed, 1), "{done:#?}");
    all_events_arrived(&other.client, &id, &mut receiver);
    // It serves as before.
    let next = one.client.dispatch_bot(meeting(1, None)).unwrap().id;
    assert_eq!(
        one.client.wait_for_bot(&next, Some(PATIENCE)).unwrap().status,
        JobStatus::Completed
    );
    let (code, log) = one.running.terminate_with_log();
    assert_eq!(code, Some(0));
    assert!(log.contains("is back among the others"), "others had removed it");
}
