//! Accepts and serves connections, with limits on slow and idle callers.

use std::{
    error::Error as _,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    caller::Peer,
    open_connections::{Admission, Connections},
};
use crate::{limits::Limits, metrics::Metrics};

/// The largest head of a request, in bytes, give or take what one read brings; hyper answers 431 to a larger one.
const HEAD_BYTES: usize = 64 * 1024;
/// How long a caller may take to send a request's head while the limit of connections is exceeded.
const HEAD_TIMEOUT_OVER_LIMIT: Duration = Duration::from_secs(2);
/// How many unsent bytes of a response the kernel buffers for a connection.
#[cfg(target_os = "linux")]
const NOT_SENT_BYTES: u32 = 64 * 1024;
/// How long to wait before the next `accept` after one has failed, as when no file descriptor is free.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// How long running requests may take to end once the server stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until `stop`, then lets running requests end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let open = Connections::new(limits.connections, limits.connections_per_address);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        let peer = Peer(peer.ip().to_canonical());
        let Some((connection, admission, evicted_other)) = open.admit(peer.network()) else {
            metrics.refused("connections");
            continue;
        };
        if evicted_other {
            metrics.refused("connections");
        }
        let _ = stream.set_nodelay(true);
        limit_unsent_bytes(&stream, limits.body);
        let asked = Arc::new(AtomicBool::new(false));
        let (ask, opened) = (Arc::clone(&asked), Arc::clone(&connection));
        let service = router.clone().map_request(move |mut request: Request<Incoming>| {
            ask.store(true, Ordering::Relaxed);
            let extensions = request.extensions_mut();
            extensions.insert(peer);
            extensions.insert(admission);
            extensions.insert(Arc::clone(&opened));
            request.map(Body::new)
        });
        let service = TowerToHyperService::new(service);
        let head = match admission {
            Admission::Admitted => limits.head,
            Admission::OverConnectionLimit | Admission::OverAddressLimit => {
                limits.head.min(HEAD_TIMEOUT_OVER_LIMIT)
            }
        };
        let (stop, metrics) = (stop.clone(), Arc::clone(&metrics));
        connections.spawn(async move {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(head)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            tokio::pin!(served);
            // A caller that closes its connection early is not logged.
            tokio::select! {
                ended = served.as_mut() => {
                    let asked = asked.load(Ordering::Relaxed);
                    if let Err(error) = ended
                        && let Some(limit) = exceeded(&error, asked)
                    {
                        metrics.refused(limit);
                    }
                }
                () = connection.evicted() => {}
                () = stop.cancelled() => {
                    served.as_mut().graceful_shutdown();
                    let _ = served.await;
                }
            }
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, all).await.is_err() {
        tracing::warn!("requests that did not end were cut off");
    }
}

/// Bounds the cost of a caller that does not read its response. The kernel closes the connection when no byte was acknowledged for `timeout`, which also ends
/// connections of callers that vanished. It buffers at most `NOT_SENT_BYTES` unsent bytes (2.5 MB by default), so that unread data stays in response bodies, which are bounded.
fn limit_unsent_bytes(stream: &TcpStream, timeout: Duration) {
    #[cfg(target_os = "linux")]
    {
        let ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, ms);
        let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_BYTES);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, timeout);
}

/// The limit that ended a connection, if any. A connection that is idle after a request exceeds none.
fn exceeded(error: &hyper::Error, asked: bool) -> Option<&'static str> {
    if error.is_timeout() {
        return (!asked).then_some("head_seconds");
    }
    let source = error.source()?.downcast_ref::<io::Error>()?;
    (source.kind() == io::ErrorKind::TimedOut).then_some("body_seconds")
}
