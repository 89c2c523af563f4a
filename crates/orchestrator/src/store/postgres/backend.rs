//! Databases for the contract tests and the model: one each, on a PostgreSQL that the test `the_contract_and_the_model_hold_on_postgresql` starts.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio_postgres::NoTls;
use xtask::postgres::USER;

use super::{PostgresStore, StoreUrl, schema};
use crate::{
    clock::StoreNow,
    store::{RestoreOptions, Store},
};

/// Names the folder of the socket of the PostgreSQL to test on; without it the tests take SQLite.
pub(crate) const SOCKET: &str = "MEETBOT_TEST_POSTGRES";
/// The database whose copies have the tables already.
const TEMPLATE: &str = "meetbot_tables";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A separate, empty database.
pub(crate) struct Database {
    socket: String,
    name: String,
}

/// Runs statements in a database, from a thread with a separate runtime, because callers are inside another one.
pub(super) fn run(socket: &str, database: &str, statements: &[&str]) {
    let config = config(socket, database);
    let work = async {
        let (client, connection) = config.connect(NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        for statement in statements {
            client.batch_execute(statement).await.unwrap();
        }
        drop(client);
        connection.await.unwrap().unwrap();
    };
    on_a_thread(work);
}

fn on_a_thread<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::scope(|scope| scope.spawn(|| runtime().block_on(work)).join().unwrap())
}

fn config(socket: &str, database: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host_path(socket).user(USER).dbname(database);
    config
}

/// Makes the database that all others are copies of.
pub(super) fn make_template(socket: &str) {
    run(socket, "postgres", &[&format!("CREATE DATABASE {TEMPLATE}")]);
    on_a_thread(async {
        let (client, connection) = config(socket, TEMPLATE).connect(NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        schema::bring_up(&client).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    });
}

impl Database {
    pub(crate) fn new(socket: &str) -> Self {
        Self::copy(socket, TEMPLATE)
    }

    fn copy(socket: &str, of: &str) -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{count}", std::process::id());
        run(socket, "postgres", &[&format!("CREATE DATABASE {name} TEMPLATE {of}")]);
        Self { socket: socket.to_owned(), name }
    }

    fn store(&self) -> PostgresStore {
        let (_, tls) = StoreUrl { url: self.url(), ..StoreUrl::default() }.config().unwrap();
        PostgresStore::of(config(&self.socket, &self.name), tls, "test", None, true).unwrap()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        format!("postgres://{USER}@{}/{}", self.socket.replace('/', "%2F"), self.name)
    }

    /// The store as a server has it that has just started, on the data of the one before. Lease time is what callers say.
    pub(crate) fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store())
    }

    /// Another one: a backup of this one, restored.
    pub(crate) fn restored(&self, options: RestoreOptions, now: StoreNow) -> Self {
        let end = format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{}'",
            self.name
        );
        run(&self.socket, "postgres", &[&end]);
        let copy = Self::copy(&self.socket, &self.name);
        on_a_thread(async {
            let store = copy.store();
            store.after_restore(options, now).await.unwrap();
            store.close().await;
        });
        copy
    }
}

/// The folder of the socket to test on.
pub(crate) fn socket() -> Option<String> {
    env::var(SOCKET).ok().filter(|socket| !socket.is_empty())
}

impl Drop for Database {
    /// Each takes megabytes. Stores that are still open lose their connections.
    fn drop(&mut self) {
        run(&self.socket, "postgres", &[&format!("DROP DATABASE {} WITH (FORCE)", self.name)]);
    }
}
