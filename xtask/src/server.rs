//! A server that a command of the project runs against: `meetbot serve` in development, on a free port of loopback.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::python::target;

/// A running server with its data folder.
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    pub(crate) url: String,
}

/// A key, and the webhook secret of its consumer.
pub(crate) struct Key {
    pub(crate) key: String,
    pub(crate) webhook_secret: String,
}

impl Server {
    /// Starts the server, which has been built. It begins with no data, and writes its log into `log`.
    pub(crate) fn start(data: PathBuf, log: fs::File) -> anyhow::Result<Self> {
        let mut serve = meetbot();
        serve.args(["serve", "--dev", "--json", "--listen", "127.0.0.1:0", "--data-dir"]);
        serve.arg(&data).env("MEETBOT_LOG", "debug").stdout(Stdio::piped()).stderr(log);
        let mut child = serve.spawn().context("the server does not start")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("the server's output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let started: Value = serde_json::from_str(&line)
            .context("the server did not start: target/test-logs says why")?;
        Ok(Self { child, data, url: text(&started, "url")? })
    }

    /// A new key for the sandbox.
    pub(crate) fn key(&self, consumer: &str, scope: &str) -> anyhow::Result<Key> {
        self.create("--test", consumer, scope)
    }

    /// A new key that runs the server: a live one, as they have to be.
    pub(crate) fn operator(&self, consumer: &str) -> anyhow::Result<Key> {
        self.create("--live", consumer, "operator")
    }

    fn create(&self, world: &str, consumer: &str, scope: &str) -> anyhow::Result<Key> {
        let mut create = meetbot();
        create.args(["keys", "create", world, "--json", "--consumer", consumer]);
        let made = create.args(["--scope", scope, "--data-dir"]).arg(&self.data).output();
        let made: Value = serde_json::from_slice(&made?.stdout).context("no key was made")?;
        Ok(Key { key: text(&made, "key")?, webhook_secret: text(&made, "webhookSecret")? })
    }

    /// Stops the server with SIGTERM. An error if it has ended before.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let signalled =
            Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let ended = self.child.wait()?;
        ensure!(signalled.success() && ended.success(), "the server ended by itself: {ended}");
        Ok(())
    }
}

/// The program as it was built: building it here could replace it while others run it.
fn meetbot() -> Command {
    Command::new(target().join("debug").join("meetbot"))
}

fn text(answer: &Value, name: &str) -> anyhow::Result<String> {
    answer[name].as_str().map(str::to_owned).with_context(|| format!("no {name} was printed"))
}
