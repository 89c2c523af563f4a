//! `cargo xtask bench webhooks`: how long from a bot's report to the first byte of its webhook at the receiver, how many deliveries a second, and what ten thousand
//! endpoints that do not answer change about it.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark measures time, prints, and stops where it cannot go on"
)]

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use meetbot::{MeetBot, NewJob, Timestamp, Webhooks};
use meetbot_orchestrator::{
    BotExit, Config, Launcher, Orchestrator, SandboxLink, Stop,
    keys::{self, KeySpec},
    store::Scope,
    tls,
};
use meetbot_types::{
    Availability, JobId, Manifest, Platform, Via,
    bot::{
        BotOrder, BotReport, ChatMessage, IngestRequest, MediaCounters, MixOrder, NumberedReport,
        Secret,
    },
};
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// How many bots report.
const BOTS: usize = 50;
const BOTS_U32: u32 = 50;
/// How many events there are each second while throughput is measured: about what a server delivers, and far more.
const LOADS: [u32; 2] = [1_500, 10_000];
/// How many of their events there are each second while latency is measured.
const PER_SECOND: u32 = 100;
/// How long each part is measured.
const WINDOW: Duration = Duration::from_secs(10);
/// How many endpoints do not answer.
const DEAD: usize = 10_000;

/// Hands each order to the benchmark.
struct ManualLauncher(mpsc::UnboundedSender<BotOrder>);

#[async_trait]
impl Launcher for ManualLauncher {
    fn available(&self) -> Vec<Availability> {
        let (platform, via) = (Platform::Sandbox, Via::Sandbox);
        vec![Availability { platform, via, experimental: false, missing: Vec::new() }]
    }

    async fn run(&self, order: BotOrder, stop: Stop) -> BotExit {
        self.0.send(order).unwrap();
        stop.leave.cancelled().await;
        BotExit::Ended
    }

    fn is_behind(&self) -> bool {
        false
    }

