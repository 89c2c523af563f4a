//! Connects to a meeting's server: resolves its name, checks its addresses, opens TLS and a WebSocket.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use meetbot_types::{AddressPolicy, address_policy, bot::Secret};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, ClientRequestBuilder, http::StatusCode, protocol::WebSocketConfig},
};
use url::{Host, Url};

use super::wire::{Tcp, Wire};
use crate::bounds::SOCKET_MESSAGE_BYTES;

/// How long a server may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an address may take before the next one is tried too (RFC 8305, section 8).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// The setting that allows bots to connect to other than public addresses.
const SETTING: &str = "bots.allow_networks";

/// The WebSocket of a meeting's server.
pub(crate) type Socket = WebSocketStream<Box<dyn Wire>>;

/// The parameters of a WebSocket to open.
pub(crate) struct Target<'a> {
    /// `ws` or `wss`.
    pub(crate) url: &'a Url,
    /// The subprotocol.
    pub(crate) protocol: Option<&'a str>,
    /// Sent to the server as a bearer token.
    pub(crate) token: Option<&'a Secret>,
    /// The addresses that may be reached; `None` for a server that the operator has named.
    pub(crate) address_policy: Option<&'a AddressPolicy>,
}

/// An open WebSocket, with its local and remote address (media may use others).
pub(crate) struct Dialled {
    pub(crate) socket: Socket,
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
}

/// The size of a connection's read buffer, in bytes: one TLS record. The default is 128 KiB, and a stream of Zoom has six connections.
const READ_AT_ONCE: usize = 16 << 10;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// Another try may succeed.
    #[error("{0}")]
    Temporary(String),
    /// Another try will fail too.
    #[error("{0}")]
    Permanent(String),
}

/// Connects to a target, at an address that may be reached.
pub(crate) async fn dial(
    target: &Target<'_>,
    tls: &Arc<ClientConfig>,
) -> Result<Dialled, DialError> {
    let dialled = tokio::time::timeout(CONNECT_TIMEOUT, connect(target, tls)).await;
    dialled.unwrap_or_else(|_| {
        Err(DialError::Temporary(format!(
            "the server does not answer within {} s",
            CONNECT_TIMEOUT.as_secs()
        )))
    })
}

async fn connect(target: &Target<'_>, tls: &Arc<ClientConfig>) -> Result<Dialled, DialError> {
    let temporary =
        |error: io::Error| DialError::Temporary(format!("the server cannot be reached: {error}"));
    let &Target { url, protocol, token, address_policy } = target;
    let tcp = open(url, address_policy).await?;
    let local = tcp.local_addr().map_err(temporary)?.ip();
    let remote = tcp.peer_addr().map_err(temporary)?.ip();
    tcp.set_nodelay(true).map_err(temporary)?;
    let tcp = Tcp::Waking(tcp);
    let wire: Box<dyn Wire> = if url.scheme() == "wss" {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|_| {
            DialError::Permanent("the server's name cannot have a certificate".to_owned())
        })?;
        Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await.map_err(temporary)?)
    } else {
        Box::new(tcp)
    };
    let uri =
        url.as_str().parse().map_err(|_| DialError::Permanent("no WebSocket URL".to_owned()))?;
    let mut request = ClientRequestBuilder::new(uri);
    if let Some(protocol) = protocol {
        request = request.with_sub_protocol(protocol);
    }
    if let Some(token) = token {
        request = request.with_header("authorization", format!("Bearer {}", token.expose()));
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_AT_ONCE)
        .max_message_size(Some(SOCKET_MESSAGE_BYTES))
        .max_frame_size(Some(SOCKET_MESSAGE_BYTES));
    match client_async_with_config(request, wire, Some(config)).await {
        Ok((socket, _)) => Ok(Dialled { socket, local, remote }),
        Err(tungstenite::Error::Http(answer)) if refuses(answer.status()) => {
            let status = answer.status();
            Err(DialError::Permanent(format!(
                "there is no WebSocket at this address: HTTP {status}"
            )))
        }
        Err(error) => Err(DialError::Temporary(format!("the server does not answer: {error}"))),
    }
}

/// Whether an answer is a permanent refusal. 408, 425, 429 and server errors are temporary.
fn refuses(status: StatusCode) -> bool {
    let passes =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    status.is_client_error() && !passes.contains(&status)
}

/// Opens TCP to the first of the host's allowed addresses that answers.
async fn open(url: &Url, address_policy: Option<&AddressPolicy>) -> Result<TcpStream, DialError> {
    let Some(named) = url.host() else {
        return Err(DialError::Permanent("the URL names no host".to_owned()));
    };
    if let Some(address) = address_policy.and_then(|policy| policy.refused(&named)) {
        return Err(DialError::Permanent(address_policy::refusal(address, SETTING)));
    }
    let host = match named {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let port = url.port_or_known_default().unwrap_or(80);
    let found = tokio::net::lookup_host((host.as_str(), port)).await.map(Iterator::collect);
    open_any(&host, found, address_policy).await
}

/// An unknown name and a name with refused addresses give the same error; only the log names the difference.
async fn open_any(
    host: &str,
    found: io::Result<Vec<SocketAddr>>,
    address_policy: Option<&AddressPolicy>,
) -> Result<TcpStream, DialError> {
    let found = found.unwrap_or_else(|error| {
        tracing::info!(host, %error, "the name of the meeting's host does not resolve");
        Vec::new()
    });
    let (allowed, refused): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|address| address_policy.is_none_or(|policy| policy.allows(address.ip())));
    if !refused.is_empty() {
        tracing::info!(host, ?refused, "the meeting's host has addresses that are not allowed");
    }
    if allowed.is_empty() {
        return Err(DialError::Temporary(address_policy::unreachable(SETTING)));
    }
    first_to_answer(interleave_families(allowed))
        .await
        .map_err(|error| DialError::Temporary(format!("{host} does not answer: {error}")))
}

