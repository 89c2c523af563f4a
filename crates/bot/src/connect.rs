//! What bots connect with.

use std::{
    io, iter,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

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
#[derive(Debug)]
pub(crate) struct Address {
    servers: Vec<String>,
    /// The one of the servers that is asked.
    turn: AtomicUsize,
    file: Option<PathBuf>,
}

impl Address {
    /// That of the one that gave this order, until the file says another, or it does not answer and there are others.
    pub(crate) fn of(order: &BotOrder, connect: &Connect) -> Self {
        let servers = iter::once(&order.orchestrator_url).chain(&order.other_urls);
        Self {
            servers: servers.cloned().collect(),
            turn: AtomicUsize::new(0),
            file: connect.orchestrator.clone(),
        }
    }

    /// It did not answer: the next one is asked.
    pub(crate) fn is_away(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    fn server(&self) -> String {
        let turn = self.turn.load(Ordering::Relaxed) % self.servers.len().max(1);
        self.servers.get(turn).cloned().unwrap_or_default()
    }

    /// Its URL now, without a path. `None` where its data folder is gone, and no orchestrator will ever come back to it.
    pub(crate) async fn url(&self) -> Option<String> {
        let Some(file) = &self.file else { return Some(self.server()) };
        match tokio::fs::read_to_string(file).await {
            Ok(url) => Some(url),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => Some(self.server()),
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
        let servers = || ["http://127.0.0.1:1", "http://127.0.0.1:3"].map(str::to_owned).to_vec();
        let address = |file| Address { servers: servers(), turn: AtomicUsize::new(0), file };
        let in_process = address(None);
        let mut asked = Vec::new();
        for _ in 0..3 {
            asked.extend(in_process.url().await);
            in_process.is_away();
        }
        assert_eq!(asked, [servers(), servers()].concat()[..3]);
        let address = address(Some(file.clone()));
        std::fs::write(&file, "http://127.0.0.1:2").unwrap();
        assert_eq!(address.url().await.as_deref(), Some("http://127.0.0.1:2"));
        drop(folder);
        assert_eq!(address.url().await, None);
    }
}
