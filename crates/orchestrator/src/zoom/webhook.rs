//! What Zoom's webhooks say, and whether Zoom says it. Pure.

use meetbot_types::{bot::Secret, signature};
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use url::{Host, Url};

/// How far the time of a signature may be from the server's clock (Zoom's documents ask for five minutes).
const FRESH_MS: i64 = 5 * 60 * 1000;
/// More server URLs of one stream are not taken.
const MOST_URLS: usize = 8;
/// The longest id or URL that is taken, in bytes.
const LONGEST: usize = 1024;

/// Why a request is not taken for Zoom's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Untrusted {
    /// The time that was signed is more than five minutes from now, or no number.
    Stale,
    /// No configured secret made the signature.
    WrongSignature,
}

/// Whether the body was signed with one of these secrets: `v0=` and the hex HMAC-SHA256 of `v0:{timestamp}:{body}`. The timestamp is in seconds.
pub(crate) fn verify(
    timestamp: &str,
    signed: &str,
    body: &[u8],
    secrets: &[Secret],
    now_ms: i64,
) -> Result<(), Untrusted> {
    let at: i64 = timestamp.parse().map_err(|_| Untrusted::Stale)?;
    let away = at.checked_mul(1000).and_then(|at| now_ms.checked_sub(at)).map(i64::unsigned_abs);
    if away.is_none_or(|away| away > FRESH_MS.unsigned_abs()) {
        return Err(Untrusted::Stale);
    }
    let message = [b"v0:", timestamp.as_bytes(), b":", body].concat();
    let is_of = |secret: &Secret| {
        let own = signature::hmac_sha256(secret.expose().as_bytes(), &message);
        bool::from(format!("v0={own}").as_bytes().ct_eq(signed.as_bytes()))
    };
    // All are tried, so that the time does not tell which one it was.
    let matches = secrets.iter().filter(|secret| is_of(secret)).count();
    if matches > 0 { Ok(()) } else { Err(Untrusted::WrongSignature) }
}

/// What a webhook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Webhook {
    /// Zoom wants to see the HMAC of this token.
    Validation(String),
    /// Something happened to a stream.
    Stream(StreamEvent),
    /// An event of no interest.
    Other,
}

/// Something that happened to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEvent {
    /// The stream's id.
    pub stream_id: String,
    /// The meeting's UUID.
    pub meeting_uuid: String,
    /// The meeting's number, where the payload has it.
    pub meeting: Option<String>,
    /// The account, where the payload has it.
    pub account_id: Option<String>,
    /// When Zoom says that it happened, in milliseconds.
    pub at_ms: i64,
    /// What.
    pub kind: StreamEventKind,
}

/// What happened to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEventKind {
    /// It can be joined at these servers; of a known stream: at these from now on.
    Started(Vec<String>),
    /// Its connections are down.
    Interrupted,
    /// It is over, for this reason of Zoom's.
    Stopped(Option<u32>),
}

