//! `cargo xtask bench bots --janus`: what bots in a meeting of a Janus server cost beside a browser that does the same there, and how many of them lose nothing.
//!
//! Two people send voice and camera. They run in this process, which is not measured; all bots run in one server's process.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark measures time, prints, and stops where it cannot go on"
)]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/browsers/chromium.rs"]
mod chromium;
mod cost;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../bot/tests/it/janus/media.rs"]
mod media;
#[path = "../../bot/tests/it/janus/missing.rs"]
mod missing;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/browsers/pages.rs"]
mod pages;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../bot/tests/it/janus/person.rs"]
mod person;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/program.rs"]
mod program;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use meetbot::{Job, JobStatus, ListBots, NewJob, blocking::MeetBot};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use xtask::janus::{Janus, ROOM};

use self::{
    chromium::Chromium,
    cost::{WINDOW, costs},
    missing::missing,
    pages::Pages,
    person::{Person, Sends},
};

const PEOPLE: [(&str, u32); 2] = [("Ann", 440), ("Bob", 880)];
/// What is compared.
const COUNTS: [usize; 4] = [1, 10, 50, 100];
/// From there on, more and more bots come, so many more each time, until something is lost.
const FIRST: usize = 100;
const STEP: usize = 25;
/// No further step begins after this time.
const LONGEST: Duration = Duration::from_mins(5);

fn main() {
    let Some(janus) = Janus::start() else { return };
    let _pages = Pages::serve(&janus);
    let runtime = Runtime::new().unwrap();
    let people = PEOPLE.map(|(name, hz)| {
        let (voice, camera) = (Some(media::tone(hz)), Some(media::scene()));
        let sends = Sends { voice, camera, ..Sends::default() };
        runtime.block_on(Person::join(&janus, ROOM, name, sends))
    });
    let data = TempDir::new().unwrap();
    let settings = [
        ("MEETBOT_BOTS_ALLOW_NETWORKS", "10.213.0.0/16"),
        ("MEETBOT_BOTS_MAX", "1000"),
        ("MEETBOT_LOG", "warn"),
        // Without ffmpeg nothing is mixed: meetings are measured, not what comes after them.
        ("PATH", ""),
    ];
    let (server, url) = program::serve_with(data.path(), None, &settings);
    let key = program::create_live_key(data.path());
    let meeting = Meeting {
        client: program::client(&url, &key),
        link: janus.link(ROOM, ""),
        server: server.child.id(),
    };
    // The first bot fills caches and pools that stay.
    meeting.gather(1);
    costs([&[meeting.server]]);
    meeting.end();

    beside_a_browser(&janus, &meeting);
    how_many(&janus, &meeting);
    for person in people {
        runtime.block_on(person.leave());
    }
}

/// What bots cost, and what a browser does, all in the same meeting at the same time.
fn beside_a_browser(janus: &Janus, meeting: &Meeting) {
    let [idle] = costs([&[meeting.server]]);
    println!("idle server: {:.1} MB, {:.2} % of a core", idle.megabytes, idle.core_percent);
    let mut browser = Chromium::start(janus, &[]);
    let tab = pages::join(&mut browser, "videoroomtest.html", "Browser", "&subscriber-mode=true");
    for feed in 1..=PEOPLE.len() {
        // It plays what both send.
        browser.until(&tab, &format!("$('#videoremote{feed} video').get(0)?.currentTime > 0"));
        browser.until(&tab, &format!("$('#videoremote{feed} audio').get(0)?.currentTime > 0"));
    }
    println!(
        "bots   MB per bot  % of a core per bot   browser: MB  % of a core   a bot is 1/… of its memory, of its CPU   Janus: % of a core   missing"
    );
    for count in COUNTS {
        meeting.gather(count);
        let processes = group(browser.process.id());
        let [server, chromium, room] = costs([&[meeting.server], &processes, &[janus.pid()]]);
        let bots = count as f64;
        let megabytes = (server.megabytes - idle.megabytes) / bots;
        let core_percent = (server.core_percent - idle.core_percent) / bots;
        println!(
            "{count:>4}  {megabytes:>11.2}  {core_percent:>18.2}  {:>12.0}  {:>11.1}  {:>27.0}  {:>10.0}  {:>18.0}  {:>8}",
            chromium.megabytes,
            chromium.core_percent,
            chromium.megabytes / megabytes,
            chromium.core_percent / core_percent,
            room.core_percent,
            meeting.end(),
        );
    }
}

