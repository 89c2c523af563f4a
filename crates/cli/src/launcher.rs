//! Native bots as tasks of this process.

use std::{io, sync::Arc};

use async_trait::async_trait;
use meetbot_bot::{Connect, Machine};
use meetbot_orchestrator::{Launcher, tls};
use meetbot_types::{
    Availability, Manifest,
    bot::{BotOrder, BrowserSettings, MixOrder},
};
use reqwest::Client;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Runs each bot as a task; all share one HTTP client.
#[derive(Debug)]
pub(crate) struct Tasks {
    connect: Connect,
    browser: Option<BrowserSettings>,
}

impl Tasks {
    /// Bots of this process: at most `max_browsers` of them in browsers at once, and none where `browser` is `None`.
    pub(crate) fn new(
        browser: Option<BrowserSettings>,
        max_browsers: usize,
    ) -> reqwest::Result<Self> {
        // Only ever to the server that launched them: no proxy of the environment stands in between.
        let http = Client::builder().tls_backend_preconfigured(tls::config()).no_proxy().build()?;
        let browsers = Arc::new(Semaphore::new(max_browsers));
        Ok(Self { connect: Connect { http, tls: Arc::new(tls::config()), browsers }, browser })
    }
}

#[async_trait]
impl Launcher for Tasks {
    fn available(&self) -> Vec<Availability> {
        meetbot_bot::available(&Machine::look(), self.browser.as_ref())
    }

    async fn run(&self, order: BotOrder, stop: CancellationToken) {
        let order = BotOrder { browser: self.browser.clone(), ..order };
        meetbot_bot::run(order, self.connect.clone(), stop).await;
    }

    async fn mix(&self, order: MixOrder, stop: CancellationToken) -> io::Result<Option<Manifest>> {
        meetbot_bot::mix(&order, &stop).await
    }
}
