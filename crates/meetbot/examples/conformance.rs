//! The conformance story in Rust: `cargo xtask conformance` compares what it prints with what the other SDKs' stories print.

#![expect(clippy::print_stdout, reason = "what it prints is compared")]

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    env,
    error::Error as StdError,
    fs,
    time::Duration,
};

use futures_util::TryStreamExt as _;
use http::HeaderMap;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use meetbot::{
    AutoLeaveConfig, CallOptions, ControlResult, Error, EventName, Job, JobStatus, ListBots,
    ListDeliveries, MeetBot, Metadata, NewJob, Platform, RecordingState, Request, Rule,
    TimelineEvent, Timestamp, Webhooks, verify_webhook_signature,
    webhook::{EventDetails, TOLERANCE, UnwrapError, WebhookEvent, unwrap},
};
use meetbot_types::signature::sha256;
use tokio::{net::TcpListener, sync::mpsc};

type Done<T = ()> = Result<T, Box<dyn StdError + Send + Sync>>;

const PATIENCE: Duration = Duration::from_mins(2);
const NOBODY: &str = "job_00000000000000000000000000";
const NOTHING: &str = "dlv_00000000000000000000000000";
const LONG: &str = "https://sandbox.meetbot.dev/two-speakers?seconds=300";
const SHORT: &str = "https://sandbox.meetbot.dev/two-speakers?seconds=8";
const NONE: &str = "https://sandbox.meetbot.dev/no-such-meeting";

/// Prints one line of the outcome.
fn say(label: &str, values: impl IntoIterator<Item = String>) {
    println!("{label}: {}", values.into_iter().collect::<Vec<_>>().join(", "));
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// Sorted, each once.
fn listed<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let sorted: BTreeSet<String> = values.into_iter().map(|value| value.to_string()).collect();
    sorted.into_iter().collect::<Vec<_>>().join(" ")
}

/// Prints the error of a call: its kind, what the server said, how often it was tried, and whether another try may help.
fn fails<T>(label: &str, called: Result<T, Error>) {
    let Err(error) = called else { return say(label, ["no error".to_owned()]) };
    let mut values =
        vec![error.kind().as_str().to_owned(), or_none(error.status()), or_none(error.code())];
    let issues = error.issues().iter();
    values.extend(issues.map(|issue| format!("{} {}", issue.path.join("."), issue.code)));
    values.push(format!("{} tries", error.attempts()));
    values.push(if error.is_transient() { "transient" } else { "final" }.to_owned());
    values.push(yes(error.request_id().is_some()));
    say(label, values);
}

/// A webhook as it came.
struct Received {
    body: Bytes,
    headers: HeaderMap,
    event: WebhookEvent,
}

/// A receiver of webhooks on loopback: its URL, and what comes.
async fn receiver(secret: String) -> Done<(String, mpsc::UnboundedReceiver<Received>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (sender, secret) = (sender.clone(), secret.clone());
            let take = service_fn(move |request: http::Request<Incoming>| {
                let (sender, secret) = (sender.clone(), secret.clone());
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.expect("a body").to_bytes();
                    let headers = head.headers;
                    let event = unwrap(&body, &headers, &[&secret], Some(TOLERANCE))
                        .expect("the server's webhook");
                    let _ = sender.send(Received { body, headers, event });
                    Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), take));
        }
    });
    Ok((url, receiver))
}

fn job(meeting_url: &str, external_id: &str) -> NewJob {
    NewJob {
        meeting_url: meeting_url.to_owned(),
        external_id: Some(external_id.to_owned()),
        ..NewJob::default()
    }
}

fn client(key: &str) -> Result<MeetBot, Error> {
    MeetBot::builder().api_key(key).build()
}

