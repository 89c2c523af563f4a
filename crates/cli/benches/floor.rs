//! `cargo xtask bench floor`: what a native bot costs beside the least that recording its packets can cost, and how many bots a core has room for.
//!
//! The least is a bare loop that receives as many datagrams of the same sizes, in the same seconds: see `bare`. With `--beside PROGRAM`, bots of another
//! build of meetbot are in the same meetings. Numbers choose how many meetings there are (1 and 50). The senders run in other processes and are not measured.
//!
//! With `--kill N` it shows instead what the files lack of N meetings whose process is killed.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark measures time, prints, and stops where it cannot go on"
)]

mod bare;
#[expect(dead_code, reason = "shared with other benchmarks, which use all of it")]
mod cost;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../bot/tests/it/janus/media.rs"]
mod media;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../bot/tests/it/janus/person.rs"]
mod person;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/program.rs"]
mod program;

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime},
};

use meetbot::{JobStatus, ListBots, NewJob, blocking::MeetBot};
use nix::{time::ClockId, unistd::Pid};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use xtask::janus::{Janus, ROOM};

use self::{
    bare::{Bare, Datagrams, PAYLOAD_BYTES},
    person::{Person, Sends},
};

/// How many meetings, unless the arguments say so.
const COUNTS: [usize; 2] = [1, 50];
/// How many meetings the bare loop has without bots: with so many bots and their senders, a machine with two processors has no time left.
const ALONE: [usize; 2] = [500, 1_000];
/// How often CPU time is measured, and for how long.
const ROUNDS: usize = 3;
const WINDOW: Duration = Duration::from_secs(10);
/// Packets of speech in the loop of a bare meeting: ten seconds.
const LOOP: usize = 500;
const SILENCE: [u8; 3] = [0xF8, 0xFF, 0xFE];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["--bare", meetings, folder] = arguments[..] {
        bare::run(meetings.parse().unwrap(), Path::new(folder));
    }
    if let ["--kill", count] = arguments[..] {
        return kill(count.parse().unwrap());
    }
    let (beside, counts) = match arguments[..] {
        ["--beside", program, ref counts @ ..] => (Some(program), counts),
        ref counts => (None, counts),
    };
    let counts: Vec<usize> = counts.iter().map(|count| count.parse().unwrap()).collect();
    let counts = if counts.is_empty() { COUNTS.to_vec() } else { counts };

    println!(
        "meeting      bots   % of a core per meeting: the bare loop   a bot   in bare loops   bots per core   MB per bot{}",
        if beside.is_some() { "   the other build's bot   ratio" } else { "" }
    );
    let (_sandbox, address) = program::sandbox();
    let servers = Server::start_all(beside, Some(&address));
    for voices in [2, 10] {
        let link =
            format!("https://sandbox.meetbot.dev/two-speakers?seconds=3600&speakers={voices}");
        let datagrams = bare::encrypted(speech(voices));
        for count in &counts {
            measure(&format!("{voices} voices"), *count, &servers, &link, &datagrams);
        }
    }
    let datagrams = bare::encrypted(speech(2));
    for count in ALONE {
        let folder = TempDir::new().unwrap();
        let bare = Bare::start(count, folder.path(), Datagrams::clone(&datagrams));
        let found = (0..ROUNDS).map(|_| core_percents(&[bare.process.id()])[0] / count as f64);
        println!("{:<12} {count:>4}   {:>38.3}", "2 voices", median(found.collect()));
    }
    drop(servers);
    let Some(janus) = Janus::start() else { return };
    let (voice, camera) = (media::tone(440), media::scene());
    let runtime = Runtime::new().unwrap();
    let people = ["Ann", "Bob"].map(|name| {
        let sends =
            Sends { voice: Some(voice.clone()), camera: Some(camera.clone()), ..Sends::default() };
        runtime.block_on(Person::join(&janus, ROOM, name, sends))
    });
    let servers = Server::start_all(beside, None);
    let datagrams = bare::encrypted(cameras(&voice, &camera.frames));
    for count in &counts {
        measure("2 cameras", *count, &servers, &janus.link(ROOM, ""), &datagrams);
    }
    for person in people {
        runtime.block_on(person.leave());
    }
}

