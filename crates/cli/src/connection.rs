//! The server that a command talks to, and the key that it shows there.

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use meetbot::{Builder, ErrorKind, MeetBot};

use crate::{
    output::Usage,
    profiles::{Profile, Profiles},
};

const KEY: &str = "MEETBOT_API_KEY";
/// For what needs no key.
pub(crate) const NO_KEY: &str = "mb_none";
/// How long a server may take for what a login asks.
const LOGIN_LIMIT: Duration = Duration::from_secs(15);

/// Which server; the key comes from the environment or a login, where no process list shows it.
///
/// Flattened behind a command's own arguments: those that follow it would be listed under its heading.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection (the key: MEETBOT_API_KEY, or `meetbot login`)")]
pub(crate) struct Connection {
    /// The server's URL; without it that of `MEETBOT_API_BASE_URL`, or of the login.
    #[arg(long, visible_alias = "server", global = true, value_name = "URL")]
    base_url: Option<String>,
    /// Trust these certificates (PEM) beside the system's, as of your own authority. `SSL_CERT_FILE` names a file in place of the system's.
    #[arg(long, global = true, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
    /// The login to use, as `meetbot profiles list` names it, whatever the environment says.
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
}

/// The same options before the command (`meetbot --base-url URL jobs list`), for commands that have them.
#[derive(Debug, clap::Args)]
pub(crate) struct BeforeCommand {
    #[arg(id = "base_url_before", long = "base-url", value_name = "URL", hide = true)]
    base_url: Option<String>,
    #[arg(id = "ca_bundle_before", long = "ca-bundle", value_name = "FILE", hide = true)]
    ca_bundle: Option<PathBuf>,
    #[arg(id = "profile_before", long = "profile", value_name = "NAME", hide = true)]
    profile: Option<String>,
}

impl BeforeCommand {
    /// Which of them is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let ca_bundle = self.ca_bundle.as_ref().map(|_| "--ca-bundle");
        let profile = self.profile.as_ref().map(|_| "--profile");
        self.base_url.as_ref().map(|_| "--base-url").or(ca_bundle).or(profile)
    }
}

/// The server and key from the options; both may be absent.
#[derive(Default)]
struct Access {
    url: Option<String>,
    key: Option<String>,
    ca_bundle: Option<PathBuf>,
}

impl Access {
    fn of(profile: &Profile) -> Self {
        let Profile { url, key, ca_bundle, .. } = profile.clone();
        Self { url: Some(url), key: Some(key), ca_bundle }
    }
}

impl Connection {
    /// To the server at this URL.
    pub(crate) fn to(url: String, ca_bundle: Option<PathBuf>) -> Self {
        Self { base_url: Some(url), ca_bundle, profile: None }
    }

    /// A client of a profile's server, with its key.
    pub(crate) fn of_profile(profile: &Profile) -> anyhow::Result<MeetBot> {
        let to = Self::to(profile.url.clone(), profile.ca_bundle.clone());
        built(to.builder()?.api_key(&profile.key).max_retries(0).timeout(LOGIN_LIMIT))
    }

    /// Takes what was given before the command, where it is not given after it too.
    pub(crate) fn take(&mut self, before: BeforeCommand) {
        self.base_url = self.base_url.take().or(before.base_url);
        self.ca_bundle = self.ca_bundle.take().or(before.ca_bundle);
        self.profile = self.profile.take().or(before.profile);
    }

    /// The profile that is named.
    pub(crate) fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// Where the server is, if that was said: here, by the profile that is named, or in the environment.
    pub(crate) fn base_url(&self) -> anyhow::Result<Option<String>> {
        match self.profile() {
            Some(_) => Ok(self.access()?.url),
            None => Ok(self.named_url()),
        }
    }

    fn named_url(&self) -> Option<String> {
        let variable = || env::var("MEETBOT_API_BASE_URL").ok();
        let named = self.base_url.clone().or_else(variable);
        named.filter(|url| !url.trim().is_empty())
    }

    /// The builder of a client for the selected server.
    pub(crate) fn builder(&self) -> anyhow::Result<Builder> {
        let builder = self.base_url.iter().fold(MeetBot::builder(), Builder::base_url);
        trusting(builder, self.ca_bundle.as_deref())
    }

    /// The key for the server at this URL, if there is one.
    pub(crate) fn key_for(&self, url: &str) -> anyhow::Result<Option<String>> {
        let to =
            Self { base_url: Some(url.to_owned()), ca_bundle: None, profile: self.profile.clone() };
        Ok(to.access()?.key)
    }

