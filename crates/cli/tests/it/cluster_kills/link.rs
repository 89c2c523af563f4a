//! Connections between processes that can be cut.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    runtime::Handle,
    sync::watch,
};

/// Whether bytes pass over a connection. While it is cut, none pass in either direction and nothing is closed, as in a network that drops every packet.
pub(super) struct Switch(watch::Sender<bool>);

impl Switch {
    pub(super) fn cut(&self) {
        self.0.send_replace(false);
    }

    pub(super) fn mend(&self) {
        self.0.send_replace(true);
    }
}

/// The way to a server on a port.
pub(super) struct Link {
    address: SocketAddr,
    leads_to: Arc<Mutex<SocketAddr>>,
    pub(super) switch: Switch,
}

/// The way to a PostgreSQL that is reached by its socket.
pub(super) struct SocketLink {
    /// The folder of the socket that clients connect to.
    pub(super) folder: TempDir,
    pub(super) switch: Switch,
}

impl Link {
    pub(super) fn start(runtime: &Handle, leads_to: SocketAddr) -> Self {
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let leads_to = Arc::new(Mutex::new(leads_to));
        let (open, opens) = watch::channel(true);
        let target = Arc::clone(&leads_to);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let address = *target.lock().unwrap_or_else(PoisonError::into_inner);
                tokio::spawn(connect(client, TcpStream::connect(address), opens.clone()));
            }
        });
        Self { address, leads_to, switch: Switch(open) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// New connections lead to this address.
    pub(super) fn leads_to(&self, address: SocketAddr) {
        *self.leads_to.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

impl SocketLink {
    pub(super) fn start(runtime: &Handle, socket: PathBuf) -> Self {
        let folder = TempDir::new().unwrap();
        let _inside = runtime.enter();
        let listener = UnixListener::bind(folder.path().join(socket.file_name().unwrap())).unwrap();
        let (open, opens) = watch::channel(true);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, UnixStream::connect(socket.clone()), opens.clone()));
            }
        });
        Self { folder, switch: Switch(open) }
    }
}

/// Passes bytes between a client and a server until one of them closes the connection.
async fn connect<S>(
    client: S,
    server: impl Future<Output = io::Result<S>>,
    mut open: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite,
{
    if open.wait_for(|open| *open).await.is_err() {
        return;
    }
    // A client of a server that is down sees its connection closed.
    let Ok(server) = server.await else { return };
    let ((from_client, to_client), (from_server, to_server)) =
        (tokio::io::split(client), tokio::io::split(server));
    tokio::join!(pass(from_client, to_server, open.clone()), pass(from_server, to_client, open));
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut open: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        if read == 0 {
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
