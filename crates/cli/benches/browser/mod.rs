//! Bots with Chromium in the imitation of Google Meet: how long they take to join, and what they cost beside native bots in the sandbox, in one run.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

#[path = "../../tests/it/led.rs"]
mod led;

use std::{
    collections::HashMap,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use meetbot::{JobStatus, NewJob, blocking::MeetBot};
use meetbot_imitation::{Action, Imitation, Scenario, Signal, Step};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{cost::costs, program};

/// How many joins are measured, one after the other.
const ROUNDS: usize = 5;
/// How often the imitation is looked at.
const LOOK: Duration = Duration::from_millis(10);

pub(crate) fn run() {
    let runtime = Runtime::new().unwrap();
    let (data, tools) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let chromium = led::led_by_job(tools.path());
    let settings = [
        ("MEETBOT_BOTS_BROWSER_ENABLED", "true"),
        ("MEETBOT_BOTS_BROWSER_NO_SANDBOX", "true"),
        ("MEETBOT_BOTS_BROWSER_MAX", "4"),
        ("MEETBOT_BOTS_BROWSER_BINARY", chromium.to_str().unwrap()),
    ];
    let (_sandbox, address) = program::sandbox();
    let (server, url) = program::serve_with(data.path(), Some(&address), &settings);
    let live = program::client(&url, &program::create("--live", data.path(), &[]).0);
    let native = program::client(&url, &program::create_key(data.path(), &[]).0);
    joins(&runtime, &live, tools.path());
    println!("bots  browser: MB and % of a core each   native: MB and % of a core each");
    for count in [1_u32, 4] {
        let meetings: Vec<_> = (0..count).map(|_| join(&runtime, &live, tools.path())).collect();
        for (id, imitation) in &meetings {
            await_status(&live, id, &JobStatus::InCall);
            for person in ["Ann Host", "Ben Weber"] {
                imitation.act(Action::Say { person: person.to_owned(), ms: 60_000 });
            }
            await_status(&live, id, &JobStatus::Recording);
        }
        let processes: Vec<u32> = meetings.iter().flat_map(|(id, _)| tree(id)).collect();
        let server_process = [server.child.id()];
        let [browsers, without_native] = costs([&processes, &server_process]);
        // Native bots are tasks of the server: they cost what it needs more than just before.
        let jobs: Vec<_> = (0..count)
            .map(|_| dispatch(&native, "https://sandbox.meetbot.dev/two-speakers?seconds=3600"))
            .collect();
        for id in &jobs {
            await_status(&native, id, &JobStatus::Recording);
        }
        let [of_server] = costs([&server_process]);
        let each = |value: f64| value / f64::from(count);
        println!(
            "{count:>4}  {:>10.0} {:>22.1}   {:>16.2} {:>14.2}",
            each(browsers.megabytes),
            each(browsers.core_percent),
            each(of_server.megabytes - without_native.megabytes),
            each(of_server.core_percent - without_native.core_percent),
        );
        for (client, id) in
            meetings.iter().map(|(id, _)| (&live, id)).chain(jobs.iter().map(|id| (&native, id)))
        {
            client.leave_bot(id).unwrap();
            client.wait_for_bot(id, Some(program::PATIENCE)).unwrap();
        }
        for (_, imitation) in meetings {
            runtime.block_on(imitation.stop());
        }
    }
}

/// Measures from the dispatch to `joining`, and to the request to join.
fn joins(runtime: &Runtime, client: &MeetBot, folder: &Path) {
    let (mut joining, mut knocks) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let (id, imitation) = join(runtime, client, folder);
        while imitation.observed().knocks == 0 {
            assert!(begun.elapsed() < program::PATIENCE, "the bot does not ask to join");
            thread::sleep(LOOK);
        }
        knocks.push(begun.elapsed().as_millis());
        let job = client.get_bot(&id).unwrap().unwrap();
        let events = client.events(&id, None).unwrap().data;
        let is_joining =
            |event: &&meetbot::TimelineEvent| event.data.status == Some(JobStatus::Joining);
        let event = events.iter().find(is_joining).unwrap();
        joining.push(event.emitted_at.unwrap().millis_since(job.created_at.unwrap()));
        await_status(client, &id, &JobStatus::InCall);
        client.leave_bot(&id).unwrap();
        client.wait_for_bot(&id, Some(program::PATIENCE)).unwrap();
        runtime.block_on(imitation.stop());
    }
    joining.sort_unstable();
    knocks.sort_unstable();
    println!(
        "from dispatch to joining, {ROUNDS} bots: median {} ms, slowest {} ms; to the request to join: median {} ms, slowest {} ms",
        joining[ROUNDS / 2],
        joining[ROUNDS - 1],
        knocks[ROUNDS / 2],
        knocks[ROUNDS - 1]
    );
}

/// Sends a bot to a meeting that admits it.
fn join(runtime: &Runtime, client: &MeetBot, folder: &Path) -> (String, Imitation) {
    let steps = vec![Step { on: Signal::Knocked, then: vec![Action::Admit] }];
    let scenario = Scenario { steps, ..Scenario::default() };
    let imitation = runtime.block_on(meetbot_imitation::serve(scenario)).unwrap();
    let id = dispatch(client, "https://meet.google.com/abc-mnop-xyz");
    led::lead(&id, &imitation, folder);
    (id, imitation)
}

fn dispatch(client: &MeetBot, url: &str) -> String {
    let job = NewJob { meeting_url: url.to_owned(), ..NewJob::default() };
    client.dispatch_bot(job).unwrap().id
}

fn await_status(client: &MeetBot, id: &str, status: &JobStatus) {
    let begun = Instant::now();
    loop {
        let job = client.get_bot(id).unwrap().unwrap();
        if job.status == *status
            || (*status == JobStatus::InCall && job.status == JobStatus::Recording)
        {
            return;
        }
        assert!(begun.elapsed() < program::PATIENCE && !job.status.is_final(), "{job:#?}");
        thread::sleep(LOOK * 10);
    }
}

/// The process of a job's bot, and all that it has started.
fn tree(job: &str) -> Vec<u32> {
    let mut parents = HashMap::new();
    let mut tree = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let read = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let stat = read("stat");
        let parent =
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        parents.extend(parent.map(|parent: u32| (pid, parent)));
        if read("cmdline").starts_with(&format!("meetbot\0bot\0{job}\0")) {
            tree.push(pid);
        }
    }
    let mut at = 0;
    while at < tree.len() {
        let parent = tree[at];
        tree.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    tree
}