    /// The server and the key. A profile that is named counts before the environment, and that before other profiles; a profile's key goes to its own server alone.
    fn access(&self) -> anyhow::Result<Access> {
        if let Some(name) = self.profile() {
            let profiles = Profiles::read()?;
            let profile = profiles.named(name)?;
            let elsewhere = |url: &String| normal(url).is_none_or(|url| url != profile.url);
            if self.base_url.as_ref().is_some_and(elsewhere) {
                let message =
                    format!("the profile {name} is of {}: leave --base-url out", profile.url);
                return Err(Usage(message).into());
            }
            return Ok(Access::of(profile));
        }
        let url = self.named_url();
        let key = env::var(KEY).ok().filter(|key| !key.trim().is_empty());
        if key.is_some() {
            return Ok(Access { url, key, ca_bundle: None });
        }
        let profiles = Profiles::read()?;
        if let Some(url) = url {
            let profile = normal(&url).and_then(|url| profiles.of_server(&url).map(Access::of));
            return Ok(profile.unwrap_or(Access { url: Some(url), ..Access::default() }));
        }
        match &profiles.default {
            Some(name) => Ok(Access::of(profiles.named(name)?)),
            None if profiles.profiles.is_empty() => Ok(Access::default()),
            None => Err(Usage("which server? Name a login with --profile (`meetbot profiles list`), or choose one with `meetbot profiles default NAME`".to_owned()).into()),
        }
    }

    /// The SDK's client for it.
    pub(crate) fn client(&self) -> anyhow::Result<MeetBot> {
        let Access { url, key, ca_bundle } = self.access()?;
        let Some(key) = key else {
            return Err(Usage(format!(
                "there is no API key: `meetbot login --server URL` gets one, or export {KEY}=mb_…; on the server's machine `meetbot keys create --test` makes one for the sandbox, `--live` one for real meetings"
            ))
            .into());
        };
        let builder = url.iter().fold(MeetBot::builder(), Builder::base_url).api_key(key);
        built(trusting(
            builder,
            self.ca_bundle.as_ref().or(ca_bundle.as_ref()).map(PathBuf::as_path),
        )?)
    }

    /// A client without a key for the server that a login is to go to: the one that is named, or else that of the profile.
    pub(crate) fn client_without_key(&self, profiles: &Profiles) -> anyhow::Result<MeetBot> {
        let name = self.profile().or(profiles.default.as_deref());
        let before = name.and_then(|name| profiles.profiles.get(name));
        let url = self.named_url().or_else(|| before.map(|profile| profile.url.clone()));
        let url = url.ok_or_else(|| {
            Usage("which server? Give its address: meetbot login --server https://…".to_owned())
        })?;
        let builder = MeetBot::builder().base_url(url).api_key(NO_KEY);
        let builder = trusting(builder, self.ca_bundle(profiles).as_deref())?;
        built(builder.max_retries(0).timeout(LOGIN_LIMIT))
    }

    /// The certificates to trust at a login: those that are named, or else those of the profile.
    pub(crate) fn ca_bundle(&self, profiles: &Profiles) -> Option<PathBuf> {
        let absolute = |path: &PathBuf| std::path::absolute(path).ok();
        let before = self.profile().and_then(|name| profiles.profiles.get(name));
        let before = || before.and_then(|profile| profile.ca_bundle.clone());
        self.ca_bundle.as_ref().and_then(absolute).or_else(before)
    }

    /// Whether the key is one for the sandbox.
    pub(crate) fn has_test_key(&self) -> anyhow::Result<bool> {
        Ok(self.access()?.key.is_some_and(|key| key.trim().starts_with("mb_test_")))
    }
}

fn trusting(builder: Builder, ca_bundle: Option<&Path>) -> anyhow::Result<Builder> {
    let Some(path) = ca_bundle else { return Ok(builder) };
    let pem = std::fs::read(path).with_context(|| format!("--ca-bundle {}", path.display()))?;
    Ok(builder.ca_bundle(pem))
}

fn built(builder: Builder) -> anyhow::Result<MeetBot> {
    builder.build().map_err(|error| match error.kind() {
        ErrorKind::Configuration => Usage(error.to_string()).into(),
        _ => error.into(),
    })
}

/// A URL as the SDK writes it; `None` for one that it does not take.
fn normal(url: &str) -> Option<String> {
    let client = MeetBot::builder().base_url(url).api_key(NO_KEY).build();
    Some(client.ok()?.base_url().to_owned())
}
