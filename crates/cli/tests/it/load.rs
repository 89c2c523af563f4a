//! A server that is killed repeatedly under load, and checks on all of its data afterwards.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::{self, Write as _},
    fs,
    path::Path,
    sync::Barrier,
    time::Duration,
};

use meetbot::{
    CallOptions, EventName, Job, JobStatus, ListBots, ListDeliveries, MixState, NewJob, Timestamp,
    Webhooks, blocking::MeetBot, verify_webhook_signature,
};
use meetbot_testkit::{
    polling::poll_until,
    scripted::{Receiver, Webhook},
};
use meetbot_types::Manifest;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use xtask::ffmpeg::{decodes, length_ms};

use crate::program::{PATIENCE, client, create_key, manifest_of, sandbox, serve};

/// How many clients dispatch at the same time, each over a separate connection.
const CLIENTS: usize = 4;
/// How long after a burst begins the server may be killed, in ms.
const SOON: u64 = 300;
/// How long the meetings are that are recorded, in seconds.
const SHORT_MEETING: u64 = 2;
/// In every tenth round the server lives longer, so that recordings grow.
const LATER: u64 = 3_000;

/// A request for a job, with its idempotency key.
#[derive(Clone)]
pub(crate) struct JobRequest {
    pub(crate) key: String,
    pub(crate) job: NewJob,
}

/// The state of a client.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) open: Vec<JobRequest>,
    /// The requests that were acknowledged, and the job's id in the response.
    acknowledged: Vec<(JobRequest, String)>,
    /// Jobs to cancel, until the cancellation has been acknowledged.
    to_cancel: Vec<String>,
}

/// One URL for all events, or one for each kind.
pub(crate) fn webhooks_to(receiver: &Receiver, both: bool) -> Webhooks {
    let url = |path: &str| Some(receiver.url_of(path));
    if both {
        Webhooks { on_status_change: url("/all"), on_finalize: url("/all") }
    } else {
        Webhooks { on_status_change: url("/status"), on_finalize: url("/final") }
    }
}

/// A webhook as it came.
#[derive(Debug)]
struct Arrival {
    endpoint: String,
    body: Value,
}

/// The webhooks in the order of their arrival, after their signatures are checked.
fn arrivals(receiver: &mut Receiver, secret: &str) -> Vec<Arrival> {
    let signed = |webhook: &Webhook| {
        let signature = Some(webhook.header("x-meetbot-signature"));
        verify_webhook_signature(webhook.body(), signature, secret)
    };
    let arrival = |webhook: Webhook| {
        assert_eq!(signed(&webhook), Ok(true), "{webhook:?}");
        Arrival { endpoint: webhook.path().to_owned(), body: webhook.json() }
    };
    receiver.so_far().into_iter().map(arrival).collect()
}

/// The numbers of a run whose checks have all passed.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) kills: usize,
    /// Jobs, all of them acknowledged.
    pub(crate) jobs: usize,
    /// How often a client repeated a request that had no response.
    pub(crate) asked_again: usize,
    /// Bots that died with the server and were replaced.
    pub(crate) lost_bots: u32,
    pub(crate) by_status: BTreeMap<String, usize>,
    pub(crate) deliveries: usize,
    /// Deliveries that came twice, with the same content.
    pub(crate) doubled: usize,
    pub(crate) recordings: usize,
    /// Recordings that more than one bot worked on.
    pub(crate) continued: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, jobs, asked_again, lost_bots, by_status, .. } = self;
        let Self { deliveries, doubled, recordings, continued, .. } = self;
        writeln!(
            f,
            "{kills} kills: {jobs} jobs acknowledged, none lost, none doubled ({asked_again} calls had no answer and were repeated)"
        )?;
        writeln!(f, "{lost_bots} bots lost and replaced; every job ended: {by_status:?}")?;
        writeln!(
            f,
            "{deliveries} deliveries, all arrived, in order; {doubled} came once more, the same"
        )?;
        write!(
            f,
            "{recordings} recordings, {continued} of them by more than one bot: all play and are what their manifests say"
        )
    }
}

