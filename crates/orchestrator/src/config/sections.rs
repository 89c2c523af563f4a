//! The sections of the settings, and the checks of their values.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use meetbot_types::{
    Labels,
    address_policy::{Network, NotANetwork},
    bot::BrowserSettings,
};
use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, ConfigError, parse_listen};
use crate::{
    accounts::Accounts,
    limits::Limits,
    machine,
    recordings::bucket::{Serve, StorageSettings, parse_endpoint, parse_url},
    store::{Quota, StoreUrl},
    timing::Timing,
    zoom::ZoomSettings,
};

#[derive(Deserialize)]
struct Settings {
    server: Server,
    store: Store,
    bots: Bots,
    log: Log,
    recordings: Recordings,
    storage: Storage,
    jobs: Jobs,
    webhooks: Webhooks,
    audit: Audit,
    dashboard: Dashboard,
    limits: LimitSettings,
    zoom: Zoom,
}

#[derive(Deserialize)]
struct Zoom {
    hosts: Vec<String>,
    #[serde(default)]
    apps: Table,
}

#[derive(Deserialize)]
struct Server {
    listen: String,
    data_dir: PathBuf,
    development: bool,
    drain_seconds: u32,
}

#[derive(Deserialize)]
struct Store {
    url: String,
    password_file: PathBuf,
    ca_file: PathBuf,
}

impl Store {
    /// The database, if one is set.
    fn given(self) -> Option<StoreUrl> {
        let (password_file, ca_file) = (given(self.password_file), given(self.ca_file));
        (!self.url.is_empty()).then_some(StoreUrl { url: self.url, password_file, ca_file })
    }
}

#[derive(Deserialize)]
struct Bots {
    max: u32,
    start_within_seconds: u32,
    allow_networks: Vec<String>,
    stun_servers: Vec<String>,
    own_processes: bool,
    workers: String,
    labels: Vec<String>,
    browser: Browser,
}

/// With less, no browser can open a meeting.
const LEAST_BROWSER_MB: u32 = 500;

#[derive(Deserialize)]
struct Browser {
    enabled: bool,
    max: i32,
    binary: PathBuf,
    no_sandbox: bool,
    headful: bool,
    landmarks_dir: PathBuf,
    memory_mb: u32,
    processors: u32,
    #[serde(default)]
    accounts: Table,
}

/// A path; `None` if the text is empty.
fn given(path: PathBuf) -> Option<PathBuf> {
    Some(path).filter(|path| !path.as_os_str().is_empty())
}

#[derive(Deserialize)]
struct Log {
    format: String,
}

#[derive(Deserialize)]
struct Recordings {
    keep_days: u32,
    max_gigabytes_per_job: u32,
    mix_at_once: i32,
    serve: String,
}

#[derive(Deserialize)]
struct Storage {
    url: String,
    endpoint: String,
    public_url: String,
    region: String,
    path_style: bool,
    access_key_id: String,
    secret_access_key_file: PathBuf,
}

impl Storage {
    /// The error is the name of a setting and what is wrong with it.
    fn settings(self, serve: &str) -> Result<Option<StorageSettings>, (&'static str, String)> {
        let serve = match serve {
            "redirect" => Serve::Redirect,
            "proxy" => Serve::Proxy,
            _ => {
                let problem = format!("{serve:?} is neither redirect nor proxy");
                return Err(("recordings.serve", problem));
            }
        };
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        let Some(url) = given(self.url) else {
            let others = [
                ("storage.endpoint", &self.endpoint),
                ("storage.public_url", &self.public_url),
                ("storage.access_key_id", &self.access_key_id),
            ];
            // A section without `url` is an error: recordings would stay on the disk unnoticed.
            return match others.into_iter().find(|(_, value)| !value.is_empty()) {
                Some((setting, _)) => Err((setting, "is set, and storage.url is not".to_owned())),
                None => Ok(None),
            };
        };
        let (bucket, prefix) = parse_url(&url).map_err(|problem| ("storage.url", problem))?;
        let path_style = self.path_style;
        let address = |setting: &'static str, text: String| {
            let parsed = given(text).map(|text| parse_endpoint(&text, path_style)).transpose();
            parsed.map_err(|problem| (setting, problem))
        };
        let is_plain = |text: &str| text.bytes().all(|letter| letter.is_ascii_graphic());
        for (setting, text) in
            [("storage.region", &self.region), ("storage.access_key_id", &self.access_key_id)]
        {
            if !is_plain(text) {
                return Err((
                    setting,
                    "must be ASCII letters, digits and signs, without spaces".to_owned(),
                ));
            }
        }
        let file = self.secret_access_key_file;
        Ok(Some(StorageSettings {
            bucket,
            prefix,
            endpoint: address("storage.endpoint", self.endpoint)?,
            public_url: address("storage.public_url", self.public_url)?,
            region: given(self.region),
            path_style,
            access_key_id: given(self.access_key_id),
            secret_access_key_file: (!file.as_os_str().is_empty()).then_some(file),
            serve,
        }))
    }
}

