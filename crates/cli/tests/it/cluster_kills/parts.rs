//! The parts of a cluster, each of which can fail, with connections between them that can be cut.

use std::{fs, net::SocketAddr, path::Path};

use meetbot::blocking::MeetBot;
use meetbot_testkit::polling::poll_until;
use tokio::runtime::Runtime;

use super::link::{Link, SocketLink, Switch};
use crate::{
    cluster::{Cluster, DATABASE},
    program::{PATIENCE, Running, TIMING, client},
};

/// A lease of six seconds, a short pause after bots that are lost in succession, and 15 s until a worker is taken for silent.
const SHORT: &str = r#"{"leaseMs":6000,"pauseMs":100,"silentMs":15000}"#;

pub(super) struct Parts {
    pub(super) cluster: Cluster,
    /// The running processes; `None` while one is down.
    pub(super) servers: [Option<Running>; 2],
    pub(super) workers: [Option<Running>; 2],
    /// The addresses of the servers: new ones after each start.
    urls: [String; 2],
    to_database: [SocketLink; 2],
    /// From each server to the bucket.
    servers_to_bucket: [Link; 2],
    workers_to_bucket: [Link; 2],
    /// From each worker to each server.
    workers_to_servers: [[Link; 2]; 2],
    _runtime: Runtime,
}

impl Parts {
    pub(super) fn start() -> Self {
        let cluster = Cluster::new();
        let runtime = Runtime::new().unwrap();
        let bucket: SocketAddr = cluster.bucket.address();
        let link = |leads_to| Link::start(runtime.handle(), leads_to);
        let socket = Path::new(&cluster.database.socket()).join(".s.PGSQL.5432");
        let mut parts = Self {
            to_database: [(); 2].map(|()| SocketLink::start(runtime.handle(), socket.clone())),
            servers_to_bucket: [(); 2].map(|()| link(bucket)),
            workers_to_bucket: [(); 2].map(|()| link(bucket)),
            // They lead to the servers once these have started.
            workers_to_servers: [(); 2].map(|()| [(); 2].map(|()| link(bucket))),
            servers: [None, None],
            workers: [None, None],
            urls: [String::new(), String::new()],
            cluster,
            _runtime: runtime,
        };
        for number in 0..2 {
            parts.serve(number);
        }
        for number in 0..2 {
            parts.work(number);
        }
        parts
    }

    /// Starts a server.
    pub(super) fn serve(&mut self, number: usize) {
        let mut command = self.cluster.serve_command(number);
        let socket = self.to_database[number].folder.path().display().to_string();
        command
            .env("MEETBOT_STORE_URL", xtask::postgres::url(&socket, DATABASE))
            .env("MEETBOT_STORAGE_ENDPOINT", self.servers_to_bucket[number].url())
            .env(TIMING, SHORT);
        let (running, started) = Running::start(&mut command);
        let url = started["url"].as_str().unwrap().to_owned();
        let address: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        for links in &self.workers_to_servers {
            links[number].leads_to(address);
        }
        self.urls[number] = url;
        self.servers[number] = Some(running);
    }

    /// Starts a worker.
    pub(super) fn work(&mut self, number: usize) {
        let servers: Vec<String> = self.workers_to_servers[number].iter().map(Link::url).collect();
        let mut command = self.cluster.worker_command_at(number, &servers);
        command.env("MEETBOT_STORAGE_ENDPOINT", self.workers_to_bucket[number].url());
        self.workers[number] = Some(Running::start(&mut command).0);
    }

    pub(super) fn urls(&self) -> [String; 2] {
        self.urls.clone()
    }

    pub(super) fn clients(&self) -> [MeetBot; 2] {
        [0, 1].map(|number| client(&self.urls[number], &self.cluster.key))
    }

    /// The connections that can be cut, each with its name.
    pub(super) fn switches(&self) -> Vec<(String, &Switch)> {
        let mut switches = Vec::new();
        for number in 0..2 {
            switches.extend([
                (format!("server {number} to the database"), &self.to_database[number].switch),
                (format!("server {number} to the bucket"), &self.servers_to_bucket[number].switch),
                (format!("worker {number} to the bucket"), &self.workers_to_bucket[number].switch),
            ]);
            for (server, link) in self.workers_to_servers[number].iter().enumerate() {
                switches.push((format!("worker {number} to server {server}"), &link.switch));
            }
        }
        switches
    }

    /// The connections from a worker to all servers.
    pub(super) fn to_servers(&self, worker: usize) -> [&Switch; 2] {
        [0, 1].map(|server| &self.workers_to_servers[worker][server].switch)
    }

    /// The jobs and attempts with files in a worker's folder, without those whose recording is in the bucket: these are kept for a mix.
    pub(super) fn attempts_on(&self, worker: usize) -> Vec<(String, u32)> {
        let recordings = self.cluster.workers[worker].path().join("recordings");
        let names = |folder: &Path| -> Vec<String> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
        };
        let mut attempts = Vec::new();
        let is_stored = |job: &String| {
            self.cluster.bucket.of_job(job).keys().any(|key| key.ends_with("/manifest.json"))
        };
        for job in names(&recordings).into_iter().filter(|job| !is_stored(job)) {
            let of_job = names(&recordings.join(&job)).into_iter();
            let last = of_job.filter_map(|name| name.strip_prefix('e')?.parse().ok()).max();
            attempts.extend(last.map(|attempt| (job, attempt)));
        }
        attempts
    }

    /// The worker with more attempts on its disk, once there is one.
    pub(super) fn busier_worker(&self) -> usize {
        poll_until(PATIENCE, || {
            let attempts = [0, 1].map(|worker| self.attempts_on(worker).len());
            match attempts {
                [0, 0] => Err("no worker has a bot"),
                [one, other] => Ok(usize::from(other > one)),
            }
        })
    }

    /// Waits until the bucket has something of each attempt on a worker's disk, and the whole log of each finished one. Until then nothing is promised about the
    /// loss of the disk: such a job would wait for it, for a day. Returns the worker.
    pub(super) fn uploaded_worker(&self) -> usize {
        poll_until(PATIENCE, || {
            let worker = self.busier_worker();
            let recordings = self.cluster.workers[worker].path().join("recordings");
            for (job, attempt) in self.attempts_on(worker) {
                let finished = recordings.join(format!("{job}/e{attempt}/manifest.json")).exists();
                let (log, end) = (format!("log/{attempt}."), if finished { "/end" } else { "" });
                let is_log = |key: &String| key.starts_with(&log) && key.ends_with(end);
                if !self.cluster.bucket.of_job(&job).keys().any(is_log) {
                    return Err(format!("the log of {job}, attempt {attempt}, is not uploaded"));
                }
            }
            Ok(worker)
        })
    }

    /// Everything stops in order, and no process is left over.
    pub(super) fn end(mut self) {
        for part in self.workers.iter_mut().chain(&mut self.servers) {
            assert_eq!(part.take().unwrap().terminate(), Some(0));
        }
        for folder in self.cluster.workers.iter().chain(&self.cluster.servers) {
            let folder = folder.path().display().to_string();
            let left: Vec<_> =
                command_lines().filter(|command_line| command_line.contains(&folder)).collect();
            assert!(left.is_empty(), "{left:#?}");
        }
        let log = self.cluster.database.log();
        assert!(!log.contains("deadlock detected"), "{log}");
    }
}

/// The command lines of all processes.
fn command_lines() -> impl Iterator<Item = String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|entry| {
        let command_line = fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command_line).replace('\0', " "))
    })
}