/// Kills the process of so many bots of two voices, and prints how long before its end each file was written last. What a bot received until then is in its files,
/// but for the datagrams that waited in its sockets.
fn kill(count: usize) {
    let (_sandbox, address) = program::sandbox();
    let Server { process, _data: data, .. } = {
        let server = Server::start(None, Some(&address));
        server.gather("https://sandbox.meetbot.dev/two-speakers?seconds=3600", count);
        thread::sleep(WINDOW);
        server
    };
    let before = cpu_seconds(process.child.id());
    thread::sleep(WINDOW);
    let percent = (cpu_seconds(process.child.id()) - before) / WINDOW.as_secs_f64() * 100.0;
    process.kill();
    let killed = SystemTime::now();
    let mut lacks = Vec::new();
    for job in fs::read_dir(data.path().join("recordings")).unwrap() {
        for file in fs::read_dir(job.unwrap().path().join("e1")).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|extension| extension == "webm") {
                let written = fs::metadata(file).unwrap().modified().unwrap();
                lacks.push(killed.duration_since(written).unwrap_or_default().as_secs_f64());
            }
        }
    }
    lacks.sort_unstable_by(f64::total_cmp);
    let at = |share: usize| lacks[(lacks.len() - 1) * share / 100] * 1_000.0;
    println!("bots   % of a core   files   last written before the end, ms: p50     p99     max");
    println!(
        "{count:>4}   {percent:>11.1}   {:>5}   {:>36.0}   {:>5.0}   {:>5.0}",
        lacks.len(),
        at(50),
        at(99),
        at(100),
    );
}

/// One voice speaks, the others send silence, as in the sandbox.
fn speech(voices: u8) -> impl Iterator<Item = Vec<(u8, Vec<u8>)>> {
    let words = media::opus(include_bytes!("../../sandbox/speech/alice.opus"));
    (0..LOOP).map(move |tick| {
        let speaks =
            |voice| if voice == 0 { words[tick % words.len()].to_vec() } else { SILENCE.to_vec() };
        (0..voices).map(|voice| (voice, speaks(voice))).collect()
    })
}

/// Two voices, and two cameras with a picture in every other tick.
fn cameras(
    voice: &[std::sync::Arc<[u8]>],
    camera: &[std::sync::Arc<[u8]>],
) -> impl Iterator<Item = Vec<(u8, Vec<u8>)>> {
    (0..LOOP).map(move |tick| {
        let mut sent: Vec<_> =
            (0..2).map(|person| (person, voice[tick % voice.len()].to_vec())).collect();
        if tick % 2 == 0 {
            let picture = &camera[tick / 2 % camera.len()];
            for person in 2..4 {
                sent.extend(picture.chunks(PAYLOAD_BYTES).map(|part| (person, part.to_vec())));
            }
        }
        sent
    })
}

/// Prints what so many meetings cost.
fn measure(meeting: &str, count: usize, servers: &[Server], link: &str, datagrams: &Datagrams) {
    for server in servers {
        server.gather(link, count);
    }
    let folder = TempDir::new().unwrap();
    let bare = Bare::start(count, folder.path(), Datagrams::clone(datagrams));
    let mut processes = vec![bare.process.id()];
    processes.extend(servers.iter().map(|server| server.process.child.id()));
    let mut found = vec![Vec::new(); processes.len()];
    for _ in 0..ROUNDS {
        for (place, percent) in core_percents(&processes).into_iter().enumerate() {
            let idle = place.checked_sub(1).map_or(0.0, |server| servers[server].idle);
            found[place].push((percent - idle) / count as f64);
        }
    }
    let mut found = found.into_iter().map(median);
    let (floor, bot) = (found.next().unwrap(), found.next().unwrap());
    let megabytes =
        (cost::megabytes(processes[1]).unwrap() - servers[0].idle_megabytes) / count as f64;
    let beside = found
        .next()
        .map_or(String::new(), |other| format!("   {other:>21.3}   {:>5.2}", bot / other));
    println!(
        "{meeting:<12} {count:>4}   {floor:>38.3}   {bot:>5.3}   {:>13.1}   {:>13.0}   {megabytes:>10.2}{beside}",
        bot / floor,
        100.0 / bot,
    );
    drop(bare);
    for server in servers {
        server.end();
    }
}

