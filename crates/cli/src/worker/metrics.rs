//! The worker's own `/metrics`, for Prometheus.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
    routing::get,
};
use meetbot_orchestrator::METRICS_TYPE;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::status::Status;

/// Reads an address that other networks do not reach: the metrics need no key.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| {
        format!("{text:?} is not an address and a port, as in 127.0.0.1:9310 or [::1]:9310")
    })?;
    let is_private = match address.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => {
            // Addresses that providers share, which some clusters give to pods.
            let is_shared = matches!(ip.octets(), [100, 64..=127, ..]);
            ip.is_loopback() || ip.is_private() || is_shared
        }
        std::net::IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    };
    if is_private {
        return Ok(address);
    }
    Err(format!(
        "{address} is no loopback or private address, and the metrics need no key: give the machine's address in its own network, as in 10.0.0.7:9310"
    ))
}

/// Listens there, and answers the URL of the metrics.
pub(super) async fn listen(address: SocketAddr) -> anyhow::Result<(String, TcpListener)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("--metrics: cannot listen on {address}"))?;
    Ok((format!("http://{}/metrics", listener.local_addr()?), listener))
}

/// Answers until the process ends.
pub(super) async fn serve(listener: TcpListener, status: Arc<Status>, drain: CancellationToken) {
    let answer = move || {
        let (status, drain) = (Arc::clone(&status), drain.clone());
        async move { text(&status, &drain).await }
    };
    if let Err(error) = axum::serve(listener, Router::new().route("/metrics", get(answer))).await {
        tracing::error!(%error, "the worker's metrics are not served any more");
    }
}

async fn text(status: &Status, drain: &CancellationToken) -> Response {
    ([(CONTENT_TYPE, METRICS_TYPE)], status.metrics(drain.is_cancelled()).await).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_served_on_loopback_and_private_addresses_only() {
        for allowed in [
            "127.0.0.1:9310",
            "[::1]:0",
            "10.1.2.3:80",
            "172.16.0.1:80",
            "192.168.0.1:80",
            "100.64.0.1:80",
            "[fd00::7]:80",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert_eq!(address(allowed).map(|address| address.to_string()), Ok(allowed.to_owned()));
        }
        for refused in
            ["0.0.0.0:80", "[::]:80", "203.0.113.7:80", "172.32.0.1:80", "100.128.0.1:80"]
        {
            assert!(address(refused).unwrap_err().contains("need no key"), "{refused}");
        }
        for wrong in ["", "9310", "localhost:9310", "127.0.0.1"] {
            assert!(address(wrong).unwrap_err().contains("127.0.0.1:9310"), "{wrong:?}");
        }
    }
}
