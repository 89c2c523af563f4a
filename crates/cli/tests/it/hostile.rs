//! Meetings with hostile servers, beside good meetings of another consumer: their cost for the server, the good meetings and their consumer.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use meetbot::{FailureCode, Job, JobStatus, LeaveReason, NewJob, Timestamp, blocking::MeetBot};
use meetbot_sandbox::Sandbox;
use meetbot_testkit::hostile_server::{Flood, FloodReport, HostileServer, Kind, Trap};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::program::{
    PATIENCE, Running, await_job, client, create, manifest_of, meetbot, sandbox_token,
};

/// What hostile meetings may take, beyond what the same server took without them.
const MEGABYTES: f64 = 50.0;
/// The seed of the hostile servers' messages.
const SEED: u64 = 18;
/// Ports of an address that the guard refuses.
const PORTS: usize = 50;
/// How often the other consumer calls.
const CALL_EVERY: Duration = Duration::from_millis(20);

/// The protocol of the hostile servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Janus,
    Sandbox,
}

/// The parameters of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) protocol: Protocol,
    /// Good meetings, of two or three speakers, and how long they last: first without hostile servers, then beside them.
    pub(crate) good: usize,
    pub(crate) seconds: [u64; 2],
    /// Whether the floods run at the same time, and not one after the other.
    pub(crate) at_once: bool,
    /// How long a flood lasts, if nothing has ended it before.
    pub(crate) longest: Duration,
}

/// The measurements of a run.
#[derive(Debug)]
pub(crate) struct Measurements {
    /// How long each call of the other consumer took, in ms: without hostile servers, and beside them.
    pub(crate) calls: [Vec<f64>; 2],
    /// Packets of the good meetings that were sent, and that are in their files, beside the hostile servers.
    pub(crate) packets: (u64, u64),
    /// By how much the server's memory has grown beside the hostile servers, in MB.
    pub(crate) memory: f64,
    /// The size of the files of each hostile meeting, and the growth of the database, in MB.
    pub(crate) disk: Vec<f64>,
    pub(crate) database: f64,
    /// Each flood, and the job that it ended.
    pub(crate) floods: Vec<(FloodReport, Job)>,
    /// Datagrams at addresses that the guard refuses.
    pub(crate) caught: usize,
}

struct TestBed {
    data: TempDir,
    runtime: Runtime,
    sandbox: Sandbox,
    hostile_servers: Vec<HostileServer>,
    floods: Vec<Flood>,
    trap: Trap,
    server: Running,
    good: MeetBot,
    hostile: MeetBot,
    plan: Plan,
}

/// One flood of each kind.
fn floods(trap: &Trap, time: Duration) -> Vec<Flood> {
    let flood = |kind, count| Flood { kind, count, time, seed: SEED };
    vec![
        flood(Kind::Joins, 100_000),
        flood(Kind::Leaves, 100_000),
        flood(Kind::Renames, 100_000),
        flood(Kind::Texts, 10_000),
        flood(Kind::Candidates(trap.clone()), 100_000),
        flood(Kind::Talking, 100_000),
        flood(Kind::Lines, 100_000),
        flood(Kind::Renegotiations, 10_000),
    ]
}

impl TestBed {
    fn start(plan: Plan) -> Self {
        let data = TempDir::new().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let trap = Trap::set("127.0.0.2".parse().unwrap(), PORTS).unwrap();
        let floods = floods(&trap, plan.longest);
        let token = sandbox_token();
        let (sandbox, hostile_servers) = runtime.block_on(async {
            let sandbox = Sandbox::start("127.0.0.1:0".parse().unwrap(), token).await.unwrap();
            let mut hostile_servers = Vec::new();
            match plan.protocol {
                Protocol::Janus => {
                    for flood in &floods {
                        hostile_servers.push(HostileServer::janus(flood.clone()).await.unwrap());
                    }
                }
                Protocol::Sandbox => {
                    hostile_servers.push(
                        HostileServer::sandbox(floods.clone(), sandbox.address()).await.unwrap(),
                    );
                }
            }
            (sandbox, hostile_servers)
        });
        let address = match plan.protocol {
            Protocol::Janus => sandbox.address(),
            Protocol::Sandbox => format!("ws://{}", hostile_servers[0].address()),
        };
        let mut command = meetbot();
        command.args(["serve", "--listen", "127.0.0.1:0", "--sandbox", &address, "--data-dir"]);
        command.arg(data.path()).envs([
            ("MEETBOT_SANDBOX_TOKEN", sandbox_token().expose()),
            // The hostile servers are in this network, and the trap is not.
            ("MEETBOT_BOTS_ALLOW_NETWORKS", "127.0.0.1/32"),
            ("MEETBOT_LIMITS_REQUESTS_PER_MINUTE", "0"),
            ("MEETBOT_RECORDINGS_MIX_AT_ONCE", "0"),
            // Untrusted text is logged at `debug`.
            ("MEETBOT_LOG", "info"),
        ]);
        let (server, started) = Running::start(&mut command);
        let url = started["url"].as_str().unwrap().to_owned();
        let consumer = |kind: &str, name: &str| {
            client(&url, &create(kind, data.path(), &["--consumer", name]).0)
        };
        let kind = if plan.protocol == Protocol::Janus { "--live" } else { "--test" };
        let (good, hostile) = (consumer("--test", "good"), consumer(kind, "hostile"));
        Self { data, runtime, sandbox, hostile_servers, floods, trap, server, good, hostile, plan }
    }

