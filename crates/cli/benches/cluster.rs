//! `cargo xtask bench cluster`: what PostgreSQL with fsync gives a server: jobs per second beside bare inserts of the same rows, claims per second, and what the
//! heartbeats of a thousand bots cost the database.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark measures time, prints, and stops where it cannot go on"
)]

mod queue;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use meetbot_orchestrator::{
    keys::{self, KeySpec},
    store::{
        JobStore as _, PostgresStore, Quota, Recorded, Reported, Scope, Store as _, StoreUrl,
        Tenant, UsageStore as _,
    },
};
use meetbot_types::{
    JobId, Timestamp,
    bot::{HEARTBEAT_SECONDS, IngestRequest},
};
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_postgres::NoTls;
use xtask::postgres::{Postgres, USER};

const DATABASE: &str = "postgres";
/// How long each number is measured.
const WINDOW: Duration = Duration::from_secs(4);
/// How long the heartbeats are measured.
const HEARTBEATS: Duration = Duration::from_secs(20);
/// Rounds; the median of them is shown.
const ROUNDS: usize = 3;
/// How many callers create at once.
const CALLERS: [usize; 3] = [1, 16, 64];
/// How many workers ask for jobs at once.
const WORKERS: [usize; 3] = [1, 4, 16];
/// How many jobs wait for the workers of a round.
const WAITING: usize = 1_000;
const BOTS: u32 = 1_000;
/// Clock ticks of `/proc` in a second.
const TICKS: f64 = 100.0;

fn main() {
    let database = Postgres::start_durable();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = StoreUrl { url: database.url(DATABASE), ..StoreUrl::default() };
        let store = PostgresStore::open(&url).await.unwrap();
        store.set_default_quota(Quota::default()).await.unwrap();
        let spec =
            KeySpec { consumer: "bench", live: false, scope: Scope::Write, expires_at: None };
        let tenant = keys::create(&store, spec).await.unwrap().key.tenant;
        creates(&database, &store, tenant).await;
        claims(&database, &store, tenant).await;
        heartbeats(&database, &store, tenant).await;
    });
    runtime.shutdown_background();
}

/// Jobs through the store, and the same rows by one insert each on one connection per caller: what this database can do at most without batches.
async fn creates(database: &Postgres, store: &PostgresStore, tenant: Tenant) {
    queue::create(store, tenant, store.now()).await;
    let bare = bare_insert(database);
    println!(
        "callers   creates/s  p50 ms  p99 ms   bare inserts/s  p50 ms  p99 ms   creates : inserts"
    );
    for callers in CALLERS {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let store = store.clone();
            let created = load(callers, async |_| {
                let store = store.clone();
                move || {
                    let store = store.clone();
                    async move { queue::create(&store, tenant, store.now()).await }
                }
            });
            let created = created.await;
            let inserted = load(callers, async |_| {
                let client = connect(database).await;
                let statement = client.prepare(&bare).await.unwrap();
                let (client, statement) = (Arc::new(client), Arc::new(statement));
                move || {
                    let (client, statement) = (Arc::clone(&client), Arc::clone(&statement));
                    async move {
                        let id = JobId::generate(wall()).to_string();
                        client.execute(&*statement, &[&id]).await.unwrap();
                    }
                }
            });
            rounds.push([created, inserted.await]);
        }
        let mut median = |of: &dyn Fn(&[Load; 2]) -> f64| {
            rounds.sort_by(|a, b| of(a).total_cmp(&of(b)));
            of(&rounds[ROUNDS / 2])
        };
        println!(
            "{callers:>7}   {:>9.0}  {:>6.2}  {:>6.2}   {:>14.0}  {:>6.2}  {:>6.2}   1 : {:.2}",
            median(&|[created, _]| created.per_second),
            median(&|[created, _]| created.p50),
            median(&|[created, _]| created.p99),
            median(&|[_, inserted]| inserted.per_second),
            median(&|[_, inserted]| inserted.p50),
            median(&|[_, inserted]| inserted.p99),
            median(&|[created, inserted]| inserted.per_second / created.per_second),
        );
    }
}

/// Inserts the rows of the first job, which is there, under another id into tables with the same indexes.
fn bare_insert(database: &Postgres) -> String {
    let columns = |table: &str| {
        let of = format!(
            "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{table}'"
        );
        database.sql(DATABASE, &[&of])
    };
    let mut insert = Vec::new();
    for (table, id) in [("events", "job"), ("jobs", "id")] {
        database.sql(
            DATABASE,
            &[
                &format!("CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)"),
                &format!("CREATE TABLE first_{table} AS SELECT * FROM {table} LIMIT 1"),
            ],
        );
        let columns = columns(table);
        let value = |column| match column {
            column if column == id => "$1",
            "transaction" => "txid_current()",
            column => column,
        };
        let values: Vec<&str> = columns.split(", ").map(value).collect();
        insert.push(format!(
            "INSERT INTO bare_{table} ({columns}) SELECT {} FROM first_{table}",
            values.join(", ")
        ));
    }
    format!("WITH events AS ({}) {}", insert[0], insert[1])
}

