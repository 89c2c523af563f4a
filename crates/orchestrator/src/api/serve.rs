//! Listens and serves, with limits on slow and idle callers that a plain server does not set.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{Crowded, caller::Peer};
use crate::{limits::Limits, metrics::Metrics};

/// The largest head of a request, in bytes, give or take what one read brings; hyper answers 431 to a larger one.
const HEAD_BYTES: usize = 64 * 1024;
/// How long a caller may take over a request's head where there are too many connections.
const HEAD_IN_A_CROWD: Duration = Duration::from_secs(2);
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
    let reserve = (limits.connections / 4).max(1);
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
        let crowded = connections.len() >= limits.connections;
        if connections.len() >= limits.connections + reserve {
            metrics.refused("connections");
            continue;
        }
        let _ = stream.set_nodelay(true);
        let peer = Peer(peer.ip().to_canonical());
        let service = router.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            if crowded {
                request.extensions_mut().insert(Crowded);
            }
            request.map(Body::new)
        });
        let service = TowerToHyperService::new(service);
        let head = if crowded { limits.head.min(HEAD_IN_A_CROWD) } else { limits.head };
        let (stop, metrics) = (stop.clone(), Arc::clone(&metrics));
        connections.spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(head)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            // A caller that goes away in the middle is no news.
            tokio::select! {
                ended = connection.as_mut() => {
                    if ended.is_err_and(|error| error.is_timeout()) {
                        metrics.refused("head_seconds");
                    }
                }
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
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
