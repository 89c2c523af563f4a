//! `meetbot demo`: runs the whole product once, in one process, and checks the results.

mod browser;
mod judge;
mod timeline;

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use meetbot::{
    EventName, Job, Manifest, MeetBot, NewJob, Timestamp, Webhooks, webhook::WebhookEvent,
};
use meetbot_orchestrator::{
    Config,
    config::LogFormat,
    keys::{self, KeySpec},
    store::Scope,
};
use meetbot_types::sandbox::{HOST, Inspection};
use rustix::process::geteuid;
use serde_json::{Value, json};
use url::Url;

use crate::{
    demo::{
        judge::{Evidence, StoredFile, judge, read_file},
        timeline::Speaker,
    },
    log,
    output::{Output, known, table},
    serve,
    signals::Signals,
    webhooks::receiver::Receiver,
};

/// How much longer than the meeting all of it may take; a browser that starts may take long.
const PATIENCE: Duration = Duration::from_mins(1);
const PATIENCE_WITH_BROWSER: Duration = Duration::from_mins(4);
/// How long the mix may take, and how often to look whether it is made.
const LONGEST_MIX: Duration = Duration::from_mins(10);
const LOOK: Duration = Duration::from_millis(100);

/// The arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long the meeting lasts.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(3..=3600))]
    seconds: u32,
    /// Send the bot with Chromium into an imitation of Google Meet, in place of a meeting of the sandbox.
    #[arg(long)]
    browser: bool,
    /// Leave the server running, to look around.
    #[arg(long)]
    keep: bool,
}

/// The contents of the webhooks.
#[derive(Debug, Default)]
pub(crate) struct ReceivedWebhooks {
    /// The statuses in their order.
    pub(crate) statuses: Vec<String>,
    /// When the bot was in the call.
    pub(crate) in_call_at: Option<Timestamp>,
    /// How many webhooks were `job.finalized`.
    pub(crate) finalized: usize,
    /// Why the job failed, when it did.
    pub(crate) failure: Option<String>,
    /// How many webhooks had a wrong signature or could not be read.
    pub(crate) refused: usize,
}

