//! Meetings that are joined by opening their web page in Chromium. The media that the page receives are recorded as they arrive; nothing is decoded.
//!
//! `process` runs Chromium, `cdp` speaks to it, `page` surveys and acts. `session` decides, with `landmarks` (data), `judge` (the state of the page), `lanes`
//! (the speaker of each audio packet) and `pictures` (the owner of each picture). `capture` reads the data of the page's connections.

pub(crate) mod account;
mod capture;
mod cdp;
mod evidence;
pub(crate) mod examination;
pub(crate) mod examine;
#[cfg(test)]
mod fragments;
#[cfg(test)]
mod in_page;
mod judge;
mod landmark_files;
mod landmarks;
mod lanes;
mod limits;
pub(crate) mod needs;
mod page;
mod pictures;
mod process;
mod products;
mod red;
mod session;
pub(crate) mod sign_in;
mod survey;
#[cfg(any(test, fuzzing))]
pub(crate) mod untrusted;

use std::{future::Future, path::Path, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use meetbot_types::{
    CommandId, Failure, FailureCode, Missing,
    bot::{BotOrder, BrowserSettings, ImitationSeat, Secret},
};
use serde_json::Value;
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::Instrument as _;
use url::Url;

pub use self::landmark_files::Unusable;
use self::{
    capture::Record,
    cdp::{Cdp, Event},
    examination::Examination,
    landmarks::Landmarks,
    needs::{Environment, Need},
    page::{Action, Page},
    process::Browser,
    session::{Mark, Output, Session},
    survey::Survey,
};
use super::{joins::Joins, messages::Messages};
use crate::{
    bounds::Exceeded,
    clock,
    connect::Connect,
    media::TrackId,
    meeting::{Meeting, MeetingEvent, Remainder},
};

/// The capacity of the queue of events; the browser waits while it is full.
const MOST_EVENTS: usize = 2_000;

/// How often the memory of a browser is compared with its limit.
const MEMORY_EVERY: Duration = Duration::from_secs(2);

/// A meeting in a browser.
pub(crate) struct BrowserMeeting {
    events: mpsc::Receiver<MeetingEvent>,
    orders: mpsc::UnboundedSender<DriverCommand>,
    /// Ends a start of the browser that is still under way.
    leaves: CancellationToken,
    _driver: AbortOnDropHandle<()>,
}

/// A command to the driver.
enum DriverCommand {
    SendChat(CommandId, String),
    RequestPermission(CommandId),
    Leave,
}

impl BrowserMeeting {
    /// Opens the meeting's page, as soon as a browser permit is free.
    pub(crate) async fn join(
        order: &BotOrder,
        settings: &BrowserSettings,
        connect: &Connect,
        joins: &Joins,
    ) -> Self {
        // The semaphore is never closed.
        let place = Arc::clone(&connect.browsers).acquire_owned().await.ok();
        let (sender, events) = mpsc::channel(MOST_EVENTS);
        let (orders, inbox) = mpsc::unbounded_channel();
        let (order, settings, joins) = (order.clone(), settings.clone(), joins.clone());
        let leaves = CancellationToken::new();
        let left = leaves.clone();
        let driver = async move {
            let _place = place;
            let visit = Visit::of(&order);
            let opened = tokio::select! {
                biased;
                () = left.cancelled() => return,
                opened = open(&visit, settings) => opened,
            };
            match opened {
                Ok(driver) => driver.drive(&visit, sender, inbox, &joins, None).await,
                Err(event) => {
                    // The meeting was dropped: nothing to report.
                    let _ = sender.send(event).await;
                }
            }
        };
        let driver = AbortOnDropHandle::new(tokio::spawn(driver.in_current_span()));
        Self { events, orders, leaves, _driver: driver }
    }
}

/// Removes the profiles of killed browsers.
pub fn remove_left_browsers() {
    process::remove_left_profiles(&std::env::temp_dir());
}

/// The missing requirements of a browser with these settings.
pub(super) fn missing(settings: &BrowserSettings) -> Vec<Missing> {
    let needs = Environment::of_process(|around| around.missing(settings));
    let missing = |need: &Need| Missing { code: need.code().to_owned(), message: need.to_string() };
    needs.iter().map(missing).collect()
}

/// The day of the landmarks that bots use with these settings, as in `2026-11-29`.
pub fn landmarks_of(settings: &BrowserSettings) -> Result<&'static str, Unusable> {
    let landmarks = landmark_files::of_google_meet(settings.landmarks_dir.as_deref())?;
    Ok(&landmarks.version)
}