/// How many bots have everything that was sent in their files.
fn how_many(janus: &Janus, meeting: &Meeting) {
    let started = Instant::now();
    let mut most = None;
    println!(
        "bots   packets and pictures in the files   missing   full sockets threw away: Janus'  the bots'   % of a core: Janus  the bots"
    );
    for count in (FIRST..).step_by(STEP) {
        if started.elapsed() > LONGEST {
            println!("there is no time for more");
            break;
        }
        let before = [janus.pid(), meeting.server].map(thrown_away);
        meeting.gather(count);
        let [room, server] = costs([&[janus.pid()], &[meeting.server]]);
        // Sockets take what they threw away with them when they are closed.
        let after = [janus.pid(), meeting.server].map(thrown_away);
        let (missing, written) = meeting.end_and_count();
        println!(
            "{count:>4}  {written:>33}  {missing:>8}  {:>30}  {:>9}  {:>18.0}  {:>8.0}",
            after[0].saturating_sub(before[0]),
            after[1].saturating_sub(before[1]),
            room.core_percent,
            server.core_percent,
        );
        if missing > 0 {
            break;
        }
        most = Some(count);
    }
    match most {
        Some(most) => println!("nothing is lost with up to {most} bots"),
        None => println!("something is lost with {FIRST} bots"),
    }
}

/// The meeting, seen by who sends bots there.
struct Meeting {
    client: MeetBot,
    link: String,
    /// The server's process.
    server: u32,
}

impl Meeting {
    /// Sends so many bots, and waits until all of them record.
    fn gather(&self, count: usize) {
        for _ in 0..count {
            let meeting_url = self.link.clone();
            self.client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap();
        }
        while self.recording().len() < count {
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn recording(&self) -> Vec<Job> {
        let list = ListBots { status: vec![JobStatus::Recording], ..ListBots::default() };
        self.client.bots(&list).map(|job| job.unwrap()).collect()
    }

    /// Lets all bots leave; answers how much is missing in their files.
    fn end(&self) -> u64 {
        self.end_and_count().0
    }

    /// The same, and how many packets and pictures are in them.
    fn end_and_count(&self) -> (u64, u64) {
        let jobs: Vec<String> = self.recording().iter().map(|job| job.id.clone()).collect();
        for job in &jobs {
            self.client.leave_bot(job).unwrap();
        }
        let (mut not_there, mut there) = (0, 0);
        for job in &jobs {
            let ended = self.client.wait_for_bot(job, Some(program::PATIENCE)).unwrap();
            assert_eq!(ended.status, JobStatus::Completed, "{ended:?}");
            let manifest = program::manifest_of(&self.client, job);
            let window = u64::try_from(WINDOW.as_millis()).unwrap();
            assert!(manifest.duration_ms > window, "{manifest:#?}");
            not_there += missing(&manifest, PEOPLE.len());
            there += manifest.tracks.iter().map(|track| track.packets).sum::<u64>();
            self.client.delete_recording(job).unwrap();
        }
        (not_there, there)
    }
}

/// The processes of a group.
fn group(leader: u32) -> Vec<u32> {
    let leader = leader.to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        entry.unwrap().file_name().to_str().and_then(|name| name.parse::<u32>().ok())
    });
    let leads = |pid: &u32| {
        // After the name: state, parent, group.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|fields| fields.split(' ').nth(2)) == Some(&leader)
    };
    processes.filter(leads).collect()
}

/// How many datagrams the sockets in a process' network had no room for.
fn thrown_away(pid: u32) -> u64 {
    let sockets = fs::read_to_string(format!("/proc/{pid}/net/udp")).unwrap();
    sockets
        .lines()
        .skip(1)
        .filter_map(|socket| socket.split_whitespace().last()?.parse::<u64>().ok())
        .sum()
}
