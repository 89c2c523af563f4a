//! The server's settings. `default.toml` is the manual and the source of every default.

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use meetbot_types::{
    Reach,
    reach::{Network, NotANetwork},
};
use serde::Deserialize;
use toml::{Table, Value};

use crate::{limits::Limits, store::Quota};

/// The annotated defaults.
pub const DEFAULT: &str = include_str!("default.toml");

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is neither text nor json")),
        }
    }
}

/// The settings, complete and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// The folder that holds everything.
    pub data_dir: PathBuf,
    /// Whether webhooks and meetings may lead to loopback; see [`Config::check_development`].
    pub development: bool,
    /// How long bots may stay in their meetings once the server is to stop.
    pub drain: Duration,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// How many bots run at once.
    pub max_bots: usize,
    /// How long a job may wait for a bot before it fails.
    pub start_within: Duration,
    /// Networks in which bots may meet although they are not public.
    pub meeting_networks: Vec<Network>,
    /// STUN servers that tell bots their public address, as in `stun.example.com:3478`.
    pub stun_servers: Vec<String>,
    /// How long recordings are kept after their job has ended; `None` for ever.
    pub keep_recordings: Option<Duration>,
    /// How long jobs are kept after their end; `None` keeps them without end.
    pub keep_jobs: Option<Duration>,
    /// How many bytes the recording of one job may have; `None`: as many as there is room for.
    pub most_bytes_per_job: Option<u64>,
    /// How many mixes are made at the same time; 0: none is ever made.
    pub mix_at_once: usize,
    /// Networks that webhooks may go to although they are not public.
    pub allow_networks: Vec<Network>,
    /// How long the audit log of key use is kept.
    pub keep_audit: Duration,
    /// How much of the server one caller gets.
    pub limits: Limits,
    /// What each consumer may use in each of its worlds.
    pub quota: Quota,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not TOML.
    #[error("the configuration is not TOML: {0}")]
    NotToml(String),
    /// There is no such setting.
    #[error("there is no setting {0}; `meetbot serve --print-config` prints all of them")]
    Unknown(String),
    /// The setting's value is wrong.
    #[error("{setting}: {problem}")]
    Invalid {
        /// Which.
        setting: String,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Deserialize)]
struct Settings {
    server: Server,
    bots: Bots,
    log: Log,
    recordings: Recordings,
    jobs: Jobs,
    webhooks: Webhooks,
    audit: Audit,
    limits: LimitSettings,
}

#[derive(Deserialize)]
struct Server {
    listen: String,
    data_dir: PathBuf,
    development: bool,
    drain_seconds: u32,
}

#[derive(Deserialize)]
struct Bots {
    max: u32,
    start_within_seconds: u32,
    allow_networks: Vec<String>,
    stun_servers: Vec<String>,
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
    /// Names the setting that cannot be.
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
    /// The defaults, then `file` (TOML text), then what `variable` knows of `MEETBOT_<SECTION>_<KEY>`.
    pub fn load(
        file: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut settings = table(DEFAULT)?;
        if let Some(file) = file {
            lay_over(&mut settings, table(file)?)?;
        }
        for (section, keys) in &mut settings {
            let Value::Table(keys) = keys else { continue };
            for (key, value) in keys {
                let name = format!("MEETBOT_{section}_{key}").to_uppercase();
                if let Some(text) = variable(&name).filter(|text| !text.is_empty()) {
                    *value = like(value, &text).ok_or_else(|| ConfigError::Invalid {
                        setting: name,
                        problem: format!("{text:?} is not {}", a_type(value)),
                    })?;
                }
            }
        }
        Self::check(settings)
    }

    /// Development is for one machine: an error where the server would listen on an address that others can reach.
    pub fn check_development(&self) -> Result<(), ConfigError> {
        if !self.development || self.listen.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(ConfigError::Invalid {
            setting: "server.development".to_owned(),
            problem: format!(
                "with --dev a server listens on loopback only, as on 127.0.0.1:3010, and not on {}",
                self.listen
            ),
        })
    }

    /// Where webhooks may go.
    pub(crate) fn webhook_reach(&self) -> Reach {
        Reach { loopback: self.development, networks: self.allow_networks.clone() }
    }

