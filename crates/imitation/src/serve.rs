//! The HTTPS server: the page's files, its reports, and the view that it shows.

use std::{convert::Infallible, fmt::Write as _, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Shared, media,
    meeting::{Report, View},
};

const SHELL: &str = include_str!("../page/shell.html");
const SIGN_IN: &str = include_str!("../page/sign_in.html");
const CAPTCHA: &str = include_str!("../page/captcha.html");

/// The files of the page, by their names under `/imitation/`.
const FILES: [(&str, &str, &str); 8] = [
    ("main.js", "text/javascript", include_str!("../page/main.js")),
    ("dom.js", "text/javascript", include_str!("../page/dom.js")),
    ("lobby.js", "text/javascript", include_str!("../page/lobby.js")),
    ("devices.js", "text/javascript", include_str!("../page/devices.js")),
    ("call.js", "text/javascript", include_str!("../page/call.js")),
    ("session.js", "text/javascript", include_str!("../page/session.js")),
    ("neteq.js", "text/javascript", include_str!("../page/neteq.js")),
    ("style.css", "text/css", include_str!("../page/style.css")),
];

/// The largest request of the page: a session description is a tenth of it.
const MOST_BYTES: usize = 256 * 1024;

/// A cookie of browsers that are signed in to Google.
const LOGIN: &str = "SAPISID";
/// A cookie that is renewed again and again.
const RENEWED: &str = "__Secure-1PSIDTS";

/// The path at which the web client requests the roster.
const SYNC: &str = "/$rpc/google.rtc.meetings.v1.MeetingSpaceService/SyncMeetingSpaceCollections";

