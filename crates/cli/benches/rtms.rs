//! `cargo xtask bench bots --rtms`: what a bot costs that receives the stream of a Zoom meeting, beside one in a room of a Janus server, in the same seconds.
//!
//! Two people speak in each meeting, all the time and with the same packets. They and Zoom's servers run in this process, which is not measured;
//! the bots of each platform are of a server of their own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where it cannot go on"
)]

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
    fs,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use meetbot::{JobStatus, ListBots, NewJob, blocking::MeetBot};
use meetbot_testkit::zoom::{SIGNALLING, Step, Stream, Webhook, Zoom, sound};
use serde_json::json;
use tempfile::TempDir;
use tokio::{runtime::Runtime, time::MissedTickBehavior};
use xtask::janus::{Janus, ROOM};

use self::{
    cost::{Cost, costs},
    media::Frames,
    person::{Person, Sends},
};

const PEOPLE: [(&str, u32); 2] = [("Ann", 440), ("Bob", 880)];
/// So many bots of each platform are measured at the same time, so often.
const BOTS: usize = 20;
const ROUNDS: usize = 3;
/// What a bot of Zoom may cost, in bots of Janus.
const WANTED: f64 = 1.5;
/// Settings take no host without a dot.
const HOST: &str = "rtms.zoom.test";
const TOKEN: &str = "the-webhook-secret-token";
const SECRET: &str = "the-client-secret-of-the-app";
/// The connections of a stream: signalling, sound, cameras, shared screen, transcript, chat.
const LINES: [u64; 6] = [SIGNALLING, 1, 2, 4, 8, 16];
const PACKET: Duration = Duration::from_millis(20);
/// Zoom asks this often whether a bot is still there, in packets: 10 s.
const KEEP_ALIVE: i64 = 500;

fn main() {
    let Some(janus) = Janus::start() else { return };
    let runtime = Runtime::new().unwrap();
    let voices = PEOPLE.map(|(_, hz)| media::tone(hz));
    let people = [0, 1].map(|place: usize| {
        let sends = Sends { voice: Some(voices[place].clone()), ..Sends::default() };
        runtime.block_on(Person::join(&janus, ROOM, PEOPLE[place].0, sends))
    });
    let data = [(); 2].map(|()| TempDir::new().unwrap());
    let settings = [
        ("MEETBOT_BOTS_ALLOW_NETWORKS", "10.213.0.0/16"),
        ("MEETBOT_BOTS_MAX", "1000"),
        ("MEETBOT_LOG", "warn"),
        // Without ffmpeg nothing is mixed: meetings are measured, not what comes after them.
        ("PATH", ""),
    ];
    let (janus_server, url) = program::serve_with(data[0].path(), None, &settings);
    let rooms = Bots {
        client: program::client(&url, &program::create_live_key(data[0].path())),
        process: janus_server.child.id(),
    };
    // The first round fills caches and pools that stay.
    let zooms: Vec<Arc<Zoom>> = (0..=ROUNDS * BOTS)
        .map(|number| Arc::new(runtime.block_on(Zoom::start_as(HOST, stream(number))).unwrap()))
        .collect();
    let key = program::create_live_key(data[1].path());
    let (zoom_server, url) = serve(data[1].path(), &zooms);
    let streams = Bots { client: program::client(&url, &key), process: zoom_server.child.id() };

    let link = janus.link(ROOM, "");
    let meet = |numbers: std::ops::Range<usize>| {
        let tasks: Vec<_> = numbers
            .clone()
            .map(|number| {
                rooms.send(link.clone());
                streams.send(format!("https://zoom.us/j/{}", meeting(number)));
                offer(&url, number, &zooms[number]);
                runtime.spawn(speak(Arc::clone(&zooms[number]), voices.clone()))
            })
            .collect();
        rooms.all_record(numbers.len());
        streams.all_record(numbers.len());
        tasks
    };
    let end = |tasks: Vec<tokio::task::JoinHandle<()>>| {
        rooms.end();
        streams.end();
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    };
    end(meet(0..1));
    let both = || costs([&[rooms.process], &[streams.process]]);
    let idle = both();
    println!(
        "a bot of Janus: MB  % of a core   a bot of Zoom: MB  % of a core   in bots of Janus: memory   CPU"
    );
    let (mut memory, mut cpu) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let tasks = meet(1 + round * BOTS..1 + (round + 1) * BOTS);
        let found = both();
        end(tasks);
        let a_bot = |place: usize| Cost {
            megabytes: (found[place].megabytes - idle[place].megabytes) / BOTS as f64,
            core_percent: (found[place].core_percent - idle[place].core_percent) / BOTS as f64,
        };
        let (room, stream) = (a_bot(0), a_bot(1));
        memory.push(stream.megabytes / room.megabytes);
        cpu.push(stream.core_percent / room.core_percent);
        println!(
            "{:>18.2}  {:>11.2}   {:>17.2}  {:>11.2}   {:>24.2}  {:>4.2}",
            room.megabytes,
            room.core_percent,
            stream.megabytes,
            stream.core_percent,
            memory[round],
            cpu[round],
        );
    }
    println!(
        "medians: {:.2} of the memory, {:.2} of the CPU; {WANTED} is wanted at most",
        median(memory),
        median(cpu)
    );
    for person in people {
        runtime.block_on(person.leave());
    }
}

