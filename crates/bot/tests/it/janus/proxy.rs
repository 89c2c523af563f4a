//! What stands between a bot and its meeting: a proxy that can cut the line.

use std::net::SocketAddr;

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use xtask::janus::Janus;

/// A running proxy.
pub(crate) struct Proxy {
    address: SocketAddr,
    /// Counts up with every cut.
    cuts: watch::Sender<u32>,
}

impl Proxy {
    pub(crate) async fn start(janus: &Janus) -> Self {
        let listener = TcpListener::bind((janus.near(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, cut) = watch::channel(0);
        let janus = janus.address();
        tokio::spawn(async move {
            while let Ok((bot, _)) = listener.accept().await {
                tokio::spawn(pass(bot, janus.clone(), cut.clone()));
            }
        });
        Self { address, cuts }
    }

    /// The link of a meeting, through the proxy.
    pub(crate) fn link(&self, room: u64) -> String {
        format!("janus+ws://{}/?room={room}", self.address)
    }

    /// Every connection breaks; new ones are taken.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn pass(mut bot: TcpStream, janus: String, mut cut: watch::Receiver<u32>) {
    cut.mark_unchanged();
    let mut janus = TcpStream::connect(janus).await.unwrap();
    tokio::select! {
        _ = cut.changed() => {}
        _ = tokio::io::copy_bidirectional(&mut bot, &mut janus) => {}
    }
}
