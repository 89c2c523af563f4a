//! `cargo xtask bench api`: how many creates per second are on disk, with the audit log and without it, beside `/healthz` of the same server in the same run.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark measures time, prints, and stops where it cannot go on"
)]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/program.rs"]
mod program;

use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// How long each number is measured.
const WINDOW: Duration = Duration::from_secs(4);
/// Rounds; the median of them is shown.
const ROUNDS: usize = 3;

fn main() {
    let with = Server::start("90");
    let without = Server::start("0");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!(
        "connections  creates/s  p50 ms  p99 ms   no audit log  p50 ms  p99 ms   with : without   healthz/s   creates : healthz"
    );
    for connections in [1, 16, 64] {
        let load = |server: &Server, request: &str, status| {
            runtime.block_on(load(&server.address, request, status, connections))
        };
        let mut rounds: Vec<[Load; 3]> = (0..ROUNDS)
            .map(|_| {
                [
                    load(&with, &with.create, 201),
                    load(&without, &without.create, 201),
                    load(&with, &with.health, 200),
                ]
            })
            .collect();
        // The median of each, and of their ratio in one round.
        let mut median = |of: &dyn Fn(&[Load; 3]) -> f64| {
            rounds.sort_by(|a, b| of(a).total_cmp(&of(b)));
            of(&rounds[ROUNDS / 2])
        };
        let [create, bare] = [0, 1].map(|kind| {
            [
                median(&|round| round[kind].per_second),
                median(&|round| round[kind].p50),
                median(&|round| round[kind].p99),
            ]
        });
        let health = median(&|round| round[2].per_second);
        println!(
            "{connections:>11}  {:>9.0}  {:>6.2}  {:>6.2}   {:>12.0}  {:>6.2}  {:>6.2}   {:>14.2}   {health:>9.0}   1 : {:.1}",
            create[0],
            create[1],
            create[2],
            bare[0],
            bare[1],
            bare[2],
            median(&|[with, without, _]| with.per_second / without.per_second),
            median(&|[create, _, health]| health.per_second / create.per_second),
        );
    }
    runtime.shutdown_background();
}

/// A server, and what it is asked.
struct Server {
    address: String,
    create: String,
    health: String,
    _data: TempDir,
    _running: program::Running,
}

impl Server {
    /// One that keeps its audit log for so many days.
    fn start(keep_audit: &str) -> Self {
        let data = TempDir::new().unwrap();
        let (running, started) = program::Running::start(
            program::meetbot()
                .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
                .arg(data.path())
                // What is measured is the server, not what it grants a key, and not its log.
                .env("MEETBOT_LIMITS_REQUESTS_PER_MINUTE", "0")
                .env("MEETBOT_LIMITS_QUEUED_JOBS", "0")
                .env("MEETBOT_LOG", "info")
                .env("MEETBOT_AUDIT_KEEP_DAYS", keep_audit),
        );
        let (key, _) = program::create_key(data.path(), &[]);
        let address = started["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
        let body = r#"{"meetingUrl":"https://sandbox.meetbot.dev/two-speakers","joinAt":"JOIN_AT","metadata":{"order":4711}}"#
            .replace("JOIN_AT", &(now() + Duration::from_hours(24)).to_string());
        let create = format!(
            "POST /api/v1/jobs HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let health = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n");
        Self { address, create, health, _data: data, _running: running }
    }
}

/// What was measured; times in ms.
#[derive(Debug)]
struct Load {
    per_second: f64,
    p50: f64,
    p99: f64,
}

/// Sends the request over and over on so many connections; every answer must have the status.
async fn load(address: &str, request: &str, status: u16, connections: usize) -> Load {
    let started = instant();
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (address, request) = (address.to_owned(), request.to_owned());
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut times, mut buffer) = (Vec::new(), Vec::new());
            while started.elapsed() < WINDOW {
                let sent = instant();
                stream.write_all(request.as_bytes()).await.unwrap();
                let answered = answer(&mut stream, &mut buffer).await;
                assert_eq!(answered, status);
                times.push(sent.elapsed().as_secs_f64() * 1000.0);
            }
            times
        });
    }
    let mut times: Vec<f64> = tasks.join_all().await.into_iter().flatten().collect();
    let seconds = started.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    Load { per_second: times.len() as f64 / seconds, p50: at(50), p99: at(99) }
}

/// Reads one answer to its end; its status.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> u16 {
    buffer.clear();
    loop {
        assert!(stream.read_buf(buffer).await.unwrap() > 0, "the server hung up");
        let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if buffer.len() >= end + 4 + length.parse::<usize>().unwrap() {
            return head[9..12].parse().unwrap();
        }
    }
}

fn instant() -> Instant {
    Instant::now()
}

fn now() -> meetbot::Timestamp {
    meetbot::Timestamp::from(std::time::SystemTime::now())
}
