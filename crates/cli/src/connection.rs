//! The server that a command talks to.

use meetbot::{ErrorKind, MeetBot};

use crate::output::Usage;

/// Which server; the key comes from the environment only, where no process list shows it.
#[derive(Debug, clap::Args)]
pub(crate) struct Connection {
    /// The server's URL.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "MEETBOT_API_BASE_URL",
        help_heading = "Connection (the key: MEETBOT_API_KEY)"
    )]
    base_url: Option<String>,
}

impl Connection {
    /// Where it is, if that was said.
    pub(crate) fn base_url(&self) -> Option<&str> {
        self.base_url.as_deref()
    }

    /// The SDK's client for it.
    pub(crate) fn client(&self) -> anyhow::Result<MeetBot> {
        let builder = self.base_url.iter().fold(MeetBot::builder(), meetbot::Builder::base_url);
        builder.build().map_err(|error| match error.kind() {
            ErrorKind::Configuration => Usage(error.to_string()).into(),
            _ => error.into(),
        })
    }
}
