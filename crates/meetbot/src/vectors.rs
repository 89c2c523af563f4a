//! Runs `spec/vectors` against the SDK. A file or a kind that is not known here fails.

use std::{fs, time::Duration};

use http::{
    HeaderMap,
    header::{CONTENT_LENGTH, CONTENT_RANGE},
};
use meetbot_types::{EventName, JobEvent, JobStatus, Timestamp, signature};
use serde_json::{Value, json};
use url::Url;
use xtask::spec_file;

use crate::{
    Error, ErrorKind, ListBots, ListDeliveries, MeetBot, NewJob, Request, Verdict, answers,
    client::following,
    download::mix_pause,
    endpoint,
    events::{Parser, ReconnectPolicy},
    models,
    no_proxy::is_loopback,
    pieces::{Piece, Progress},
    retry::{self, Outcome},
    verify_webhook_signature,
    wait::{Rules, changes_job},
    webhook::{self, SecretError, UnwrapError, WebhookEvent},
};

#[test]
fn every_vector_holds() {
    let mut files: Vec<_> = fs::read_dir(spec_file::path("spec/vectors"))
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    files.sort();
    for file in files {
        let file = file.into_string().unwrap();
        let vectors = spec_file::read_json(&format!("spec/vectors/{file}"));
        let kind = vectors["kind"].as_str().unwrap_or_default();
        assert_eq!(format!("{kind}.json"), file, "a file is named after its kind");
        match kind {
            "webhook_signatures" => signatures(&vectors),
            "errors" => cases(&vectors).for_each(error),
            "retries" => cases(&vectors).for_each(retried),
            "downloads" => {
                cases(&vectors).for_each(download);
                vectors["pieces"].as_array().unwrap().iter().for_each(piece);
            }
            "requests" => {
                cases(&vectors).for_each(request);
                vectors["servers"].as_array().unwrap().iter().for_each(server);
            }
            "streams" => {
                cases(&vectors).for_each(stream);
                vectors["connections"].as_array().unwrap().iter().for_each(connections);
            }
            "waits" => {
                cases(&vectors).for_each(waited);
                vectors["events"].as_array().unwrap().iter().for_each(check_event);
            }
            "redirects" => {
                cases(&vectors).for_each(|case| redirected(text(&vectors["baseUrl"]), case));
            }
            "models" => cases(&vectors).for_each(model),
            "answers" => answers::hold(&vectors),
            "recorded_answers" => answers::recorded(&vectors),
            "pages" => cases(&vectors).for_each(page),
            "job_transitions" => transitions(&vectors),
            // `tests/it/` has a server for the first two. The others are the server's and the bot's: an SDK neither parses links nor leaves meetings.
            "lies" | "recordings" | "meeting_links" | "auto_leave" => {}
            _ => panic!("{file}: no SDK knows the kind {kind:?}"),
        }
    }
}

fn cases(vectors: &Value) -> impl Iterator<Item = &Value> {
    vectors["cases"].as_array().expect("a list of cases").iter()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text"))
}

fn signatures(vectors: &Value) {
    // Where the secret cannot be one, `valid` is missing and `error` is true; `names` is what its error says then.
    let judged = |case: &Value, found: Result<bool, SecretError>| match found {
        Ok(valid) => assert_eq!(json!(valid), case["valid"], "{}", case["name"]),
        Err(error) => {
            assert_eq!(case["error"], true, "{}: {error}", case["name"]);
            let names = case["names"].as_str().unwrap_or_default();
            assert!(error.to_string().contains(names), "{}: {error}", case["name"]);
        }
    };
    for case in cases(vectors) {
        let (body, secret) = (text(&case["body"]).as_bytes(), text(&case["secret"]));
        judged(case, verify_webhook_signature(body, case["header"].as_str(), secret));
    }
    for case in vectors["standard"].as_array().unwrap() {
        let [id, timestamp, body, header, secret] =
            ["id", "timestamp", "body", "header", "secret"].map(|name| text(&case[name]));
        judged(case, signature::verify_standard(id, timestamp, body.as_bytes(), header, secret));
    }
    vectors["unwrap"].as_array().unwrap().iter().for_each(unwrapped);
}

