//! Servers and workers that share one PostgreSQL database and one bucket, for tests and benchmarks.

use std::{
    path::PathBuf,
    thread::{self, JoinHandle},
};

use meetbot::{Job, JobStatus, NewJob, Webhooks, blocking::MeetBot};
use meetbot_testkit::{polling::poll_until, scripted::Receiver};
use tempfile::TempDir;
use xtask::postgres::{self, Postgres};

use crate::{
    bucket_server::BucketServer,
    program::{
        CommandOutput, PATIENCE, Running, TIMING, await_job, client, create_with, meetbot, run,
        sandbox, sandbox_token,
    },
};

/// The database of all of them.
pub(crate) const DATABASE: &str = "postgres";
const WORKER_KEY: &str = "worker.key";
/// The words of `meetbot doctor` about a server whose connection is cut.
pub(crate) const NOT_NOTIFIED: &str = "not notified of what other servers change";
/// Ends the connections of servers that listen, until there is a row.
const CUT: &str = "DO $$ BEGIN
    WHILE NOT EXISTS (SELECT FROM cuts_end) LOOP
        PERFORM pg_sleep(0.005), pg_stat_clear_snapshot();
        PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND (query LIKE 'LISTEN%' OR query LIKE 'NOTIFY%');
    END LOOP;
END $$";

/// What the servers share, and a data folder for each server and each worker.
pub(crate) struct Cluster {
    pub(crate) database: Postgres,
    pub(crate) bucket: BucketServer,
    _sandbox: Running,
    pub(crate) sandbox: String,
    pub(crate) servers: [TempDir; 2],
    pub(crate) workers: [TempDir; 2],
    pub(crate) key: String,
    /// Signs the webhooks of the key's consumer.
    pub(crate) secret: String,
    /// A folder with the key of the workers.
    pub(crate) keys: TempDir,
}

/// While it is there, no server is notified of what the other one changes.
pub(crate) struct NotificationsCut {
    socket: String,
    cuts: Option<JoinHandle<()>>,
}

impl Drop for NotificationsCut {
    fn drop(&mut self) {
        postgres::sql(&self.socket, DATABASE, &["INSERT INTO cuts_end VALUES (now())"]);
        if let Some(cuts) = self.cuts.take() {
            let _ = cuts.join();
        }
    }
}

/// A server that runs, and a client of it.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) url: String,
    pub(crate) client: MeetBot,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::on(Postgres::start())
    }

    /// With this database.
    pub(crate) fn on(database: Postgres) -> Self {
        let bucket = BucketServer::start();
        let (running, sandbox) = sandbox();
        let [servers, workers] = [(); 2].map(|()| [(); 2].map(|()| TempDir::new().unwrap()));
        let store = database.url(DATABASE);
        let store = [("MEETBOT_STORE_URL", store.as_str())];
        let (key, secret) = create_with("--test", servers[0].path(), &[], &store);
        let of_workers = ["--scope", "worker", "--consumer", "workers"];
        let (worker, _) = create_with("--live", servers[0].path(), &of_workers, &store);
        let keys = TempDir::new().unwrap();
        std::fs::write(keys.path().join(WORKER_KEY), worker + "\n").unwrap();
        Self { database, bucket, _sandbox: running, sandbox, servers, workers, key, secret, keys }
    }

    pub(crate) fn worker_key(&self) -> PathBuf {
        self.keys.path().join(WORKER_KEY)
    }

    /// The settings that all servers share.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = self.bucket.settings("eu");
        settings.extend([
            ("MEETBOT_STORE_URL", self.database.url(DATABASE)),
            ("MEETBOT_BOTS_WORKERS", "none".to_owned()),
            ("MEETBOT_SANDBOX_TOKEN", sandbox_token().expose().to_owned()),
            (TIMING, r#"{"pauseMs":100}"#.to_owned()),
        ]);
        settings
    }

    /// What `meetbot doctor` prints about the database.
    pub(crate) fn doctor(&self) -> CommandOutput {
        let mut doctor = meetbot();
        doctor.envs(self.settings()).args(["doctor", "--json", "--data-dir"]);
        run(doctor.arg(self.servers[0].path()))
    }

    /// Cuts each connection that listens as soon as it is there, until the answer is dropped.
    pub(crate) fn cut_notifications(&self) -> NotificationsCut {
        let socket = self.database.socket();
        self.database.sql(DATABASE, &["CREATE TABLE cuts_end (at timestamptz)"]);
        let of_thread = socket.clone();
        let cuts = thread::spawn(move || {
            postgres::sql(&of_thread, DATABASE, &[CUT, "DROP TABLE cuts_end"]);
        });
        poll_until(PATIENCE, || match self.doctor() {
            output if output.out.contains(NOT_NOTIFIED) => Ok(()),
            output => Err(output.out),
        });
        NotificationsCut { socket, cuts: Some(cuts) }
    }

    pub(crate) fn serve_command(&self, server: usize) -> std::process::Command {
        let mut command = meetbot();
        command
            .envs(self.settings())
            .args(["serve", "--dev", "--sandbox", &self.sandbox, "--listen", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(self.servers[server].path());
        command
    }

    pub(crate) fn serve(&self, server: usize) -> Server {
        let (running, started) = Running::start(&mut self.serve_command(server));
        let url = started["url"].as_str().unwrap().to_owned();
        let client = client(&url, &self.key);
        Server { running, url, client }
    }

    pub(crate) fn serve_both(&self) -> [Server; 2] {
        [0, 1].map(|server| self.serve(server))
    }

    pub(crate) fn worker_command(
        &self,
        worker: usize,
        servers: &[&Server],
    ) -> std::process::Command {
        let urls: Vec<_> = servers.iter().map(|server| server.url.clone()).collect();
        self.worker_command_at(worker, &urls)
    }

    /// A worker of the servers at these URLs.
    pub(crate) fn worker_command_at(
        &self,
        worker: usize,
        urls: &[String],
    ) -> std::process::Command {
        let mut command = meetbot();
        command
            .envs(self.bucket.settings("eu"))
            .args(["worker", "--servers", &urls.join(","), "--key-file"])
            .arg(self.worker_key())
            .arg("--data-dir")
            .arg(self.workers[worker].path());
        command
    }

    pub(crate) fn worker(&self, worker: usize, servers: &[&Server]) -> Running {
        Running::start(&mut self.worker_command(worker, servers)).0
    }
}

/// A meeting whose events go to this receiver.
pub(crate) fn meeting(seconds: u32, receiver: Option<&Receiver>) -> NewJob {
    NewJob {
        meeting_url: format!("https://sandbox.meetbot.dev/two-speakers?seconds={seconds}"),
        webhooks: receiver.map(|receiver| Webhooks {
            on_status_change: Some(receiver.url.clone()),
            on_finalize: None,
        }),
        ..NewJob::default()
    }
}

pub(crate) fn recording(client: &MeetBot, id: &str) -> Job {
    await_job(client, id, |job| job.status == JobStatus::Recording)
}
