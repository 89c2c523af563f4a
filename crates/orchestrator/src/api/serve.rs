//! Listens and serves, with limits on slow and idle callers that a plain server does not set.

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
    open_connections::{Connections, Welcome},
};
use crate::{limits::Limits, metrics::Metrics};

/// The largest head of a request, in bytes, give or take what one read brings; hyper answers 431 to a larger one.
const HEAD_BYTES: usize = 64 * 1024;
/// How long a caller may take over a request's head where there are too many connections.
const HEAD_IN_A_CROWD: Duration = Duration::from_secs(2);
/// How much of an answer the system takes over that it cannot send yet, in bytes.
#[cfg(target_os = "linux")]
const NOT_SENT_BYTES: u32 = 64 * 1024;
/// How long to wait after the system could not give another socket.
const BREATH: Duration = Duration::from_millis(100);
/// How long requests may still run once the server stops.
const LAST_WORDS: Duration = Duration::from_secs(10);

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
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let peer = Peer(peer.ip().to_canonical());
        let Some((connection, welcome, gave_way)) = open.welcome(peer.network()) else {
            metrics.refused("connections");
            continue;
        };
        if gave_way {
            metrics.refused("connections");
        }
        let _ = stream.set_nodelay(true);
        hold_little_that_is_not_read(&stream, limits.body);
        let asked = Arc::new(AtomicBool::new(false));
        let (ask, place) = (Arc::clone(&asked), Arc::clone(&connection));
        let service = router.clone().map_request(move |mut request: Request<Incoming>| {
            ask.store(true, Ordering::Relaxed);
            let extensions = request.extensions_mut();
            extensions.insert(peer);
            extensions.insert(welcome);
            extensions.insert(Arc::clone(&place));
            request.map(Body::new)
        });
        let service = TowerToHyperService::new(service);
        let head = match welcome {
            Welcome::Served => limits.head,
            Welcome::Crowded | Welcome::AddressIsFull => limits.head.min(HEAD_IN_A_CROWD),
        };
        let (stop, metrics) = (stop.clone(), Arc::clone(&metrics));
        connections.spawn(async move {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(head)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            tokio::pin!(served);
            // A caller that goes away in the middle is no news.
            tokio::select! {
                ended = served.as_mut() => {
                    let asked = asked.load(Ordering::Relaxed);
                    if let Err(error) = ended
                        && let Some(limit) = exceeded(&error, asked)
                    {
                        metrics.refused(limit);
                    }
                }
                () = connection.gives_way() => {}
                () = stop.cancelled() => {
                    served.as_mut().graceful_shutdown();
                    let _ = served.await;
                }
            }
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
        tracing::warn!("requests that did not end were cut off");
    }
}

/// A caller that asks and takes nothing of the answer holds memory and a connection. The system ends the connection when nothing was taken for so long,
/// which also ends those whose caller vanished; and it takes over little that it cannot send yet, where it would take 2.5 MB otherwise, so that what is not read
/// stays in bodies, which are bounded.
fn hold_little_that_is_not_read(stream: &TcpStream, patience: Duration) {
    #[cfg(target_os = "linux")]
    {
        let ms = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, ms);
        let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_BYTES);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, patience);
}

/// The limit that ended a connection, if it was one. That a connection on which something was asked is idle exceeds none.
fn exceeded(error: &hyper::Error, asked: bool) -> Option<&'static str> {
    if error.is_timeout() {
        return (!asked).then_some("head_seconds");
    }
    let source = error.source()?.downcast_ref::<io::Error>()?;
    (source.kind() == io::ErrorKind::TimedOut).then_some("body_seconds")
}
