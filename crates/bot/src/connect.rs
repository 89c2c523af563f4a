//! What bots connect with.

use std::sync::Arc;

use reqwest::Client;
use rustls::ClientConfig;

/// What bots connect with; all bots of a process may share it.
#[derive(Debug, Clone)]
pub struct Connect {
    /// To the orchestrator.
    pub http: Client,
    /// To meetings.
    pub tls: Arc<ClientConfig>,
}