    /// Runs the good meetings, and beside them the hostile ones if `with_hostile`. Returns the packets sent and recorded in the good ones, the duration of
    /// each call meanwhile, and the jobs of the hostile meetings.
    fn play(&self, with_hostile: bool) -> ((u64, u64), Vec<f64>, Vec<Job>) {
        let seconds = self.plan.seconds[usize::from(with_hostile)];
        let dispatch = |_| {
            let meeting_url = format!("https://sandbox.meetbot.dev/two-speakers?seconds={seconds}");
            self.good.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id
        };
        let good: Vec<String> = (0..self.plan.good).map(dispatch).collect();
        for id in &good {
            self.is_recorded(id);
        }
        let calling = Arc::new(AtomicBool::new(true));
        let calls = call(self.good.clone(), Arc::clone(&calling));
        let ended = |id: String| self.hostile.wait_for_bot(&id, Some(PATIENCE * 3)).unwrap();
        let floods = self.floods.iter().enumerate().filter(|_| with_hostile);
        let hostile = if self.plan.at_once {
            let jobs: Vec<String> = floods.map(|flood| self.send_into(flood)).collect();
            jobs.into_iter().map(ended).collect()
        } else {
            floods.map(|flood| ended(self.send_into(flood))).collect()
        };
        let packets = good.iter().map(|id| self.judge(id));
        let packets = packets.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        calling.store(false, Ordering::Relaxed);
        (packets, calls.join().unwrap(), hostile)
    }

    /// Waits until a meeting is recorded.
    fn is_recorded(&self, id: &str) {
        await_job(&self.good, id, |job| job.recording.started_at.is_some());
    }

    /// Sends a bot into a flood; returns its job.
    fn send_into(&self, (number, flood): (usize, &Flood)) -> String {
        let meeting_url = match self.plan.protocol {
            Protocol::Janus => self.hostile_servers[number].link(),
            Protocol::Sandbox => "https://sandbox.meetbot.dev/two-speakers?seconds=60".to_owned(),
        };
        let display_name = Some(flood.kind.victim());
        self.hostile
            .dispatch_bot(NewJob { meeting_url, display_name, ..NewJob::default() })
            .unwrap()
            .id
    }

    /// Checks a good meeting that is over; returns the packets that were sent, and those in its files.
    fn judge(&self, id: &str) -> (u64, u64) {
        let job = self.good.wait_for_bot(id, Some(PATIENCE * 3)).unwrap();
        assert_eq!(job.status, JobStatus::Completed, "{job:#?}");
        let manifest = manifest_of(&self.good, id);
        assert!(manifest.complete, "{manifest:#?}");
        let sent = self.sandbox.inspect(id.parse().unwrap()).sent;
        assert!(sent.len() >= 2, "{sent:?}");
        let mut all = (0, 0);
        for one in sent {
            let tracks = || {
                manifest.tracks.iter().filter(|track| track.participant_id == one.participant_id)
            };
            let packets = tracks().map(|track| track.packets).sum::<u64>();
            // How many depends on the machine: the benchmark prints it.
            assert!(packets > 0, "{one:?}: {manifest:#?}");
            all = (all.0 + one.packets, all.1 + packets);
        }
        all
    }

