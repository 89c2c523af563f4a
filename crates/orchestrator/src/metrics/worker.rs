//! The metrics of a worker's own `/metrics`. A metric is a field here, its registration below, and a row of `docs/operations.md`, which a test writes.

use std::{
    fs, io,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use meetbot_types::{
    Platform, Timestamp,
    host::{HostCpu, HostDisk, HostMemory},
    work::{MixEnd, Pool, WorkerStatus},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{
    attempts::PlatformLabel,
    encoded, known, register_process,
    workers::{PoolLabel, gauged},
};
use crate::machine;

/// What the kernel counts of UDP, for the process's network namespace.
const UDP_COUNTERS: &str = "/proc/self/net/snmp";

type Fraction = Gauge<f64, AtomicU64>;

/// All metrics of a worker.
pub struct WorkerMetrics {
    registry: Registry,
    places: Gauge,
    bots: Family<PoolLabel, Gauge>,
    launched: Family<PlatformLabel, Counter>,
    mixes: Family<MixLabel, Counter>,
    draining: Gauge,
    heard_age: Fraction,
    unshipped: Fraction,
    uploads_failing: Gauge,
    dropped: Counter,
    disk_free: Gauge,
    disk_size: Gauge,
    disk_low: Gauge,
    behind: Gauge,
    cores: Gauge,
    used_cores: Fraction,
    memory_used: Gauge,
    memory_size: Gauge,
    memory_process: Gauge,
}

/// The state of a worker's machine. What cannot be read is left out, and the metric keeps its value.
#[derive(Debug, Default)]
pub struct WorkerMachine {
    cpu: Option<HostCpu>,
    memory: Option<HostMemory>,
    disk: Option<HostDisk>,
    dropped: Option<u64>,
}

impl WorkerMachine {
    /// Looks at the machine, and at the disk of this folder. The processors are measured for 200 ms.
    pub async fn look(folder: &Path) -> Self {
        Self {
            cpu: machine::cpu().await.ok(),
            memory: machine::memory().ok(),
            disk: machine::disk(folder).ok(),
            dropped: fs::read_to_string(UDP_COUNTERS).and_then(|text| overflows(&text)).ok(),
        }
    }
}

/// The datagrams that did not fit into the buffers of their sockets, by the kernel's text.
fn overflows(text: &str) -> io::Result<u64> {
    let mut udp = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let names = udp.next().unwrap_or_default().split(' ');
    let values = udp.next().unwrap_or_default().split(' ');
    let found = names.zip(values).find(|(name, _)| *name == "RcvbufErrors");
    let found = found.and_then(|(_, value)| value.parse().ok());
    found.ok_or_else(|| io::Error::other("the kernel does not count dropped datagrams"))
}

impl WorkerMetrics {
    /// The metrics of a worker that started at this time.
    pub fn new(started: Timestamp) -> Self {
        let mut registry = Registry::with_prefix("meetbot");
        register_process(&mut registry, started, "When the worker started, since 1970");
        let mut of_worker = Of(registry.sub_registry_with_prefix("worker"));
        let places = of_worker.gauge("places", "How many bots it may run");
        let bots = of_worker.family("bots", "Bots that it runs");
        let launched = of_worker.family("bots_launched", "Bots that it has launched");
        let mixes = of_worker.family(
            "mixes",
            "Mixes that it was given, by their `outcome`: `published` is in the bucket, or the manifest there says why there is none, `returned` goes to another worker, since this one stopped or its recording was deleted, `failed` is tried again later",
        );
        let draining = of_worker.gauge("draining", "Whether it takes no more jobs, since it stops");
        let heard_age =
            of_worker.seconds("heard_age", "How long ago a server answered a heartbeat");
        let uploads_failing =
            of_worker.gauge("uploads_failing", "Whether its last upload to the bucket failed");
        let dropped = of_worker.counter(
            "datagrams_dropped",
            "UDP datagrams that the machine, or the pod, has dropped since it started because a socket was read too late, those of other programs included",
        );
        let disk_free = of_worker.bytes("disk_free", "Free on the disk of its data folder");
        let disk_size = of_worker.bytes("disk_size", "All of that disk");
        let disk_low = of_worker.gauge(
            "disk_low",
            "Whether it takes no jobs, because the disk has no room for an hour of its bots",
        );
        let behind = of_worker.gauge(
            "behind",
            "Whether it takes no jobs, because its bots read their media too late: until all have read in time for 10 s",
        );
        let cores = of_worker.gauge("cores", "Processors of the machine");
        let used_cores = of_worker.fraction(
            "cores_used",
            "How many of them worked, for 200 ms before this answer, for any program",
        );
        let memory_used =
            of_worker.bytes("memory_used", "In use on the machine, or of the container's limit");
        let memory_size =
            of_worker.bytes("memory_size", "The memory of the machine, or the container's limit");
        let memory_process =
            of_worker.bytes("memory_process", "In use by the worker's own process");
        let mut media = Of(registry.sub_registry_with_prefix("media"));
        let unshipped = media.seconds(
            "unshipped",
            "For how long recorded media has waited for the bucket at most; 0 where the server has the files",
        );
        for pool in Pool::ALL {
            drop(bots.get_or_create(&PoolLabel::from(pool)));
        }
        for end in [MixEnd::Published, MixEnd::Returned, MixEnd::Failed] {
            drop(mixes.get_or_create(&MixLabel::from(end)));
        }
        Self {
            registry,
            places,
            bots,
            launched,
            mixes,
            draining,
            heard_age,
            unshipped,
            uploads_failing,
            dropped,
            disk_free,
            disk_size,
            disk_low,
            behind,
            cores,
            used_cores,
            memory_used,
            memory_size,
            memory_process,
        }
    }

    /// A bot was launched.
    pub fn launched(&self, platform: &Platform) {
        let platform = known(Platform::known(platform.as_str()));
        self.launched.get_or_create(&PlatformLabel { platform }).inc();
    }

    /// A mix has ended so.
    pub fn mixed(&self, end: MixEnd) {
        self.mixes.get_or_create(&end.into()).inc();
    }

    /// Everything in Prometheus' text format. `heard`: how long ago a server answered a heartbeat.
    pub fn text(
        &self,
        status: &WorkerStatus,
        draining: bool,
        heard: Duration,
        machine: &WorkerMachine,
    ) -> String {
        self.places.set(gauged(status.places));
        for pool in Pool::ALL {
            let bots = status.bots.get(&pool).copied().unwrap_or(0);
            self.bots.get_or_create(&pool.into()).set(gauged(bots));
        }
        self.draining.set(i64::from(draining));
        self.heard_age.set(heard.as_secs_f64());
        self.unshipped.set(Duration::from_millis(status.unshipped_ms).as_secs_f64());
        self.uploads_failing.set(i64::from(status.storage_problem.is_some()));
        self.disk_low.set(i64::from(status.disk_low));
        self.behind.set(i64::from(status.behind));
        let WorkerMachine { cpu, memory, disk, dropped } = machine;
        if let Some(cpu) = cpu {
            self.cores.set(cpu.cores.into());
            self.used_cores.set(cpu.used_percent / 100.0 * f64::from(cpu.cores));
        }
        if let Some(memory) = memory {
            self.memory_used.set(gauged(memory.used_bytes));
            self.memory_size.set(gauged(memory.total_bytes));
            self.memory_process.set(gauged(memory.server_bytes));
        }
        if let Some(disk) = disk {
            self.disk_free.set(gauged(disk.free_bytes));
            self.disk_size.set(gauged(disk.total_bytes));
        }
        if let Some(dropped) = dropped {
            self.dropped.inner().store(*dropped, Ordering::Relaxed);
        }
        encoded(&self.registry)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MixLabel {
    outcome: &'static str,
}

impl From<MixEnd> for MixLabel {
    fn from(end: MixEnd) -> Self {
        let outcome = match end {
            MixEnd::Published => "published",
            MixEnd::Returned => "returned",
            MixEnd::Failed => "failed",
        };
        Self { outcome }
    }
}

/// Registers metrics under one prefix.
struct Of<'a>(&'a mut Registry);

impl Of<'_> {
    fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.0.register(name, help, gauge.clone());
        gauge
    }

    fn bytes(&mut self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.0.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        gauge
    }

    fn fraction(&mut self, name: &str, help: &str) -> Fraction {
        let gauge = Fraction::default();
        self.0.register(name, help, gauge.clone());
        gauge
    }

    fn seconds(&mut self, name: &str, help: &str) -> Fraction {
        let gauge = Fraction::default();
        self.0.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        gauge
    }

    fn counter(&mut self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.0.register(name, help, counter.clone());
        counter
    }

    fn family<L, M>(&mut self, name: &str, help: &str) -> Family<L, M>
    where
        Family<L, M>: prometheus_client::registry::Metric + Default + Clone,
    {
        let family = Family::default();
        self.0.register(name, help, family.clone());
        family
    }
}

#[cfg(test)]
mod tests {
    use xtask::spec_file;

    use super::*;
    use crate::metrics::tests::table;

    fn text() -> String {
        let metrics = WorkerMetrics::new(Timestamp::from_millis(1_800_000_000_000));
        metrics.launched(&Platform::Janus);
        metrics.mixed(MixEnd::Published);
        let status = WorkerStatus {
            places: 20,
            bots: [(Pool::Native, 3)].into(),
            unshipped_ms: 1_500,
            free_bytes: None,
            disk_low: true,
            behind: true,
            storage_problem: Some("away".to_owned()),
        };
        let machine = WorkerMachine {
            cpu: Some(HostCpu {
                cores: 4,
                used_percent: 25.0,
                load1: 0.0,
                load5: 0.0,
                load15: 0.0,
            }),
            memory: Some(HostMemory { total_bytes: 9, used_bytes: 8, server_bytes: 7 }),
            disk: Some(HostDisk { total_bytes: 6, free_bytes: 5 }),
            dropped: Some(4),
        };
        metrics.text(&status, true, Duration::from_millis(2_500), &machine)
    }

    #[test]
    fn a_worker_shows_its_state_and_its_machines() {
        let text = text();
        for line in [
            "meetbot_start_time_seconds 1800000000.0\n",
            "meetbot_worker_places 20\n",
            "meetbot_worker_bots{pool=\"native\"} 3\n",
            "meetbot_worker_bots{pool=\"browser\"} 0\n",
            "meetbot_worker_bots_launched_total{platform=\"janus\"} 1\n",
            "meetbot_worker_mixes_total{outcome=\"published\"} 1\n",
            "meetbot_worker_mixes_total{outcome=\"failed\"} 0\n",
            "meetbot_worker_draining 1\n",
            "meetbot_worker_heard_age_seconds 2.5\n",
            "meetbot_media_unshipped_seconds 1.5\n",
            "meetbot_worker_uploads_failing 1\n",
            "meetbot_worker_datagrams_dropped_total 4\n",
            "meetbot_worker_disk_free_bytes 5\n",
            "meetbot_worker_disk_size_bytes 6\n",
            "meetbot_worker_disk_low 1\n",
            "meetbot_worker_behind 1\n",
            "meetbot_worker_cores 4\n",
            "meetbot_worker_cores_used 1.0\n",
            "meetbot_worker_memory_used_bytes 8\n",
            "meetbot_worker_memory_size_bytes 9\n",
            "meetbot_worker_memory_process_bytes 7\n",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }

    #[tokio::test]
    async fn the_machine_can_be_read() {
        let machine = WorkerMachine::look(Path::new("/")).await;
        assert!(machine.cpu.is_some() && machine.memory.is_some() && machine.disk.is_some());
        assert!(machine.dropped.is_some(), "{machine:?}");
        let text = "Ip: a b\nIp: 1 2\nUdp: InDatagrams RcvbufErrors SndbufErrors\nUdp: 10 20 30\n";
        assert_eq!(overflows(text).unwrap(), 20);
        assert!(overflows("Udp: InDatagrams\nUdp: 1\n").is_err() && overflows("").is_err());
    }

    #[test]
    fn the_table_of_a_workers_metrics_is_what_they_are() {
        let table = table(&text());
        assert!(table.lines().count() > 15, "the search finds the metrics");
        spec_file::check_part("docs/operations.md", "metrics of a worker", &table);
    }
}
