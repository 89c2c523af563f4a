//! HTTP clients, TLS and addresses that bots use.

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

use crate::lateness::Lateness;

/// HTTP clients, TLS and addresses that bots use; all bots of a process may share it.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The client for the orchestrator.
    pub http: Client,
    /// The TLS configuration for meetings.
    pub tls: Arc<ClientConfig>,
    /// A file with the orchestrator's present URL, for bots that outlive it; `None`: the URL of their order.
    pub orchestrator: Option<PathBuf>,
    /// One permit for each browser that may run at once; a bot without one waits.
    pub browsers: Arc<Semaphore>,
    /// How late the bots read their media.
    pub lateness: Arc<Lateness>,
}

/// The orchestrator's URL, which may change.
#[derive(Debug)]
pub(crate) struct Address {
    servers: Vec<String>,
    /// The index of the server in use.
    turn: AtomicUsize,
    file: Option<PathBuf>,
}

impl Address {
    /// The address of the server that gave this order, until the file names another, or [`Self::use_next`] is called and there are others.
    pub(crate) fn of(order: &BotOrder, connect: &Connect) -> Self {
        let servers = iter::once(&order.orchestrator_url).chain(&order.other_urls);
        Self {
            servers: servers.cloned().collect(),
            turn: AtomicUsize::new(0),
            file: connect.orchestrator.clone(),
        }
    }

    /// The server did not answer: uses the next one.
    pub(crate) fn use_next(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    fn server(&self) -> String {
        let turn = self.turn.load(Ordering::Relaxed) % self.servers.len().max(1);
        self.servers.get(turn).cloned().unwrap_or_default()
    }

    /// The present URL, without a path. `None` if the data folder is gone: no orchestrator will start in it again.
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
    async fn the_url_comes_from_the_file_and_is_none_once_the_folder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server");
        let servers = || ["http://127.0.0.1:1", "http://127.0.0.1:3"].map(str::to_owned).to_vec();
        let address = |file| Address { servers: servers(), turn: AtomicUsize::new(0), file };
        let in_process = address(None);
        let mut asked = Vec::new();
        for _ in 0..3 {
            asked.extend(in_process.url().await);
            in_process.use_next();
        }
        assert_eq!(asked, [servers(), servers()].concat()[..3]);
        let address = address(Some(file.clone()));
        std::fs::write(&file, "http://127.0.0.1:2").unwrap();
        assert_eq!(address.url().await.as_deref(), Some("http://127.0.0.1:2"));
        drop(folder);
        assert_eq!(address.url().await, None);
    }
}