/// The version of the Chromium that bots run with these settings, as in `156.0.8078.108`; `None` if there is none.
pub fn chromium_version(settings: &BrowserSettings) -> Option<String> {
    needs::version_of(settings)
}

/// The meeting that a browser joins.
struct Visit<'a> {
    meeting_url: &'a str,
    display_name: &'a str,
    record_video: bool,
    imitation: Option<&'a ImitationSeat>,
    /// The job's folder, in which evidence of a failed join is kept, and the attempt.
    evidence: Option<(&'a Path, u32)>,
}

impl<'a> Visit<'a> {
    fn of(order: &'a BotOrder) -> Self {
        Self {
            meeting_url: &order.meeting_url,
            display_name: &order.display_name,
            record_video: order.record_video == Some(true),
            imitation: order.imitation.as_ref(),
            evidence: Some((&order.folder, order.epoch)),
        }
    }
}

/// A browser with the meeting's page.
struct Driver {
    browser: Browser,
    cdp_events: mpsc::Receiver<Event>,
    page: Page,
    url: String,
    /// The account as which the browser is to be signed in.
    account: Option<String>,
    landmarks: &'static Landmarks,
    /// The most memory of the browser, in MB; 0: no limit.
    memory_mb: u32,
}

/// Starts the browser and opens the page; an error is the event for the bot.
async fn open(visit: &Visit<'_>, settings: BrowserSettings) -> Result<Driver, MeetingEvent> {
    let lost = |error: cdp::Error| MeetingEvent::Lost(error.to_string());
    // Another try would fail in the same way.
    let unreachable =
        |why| MeetingEvent::Unreachable(Failure::new(FailureCode::InternalError, why));
    let landmarks = landmark_files::of_google_meet(settings.landmarks_dir.as_deref());
    let landmarks = landmarks.map_err(|unusable| unreachable(unusable.to_string()))?;
    let url = address(visit.meeting_url)
        .map_err(|error| MeetingEvent::Lost(format!("the meeting's URL: {error}")))?;
    let memory_mb = settings.memory_mb;
    let account = settings.profile.as_deref().and_then(Path::file_name);
    let account = account.map(|name| name.to_string_lossy().into_owned());
    let switches = visit.imitation.map(switches).unwrap_or_default();
    // On a blocking thread, since it waits for the program.
    let started = tokio::task::spawn_blocking(move || Browser::start(&settings, &switches)).await;
    let started = started.map_err(|error| MeetingEvent::Lost(error.to_string()))?;
    let (browser, output, input) = started.map_err(|error| match error {
        process::Error::Start(..) => MeetingEvent::Lost(error.to_string()),
        process::Error::Needs(_) => unreachable(error.to_string()),
        process::Error::Account(..) => {
            let failure = Failure::new(FailureCode::AuthFailure, error.to_string());
            MeetingEvent::Refused(failure)
        }
    })?;
    let (cdp, cdp_events) = Cdp::new(output, input);
    // A random name, which no page can know.
    let mut binding = Secret::random().expose().replace('-', "_");
    binding.insert(0, '_');
    // With video a browser needs several times the processor time.
    let records_video = visit.record_video;
    let settings = (!records_video).then_some(products::google_meet::WITHOUT_VIDEO);
    let page = Page::of(
        cdp,
        &binding,
        products::google_meet::CALL,
        settings,
        records_video,
        &landmarks.words_of_people,
    )
    .await;
    let page = page.map_err(lost)?;
    page.open(&url).await.map_err(lost)?;
    page.bind().await.map_err(lost)?;
    Ok(Driver { browser, cdp_events, page, url, account, landmarks, memory_mb })
}

/// The meeting's URL with the language set to English, which the landmarks need.
fn address(url: &str) -> Result<String, url::ParseError> {
    let mut url = Url::parse(url)?;
    let others: Vec<(String, String)> =
        url.query_pairs().into_owned().filter(|(name, _)| name != "hl").collect();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair("hl", "en");
    Ok(url.into())
}

/// Switches that lead the browser to an imitation only. They come from an order, never from a setting.
fn switches(seat: &ImitationSeat) -> Vec<String> {
    let ImitationSeat { address, spki_sha256 } = seat;
    let ip = address.ip();
    vec![
        format!(
            "--host-resolver-rules=MAP meet.google.com:443 {address}, MAP accounts.google.com:443 {address}, MAP * ~NOTFOUND, EXCLUDE {ip}"
        ),
        format!("--ignore-certificate-errors-spki-list={spki_sha256}"),
    ]
}

/// The result of a call of the page.
enum Done {
    Looked(Result<Survey, cdp::Error>),
    Acted(Result<(), cdp::Error>),
}

type Busy = Pin<Box<dyn Future<Output = Done> + Send>>;

