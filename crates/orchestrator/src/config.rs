//! The server's settings. `default.toml` is the manual and the source of every default.

mod layers;
mod sections;

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use meetbot_types::{AddressPolicy, Labels, address_policy::Network, bot::BrowserSettings};

pub use self::layers::SettingsFile;
use self::layers::{defaults, find, like, merge, names, type_name};
use crate::{
    accounts::Accounts,
    limits::Limits,
    recordings::bucket::StorageSettings,
    setting_names,
    store::{Quota, StoreUrl},
    timing::{self, Timing},
    zoom::ZoomSettings,
};

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

/// Who runs a server's bots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// The server itself, and workers.
    Own,
    /// Only workers, in other processes.
    None,
}

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "own" => Ok(Self::Own),
            "none" => Ok(Self::None),
            _ => Err(format!("{text:?} is neither \"own\" nor \"none\"")),
        }
    }
}

/// The settings, complete and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address on which the API listens.
    pub listen: SocketAddr,
    /// The data folder.
    pub data_dir: PathBuf,
    /// The PostgreSQL database for everything but the recordings; `None`: SQLite in the data folder.
    pub store: Option<StoreUrl>,
    /// Whether webhooks and meetings may use loopback addresses; see [`Config::check_development`].
    pub development: bool,
    /// How long bots may stay in their meetings after a stop was requested.
    pub drain: Duration,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// How many bots run concurrently.
    pub max_bots: usize,
    /// How long a job may wait for a bot before it fails.
    pub start_within: Duration,
    /// Networks in which bots may meet although they are not public.
    pub meeting_networks: Vec<Network>,
    /// STUN servers that tell bots their public address, as in `stun.example.com:3478`.
    pub stun_servers: Vec<String>,
    /// How bots run Chromium; `None`: not at all.
    pub browser: Option<BrowserSettings>,
    /// The accounts as which bots may join.
    pub accounts: Accounts,
    /// Whether each bot runs in a process of its own; those with browsers always do.
    pub own_processes: bool,
    /// Who runs a server's bots.
    pub workers: Workers,
    /// The labels of this machine's bots, by which some consumers choose who runs theirs.
    pub labels: Labels,
    /// How many browsers run concurrently.
    pub max_browsers: usize,
    /// How long recordings are kept after their job has ended; `None`: without limit.
    pub keep_recordings: Option<Duration>,
    /// How long jobs are kept after their end; `None`: without limit.
    pub keep_jobs: Option<Duration>,
    /// The most bytes of one job's recording; `None`: no limit.
    pub most_bytes_per_job: Option<u64>,
    /// How many mixes run concurrently; 0: none is made.
    pub mix_at_once: usize,
    /// The bucket to which finished recordings are uploaded; `None`: they stay in the data folder.
    pub storage: Option<StorageSettings>,
    /// Networks to which webhooks may be sent although they are not public.
    pub allow_networks: Vec<Network>,
    /// How long the audit log of key use is kept.
    pub keep_audit: Duration,
    /// Whether the dashboard is served at `/`, and browsers may sign in.
    pub dashboard: bool,
    /// Zoom's apps and hosts.
    pub zoom: ZoomSettings,
    /// The limits of callers.
    pub limits: Limits,
    /// What each consumer may use in each of its worlds.
    pub quota: Quota,
    /// The times of leases; not a setting.
    pub timing: Timing,
}

/// An error in the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not TOML.
    #[error("{file} is not TOML: {problem}")]
    NotToml {
        /// Which file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such setting.
    #[error("{place}there is no setting {name}; {}", remedy(meant.as_deref()))]
    Unknown {
        /// The file and line of the name, as in `meetbot.toml:23: `; empty for an environment variable.
        place: String,
        /// The name.
        name: String,
        /// The most similar known setting.
        meant: Option<String>,
    },
    /// The setting's value is wrong.
    #[error("{place}{setting}: {problem}")]
    Invalid {
        /// Its source, as in `meetbot.toml:23: ` or `MEETBOT_BOTS_MAX: `; empty for a default.
        place: String,
        /// Which.
        setting: String,
        /// What is wrong with it.
        problem: String,
    },
}

fn remedy(meant: Option<&str>) -> String {
    meant.map_or_else(
        || "`meetbot serve --print-config` prints all of them".to_owned(),
        |meant| format!("did you mean {meant}?"),
    )
}