/// Runs the demo.
pub(crate) async fn run(args: Args, output: Output) -> anyhow::Result<ExitCode> {
    log::start("warn", LogFormat::Text)?;
    let browser = args.browser.then(browser::settings).transpose()?;
    let folder = tempfile::Builder::new()
        .prefix("meetbot-demo-")
        .tempdir()
        .context("no temporary folder")?
        .keep();
    let mut config = Config::load(None, |_| None)?;
    config.listen = ([127, 0, 0, 1], 0).into();
    config.data_dir.clone_from(&folder);
    // Its webhooks go to a receiver in this process.
    config.development = true;
    config.browser = browser;
    let meeting = if args.browser { Some(browser::begin().await?) } else { None };
    let (server, sandbox) = serve::start(config, None, meeting.as_ref().map(browser::seat)).await?;
    let sandbox = sandbox.context("the sandbox does not run in this process")?;
    // With a test key the sandbox would play Google Meet, too.
    let live = args.browser;
    let spec = KeySpec { consumer: "demo", live, scope: Scope::Write, expires_at: None };
    let key = keys::create(server.store(), spec).await?;
    let secrets = vec![key.webhook_secret.expose().to_owned()];
    let mut receiver = Receiver::start(([127, 0, 0, 1], 0).into(), secrets, None).await?;
    let client = MeetBot::builder().api_key(key.secret.expose()).base_url(server.url()).build()?;

    let job = client.dispatch_bot(new_job(&args, &receiver.url())).await?;
    output.line(format_args!("server   {}", server.url()));
    output.line(format_args!("folder   {}", folder.display()));
    output.line(format_args!("meeting  {}", known(job.meeting_url.as_ref())));
    output.line(format_args!("job      {}", job.id));
    if args.browser && geteuid().is_root() {
        output.remark("Chromium runs without its sandbox, since this is root; it opens the imitation's page only.");
    }
    output.line("");
    let patience = if args.browser { PATIENCE_WITH_BROWSER } else { PATIENCE };
    let limit = Duration::from_secs(args.seconds.into()) + patience;
    output.line(format_args!("{:>7.3} s  {}", 0.0, job.status));
    let mut webhooks =
        ReceivedWebhooks { statuses: vec![job.status.to_string()], ..ReceivedWebhooks::default() };
    let go_on = |event: &WebhookEvent| {
        if let Some(meeting) = &meeting {
            browser::go_on(meeting, event, args.seconds);
        }
    };
    let listening = listen(&mut receiver, &job, &mut webhooks, go_on, output);
    let listening = tokio::time::timeout(limit, listening).await;
    let job = client.get_bot(&job.id).await?.context("the job is gone")?;
    let recorded = match job.manifest_uri.as_deref() {
        Some(uri) => Some(fetch(&client, &job, uri).await?),
        None => None,
    };
    let sent = match &meeting {
        Some(meeting) => {
            browser::sent(meeting, recorded.as_ref().map(|recorded| &recorded.manifest))
        }
        None => sandbox.inspect(job.id.parse()?),
    };
    let evidence = Evidence {
        seconds: args.seconds,
        in_browser: args.browser,
        in_time: listening.is_ok(),
        webhooks,
        sent,
        recorded: recorded.as_ref().map(|recorded| (&recorded.manifest, recorded.files.as_slice())),
    };
    let mut missing = judge(&evidence);
    if let Some((meeting, recorded)) = meeting.as_ref().zip(recorded.as_ref()) {
        missing.extend(browser::judge(meeting, &recorded.manifest, &recorded.folder));
    }
    output.object(&shown(&job, &evidence, recorded.as_ref()))?;
    if let Some(recorded) = &recorded {
        output.line("");
        output.lines(tracks(recorded, &evidence.sent));
        output.line("");
        output.lines(timeline::draw(&recorded.speakers, recorded.manifest.duration_ms));
        output.line("");
    }
    output.line(format_args!("The files stay in {}", folder.display()));
    output.line(format_args!("To remove them: rm -r {}", folder.display()));
    if args.keep {
        let mut signals = Signals::listen()?;
        let key = if std::io::stderr().is_terminal() {
            key.secret.expose().to_owned()
        } else {
            let kind = if args.browser { "--live" } else { "--test" };
            format!("$(meetbot keys create {kind} --consumer demo --data-dir {})", folder.display())
        };
        output.remark("The server goes on; end it with Ctrl-C.");
        output.remark(format_args!("  export MEETBOT_API_KEY={key}"));
        output.remark(format_args!("  export MEETBOT_API_BASE_URL={}", server.url()));
        signals.next().await;
    }
    server.stop().await;
    sandbox.stop().await;
    if let Some(meeting) = meeting {
        meeting.stop().await;
    }
    if missing.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(anyhow::anyhow!("the demo did not show all it should:\n- {}", missing.join("\n- ")))
}

fn new_job(args: &Args, webhook: &str) -> NewJob {
    NewJob {
        meeting_url: if args.browser {
            browser::MEETING.to_owned()
        } else {
            format!("https://{HOST}/two-speakers?seconds={}", args.seconds)
        },
        display_name: Some("meetbot demo".to_owned()),
        webhooks: Some(Webhooks {
            on_status_change: Some(webhook.to_owned()),
            on_finalize: Some(webhook.to_owned()),
        }),
        ..NewJob::default()
    }
}

/// Receives webhooks until one reports the job's end. `go_on` is called with each.
async fn listen(
    receiver: &mut Receiver,
    job: &Job,
    webhooks: &mut ReceivedWebhooks,
    go_on: impl Fn(&WebhookEvent),
    output: Output,
) {
    while let Some(received) = receiver.next().await {
        let Some(Ok(event)) = received.event else {
            webhooks.refused += 1;
            continue;
        };
        go_on(&event);
        if let Some(line) = webhooks.record(&event) {
            let ms = since(event.emitted_at, job.created_at).unwrap_or_default();
            output.line(format_args!("{:>7.3} s  {line}", ms as f64 / 1000.0));
        }
        if webhooks.finalized > 0 || webhooks.failure.is_some() {
            return;
        }
    }
}

/// How long after `from` it was, in ms, where both are known.
fn since(at: Option<Timestamp>, from: Option<Timestamp>) -> Option<i64> {
    Some(at?.millis_since(from?))
}

