//! What bots connect with.

use std::{io, path::PathBuf, sync::Arc};

use meetbot_types::bot::BotOrder;
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
    /// A file that says where the orchestrator listens now, for bots that outlive it; `None`: where their order says.
    pub orchestrator: Option<PathBuf>,
    /// One permit for each browser that may run at once; a bot that finds none waits.
    pub browsers: Arc<Semaphore>,
}

/// Where the orchestrator listens.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    first: String,
    file: Option<PathBuf>,
}

impl Address {
    /// That of the one that gave this order, until the file says another.
    pub(crate) fn of(order: &BotOrder, connect: &Connect) -> Self {
        Self { first: order.orchestrator_url.clone(), file: connect.orchestrator.clone() }
    }

    /// Its URL now, without a path. `None` where its data folder is gone, and no orchestrator will ever come back to it.
    pub(crate) async fn url(&self) -> Option<String> {
        let Some(file) = &self.file else { return Some(self.first.clone()) };
        match tokio::fs::read_to_string(file).await {
            Ok(url) => Some(url),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => Some(self.first.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bot_asks_where_its_orchestrator_is_now_and_knows_when_its_folder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server");
        let first = "http://127.0.0.1:1".to_owned();
        let in_process = Address { first: first.clone(), file: None };
        assert_eq!(in_process.url().await, Some(first.clone()));
        let address = Address { first, file: Some(file.clone()) };
        std::fs::write(&file, "http://127.0.0.1:2").unwrap();
        assert_eq!(address.url().await.as_deref(), Some("http://127.0.0.1:2"));
        drop(folder);
        assert_eq!(address.url().await, None);
    }
}
