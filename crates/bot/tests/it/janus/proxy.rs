//! A proxy between a bot and its meeting that can close connections and drop packets.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_tungstenite::{
    accept_hdr_async, connect_async,
    tungstenite::{
        ClientRequestBuilder, Message,
        handshake::server::{Request, Response},
    },
};
use xtask::janus::Janus;

/// The network delay of datagrams to the bot. Janus keeps packets for retransmission only after it has measured a round-trip time of at least a
/// millisecond.
const LATENCY: Duration = Duration::from_millis(10);

/// A running proxy.
pub(crate) struct Proxy {
    address: SocketAddr,
    /// Incremented with every cut.
    cuts: watch::Sender<u32>,
    /// How many datagrams were dropped, in both directions.
    pub(crate) lost: Arc<AtomicU64>,
}

impl Proxy {
    /// Drops `percent` of the datagrams, in both directions.
    pub(crate) async fn start(janus: &Janus, percent: u64) -> Self {
        let listener = TcpListener::bind((janus.near(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, cut) = watch::channel(0);
        let lost = Arc::new(AtomicU64::new(0));
        let way = Way { janus: janus.address(), percent, lost: Arc::clone(&lost) };
        tokio::spawn(async move {
            while let Ok((bot, _)) = listener.accept().await {
                tokio::spawn(pass(bot, way.clone(), cut.clone()));
            }
        });
        Self { address, cuts, lost }
    }

    /// The link of a meeting, through the proxy.
    pub(crate) fn link(&self, room: u64) -> String {
        format!("janus+ws://{}/?room={room}", self.address)
    }

    /// Closes every connection; new ones are accepted.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

#[derive(Clone)]
struct Way {
    janus: String,
    percent: u64,
    lost: Arc<AtomicU64>,
}

async fn pass(bot: TcpStream, way: Way, mut cut: watch::Receiver<u32>) {
    cut.mark_unchanged();
    #[expect(clippy::result_large_err, reason = "the callback's type is given")]
    let protocol = |_: &Request, mut response: Response| {
        response.headers_mut().insert("Sec-WebSocket-Protocol", "janus-protocol".parse().unwrap());
        Ok(response)
    };
    let mut bot = accept_hdr_async(bot, protocol).await.unwrap();
    let request = ClientRequestBuilder::new(format!("ws://{}/", way.janus).parse().unwrap())
        .with_sub_protocol("janus-protocol");
    let (mut janus, _) = connect_async(request).await.unwrap();
    loop {
        tokio::select! {
            _ = cut.changed() => return,
            said = bot.next() => match said {
                Some(Ok(word)) => janus.send(hidden(word)).await.unwrap(),
                _ => return,
            },
            said = janus.next() => match said {
                Some(Ok(word)) => {
                    let word = match word.to_text() {
                        Ok(text) if text.contains(" typ host") => detour(text, &way).await.into(),
                        _ => word,
                    };
                    if bot.send(word).await.is_err() { return }
                }
                _ => return,
            },
        }
    }
}

/// A message of the bot without its candidates: with them, Janus would send to it directly.
fn hidden(word: Message) -> Message {
    let Ok(text) = word.to_text() else { return word };
    let Ok(mut said) = serde_json::from_str::<Value>(text) else { return word };
    let Some(Value::String(sdp)) = said.pointer_mut("/jsep/sdp") else { return word };
    *sdp = sdp.split_inclusive('\n').filter(|line| !line.starts_with("a=candidate:")).collect();
    Message::text(said.to_string())
}

/// The description with its candidates replaced by relays to them.
async fn detour(text: &str, way: &Way) -> String {
    let ip = way.janus.split(':').next().unwrap();
    let mut out = text.to_owned();
    for part in text.split(" typ host").filter(|part| part.contains("candidate:")) {
        let port: u16 = part.rsplit(' ').next().unwrap().parse().unwrap();
        let near = ip
            .rsplit_once('.')
            .map(|(net, host)| format!("{net}.{}", host.parse::<u8>().unwrap() - 1));
        let relay = UdpSocket::bind((near.unwrap(), 0)).await.unwrap();
        let here = relay.local_addr().unwrap();
        out = out.replace(
            &format!("{ip} {port} typ host"),
            &format!("{} {} typ host", here.ip(), here.port()),
        );
        let there: SocketAddr = format!("{ip}:{port}").parse().unwrap();
        tokio::spawn(relay_datagrams(relay, there, way.clone()));
    }
    out
}

#[expect(clippy::disallowed_methods, reason = "the latency is added to the time of arrival")]
async fn relay_datagrams(relay: UdpSocket, there: SocketAddr, way: Way) {
    let relay = Arc::new(relay);
    let (under_way, arrivals) = mpsc::unbounded_channel();
    tokio::spawn(deliver(Arc::clone(&relay), arrivals));
    let mut datagram = vec![0; 2_000];
    let mut bot = None;
    let mut dice = 42_u64;
    while let Ok((length, from)) = relay.recv_from(&mut datagram).await {
        if from != there {
            bot = Some(from);
        }
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (dice >> 33) % 100 < way.percent {
            way.lost.fetch_add(1, Ordering::Relaxed);
        } else if from != there {
            let _ = relay.send_to(&datagram[..length], there).await;
        } else if let Some(bot) = bot {
            let _ = under_way.send((Instant::now() + LATENCY, bot, datagram[..length].to_vec()));
        }
    }
}

/// Delivers datagrams to the bot at their times of arrival.
async fn deliver(
    relay: Arc<UdpSocket>,
    mut arrivals: mpsc::UnboundedReceiver<(Instant, SocketAddr, Vec<u8>)>,
) {
    while let Some((arrives, bot, datagram)) = arrivals.recv().await {
        tokio::time::sleep_until(arrives).await;
        let _ = relay.send_to(&datagram, bot).await;
    }
}