/// Kills the server so often, and checks its data afterwards.
pub(crate) fn kill_repeatedly(kills: usize) -> Summary {
    let data = TempDir::new().unwrap();
    let (_sandbox, meetings) = sandbox();
    let (first, _) = serve(data.path(), Some(&meetings));
    let (key, secret) = create_key(data.path(), &[]);
    first.kill();
    let mut receiver = Receiver::start([]).unwrap();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::default()).collect();
    let mut asked_again = 0;
    for round in 0..kills {
        let (server, url) = serve(data.path(), Some(&meetings));
        let all_ready = Barrier::new(CLIENTS + 1);
        std::thread::scope(|scope| {
            for (number, client) in clients.iter_mut().enumerate() {
                asked_again += client.open.len();
                client.add_requests((number, round), SHORT_MEETING, &receiver);
                let (all_ready, url, key) = (&all_ready, &url, &key);
                scope.spawn(move || {
                    let server = MeetBot::builder()
                        .api_key(key)
                        .base_url(url)
                        .max_retries(0)
                        .build()
                        .unwrap();
                    all_ready.wait();
                    let _ = client.send_requests(&server);
                });
            }
            all_ready.wait();
            let longest = if round % 10 == 9 { LATER } else { SOON };
            std::thread::park_timeout(Duration::from_millis(random(longest)));
            server.kill();
        });
    }
    let (_server, url) = serve(data.path(), Some(&meetings));
    let server = client(&url, &key);
    for client in &mut clients {
        // The second call cancels jobs that the first call created.
        client.send_requests(&server).unwrap();
        client.send_requests(&server).unwrap();
    }
    let jobs = all_ended(&server);
    all_mixed(&server, &jobs);
    all_delivered(&server);
    nothing_lost_or_doubled(&clients, &jobs, &server);
    let (deliveries, doubled) = every_event_came(&jobs, &mut receiver, &secret, &server);
    let (recordings, continued) = recordings_match_their_manifests(data.path(), &jobs, &server);
    let mut by_status = BTreeMap::new();
    for job in &jobs {
        *by_status.entry(job.status.to_string()).or_default() += 1;
    }
    Summary {
        kills,
        jobs: jobs.len(),
        asked_again,
        lost_bots: jobs.iter().map(|job| job.attempt.saturating_sub(1)).sum(),
        by_status,
        deliveries,
        doubled,
        recordings,
        continued,
    }
}

/// From 0 up to this.
pub(crate) fn random(up_to: u64) -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0) % (up_to + 1)
}

impl Client {
    /// Adds two requests: meetings of `seconds`, meetings that admit no bot, and jobs that are cancelled again.
    pub(crate) fn add_requests(
        &mut self,
        (number, round): (usize, usize),
        seconds: u64,
        receiver: &Receiver,
    ) {
        for place in 0..2 {
            let kind = (2 * number + place + round) % 8;
            let scenario = match kind {
                0 => &format!("two-speakers?seconds={seconds}"),
                1 => "no-such-meeting",
                2 => "host-denies",
                3 => "already-ended",
                _ => "two-speakers",
            };
            #[expect(clippy::disallowed_methods, reason = "a time ahead of the server's clock")]
            let now = Timestamp::from(std::time::SystemTime::now());
            let name = format!("{number}-{round}-{place}");
            let job = NewJob {
                meeting_url: format!("https://sandbox.meetbot.dev/{scenario}"),
                external_id: Some(format!("meeting {name}")),
                join_at: (kind > 3).then(|| now + Duration::from_hours(24)),
                webhooks: Some(webhooks_to(receiver, (kind + round / 8).is_multiple_of(2))),
                ..NewJob::default()
            };
            self.open.push(JobRequest { key: format!("key-{name}"), job });
        }
    }

    /// Whether every request and every cancellation is acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.open.is_empty() && self.to_cancel.is_empty()
    }

    /// Sends all open requests. A request that is not acknowledged stays open unchanged; its error is returned.
    pub(crate) fn send_requests(&mut self, server: &MeetBot) -> Result<(), meetbot::Error> {
        let mut answer = Ok(());
        for id in std::mem::take(&mut self.to_cancel) {
            if let Err(error) = server.cancel_bot(&id) {
                self.to_cancel.push(id);
                answer = Err(error);
            }
        }
        for request in std::mem::take(&mut self.open) {
            match dispatch(server, &request, true) {
                Ok(job) => {
                    let id = job.id.clone();
                    if job.join_at.is_some() {
                        self.to_cancel.push(id.clone());
                    }
                    self.acknowledged.push((request, id));
                }
                Err(error) => {
                    self.open.push(request);
                    answer = Err(error);
                }
            }
        }
        // Repeating a request gives the same job, by its idempotency key and by its external id.
        let place = random(self.acknowledged.len().saturating_sub(1) as u64);
        if let Some((request, id)) = self.acknowledged.get(usize::try_from(place).unwrap()) {
            for by_key in [true, false] {
                if let Ok(job) = dispatch(server, request, by_key) {
                    assert_eq!(job.id, *id);
                }
            }
        }
        answer
    }
}