fn unwrapped(case: &Value) {
    let headers = case["headers"].as_object().unwrap().iter();
    let headers = headers.map(|(name, value)| (name, text(value)));
    let secrets: Vec<&str> = case["secrets"].as_array().unwrap().iter().map(text).collect();
    let tolerance = case["toleranceSeconds"].as_u64().map(Duration::from_secs);
    let now = Timestamp::from_millis(case["now"].as_i64().unwrap() * 1000);
    let outcome =
        match webhook::judge(text(&case["body"]).as_bytes(), headers, &secrets, tolerance, now) {
            Ok(()) => "taken",
            Err(UnwrapError::Secret(_)) => "error",
            Err(_) => "refused",
        };
    assert_eq!(outcome, case["outcome"], "{}", case["name"]);
    assert!(models::plain::<WebhookEvent>(text(&case["body"]).as_bytes()).is_ok());
}

/// A stream gives the same events for any division into pieces.
fn stream(case: &Value) {
    let stream = text(&case["stream"]).as_bytes();
    for size in [1, 2, 3, stream.len().max(1)] {
        let mut parser = Parser::default();
        let pieces = stream.chunks(size);
        let events: Vec<String> = pieces.flat_map(|piece| parser.feed(piece).unwrap()).collect();
        assert_eq!(json!(events), case["events"], "{} in pieces of {size}", case["name"]);
        assert_eq!(parser.last_id, case["lastId"], "{} in pieces of {size}", case["name"]);
    }
}

fn connections(case: &Value) {
    let retries = u32::try_from(case["maxRetries"].as_u64().unwrap()).unwrap();
    let (mut least, mut most) = (ReconnectPolicy::new(retries), ReconnectPolicy::new(retries));
    for (number, end) in case["ends"].as_array().unwrap().iter().enumerate() {
        for reconnects in [&mut least, &mut most] {
            match text(&end["gave"]) {
                "nothing" => {}
                "sign_of_life" => reconnects.alive(),
                "event" => reconnects.event(),
                gave => panic!("{gave}"),
            }
        }
        let outcome = end["status"]
            .as_u64()
            .map_or(Outcome::Broken, |status| Outcome::Answer(u16::try_from(status).unwrap()));
        let asked = end["retryAfterMs"].as_u64().map(Duration::from_millis);
        let ms = |pause: Duration| u64::try_from(pause.as_millis()).unwrap();
        let pause = least.again(outcome, asked, 0.0).zip(most.again(outcome, asked, 1.0));
        let found = pause.map(|(least, most)| json!({"minMs": ms(least), "maxMs": ms(most)}));
        assert_eq!(json!(found), end["pause"], "{}, connection {number}", case["name"]);
    }
}

fn waited(case: &Value) {
    let timeout = case["timeoutMs"].as_u64().map(Duration::from_millis);
    let mut rules = Rules::new("job_1".to_owned(), timeout);
    for step in case["steps"].as_array().unwrap() {
        let now = Duration::from_millis(step["atMs"].as_u64().unwrap());
        let live = step["live"].as_bool().unwrap();
        let status = step["status"].as_str().map(JobStatus::from);
        let next = match (&status, step["transient"].as_bool()) {
            (Some(status), _) => rules.answered(Some(status), now, live),
            (None, transient) => rules.failed(transient.unwrap(), now, live),
        };
        let (outcome, pause) = match next {
            Ok(Some(pause)) => ("pause", Some(pause.as_millis())),
            Ok(None) if status.is_some() => ("ended", None),
            Ok(None) => ("error", None),
            Err(error) => (error.kind().as_str(), None),
        };
        let expected = (text(&step["outcome"]), step["pauseMs"].as_u64().map(u128::from));
        assert_eq!((outcome, pause), expected, "{} at {now:?}", case["name"]);
    }
}

