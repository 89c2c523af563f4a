//! Settings of a client: the time limit of a whole call, proxies, custom root certificates, the user agent; and custom calls.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use base64::Engine as _;
use meetbot::{CallOptions, ErrorKind, MeetBot, Request, blocking};
use meetbot_testkit::scripted::Answer;
use rcgen::{CertifiedKey, KeyPair};
use rustls::{RootCertStore, pki_types::PrivateKeyDer, server::WebPkiClientVerifier};

use crate::server::{KEY, Reply, Server, answer, job};

fn busy(seconds: &str) -> Reply {
    answer(503, &[("Retry-After", seconds)], r#"{"error":"unavailable","message":"in a moment"}"#)
}

#[tokio::test]
async fn a_deadline_holds_for_all_tries_together() {
    let server = Server::start([busy("0"), Reply::hangs()]);
    let once = CallOptions::new().deadline(Duration::from_millis(200)).max_retries(9);
    let error = server.client().with(once).unwrap().get_bot("job_x").await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 2), "{error}");
}

#[tokio::test]
async fn a_call_fails_at_once_if_its_next_try_is_beyond_the_deadline() {
    let server = Server::start([busy("50")]);
    let mb = server.client().with(CallOptions::new().deadline(Duration::from_secs(40))).unwrap();
    let error = mb.get_bot("job_x").await.unwrap_err();
    assert_eq!((error.status(), error.attempts()), (Some(503), 1), "{error}");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(50)));
}

#[tokio::test]
async fn an_error_has_the_attempts_and_the_idempotency_key() {
    let server = Server::start([busy("0"), busy("0")]);
    let mb = server.client().with(CallOptions::new().max_retries(1)).unwrap();
    let error = mb.leave_bot("job_x").await.unwrap_err();
    assert_eq!(error.attempts(), 2);
    assert_eq!(error.idempotency_key(), server.requests()[1].header("idempotency-key"));
    assert!(error.idempotency_key().is_some());
}

#[tokio::test]
async fn every_request_goes_through_the_proxy_and_no_debug_shows_its_password() {
    let proxy = Server::start([answer(200, &[], &job(1, "queued"))]);
    let url = proxy.url().replace("http://", "http://me:s3cret@");
    let builder = MeetBot::builder().api_key(KEY).base_url("http://api.invalid").proxy(url);
    let debug = format!("{builder:?}");
    let mb = builder.build().unwrap();
    mb.get_bot("job_x").await.unwrap().unwrap();
    let request = &proxy.requests()[0];
    assert_eq!(request.line, "GET http://api.invalid/api/v1/jobs/job_x HTTP/1.1");
    assert!(request.header("proxy-authorization").is_some());
    assert!(!format!("{debug} {mb:?}").contains("s3cret"), "{debug} {mb:?}");
    for wrong in ["not a url:s3cret", "", "socks5://me:s3cret@127.0.0.1:1", "http://me:s3cret#@x"] {
        let error = MeetBot::builder().api_key(KEY).proxy(wrong).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{wrong}");
        assert!(error.message().starts_with("the proxy "), "{error}");
        assert!(!format!("{error:?} {error}").contains("s3cret"), "{error:?}");
    }
}

#[tokio::test]
async fn a_proxy_of_any_spelling_is_used_and_gets_the_whole_password() {
    for (user, password) in [
        ("user:a|b@", Some("user:a|b")),
        ("user:a b@", Some("user:a b")),
        ("user:ä@", Some("user:ä")),
        ("user:p@ss@", Some("user:p@ss")),
        ("user:^\"{}[]@", Some("user:^\"{}[]")),
        ("", None),
    ] {
        for (before, after) in [("http://", "\n"), ("", ""), (" HTTP://", "/\r\n")] {
            let proxy = Server::start([answer(200, &[], &job(1, "queued"))]);
            let address = proxy.url().replace("http://", "");
            let url = format!("{before}{user}{address}{after}");
            let builder = MeetBot::builder().api_key(KEY).base_url("http://127.0.0.1:1");
            let mb = builder.proxy(&url).max_retries(0).build().unwrap();
            mb.get_bot("job_x").await.unwrap().unwrap();
            let request = &proxy.requests()[0];
            assert_eq!(
                request.line, "GET http://127.0.0.1:1/api/v1/jobs/job_x HTTP/1.1",
                "{url:?}"
            );
            let sent = password.map(|plain| {
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(plain))
            });
            assert_eq!(request.header("proxy-authorization"), sent.as_deref(), "{url:?}");
        }
    }
}