    /// Where meetings may be.
    pub(crate) fn meeting_reach(&self) -> Reach {
        Reach { loopback: self.development, networks: self.meeting_networks.clone() }
    }

    /// The settings by which whoever has a key may make the server or its bots call programs on loopback.
    pub fn open_loopback(&self) -> Vec<&'static str> {
        let networks = |networks: &[Network]| {
            Reach { loopback: false, networks: networks.to_vec() }.opens_loopback()
        };
        let settings = [
            ("server.development", self.development),
            ("webhooks.allow_networks", networks(&self.allow_networks)),
            ("bots.allow_networks", networks(&self.meeting_networks)),
        ];
        settings.into_iter().filter(|(_, opens)| *opens).map(|(setting, _)| setting).collect()
    }

    fn check(settings: Table) -> Result<Self, ConfigError> {
        let invalid = |setting: &str, problem: String| ConfigError::Invalid {
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
        let mix_at_once = match settings.recordings.mix_at_once {
            -1 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get).max(2) - 1,
            at_once => usize::try_from(at_once).map_err(|_| {
                invalid("recordings.mix_at_once", "must be -1, 0 or more".to_owned())
            })?,
        };
        let start_within = Duration::from_secs(settings.bots.start_within_seconds.into());
        if start_within.is_zero() {
            return Err(invalid("bots.start_within_seconds", "must be at least 1".to_owned()));
        }
        Ok(Self {
            listen,
            data_dir: settings.server.data_dir,
            development: settings.server.development,
            drain: Duration::from_secs(settings.server.drain_seconds.into()),
            log_format: settings
                .log
                .format
                .parse()
                .map_err(|problem| invalid("log.format", problem))?,
            max_bots,
            start_within,
            meeting_networks,
            stun_servers,
            keep_recordings: days(settings.recordings.keep_days),
            keep_jobs: days(settings.jobs.keep_days),
            most_bytes_per_job: match settings.recordings.max_gigabytes_per_job {
                0 => None,
                gigabytes => Some(u64::from(gigabytes) * 1_000_000_000),
            },
            mix_at_once,
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
            keep_audit: Duration::from_hours(24 * u64::from(settings.audit.keep_days)),
        })
    }
}

/// So many days; `None` for 0, which keeps without end.
fn days(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_hours(24 * u64::from(days)))
}

/// Reads `HOST:PORT`, where the host is an address or `localhost`.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    address.as_deref().unwrap_or(text).parse().map_err(|_| {
        format!("{text:?} is not an address and a port, as in 127.0.0.1:3010 or [::]:3010")
    })
}

fn is_host_and_port(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn table(text: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| ConfigError::NotToml(error.to_string()))
}

fn lay_over(settings: &mut Table, file: Table) -> Result<(), ConfigError> {
    for (section, given) in file {
        let Some(Value::Table(known)) = settings.get_mut(&section) else {
            return Err(ConfigError::Unknown(format!("section [{section}]")));
        };
        let Value::Table(given) = given else {
            return Err(ConfigError::Unknown(format!("{section} outside of a section")));
        };
        for (key, value) in given {
            let Some(place) = known.get_mut(&key) else {
                return Err(ConfigError::Unknown(format!("{section}.{key}")));
            };
            if !place.same_type(&value) {
                return Err(ConfigError::Invalid {
                    setting: format!("{section}.{key}"),
                    problem: format!("must be {}, not {}", a_type(place), a_type(&value)),
                });
            }
            *place = value;
        }
    }
    Ok(())
}

/// Reads `text` as the kind of value that `example` is.
/// The type of a value, with its article.
fn a_type(value: &Value) -> String {
    let name = value.type_str();
    let article = if name.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {name}")
}