async fn connect(database: &Postgres) -> tokio_postgres::Client {
    let mut config = tokio_postgres::Config::new();
    config.host_path(database.socket()).user(USER).dbname(DATABASE);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Claims of several workers at once, and the processor time that they cost the database.
async fn claims(database: &Postgres, store: &PostgresStore, tenant: Tenant) {
    println!("\nworkers   claims/s   database: ms of a core per claim");
    for workers in WORKERS {
        fill(store, tenant, WAITING).await;
        let (left, begun, before) =
            (Arc::new(AtomicUsize::new(WAITING)), Instant::now(), processor_time(database));
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let (store, left) = (store.clone(), Arc::clone(&left));
            tasks.spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok()
                {
                    queue::claim(&store, store.now()).await;
                }
            });
        }
        tasks.join_all().await;
        let claims = WAITING as f64;
        println!(
            "{workers:>7}   {:>8.0}   {:.2}",
            claims / begun.elapsed().as_secs_f64(),
            (processor_time(database) - before) * 1000.0 / claims,
        );
    }
}

/// Each bot reports every [`HEARTBEAT_SECONDS`], all of them evenly.
async fn heartbeats(database: &Postgres, store: &PostgresStore, tenant: Tenant) {
    fill(store, tenant, BOTS as usize).await;
    let mut bots = Vec::new();
    for _ in 0..BOTS {
        bots.push(queue::claim(store, store.now()).await);
    }
    let mut due = tokio::time::interval(Duration::from_secs(HEARTBEAT_SECONDS.into()) / BOTS);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut reports = JoinSet::new();
    let (begun, before) = (Instant::now(), processor_time(database));
    for bot in bots.iter().cycle() {
        due.tick().await;
        if begun.elapsed() >= HEARTBEATS {
            break;
        }
        let (store, job_id, epoch) = (store.clone(), bot.job.id, bot.job.attempt);
        reports.spawn(async move {
            let sent = Instant::now();
            let request = IngestRequest { job_id, epoch, reports: Vec::new() };
            let now = store.now();
            let reported =
                store.report(request, queue::TOKEN.into(), Recorded::default(), None, now).await;
            assert!(matches!(reported.unwrap(), Reported::Applied(_)));
            sent.elapsed().as_secs_f64() * 1000.0
        });
    }
    let mut times = reports.join_all().await;
    times.sort_by(f64::total_cmp);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "\nheartbeats of {BOTS} bots: {:.0} a second, p50 {:.2} ms, p99 {:.2} ms; database: {:.1} % of a core",
        times.len() as f64 / seconds,
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        (processor_time(database) - before) / seconds * 100.0,
    );
}

/// What was measured; times in ms.
#[derive(Debug)]
struct Load {
    per_second: f64,
    p50: f64,
    p99: f64,
}

/// Calls over and over, by so many callers, which are prepared before.
async fn load<Caller, Call>(callers: usize, prepare: impl AsyncFn(usize) -> Caller) -> Load
where
    Caller: Fn() -> Call + Send + 'static,
    Call: Future<Output = ()> + Send,
{
    let mut prepared = Vec::new();
    for number in 0..callers {
        prepared.push(prepare(number).await);
    }
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in prepared {
        tasks.spawn(async move {
            let mut times = Vec::new();
            while begun.elapsed() < WINDOW {
                let sent = Instant::now();
                caller().await;
                times.push(sent.elapsed().as_secs_f64() * 1000.0);
            }
            times
        });
    }
    let mut times: Vec<f64> = tasks.join_all().await.into_iter().flatten().collect();
    let seconds = begun.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    Load { per_second: times.len() as f64 / seconds, p50: at(50), p99: at(99) }
}

/// So many jobs in the queue.
async fn fill(store: &PostgresStore, tenant: Tenant, count: usize) {
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..count.div_ceil(16) {
                queue::create(&store, tenant, store.now()).await;
            }
        });
    }
    tasks.join_all().await;
}

fn wall() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

/// Seconds of processor time of all processes of the database, those of ended connections included.
fn processor_time(database: &Postgres) -> f64 {
    let parent = database.id();
    let mut ticks = 0.0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split(' ').collect();
        let field = |index: usize| fields[index].parse::<f64>().unwrap_or_default();
        if entry.file_name().to_str() == Some(parent.to_string().as_str()) {
            // Its own, and that of its children that have ended.
            ticks += (11..15).map(field).sum::<f64>();
        } else if fields[1] == parent.to_string() {
            ticks += field(11) + field(12);
        }
    }
    ticks / TICKS
}
