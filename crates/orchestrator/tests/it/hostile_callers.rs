//! Callers that violate HTTP or attack the server: their requests are refused at bounded cost, and other callers are served.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
    time::interval,
};

use crate::{
    limits::{limited, refused},
    server::{PATIENCE, Server, answered},
    socket::{head, send, to_the_end},
};

/// The last request of a connection, after which the server closes it.
const LAST: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
/// Far more than the buffers of two sockets, and far less than an endless body.
const ENOUGH: usize = 64 << 20;

/// The status of each response to these bytes.
async fn statuses(server: &Server, said: impl AsRef<[u8]>) -> Vec<u16> {
    let answer = to_the_end(&mut send(server, said).await).await;
    let lines = answer.split("HTTP/1.").skip(1);
    lines.map(|line| line[2..5].parse().unwrap()).collect()
}

/// A new job, with these headers and this body.
fn create(server: &Server, headers: &str, body: &str) -> String {
    format!(
        "POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n{headers}\r\n{body}",
        server.key
    )
}

#[tokio::test]
async fn invalid_requests_are_refused_and_end_the_connection() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let get =
        |headers: &str| format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{LAST}");
    let many = "X: y\r\n".repeat(10_000);
    let cases = [
        (400, "GET /healthz HTTP/9.9\r\n\r\n".to_owned()),
        (400, "GET /healthz\r\n\r\n".to_owned()),
        (400, "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".to_owned()),
        (400, "G\0T /healthz HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET /health z HTTP/1.1\r\n\r\n".to_owned()),
        (414, format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(65_535))),
        (400, get("X : y")),
        (400, get("X: y\r\n folded")),
        (400, get("X: a\0b")),
        (400, get("no colon")),
        (400, get(": no name")),
        (431, get(many.trim_end())),
        (400, get("Content-Length: 5\r\nContent-Length: 6")),
        (400, get("Content-Length: 5, 6")),
        (400, get("Content-Length: +5")),
        (400, get("Content-Length: -1")),
        (400, get("Content-Length: 0x5")),
        (400, get("Content-Length: 99999999999999999999")),
        (400, get("Transfer-Encoding: identity")),
        (400, get("Transfer-Encoding: chunked, identity")),
        (400, get("Transfer-Encoding: xchunked")),
        (400, format!("GET /healthz HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{LAST}")),
    ];
    // An HTTP/2 preface gets no HTTP/1 response.
    assert!(statuses(&server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.is_empty());
    for (status, said) in cases {
        assert_eq!(
            statuses(&server, &said).await,
            [status],
            "{:?}",
            said.get(..80).unwrap_or(&said)
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn unusual_valid_requests_are_answered() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let close = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let cases = [
        (vec![200], "GET /healthz HTTP/1.0\r\n\r\n".to_owned()),
        (vec![200], format!("\r\n\r\n{LAST}")),
        (vec![200], format!("GET http://elsewhere.example/healthz {close}")),
        (vec![401], format!("GET http://elsewhere.example/api/v1/jobs {close}")),
        (vec![200], format!("HEAD /healthz {close}")),
        (vec![405], format!("TRACE /healthz {close}")),
        (vec![405], format!("BREW /healthz {close}")),
        (vec![404], format!("OPTIONS * {close}")),
        (vec![404], format!("CONNECT example.com:443 {close}")),
        (vec![404], format!("GET //healthz {close}")),
        (vec![404], format!("GET /healthz/../metrics {close}")),
        (vec![404], format!("GET /%68ealthz {close}")),
        (
            vec![200; 101],
            format!("{}{LAST}", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100)),
        ),
    ];
    for (expected, said) in cases {
        assert_eq!(
            statuses(&server, &said).await,
            expected,
            "{:?}",
            said.get(..80).unwrap_or(&said)
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn request_smuggling_is_prevented() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let hidden = "DELETE /api/v1/consumers/me HTTP/1.1\r\nHost: x\r\n\r\n";
    let length = format!("Content-Length: {}\r\n", hidden.len());
    let chunked = "Transfer-Encoding: chunked\r\n";
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    // The body is refused as JSON, and the bytes after it are the next request. With both framings the chunks count, and nothing more is read.
    let both = [
        (vec![400], format!("Content-Length: 3\r\n{chunked}"), chunk.clone()),
        (vec![400], format!("{chunked}Content-Length: 3\r\n"), chunk.clone()),
    ];
    for (expected, headers, body) in both.into_iter().chain([
        (vec![400, 200], length, hidden.to_owned()),
        (vec![400, 200], chunked.to_owned(), chunk.clone()),
        (
            vec![400, 200],
            format!("{chunked}Trailer: Authorization\r\n"),
            chunk.replace("0\r\n\r\n", "0\r\nAuthorization: x\r\n\r\n"),
        ),
    ]) {
        let said = create(&server, &headers, &body) + LAST;
        assert_eq!(statuses(&server, &said).await, expected, "{headers}");
    }
    // Invalid chunks end the connection.
    for body in [
        "+5\r\nabcde\r\n0\r\n\r\n",
        "-1\r\n",
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "5\r\nabcdefgh\r\n0\r\n\r\n",
        "g\r\n",
        &format!("1;{}\r\n{{\r\n0\r\n\r\n", "x".repeat(1 << 20)),
        &format!("0\r\n{}\r\n", "X: y\r\n".repeat(10_000)),
    ] {
        let said = create(&server, chunked, body) + LAST;
        let found = statuses(&server, &said).await;
        assert!(found == [400] || found.is_empty(), "{found:?}: {:?}", body.get(..20));
    }
    // No `100 Continue` for a body that will not be read.
    let expecting = "POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses(&server, expecting).await, [401]);
    server.stop().await;
}

/// Writes blocks until the server reads no more. Returns how many bytes were written.
async fn pour(stream: &mut TcpStream, block: &[u8]) -> usize {
    let mut taken = 0;
    let write = async {
        while taken < ENOUGH && stream.write_all(block).await.is_ok() {
            taken += block.len();
        }
    };
    tokio::time::timeout(PATIENCE, write).await.expect("the server reads or closes");
    taken
}

#[tokio::test]
async fn an_endless_body_is_not_read() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let block = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
    let gigabyte = "Content-Length: 1073741824\r\n";
    for (status, line, authorization) in [
        ("413", "POST /api/v1/jobs", server.key.as_str()),
        ("401", "POST /api/v1/jobs", "nobody"),
        ("404", "POST /api/v1/no-such-thing", server.key.as_str()),
        ("404", "GET /api/v1/jobs/job_01KAB1CDEFGHJKMNPQRSTVWXYZ", server.key.as_str()),
        ("200", "GET /healthz", "nobody"),
        ("401", "POST /api/v1/ingest?jobId=job_01KAB1CDEFGHJKMNPQRSTVWXYZ&epoch=1", "nobody"),
    ] {
        for framing in [gigabyte, "Transfer-Encoding: chunked\r\n"] {
            let mut stream = send(
                &server,
                format!("{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {authorization}\r\nContent-Type: application/json\r\n{framing}\r\n"),
            )
            .await;
            let taken = pour(&mut stream, block.as_bytes()).await;
            assert!(taken < ENOUGH, "{line} with {framing:?} was read: {taken}");
            // The reset of the connection may arrive before the response.
            let answer = head(&mut stream).await;
            assert!(
                answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
        }
    }
    assert_eq!(answered(server.request(Method::GET, "/healthz")).await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn two_hundred_slow_callers_are_cut_off_and_do_not_delay_others() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("head_seconds", "1"), ("body_seconds", "1")]).await;
    let drip = async |begin: String| {
        let mut stream = send(&server, begin).await;
        let mut tempo = interval(Duration::from_millis(50));
        let dripped = async {
            while stream.write_all(b"x").await.is_ok() {
                tempo.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, dripped).await.expect("it is cut off");
    };
    let heads = (0..100).map(|_| drip("GET /healthz HTTP/1.1\r\nX-Slow: ".to_owned()));
    let bodies = (0..100).map(|_| drip(create(&server, "Content-Length: 9000\r\n", "{")));
    let good = async {
        for _ in 0..20 {
            assert_eq!(answered(server.request(Method::GET, "/api/v1/jobs")).await.0, 200);
        }
    };
    tokio::join!(join_all(heads), join_all(bodies), good);
    refused(&server, "head_seconds", 100).await;
    refused(&server, "body_seconds", 100).await;
    server.stop().await;
}

#[tokio::test]
async fn a_caller_that_does_not_read_the_response_is_cut_off() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("body_seconds", "1")]).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = server.url().replace("http://", "").parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let asks = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    stream.write_all(asks.as_bytes()).await.unwrap();
    refused(&server, "body_seconds", 1).await;
    server.stop().await;
}
