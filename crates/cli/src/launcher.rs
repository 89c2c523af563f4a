//! Native bots as tasks of this process.

use std::{io, sync::Arc};

use async_trait::async_trait;
use meetbot_bot::{Connect, Machine};
use meetbot_orchestrator::{Launcher, tls};
use meetbot_types::{
    Availability, Manifest,
    bot::{BotOrder, MixOrder},
};
use reqwest::Client;
use tokio_util::sync::CancellationToken;

/// Runs each bot as a task; all share one HTTP client.
#[derive(Debug)]
pub(crate) struct Tasks {
    connect: Connect,
}

impl Tasks {
    pub(crate) fn new() -> reqwest::Result<Self> {
        // Only ever to the server that launched them: no proxy of the environment stands in between.
        let http = Client::builder().tls_backend_preconfigured(tls::config()).no_proxy().build()?;
        Ok(Self { connect: Connect { http, tls: Arc::new(tls::config()) } })
    }
}

#[async_trait]
impl Launcher for Tasks {
    fn available(&self) -> Vec<Availability> {
        meetbot_bot::available(&Machine::look())
    }

    async fn run(&self, order: BotOrder, stop: CancellationToken) {
        meetbot_bot::run(order, self.connect.clone(), stop).await;
    }

    async fn mix(&self, order: MixOrder, stop: CancellationToken) -> io::Result<Option<Manifest>> {
        meetbot_bot::mix(&order, &stop).await
    }
}
