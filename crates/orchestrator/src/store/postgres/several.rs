//! Several servers on one database.

use std::{sync::Arc, time::Duration};

use meetbot_types::{JobId, Timestamp};
use tokio::sync::mpsc;
use xtask::postgres::Postgres;

use super::{
    Heard, OpenError, PostgresStore,
    backend::{Database, run},
    races,
};
use crate::store::{
    Capacity, Claim, DeliveryStore as _, JobStore as _, KeyStore as _, ServerStore as _,
    Store as _, contract,
};

const BUCKET: &str = "s3://acme/eu";
const PATIENCE: Duration = Duration::from_secs(30);

struct Cluster {
    // Dropped before its server.
    database: Database,
    server: Postgres,
}

impl Cluster {
    fn new() -> Self {
        let server = races::server();
        let database = Database::new(&server.socket());
        Self { database, server }
    }

    async fn enter(&self, node: &str, bucket: Option<&str>) -> Result<PostgresStore, OpenError> {
        let (url, bucket) = (races::url(&self.database), bucket.map(ToOwned::to_owned));
        PostgresStore::serve(&url, node, bucket, Arc::new(|_, _, _| ())).await
    }

    async fn serve(&self, node: &str) -> PostgresStore {
        self.enter(node, Some(BUCKET)).await.unwrap()
    }

    async fn is_refused(&self, node: &str, bucket: Option<&str>) {
        let refused = self.enter(node, bucket).await.err().expect("it is refused");
        assert!(matches!(refused, OpenError::AnotherServer { .. }), "{refused}");
    }

    fn run(&self, statement: &str) {
        run(&self.server.socket(), self.database.name(), &[statement]);
    }
}