/// Interleaves the address families, and keeps the resolver's order within each (RFC 8305, section 4): if one family has no route, the second try
/// uses the other.
fn interleave_families(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_ipv4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_is_ipv4);
    let mut turns = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let before = turns.len();
        turns.extend(first.next());
        turns.extend(second.next());
        if turns.len() == before {
            return turns;
        }
    }
}

/// Tries the addresses in order, each as soon as the one before has failed or has not answered for [`NEXT_ADDRESS`], and returns the first connection
/// (RFC 8305, section 5). Fails with the last error once all have failed.
async fn first_to_answer(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut trying = FuturesUnordered::new();
    let mut failed = None;
    loop {
        match waiting.next() {
            Some(address) => trying.push(TcpStream::connect(address)),
            None if trying.is_empty() => {
                return Err(failed.unwrap_or_else(|| io::ErrorKind::NotFound.into()));
            }
            None => {}
        }
        tokio::select! {
            Some(tried) = trying.next() => match tried {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Some(error),
            },
            () = tokio::time::sleep(NEXT_ADDRESS), if waiting.len() > 0 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// Whether the error is temporary, and its text.
    fn failure(opened: Result<TcpStream, DialError>) -> (bool, String) {
        match opened {
            Ok(stream) => panic!("{stream:?} is open"),
            Err(DialError::Temporary(why)) => (true, why),
            Err(DialError::Permanent(why)) => (false, why),
        }
    }

    #[tokio::test]
    async fn an_unknown_name_and_one_that_leads_home_have_the_same_outcome() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let home = listener.local_addr().unwrap();
        let closed = AddressPolicy::default();
        let not_found = || io::Error::other("Name or service not known");
        let unknown = failure(open_any("janus.corp", Err(not_found()), Some(&closed)).await);
        for found in [vec![home], vec![], vec!["[fd00:ec2::254]:80".parse().unwrap(), home]] {
            assert_eq!(failure(open_any("janus.corp", Ok(found), Some(&closed)).await), unknown);
        }
        assert!(unknown.0 && unknown.1.contains(SETTING), "{unknown:?}");
        let development = AddressPolicy { loopback: true, networks: Vec::new() };
        assert!(open_any("janus.corp", Ok(vec![home]), Some(&development)).await.is_ok());
        assert!(open_any("sandbox", Ok(vec![home]), None).await.is_ok());
    }

    #[tokio::test]
    async fn a_refused_address_in_the_link_gives_an_error_that_names_the_setting() {
        for url in ["ws://localhost:1/", "ws://[::1]:1/", "wss://127.0.0.1:1/"] {
            let url = Url::parse(url).unwrap();
            let (again, why) = failure(open(&url, Some(&AddressPolicy::default())).await);
            assert!(!again && why.contains("--dev") && why.contains(SETTING), "{url}: {why}");
        }
    }

    /// A listener whose queue is full: it does not answer new connections.
    async fn unresponsive_listener() -> (SocketAddr, impl Sized) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(queue) =
            tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await
        {
            queued.push(queue.unwrap());
        }
        (address, (listener, queued))
    }

    #[tokio::test]
    async fn an_unresponsive_address_delays_the_connection_only_shortly() {
        let (dead, _held) = unresponsive_listener().await;
        let living = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = living.local_addr().unwrap();
        let open = first_to_answer(vec![dead, dead, address]);
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, open).await.expect("in time").unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
    }

    #[tokio::test]
    async fn refusing_addresses_are_tried_at_once_and_the_last_error_is_returned() {
        // Bound, so that no other program listens there.
        let bound = [(); 100].map(|()| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            socket
        });
        let closed = bound.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let open = tokio::time::timeout(CONNECT_TIMEOUT, first_to_answer(closed));
        let error = open.await.expect("not a wait for each of a hundred").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn the_families_alternate_beginning_with_the_one_that_the_resolver_prefers() {
        let of = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        for (resolved, tried) in [
            (
                &["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"][..],
                &["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"][..],
            ),
            (&["1.1.1.1:1", "2.2.2.2:1", "[::1]:1"], &["1.1.1.1:1", "[::1]:1", "2.2.2.2:1"]),
            (&["1.1.1.1:1"], &["1.1.1.1:1"]),
            (&[], &[]),
        ] {
            assert_eq!(interleave_families(of(resolved)), of(tried));
        }
    }
}