#[derive(Deserialize)]
struct Jobs {
    keep_days: u32,
}

#[derive(Deserialize)]
struct Webhooks {
    allow_networks: Vec<String>,
}

#[derive(Deserialize)]
struct Audit {
    keep_days: u32,
}

#[derive(Deserialize)]
struct Dashboard {
    enabled: bool,
}

#[derive(Deserialize)]
struct LimitSettings {
    bots_per_consumer: u32,
    minutes_per_month: u32,
    queued_jobs: u32,
    requests_per_minute: u32,
    unknown_keys_per_minute: u32,
    requests_at_once: u32,
    connections: u32,
    connections_per_address: u32,
    streams_per_key: u32,
    head_seconds: u32,
    body_seconds: u32,
}

impl LimitSettings {
    /// The error names the invalid setting.
    fn limits(&self) -> Result<Limits, &'static str> {
        for (value, setting) in [
            (self.requests_at_once, "limits.requests_at_once"),
            (self.connections, "limits.connections"),
            (self.streams_per_key, "limits.streams_per_key"),
            (self.head_seconds, "limits.head_seconds"),
            (self.body_seconds, "limits.body_seconds"),
        ] {
            if value == 0 {
                return Err(setting);
            }
        }
        Ok(Limits {
            requests_per_minute: NonZeroU32::new(self.requests_per_minute),
            unknown_keys_per_minute: NonZeroU32::new(self.unknown_keys_per_minute),
            requests_at_once: self.requests_at_once as usize,
            connections: self.connections as usize,
            connections_per_address: NonZeroU32::new(self.connections_per_address),
            streams_per_key: self.streams_per_key as usize,
            head: Duration::from_secs(self.head_seconds.into()),
            body: Duration::from_secs(self.body_seconds.into()),
        })
    }
}