impl Config {
    /// The defaults, overridden by the file, overridden by the variables `MEETBOT_<SECTION>_<KEY>` that `variable` returns.
    pub fn load(
        file: Option<SettingsFile<'_>>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut settings = defaults()?;
        let all = names(&settings);
        if let Some(file) = file {
            merge(&mut settings, file)?;
        }
        let mut of_environment = HashMap::new();
        for setting in all {
            let name = setting_names::variable(&setting);
            let given = variable(&name).filter(|text| !text.is_empty());
            if let Some((text, value)) = given.zip(find(&mut settings, &setting)) {
                *value = like(value, &text).ok_or_else(|| ConfigError::Invalid {
                    place: String::new(),
                    setting: name.clone(),
                    problem: format!("{text:?} is not {}", type_name(value)),
                })?;
                of_environment.insert(setting, name);
            }
        }
        let config = Self::check(settings).map_err(|error| match error {
            ConfigError::Invalid { setting, problem, .. } => {
                let variable = of_environment.remove(&setting).map(|name| format!("{name}: "));
                let place = variable.or_else(|| file.map(|file| file.place(&setting)));
                let place = place.unwrap_or_default();
                ConfigError::Invalid { place, setting, problem }
            }
            error => error,
        })?;
        Ok(Self { timing: timing_of(variable(timing::VARIABLE))?, ..config })
    }

    /// Refuses environment variables (names and values) that look like settings but are unknown.
    pub fn check_variables<'a>(
        variables: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), ConfigError> {
        let names = names(&defaults()?);
        match setting_names::unknown_variables(variables, &names).pop() {
            None => Ok(()),
            Some((name, meant)) => {
                let name = name.to_owned();
                Err(ConfigError::Unknown { place: String::new(), name, meant })
            }
        }
    }

    /// Refuses development mode and test timing if the server would listen on an address that other machines can reach.
    pub fn check_development(&self) -> Result<(), ConfigError> {
        let (setting, with) = if self.development {
            ("server.development", "--dev")
        } else {
            (timing::VARIABLE, timing::VARIABLE)
        };
        let for_one_machine = self.development || self.timing != Timing::default();
        if !for_one_machine || self.listen.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(ConfigError::Invalid {
            place: String::new(),
            setting: setting.to_owned(),
            problem: format!(
                "with {with} a server listens on loopback only, as on 127.0.0.1:3010, and not on {}",
                self.listen
            ),
        })
    }

    /// Where webhooks may go.
    pub(crate) fn webhook_address_policy(&self) -> AddressPolicy {
        AddressPolicy { loopback: self.development, networks: self.allow_networks.clone() }
    }

    /// Where meetings may be.
    pub(crate) fn meeting_address_policy(&self) -> AddressPolicy {
        AddressPolicy { loopback: self.development, networks: self.meeting_networks.clone() }
    }

    /// The settings that allow connections to loopback, which callers with a key can then cause.
    pub fn open_loopback(&self) -> Vec<&'static str> {
        let networks = |networks: &[Network]| {
            AddressPolicy { loopback: false, networks: networks.to_vec() }.opens_loopback()
        };
        let settings = [
            ("server.development", self.development),
            ("webhooks.allow_networks", networks(&self.allow_networks)),
            ("bots.allow_networks", networks(&self.meeting_networks)),
        ];
        settings.into_iter().filter(|(_, opens)| *opens).map(|(setting, _)| setting).collect()
    }
}

/// Reads the environment variable with test timing.
fn timing_of(text: Option<String>) -> Result<Timing, ConfigError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Timing::default()) };
    serde_json::from_str(&text).map_err(|error| ConfigError::Invalid {
        place: String::new(),
        setting: timing::VARIABLE.to_owned(),
        problem: error.to_string(),
    })
}