/// Reads a webhook. The error says what is wrong with it.
pub(crate) fn read(body: &[u8], hosts: &[String]) -> Result<Webhook, String> {
    let json: Value = serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
    let event = json.get("event").and_then(Value::as_str).ok_or("it has no event")?;
    let payload = json.get("payload").unwrap_or(&Value::Null);
    if event == "endpoint.url_validation" {
        let token = payload.get("plainToken").and_then(Value::as_str);
        let token = token.filter(|token| !token.is_empty() && token.len() <= LONGEST);
        return Ok(Webhook::Validation(token.ok_or("it has no plainToken")?.to_owned()));
    }
    // Samples have the fields in the payload itself, and documents in its `object`.
    let object = payload.get("object");
    let field = |name: &str| {
        object.and_then(|object| object.get(name)).or_else(|| payload.get(name)).cloned()
    };
    let text = |name: &str| match field(name)? {
        Value::String(text) if !text.is_empty() && text.len() <= LONGEST => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let kind = match event {
        "meeting.rtms_started" => {
            StreamEventKind::Started(server_urls(field("server_urls"), hosts)?)
        }
        "meeting.rtms_interrupted" => StreamEventKind::Interrupted,
        "meeting.rtms_stopped" => {
            let reason = field("stop_reason").or_else(|| field("reason"));
            let reason = reason.as_ref().and_then(Value::as_u64);
            StreamEventKind::Stopped(reason.and_then(|reason| reason.try_into().ok()))
        }
        _ => return Ok(Webhook::Other),
    };
    let digits = |text: &String| {
        (9..=11).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit())
    };
    Ok(Webhook::Stream(StreamEvent {
        stream_id: text("rtms_stream_id").ok_or("it has no rtms_stream_id")?,
        meeting_uuid: text("meeting_uuid").ok_or("it has no meeting_uuid")?,
        meeting: text("meeting_id").map(|id| id.replace([' ', '-'], "")).filter(digits),
        account_id: text("account_id"),
        at_ms: json.get("event_ts").and_then(Value::as_i64).ok_or("it has no event_ts")?,
        kind,
    }))
}

/// The server URLs of a stream: a list, or one text with commas. All must be Zoom's, since bots show the app's signature there.
fn server_urls(value: Option<Value>, hosts: &[String]) -> Result<Vec<String>, String> {
    let urls: Vec<String> = match value {
        Some(Value::String(text)) => text.split(',').map(|url| url.trim().to_owned()).collect(),
        Some(Value::Array(urls)) => {
            let texts: Option<_> = urls.iter().map(|url| url.as_str().map(str::to_owned)).collect();
            texts.ok_or("server_urls holds something other than texts")?
        }
        _ => return Err("it has no server_urls".to_owned()),
    };
    if urls.is_empty() || urls.len() > MOST_URLS {
        return Err(format!("it has {} server_urls; 1 to {MOST_URLS} are taken", urls.len()));
    }
    match urls.iter().find(|url| !is_allowed(url, hosts)) {
        None => Ok(urls),
        Some(_) => Err(format!(
            "a server URL is no wss:// URL of a host in zoom.hosts ({})",
            hosts.join(", ")
        )),
    }
}