/// The state that the server's connections share.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) shared: Shared,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// Serves until it is stopped.
pub(crate) async fn run(listener: TcpListener, tls: Arc<ServerConfig>, server: Server) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let stream = tokio::select! {
            () = server.stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the imitation cannot accept connections");
                    return;
                }
            },
        };
        let (server, acceptor) = (server.clone(), acceptor.clone());
        server.tasks.clone().spawn(async move {
            let stop = server.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection(stream, acceptor, server) => {}
            }
        });
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, server: Server) {
    let _ = stream.set_nodelay(true);
    // Connections that a browser closes early are not logged.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let server = server.clone();
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The body of each request for the view.
#[derive(Debug, Deserialize)]
struct Seen {
    visit: u32,
    version: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct FromPage<T> {
    visit: u32,
    #[serde(flatten)]
    body: T,
}

#[derive(Debug, Deserialize)]
struct Offer {
    sdp: String,
}

#[derive(Debug, Deserialize)]
struct Reports {
    reports: Vec<Report>,
}

type Answer = Response<Full<Bytes>>;

fn answer(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    if let Ok(kind) = kind.parse() {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(
        header::STRICT_TRANSPORT_SECURITY,
        header::HeaderValue::from_static("max-age=31536000; includeSubDomains"),
    );
    answer
}

fn refused(why: &impl ToString) -> Answer {
    answer(StatusCode::BAD_REQUEST, "text/plain", why.to_string())
}

/// The value of a cookie in a request.
fn cookie(request: &Request<Incoming>, name: &str) -> Option<String> {
    let headers = request.headers().get_all(header::COOKIE).iter();
    let pairs = headers.filter_map(|header| header.to_str().ok()).flat_map(|it| it.split("; "));
    let mut named = pairs.filter_map(|pair| pair.split_once('=')).filter(|(it, _)| *it == name);
    named.next().map(|(_, value)| value.to_owned())
}

/// Sets a cookie for all of Google's hosts, for a day.
fn set_cookie(answer: &mut Answer, name: &str, value: &str) {
    let cookie =
        format!("{name}={value}; Domain=google.com; Path=/; Max-Age=86400; Secure; HttpOnly");
    if let Ok(cookie) = cookie.parse() {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// `abc-defg-hij`.
fn is_code(path: &str) -> bool {
    let parts: Vec<_> = path.split('-').collect();
    let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
    lengths == [3, 4, 3] && parts.concat().bytes().all(|byte| byte.is_ascii_lowercase())
}

async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, String> {
    let body = Limited::new(request.into_body(), MOST_BYTES).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let accounts = host.is_some_and(|host| host.starts_with("accounts."));
        let path = request.uri().path().to_owned();
        let code = path.strip_prefix('/').unwrap_or_default();
        match (request.method(), path.as_str()) {
            // The page's picture, which a browser requests when it has the page and its cookies.
            (&Method::GET, "/signed-in") if accounts => {
                self.shared.change(|meeting| meeting.observed.sign_ins += 1);
                answer(StatusCode::NO_CONTENT, "image/x-icon", "")
            }
            (&Method::GET, _) if accounts => self.sign_in(),
            // Chromium itself requests the signed-in accounts here.
            _ if accounts => answer(StatusCode::NO_CONTENT, "text/plain", ""),
            (&Method::GET, _) if is_code(code) => {
                let login = cookie(&request, LOGIN);
                let renewed = cookie(&request, RENEWED);
                let visit = self.shared.change(|meeting| {
                    meeting.observed.renewed.push(renewed);
                    meeting.open(login.as_deref())
                });
                let mut page = page(SHELL, visit);
                set_cookie(&mut page, RENEWED, &visit.to_string());
                page
            }
            (&Method::GET, "/" | "/landing") => page(SHELL, 0),
            (&Method::GET, "/recaptcha/enterprise/anchor") => page(CAPTCHA, 0),
            (&Method::POST, "/imitation/view") => match read(request).await {
                Ok(seen) => self.view(&seen).await,
                Err(why) => refused(&why),
            },
            (&Method::POST, "/imitation/reports") => {
                match read::<FromPage<Reports>>(request).await {
                    Ok(from) => self.reports(from),
                    Err(why) => {
                        // Recorded, so that a test can detect it.
                        let stray = format!("{path}: {why}");
                        self.shared.change(|meeting| meeting.observed.strays.push(stray));
                        refused(&why)
                    }
                }
            }
            (&Method::POST, "/imitation/session") => match read::<FromPage<Offer>>(request).await {
                Ok(from) => self.session(from).await,
                Err(why) => refused(&why),
            },
            (&Method::POST, SYNC) => {
                let roster = self.shared.change(crate::meeting::Meeting::sync);
                answer(StatusCode::OK, "application/x-protobuf", STANDARD.encode(roster))
            }
            (&Method::GET, "/favicon.ico") => answer(StatusCode::NO_CONTENT, "image/x-icon", ""),
            (&Method::GET, path) => {
                match FILES.iter().find(|(name, ..)| path.strip_prefix("/imitation/") == Some(name))
                {
                    Some((_, kind, file)) => answer(StatusCode::OK, kind, *file),
                    None => self.stray(path),
                }
            }
            (_, path) => self.stray(path),
        }
    }

    /// The page for signing in, on which somebody has just signed in if the scenario has a login.
    fn sign_in(&self) -> Answer {
        let mut page = page(SIGN_IN, 0);
        let login = self.shared.lock().scenario.login.clone();
        if let Some(login) = login {
            set_cookie(&mut page, LOGIN, &login);
        }
        page
    }

    fn stray(&self, path: &str) -> Answer {
        self.shared.change(|meeting| meeting.observed.strays.push(path.to_owned()));
        answer(StatusCode::NOT_FOUND, "text/plain", "nothing is here")
    }

    /// The view, once it differs from the page's version.
    async fn view(&self, seen: &Seen) -> Answer {
        let mut changes = self.shared.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let view: Option<View> = {
                let meeting = self.shared.lock();
                let new = seen.version != Some(meeting.version()) || seen.visit != meeting.visit;
                new.then(|| meeting.view(seen.visit))
            };
            if let Some(view) = view {
                return match serde_json::to_vec(&view) {
                    Ok(view) => answer(StatusCode::OK, "application/json", view),
                    Err(error) => refused(&error),
                };
            }
            // The sender lives as long as this server.
            let _ = changes.changed().await;
        }
    }

    fn reports(&self, from: FromPage<Reports>) -> Answer {
        self.shared.change(|meeting| {
            if from.visit == meeting.visit {
                from.body.reports.into_iter().for_each(|report| meeting.report(report));
            }
        });
        answer(StatusCode::NO_CONTENT, "text/plain", "")
    }

    async fn session(&self, from: FromPage<Offer>) -> Answer {
        if from.visit != self.shared.lock().visit {
            return refused(&"another page is in the meeting");
        }
        match media::open(&from.body.sdp, self.shared.clone()).await {
            Ok((sdp, running)) => {
                self.tasks.spawn(running.run(self.stop.clone()));
                answer(StatusCode::OK, "application/sdp", sdp)
            }
            Err(error) => refused(&error),
        }
    }
}

/// A page with a strict content security policy: scripts only by nonce, no HTML from strings.
fn page(html: &str, visit: u32) -> Answer {
    let mut random = [0; 16];
    // Without randomness the nonce is predictable, which is harmless in tests.
    let _ = getrandom::fill(&mut random);
    let nonce = random.iter().fold(String::new(), |mut nonce, byte| {
        let _ = write!(nonce, "{byte:02x}");
        nonce
    });
    let html = html.replace("{nonce}", &nonce).replace("{visit}", &visit.to_string());
    let mut answer = answer(StatusCode::OK, "text/html; charset=utf-8", html);
    let policy = format!(
        "default-src 'self'; script-src 'nonce-{nonce}' 'strict-dynamic'; worker-src 'self'; style-src 'self'; \
         connect-src 'self'; frame-src 'self'; media-src 'self' blob:; object-src 'none'; base-uri 'none'; \
         require-trusted-types-for 'script'; trusted-types imitation"
    );
    let cookie = header::HeaderValue::from_static("session=imitation-cookie; Secure; HttpOnly");
    answer.headers_mut().insert(header::SET_COOKIE, cookie);
    if let Ok(policy) = policy.parse() {
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meeting_has_a_code_of_three_groups() {
        assert!(is_code("abc-defg-hij"));
        for other in ["", "landing", "abc-defg", "ABC-defg-hij", "abcd-efg-hij", "abc-defg-hi1"] {
            assert!(!is_code(other), "{other}");
        }
    }
}