fn median(mut found: Vec<f64>) -> f64 {
    found.sort_unstable_by(f64::total_cmp);
    found[found.len() / 2]
}

fn stream(number: usize) -> Stream {
    Stream {
        client_id: "client".to_owned(),
        client_secret: SECRET.to_owned(),
        meeting_uuid: format!("uuid-{number}"),
        stream_id: format!("stream-{number}"),
    }
}

fn meeting(number: usize) -> usize {
    91_000_000_000 + number
}

#[expect(clippy::disallowed_methods, reason = "Zoom's timestamps are those of now")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Zoom says that a stream has started.
fn offer(url: &str, number: usize, zoom: &Zoom) {
    let payload = json!({
        "meeting_uuid": format!("uuid-{number}"), "meeting_id": meeting(number),
        "rtms_stream_id": format!("stream-{number}"), "server_urls": zoom.url(),
    });
    let webhook = Webhook::flat("meeting.rtms_started", &payload, now_ms(), TOKEN);
    assert_eq!(webhook.post(url).unwrap().0, 200);
}

/// Both people of a meeting speak, without end.
async fn speak(zoom: Arc<Zoom>, voices: [Frames; 2]) {
    let mut ticks = tokio::time::interval(PACKET);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let from_ms = now_ms();
    for number in 0_i64.. {
        ticks.tick().await;
        for (place, (name, _)) in PEOPLE.into_iter().enumerate() {
            let voice = &voices[place];
            let packet = &voice[usize::try_from(number).unwrap() % voice.len()];
            let id = i64::try_from(place).unwrap() + 101;
            zoom.play([sound(id, name, packet, from_ms + number * 20)]).await;
        }
        if number % KEEP_ALIVE == 0 {
            let asks = |line| Step::Say(line, json!({"msg_type": 12, "timestamp": number}));
            zoom.play(LINES.map(asks)).await;
        }
    }
}

/// A server with an app, in a mount namespace with a separate hosts file.
fn serve(folder: &Path, zooms: &[Arc<Zoom>]) -> (program::Running, String) {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let settings = format!(
        "[bots]\nmax = 1000\n[zoom]\nhosts = [\"zoom.test\"]\n[zoom.apps.desk]\nclient_id = \"client\"\nclient_secret_file = \"{}\"\n\
         webhook_secret_files = [\"{}\"]\nconsumer = \"default\"\n",
        file("client", SECRET).display(),
        file("webhook", TOKEN).display()
    );
    let program = program::meetbot();
    let mut command = std::process::Command::new("unshare");
    // The program takes the place of the shell, so that the process that is measured is the server.
    command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && PATH= exec \"$@\""]);
    command.arg(file("hosts", &format!("127.0.0.1 localhost {HOST}\n")));
    command.arg(program.get_program()).args(["serve", "--dev", "--config"]);
    command.arg(file("meetbot.toml", &settings));
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(folder);
    for (name, _) in program.get_envs() {
        command.env_remove(name);
    }
    let certificates: String = zooms.iter().map(|zoom| zoom.pem()).collect();
    command.env("SSL_CERT_FILE", file("zoom.pem", &certificates)).env("MEETBOT_LOG", "warn");
    let (server, started) = program::Running::start(&mut command);
    (server, started["url"].as_str().unwrap().to_owned())
}

/// The bots of one server.
struct Bots {
    client: MeetBot,
    /// The server's process.
    process: u32,
}

impl Bots {
    fn send(&self, meeting_url: String) {
        self.client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap();
    }

    fn recording(&self) -> Vec<String> {
        let list = ListBots { status: vec![JobStatus::Recording], ..ListBots::default() };
        self.client.bots(&list).map(|job| job.unwrap().id).collect()
    }

    /// Waits until so many record.
    fn all_record(&self, count: usize) {
        while self.recording().len() < count {
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Lets all leave.
    fn end(&self) {
        let jobs = self.recording();
        for job in &jobs {
            self.client.leave_bot(job).unwrap();
        }
        for job in &jobs {
            let ended = self.client.wait_for_bot(job, Some(program::PATIENCE)).unwrap();
            assert_eq!(ended.status, JobStatus::Completed, "{ended:?}");
        }
    }
}