impl Driver {
    /// Drives the meeting until it is over, then closes the browser.
    async fn drive(
        self,
        visit: &Visit<'_>,
        sender: mpsc::Sender<MeetingEvent>,
        mut inbox: mpsc::UnboundedReceiver<DriverCommand>,
        joins: &Joins,
        mut examination: Option<&mut Examination>,
    ) {
        let Self { browser, mut cdp_events, page, url, account, landmarks, memory_mb } = self;
        let mut measure = tokio::time::interval(MEMORY_EVERY);
        measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let room = Url::parse(&url).map(|url| url.path().trim_matches('/').to_owned());
        let mut session = Session::new(
            landmarks,
            url,
            room.unwrap_or_default(),
            visit.display_name.to_owned(),
            joins.browser_history(),
            clock::now(),
        )
        .signed_in_as(account);
        let opened = clock::now();
        let mut messages = Messages::new(clock::now());
        let mut actions = Vec::<Action>::new();
        let mut busy: Option<Busy> = None;
        'meeting: loop {
            // Before the end is reported, after which the next join begins.
            match session.take_mark() {
                Some(Mark::Blocked) => joins.record_block(),
                Some(Mark::Dead) => joins.count_crash(),
                None => {}
            }
            // Before the end is reported, after which the bot drops this meeting.
            let evidence = session.evidence();
            if let Some(examination) = &mut examination {
                examination.finish(evidence.as_ref());
            }
            if let Some((evidence, (folder, epoch))) = evidence.zip(visit.evidence) {
                let place = (epoch, joins.count_failure());
                let kept = evidence::keep(evidence, landmarks, &page, folder, place);
                if let Err(error) = kept.await {
                    tracing::warn!(%error, "the evidence of a failed join cannot be written");
                }
            }
            while let Some(output) = session.output() {
                match output {
                    Output::Action(act) => actions.push(act),
                    Output::Event(event) => {
                        if sender.send(event).await.is_err() {
                            break 'meeting;
                        }
                    }
                }
            }
            if session.is_over() {
                break;
            }
            let now = clock::now();
            if busy.is_none() {
                busy = if actions.is_empty() {
                    (session.next_look() <= now).then(|| look(page.clone()))
                } else {
                    Some(act(page.clone(), actions.remove(0)))
                };
            }
            let wake = if busy.is_some() {
                session.wake()
            } else {
                session.wake().min(session.next_look())
            };
            messages.yield_if_due().await;
            tokio::select! {
                biased;
                order = inbox.recv() => match order {
                    Some(DriverCommand::SendChat(id, text)) => session.send_chat(id, &text, clock::now()),
                    Some(DriverCommand::RequestPermission(id)) => session.request_permission(id),
                    Some(DriverCommand::Leave) => session.leave(clock::now()),
                    None => break,
                },
                done = finished(busy.as_mut()) => {
                    busy = None;
                    match done {
                        Done::Looked(Ok(survey)) => {
                            if let Some(examination) = &mut examination {
                                examination.look(landmarks, &survey, opened, clock::now());
                            }
                            session.look(&survey, clock::now());
                        }
                        Done::Looked(Err(error)) => session.cannot_look(&error.to_string(), clock::now()),
                        Done::Acted(Ok(())) => {}
                        // The next look shows the result.
                        Done::Acted(Err(error)) => tracing::info!(%error, "an action in a meeting's page failed"),
                    }
                }
                _ = measure.tick(), if memory_mb > 0 => {
                    if browser.memory().await > u64::from(memory_mb) * 1_000_000 {
                        session.lose(&format!("the browser used more than {memory_mb} MB of memory (`bots.browser.memory_mb`)"));
                    }
                }
                event = cdp_events.recv() => match event {
                    Some(event) => {
                        let examination = examination.as_deref_mut();
                        on_browser_event(&event, &page, &mut session, &mut messages, examination);
                    }
                    None => session.die("the browser is gone"),
                },
                () = clock::sleep_until(Some(wake)) => session.tick(clock::now()),
            }
        }
        if session.was_in() {
            browser.keep_login();
        }
        page.close_browser().await;
        browser.closes().await;
    }
}

fn look(page: Page) -> Busy {
    Box::pin(async move { Done::Looked(page.survey().await) })
}

fn act(page: Page, act: Action) -> Busy {
    Box::pin(async move { Done::Acted(page.act(act).await) })
}

async fn finished(busy: Option<&mut Busy>) -> Done {
    match busy {
        Some(busy) => busy.await,
        None => std::future::pending().await,
    }
}