impl Config {
    /// The checked settings.
    pub(super) fn check(settings: Table) -> Result<Self, ConfigError> {
        let invalid = |setting: &str, problem: String| ConfigError::Invalid {
            place: String::new(),
            setting: setting.to_owned(),
            problem,
        };
        let settings: Settings =
            Value::Table(settings).try_into().map_err(|error: toml::de::Error| {
                invalid("the configuration", error.message().to_owned())
            })?;
        let listen = parse_listen(&settings.server.listen)
            .map_err(|problem| invalid("server.listen", problem))?;
        let networks = |setting: &str, networks: &[String]| -> Result<Vec<Network>, ConfigError> {
            let parsed: Result<_, _> = networks.iter().map(|network| network.parse()).collect();
            parsed.map_err(|error: NotANetwork| invalid(setting, error.to_string()))
        };
        let allow_networks =
            networks("webhooks.allow_networks", &settings.webhooks.allow_networks)?;
        let meeting_networks = networks("bots.allow_networks", &settings.bots.allow_networks)?;
        let browser = settings.bots.browser;
        if (1..LEAST_BROWSER_MB).contains(&browser.memory_mb) {
            let problem = format!("must be 0, or at least {LEAST_BROWSER_MB}");
            return Err(invalid("bots.browser.memory_mb", problem));
        }
        let max_browsers = match browser.max {
            -1 => machine::browsers(),
            max => usize::try_from(max).ok().filter(|max| *max > 0).ok_or_else(|| {
                invalid("bots.browser.max", "must be -1, or at least 1".to_owned())
            })?,
        };
        let accounts = named("bots.browser.accounts", browser.accounts, &invalid)?;
        let accounts = Accounts::of(accounts).map_err(|(setting, why)| invalid(&setting, why))?;
        let stun_servers = settings.bots.stun_servers;
        if let Some(server) = stun_servers.iter().find(|server| !is_host_and_port(server)) {
            let problem =
                format!("{server:?} is not a host and a port, as in stun.example.com:3478");
            return Err(invalid("bots.stun_servers", problem));
        }
        let max_bots = settings.bots.max as usize;
        if max_bots == 0 {
            return Err(invalid("bots.max", "must be at least 1".to_owned()));
        }
        let workers =
            settings.bots.workers.parse().map_err(|problem| invalid("bots.workers", problem))?;
        let labels = Labels::read(settings.bots.labels)
            .map_err(|error| invalid("bots.labels", error.to_string()))?;
        let mix_at_once = match settings.recordings.mix_at_once {
            -1 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get).max(2) - 1,
            at_once => usize::try_from(at_once).map_err(|_| {
                invalid("recordings.mix_at_once", "must be -1, 0 or more".to_owned())
            })?,
        };
        let storage = settings
            .storage
            .settings(&settings.recordings.serve)
            .map_err(|(setting, problem)| invalid(setting, problem))?;
        let log_format =
            settings.log.format.parse().map_err(|problem| invalid("log.format", problem))?;
        let start_within = Duration::from_secs(settings.bots.start_within_seconds.into());
        if start_within.is_zero() {
            return Err(invalid("bots.start_within_seconds", "must be at least 1".to_owned()));
        }
        Ok(Self {
            listen,
            data_dir: settings.server.data_dir,
            store: settings.store.given(),
            development: settings.server.development,
            drain: Duration::from_secs(settings.server.drain_seconds.into()),
            log_format,
            max_bots,
            start_within,
            meeting_networks,
            stun_servers,
            own_processes: settings.bots.own_processes,
            workers,
            labels,
            max_browsers,
            accounts,
            browser: browser.enabled.then(|| BrowserSettings {
                binary: given(browser.binary),
                no_sandbox: browser.no_sandbox,
                headful: browser.headful,
                landmarks_dir: given(browser.landmarks_dir),
                memory_mb: browser.memory_mb,
                processors: browser.processors,
                profile: None,
            }),
            keep_recordings: days(settings.recordings.keep_days),
            keep_jobs: days(settings.jobs.keep_days),
            most_bytes_per_job: match settings.recordings.max_gigabytes_per_job {
                0 => None,
                gigabytes => Some(u64::from(gigabytes) * 1_000_000_000),
            },
            mix_at_once,
            storage,
            allow_networks,
            quota: Quota {
                bots: NonZeroU32::new(settings.limits.bots_per_consumer),
                minutes: NonZeroU32::new(settings.limits.minutes_per_month),
                queued: NonZeroU32::new(settings.limits.queued_jobs),
            },
            limits: settings
                .limits
                .limits()
                .map_err(|setting| invalid(setting, "must be at least 1".to_owned()))?,
            timing: Timing::default(),
            keep_audit: Duration::from_hours(24 * u64::from(settings.audit.keep_days)),
            dashboard: settings.dashboard.enabled,
            zoom: zoom(settings.zoom, &invalid)?,
        })
    }
}

/// The settings of Zoom. The files that they name are read when the server starts.
fn zoom(
    zoom: Zoom,
    invalid: &impl Fn(&str, String) -> ConfigError,
) -> Result<ZoomSettings, ConfigError> {
    let is_domain = |host: &String| {
        host.contains('.')
            && url::Host::parse(host).is_ok_and(|parsed| parsed == url::Host::Domain(host.clone()))
    };
    if let Some(host) = zoom.hosts.iter().find(|host| !is_domain(host)) {
        let problem = format!("{host:?} is not a domain in small letters, as in zoom.us");
        return Err(invalid("zoom.hosts", problem));
    }
    Ok(ZoomSettings { hosts: zoom.hosts, apps: named("zoom.apps", zoom.apps, invalid)? })
}

/// Sections that the operator names, as in `[zoom.apps.NAME]`.
fn named<T: serde::de::DeserializeOwned>(
    section: &str,
    table: Table,
    invalid: &impl Fn(&str, String) -> ConfigError,
) -> Result<BTreeMap<String, T>, ConfigError> {
    let read = |(name, value): (String, Value)| {
        let problem = |error: toml::de::Error| {
            invalid(&format!("{section}.{name}"), error.message().to_owned())
        };
        Ok((name.clone(), value.try_into().map_err(problem)?))
    };
    table.into_iter().map(read).collect()
}

/// A number of days; 0 becomes `None`, which means no limit.
fn days(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_hours(24 * u64::from(days)))
}

fn is_host_and_port(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}
