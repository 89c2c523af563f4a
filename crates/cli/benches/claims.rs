//! `cargo xtask bench claims`: what it costs to give a job its bot while others wait for places: none, ten thousand of one consumer, ten of each of a thousand.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark measures time, prints, and stops where it cannot go on"
)]

mod queue;

use std::{
    num::NonZeroU32,
    path::Path,
    time::{Duration, Instant},
};

use meetbot_orchestrator::{
    keys::{self, KeySpec},
    store::{
        Quota, QuotaChange, QuotaOverride, Scope, SqliteStore, Store as _, Tenant, UsageStore as _,
    },
};
use tempfile::TempDir;

/// How many claims of each kind are measured, one after the other.
const ROUNDS: usize = 400;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut queues = Vec::new();
        for (what, consumers, each) in [
            ("nobody waits", 0, 0),
            ("10,000 jobs of one consumer", 1, 10_000),
            ("10 jobs of each of 1,000 consumers", 1_000, 10),
        ] {
            queues.push((what, Queue::new(consumers, each).await, Vec::<Duration>::new()));
        }
        for _ in 0..ROUNDS {
            for (_, queue, times) in &mut queues {
                times.push(queue.claim().await);
            }
        }
        println!("in front of the job                 p50 µs  p99 µs   to nobody's");
        let mut nobody = None;
        for (what, _, mut times) in queues {
            times.sort();
            let at = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e6;
            let base = *nobody.get_or_insert(at(50));
            println!("{what:<34}  {:>6.0}  {:>6.0}   {:.2}", at(50), at(99), at(50) / base);
        }
    });
}

/// A store whose consumers have one bot each, and jobs that wait for it; and one consumer that has no limit.
struct Queue {
    store: SqliteStore,
    other: Tenant,
    _folder: TempDir,
}

impl Queue {
    async fn new(consumers: usize, each: usize) -> Self {
        // In memory where there is such a place: not the disk is measured.
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.unwrap();
        let store = SqliteStore::open(folder.path()).unwrap();
        let one = Quota { bots: Some(NonZeroU32::MIN), ..Quota::default() };
        store.set_default_quota(one).await.unwrap();
        for number in 0..consumers {
            let tenant = tenant(&store, &format!("flood {number}")).await;
            let jobs = (0..=each).map(|_| queue::create(&store, tenant, store.now()));
            futures_util::future::join_all(jobs).await;
            assert_eq!(queue::claim(&store, store.now()).await.tenant, tenant);
        }
        let other = tenant(&store, "other").await;
        let unlimited =
            QuotaChange { bots: Some(QuotaOverride::Unlimited), ..QuotaChange::default() };
        assert!(store.change_quota("other", unlimited).await.unwrap());
        Self { store, other, _folder: folder }
    }

    async fn claim(&self) -> Duration {
        queue::create(&self.store, self.other, self.store.now()).await;
        let (now, began) = (self.store.now(), instant());
        let claimed = queue::claim(&self.store, now).await;
        let took = began.elapsed();
        assert_eq!(claimed.tenant, self.other);
        took
    }
}

async fn tenant(store: &SqliteStore, consumer: &str) -> Tenant {
    let spec = KeySpec { consumer, live: true, scope: Scope::Write, expires_at: None };
    keys::create(store, spec).await.unwrap().key.tenant
}

fn instant() -> Instant {
    Instant::now()
}
