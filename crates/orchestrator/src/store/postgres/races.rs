//! The contract and the model on PostgreSQL, and what they cannot show: many who ask at the same moment.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use meetbot_types::{
    Cause, DeliveryId, DeliveryTry, JobId, LeaveReason,
    bot::{BotReport, IngestRequest, NumberedReport},
};
use xtask::postgres::{Postgres, USER};

use super::{
    OpenError, PostgresStore, StoreUrl,
    backend::{Database, SOCKET, make_template, run},
};
use crate::store::{
    Capacity, Claim, Claimed, Creation, DeliveryAttempt, DeliveryStore as _, JobStore as _,
    KeyStore as _, Recorded, Reported, Store as _, Tenant, UsageStore as _, Verdict, contract,
};

/// How many jobs each of two consumers makes in the races.
const JOBS: usize = 40;

pub(super) fn server() -> Postgres {
    let server = Postgres::start();
    make_template(&server.socket());
    server
}

/// They are the tests of this binary that take their store from `Backend`, run once more in a process whose environment selects PostgreSQL.
#[tokio::test]
async fn the_contract_and_the_model_hold_on_postgresql() {
    let server = server();
    let tests = std::env::current_exe().unwrap();
    let mut run = tokio::process::Command::new(tests);
    run.args(["store::contract::", "store::model::"]).env(SOCKET, server.socket());
    if std::env::var_os("MEETBOT_MODEL_COUNT").is_none() {
        run.env("MEETBOT_MODEL_COUNT", "1");
    }
    let done = run.kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    assert!(
        said.contains("the_store_equals_its_model_after_each_action_of_random_histories"),
        "{said}"
    );
    assert!(!server.log().contains("deadlock detected"), "{}", server.log());
}

pub(super) fn url(database: &Database) -> StoreUrl {
    StoreUrl { url: database.url(), ..StoreUrl::default() }
}

pub(super) async fn create(store: &PostgresStore, tenant: Tenant) {
    let now = store.now();
    let job = contract::new_job(now);
    let start = contract::start(&job);
    let created = store.create_job(tenant, job, contract::link(), start, None, now).await.unwrap();
    assert!(matches!(created, Creation::Created(_)), "{created:?}");
}

