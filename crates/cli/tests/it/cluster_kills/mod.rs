//! Two servers and two workers on one database and one bucket, of which one part after the other fails, and checks of everything that was promised.

mod faults;
mod link;
mod media;
mod parts;

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use meetbot::{JobStatus, NewJob, blocking::MeetBot};
use meetbot_testkit::scripted::Receiver;

use self::{
    faults::{pause, schedule},
    media::Losses,
    parts::Parts,
};
use crate::load::{
    Client, JobRequest, all_delivered, all_ended, all_mixed, every_event_came,
    nothing_lost_or_doubled, webhooks_to,
};

/// How many clients send requests at the same time.
const CLIENTS: usize = 2;
/// How long a client waits for an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the meetings are that workers record while parts fail. One that is over before anything of it is uploaded would wait for a lost disk, for a day.
const MEETING: Duration = Duration::from_secs(25);
/// How many of them begin in each round.
const MEETINGS: usize = 2;

/// The numbers of a run whose checks have all passed.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) faults: BTreeMap<&'static str, usize>,
    pub(crate) jobs: usize,
    by_status: BTreeMap<String, usize>,
    deliveries: usize,
    doubled: usize,
    pub(crate) recordings: usize,
    pub(crate) continued: usize,
    pub(crate) losses: Losses,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, jobs, by_status, deliveries, doubled, recordings, continued, losses } =
            self;
        writeln!(f, "faults: {faults:?}")?;
        writeln!(f, "{jobs} jobs, none lost, none doubled; every job ended: {by_status:?}")?;
        writeln!(
            f,
            "{deliveries} deliveries, all arrived, in order; {doubled} came once more, the same"
        )?;
        writeln!(
            f,
            "{recordings} recordings, {continued} of them by more than one bot: all play and are what their manifests say"
        )?;
        write!(f, "{losses}")
    }
}

/// Makes one part after the other fail, and checks everything afterwards. A suspended process stays suspended for `suspended`.
#[expect(clippy::print_stderr, reason = "the output of a failed run names its faults")]
pub(crate) fn fail_repeatedly(rounds: usize, suspended: Duration) -> Summary {
    let mut parts = Parts::start();
    let mut receiver = Receiver::start([]).unwrap();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::default()).collect();
    let mut losses = Losses::default();
    let mut faults = BTreeMap::new();
    for (round, fault) in schedule(rounds).into_iter().enumerate() {
        for (number, client) in clients.iter_mut().enumerate() {
            client.add_requests((number, round), MEETING.as_secs(), &receiver);
            client.open.extend(
                (0..MEETINGS / CLIENTS).map(|place| {
                    long_meeting(&format!("long-{number}-{round}-{place}"), &receiver)
                }),
            );
        }
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            for client in &mut clients {
                let (urls, key, ended) = (parts.urls(), parts.cluster.key.clone(), &ended);
                scope.spawn(move || send(client, &urls, &key, ended));
            }
            pause(Duration::from_secs(4));
            *faults.entry(fault.name()).or_default() += 1;
            let what = fault.happen(&mut parts, suspended, &mut losses);
            eprintln!("round {round}: {what}");
            ended.store(true, Ordering::Relaxed);
        });
    }
    let servers = parts.clients();
    for client in &mut clients {
        // The second call cancels jobs that the first call created.
        client.send_requests(&servers[0]).unwrap();
        client.send_requests(&servers[1]).unwrap();
    }
    let [server, other] = &servers;
    let jobs = all_ended(server);
    all_mixed(server, &jobs);
    all_delivered(other);
    nothing_lost_or_doubled(&clients, &jobs, other);
    let secret = parts.cluster.secret.clone();
    let (deliveries, doubled) = every_event_came(&jobs, &mut receiver, &secret, other);
    let (mut recordings, mut continued) = (0, 0);
    for job in jobs.iter().filter(|job| job.manifest_uri.is_some()) {
        let manifest = media::recording_is_whole(job, server, &losses);
        losses.add(&manifest, job, &media::claims(job, server));
        recordings += 1;
        continued += usize::from(job.attempt > 1);
    }
    let mut by_status = BTreeMap::new();
    for job in &jobs {
        *by_status.entry(job.status.to_string()).or_default() += 1;
    }
    for job in &jobs {
        let is_meeting = job.external_id.as_deref().is_some_and(|id| id.starts_with("long"));
        assert!(!is_meeting || job.status == JobStatus::Completed, "{job:#?}");
    }
    parts.end();
    let jobs = jobs.len();
    Summary { faults, jobs, by_status, deliveries, doubled, recordings, continued, losses }
}

fn long_meeting(name: &str, receiver: &Receiver) -> JobRequest {
    let seconds = MEETING.as_secs();
    let job = NewJob {
        meeting_url: format!("https://sandbox.meetbot.dev/two-speakers?seconds={seconds}"),
        external_id: Some(name.to_owned()),
        webhooks: Some(webhooks_to(receiver, true)),
        ..NewJob::default()
    };
    JobRequest { key: format!("key-{name}"), job }
}

/// Sends the client's open requests to one server after the other, until all are acknowledged or the round has ended.
fn send(client: &mut Client, urls: &[String; 2], key: &str, ended: &AtomicBool) {
    for url in urls.iter().cycle() {
        let server = MeetBot::builder()
            .api_key(key)
            .base_url(url)
            .timeout(ANSWER)
            .max_retries(0)
            .build()
            .unwrap();
        let answered = client.send_requests(&server).is_ok();
        if answered && client.is_done() || ended.load(Ordering::Relaxed) {
            return;
        }
        pause(Duration::from_millis(100));
    }
}