/// Handles an event of the browser.
fn on_browser_event(
    event: &Event,
    page: &Page,
    session: &mut Session,
    messages: &mut Messages,
    mut examination: Option<&mut Examination>,
) {
    if !page.is_of(event.session.as_deref()) {
        return;
    }
    let text = |name: &str| event.params.get(name).and_then(Value::as_str).unwrap_or_default();
    match event.method.as_str() {
        "Runtime.bindingCalled" if text("name") == page.binding() => {
            for record in capture::records(text("payload")) {
                let now = clock::now();
                let bytes = match &record {
                    Record::Message { bytes, .. } | Record::Answer(bytes) => Some(bytes.len()),
                    Record::PageEvent(_) => Some(0),
                    Record::Sound(_) | Record::Picture(_) => None,
                };
                if bytes.is_some_and(|bytes| !messages.take(bytes, now)) {
                    return session.exceed(Exceeded::Messages);
                }
                if let Some(examination) = &mut examination {
                    examination.record(&record);
                }
                session.on_record(record, now);
            }
        }
        "Page.frameNavigated" if event.params["frame"].get("parentId").is_none() => {
            let page = page.clone();
            tokio::spawn(async move {
                // It fails if the page navigates again at once, or is gone.
                if let Err(error) = page.bind().await {
                    tracing::debug!(%error, "the binding of a page's script cannot be added");
                }
            });
        }
        "Inspector.targetCrashed" => session.die("the meeting's page crashed"),
        "Inspector.detached" => session.die("the meeting's page was closed"),
        _ => {}
    }
}

#[async_trait]
impl Meeting for BrowserMeeting {
    async fn next(&mut self) -> MeetingEvent {
        let event = self.events.recv().await;
        event.unwrap_or_else(|| MeetingEvent::Lost("the browser is gone".to_owned()))
    }

    fn send_chat(&mut self, id: CommandId, text: String) {
        // If the driver has ended, its last event has reported it.
        let _ = self.orders.send(DriverCommand::SendChat(id, text));
    }

    fn request_permission(&mut self, id: CommandId) {
        // If the driver has ended, its last event has reported it.
        let _ = self.orders.send(DriverCommand::RequestPermission(id));
    }

    fn request_keyframe(&mut self, _: TrackId) {}

    async fn leave(mut self: Box<Self>) -> Remainder {
        let _ = self.orders.send(DriverCommand::Leave);
        self.leaves.cancel();
        let (mut rest, mut lines) = (Remainder::default(), Vec::new());
        while let Some(event) = self.events.recv().await {
            match event {
                MeetingEvent::Caption(line) => lines.push((line, clock::now())),
                event => rest.done.extend(event.done()),
            }
        }
        let now = clock::now();
        rest.captions = lines.into_iter().map(|(line, came)| line.older(now - came)).collect();
        rest
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

    use meetbot_testkit::polling::poll_until;
    use meetbot_types::AddressPolicy;

    use super::*;
    use crate::{attend::flood::connect, recording::orders::order};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_bot_leaves_also_while_its_browser_does_not_start() {
        let folder = tempfile::tempdir().unwrap();
        let [program, started, gate] =
            ["browser", "started", "gate"].map(|it| folder.path().join(it));
        assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
        // Whatever it is asked, it waits for somebody to open the gate.
        let text = "#!/bin/sh\ncd \"${0%/*}\"\n: > started\nread line < gate\n";
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let settings = BrowserSettings {
            binary: Some(program),
            no_sandbox: true,
            ..BrowserSettings::default()
        };
        let joins = Joins::new(AddressPolicy::default());
        let order = order(folder.path(), 1);
        let meeting = BrowserMeeting::join(&order, &settings, &connect(), &joins).await;
        let has_started = || started.exists().then_some(()).ok_or("the program does not start");
        poll_until(Duration::from_mins(1), has_started);
        let left = tokio::time::timeout(Duration::from_secs(10), Box::new(meeting).leave()).await;
        fs::write(gate, "\n").unwrap();
        assert!(left.is_ok(), "the bot is still there");
    }

    #[test]
    fn a_page_is_opened_in_english_with_the_rest_of_its_address() {
        for (given, opened) in [
            ("https://meet.google.com/abc-mnop-xyz", "https://meet.google.com/abc-mnop-xyz?hl=en"),
            (
                "https://meet.google.com/abc-mnop-xyz?pli=1&hl=de",
                "https://meet.google.com/abc-mnop-xyz?pli=1&hl=en",
            ),
            (
                "https://meet.google.com/abc-mnop-xyz?authuser=0#x",
                "https://meet.google.com/abc-mnop-xyz?authuser=0&hl=en#x",
            ),
        ] {
            assert_eq!(address(given).unwrap(), opened);
        }
    }
}
