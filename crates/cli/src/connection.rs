//! The server that a command talks to.

use std::{env, path::PathBuf};

use anyhow::Context as _;
use meetbot::{Builder, ErrorKind, MeetBot};

use crate::output::Usage;

const KEY: &str = "MEETBOT_API_KEY";

/// Which server; the key comes from the environment only, where no process list shows it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection (the key: MEETBOT_API_KEY)")]
pub(crate) struct Connection {
    /// The server's URL; without it that of `MEETBOT_API_BASE_URL`.
    #[arg(long, visible_alias = "server", global = true, value_name = "URL")]
    base_url: Option<String>,
    /// Trust these certificates (PEM) beside the system's, as of your own authority. `SSL_CERT_FILE` names a file in place of the system's.
    #[arg(long, global = true, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
}

/// The same options before the command (`meetbot --base-url URL jobs list`), for commands that have them.
#[derive(Debug, clap::Args)]
pub(crate) struct BeforeCommand {
    #[arg(id = "base_url_before", long = "base-url", value_name = "URL", hide = true)]
    base_url: Option<String>,
    #[arg(id = "ca_bundle_before", long = "ca-bundle", value_name = "FILE", hide = true)]
    ca_bundle: Option<PathBuf>,
}

impl BeforeCommand {
    /// Which of them is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let ca_bundle = self.ca_bundle.as_ref().map(|_| "--ca-bundle");
        self.base_url.as_ref().map(|_| "--base-url").or(ca_bundle)
    }
}

impl Connection {
    /// To the server at this URL.
    pub(crate) fn to(url: String, ca_bundle: Option<PathBuf>) -> Self {
        Self { base_url: Some(url), ca_bundle }
    }

    /// Takes what was given before the command, where it is not given after it too.
    pub(crate) fn take(&mut self, before: BeforeCommand) {
        self.base_url = self.base_url.take().or(before.base_url);
        self.ca_bundle = self.ca_bundle.take().or(before.ca_bundle);
    }

    /// Where it is, if that was said, here or in the environment.
    pub(crate) fn base_url(&self) -> Option<String> {
        let variable = || env::var("MEETBOT_API_BASE_URL").ok();
        let named = self.base_url.clone().or_else(variable);
        named.filter(|url| !url.trim().is_empty())
    }

    /// What a client of it is built from.
    pub(crate) fn builder(&self) -> anyhow::Result<Builder> {
        let mut builder = self.base_url.iter().fold(MeetBot::builder(), Builder::base_url);
        if let Some(path) = &self.ca_bundle {
            let pem = std::fs::read(path);
            builder =
                builder.ca_bundle(pem.with_context(|| format!("--ca-bundle {}", path.display()))?);
        }
        Ok(builder)
    }

    /// The SDK's client for it.
    pub(crate) fn client(&self) -> anyhow::Result<MeetBot> {
        if env::var(KEY).is_ok_and(|key| key.trim().is_empty()) || env::var_os(KEY).is_none() {
            return Err(Usage(format!(
                "there is no API key: export {KEY}=mb_…; on the server's machine `meetbot keys create --test` makes one for the sandbox, `--live` one for real meetings"
            ))
            .into());
        }
        self.builder()?.build().map_err(|error| match error.kind() {
            ErrorKind::Configuration => Usage(error.to_string()).into(),
            _ => error.into(),
        })
    }

    /// Whether the key is one for the sandbox.
    pub(crate) fn has_test_key() -> bool {
        env::var(KEY).is_ok_and(|key| key.trim().starts_with("mb_test_"))
    }
}
