//! The metrics of `/metrics`, in one registry. A metric is a field here, its registration below, and a row of `docs/operations.md`, which a test
//! writes. Labels are closed sets: nothing of a consumer, no id and no URL may become one.

mod attempts;
mod store_times;
mod worker;
mod workers;

use std::{
    borrow::Cow,
    fmt::Debug,
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use meetbot_types::{ControlAction, ControlState, FailureCode, JobStatus, Timestamp};
use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

pub use self::worker::{WorkerMachine, WorkerMetrics};
use self::{attempts::Attempts, workers::Workers};
pub(crate) use self::{attempts::ReportCounts, store_times::StoreTimes};
use crate::store::{Tally, Verdict};

/// The `Content-Type` of [`Metrics::text`] and [`WorkerMetrics::text`].
pub const METRICS_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Upper bounds in seconds: from a disk write to waits for people or for endpoints that are down.
const BUCKETS: [f64; 19] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
    600.0, 3600.0, 21_600.0, 86_400.0,
];

/// The settings whose refusals are counted.
const LIMITS: [&str; 11] = [
    "bots_per_consumer",
    "minutes_per_month",
    "queued_jobs",
    "requests_per_minute",
    "unknown_keys_per_minute",
    "requests_at_once",
    "connections",
    "connections_per_address",
    "streams_per_key",
    "head_seconds",
    "body_seconds",
];

/// A histogram of seconds for each set of labels.
type Times<L> = Family<L, Histogram, fn() -> Histogram>;

