//! The server: whether it answers, which version it is, whether it is ready, and whether it knows the key.

use std::{net::SocketAddr, time::Duration};

use meetbot::{Error, ErrorKind, MeetBot, Request, Response, Timestamp};
use serde_json::Value;

use super::Finding;
use crate::{
    certificates,
    connection::{Connection, NO_KEY},
};

const SERVER: &str = "server";
const READY: &str = "ready";
const KEY: &str = "key";
/// The message of a server that is stopping.
const STOPPING: &str = "takes no more jobs";
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// A difference between clocks, in seconds, beyond which comparing their times is misleading.
const APART: i64 = 5;

/// Looks at the server that was named, or at the one of the settings.
pub(super) async fn look(
    connection: &Connection,
    listen: SocketAddr,
    in_use: bool,
    now: Timestamp,
) -> Vec<Finding> {
    let problem = |error: anyhow::Error| {
        vec![Finding::fail(KEY, format!("{error:#}"), "log in again, or name another profile")]
    };
    let named = match connection.base_url() {
        Ok(named) => named,
        Err(error) => return problem(error),
    };
    let url = named.clone().unwrap_or_else(|| url_of(listen));
    let unusable = |error: String| {
        let remedy = "give --base-url the server's URL, and mend the setting that is named";
        vec![Finding::fail(SERVER, error, remedy)]
    };
    let builder = match connection.builder() {
        Ok(builder) => builder.base_url(&url).timeout(TIME_LIMIT).max_retries(0),
        Err(error) => return unusable(format!("{error:#}")),
    };
    // The SDK's client, so that doctor uses the same connection as every other command, proxies included.
    let client = |key: &str| builder.clone().api_key(key).build();
    let asked = match client(NO_KEY) {
        Ok(client) => client,
        Err(error) => return unusable(error.to_string()),
    };
    let url = asked.base_url().to_owned();
    let answer = match get(&asked, "/healthz").await {
        Ok(answer) => Some(answer),
        // An answer, but none of a server that is well.
        Err(error) if error.status().is_some() => None,
        Err(_) if named.is_none() && !in_use => {
            return vec![Finding::ok(SERVER, "none runs here; `meetbot serve` starts one")];
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            let remedy = certificates::advice(&error)
                .unwrap_or("start it, or give --base-url where it is reached");
            return vec![Finding::fail(SERVER, format!("{error:#}"), remedy)];
        }
    };
    let version = answer.as_ref().and_then(|answer| {
        let health: Value = serde_json::from_slice(answer.body()).ok()?;
        health["version"].as_str().map(str::to_owned)
    });
    let mut findings = vec![judge_version(&url, version.as_deref())];
    if version.is_none() {
        return findings;
    }
    let apart = answer.and_then(|answer| clock_apart(answer.header("date")?, now));
    if let Some(apart) = apart.filter(|apart| apart.abs() > APART) {
        findings.push(Finding::warn(
            "clocks",
            format!("the server's clock is {apart} s away from this machine's"),
            "let chrony or systemd-timesyncd set both",
        ));
    }
    findings.push(match get(&asked, "/readyz").await {
        Ok(answer) => judge_ready(answer.body()),
        Err(error) => {
            let error = said(error);
            let remedy = if error.contains(STOPPING) {
                "nothing: it is stopping, and ends by itself"
            } else {
                "its log says why; look at disk space first"
            };
            Finding::fail(READY, error, remedy)
        }
    });
    let key = match connection.key_for(&url) {
        Ok(key) => key,
        Err(error) => {
            findings.extend(problem(error));
            None
        }
    };
    if let Some(key) = key {
        let known = match client(&key) {
            Ok(client) => get(&client, "/api/v1/jobs?limit=1").await,
            Err(error) => Err(error),
        };
        findings.push(match known {
            Ok(_) => Finding::ok(KEY, "the server knows it"),
            Err(error)
                if matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Configuration) =>
            {
                Finding::fail(
                    KEY,
                    said(error),
                    "log in, or set MEETBOT_API_KEY to a key of this server: `meetbot keys create` makes one",
                )
            }
            Err(error) => Finding::warn(KEY, said(error), "ask again; the server's log says more"),
        });
    }
    findings
}

/// A server that is ready may have recordings that wait for their bucket.
fn judge_ready(answer: &[u8]) -> Finding {
    let ready: Value = serde_json::from_slice(answer).unwrap_or_default();
    let Some(problem) = ready["storage"]["problem"].as_str() else {
        return Finding::ok(READY, "its store can be written, and it takes jobs");
    };
    let waiting = ready["storage"]["waiting"].as_u64().unwrap_or(0);
    let found = format!("it takes jobs, but {problem}; {waiting} wait on its disk");
    Finding::warn(
        READY,
        found,
        "mend the bucket before the disk is full; uploads go on by themselves",
    )
}

/// Whether a meetbot server answered that was asked at the address of the settings.
pub(super) fn is_at(found: &[Finding], named: Option<&str>, listen: SocketAddr) -> bool {
    let here = url_of(listen);
    let at_it = named.is_none_or(|named| {
        named.trim_end_matches('/').replace("//localhost:", "//127.0.0.1:") == here
    });
    at_it && found.iter().any(|finding| finding.check == READY)
}

async fn get(client: &MeetBot, path: &str) -> Result<Response, Error> {
    client.request(Request::new("GET", path)?).await
}

/// An error with all of its sources.
pub(super) fn said(error: Error) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

pub(super) fn url_of(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() {
        format!("http://127.0.0.1:{}", listen.port())
    } else {
        format!("http://{listen}")
    }
}

/// How many seconds the server's clock is ahead, by the `Date` of an answer.
fn clock_apart(date: &str, now: Timestamp) -> Option<i64> {
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

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn another_servers_version_warns_and_another_program_fails() {
        let state = |version| judge_version("http://x", version).state;
        assert_eq!(state(Some(env!("CARGO_PKG_VERSION"))), State::Ok);
        assert_eq!(state(Some("9.9.9")), State::Warn);
        assert_eq!(state(None), State::Fail);
    }

    #[test]
    fn a_server_that_listens_on_all_addresses_is_asked_on_loopback() {
        assert_eq!(url_of(([0, 0, 0, 0], 3010).into()), "http://127.0.0.1:3010");
        assert_eq!(url_of(([10, 0, 0, 5], 80).into()), "http://10.0.0.5:80");
    }
}
