//! Servers and workers that share one PostgreSQL database and one bucket, for tests and benchmarks.

use std::path::PathBuf;

use meetbot::{Job, JobStatus, NewJob, Webhooks, blocking::MeetBot};
use meetbot_testkit::scripted::Receiver;
use tempfile::TempDir;
use xtask::postgres::Postgres;

use crate::{
    bucket_server::BucketServer,
    program::{Running, TIMING, await_job, client, create_with, meetbot, sandbox, sandbox_token},
};

/// The database of all of them.
pub(crate) const DATABASE: &str = "postgres";
const WORKER_KEY: &str = "worker.key";

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