    fn set_server_url(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn is_alive(&self, _: JobId, _: u32) -> bool {
        false
    }

    async fn adopt(&self, _: JobId, _: u32, _: Stop) -> BotExit {
        BotExit::Ended
    }

    async fn mix(&self, _: MixOrder, _: CancellationToken) -> io::Result<Option<Manifest>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn main() {
    let data = TempDir::new().unwrap();
    let servers = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (sender, mut orders) = mpsc::unbounded_channel();
    let (server, key) = servers.block_on(start(&data, sender));
    // The receivers have a separate thread on the server's machine.
    let outside =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = MeetBot::builder().api_key(&key).base_url(server.url()).build().unwrap();
    outside.block_on(async {
        let mut receiver = Receiver::start().await;
        let mut bots = bots(&client, &mut orders, &receiver.url).await;
        receiver.settle().await;

        println!(
            "                                        events/s  arrived   p50 ms   p99 ms   max ms"
        );
        latency("a healthy endpoint alone", &mut bots, &mut receiver).await;
        for (what, url) in [
            ("that hang", hanging().await),
            ("that refuse", refusing().await),
            ("that reset", resetting().await),
        ] {
            let before = url.tried.load(Ordering::Relaxed);
            alive(&mut bots, dead(&client, &url.url)).await;
            latency(&format!("beside {DEAD} {what}"), &mut bots, &mut receiver).await;
            let tried = url.tried.load(Ordering::Relaxed) - before;
            if tried > 0 {
                println!("    ({tried} connections to them meanwhile)");
            }
        }
        println!();
        for load in LOADS {
            throughput(&mut bots, &mut receiver, load).await;
        }
    });
    servers.block_on(server.stop());
    exit(outside, servers);
}

fn exit(outside: Runtime, servers: Runtime) {
    outside.shutdown_background();
    servers.shutdown_background();
}

async fn start(data: &TempDir, orders: mpsc::UnboundedSender<BotOrder>) -> (Orchestrator, String) {
    let mut config = Config::load(None, |_| None).unwrap();
    config.listen = ([127, 0, 0, 1], 0).into();
    config.data_dir = data.path().to_owned();
    // The receivers are on loopback.
    config.development = true;
    let (address, token) = ("ws://127.0.0.1:1".to_owned(), Secret::random());
    let sandbox = SandboxLink { address, token, check: |_| Ok(()) };
    let server =
        Orchestrator::start(config, Arc::new(ManualLauncher(orders)), sandbox).await.unwrap();
    let spec = KeySpec { consumer: "bench", live: false, scope: Scope::Write, expires_at: None };
    let key = keys::create(server.store(), spec).await.unwrap();
    (server, key.secret.expose().to_owned())
}

/// A bot in its call.
struct Bot {
    http: Client,
    order: BotOrder,
    seq: u64,
}

impl Bot {
    async fn report(&mut self, reports: Vec<BotReport>) {
        let at = Timestamp::from(wall());
        let numbered = |report| {
            self.seq += 1;
            NumberedReport { seq: self.seq, at, report }
        };
        let request = IngestRequest {
            job_id: self.order.job_id,
            epoch: self.order.epoch,
            reports: reports.into_iter().map(numbered).collect(),
        };
        let url = format!("{}/api/v1/ingest", self.order.orchestrator_url);
        let sent = self.http.post(url).bearer_auth(self.order.token.expose()).json(&request).send();
        assert!(sent.await.unwrap().status().is_success());
    }

    /// So many messages in one report; their ids.
    async fn chat(&mut self, count: u64) -> Vec<String> {
        let ids: Vec<String> = (1..=count)
            .map(|number| format!("{}-{}", self.order.job_id, self.seq + number))
            .collect();
        let message = |id: &String| BotReport::Chat {
            message: ChatMessage {
                id: id.clone(),
                sender_id: "alice".into(),
                sender: "Alice".into(),
                text: "the numbers of the third quarter are in the sheet".into(),
                private: false,
                at_ms: 0,
            },
        };
        self.report(ids.iter().map(message).collect()).await;
        ids
    }
}

async fn bots(
    client: &MeetBot,
    orders: &mut mpsc::UnboundedReceiver<BotOrder>,
    url: &str,
) -> Vec<Bot> {
    let http = Client::builder().tls_backend_preconfigured(tls::config()).no_proxy();
    let http = http.build().unwrap();
    let mut bots = Vec::new();
    for _ in 0..BOTS {
        client.dispatch_bot(job(url, None)).await.unwrap();
        let order = orders.recv().await.unwrap();
        let mut bot = Bot { http: http.clone(), order, seq: 0 };
        bot.report(vec![BotReport::Admitted, BotReport::RecordingStarted]).await;
        bots.push(bot);
    }
    bots
}

fn job(url: &str, join_at: Option<Timestamp>) -> NewJob {
    NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers".to_owned(),
        webhooks: Some(Webhooks { on_status_change: Some(url.to_owned()), on_finalize: None }),
        join_at,
        ..NewJob::default()
    }
}

/// Bare HTTP, so that the first byte of each request is seen.
struct Receiver {
    url: String,
    arrived: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/healthy", listener.local_addr().unwrap());
        let (sender, arrived) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(take(stream, sender.clone()));
            }
        });
        Self { url, arrived }
    }

    /// Waits until nothing comes any more.
    async fn settle(&mut self) {
        while tokio::time::timeout(Duration::from_millis(500), self.arrived.recv()).await.is_ok() {}
    }
}

async fn take(mut stream: TcpStream, arrived: mpsc::UnboundedSender<(Instant, Vec<u8>)>) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 65_536];
    loop {
        let (mut filled, mut first, mut body) = (0, None, None);
        while body.is_none_or(|(start, length)| filled < start + length) {
            match stream.read(&mut buffer[filled..]).await {
                Ok(0) | Err(_) => return,
                Ok(count) => filled += count,
            }
            first.get_or_insert_with(steady);
            if body.is_none() {
                body = head(&buffer[..filled]);
            }
        }
        let (start, length) = body.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        if stream.write_all(answer).await.is_err() {
            return;
        }
        let _ = arrived.send((first.unwrap(), buffer[start..start + length].to_vec()));
    }
}

/// Where the body begins, and how long it is.
fn head(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = text.split("content-length:").nth(1)?.split("\r\n").next()?.trim().parse().ok()?;
    Some((end + 4, length))
}

fn id_of(body: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(body).ok()?;
    Some(event["data"]["message"]["id"].as_str()?.to_owned())
}