/// A bot that says that it has left; or is lost, and was never heard.
async fn play(store: &PostgresStore, claimed: &Claimed, token: [u8; 32], lost: bool) {
    let now = store.now();
    if lost {
        assert!(store.release(claimed.job.id, claimed.job.attempt, now).await.unwrap());
        return;
    }
    let ending = Cause::Left(LeaveReason::MeetingEnded).ending(false, false);
    let ended = BotReport::Ended {
        ending,
        manifest_uri: None,
        duration_ms: 1,
        paused_ms: 0,
        consent_revoked: false,
    };
    let report = |reports: Vec<NumberedReport>| IngestRequest {
        job_id: claimed.job.id,
        epoch: claimed.job.attempt,
        reports,
    };
    for reports in [Vec::new(), vec![NumberedReport { seq: 1, at: now.wall, report: ended }]] {
        let reported = store
            .report(report(reports), token.into(), Recorded::default(), None, now)
            .await
            .unwrap();
        assert!(matches!(reported, Reported::Applied(_)), "{reported:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_that_start_at_the_same_moment_make_one_first_key() {
    let server = server();
    for _ in 0..10 {
        let database = Database::new(&server.socket());
        let mut stores = Vec::new();
        for _ in 0..8 {
            stores.push(PostgresStore::open(&url(&database)).await.unwrap());
        }
        let made = stores.iter().map(|store| {
            let (store, key) = (store.clone(), contract::key("default", false));
            tokio::spawn(async move { store.create_first_key(key, store.now()).await.unwrap() })
        });
        let mut first = 0;
        for made in made.collect::<Vec<_>>() {
            first += usize::from(made.await.unwrap().is_some());
        }
        assert_eq!((first, stores[0].keys().await.unwrap().len()), (1, 1));
    }
}

/// Four servers, and at each of them callers, bots, senders and a reaper at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_calls_have_the_result_of_some_serial_order() {
    let server = server();
    let database = Database::new(&server.socket());
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(PostgresStore::open(&url(&database)).await.unwrap());
    }
    let mut tenants = Vec::new();
    for name in ["acme", "umbrella"] {
        let key = contract::key(name, true);
        tenants.push(stores[0].create_key(key, stores[0].now()).await.unwrap().0.tenant);
    }
    let (ended, tokens) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let with_bot = Arc::new(Mutex::new(HashSet::<JobId>::new()));
    let sent = Arc::new(Mutex::new(HashMap::<DeliveryId, (JobId, u64)>::new()));
    let mut tasks = Vec::new();
    for (index, store) in stores.iter().enumerate() {
        let (store, tenant) = (store.clone(), tenants[index % 2]);
        tasks.push(tokio::spawn(async move {
            for _ in 0..JOBS / 2 {
                create(&store, tenant).await;
            }
        }));
    }
    for store in stores.iter().cycle().take(6) {
        let (store, ended, tokens, with_bot) =
            (store.clone(), Arc::clone(&ended), Arc::clone(&tokens), Arc::clone(&with_bot));
        tasks.push(tokio::spawn(async move {
            while ended.load(Ordering::SeqCst) < 2 * JOBS {
                let mut token = [0; 32];
                let number = tokens.fetch_add(1, Ordering::SeqCst);
                token[..8].copy_from_slice(&number.to_le_bytes());
                let claimed =
                    match store.claim(token, contract::all_available(), store.now()).await.unwrap()
                    {
                        Claim::Bot(claimed) => claimed,
                        Claim::Nothing => {
                            tokio::task::yield_now().await;
                            continue;
                        }
                        Claim::NoMinutes(job) => panic!("{job} finds no minutes"),
                    };
                let id = claimed.job.id;
                assert!(
                    with_bot.lock().unwrap().insert(id),
                    "{id} has two bots, or one after its end"
                );
                let lost = number.is_multiple_of(5) && claimed.job.attempt == 1;
                if lost {
                    with_bot.lock().unwrap().remove(&id);
                }
                play(&store, &claimed, token, lost).await;
                if !lost {
                    ended.fetch_add(1, Ordering::SeqCst);
                }
            }
        }));
    }
    for store in stores.iter().take(2) {
        let (store, ended, sent) = (store.clone(), Arc::clone(&ended), Arc::clone(&sent));
        tasks.push(tokio::spawn(async move {
            loop {
                let done = ended.load(Ordering::SeqCst) >= 2 * JOBS;
                let room = Capacity { proven: 20, unproven: 20 };
                let taken = store.due_deliveries(room, store.now()).await.unwrap();
                assert!(store.reap(store.now()).await.unwrap().is_empty());
                if done && taken.due.is_empty() && store.tally().await.unwrap().backlog == 0 {
                    return;
                }
                for due in taken.due {
                    let (id, data) = (due.event.delivery_id, &due.event.data);
                    let earlier = sent.lock().unwrap().insert(id, (data.job_id, data.sequence));
                    assert!(earlier.is_none(), "{id} is sent twice");
                    let tried = DeliveryTry {
                        at: store.now().wall,
                        duration_ms: 1,
                        status: Some(200),
                        error: None,
                        answer: None,
                    };
                    let (delivery, since, verdict) = (id, due.since, Verdict::Delivered);
                    let tried =
                        DeliveryAttempt { delivery, since, tried, verdict, rest_wanted: None };
                    store.tried(tried, store.now()).await.unwrap();
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for tenant in tenants {
        let used = stores[3].used(tenant, stores[3].now()).await.unwrap();
        assert_eq!((used.bots, used.queued), (0, 0));
    }
    let tally = stores[3].tally().await.unwrap();
    assert_eq!(tally.ended.iter().map(|ended| ended.jobs).sum::<u64>(), 2 * JOBS as u64);
    assert!(sent.lock().unwrap().len() >= 2 * JOBS, "each end is sent");
    assert!(!server.log().contains("deadlock detected"), "{}", server.log());
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_refused_with_what_is_wrong() {
    let server = server();
    let socket = server.socket();
    let host = socket.replace('/', "%2F");
    let open = async |url: String| {
        let opened = PostgresStore::open(&StoreUrl { url, ..StoreUrl::default() }).await;
        opened.err().expect("it is refused")
    };
    let reported = open(format!("postgres://{USER}@{host}/none")).await;
    assert!(matches!(reported, OpenError::NoDatabase { .. }), "{reported}");
    let reported = open(format!("postgres://nobody@{host}/postgres")).await;
    assert!(matches!(reported, OpenError::Refused { .. }), "{reported}");
    let reported = open(format!("postgres://{USER}@%2Fnowhere/postgres")).await;
    assert!(matches!(reported, OpenError::Unreachable { .. }), "{reported}");
    let database = Database::new(&socket);
    let name = database.name();
    run(&socket, "postgres", &[&format!("ALTER DATABASE {name} SET synchronous_commit = off")]);
    let reported = open(database.url()).await;
    assert!(matches!(reported, OpenError::NotSynchronous), "{reported}");
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    run(&socket, "postgres", &[&read_only]);
    let reported = open(database.url()).await;
    assert!(matches!(reported, OpenError::ReadOnly), "{reported}");
    let newer = Database::new(&socket);
    run(&socket, newer.name(), &["UPDATE meetbot_schema SET steps = 99, oldest = 99"]);
    let reported = open(newer.url()).await;
    assert!(matches!(reported, OpenError::Newer { steps: 99, .. }), "{reported}");
}

#[tokio::test]
async fn a_second_server_on_the_same_database_is_refused_until_the_first_has_left() {
    let server = server();
    let database = Database::new(&server.socket());
    let serve = async |node| {
        PostgresStore::serve(&url(&database), node, None, Arc::new(|_, _, _| ())).await
    };
    let first = serve("one").await.unwrap();
    let reported = serve("other").await.err().expect("it is refused");
    assert!(matches!(reported, OpenError::AnotherServer { .. }), "{reported}");
    // As after a kill: started again on its data folder.
    let again = serve("one").await.unwrap();
    let refused = first.keys().await.unwrap_err();
    assert!(matches!(refused, crate::store::StoreError::Unavailable(_)), "{refused}");
    first.displaced().await;
    again.keys().await.unwrap();
    first.close().await;
    let reported =
        serve("other").await.err().expect("the one that was displaced does not let it in");
    assert!(matches!(reported, OpenError::AnotherServer { .. }), "{reported}");
    again.close().await;
    serve("other").await.unwrap().close().await;
}

#[tokio::test]
async fn the_same_data_folder_on_another_machine_is_another_server() {
    let server = server();
    let database = Database::new(&server.socket());
    let serve =
        async || PostgresStore::serve(&url(&database), "one", None, Arc::new(|_, _, _| ())).await;
    let first = serve().await.unwrap();
    // Its heartbeats continue, from another machine.
    run(&server.socket(), database.name(), &["UPDATE nodes SET host = 'elsewhere'"]);
    let reported = serve().await.err().expect("it is refused");
    assert!(
        matches!(&reported, OpenError::AnotherServer { host } if host == "elsewhere"),
        "{reported}"
    );
    first.close().await;
    // A new server waits until a killed one has been silent for long enough.
    let killed = "INSERT INTO nodes VALUES ('two', 'elsewhere', 'none', meetbot_now() - 9000)";
    run(&server.socket(), database.name(), &[killed]);
    serve().await.unwrap().close().await;
}