impl ReceivedWebhooks {
    /// Records an event, and returns the line to print for it.
    fn record(&mut self, event: &WebhookEvent) -> Option<String> {
        let data = &event.data;
        match &event.event {
            EventName::StatusChanged => {
                let status = known(data.status.as_ref());
                if data.status == Some(meetbot::JobStatus::InCall) {
                    self.in_call_at = event.emitted_at;
                }
                self.statuses.push(status.clone());
                Some(status)
            }
            EventName::Finalized => {
                self.finalized += 1;
                Some("webhook job.finalized, its signature verified".to_owned())
            }
            EventName::Failed => {
                self.failure = Some(serde_json::to_string(&data.details).unwrap_or_default());
                Some("webhook job.failed, its signature verified".to_owned())
            }
            _ => None,
        }
    }
}

/// The recording on disk.
struct Recorded {
    folder: PathBuf,
    manifest: Manifest,
    files: Vec<StoredFile>,
    speakers: Vec<Speaker>,
}

async fn fetch(client: &MeetBot, job: &Job, uri: &str) -> anyhow::Result<Recorded> {
    let manifest = manifest(client, &job.id).await?;
    let path = Url::parse(uri).ok().and_then(|uri| uri.to_file_path().ok());
    let path = path.with_context(|| format!("{uri} is not a file's"))?;
    let folder = path.parent().context("a manifest lies in a folder")?.to_owned();
    let names = manifest.files.iter().filter_map(|file| file.name.as_deref());
    let names = names.chain(["manifest.json"]);
    let files = names.map(|name| read_file(&folder.join(name))).collect::<anyhow::Result<_>>()?;
    let events = client.artifact(&job.id, "events.jsonl").await?;
    let speakers = speakers(&manifest, &String::from_utf8_lossy(&events));
    Ok(Recorded { folder, manifest, files, speakers })
}

/// The manifest, once the mix is made or has failed. The mix is made after the job has ended.
async fn manifest(client: &MeetBot, id: &str) -> anyhow::Result<Manifest> {
    let settled = async {
        loop {
            let manifest = client.manifest(id).await?;
            if !manifest.mixed.is_pending() {
                return Ok(manifest);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(LONGEST_MIX, settled).await.context("the mix is not made in time")?
}

/// Who spoke when, from the recording's own journal.
fn speakers(manifest: &Manifest, events: &str) -> Vec<Speaker> {
    let lines: Vec<Value> =
        events.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let spoke = |id: &str| {
        let own = lines.iter().filter(|line| line["type"] == "speaking" && line["id"] == id);
        own.filter_map(|line| Some((line["startMs"].as_u64()?, line["endMs"].as_u64()?))).collect()
    };
    let people = manifest.participants.iter();
    people
        .map(|person| Speaker {
            name: known(person.name.as_ref()),
            spoke: person.id.as_deref().map_or_else(Vec::new, spoke),
        })
        .collect()
}

fn tracks(recorded: &Recorded, sent: &Inspection) -> Vec<String> {
    let name = |id: &str| {
        let people = &recorded.manifest.participants;
        people
            .iter()
            .find(|person| person.id.as_deref() == Some(id))
            .and_then(|person| person.name.clone())
            .unwrap_or_else(|| id.to_owned())
    };
    let sent = |id: &str| {
        sent.sent.iter().find(|sent| sent.participant_id == id).map_or(0, |sent| sent.packets)
    };
    let rows: Vec<Vec<String>> = recorded
        .manifest
        .tracks
        .iter()
        .map(|track| {
            let id = track.participant_id.as_deref().unwrap_or_default();
            vec![
                name(id),
                format!("{:.1}", track.duration_ms as f64 / 1000.0),
                format!("{} of {}", track.packets, sent(id)),
                format!("{} kB", track.bytes / 1000),
                path(&recorded.folder, track.file.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    table(&["speaker", "seconds", "packets", "size", "file"], &rows)
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

fn shown(job: &Job, evidence: &Evidence<'_>, recorded: Option<&Recorded>) -> Value {
    let webhooks = &evidence.webhooks;
    json!({
        "jobId": job.id,
        "statuses": webhooks.statuses,
        "joinMs": since(webhooks.in_call_at, job.created_at),
        "webhookVerified": webhooks.refused == 0 && (webhooks.finalized == 1 || webhooks.failure.is_some()),
        "manifest": recorded.map(|recorded| &recorded.manifest),
        "files": recorded.map(|recorded| &recorded.files),
    })
}
