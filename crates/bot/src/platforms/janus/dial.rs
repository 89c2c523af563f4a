//! The way to a meeting's server: names resolved, addresses checked, TLS, WebSocket.

use std::{net::IpAddr, sync::Arc, time::Duration};

use meetbot_types::Reach;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, ClientRequestBuilder, http::StatusCode, protocol::WebSocketConfig},
};
use url::{Host, Url};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest message: a session description of a crowded room.
const MESSAGE_LIMIT: usize = 1024 * 1024;

/// TCP, with TLS or without.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A WebSocket, and the address of this machine that it goes out from (media may take another).
pub(crate) struct Dialled {
    pub(crate) socket: WebSocketStream<Box<dyn Wire>>,
    pub(crate) local: IpAddr,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// It may work later.
    #[error("{0}")]
    Away(String),
    /// It will not.
    #[error("{0}")]
    Never(String),
}

/// Connects to `url` (`ws` or `wss`) with a subprotocol, at an address that may be reached.
pub(crate) async fn dial(
    url: &Url,
    protocol: &str,
    reach: &Reach,
    tls: &Arc<ClientConfig>,
) -> Result<Dialled, DialError> {
    let dialled = tokio::time::timeout(PATIENCE, connect(url, protocol, reach, tls)).await;
    dialled.unwrap_or_else(|_| {
        Err(DialError::Away(format!("the server does not answer within {} s", PATIENCE.as_secs())))
    })
}

async fn connect(
    url: &Url,
    protocol: &str,
    reach: &Reach,
    tls: &Arc<ClientConfig>,
) -> Result<Dialled, DialError> {
    let away =
        |error: std::io::Error| DialError::Away(format!("the server is not reached: {error}"));
    let tcp = open(url, reach).await?;
    let local = tcp.local_addr().map_err(away)?.ip();
    tcp.set_nodelay(true).map_err(away)?;
    let wire: Box<dyn Wire> = if url.scheme() == "wss" {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|_| {
            DialError::Never("the server's name cannot have a certificate".to_owned())
        })?;
        Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await.map_err(away)?)
    } else {
        Box::new(tcp)
    };
    let uri = url.as_str().parse().map_err(|_| DialError::Never("no WebSocket URL".to_owned()))?;
    let request = ClientRequestBuilder::new(uri).with_sub_protocol(protocol);
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_LIMIT))
        .max_frame_size(Some(MESSAGE_LIMIT));
    match client_async_with_config(request, wire, Some(config)).await {
        Ok((socket, _)) => Ok(Dialled { socket, local }),
        Err(tungstenite::Error::Http(answer)) if refuses(answer.status()) => {
            let status = answer.status();
            Err(DialError::Never(format!("there is no WebSocket at this address: HTTP {status}")))
        }
        Err(error) => Err(DialError::Away(format!("the server does not answer: {error}"))),
    }
}

/// Whether an answer is there to stay. 408, 425 and 429 are of this moment, as the server's own errors are.
fn refuses(status: StatusCode) -> bool {
    let passes =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    status.is_client_error() && !passes.contains(&status)
}

/// Opens TCP to the first address of the host that may be reached and answers.
async fn open(url: &Url, reach: &Reach) -> Result<TcpStream, DialError> {
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return Err(DialError::Never("the URL names no host".to_owned())),
    };
    let port = url.port_or_known_default().unwrap_or(80);
    let found = tokio::net::lookup_host((host.as_str(), port))
        .await
        .map_err(|error| DialError::Away(format!("{host} leads nowhere: {error}")))?;
    let mut refused = None;
    let mut last = None;
    for address in found {
        if !reach.allows(address.ip()) {
            refused = Some(address.ip());
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(match (last, refused) {
        (Some(error), _) => DialError::Away(format!("{host} does not answer: {error}")),
        (None, Some(address)) => DialError::Never(format!(
            "{host} leads to {address}, which is not a public address; an operator can allow it in `bots.allow_networks`"
        )),
        (None, None) => DialError::Away(format!("{host} has no address")),
    })
}