fn times<L: Clone + Hash + Eq>() -> Times<L> {
    Family::new_with_constructor(histogram)
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// The word of a set that may grow; what this version does not know is one label more, not one each.
fn known(word: Option<impl ToString>) -> Cow<'static, str> {
    word.map_or(Cow::Borrowed("other"), |word| Cow::Owned(word.to_string()))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: Cow<'static, str>,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControlLabels {
    action: Cow<'static, str>,
    state: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndingLabels {
    status: Cow<'static, str>,
    failure_code: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

/// The program, and when it started.
fn register_process(registry: &mut Registry, started: Timestamp, help: &str) {
    let version = vec![("version", env!("CARGO_PKG_VERSION"))];
    registry.register("build", "The program that runs", Info::new(version));
    let start_time = Gauge::<f64, AtomicU64>::default();
    start_time.set(started.as_millis() as f64 / 1000.0);
    registry.register_with_unit("start_time", help, Unit::Seconds, start_time);
}

/// The metrics of a registry in Prometheus' text format.
fn encoded(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_text::encode(&mut text, registry).expect("a text takes all");
    text
}

/// All metrics of a server.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_times: Times<RouteLabels>,
    control: Times<ControlLabels>,
    refused: Family<LimitLabel, Counter>,
    jobs: Family<StatusLabel, Gauge>,
    ended: Family<EndingLabels, Counter>,
    /// The bots of this process.
    pub(crate) attempts: Attempts,
    /// The workers in other processes.
    pub(crate) workers: Workers,
    tries: Family<OutcomeLabel, Counter>,
    try_times: Histogram,
    webhook_latency: Histogram,
    mixes: Gauge,
    recordings: Gauge,
    uploads: Gauge,
    uploads_age: Gauge<f64, AtomicU64>,
    uploads_failing: Gauge,
    backlog: Gauge,
    backlog_age: Gauge<f64, AtomicU64>,
    store_up: Gauge,
    store_notified: Gauge,
}

impl Metrics {
    /// The metrics of a server that may run so many bots.
    pub(crate) fn new(started: Timestamp, max_bots: usize, store: &StoreTimes) -> Self {
        let mut registry = Registry::with_prefix("meetbot");
        register_process(&mut registry, started, "When the server started, since 1970");

        let requests = Family::default();
        registry.register(
            "http_requests",
            "Answered requests; `route` is the path's pattern, `none` where there is no such path",
            requests.clone(),
        );
        let request_times = times();
        registry.register_with_unit(
            "http_request_duration",
            "From a request's head to its answer's head; calls that wait on purpose take long",
            Unit::Seconds,
            request_times.clone(),
        );
        let control = times();
        registry.register_with_unit(
            "control_duration",
            "From a control call to what the bot did; `state` is `pending` where it took longer than the call waits",
            Unit::Seconds,
            control.clone(),
        );

        let refused = Family::<LimitLabel, Counter>::default();
        for limit in LIMITS {
            drop(refused.get_or_create(&LimitLabel { limit }));
        }
        registry.register(
            "refused",
            "Requests, connections and jobs that a limit refused, by the setting that holds it",
            refused.clone(),
        );

        let jobs = Family::default();
        registry.register("jobs", "Jobs that have not ended, when asked", jobs.clone());
        let ended = Family::default();
        registry.register(
            "jobs_ended",
            "Jobs that have ended, since there is this data folder",
            ended.clone(),
        );
        let attempts = Attempts::register(&mut registry, max_bots);
        let workers = Workers::register(&mut registry);

        let tries = Family::default();
        registry.register(
            "webhook_tries",
            "Tries of deliveries: `delivered`, to be tried `again`, or given up (`dead`)",
            tries.clone(),
        );
        let try_times = histogram();
        registry.register_with_unit(
            "webhook_try_duration",
            "How long endpoints take to answer, or not to",
            Unit::Seconds,
            try_times.clone(),
        );
        let webhook_latency = histogram();
        registry.register_with_unit(
            "webhook_latency",
            "From what happened to its arrival, failed tries included; not of those sent again by hand",
            Unit::Seconds,
            webhook_latency.clone(),
        );
        let mixes = Gauge::default();
        registry.register(
            "mixes_waiting",
            "Mixes that are still to be made, those that are being made included, when asked",
            mixes.clone(),
        );
        let recordings = Gauge::default();
        registry.register_with_unit(
            "recordings",
            "What the recordings of jobs that have ended have on disk, those of all consumers, when asked",
            Unit::Bytes,
            recordings.clone(),
        );
        let backlog = Gauge::default();
        registry.register(
            "webhook_backlog",
            "Deliveries that have neither arrived nor been given up, when asked",
            backlog.clone(),
        );
        let backlog_age = Gauge::default();
        registry.register_with_unit(
            "webhook_backlog_age",
            "How long ago it was made, of the oldest of them; 0 where there is none",
            Unit::Seconds,
            backlog_age.clone(),
        );

        let uploads = Gauge::default();
        registry.register(
            "uploads_waiting",
            "Recordings that are finished and not in the bucket yet; 0 without one",
            uploads.clone(),
        );
        let uploads_age = Gauge::default();
        registry.register_with_unit(
            "uploads_waiting_age",
            "How long the first of them has waited; 0 where there is none",
            Unit::Seconds,
            uploads_age.clone(),
        );
        let uploads_failing = Gauge::default();
        registry.register(
            "uploads_failing",
            "Whether the last try to bring one into the bucket failed",
            uploads_failing.clone(),
        );

        let store_up = Gauge::default();
        registry.register("store_up", "Whether the store answered, when asked", store_up.clone());
        let store_notified = Gauge::default();
        store_notified.set(1);
        registry.register(
            "store_notified",
            "Whether this server is notified of what other servers on its database change; 1 where it has the store alone",
            store_notified.clone(),
        );
        registry.register_with_unit(
            "store_transaction",
            "Transactions: a `write` is a batch of what was asked at the same time, until it is on disk",
            Unit::Seconds,
            store.transactions.clone(),
        );

        Self {
            registry,
            requests,
            request_times,
            control,
            refused,
            jobs,
            ended,
            attempts,
            workers,
            tries,
            try_times,
            webhook_latency,
            mixes,
            recordings,
            uploads,
            uploads_age,
            uploads_failing,
            backlog,
            backlog_age,
            store_up,
            store_notified,
        }
    }

    /// Whether this server is notified of what other servers change.
    pub(crate) fn notified(&self, is_notified: bool) {
        self.store_notified.set(i64::from(is_notified));
    }

    /// A request was answered. `route` is the pattern of its path, where there is one.
    pub(crate) fn answered(&self, method: &str, route: Option<&str>, status: u16, took: Duration) {
        const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        let route = route.map_or(Cow::Borrowed("none"), |route| Cow::Owned(route.to_owned()));
        self.requests.get_or_create(&RequestLabels { method, route: route.clone(), status }).inc();
        self.request_times
            .get_or_create(&RouteLabels { method, route })
            .observe(took.as_secs_f64());
    }

    /// A limit refused something.
    pub(crate) fn refused(&self, limit: &'static str) {
        self.refused.get_or_create(&LimitLabel { limit }).inc();
    }

    /// A control call was answered.
    pub(crate) fn controlled(&self, action: &ControlAction, state: &ControlState, took: Duration) {
        let labels = ControlLabels {
            action: known(ControlAction::known(action.as_str())),
            state: known(ControlState::known(state.as_str())),
        };
        self.control.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A try of a delivery was made. `latency` is the time since the event happened.
    pub(crate) fn tried(&self, verdict: Verdict, took: Duration, latency: Option<Duration>) {
        let outcome = match verdict {
            Verdict::Delivered => "delivered",
            Verdict::RetryAt(_) => "again",
            Verdict::Dead => "dead",
        };
        self.tries.get_or_create(&OutcomeLabel { outcome }).inc();
        self.try_times.observe(took.as_secs_f64());
        if let Some(latency) = latency.filter(|_| verdict == Verdict::Delivered) {
            self.webhook_latency.observe(latency.as_secs_f64());
        }
    }

    /// So many recordings wait for the bucket, the first of them since this moment, and whether the last try failed.
    pub(crate) fn uploads(
        &self,
        waiting: u64,
        since: Option<Timestamp>,
        failing: bool,
        now: Timestamp,
    ) {
        self.uploads.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let age = since.map_or(0, |since| now.millis_since(since).max(0));
        self.uploads_age.set(age as f64 / 1000.0);
        self.uploads_failing.set(i64::from(failing));
    }

    /// Everything in Prometheus' text format, with what the store has just counted; without that where it did not answer.
    pub(crate) fn text(&self, tally: Option<&Tally>, now: Timestamp) -> String {
        self.store_up.set(i64::from(tally.is_some()));
        if let Some(tally) = tally {
            self.take(tally, now);
        }
        encoded(&self.registry)
    }

    fn take(&self, tally: &Tally, now: Timestamp) {
        for status in JobStatus::ALL.iter().filter(|status| !status.is_final()) {
            let jobs = tally.open.iter().find(|(open, _)| open == status);
            let status = known(Some(status));
            let jobs = jobs.map_or(0, |(_, jobs)| *jobs);
            self.jobs
                .get_or_create(&StatusLabel { status })
                .set(i64::try_from(jobs).unwrap_or(i64::MAX));
        }
        for ended in &tally.ended {
            let labels = EndingLabels {
                status: known(JobStatus::known(ended.status.as_str())),
                failure_code: ended
                    .failure_code
                    .as_ref()
                    .map_or(Cow::Borrowed(""), |code| known(FailureCode::known(code.as_str()))),
            };
            self.ended.get_or_create(&labels).inner().store(ended.jobs, Ordering::Relaxed);
        }
        self.mixes.set(i64::try_from(tally.mixes).unwrap_or(i64::MAX));
        self.recordings.set(i64::try_from(tally.recording_bytes).unwrap_or(i64::MAX));
        self.backlog.set(i64::try_from(tally.backlog).unwrap_or(i64::MAX));
        let age = tally.oldest.map_or(0, |oldest| now.millis_since(oldest).max(0));
        self.backlog_age.set(age as f64 / 1000.0);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fmt::Write as _};

    use meetbot_types::{JobId, Platform, bot::MediaCounters};
    use xtask::spec_file;

    use super::*;
    use crate::store::Ended;

    /// Metrics that each have a value.
    fn filled() -> Metrics {
        let store = StoreTimes::new();
        store.took("write", true, Duration::ZERO);
        let metrics = Metrics::new(Timestamp::from_millis(1_800_000_000_250), 200, &store);
        metrics.answered("GET", Some("/api/v1/jobs/{id}"), 200, Duration::from_millis(3));
        metrics.controlled(
            &ControlAction::PauseRecording,
            &ControlState::Done,
            Duration::from_millis(2),
        );
        let job = JobId::generate(Timestamp::UNIX_EPOCH);
        metrics.attempts.launched(job, 1, &Platform::Sandbox, Duration::ZERO);
        let media = MediaCounters { packets_received: 5, ..MediaCounters::default() };
        let heard = ReportCounts { job, epoch: 1, admitted: true, media: Some(media) };
        metrics.attempts.heard(&heard, Duration::from_secs(1));
        metrics.attempts.ended(job, 1, true);
        metrics.tried(Verdict::Delivered, Duration::from_millis(1), Some(Duration::from_millis(4)));
        metrics
    }

    fn tally() -> Tally {
        Tally {
            open: vec![(JobStatus::Queued, 3)],
            ended: vec![Ended {
                status: JobStatus::Failed,
                failure_code: Some(FailureCode::LobbyTimeout),
                jobs: 7,
            }],
            mixes: 3,
            recording_bytes: 123_456,
            backlog: 2,
            oldest: Some(Timestamp::from_millis(1_500)),
        }
    }

    fn text() -> String {
        filled().text(Some(&tally()), Timestamp::from_millis(4_000))
    }

    #[test]
    fn counts_of_the_store_are_shown_unchanged() {
        let text = text();
        for line in [
            "meetbot_build_info{version=",
            "meetbot_start_time_seconds 1800000000.25\n",
            "meetbot_jobs{status=\"queued\"} 3\n",
            "meetbot_jobs{status=\"recording\"} 0\n",
            "meetbot_jobs_ended_total{status=\"failed\",failure_code=\"lobby_timeout\"} 7\n",
            "meetbot_mixes_waiting 3\n",
            "meetbot_recordings_bytes 123456\n",
            "meetbot_webhook_backlog 2\n",
            "meetbot_webhook_backlog_age_seconds 2.5\n",
            "meetbot_store_up 1\n",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
        assert!(filled().text(None, Timestamp::UNIX_EPOCH).contains("meetbot_store_up 0\n"));
    }

    #[test]
    fn labels_from_requests_are_bounded() {
        let metrics = filled();
        metrics.answered("BREW", None, 404, Duration::ZERO);
        metrics.controlled(&"dance".into(), &"elated".into(), Duration::ZERO);
        let text = metrics.text(None, Timestamp::UNIX_EPOCH);
        assert!(
            text.contains("http_requests_total{method=\"other\",route=\"none\",status=\"404\"} 1")
        );
        assert!(
            text.contains("control_duration_seconds_count{action=\"other\",state=\"other\"} 1")
        );
    }

    /// The rows of `docs/operations.md` for these metrics.
    pub(super) fn table(text: &str) -> String {
        let mut labels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, set) = line.split_once('{').unwrap_or((line, ""));
            let name = name.split(' ').next().unwrap();
            let set = set.split(',').filter_map(|pair| pair.split_once("=\"")).map(|(key, _)| key);
            labels.insert(name, set.filter(|key| *key != "le").collect());
        }
        let mut table =
            "| metric | kind | labels | what it tells |\n| --- | --- | --- | --- |\n".to_owned();
        for help in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
            let (name, help) = help.split_once(' ').unwrap();
            let kind = text.lines().find_map(|line| {
                line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' ')
            });
            let kind = kind.unwrap();
            let sample =
                if kind == "histogram" { format!("{name}_count") } else { name.to_owned() };
            let labels = labels[sample.as_str()].iter().map(|label| format!("`{label}`"));
            let labels = labels.collect::<Vec<_>>().join(", ");
            writeln!(table, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
        }
        table
    }

    #[test]
    fn the_table_of_the_metrics_is_what_they_are() {
        let table = table(&text());
        assert!(table.lines().count() > 20, "the search finds the metrics");
        spec_file::check_part("docs/operations.md", "metrics", &table);
    }
}