/// Events at a steady rate, each from another bot.
async fn latency(what: &str, bots: &mut Vec<Bot>, receiver: &mut Receiver) {
    let mut sent = HashMap::new();
    let mut flying: JoinSet<(Bot, Instant, Vec<String>)> = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let count = PER_SECOND as usize * usize::try_from(WINDOW.as_secs()).unwrap();
    let mut started = 0;
    while started < count || !flying.is_empty() {
        tokio::select! {
            _ = ticks.tick(), if started < count && !bots.is_empty() => {
                let mut bot = bots.pop().unwrap();
                started += 1;
                flying.spawn(async move {
                    let began = steady();
                    let ids = bot.chat(1).await;
                    (bot, began, ids)
                });
            }
            Some(done) = flying.join_next() => {
                let (bot, began, ids) = done.unwrap();
                sent.extend(ids.into_iter().map(|id| (id, began)));
                bots.insert(0, bot);
            }
        }
    }
    let mut times = Vec::new();
    while times.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), receiver.arrived.recv()).await;
        let Ok(Some((at, body))) = next else { break };
        if let Some(began) = id_of(&body).and_then(|id| sent.remove(&id)) {
            times.push(at.saturating_duration_since(began).as_secs_f64() * 1000.0);
        }
    }
    times.sort_by(f64::total_cmp);
    let at =
        |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
    let [p50, p99, max] = [50, 99, 100].map(|share| at(share).copied().unwrap_or(f64::NAN));
    println!(
        "{what:<38}  {PER_SECOND:>8}  {:>3}/{count}  {p50:>7.1}  {p99:>7.1}  {max:>7.1}",
        times.len()
    );
}

/// More events than a server has to bear, each report with twenty of them.
async fn throughput(bots: &mut Vec<Bot>, receiver: &mut Receiver, load: u32) {
    receiver.settle().await;
    let stop = CancellationToken::new();
    let mut talking = JoinSet::new();
    for mut bot in bots.drain(..) {
        let stop = stop.clone();
        talking.spawn(async move {
            let mut turns = tokio::time::interval(Duration::from_secs(1) * 20 * BOTS_U32 / load);
            let mut count = 0;
            while !stop.is_cancelled() {
                turns.tick().await;
                count += bot.chat(20).await.len();
            }
            (bot, count)
        });
    }
    let began = steady();
    let mut arrived = 0_usize;
    while began.elapsed() < WINDOW {
        if let Ok(Some(_)) =
            tokio::time::timeout(Duration::from_millis(100), receiver.arrived.recv()).await
        {
            arrived += 1;
        }
    }
    let window = began.elapsed().as_secs_f64();
    stop.cancel();
    let mut reported = 0;
    while let Some(talked) = talking.join_next().await {
        let (bot, count) = talked.unwrap();
        reported += count;
        bots.push(bot);
    }
    println!(
        "{:.0} deliveries/s to one endpoint, while {:.0} events/s were reported",
        arrived as f64 / window,
        reported as f64 / window
    );
}

/// Bots give signs of life while something is done.
async fn alive(bots: &mut [Bot], work: impl Future<Output = ()>) {
    let mut work = std::pin::pin!(work);
    let mut beats = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            () = &mut work => return,
            _ = beats.tick() => {
                let beat = || vec![BotReport::Heartbeat { media: MediaCounters::default() }];
                futures_util::future::join_all(bots.iter_mut().map(|bot| bot.report(beat()))).await;
            }
        }
    }
}

/// An event for each of so many endpoints.
async fn dead(client: &MeetBot, url: &str) {
    let mut calls = JoinSet::new();
    let join_at = Some(Timestamp::from(wall()) + Duration::from_hours(24));
    for number in 0..DEAD {
        if calls.len() >= 32 {
            calls.join_next().await.unwrap().unwrap();
        }
        let (client, url) = (client.clone(), format!("{url}/{number}"));
        calls.spawn(async move {
            // A cancelled job is reported.
            let job = client.dispatch_bot(job(&url, join_at)).await.unwrap();
            client.cancel_bot(&job.id).await.unwrap();
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
}

/// Endpoints that do not answer, and how often they were connected to.
struct Dead {
    url: String,
    tried: Arc<AtomicUsize>,
}

/// They take the request and say nothing.
async fn hanging() -> Dead {
    treating("hang", async |mut stream| {
        let mut buffer = [0; 1_024];
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    })
    .await
}

/// Nobody listens there.
async fn refusing() -> Dead {
    listening("refuse").await.1
}

/// They reset the connection once the request has come.
async fn resetting() -> Dead {
    treating("reset", async |mut stream| {
        let _ = stream.read(&mut [0; 1]).await;
        let _ = stream.set_zero_linger();
    })
    .await
}

/// They treat each connection so.
async fn treating<Treated>(
    path: &str,
    treat: impl Fn(TcpStream) -> Treated + Send + 'static,
) -> Dead
where
    Treated: Future<Output = ()> + Send + 'static,
{
    let (listener, dead) = listening(path).await;
    let tried = Arc::clone(&dead.tried);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tried.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(treat(stream));
        }
    });
    dead
}

async fn listening(path: &str) -> (TcpListener, Dead) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/{path}", listener.local_addr().unwrap());
    (listener, Dead { url, tried: Arc::default() })
}

fn steady() -> Instant {
    Instant::now()
}

fn wall() -> SystemTime {
    SystemTime::now()
}
