//! The server: whether it answers, which version it is, whether it is ready, and whether it knows the key.

use std::{net::SocketAddr, time::Duration};

use meetbot_orchestrator::tls;
use meetbot_types::Timestamp;
use reqwest::{Client, Response, StatusCode, header};
use serde_json::Value;

use super::Finding;

const SERVER: &str = "server";
const READY: &str = "ready";
const KEY: &str = "key";
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Clocks further apart than this, in seconds, confuse those who compare their times.
const APART: i64 = 5;

/// Looks at the server that was named, or at the one of the settings.
pub(super) async fn look(
    named: Option<&str>,
    listen: SocketAddr,
    in_use: bool,
    now: Timestamp,
) -> Vec<Finding> {
    let url = named.map_or_else(|| url_of(listen), |url| url.trim_end_matches('/').to_owned());
    let client = Client::builder().tls_backend_preconfigured(tls::config()).timeout(TIME_LIMIT);
    let client = match client.build() {
        Ok(client) => client,
        Err(error) => {
            return vec![Finding::fail(SERVER, error.to_string(), "this is a bug: report it")];
        }
    };
    let answer = match client.get(format!("{url}/healthz")).send().await {
        Ok(answer) => answer,
        Err(_) if named.is_none() && !in_use => {
            return vec![Finding::ok(SERVER, "none runs here; `meetbot serve` starts one")];
        }
        Err(error) => {
            let found = format!("{url} does not answer: {}", error.without_url());
            let remedy = "start it, or give --base-url where it is reached";
            return vec![Finding::fail(SERVER, found, remedy)];
        }
    };
    let apart = clock_apart(&answer, now);
    let version = match answer.json::<Value>().await {
        Ok(health) => health["version"].as_str().map(str::to_owned),
        Err(_) => None,
    };
    let mut findings = vec![judge_version(&url, version.as_deref())];
    if version.is_none() {
        return findings;
    }
    if let Some(apart) = apart.filter(|apart| apart.abs() > APART) {
        findings.push(Finding::warn(
            "clocks",
            format!("the server's clock is {apart} s away from this machine's"),
            "let chrony or systemd-timesyncd set both",
        ));
    }
    findings.push(match client.get(format!("{url}/readyz")).send().await {
        Ok(answer) if answer.status().is_success() => {
            Finding::ok(READY, "its store can be written, and it takes jobs")
        }
        Ok(answer) => {
            let remedy = "its log says why; look at disk space first";
            Finding::fail(READY, said(answer).await, remedy)
        }
        Err(error) => {
            let remedy = "its log says why";
            Finding::fail(READY, error.without_url().to_string(), remedy)
        }
    });
    if let Some(key) = std::env::var("MEETBOT_API_KEY").ok().filter(|key| !key.is_empty()) {
        let asked = client.get(format!("{url}/api/v1/jobs?limit=1")).bearer_auth(key).send().await;
        findings.push(match asked {
            Ok(answer) if answer.status().is_success() => Finding::ok(KEY, "the server knows it"),
            Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => Finding::fail(
                KEY,
                said(answer).await,
                "set MEETBOT_API_KEY to a key of this server: `meetbot keys create` makes one",
            ),
            Ok(answer) => {
                Finding::warn(KEY, said(answer).await, "ask again; the server's log says more")
            }
            Err(error) => Finding::warn(KEY, error.without_url().to_string(), "ask again"),
        });
    }
    findings
}

fn url_of(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() {
        format!("http://127.0.0.1:{}", listen.port())
    } else {
        format!("http://{listen}")
    }
}

/// How many seconds the server's clock is ahead.
fn clock_apart(answer: &Response, now: Timestamp) -> Option<i64> {
    let date = answer.headers().get(header::DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(Timestamp::from(date).millis_since(now) / 1000)
}

fn judge_version(url: &str, version: Option<&str>) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    match version {
        Some(version) if version == own => Finding::ok(SERVER, format!("{url}, version {version}")),
        Some(version) => Finding::warn(
            SERVER,
            format!("{url} has version {version}, and this program {own}"),
            "use the same version on both sides",
        ),
        None => Finding::fail(
            SERVER,
            format!("{url} answers, but not as a meetbot server does"),
            "give --base-url the server's URL, without a path",
        ),
    }
}

/// The status and the message of a refusal.
async fn said(answer: Response) -> String {
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or_default();
    match body["message"].as_str() {
        Some(message) => format!("{}: {message}", status.as_u16()),
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn a_server_of_another_version_warns_and_another_program_fails() {
        let state = |version| judge_version("http://x", version).state;
        assert_eq!(state(Some(env!("CARGO_PKG_VERSION"))), State::Ok);
        assert_eq!(state(Some("9.9.9")), State::Warn);
        assert_eq!(state(None), State::Fail);
    }

    #[test]
    fn a_server_that_listens_everywhere_is_asked_on_loopback() {
        assert_eq!(url_of(([0, 0, 0, 0], 3010).into()), "http://127.0.0.1:3010");
        assert_eq!(url_of(([10, 0, 0, 5], 80).into()), "http://10.0.0.5:80");
    }
}