    fn memory(&self) -> f64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.server.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// The size of the data folder without the recordings, in MB.
    fn database(&self) -> f64 {
        megabytes_under(self.data.path()) - megabytes_under(&self.data.path().join("recordings"))
    }
}

/// Runs a plan: first without the hostile servers, as the baseline.
pub(crate) fn play(plan: Plan) -> Measurements {
    let test_bed = TestBed::start(plan);
    let (_, alone, _) = test_bed.play(false);
    let (memory, database) = (test_bed.memory(), test_bed.database());
    let (packets, beside, jobs) = test_bed.play(true);
    let folder =
        |job: &Job| megabytes_under(&test_bed.data.path().join("recordings").join(&job.id));
    let measured = Measurements {
        calls: [alone, beside],
        packets,
        memory: test_bed.memory() - memory,
        disk: jobs.iter().map(folder).collect(),
        database: test_bed.database() - database,
        floods: test_bed
            .hostile_servers
            .iter()
            .flat_map(HostileServer::reports)
            .zip(jobs)
            .collect(),
        caught: test_bed.trap.caught(),
    };
    // The hostile servers need the runtime to end.
    let _runtime = test_bed.runtime.enter();
    drop(test_bed.hostile_servers);
    measured
}

/// Creates, reads and cancels scheduled jobs; returns the duration of each call, in ms.
#[expect(clippy::disallowed_methods, reason = "how long calls take is measured")]
fn call(client: MeetBot, calling: Arc<AtomicBool>) -> thread::JoinHandle<Vec<f64>> {
    thread::spawn(move || {
        let later = Timestamp::from(std::time::SystemTime::now()) + Duration::from_hours(24);
        let mut calls = Vec::new();
        let timed = |calls: &mut Vec<f64>, call: &mut dyn FnMut()| {
            let begun = Instant::now();
            call();
            calls.push(begun.elapsed().as_secs_f64() * 1000.0);
            thread::park_timeout(CALL_EVERY);
        };
        while calling.load(Ordering::Relaxed) {
            let mut id = String::new();
            timed(&mut calls, &mut || {
                let meeting_url = "https://sandbox.meetbot.dev/two-speakers".to_owned();
                let join_at = Some(later);
                let new = NewJob { meeting_url, join_at, ..NewJob::default() };
                id = client.dispatch_bot(new).unwrap().id;
            });
            timed(&mut calls, &mut || drop(client.get_bot(&id).unwrap().unwrap()));
            timed(&mut calls, &mut || client.cancel_bot(&id).unwrap());
        }
        calls
    })
}

fn megabytes_under(folder: &Path) -> f64 {
    let mut megabytes = 0.0;
    // A file may go while it is looked at.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        megabytes += if metadata.is_dir() {
            megabytes_under(&entry.path())
        } else {
            metadata.len() as f64 / 1_048_576.0
        };
    }
    megabytes
}

/// Checks everything that does not depend on the speed of the machine.
fn other_meetings_are_not_harmed(protocol: Protocol) {
    let measured = play(Plan {
        protocol,
        good: 6,
        seconds: [10, 60],
        at_once: false,
        longest: Duration::from_secs(6),
    });
    for ((report, job), disk) in measured.floods.iter().zip(&measured.disk) {
        // The bot joined, and got the flood.
        assert!(
            report.joins > 0 && report.messages > 0 && job.joined_at.is_some(),
            "{report:?} {job:#?}"
        );
        // The bot left at a bound, or stayed until the flood ended; neither is a bot's failure.
        let left = job.failure_code == Some(FailureCode::QuotaExceeded);
        let stayed = job.leave_reason == Some(LeaveReason::MeetingEnded);
        assert!(left || stayed, "{report:?} {job:#?}");
        assert!(disk + measured.database <= MEGABYTES, "{report:?}: {disk} MB on disk");
    }
    assert!(measured.memory <= MEGABYTES, "{} MB of memory", measured.memory);
    assert!(measured.calls.iter().all(|calls| !calls.is_empty()), "the other consumer is answered");
    assert!(measured.packets.0 > 0, "the good meetings are heard");
    assert_eq!(measured.caught, 0, "datagrams went where the guard allows none");
}

#[test]
fn a_hostile_janus_harms_no_other_meeting() {
    other_meetings_are_not_harmed(Protocol::Janus);
}

#[test]
fn a_hostile_sandbox_harms_no_other_meeting() {
    other_meetings_are_not_harmed(Protocol::Sandbox);
}
