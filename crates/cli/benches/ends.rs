//! `cargo xtask bench ends [MEETINGS]`: as many meetings as a server has places for end at once while as many begin. How long after its end each job is completed,
//! how long the next meetings wait for their bots, when all mixes are made, and how long the API takes to answer meanwhile.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where it cannot go on"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/program.rs"]
mod program;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use meetbot::{EventName, Job, JobStatus, NewJob, Timestamp, blocking::MeetBot};
use tempfile::TempDir;

/// How many meetings end at once, by default.
const MEETINGS: usize = 200;
/// How long a meeting takes, in seconds.
const SECONDS: u64 = 30;
/// How long after the last dispatch the first meetings begin.
const AHEAD: Duration = Duration::from_secs(3);
/// How often the API is asked.
const ASK_EVERY: Duration = Duration::from_millis(10);

fn main() {
    let count = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let count = count.map_or(MEETINGS, |count| count.parse().unwrap());
    let data = TempDir::new().unwrap();
    let (_sandbox, address) = program::sandbox();
    // No more places than meetings: those that begin need those of the meetings that end.
    let (_server, url) = program::serve_with(
        data.path(),
        Some(&address),
        &[("MEETBOT_BOTS_MAX", &count.to_string())],
    );
    let (key, _) = program::create_key(data.path(), &[]);
    let client = program::client(&url, &key);

    let start =
        Timestamp::from(SystemTime::now()) + AHEAD + Duration::from_millis(count as u64 * 5);
    let end = start + Duration::from_secs(SECONDS);
    let ending = dispatch(&client, count, start);
    let beginning = dispatch(&client, count, end);

    let measuring = Arc::new(AtomicBool::new(true));
    let asking = ask(program::client(&url, &key), ending[0].clone(), end, Arc::clone(&measuring));
    let ended = wait(&client, &ending);
    let began = wait(&client, &beginning);
    let mixes = mixes(&client, ending.iter().chain(&beginning));
    measuring.store(false, Ordering::Relaxed);
    let answers = asking.join().unwrap();

    println!("{count} meetings of {SECONDS} s end at once, and {count} begin; times in ms");
    println!("                                          median       p99       max");
    let after_its_end = |jobs: &[Job]| {
        jobs.iter()
            .map(|job| {
                let end = job.joined_at.unwrap() + Duration::from_secs(SECONDS);
                job.ended_at.unwrap().millis_since(end) as f64
            })
            .collect()
    };
    row("from a meeting's end to `completed`", after_its_end(&ended));
    row("the same of those that began then", after_its_end(&began));
    let late = began.iter().map(|job| job.joined_at.unwrap().millis_since(end) as f64);
    row("from their time to `in_call`", late.collect());
    row("from `completed` to the mix", mixes);
    row("answers of the API meanwhile", answers);
}

/// Dispatches so many bots that are to join then.
fn dispatch(client: &MeetBot, count: usize, join_at: Timestamp) -> Vec<String> {
    let meeting_url = format!("https://sandbox.meetbot.dev/two-speakers?seconds={SECONDS}");
    (0..count)
        .map(|_| {
            let new = NewJob {
                meeting_url: meeting_url.clone(),
                join_at: Some(join_at),
                ..NewJob::default()
            };
            client.dispatch_bot(new).unwrap().id
        })
        .collect()
}

/// Asks for a job again and again from this moment on; answers how long each answer took.
fn ask(
    client: MeetBot,
    id: String,
    from: Timestamp,
    measuring: Arc<AtomicBool>,
) -> thread::JoinHandle<Vec<f64>> {
    thread::spawn(move || {
        let ahead = from.millis_since(Timestamp::from(SystemTime::now()));
        thread::sleep(Duration::from_millis(u64::try_from(ahead).unwrap_or(0)));
        let mut answers = Vec::new();
        while measuring.load(Ordering::Relaxed) {
            let asked = Instant::now();
            client.get_bot(&id).unwrap().unwrap();
            answers.push(asked.elapsed().as_secs_f64() * 1000.0);
            thread::sleep(ASK_EVERY);
        }
        answers
    })
}

/// The jobs, once all have ended.
fn wait(client: &MeetBot, ids: &[String]) -> Vec<Job> {
    let mut jobs = BTreeMap::new();
    while jobs.len() < ids.len() {
        for id in ids {
            if jobs.contains_key(id) {
                continue;
            }
            let job = client.get_bot(id).unwrap().unwrap();
            if !job.status.is_final() {
                break;
            }
            assert_eq!(job.status, JobStatus::Completed, "{job:#?}");
            jobs.insert(id.clone(), job);
        }
        thread::sleep(Duration::from_millis(100));
    }
    jobs.into_values().collect()
}

/// How long after its job's end each mix was made, once all are.
fn mixes<'a>(client: &MeetBot, ids: impl Iterator<Item = &'a String>) -> Vec<f64> {
    ids.map(|id| {
        let manifest = program::mixed(client, id);
        assert!(manifest.mixed.file.is_some(), "{:?}", manifest.mixed);
        loop {
            let events = client.events(id, None).unwrap().data;
            let at = |name: &EventName| {
                events.iter().find(|event| event.event == *name).and_then(|event| event.emitted_at)
            };
            if let Some(made) = at(&EventName::ArtifactReady) {
                return made.millis_since(at(&EventName::Finalized).unwrap()) as f64;
            }
            thread::sleep(ASK_EVERY);
        }
    })
    .collect()
}

fn row(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what:<38} {:>9.1} {:>9.1} {:>9.1}", at(50), at(99), at(100));
}