fn dispatch(server: &MeetBot, request: &JobRequest, by_key: bool) -> Result<Job, meetbot::Error> {
    let options = CallOptions::new();
    let options = if by_key { options.idempotency_key(&request.key) } else { options };
    server.with(options)?.dispatch_bot(request.job.clone())
}

fn all_jobs(server: &MeetBot) -> Vec<Job> {
    let list = ListBots { limit: Some(200), ..ListBots::default() };
    server.bots(&list).map(Result::unwrap).collect()
}

/// Polls until the condition holds, which may take long while a server is killed repeatedly.
pub(crate) fn wait_until(holds: impl FnMut() -> Result<(), String>) {
    poll_until(PATIENCE * 10, holds);
}

pub(crate) fn all_ended(server: &MeetBot) -> Vec<Job> {
    let mut jobs = Vec::new();
    wait_until(|| {
        jobs = all_jobs(server);
        match jobs.iter().find(|job| !job.status.is_final()) {
            Some(job) => Err(format!("a job never ends: {job:#?}")),
            None => Ok(()),
        }
    });
    jobs
}

/// Waits until each mix is made and reported, or given up.
pub(crate) fn all_mixed(server: &MeetBot, jobs: &[Job]) {
    for job in jobs.iter().filter(|job| job.manifest_uri.is_some()) {
        wait_until(|| {
            let mixed = server.manifest(&job.id).unwrap().mixed;
            let reported = count(server, &job.id, &EventName::ArtifactReady);
            match (mixed.state, reported) {
                (Some(MixState::Made), 1) | (Some(MixState::Unavailable), 0) => Ok(()),
                (state, _) => Err(format!("{}: {state:?}, reported {reported} times", job.id)),
            }
        });
    }
}

/// How many events of this name a job has.
fn count(server: &MeetBot, id: &str, name: &EventName) -> usize {
    let (mut found, mut cursor) = (0, None);
    loop {
        let page = server.events(id, cursor.as_deref()).unwrap();
        found += page.data.iter().filter(|event| event.event == *name).count();
        cursor = page.next_cursor;
        if cursor.is_none() {
            return found;
        }
    }
}

pub(crate) fn all_delivered(server: &MeetBot) {
    for state in [meetbot::DeliveryState::Pending, meetbot::DeliveryState::Dead] {
        let list = ListDeliveries { state: Some(state), ..ListDeliveries::default() };
        wait_until(|| match server.deliveries(&list).unwrap().data.first() {
            Some(delivery) => Err(format!("it never arrives: {delivery:#?}")),
            None => Ok(()),
        });
    }
}

/// Each acknowledged job exists, and exactly once.
pub(crate) fn nothing_lost_or_doubled(clients: &[Client], jobs: &[Job], server: &MeetBot) {
    let mut by_name: HashMap<&str, Vec<String>> = HashMap::new();
    for job in jobs {
        by_name.entry(job.external_id.as_deref().unwrap()).or_default().push(job.id.clone());
    }
    for (request, id) in clients.iter().flat_map(|client| &client.acknowledged) {
        let name = request.job.external_id.as_deref().unwrap();
        assert_eq!(by_name.remove(name).as_ref(), Some(&vec![id.clone()]), "{name}");
        assert_eq!(dispatch(server, request, true).unwrap().id, *id, "{name}");
    }
    assert!(by_name.is_empty(), "jobs without a request: {by_name:?}");
}