fn check_event(case: &Value) {
    assert_eq!(changes_job(&EventName::from(text(&case["event"]))), case["tells"], "{case}");
}

fn download(case: &Value) {
    let ms = |name: &str| case[name].as_u64().map(Duration::from_millis);
    assert_eq!(mix_pause(ms("waitedMs").unwrap()), ms("pauseMs"), "{}", case["name"]);
}

fn piece(case: &Value) {
    let number = |name: &str| case[name].as_u64();
    let (received, sent) = (number("receivedBytes").unwrap(), number("sentBytes").unwrap());
    let progress =
        Progress { expected: number("manifestBytes"), said: number("saidBytes"), received };
    let mut headers = HeaderMap::new();
    if let Some(range) = case["contentRange"].as_str() {
        headers.insert(CONTENT_RANGE, range.parse().unwrap());
    }
    if let Some(length) = number("contentLength") {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    let status = u16::try_from(number("status").unwrap()).unwrap();
    let outcome = match Piece::read(&progress, status, &headers) {
        Ok(piece) => {
            let after = if piece.anew { sent } else { received + sent };
            match (piece.reaches(after), piece.completes(after)) {
                (true, true) => "whole",
                (true, false) => "part",
                (false, _) => "error",
            }
        }
        Err(_) => "error",
    };
    assert_eq!(outcome, case["outcome"], "{}", case["name"]);
}

fn server(case: &Value) {
    let url = Url::parse(text(&case["url"])).unwrap();
    assert_eq!(json!(is_loopback(url.host_str().unwrap())), case["loopback"], "{url}");
    let client = MeetBot::builder().api_key("mb_test_0123456789").base_url(text(&case["url"]));
    assert_eq!(json!(client.build().unwrap().is_in_the_clear()), case["inTheClear"], "{url}");
}

fn error(case: &Value) {
    let header = |name: &str| case["headers"][name].as_str();
    let retry_after =
        header("Retry-After").and_then(|header| retry::retry_after(header, Timestamp::UNIX_EPOCH));
    let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
    let request_id = header("X-Request-Id").map(ToOwned::to_owned);
    let error = Error::from_answer(status, request_id, retry_after, text(&case["body"]).to_owned());
    let expect = &case["expect"];
    let found = json!({
        "kind": error.kind().as_str(),
        "code": error.code(),
        "message": expect["message"].as_str().map(|_| error.message()),
        "issues": error.issues().len(),
        "requestId": error.request_id(),
        "retryAfterMs": error.retry_after().map(|wait| u64::try_from(wait.as_millis()).unwrap()),
    });
    assert_eq!(&found, expect, "{}", case["name"]);
    assert_eq!(error.body(), case["body"].as_str(), "{}", case["name"]);
    assert!(error.to_string().starts_with(&status.to_string()), "{error}");
}

fn retried(case: &Value) {
    let number = |name: &str| u32::try_from(case[name].as_u64().unwrap()).unwrap();
    let outcome = match case["status"].as_u64() {
        Some(status) => Outcome::Answer(u16::try_from(status).unwrap()),
        None => Outcome::Broken,
    };
    let now = text(&case["now"]).parse().unwrap();
    let retry_after =
        case["retryAfter"].as_str().and_then(|header| retry::retry_after(header, now));
    let wait = |jitter| {
        let wait =
            retry::decide(number("tried"), number("maxRetries"), outcome, retry_after, jitter)?;
        u64::try_from(wait.as_millis()).ok()
    };
    let found = wait(0.0).map(|min| json!({"minMs": min, "maxMs": wait(1.0)}));
    assert_eq!(json!(found), case["expect"], "{}", case["name"]);
}

/// A call of the caller's own, which is redirected.
fn redirected(base_url: &str, case: &Value) {
    let name = &case["name"];
    let mb = MeetBot::builder().api_key("mb_test_0123456789").base_url(base_url).build().unwrap();
    let request = Request::new(text(&case["method"]), text(&case["path"])).unwrap();
    let request = request.header("range", "bytes=0-9").unwrap().header("x-team", "a").unwrap();
    let mut exchange = mb.exchange(request).unwrap();
    let mut asked = Vec::new();
    let ended = loop {
        let sent: Vec<_> = exchange.headers().into_iter().map(|(name, _)| name).collect();
        for header in ["authorization", "x-team"] {
            assert_eq!(sent.iter().any(|sent| sent == header), asked.is_empty(), "{name}");
        }
        for header in ["accept", "range", "user-agent"] {
            assert!(sent.iter().any(|sent| sent == header), "{name}: {sent:?}");
        }
        let redirect = &case["redirects"][asked.len()];
        asked.push(exchange.url());
        let status = redirect["status"].as_u64().map_or(200, |status| status.try_into().unwrap());
        let headers = redirect["location"].as_str().map(|target| ("location", target));
        match exchange.answered(status, headers, "elsewhere".into()) {
            Ok(Verdict::Again(wait)) => assert_eq!(wait, Duration::ZERO, "{name}"),
            Ok(Verdict::Done(response)) => break Ok(response),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(json!(asked[1..]), case["asked"], "{name}");
    match (ended, &case["error"]) {
        (Ok(response), Value::Null) => assert_eq!(response.body(), "elsewhere", "{name}"),
        (Err(error), expect) if expect.is_object() => {
            assert_eq!(error.kind(), ErrorKind::UnexpectedStatus, "{name}: {error}");
            let found = (error.status().map(u64::from), error.attempts());
            assert_eq!(found, (expect["status"].as_u64(), 1), "{name}: {error}");
            let message = error.to_string();
            assert!(message.contains(text(&expect["message"])), "{name}: {message}");
            assert!(!format!("{error:?}").contains("Signature"), "{name}: {error:?}");
            let is_answer = !message.contains("more than 5 redirects");
            assert_eq!(error.body() == Some("elsewhere"), is_answer, "{name}: {error:?}");
        }
        (ended, expect) => panic!("{name}: {ended:?}, not {expect}"),
    }
}

fn request(case: &Value) {
    let arguments = &case["arguments"];
    let job_id = arguments["jobId"].as_str().unwrap_or_default();
    let owned = |name: &str| arguments[name].as_str().map(ToOwned::to_owned);
    let limit = arguments["limit"].as_u64().map(|limit| u32::try_from(limit).unwrap());
    let call = text(&case["call"]);
    let (method, path, body) = match call {
        "dispatch_bot" => {
            let new: NewJob = serde_json::from_value(arguments.clone()).unwrap();
            parts(endpoint::dispatch_bot(&new).unwrap())
        }
        "get_bot" => parts(endpoint::get_bot(job_id).unwrap()),
        "list_bots" => parts(endpoint::list_bots(&ListBots {
            status: arguments["status"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|word| text(word).into())
                .collect(),
            external_id: owned("externalId"),
            platform: arguments["platform"].as_str().map(Into::into),
            created_after: arguments["createdAfter"].as_str().map(|time| time.parse().unwrap()),
            created_before: arguments["createdBefore"].as_str().map(|time| time.parse().unwrap()),
            limit,
            cursor: owned("cursor"),
        })),
        "cancel_bot" => parts(endpoint::cancel_bot(job_id).unwrap()),
        "send_chat_message" => {
            parts(endpoint::send_chat_message(job_id, text(&arguments["message"])).unwrap())
        }
        "manifest" => parts(endpoint::manifest(job_id).unwrap()),
        "erase_consumer" => parts(endpoint::erase_consumer(text(&arguments["confirm"]))),
        "delete_recording" => parts(endpoint::delete_recording(job_id).unwrap()),
        "events" => parts(endpoint::events(job_id, None).unwrap()),
        "artifacts" => parts(endpoint::artifacts(job_id).unwrap()),
        "artifact" => (
            "GET".into(),
            endpoint::artifact_path(job_id, text(&arguments["name"])).unwrap(),
            Value::Null,
        ),
        "deliveries" => parts(endpoint::deliveries(&ListDeliveries {
            job_id: owned("jobId"),
            state: arguments["state"].as_str().map(Into::into),
            limit,
            cursor: owned("cursor"),
        })),
        "host" => parts(endpoint::host()),
        "usage" => parts(endpoint::usage()),
        "list_platforms" => parts(endpoint::list_platforms()),
        "get_delivery" => parts(endpoint::get_delivery(text(&arguments["deliveryId"])).unwrap()),
        "redeliver" => parts(endpoint::redeliver(text(&arguments["deliveryId"])).unwrap()),
        "leave_bot" => parts(endpoint::control(job_id, "leave-call").unwrap()),
        verb => parts(endpoint::control(job_id, &verb.replace('_', "-")).unwrap()),
    };
    assert_eq!(
        json!({"method": method, "path": path, "body": body}),
        json!({"method": case["method"], "path": case["path"], "body": case["body"]}),
        "{}",
        case["name"]
    );
}

fn parts<T>(endpoint: endpoint::Endpoint<T>) -> (String, String, Value) {
    let body = endpoint.body.map_or(Value::Null, |body| serde_json::from_slice(&body).unwrap());
    (endpoint.method.to_string(), endpoint.path, body)
}

fn model(case: &Value) {
    let body = case["json"].to_string().into_bytes();
    let read = answers::read(text(&case["model"]), &body);
    if case["error"] == true {
        assert!(read.is_err(), "{}", case["name"]);
        return;
    }
    // What is read writes itself as it came.
    let read = read.unwrap_or_else(|error| panic!("{}: {error}", case["name"]));
    assert_eq!(read, case["json"], "{}", case["name"]);
    if case["model"] == "job" {
        let job = models::job(&body).unwrap();
        assert_eq!(json!(job.status.is_final()), case["final"], "{}", case["name"]);
        assert_eq!(Value::Object(job.extra), case["extra"], "{}", case["name"]);
    }
}

fn page(case: &Value) {
    let read = models::jobs(case["json"].to_string().as_bytes())
        .map_err(|error| error.to_string())
        .and_then(|page| {
            let list = ListBots {
                cursor: case["cursor"].as_str().map(ToOwned::to_owned),
                ..ListBots::default()
            };
            let next = following(list, &page).map_err(|error| error.to_string())?;
            Ok((page, next.and_then(|next| next.cursor)))
        });
    match read {
        Ok((page, next)) => {
            let ids: Vec<String> = page.data.iter().map(|job| job.id.clone()).collect();
            assert_eq!(
                json!({"ids": ids, "next": next}),
                json!({"ids": case["ids"], "next": case["next"]}),
                "{}",
                case["name"]
            );
            assert!(case["error"].is_null(), "{}", case["name"]);
        }
        Err(error) => assert_eq!(case["error"], true, "{}: {error}", case["name"]),
    }
}

fn transitions(vectors: &Value) {
    for case in vectors["statuses"].as_array().unwrap() {
        let status = JobStatus::known(text(&case["status"])).unwrap();
        assert_eq!(json!(status.is_final()), case["final"], "{status}");
    }
    let events = vectors["transitions"].as_array().unwrap().len();
    assert_eq!(events, JobStatus::ALL.len() * JobEvent::ALL.len());
}

#[test]
fn a_job_is_a_short_line() {
    let shown = |rest: &str| {
        let body = format!(r#"{{"id": "job_1", {rest}}}"#);
        models::job(body.as_bytes()).unwrap().to_string()
    };
    let completed = r#""status": "completed", "leaveReason": "meeting_ended""#;
    assert_eq!(shown(completed), "job_1 completed (meeting_ended)");
    let failed = r#""status": "failed", "leaveReason": "solo", "failureCode": "network_loss""#;
    assert_eq!(shown(failed), "job_1 failed (network_loss)");
    let queued = r#""status": "queued", "statusDetail": "at_bot_limit""#;
    assert_eq!(shown(queued), "job_1 queued (at_bot_limit)");
    assert_eq!(shown(r#""status": "recording""#), "job_1 recording");
}