/// The CPU time of each process in one window, in percent of a core.
fn core_percents(processes: &[u32]) -> Vec<f64> {
    let spent = || processes.iter().map(|process| cpu_seconds(*process)).collect::<Vec<_>>();
    // What has just begun settles first.
    thread::sleep(Duration::from_secs(1));
    let (started, before) = (Instant::now(), spent());
    thread::sleep(WINDOW);
    let (after, seconds) = (spent(), started.elapsed().as_secs_f64());
    before.iter().zip(after).map(|(before, after)| (after - before) / seconds * 100.0).collect()
}

/// By the process' clock: the ticks of `/proc` are too long for a bare loop.
fn cpu_seconds(process: u32) -> f64 {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(process.cast_signed())).unwrap();
    Duration::from(clock.now().unwrap()).as_secs_f64()
}

fn median(mut found: Vec<f64>) -> f64 {
    found.sort_unstable_by(f64::total_cmp);
    found[found.len() / 2]
}

/// A server and its bots.
struct Server {
    process: program::Running,
    client: MeetBot,
    _data: TempDir,
    /// What it costs without bots.
    idle: f64,
    idle_megabytes: f64,
}

impl Server {
    /// A server of this build, and one of the other build if there is one.
    fn start_all(beside: Option<&str>, sandbox: Option<&str>) -> Vec<Self> {
        let beside = beside.map(|program| Self::start(Some(program), sandbox));
        std::iter::once(Self::start(None, sandbox)).chain(beside).collect()
    }

    /// Starts a server of this program, by default of this build; its bots join the sandbox at this address, or a Janus.
    fn start(program: Option<&str>, sandbox: Option<&str>) -> Self {
        let (template, data) = (program::meetbot(), TempDir::new().unwrap());
        let mut command =
            Command::new(program.map_or(template.get_program(), std::ffi::OsStr::new));
        for (name, _) in template.get_envs() {
            command.env_remove(name);
        }
        command.env("MEETBOT_BOTS_MAX", "1000").env("MEETBOT_LOG", "warn");
        command.env("MEETBOT_BOTS_ALLOW_NETWORKS", "10.213.0.0/16");
        // Without ffmpeg nothing is mixed: meetings are measured, not what comes after them.
        command.env("PATH", "").args(["serve", "--dev", "--listen", "127.0.0.1:0"]);
        let key = match sandbox {
            Some(address) => {
                command.args(["--sandbox", address]);
                command.env("MEETBOT_SANDBOX_TOKEN", program::sandbox_token().expose());
                program::create_key(data.path(), &[]).0
            }
            None => program::create_live_key(data.path()),
        };
        let (process, started) =
            program::Running::start(command.arg("--data-dir").arg(data.path()));
        let client = program::client(started["url"].as_str().unwrap(), &key);
        let mut server = Self { process, client, _data: data, idle: 0.0, idle_megabytes: 0.0 };
        server.idle = core_percents(&[server.process.child.id()])[0];
        server.idle_megabytes = cost::megabytes(server.process.child.id()).unwrap();
        server
    }

    /// Sends so many bots, and waits until all of them record.
    fn gather(&self, link: &str, count: usize) {
        for _ in 0..count {
            let meeting_url = link.to_owned();
            self.client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap();
        }
        while self.recording().len() < count {
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn recording(&self) -> Vec<String> {
        let list = ListBots { status: vec![JobStatus::Recording], ..ListBots::default() };
        self.client.bots(&list).map(|job| job.unwrap().id).collect()
    }

    /// Lets all bots leave; nothing may be missing.
    fn end(&self) {
        let jobs = self.recording();
        for job in &jobs {
            self.client.leave_bot(job).unwrap();
        }
        let mut lost = BTreeMap::new();
        for job in &jobs {
            let ended = self.client.wait_for_bot(job, Some(program::PATIENCE)).unwrap();
            assert_eq!(ended.status, JobStatus::Completed, "{ended:?}");
            let manifest = program::manifest_of(&self.client, job);
            let packets = manifest.tracks.iter().map(|track| track.lost_packets).sum::<u64>();
            if packets > 0 {
                lost.insert(job, packets);
            }
            self.client.delete_recording(job).unwrap();
        }
        if !lost.is_empty() {
            println!("lost packets: {lost:?}");
        }
    }
}