/// Reads `HOST:PORT`, where the host is an address or `localhost`.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    address.as_deref().unwrap_or(text).parse().map_err(|_| {
        format!("{text:?} is not an address and a port, as in 127.0.0.1:3010 or [::]:3010")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn load(text: &str) -> Result<Config, ConfigError> {
        Config::load(Some(SettingsFile { name: "op.toml", text }), nothing)
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
        let file = SettingsFile { name: "op.toml", text: file };
        let config = Config::load(Some(file), variable).unwrap();
        assert_eq!(
            (config.listen.port(), config.max_bots, config.allow_networks.len()),
            (80, 9, 2)
        );
        assert_eq!(config.keep_recordings, Some(Duration::from_hours(720)));
        assert_eq!(config.most_bytes_per_job, None);
        assert_eq!((config.browser, config.max_browsers), (None, crate::machine::browsers()));
    }

    #[test]
    fn browsers_are_switched_on_by_a_file_or_the_environment() {
        let file = "[bots.browser]\nenabled = true\nbinary = \"/opt/chromium\"";
        let no_sandbox =
            |name: &str| (name == "MEETBOT_BOTS_BROWSER_NO_SANDBOX").then(|| "true".to_owned());
        let config =
            Config::load(Some(SettingsFile { name: "op.toml", text: file }), no_sandbox).unwrap();
        let browser = BrowserSettings {
            binary: Some("/opt/chromium".into()),
            no_sandbox: true,
            memory_mb: 4_000,
            ..BrowserSettings::default()
        };
        assert_eq!(config.browser, Some(browser));
    }

    #[test]
    fn an_account_is_for_one_bot_at_a_time_unless_set_otherwise() {
        let file = "[bots.browser]\nenabled = true\n[bots.browser.accounts.notes]\n[zoom]";
        let config = load(file).unwrap();
        assert_eq!(config.accounts.limits(), [("notes".to_owned(), 1)]);
        assert!(config.browser.is_some_and(|browser| browser.profile.is_none()));
    }

    #[test]
    fn errors_name_the_source_of_the_setting() {
        let problem = |file: &str| load(file).unwrap_err().to_string();
        assert!(problem("[server]\nlissten = \"x\"").contains("server.lissten"));
        assert!(problem("[servers]\n").contains("[servers]"));
        assert!(problem("[server]\nlisten = 5").contains("must be a string, not an integer"));
        assert!(problem("[server]\nlisten = \"nowhere\"").contains("as in 127.0.0.1:3010"));
        assert!(problem("[bots]\nmax = 0").contains("at least 1"));
        assert!(problem("[bots]\nworkers = \"two\"").contains("neither \"own\" nor \"none\""));
        assert!(problem("[bots.browser]\nmax = 0").contains("bots.browser.max"));
        assert!(problem("[bots.browser]\nmemory_mb = 499").contains("at least 500"));
        assert!(problem("[limits]\nhead_seconds = 0").contains("limits.head_seconds"));
        assert!(problem("[webhooks]\nallow_networks = [\"x\"]").contains("not a network"));
        assert!(problem("[bots]\nallow_networks = [\"x\"]").contains("bots.allow_networks"));
        assert!(problem("[bots]\nstun_servers = [\"x\"]").contains("stun.example.com:3478"));
        assert!(
            problem("[bots]\nlabels = [\"EU\"]").contains("bots.labels: \"EU\" is not a label")
        );
        assert!(problem("[recordings]\nmix_at_once = -2").contains("-1, 0 or more"));
        assert!(problem("[log]\nformat = \"xml\"").contains("neither text nor json"));
        assert!(problem("[zoom]\nhosts = [\"10.0.0.1\"]").contains("as in zoom.us"));
        let app = "[zoom.apps.a]\nclient_id = \"x\"\ncolour = 1";
        assert!(problem(app).contains("zoom.apps.a") && problem(app).contains("colour"));
        let account = |rest: &str| problem(&format!("[bots.browser.accounts.notes]\n{rest}"));
        assert!(
            account("bots = 0").contains("bots.browser.accounts.notes.bots: must be at least 1")
        );
        assert!(account("password = \"x\"").contains("unknown field `password`"));
        assert!(
            account("consumers = \"acme\"").contains("bots.browser.accounts.notes: invalid type")
        );
        let two = account("[bots.browser.accounts.desk]");
        assert!(two.contains("bots.browser.accounts.desk.consumers: is required"), "{two}");
        assert!(problem("[bots.browser]\naccounts = 5").contains("bots.browser.accounts"));
        assert!(problem("[").contains("not TOML"));
        assert!(problem("[server]\ndevelopment = 1").contains("must be a boolean"));
        let odd = |name: &str| (name == "MEETBOT_BOTS_MAX").then(|| "many".to_owned());
        assert!(Config::load(None, odd).unwrap_err().to_string().contains("MEETBOT_BOTS_MAX"));
    }

    #[test]
    fn unknown_settings_are_refused_with_their_source_and_the_most_similar_setting() {
        let problem = |file: &str| load(file).unwrap_err().to_string();
        for (file, expected) in [
            (
                "# mine\n[bots]\nmaximum = 3",
                "op.toml:3: there is no setting bots.maximum; did you mean bots.max?",
            ),
            ("[bots]\nmax = 0", "op.toml:2: bots.max: must be at least 1"),
            ("[bots]\n\nmax = \"3\"", "op.toml:3: bots.max: must be an integer, not a string"),
            (
                "[bots]\nmax = 3\n[bots.browser]\nheadfull = true",
                "op.toml:4: there is no setting bots.browser.headfull; did you mean bots.browser.headful?",
            ),
            ("[bots]\nbrowser = true", "op.toml:2: bots.browser: must be a table, not a boolean"),
            (
                "bots.browser.max = \"2\"",
                "op.toml:1: bots.browser.max: must be an integer, not a string",
            ),
            (
                "\n[colours]\nred = 1",
                "op.toml:2: there is no setting section [colours]; `meetbot serve --print-config` prints all of them",
            ),
        ] {
            assert_eq!(problem(file), expected);
        }
        assert!(problem("[bots]\nmax =").starts_with("op.toml is not TOML: "));
        let checked = |name: &str, value: &str| {
            Config::check_variables([(name, value)].into_iter()).map_err(|error| error.to_string())
        };
        assert_eq!(
            checked("MEETBOT_BOTS_MAXX", "3").unwrap_err(),
            "there is no setting MEETBOT_BOTS_MAXX; did you mean MEETBOT_BOTS_MAX?"
        );
        assert_eq!(checked("MEETBOT_API_KEY", "mb_test_1"), Ok(()));
        let none = |name: &str| (name == "MEETBOT_BOTS_MAX").then(|| "0".to_owned());
        assert_eq!(
            Config::load(None, none).unwrap_err().to_string(),
            "MEETBOT_BOTS_MAX: bots.max: must be at least 1"
        );
    }

    #[test]
    fn development_is_for_loopback_only() {
        let development = |listen: &str| {
            let file = format!("[server]\nlisten = \"{listen}\"\ndevelopment = true");
            load(&file).unwrap().check_development()
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
        assert_eq!(load("[server]\nlisten = \"0.0.0.0:1\"").unwrap().check_development(), Ok(()));
    }

    #[test]
    fn test_timing_comes_from_one_variable_and_requires_loopback() {
        let load = |listen: &str, text: &'static str| {
            let file = format!("[server]\nlisten = \"{listen}\"");
            let variable = |name: &str| (name == "MEETBOT_TEST_TIMING").then(|| text.to_owned());
            Config::load(Some(SettingsFile { name: "op.toml", text: &file }), variable)
        };
        let short = load("127.0.0.1:1", r#"{"leaseMs":6000}"#).unwrap();
        assert_eq!(short.check_development(), Ok(()));
        let times = (short.timing.lease(), short.timing.heartbeat());
        assert_eq!(times, (Duration::from_secs(6), Duration::from_secs(1)));
        let pauses = |timing: Timing| [1, 2, 3, 9].map(|lost| timing.longest_pause(lost).as_secs());
        assert_eq!(pauses(short.timing), [0, 5, 10, 600], "what is not named stays");
        let beyond = load("0.0.0.0:1", r#"{"leaseMs":6000}"#).unwrap().check_development();
        assert_eq!(
            beyond.unwrap_err().to_string(),
            "MEETBOT_TEST_TIMING: with MEETBOT_TEST_TIMING a server listens on loopback only, as on 127.0.0.1:3010, and not on 0.0.0.0:1"
        );
        for as_ever in ["", "{}", r#"{"leaseMs":30000,"pauseMs":5000}"#] {
            let config = load("0.0.0.0:1", as_ever).unwrap();
            assert_eq!(config.timing, Timing::default(), "{as_ever}");
            assert_eq!(config.check_development(), Ok(()), "{as_ever}");
        }
        for (wrong, why) in [
            ("short", "expected value"),
            (r#"{"lease":1}"#, "unknown field `lease`"),
            (r#"{"leaseMs":0}"#, "nonzero"),
            (r#"{"pauseMs":-1}"#, "nonzero"),
        ] {
            let said = load("127.0.0.1:1", wrong).unwrap_err().to_string();
            assert!(said.starts_with("MEETBOT_TEST_TIMING: ") && said.contains(why), "{said}");
        }
    }

    #[test]
    fn settings_that_open_loopback_are_named() {
        let open = |file: &str| load(file).unwrap().open_loopback();
        assert!(
            open("").is_empty() && open("[webhooks]\nallow_networks = [\"10.0.0.0/8\"]").is_empty()
        );
        assert_eq!(open("[server]\ndevelopment = true"), ["server.development"]);
        let both =
            "[webhooks]\nallow_networks = [\"127.0.0.1\"]\n[bots]\nallow_networks = [\"::/0\"]";
        assert_eq!(open(both), ["webhooks.allow_networks", "bots.allow_networks"]);
    }
}
