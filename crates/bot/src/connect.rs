//! What bots connect with.

use std::sync::Arc;

use reqwest::Client;
use rustls::ClientConfig;
use tokio::sync::Semaphore;

/// What bots connect with; all bots of a process may share it.
#[derive(Debug, Clone)]
pub struct Connect {
    /// To the orchestrator.
    pub http: Client,
    /// To meetings.
    pub tls: Arc<ClientConfig>,
    /// One permit for each browser that may run at once; a bot that finds none waits.
    pub browsers: Arc<Semaphore>,
}