fn like(example: &Value, text: &str) -> Option<Value> {
    match example {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            Some(Value::Array(text.split(',').map(|part| part.trim().into()).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn the_defaults_are_complete() {
        let config = Config::load(None, nothing).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:3010");
        assert_eq!(config.data_dir, PathBuf::from("meetbot-data"));
        let keep = (config.keep_recordings, config.keep_jobs);
        assert_eq!((config.drain, keep), (Duration::ZERO, (None, None)));
        assert!(config.mix_at_once >= 1);
        assert_eq!(config.most_bytes_per_job, Some(50_000_000_000));
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
        let file = "[server]\nlisten = \"0.0.0.0:80\"\n[bots]\nmax = 7";
        let variable = |name: &str| match name {
            "MEETBOT_BOTS_MAX" => Some("9".to_owned()),
            "MEETBOT_RECORDINGS_KEEP_DAYS" => Some("30".to_owned()),
            "MEETBOT_RECORDINGS_MAX_GIGABYTES_PER_JOB" => Some("0".to_owned()),
            "MEETBOT_WEBHOOKS_ALLOW_NETWORKS" => Some("10.0.0.0/8, fd00::/8".to_owned()),
            _ => None,
        };
        let config = Config::load(Some(file), variable).unwrap();
        assert_eq!(
            (config.listen.port(), config.max_bots, config.allow_networks.len()),
            (80, 9, 2)
        );
        assert_eq!(config.keep_recordings, Some(Duration::from_hours(720)));
        assert_eq!(config.most_bytes_per_job, None);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let problem = |file: &str| Config::load(Some(file), nothing).unwrap_err().to_string();
        assert!(problem("[server]\nlissten = \"x\"").contains("server.lissten"));
        assert!(problem("[servers]\n").contains("[servers]"));
        assert!(problem("[server]\nlisten = 5").contains("must be a string, not an integer"));
        assert!(problem("[server]\nlisten = \"nowhere\"").contains("as in 127.0.0.1:3010"));
        assert!(problem("[bots]\nmax = 0").contains("at least 1"));
        assert!(problem("[limits]\nhead_seconds = 0").contains("limits.head_seconds"));
        assert!(problem("[webhooks]\nallow_networks = [\"x\"]").contains("not a network"));
        assert!(problem("[bots]\nallow_networks = [\"x\"]").contains("bots.allow_networks"));
        assert!(problem("[bots]\nstun_servers = [\"x\"]").contains("stun.example.com:3478"));
        assert!(problem("[recordings]\nmix_at_once = -2").contains("-1, 0 or more"));
        assert!(problem("[log]\nformat = \"xml\"").contains("neither text nor json"));
        assert!(problem("[").contains("not TOML"));
        assert!(problem("[server]\ndevelopment = 1").contains("must be a boolean"));
        let odd = |name: &str| (name == "MEETBOT_BOTS_MAX").then(|| "many".to_owned());
        assert!(Config::load(None, odd).unwrap_err().to_string().contains("MEETBOT_BOTS_MAX"));
    }

    #[test]
    fn development_is_for_loopback_only() {
        let development = |listen: &str| {
            let file = format!("[server]\nlisten = \"{listen}\"\ndevelopment = true");
            Config::load(Some(&file), nothing).unwrap().check_development()
        };
        for here in
            ["127.0.0.1:3010", "localhost:0", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"]
        {
            assert_eq!(development(here), Ok(()), "{here}");
        }
        for beyond in ["0.0.0.0:3010", "[::]:3010", "10.0.0.5:80", "[::ffff:10.0.0.5]:80"] {
            let refused = development(beyond).unwrap_err().to_string();
            assert!(refused.contains("--dev") && refused.contains(beyond), "{refused}");
        }
        assert_eq!(
            Config::load(Some("[server]\nlisten = \"0.0.0.0:1\""), nothing)
                .unwrap()
                .check_development(),
            Ok(())
        );
    }

    #[test]
    fn settings_that_open_loopback_are_named() {
        let open = |file: &str| Config::load(Some(file), nothing).unwrap().open_loopback();
        assert!(
            open("").is_empty() && open("[webhooks]\nallow_networks = [\"10.0.0.0/8\"]").is_empty()
        );
        assert_eq!(open("[server]\ndevelopment = true"), ["server.development"]);
        let both =
            "[webhooks]\nallow_networks = [\"127.0.0.1\"]\n[bots]\nallow_networks = [\"::/0\"]";
        assert_eq!(open(both), ["webhooks.allow_networks", "bots.allow_networks"]);
    }
}