async fn errors(mb: &MeetBot) -> Done {
    fails("leave no job", mb.leave_bot(NOBODY).await);
    say("get no job", [or_none(mb.get_bot(NOBODY).await?.map(|job| job.id))]);
    say("get an id with a slash", [or_none(mb.get_bot("../jobs").await?.map(|job| job.id))]);
    fails("get an id of dots", mb.get_bot("..").await);
    fails("get an empty id", mb.get_bot("").await);
    let stranger = client(&format!("mb_test_{}", "0".repeat(40)))?;
    fails("a key of nobody", stranger.list_bots(&ListBots::default()).await);
    let reader = client(&env::var("MEETBOT_READ_KEY")?)?;
    let new = NewJob { meeting_url: SHORT.to_owned(), ..NewJob::default() };
    fails("a key that may only read", reader.dispatch_bot(new.clone()).await);
    let wrong = NewJob {
        meeting_url: "not-a-url".to_owned(),
        display_name: Some(" ".to_owned()),
        ..NewJob::default()
    };
    fails("no url, no name", mb.dispatch_bot(wrong).await);
    let rules =
        AutoLeaveConfig { after_solo_seconds: Rule::After(0), ..AutoLeaveConfig::default() };
    fails("no time at all", mb.dispatch_bot(NewJob { auto_leave: Some(rules), ..new }).await);
    let body = format!(r#"{{"meetingUrl": "{SHORT}", "join_at": "2026-05-15T14:00:00Z"}}"#);
    fails("a misspelt field", mb.request(Request::new("POST", "/api/v1/jobs")?.json(body)).await);
    fails("no such path", mb.request(Request::new("GET", "/api/v1/nothing")?).await);
    let page = ListBots { limit: Some(1000), ..ListBots::default() };
    fails("too large a page", mb.list_bots(&page).await);
    let page = ListBots { cursor: Some("nobody's".to_owned()), ..ListBots::default() };
    fails("no such cursor", mb.list_bots(&page).await);
    fails("nothing to say", mb.send_chat_message(NOBODY, "").await);
    Ok(())
}

async fn dispatched(mb: &MeetBot) -> Done<Job> {
    let new = NewJob {
        display_name: Some("Acme Notetaker".to_owned()),
        metadata: Some(Metadata::from_json(r#"{"customer":["cust_4711",null,true,7,"é <&>"]}"#)?),
        auto_leave: Some(AutoLeaveConfig {
            after_solo_seconds: Rule::After(30),
            after_silence_seconds: Rule::Off,
            on_bot_detected: Some(true),
            ..AutoLeaveConfig::default()
        }),
        ..job(LONG, "long")
    };
    let once = mb.with(CallOptions::new().idempotency_key("conformance"))?;
    let job = once.dispatch_bot(new.clone()).await?;
    let (url, name) = (or_none(job.meeting_url.as_ref()), or_none(job.display_name.as_ref()));
    let (platform, id) = (or_none(job.platform.as_ref()), or_none(job.external_id.as_ref()));
    say("dispatched", [job.status.to_string(), platform, id, name, url]);
    say("its metadata", [job.metadata.as_json().to_owned()]);
    let rules = &job.auto_leave;
    let seconds = [
        rules.after_entry_delay_seconds,
        rules.after_silence_seconds,
        rules.after_solo_seconds,
        rules.after_max_seconds,
    ];
    say("its rules", seconds.map(or_none).into_iter().chain([yes(rules.on_bot_detected)]));
    say("the same key", [yes(once.dispatch_bot(new.clone()).await?.id == job.id)]);
    say("the same external id", [yes(mb.dispatch_bot(new.clone()).await?.id == job.id)]);
    let other = NewJob { display_name: Some("B".to_owned()), ..new };
    fails("the same key, another job", once.dispatch_bot(other).await);
    Ok(job)
}

/// Prints what a verb has done once the recording is in this state.
async fn controlled_to(
    mb: &MeetBot,
    id: &str,
    called: ControlResult,
    state: RecordingState,
) -> Done {
    while mb.get_bot(id).await?.and_then(|job| job.recording.state) != Some(state.clone()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    say(&or_none(called.action), [state.to_string()]);
    Ok(())
}

async fn controlled(mb: &MeetBot, id: &str) -> Done {
    let mut statuses = Vec::new();
    let mut events = mb.watch(id)?;
    while let Some(event) = events.try_next().await? {
        if event.event == EventName::StatusChanged {
            statuses.push(or_none(event.data.status.as_ref()));
        }
        if event.data.status == Some(JobStatus::Recording) {
            break;
        }
    }
    say("watched", statuses);
    fails("delete too early", mb.delete_recording(id).await);
    say("chat", [or_none(mb.send_chat_message(id, "hello 👋").await?.action)]);
    say("permission", [or_none(mb.request_recording_permission(id).await?.action)]);
    controlled_to(mb, id, mb.pause_recording(id).await?, RecordingState::Paused).await?;
    controlled_to(mb, id, mb.resume_recording(id).await?, RecordingState::On).await?;
    controlled_to(mb, id, mb.stop_recording(id).await?, RecordingState::Stopped).await?;
    say("leave", [or_none(mb.leave_bot(id).await?.action)]);
    let ended = mb.wait_for_bot(id, Some(PATIENCE)).await?;
    let (reason, code) = (or_none(ended.leave_reason), or_none(ended.failure_code));
    say("it ended", [ended.status.to_string(), reason, code, ended.attempt.to_string()]);
    fails("pause after the end", mb.pause_recording(id).await);
    mb.cancel_bot(id).await?;
    say("cancel after the end", ["none".to_owned()]);
    Ok(())
}

async fn recorded(mb: &MeetBot, id: &str) -> Done<(Option<String>, Vec<TimelineEvent>)> {
    let mut last = None;
    let seen = |job: &Job| last = Some(job.status.clone());
    let ended = mb.wait_for_bot_with(id, Some(PATIENCE), seen).await?;
    let (reason, code) = (or_none(ended.leave_reason), or_none(ended.failure_code));
    say("a meeting ended", [or_none(last), ended.status.to_string(), reason, code]);
    let uri = ended.manifest_uri;
    say("its manifest", [yes(uri.as_ref().is_some_and(|uri| uri.starts_with("file://")))]);
    let timeline: Vec<TimelineEvent> = mb.watch(id)?.try_collect().await?;
    // The mix is made later, and its event comes when it may.
    let changes = timeline
        .iter()
        .filter(|one| [EventName::StatusChanged, EventName::Finalized].contains(&one.event));
    say(
        "timeline",
        changes.map(|one| format!("{} {}", one.event, or_none(one.data.status.as_ref()))),
    );
    let names = timeline.iter().map(|one| one.event.as_str());
    say("of the bot", [listed(names.filter(|name| name.starts_with("bot.")))]);
    let details = || timeline.iter().map(|one| &one.data.details);
    let people = details().filter_map(|one| match one {
        EventDetails::Participant { participant } => participant.name.as_ref(),
        _ => None,
    });
    say("people", [listed(people)]);
    let mut chat = details().filter_map(|one| match one {
        EventDetails::Chat { message } => message.sender.as_ref(),
        _ => None,
    });
    say("last chat", [or_none(chat.next_back())]);
    let whole = (1..).zip(&timeline).all(|(sequence, one)| one.data.sequence == sequence);
    say("no holes", [yes(whole)]);
    Ok((uri, timeline))
}

async fn delivered(
    id: &str,
    uri: Option<String>,
    timeline: &[TimelineEvent],
    received: &mut mpsc::UnboundedReceiver<Received>,
    secret: &str,
) -> Done {
    // By their sequence: a webhook may come twice.
    let mut heard: BTreeMap<u64, WebhookEvent> = BTreeMap::new();
    let Received { body, headers, .. } = loop {
        let one = tokio::time::timeout(PATIENCE, received.recv()).await?.ok_or("no receiver")?;
        heard.insert(one.event.data.sequence, one.event.clone());
        let all = timeline.iter().all(|event| heard.contains_key(&event.data.sequence));
        if all && heard.values().any(|event| event.event == EventName::ArtifactReady) {
            break one;
        }
    };
    say("webhooks", [listed(heard.values().map(|event| event.event.as_str()))]);
    say("of this job", [yes(heard.values().all(|event| event.data.job_id == id))]);
    let numbers = heard.values().filter_map(|event| event.data.metadata.get("n"));
    say("metadata", [listed(numbers)]);
    for event in heard.values() {
        match &event.data.details {
            EventDetails::Finalized { manifest_uri, leave_reason, duration_ms } => say(
                "finalized",
                [or_none(leave_reason.as_ref()), yes(*manifest_uri == uri), yes(*duration_ms > 0)],
            ),
            EventDetails::ArtifactReady { artifact, manifest_uri } => {
                let kind = or_none(artifact.media_type.as_ref());
                say("artifact", [or_none(artifact.name.as_ref()), kind, yes(*manifest_uri == uri)]);
            }
            _ => {}
        }
    }
    let other = "whsec_dGVzdA==";
    let changed = [&body[..], b" "].concat();
    let header = headers.get("x-meetbot-signature").and_then(|value| value.to_str().ok());
    say("verified", [yes(verify_webhook_signature(&body, header, secret)?)]);
    say("another body", [yes(verify_webhook_signature(&changed, header, secret)?)]);
    say("another secret", [yes(verify_webhook_signature(&body, header, other)?)]);
    let cases: [(&str, &[u8], &[&str]); 4] = [
        ("unwrap with two secrets", &body, &[other, secret]),
        ("unwrap another body", &changed, &[secret]),
        ("unwrap with another secret", &body, &[other]),
        ("unwrap with no secret", &body, &["secret"]),
    ];
    for (label, body, secrets) in cases {
        let judged = match unwrap(body, &headers, secrets, Some(TOLERANCE)) {
            Ok(event) => yes(event.data.job_id == id),
            Err(UnwrapError::Signature) => "signature".to_owned(),
            Err(UnwrapError::Secret(_)) => "configuration".to_owned(),
            Err(error) => error.to_string(),
        };
        say(label, [judged]);
    }
    Ok(())
}

async fn downloaded(mb: &MeetBot, id: &str) -> Done {
    let folder = tempfile::tempdir()?;
    let paths = mb.download_artifacts(id, folder.path(), true).await?;
    let mut manifest = mb.manifest(id).await?;
    say("participants", [listed(manifest.participants.into_iter().filter_map(|one| one.name))]);
    manifest.tracks.sort_by_key(|track| track.file.clone());
    for track in manifest.tracks {
        let about = [track.file, track.kind, track.source, track.codec, track.container];
        say("track", about.map(or_none));
    }
    let (reason, mixed) = (or_none(manifest.leave_reason), manifest.mixed);
    let (state, file) = (or_none(mixed.state), or_none(mixed.file));
    say("manifest", [yes(manifest.complete), reason, state, file, or_none(manifest.chat)]);
    let names = paths.iter().filter_map(|path| path.file_name()?.to_str());
    say("downloaded", [listed(names)]);
    manifest.files.sort_by_key(|file| file.name.clone());
    for file in manifest.files {
        let name = file.name.ok_or("a file without a name")?;
        let content = fs::read(folder.path().join(&name))?;
        let hash = sha256(&content);
        let whole = yes(file.bytes == Some(content.len() as u64));
        say("file", [name, or_none(file.media_type), whole, yes(file.sha256 == Some(hash))]);
    }
    let on_disk = fs::read(folder.path().join("events.jsonl"))?;
    say("in memory", [yes(mb.artifact(id, "events.jsonl").await? == on_disk)]);
    let speaking = mb.speaking(id).await?;
    say(
        "speaking",
        [yes(speaking.iter().all(|span| span.end_ms > span.start_ms)), yes(!speaking.is_empty())],
    );
    let captions = mb.captions(id).await?;
    say(
        "captions",
        [listed(captions.iter().map(|one| yes(one.text.is_some() && one.speaker.is_some())))],
    );
    say("chat file", [or_none(mb.chat(id).await?.last().and_then(|one| one.sender.as_ref()))]);
    let first = mb.events_file(id).await?.into_iter().next();
    say("events file", [or_none(first.map(|one| one.kind))]);
    fails("captions of no job", mb.captions(NOBODY).await);
    fails("no such file", mb.artifact(id, "audio.Nobody.webm").await);
    fails("no file", mb.artifact(id, "..").await);
    fails("a manifest of no job", mb.manifest(NOBODY).await);
    Ok(())
}

/// The external ids of jobs.
fn ids(jobs: &[Job]) -> impl Iterator<Item = String> {
    jobs.iter().map(|job| or_none(job.external_id.as_ref()))
}

/// All jobs of a list.
async fn all(mb: &MeetBot, list: ListBots) -> Result<Vec<Job>, Error> {
    mb.bots(list).try_collect().await
}

async fn lists(mb: &MeetBot, now: Timestamp) -> Done {
    let later = Timestamp::from_millis(now.as_millis() + 30 * 86_400_000);
    for n in 0..3 {
        let new = NewJob { join_at: Some(later), ..job(SHORT, &format!("later-{n}")) };
        mb.dispatch_bot(new).await?;
    }
    let by = ListBots::default;
    let first = mb.list_bots(&ListBots { limit: Some(2), ..by() }).await?;
    say("first page", ids(&first.data).chain([yes(first.next_cursor.is_some())]));
    let next = ListBots { limit: Some(2), cursor: first.next_cursor, ..by() };
    let second = mb.list_bots(&next).await?;
    say("second page", ids(&second.data).chain([yes(second.next_cursor.is_some())]));
    say("all", ids(&all(mb, ListBots { limit: Some(1), ..by() }).await?));
    let completed = ListBots { status: vec![JobStatus::Completed], ..by() };
    say("completed", ids(&all(mb, completed).await?));
    let ended = ListBots {
        status: vec![JobStatus::Failed, JobStatus::Cancelled],
        platform: Some(Platform::Sandbox),
        ..by()
    };
    say("failed or cancelled", ids(&all(mb, ended).await?));
    let tomorrow = mb.list_bots(&ListBots { created_after: Some(later), ..by() }).await?;
    say("of tomorrow", [tomorrow.data.len().to_string()]);
    let one = ListBots { external_id: Some("later-1".to_owned()), ..by() };
    for job in mb.list_bots(&one).await?.data {
        say("one", [or_none(job.external_id), or_none(job.status_detail)]);
    }
    for job in all(mb, ListBots { status: vec![JobStatus::Queued], ..by() }).await? {
        mb.cancel_bot(&job.id).await?;
        let ended = mb.wait_for_bot(&job.id, Some(PATIENCE)).await?;
        say("cancelled", [or_none(job.external_id), ended.status.to_string()]);
    }
    Ok(())
}

async fn looked_up(mb: &MeetBot, job_id: &str) -> Done {
    let list = ListDeliveries {
        job_id: Some(job_id.to_owned()),
        limit: Some(1),
        ..ListDeliveries::default()
    };
    let first = mb.deliveries(&list).await?;
    say("deliveries", [first.data.len().to_string(), yes(first.next_cursor.is_some())]);
    let id = &first.data.first().ok_or("no delivery")?.id;
    let found = mb.get_delivery(id).await?.ok_or("no delivery")?;
    say("a delivery", [yes(found.id == *id && found.job_id.as_deref() == Some(job_id))]);
    say("again", [yes(mb.redeliver(id).await?.id == *id)]);
    say("no delivery", [or_none(mb.get_delivery(NOTHING).await?.map(|found| found.id))]);
    fails("redeliver nothing", mb.redeliver(NOTHING).await);
    let usage = mb.usage().await?;
    let month = or_none(usage.month.map(|month| month.len()));
    let (bots, queued) = (usage.bots.to_string(), usage.queued_jobs.to_string());
    say("usage", [month, bots, queued, or_none(usage.max_bots), or_none(usage.max_minutes)]);
    for way in mb.list_platforms().await?.data {
        if ["sandbox", "teams"].contains(&way.platform.as_str()) {
            let flags = [way.joinable, way.experimental, way.missing.is_empty()].map(yes);
            say("platform", [way.platform.to_string(), or_none(way.via)].into_iter().chain(flags));
        }
    }
    let host = mb.host().await?;
    let (cores, memory) = (host.cpu.cores > 0, host.memory.total_bytes > 0);
    let flags = [host.draining, cores, memory, host.bots.max > 0].map(yes);
    say("host", [or_none(host.version)].into_iter().chain(flags));
    Ok(())
}

async fn deleted(mb: &MeetBot, id: &str) -> Done {
    let recorded = mb.get_bot(id).await?.ok_or("no job")?.recording.bytes;
    let receipt = mb.delete_recording(id).await?;
    say("deleted", [listed(receipt.removed.into_iter().filter_map(|one| one.name))]);
    let of_job = yes(receipt.job_id.as_deref() == Some(id));
    let dated = yes(receipt.deleted_at.is_some());
    say("its receipt", [of_job, dated, receipt.already_gone.len().to_string()]);
    let again = mb.delete_recording(id).await?;
    let same = yes(again.deleted_at == receipt.deleted_at);
    say("deleted again", [again.removed.len().to_string(), same]);
    fails("a manifest that was deleted", mb.manifest(id).await);
    let job = mb.get_bot(id).await?.ok_or("no job")?;
    let of_removal = yes(job.recording.deleted_at == receipt.deleted_at);
    let (had, has_none) = (yes(recorded > Some(0)), yes(job.recording.bytes == Some(0)));
    say("its job", [of_removal, had, has_none]);
    fails("erase somebody else", mb.erase_consumer("nobody").await);
    let consumer = env::var("MEETBOT_CONSUMER")?;
    let erased = mb.erase_consumer(&consumer).await?;
    let same = yes(erased.consumer == Some(consumer));
    say("erased", [same, erased.jobs.to_string(), erased.keys.to_string()]);
    fails("a key that was erased", mb.list_bots(&ListBots::default()).await);
    Ok(())
}

#[tokio::main]
async fn main() -> Done {
    let given = env::var("MEETBOT_API_BASE_URL")?;
    let secret = env::var("MEETBOT_WEBHOOK_SECRET")?;
    let mb = MeetBot::builder().base_url(format!("{given}/api/v1/")).build()?;
    say("base url", [yes(mb.base_url() == given)]);
    errors(&mb).await?;
    let (url, mut received) = receiver(secret.clone()).await?;
    let failing = mb.dispatch_bot(job(NONE, "failing")).await?;
    let hooks = Webhooks {
        on_status_change: Some(format!("{url}/status")),
        on_finalize: Some(format!("{url}/final")),
    };
    let metadata = Metadata::from_json(r#"{"n": 1}"#)?;
    let short = NewJob { webhooks: Some(hooks), metadata: Some(metadata), ..job(SHORT, "short") };
    let short = mb.dispatch_bot(short).await?;
    let long = dispatched(&mb).await?;
    controlled(&mb, &long.id).await?;
    let (uri, timeline) = recorded(&mb, &short.id).await?;
    delivered(&short.id, uri, &timeline, &mut received, &secret).await?;
    downloaded(&mb, &short.id).await?;
    let ended = mb.wait_for_bot(&failing.id, Some(PATIENCE)).await?;
    let (code, detail) = (or_none(ended.failure_code), or_none(ended.failure_detail));
    say("a failure", [ended.status.to_string(), code, detail, or_none(ended.manifest_uri)]);
    fails("a manifest of nothing", mb.manifest(&failing.id).await);
    lists(&mb, long.created_at.ok_or("a job without a time")?).await?;
    looked_up(&mb, &short.id).await?;
    deleted(&mb, &short.id).await
}