#[tokio::test]
async fn an_error_of_a_connection_names_the_proxy_without_its_password() {
    let client = MeetBot::builder()
        .api_key(KEY)
        .base_url("http://api.invalid")
        .proxy("http://me:s3cret@127.0.0.1:1")
        .max_retries(0)
        .build()
        .unwrap();
    let error = client.get_bot("job_x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.message().contains("through the proxy http://127.0.0.1:1/"), "{error}");
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}

/// The error of a client of this URL, which trusts these certificates.
async fn refused(url: &str, roots: Option<&str>) -> meetbot::Error {
    let builder = MeetBot::builder().api_key(KEY).base_url(url).max_retries(0);
    let builder = roots.into_iter().fold(builder, meetbot::Builder::ca_bundle);
    builder.build().unwrap().get_bot("job_x").await.unwrap_err()
}

/// Waits until a client has spoken, says this, and hangs up.
fn says(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = std::io::Read::read(&mut stream, &mut [0; 16_384]);
            let _ = stream.write_all(bytes);
        }
    });
    port
}

#[tokio::test]
async fn an_error_hints_at_the_wrong_scheme() {
    let (tls, pem) = tls_server(None);
    let nginx = "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>";
    let nginx = Server::start([answer(400, &[], nginx)]);
    let go = Server::start([answer(400, &[], "Client sent an HTTP request to an HTTPS server.\n")]);
    let upgrade =
        Server::start([answer(301, &[("Location", "https://127.0.0.1/api/v1/jobs/job_x")], "")]);
    for (url, kind, message) in [
        (
            format!("https://127.0.0.1:{}", says(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
            ErrorKind::Connection,
            "with http://",
        ),
        (format!("https://127.0.0.1:{}", says(b"")), ErrorKind::Connection, "with http://"),
        // An alert: no version of TLS that both know.
        (
            format!("http://127.0.0.1:{}", says(b"\x15\x03\x03\x00\x02\x02\x46")),
            ErrorKind::Connection,
            "with https://",
        ),
        (format!("http://127.0.0.1:{}", says(b"")), ErrorKind::Connection, "with https://"),
        (format!("http://localhost:{tls}"), ErrorKind::Connection, "with https://"),
        (nginx.url(), ErrorKind::Validation, "with https://"),
        (go.url(), ErrorKind::Validation, "with https://"),
        (upgrade.url(), ErrorKind::UnexpectedStatus, "is the base URL right?"),
    ] {
        let error = refused(&url, Some(&pem)).await;
        assert_eq!(error.kind(), kind, "{url} {error:?}");
        assert!(error.message().contains(message), "{url} {error}");
    }
    // What is wrong with a certificate, or who is not there, is no matter of the scheme.
    for url in [format!("https://127.0.0.1:{tls}"), "https://127.0.0.1:1".to_owned()] {
        let error = refused(&url, None).await;
        assert!(!error.message().contains("http://?"), "{error}");
    }
}

#[tokio::test]
async fn a_response_that_is_not_http_is_shown_in_the_error() {
    let (_, pem) = tls_server(None);
    let error_of = async |scheme: &str, bytes: &[u8]| {
        let url = format!("{scheme}://127.0.0.1:{}", says(bytes.to_vec().leak()));
        let error = refused(&url, Some(&pem)).await;
        assert_eq!(error.kind(), ErrorKind::Connection, "{bytes:?}: {error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(KEY) && error.message().len() < 600, "{shown}");
        error.message().to_owned()
    };
    for record in [
        &b"\x15\x03\x01\x00\x02\x02\x46"[..],
        b"\x16\x03\x03\x00\x2c\x02\x00\x00\x28",
        b"\x15\x03\x03",
    ] {
        let message = error_of("http", record).await;
        assert!(message.ends_with("with https://, and not with http://?"), "{message}");
    }
    let long = "x".repeat(1 << 20);
    let echo = format!("Authorization: Bearer {KEY}\r\n\r\n");
    let cut = format!("what is {}", &KEY[..12]);
    for (bytes, began) in [
        (&b"SSH-2.0-OpenSSH_9.7\r\n"[..], r#""SSH-2.0-OpenSSH_9.7\r\n""#),
        (b"220 mail.example.com ESMTP\r\n", r#""220 mail.example.com"#),
        (b"{\"id\":\"job_1\"}", r#""{\"id\":\"job_1\"}""#),
        (b"\0\x01\xff\x1b[31m", r#""\0\u{1}�\u{1b}[31m""#),
        (b"HTTP/1.1 abc\r\n\r\n", r#""HTTP/1.1 abc\r\n\r\n""#),
        (b"HTTP/3.7 200 OK\r\n\r\n", r#""HTTP/3.7 200 OK"#),
        (b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", r#""HTTP/1.1 200 OK\r\nno header"#),
        (b"HTTP/1.1 200 OK\r\nContent-Le", r#""HTTP/1.1 200 OK\r\nContent-Le""#),
        (b"\x15\x09\x09\x00", r#""\u{15}\t\t\0""#),
        (b"\x17\x03\x03\x00", r#""\u{17}"#),
        (long.as_bytes(), r#""xxxxxx"#),
        (echo.as_bytes(), r#""Authorization: Bearer mb_…\r\n\r\n""#),
        (cut.as_bytes(), r#""what is ""#),
    ] {
        let message = error_of("http", bytes).await;
        let wanted = format!("the answer cannot be read; it begins with {began}");
        assert!(message.contains(&wanted) && !message.contains("https://"), "{wanted}: {message}");
    }
    let ssh = error_of("https", b"SSH-2.0-OpenSSH_9.7\r\n").await;
    assert!(ssh.contains("it begins with \"SSH-2.0"), "{ssh}");
    assert!(!ssh.contains("with http://"), "{ssh}");
}

#[test]
fn an_invisible_character_in_a_key_is_named_and_a_byte_order_mark_around_it_is_passed_over() {
    let built = |key: &str| {
        MeetBot::builder().api_key(key).base_url("\u{feff}http://127.0.0.1:1\n").build()
    };
    for (key, named) in [
        (format!("\u{200b}{KEY}"), "U+200B as its character 1,"),
        (format!("mb_\u{feff}{KEY}"), "U+FEFF as its character 4,"),
        (format!("{KEY}\0"), "U+0000 as its character 25,"),
    ] {
        let error = built(&key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains(named) && !error.message().contains(KEY), "{error}");
    }
    assert!(built(&format!("\u{feff}{KEY}\r\n")).is_ok());
}

/// A proxy that opens a tunnel to the server for one client; returns its port and the head of the client's request.
fn tunnel(server: u16) -> (u16, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
        let mut head = String::new();
        let mut lines = BufReader::new(client.try_clone().unwrap());
        while !head.ends_with("\r\n\r\n") {
            lines.read_line(&mut head).unwrap();
        }
        (&client).write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (mut up, mut down) = (server.try_clone().unwrap(), client);
        thread::spawn(move || std::io::copy(&mut lines, &mut up));
        let _ = std::io::copy(&mut &server, &mut down);
        head
    });
    (port, proxy)
}

#[tokio::test]
async fn a_proxy_opens_a_tunnel_to_a_server_of_https_and_sees_no_key() {
    let (port, pem) = tls_server(None);
    let (proxy, head) = tunnel(port);
    let client = MeetBot::builder()
        .api_key(KEY)
        .base_url(format!("https://localhost:{port}"))
        .proxy(format!("http://me:s3cret@127.0.0.1:{proxy}"))
        .ca_bundle(pem)
        .build()
        .unwrap();
    assert!(client.get_bot("job_x").await.unwrap().is_some());
    drop(client);
    let head = head.join().unwrap();
    assert!(head.starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("roxy-authorization: Basic bWU6czNjcmV0\r\n"), "{head}");
    assert!(head.contains("meetbot-rust/") && !head.contains(KEY), "{head}");
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up_within_the_time_for_connecting() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = MeetBot::builder()
        .api_key(KEY)
        .base_url(format!("https://{}", silent.local_addr().unwrap()))
        .connect_timeout(Duration::from_millis(50))
        .max_retries(0);
    let error = client.build().unwrap().get_bot("job_x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.message().contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn a_client_can_use_a_custom_executor() {
    let server = Server::start([answer(200, &[], &job(1, "queued"))]);
    let (begun, mut tasks) = tokio::sync::mpsc::unbounded_channel();
    let builder = MeetBot::builder().api_key(KEY).base_url(server.url());
    let client = builder.spawn_with(move |task| drop(begun.send(task))).build().unwrap();
    let running = tokio::spawn(async move {
        while let Some(task) = tasks.recv().await {
            tokio::spawn(task);
        }
    });
    assert!(client.get_bot("job_x").await.unwrap().is_some());
    drop(client);
    running.await.unwrap();
}

#[test]
fn a_client_sends_the_user_agent_it_was_given() {
    let server = Server::start((0..2).map(|_| answer(200, &[], &job(1, "queued"))));
    server.blocking().get_bot("job_x").unwrap();
    let named =
        blocking::MeetBot::builder().api_key(KEY).base_url(server.url()).user_agent("acme/2");
    named.build().unwrap().get_bot("job_x").unwrap();
    let agents: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.header("user-agent").unwrap().to_owned())
        .collect();
    assert_eq!(agents, [concat!("meetbot-rust/", env!("CARGO_PKG_VERSION")), "acme/2"]);
}

fn self_signed() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

/// A TLS server whose certificate is only in `ca_bundle`; with a client certificate it accepts only that client.
fn tls_server(client: Option<&CertifiedKey<KeyPair>>) -> (u16, String) {
    let made = self_signed();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match client {
        None => config.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client.cert.der().clone()).unwrap();
            let demands =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.with_client_cert_verifier(demands.unwrap())
        }
    };
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream);
            // The client that does not trust the certificate hangs up here.
            let mut request = [0; 4_096];
            if std::io::Read::read(&mut tls, &mut request).is_ok_and(|read| read > 0) {
                let Answer::Raw(bytes) = answer(200, &[], &job(1, "queued")).answer else { return };
                tls.write_all(&bytes).unwrap();
                tls.conn.send_close_notify();
                tls.flush().unwrap();
            }
        }
    });
    (port, pem("CERTIFICATE", made.cert.der()))
}

#[tokio::test]
async fn a_server_of_a_private_authority_is_trusted_with_its_bundle_alone() {
    let (port, pem) = tls_server(None);
    let builder = || {
        MeetBot::builder().api_key(KEY).base_url(format!("https://localhost:{port}")).max_retries(0)
    };
    let error = builder().build().unwrap().get_bot("job_x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
    assert!(format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
    assert!(builder().ca_bundle(pem).build().unwrap().get_bot("job_x").await.unwrap().is_some());
    for wrong in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = builder().ca_bundle(wrong).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{wrong}");
    }
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_gets_it_and_an_invalid_one_is_an_error() {
    let mine = self_signed();
    let (port, roots) = tls_server(Some(&mine));
    let builder = || {
        let url = format!("https://localhost:{port}");
        MeetBot::builder().api_key(KEY).base_url(url).ca_bundle(roots.clone()).max_retries(0)
    };
    let error = builder().build().unwrap().get_bot("job_x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
    let certificate = pem("CERTIFICATE", mine.cert.der());
    let key = pem("PRIVATE KEY", &mine.signing_key.serialize_der());
    let shown = builder().client_cert(format!("{certificate}{key}"));
    assert!(!format!("{shown:?}").contains("PRIVATE"), "{shown:?}");
    assert!(shown.build().unwrap().get_bot("job_x").await.unwrap().is_some());

    let anothers = pem("PRIVATE KEY", &self_signed().signing_key.serialize_der());
    let encrypted = pem("ENCRYPTED PRIVATE KEY", b"who knows");
    for (wrong, message) in [
        ("no PEM".to_owned(), "holds no certificate"),
        (key, "holds no certificate"),
        (certificate.clone(), "without its private key"),
        (format!("{certificate}{encrypted}"), "encrypted"),
        (format!("{certificate}{anothers}"), "cannot be used together"),
    ] {
        let error = builder().client_cert(wrong).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains(message), "{error}");
    }
}

#[tokio::test]
async fn a_custom_call_has_the_retries_the_key_and_the_errors_of_all_others() {
    let server = Server::start([
        busy("0"),
        answer(201, &[("X-Request-Id", "req_7")], "whatever it is"),
        answer(409, &[], r#"{"error":"invalid_state","message":"too late"}"#),
    ]);
    let mb = server.client();
    let path = meetbot::api_path(&["new", "a/b"], &[("q", "x y")]).unwrap();
    let request = Request::new("POST", path)
        .unwrap()
        .header("traceparent", "00-1-2-01")
        .unwrap()
        .json(r#"{"n":1}"#);
    let answer = mb.request(request.clone()).await.unwrap();
    assert_eq!((answer.status(), answer.attempts()), (201, 2));
    assert_eq!(
        (answer.header("x-request-id"), answer.body().as_ref()),
        (Some("req_7"), &b"whatever it is"[..])
    );
    let sent = server.requests();
    assert_eq!(sent[1].line, "POST /api/v1/new/a%2Fb?q=x+y HTTP/1.1");
    assert_eq!((sent[1].header("traceparent"), sent[1].text()), (Some("00-1-2-01"), r#"{"n":1}"#));
    assert_eq!(sent[0].header("idempotency-key"), sent[1].header("idempotency-key"));
    let error = mb.request(request).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Conflict, "too late"));
}

#[test]
fn a_call_that_cannot_be_sent_is_an_error() {
    assert!(Request::new("GE T", "/x").is_err());
    assert!(Request::new("GET", "x").is_err());
    let request = || Request::new("GET", "/x").unwrap();
    for (name, value) in
        [("", "x"), ("a b", "x"), ("x", "line\nbreak"), ("Authorization", "Bearer x")]
    {
        let error = request().header(name, value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{name}");
    }
}
