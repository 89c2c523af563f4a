//! Zoom's apps: whether their settings and secrets can be used, and whether the server answers Zoom's validation of their endpoint.

use std::{net::SocketAddr, time::Duration};

use meetbot::{Error, Request, Response, Timestamp};
use meetbot_orchestrator::zoom::{Zoom, ZoomSettings};
use meetbot_types::signature::{hmac_sha256, sha256};
use serde_json::{Value, json};

use super::{
    Finding,
    server::{said, url_of},
};
use crate::{connection::Connection, output::counted};

const ZOOM: &str = "zoom";
/// Zoom waits as long for an answer.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// The apps, where there are some.
pub(super) fn look(settings: &ZoomSettings) -> Option<Finding> {
    if settings.apps.is_empty() {
        return None;
    }
    Some(match Zoom::read(settings) {
        Ok(zoom) => {
            let apps = counted(zoom.apps.len() as u64, "app");
            Finding::ok(ZOOM, format!("{apps}; the secrets can be read"))
        }
        Err((setting, problem)) => Finding::fail(
            ZOOM,
            format!("{setting}: {problem}"),
            "a server does not start like this; docs/platforms/zoom.md says what the setting has to be",
        ),
    })
}

/// Asks the server at --base-url, or the one of the settings, what Zoom asks when an endpoint is entered: once with each webhook secret token.
pub(super) async fn validate(
    connection: &Connection,
    listen: SocketAddr,
    settings: &ZoomSettings,
    now: Timestamp,
) -> Vec<Finding> {
    let Ok(zoom) = Zoom::read(settings) else { return Vec::new() };
    // A profile that cannot be read is the builder's error.
    let url = connection.base_url().ok().flatten().unwrap_or_else(|| url_of(listen));
    let client = connection.builder().map_err(|error| format!("{error:#}")).and_then(|builder| {
        let builder = builder.base_url(&url).timeout(TIME_LIMIT).max_retries(0);
        // The endpoint takes no key.
        builder.api_key("mb_none").build().map_err(|error| error.to_string())
    });
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            let remedy = "give --base-url the URL under which Zoom reaches the server";
            return vec![Finding::fail(ZOOM, error, remedy)];
        }
    };
    let mut findings = Vec::new();
    for app in &zoom.apps {
        for secret in &app.webhook_secrets {
            let plain = sha256(format!("{} {}", app.name, now.as_millis()).as_bytes());
            let seconds = now.as_millis() / 1_000;
            let body = json!({
                "event": "endpoint.url_validation", "event_ts": now.as_millis(),
                "payload": {"plainToken": plain},
            });
            let (key, body) = (secret.expose().as_bytes(), body.to_string());
            let signed = hmac_sha256(key, format!("v0:{seconds}:{body}").as_bytes());
            let request = Request::new("POST", "/api/v1/hooks/zoom").and_then(|request| {
                let request = request.header("x-zm-request-timestamp", &seconds.to_string())?;
                Ok(request.header("x-zm-signature", &format!("v0={signed}"))?.json(body))
            });
            let answer = match request {
                Ok(request) => client.request(request).await,
                Err(error) => Err(error),
            };
            findings.push(judge(
                &app.name,
                client.base_url(),
                answer,
                &hmac_sha256(key, plain.as_bytes()),
            ));
        }
    }
    findings
}

fn judge(app: &str, url: &str, answer: Result<Response, Error>, expected: &str) -> Finding {
    let error = match answer {
        Ok(answer) => {
            let answer: Option<Value> = serde_json::from_slice(answer.body()).ok();
            if answer.is_some_and(|answer| answer["encryptedToken"] == expected) {
                return Finding::ok(ZOOM, format!("{app}: {url} answers Zoom's validation"));
            }
            let found = format!("{app}: {url} answers, but not as Zoom's validation asks");
            return Finding::fail(ZOOM, found, "give --base-url the URL of a meetbot server");
        }
        Err(error) => error,
    };
    let status = error.status();
    let found = format!("{app}: {}", said(error));
    let remedy = match status {
        Some(401) if found.contains("five minutes") => {
            "set the clocks of the server and of this machine: let chrony or systemd-timesyncd do it"
        }
        Some(401) => {
            "start the server again with these settings: it knows another webhook secret token"
        }
        Some(404) => "start the server again with these settings: it knows no Zoom app",
        Some(_) => "its log says why",
        None => "start the server, or give --base-url the URL under which Zoom reaches it",
    };
    Finding::fail(ZOOM, found, remedy)
}

#[cfg(test)]
mod tests {
    use meetbot_orchestrator::zoom::AppSettings;

    use super::{super::State, *};

    #[test]
    fn an_unreadable_secret_fails_and_no_secret_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        let app = AppSettings {
            client_id: "id".to_owned(),
            client_secret_file: secret.clone(),
            webhook_secret_files: vec![secret.clone()],
            account_id: None,
            consumer: "acme".to_owned(),
            record_video: true,
            auto_dispatch: None,
        };
        let hosts = vec!["zoom.us".to_owned()];
        let settings = ZoomSettings { hosts, apps: [("desk".to_owned(), app)].into() };
        let missing = look(&settings).unwrap();
        assert_eq!(missing.state, State::Fail);
        assert!(missing.found.starts_with("zoom.apps.desk.client_secret_file: "), "{missing:?}");
        std::fs::write(&secret, "s3cret").unwrap();
        let found = look(&settings).unwrap();
        assert_eq!((found.state, found.found.contains("s3cret")), (State::Ok, false), "{found:?}");
        assert_eq!(look(&ZoomSettings::default()), None);
    }
}