/// Waits until something is true.
async fn until(mut is: impl AsyncFnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let looks = async {
        while !is().await {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, looks).await.expect("it becomes true");
}

/// It is dead, and others see that at once.
async fn die(cluster: &Cluster, store: &PostgresStore, node: &str) {
    let heartbeat = store.heartbeat.lock().unwrap().take().unwrap();
    heartbeat.abort();
    assert!(heartbeat.await.unwrap_err().is_cancelled());
    cluster.run("UPDATE cluster SET up_since = -1000000000000000");
    cluster.run(&format!("UPDATE nodes SET seen_at = seen_at - 20000 WHERE node = '{node}'"));
}

#[tokio::test]
async fn servers_with_the_same_bucket_share_a_database_and_others_are_refused() {
    let cluster = Cluster::new();
    let (first, second) = (cluster.serve("one").await, cluster.serve("two").await);
    for store in [&first, &second] {
        store.keys().await.unwrap();
        until(async || store.has_others()).await;
    }
    assert!(first.has_duties() && !second.has_duties());
    cluster.is_refused("three", None).await;
    cluster.is_refused("three", Some("s3://acme/us")).await;
    // As after a kill: started again on its data folder, and the other goes on.
    let again = cluster.serve("one").await;
    assert!(first.keys().await.is_err());
    first.displaced().await;
    again.keys().await.unwrap();
    second.keys().await.unwrap();
    // One of them has the duties, the other takes them when it leaves.
    until(async || again.has_duties() || second.has_duties()).await;
    let (holder, other) = if again.has_duties() { (again, second) } else { (second, again) };
    assert!(!other.has_duties());
    holder.close().await;
    until(async || other.has_duties() && !other.has_others()).await;
}

#[tokio::test]
async fn a_server_with_recordings_on_its_disk_stays_alone() {
    let cluster = Cluster::new();
    let first = cluster.serve("one").await;
    let second = cluster.serve("two").await;
    until(async || first.has_others()).await;
    assert!(!first.keep_files().await.unwrap(), "another one is there");
    second.close().await;
    assert!(first.keep_files().await.unwrap());
    cluster.is_refused("two", Some(BUCKET)).await;
    first.close().await;
    // Recordings that were finished before there was a bucket.
    let first = cluster.serve("one").await;
    let (key, _) = first.create_key(contract::key("acme", true), first.now()).await.unwrap();
    races::create(&first, key.tenant).await;
    cluster.run("UPDATE jobs SET files_since = 1, job = jsonb_set(job::JSONB, '{manifestUri}', '\"file:///e1/manifest.json\"')::TEXT");
    let refused = cluster.enter("two", Some(BUCKET)).await.err().expect("it is refused");
    assert!(matches!(refused, OpenError::OnADisk { .. }), "{refused}");
    cluster.run("UPDATE jobs SET files_since = NULL");
    cluster.serve("two").await.close().await;
}

#[tokio::test]
async fn a_silent_server_is_replaced_and_may_come_back() {
    let cluster = Cluster::new();
    let (first, second) = (cluster.serve("one").await, cluster.serve("two").await);
    let (key, _) = first.create_key(contract::key("acme", true), first.now()).await.unwrap();
    let mut job = contract::new_job(first.now());
    let hook = Some("https://acme.example/hook".to_owned());
    job.webhooks = meetbot_types::Webhooks { on_status_change: hook, on_finalize: None };
    let (start, now) = (contract::start(&job), first.now());
    first.create_job(key.tenant, job, contract::link(), start, None, now).await.unwrap();
    first.claim([1; 32], contract::all_available(), first.now()).await.unwrap();
    let room = Capacity { proven: 20, unproven: 20 };
    let due = second.due_deliveries(room, second.now()).await.unwrap().due;
    assert!(!due.is_empty());
    assert!(first.due_deliveries(room, first.now()).await.unwrap().due.is_empty());

    die(&cluster, &second, "two").await;
    let mut given_back = Vec::new();
    until(async || {
        given_back = first.due_deliveries(room, first.now()).await.unwrap().due;
        !given_back.is_empty()
    })
    .await;
    assert_eq!(given_back[0].event.delivery_id, due[0].event.delivery_id);
    let refused = second.keys().await.unwrap_err();
    assert!(matches!(refused, crate::store::StoreError::Unavailable(_)), "{refused}");
    // As after SIGCONT.
    second.start_heartbeat();
    until(async || second.keys().await.is_ok()).await;
    assert!(!second.displaced.is_cancelled());
    // Unless another server beside which it may not work has taken the place of all.
    die(&cluster, &second, "two").await;
    first.close().await;
    let alone = cluster.enter("three", None).await.unwrap();
    second.start_heartbeat();
    second.displaced().await;
    alone.keys().await.unwrap();
}

#[tokio::test]
async fn a_server_hears_of_changes_at_another_one_and_notices_when_it_does_not() {
    let cluster = Cluster::new();
    let (first, second) = (cluster.serve("one").await, cluster.serve("two").await);
    let (sender, mut heard) = mpsc::unbounded_channel();
    let listener = second.clone();
    let listening = tokio::spawn(async move {
        listener.listen(move |what| drop(sender.send(what))).await.unwrap_err()
    });
    assert_eq!(heard.recv().await, Some(Heard::Began));
    second.send_notice("its own").await.unwrap();
    first.send_notice("job_1 rooms").await.unwrap();
    assert_eq!(heard.recv().await, Some(Heard::Notice("job_1 rooms".to_owned())));
    assert!(second.is_notified());
    cluster.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query LIKE 'NOTIFY%'");
    listening.await.unwrap();
    assert!(!second.is_notified());
}

#[tokio::test]
async fn the_mark_of_a_job_changes_with_the_job_and_its_commands() {
    let cluster = Cluster::new();
    let store = cluster.serve("one").await;
    let (key, _) = store.create_key(contract::key("acme", true), store.now()).await.unwrap();
    races::create(&store, key.tenant).await;
    let claim = store.claim([1; 32], contract::all_available(), store.now()).await.unwrap();
    let Claim::Bot(claimed) = claim else { panic!("{claim:?}") };
    let (id, unknown) = (claimed.job.id, JobId::generate(Timestamp::UNIX_EPOCH));
    let mark = async || store.marks(vec![id, unknown]).await.unwrap();
    let first = mark().await;
    assert!(first.contains_key(&id) && !first.contains_key(&unknown));
    assert_eq!(mark().await, first);
    store.cancel(key.tenant, id, store.now()).await.unwrap();
    assert_ne!(mark().await, first);
}

#[tokio::test]
async fn the_store_keeps_when_a_worker_was_heard() {
    let cluster = Cluster::new();
    let (first, second) = (cluster.serve("one").await, cluster.serve("two").await);
    let folder = || "abc".to_owned();
    assert_eq!(first.spool_heard(folder()).await.unwrap(), None);
    let at = Timestamp::from_millis;
    first.hear_spool(folder(), at(2_000)).await.unwrap();
    second.hear_spool(folder(), at(1_000)).await.unwrap();
    assert_eq!(second.spool_heard(folder()).await.unwrap(), Some(at(2_000)));
    for (name, ms) in [("mixes/", 2_000), ("mixes/eu,z=9", 3_000), ("mixesabc", 9_000)] {
        first.hear_spool(name.to_owned(), at(ms)).await.unwrap();
    }
    let heard = async |after| {
        let mut heard = second.spools_heard("mixes/".to_owned(), at(after)).await.unwrap();
        heard.sort();
        heard
    };
    assert_eq!(heard(1_999).await, ["mixes/", "mixes/eu,z=9"]);
    assert_eq!(heard(2_000).await, ["mixes/eu,z=9"]);
    assert_eq!(heard(3_000).await, [""; 0]);
}

#[tokio::test]
async fn after_a_promotion_jobs_wait_until_bots_could_prove_forgotten_claims() {
    let cluster = Cluster::new();
    // Any user may read which history the database continues.
    cluster.run("CREATE ROLE plain");
    cluster.run("SET ROLE plain; DO $$ BEGIN ASSERT length(meetbot_timeline()) = 8; END $$");
    let timing = serde_json::from_str(r#"{"leaseMs": 6000}"#).unwrap();
    let store = cluster.serve("one").await.with_timing(timing);
    let tenant = store.create_key(contract::key("one", true), store.now()).await.unwrap().0.tenant;
    let claims = async || {
        let is_due = store.next_start().await.unwrap().is_some();
        let claim = store.claim([1; 32], contract::all_available(), store.now()).await.unwrap();
        assert_eq!(matches!(claim, Claim::Bot(_)), is_due, "{claim:?}");
        is_due
    };
    for restarts in [true, false] {
        races::create(&store, tenant).await;
        if restarts {
            // As after a restart of the database.
            cluster.run("UPDATE cluster SET signed_at = signed_at - 60000");
            store.write_heartbeat().await.unwrap();
            assert!(claims().await);
            continue;
        }
        // At once, before any server has noted it.
        let heartbeat = store.heartbeat.lock().unwrap().take().unwrap();
        heartbeat.abort();
        assert!(heartbeat.await.unwrap_err().is_cancelled());
        cluster.run("UPDATE cluster SET timeline = '00000000'");
        assert!(!claims().await);
        let noted = store.now();
        store.write_heartbeat().await.unwrap();
        store.write_heartbeat().await.unwrap();
        assert!(!claims().await);
        until(async || {
            store.write_heartbeat().await.unwrap();
            claims().await
        })
        .await;
        assert!(store.now().lease.since(noted.lease) >= Duration::from_secs(2));
    }
}