fn is_allowed(url: &str, hosts: &[String]) -> bool {
    let Ok(parsed) = Url::parse(url) else { return false };
    let Some(Host::Domain(host)) = parsed.host() else { return false };
    let under = |domain: &String| {
        host.strip_suffix(domain.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    url.len() <= LONGEST
        && parsed.scheme() == "wss"
        && parsed.username().is_empty()
        && parsed.password().is_none()
        && hosts.iter().any(under)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn hosts() -> Vec<String> {
        vec!["zoom.us".to_owned(), "zoomgov.com".to_owned()]
    }

    #[test]
    fn only_a_recent_signature_with_a_configured_secret_is_accepted() {
        let secrets = [Secret::new("old"), Secret::new("new")];
        let body = br#"{"event":"x"}"#;
        let sign = |secret: &str, at: &str| {
            let message = [b"v0:", at.as_bytes(), b":", body.as_slice()].concat();
            format!("v0={}", signature::hmac_sha256(secret.as_bytes(), &message))
        };
        let at = "1800000000";
        let check = |at: &str, signed: &str| verify(at, signed, body, &secrets, NOW);
        assert_eq!(check(at, &sign("old", at)), Ok(()));
        assert_eq!(check(at, &sign("new", at)), Ok(()));
        assert_eq!(check("1799999700", &sign("new", "1799999700")), Ok(()));
        for stale in ["1799999699", "1800000301", "", "soon", "9223372036854775807", "-1"] {
            assert_eq!(check(stale, &sign("new", stale)), Err(Untrusted::Stale), "{stale}");
        }
        let wrong = [
            sign("other", at),
            sign("new", "1799999999"),
            sign("new", at).to_uppercase(),
            String::new(),
            sign("new", at)[3..].to_owned(),
        ];
        for signed in wrong {
            assert_eq!(check(at, &signed), Err(Untrusted::WrongSignature), "{signed}");
        }
        assert_eq!(
            verify(at, &sign("new", at), b"{}", &secrets, NOW),
            Err(Untrusted::WrongSignature)
        );
        assert_eq!(verify(at, &sign("", at), body, &[], NOW), Err(Untrusted::WrongSignature));
    }

    #[test]
    fn both_shapes_of_a_payload_are_read() {
        let fields = json!({"meeting_uuid": "u/+=", "rtms_stream_id": "s1", "meeting_id": 91_234_567_890_u64, "server_urls": "wss://a.zoom.us:443/x"});
        let flat = json!({"event": "meeting.rtms_started", "event_ts": 5, "payload": fields});
        let nested = json!({"event": "meeting.rtms_started", "event_ts": 5, "payload": {"account_id": "acc", "object": fields}});
        for (body, account_id) in [(flat, None), (nested, Some("acc".to_owned()))] {
            let expected = StreamEvent {
                stream_id: "s1".into(),
                meeting_uuid: "u/+=".into(),
                meeting: Some("91234567890".into()),
                account_id,
                at_ms: 5,
                kind: StreamEventKind::Started(vec!["wss://a.zoom.us:443/x".into()]),
            };
            let read = read(body.to_string().as_bytes(), &hosts());
            assert_eq!(read, Ok(Webhook::Stream(expected)));
        }
        let stopped = json!({"event": "meeting.rtms_stopped", "event_ts": 6, "payload": {"meeting_uuid": "u", "rtms_stream_id": "s1", "stop_reason": 8}});
        let Ok(Webhook::Stream(read)) = read(stopped.to_string().as_bytes(), &hosts()) else {
            panic!("it is not read")
        };
        assert_eq!((read.kind, read.meeting), (StreamEventKind::Stopped(Some(8)), None));
    }

    #[test]
    fn servers_of_other_hosts_are_refused() {
        let started = |url: Value| {
            let payload = json!({"meeting_uuid": "u", "rtms_stream_id": "s", "server_urls": url});
            let body = json!({"event": "meeting.rtms_started", "event_ts": 1, "payload": payload});
            read(body.to_string().as_bytes(), &hosts())
        };
        for good in
            [json!("wss://zoom.us/"), json!(["wss://A.ZOOM.us:8443/x", "wss://b.zoomgov.com"])]
        {
            assert!(started(good.clone()).is_ok(), "{good}");
        }
        for bad in [
            json!("ws://a.zoom.us/"),
            json!("https://a.zoom.us/"),
            json!("wss://127.0.0.1/"),
            json!("wss://[::1]/"),
            json!("wss://localhost/"),
            json!("wss://evilzoom.us/"),
            json!("wss://zoom.us.evil.example/"),
            json!("wss://zoom.us@evil.example/"),
            json!("wss://u:p@a.zoom.us/"),
            json!("wss://a.zoom.us/,wss://evil.example/"),
            json!(["wss://a.zoom.us/", 5]),
            json!([]),
            json!(""),
            json!(null),
            json!(vec!["wss://a.zoom.us/"; 9]),
        ] {
            assert!(started(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_body_that_is_no_event_is_refused_and_other_events_are_ignored() {
        let deep = "[".repeat(50_000);
        for bad in [
            "",
            "[]",
            "{",
            "null",
            "{\"event\":5}",
            "\u{feff}{}",
            deep.as_str(),
            "{\"event\":\"meeting.rtms_stopped\"}",
        ] {
            assert!(read(bad.as_bytes(), &hosts()).is_err(), "{bad:.20}");
        }
        assert_eq!(read(br#"{"event":"meeting.started"}"#, &hosts()), Ok(Webhook::Other));
        let validation =
            json!({"event": "endpoint.url_validation", "payload": {"plainToken": "abc"}});
        assert_eq!(
            read(validation.to_string().as_bytes(), &hosts()),
            Ok(Webhook::Validation("abc".into()))
        );
    }
}