/// Each event of each timeline arrived at each of its endpoints, in order; deliveries that came twice were equal. Returns the number of deliveries and of
/// duplicates.
pub(crate) fn every_event_came(
    jobs: &[Job],
    receiver: &mut Receiver,
    secret: &str,
    server: &MeetBot,
) -> (usize, usize) {
    let arrivals = arrivals(receiver, secret);
    let mut came: HashMap<(&str, &str), Vec<(u64, &str)>> = HashMap::new();
    let mut first: HashMap<&str, &Arrival> = HashMap::new();
    let mut duplicates = 0;
    for arrival in &arrivals {
        let id = arrival.body["deliveryId"].as_str().unwrap();
        if let Some(first) = first.insert(id, arrival) {
            let without_attempt = |arrival: &Arrival| {
                let mut body = arrival.body.clone();
                body.as_object_mut().unwrap().remove("attempt").unwrap();
                (arrival.endpoint.clone(), body)
            };
            assert_eq!(
                without_attempt(first),
                without_attempt(arrival),
                "the same but for its try"
            );
            duplicates += 1;
            continue;
        }
        let data = &arrival.body["data"];
        let lane = (data["jobId"].as_str().unwrap(), arrival.endpoint.as_str());
        let event = (data["sequence"].as_u64().unwrap(), data["event"].as_str().unwrap());
        let lane = came.entry(lane).or_default();
        assert!(lane.last().is_none_or(|(last, _)| *last < event.0), "out of order: {arrival:#?}");
        lane.push(event);
    }
    let mut deliveries = 0;
    for job in jobs {
        let id = job.id.clone();
        let mut events = server.events(&id, None).unwrap();
        while let Some(cursor) = events.next_cursor.take() {
            let page = server.events(&id, Some(&cursor)).unwrap();
            events.data.extend(page.data);
            events.next_cursor = page.next_cursor;
        }
        let Webhooks { on_status_change, on_finalize } = &job.webhooks;
        let mut expected: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
        for (place, event) in (1..).zip(&events.data) {
            assert_eq!(event.data.sequence, place, "a timeline without holes: {id}");
            let endpoints = match event.event {
                EventName::Finalized | EventName::ArtifactReady => HashSet::from([on_finalize]),
                EventName::Failed => HashSet::from([on_status_change, on_finalize]),
                _ => HashSet::from([on_status_change]),
            };
            for endpoint in endpoints.into_iter().flatten() {
                expected.entry(endpoint).or_default().push((place, event.event.as_str()));
                deliveries += 1;
            }
        }
        for (endpoint, events) in expected {
            let path = &endpoint[endpoint.rfind('/').unwrap()..];
            assert_eq!(came.get(&(id.as_str(), path)), Some(&events), "{id} at {endpoint}");
        }
    }
    let there: usize = came.values().map(Vec::len).sum();
    assert_eq!(there, deliveries, "some are of no timeline");
    (deliveries, duplicates)
}

/// The recordings on disk can be played and match their manifests. Returns how many there are, and on how many of them more than one bot worked.
pub(crate) fn recordings_match_their_manifests(
    data: &Path,
    jobs: &[Job],
    server: &MeetBot,
) -> (usize, usize) {
    let (mut recordings, mut continued) = (0, 0);
    for job in jobs {
        let Some(uri) = &job.manifest_uri else { continue };
        let folder = Path::new(uri.strip_prefix("file://").unwrap()).parent().unwrap();
        assert!(folder.starts_with(data.canonicalize().unwrap()));
        recording_matches_its_manifest(folder, job, server);
        recordings += 1;
        continued += usize::from(job.attempt > 1);
    }
    (recordings, continued)
}

/// The files in this folder can be played and match the job's manifest, which is returned.
pub(crate) fn recording_matches_its_manifest(
    folder: &Path,
    job: &Job,
    server: &MeetBot,
) -> Manifest {
    let id = &job.id;
    let manifest = manifest_of(server, id);
    crate::schema::recording_fits(server, id);
    for file in &manifest.files {
        let path = folder.join(&file.name);
        let bytes = fs::read(&path).unwrap();
        let sha256 = Sha256::digest(&bytes).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        assert_eq!((bytes.len() as u64, &sha256), (file.bytes, &file.sha256), "{}", path.display());
        if file.media_type.ends_with("/webm") {
            decodes(&path);
        }
    }
    for track in &manifest.tracks {
        assert!(track.packets > 0, "{id}: {track:#?}");
        let plays = length_ms(&folder.join(&track.file));
        assert!(plays.abs_diff(track.duration_ms) <= 100, "{id}: {plays} ms, {track:#?}");
        let end = track.start_ms + track.duration_ms;
        assert!(end <= manifest.duration_ms, "{id}: {track:#?} {manifest:#?}");
    }
    assert_eq!(
        (&manifest.failure_code, &manifest.leave_reason),
        (&job.failure_code, &job.leave_reason),
        "{id}"
    );
    // A recording that lost a bot is marked as incomplete; not one that was finished again, because the machine was lost that had finished it.
    let one_stay =
        job.attempt == 1 || matches!(&manifest.attempts[..], [only] if only.outcome == "left");
    let whole = job.status == JobStatus::Completed && one_stay;
    assert_eq!(manifest.complete, whole, "{id}: {job:#?} {manifest:#?}");
    assert!(manifest.attempts.len() <= job.attempt as usize, "{id}: {manifest:#?}");
    manifest
}
