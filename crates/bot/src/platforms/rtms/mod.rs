//! Zoom by its Realtime Media Streams (RTMS): the meeting's media are sent from server to server, and no bot is in the meeting. `docs/platforms/zoom.md`
//! documents it for users.

mod codes;
mod lines;
mod protocol;
mod session;
mod streams;
#[cfg(any(test, fuzzing))]
pub(crate) mod untrusted;

use std::{collections::VecDeque, time::Duration};

use async_trait::async_trait;
use meetbot_types::{
    CommandId, Failure, FailureCode,
    bot::{BotOrder, Lobby, RecordingRule, ZoomApp, ZoomStream, ZoomStreamState},
};
use tokio::sync::watch;
use url::Url;

use self::{
    codes::Stop,
    lines::{LineEvent, LineReport, Lines},
    protocol::{MediaType, Message, Sound, StreamId},
    session::{Action, Line, Session},
    streams::{Streams, everybody},
};
use super::{
    joins::{Joins, ZoomMedia},
    messages::Messages,
};
use crate::{
    bounds::{self, Exceeded},
    clock,
    connect::Connect,
    media::TrackId,
    meeting::{Attribution, CaptionLine, ChatLine, Meeting, MeetingEvent, Remainder, Source},
};

/// An ended stream is drained after this time without a message: media come from other servers than the end, and may
/// be later,
const QUIET: Duration = Duration::from_millis(300);
/// or after this many messages.
const LAST_MESSAGES: usize = 3_000;
/// Why there is no stream.
const NOT_OFFERED: &str = "no RTMS stream was offered: the app has to be added by a participant's account and allowed by the host's, its RTMS has to be started (or start by itself) in the meeting, its events have to reach this server's `/api/v1/hooks/zoom`, and the account needs RTMS credits";
/// Why the stream does not belong to this job.
const OTHER_JOBS_STREAM: &str =
    "another job, which was made earlier, has the stream of this meeting";

/// A meeting whose stream the bot receives or awaits.
pub(crate) struct RtmsMeeting {
    app: ZoomApp,
    /// The stream as the orchestrator sends it.
    stream_updates: watch::Receiver<Option<ZoomStream>>,
    /// State for the next join.
    received: watch::Sender<ZoomMedia>,
    call: Option<Session>,
    lines: Lines,
    streams: Streams,
    messages: Messages,
    /// The version of the stream that was handled last.
    version: u64,
    /// A mix was received.
    mixed: bool,
    /// The job's bots had a stream of this meeting before.
    was_in: bool,
    /// The event that ended the meeting, and how many messages are still handled.
    over: Option<(MeetingEvent, usize)>,
    /// Actions for the next calls of `next`. One waits until the events of those before it are handled: opening the recording takes a while, and the age of a
    /// line of the chat is that of the moment.
    actions: VecDeque<Action>,
    /// Events for the next calls of `next`.
    events: VecDeque<MeetingEvent>,
}

impl RtmsMeeting {
    /// Receives the stream of the order's meeting as soon as it exists.
    pub(crate) fn join(order: &BotOrder, app: &ZoomApp, connect: &Connect, joins: &Joins) -> Self {
        let mut meeting = Self {
            app: app.clone(),
            stream_updates: joins.zoom_stream.subscribe(),
            received: joins.zoom_media.clone(),
            call: None,
            lines: Lines::new(connect.tls.clone(), order.address_policy.clone()),
            streams: Streams::after(&joins.zoom_media.borrow()),
            messages: Messages::new(clock::now()),
            version: 0,
            mixed: false,
            was_in: order.joined_ms_ago.is_some() || joins.zoom_media.borrow().clock.is_some(),
            over: None,
            actions: VecDeque::new(),
            events: VecDeque::new(),
        };
        let known = meeting.stream_updates.borrow_and_update().clone();
        match known {
            Some(stream) => meeting.on_stream(stream),
            None => meeting.wait(NOT_OFFERED),
        }
        meeting
    }

    /// Waits for a stream.
    fn wait(&mut self, why: &str) {
        self.events.push_back(MeetingEvent::LobbyDetail(why.to_owned()));
        self.events.push_back(MeetingEvent::Lobby(Lobby::WaitingForHost));
    }

    /// The orchestrator sent a new state of the stream.
    fn on_stream(&mut self, stream: ZoomStream) {
        if stream.version <= self.version {
            return;
        }
        self.version = stream.version;
        let now = clock::now();
        let id = StreamId::new(&self.app, &stream.meeting_uuid, &stream.stream_id);
        let running = self.call.as_mut().filter(|call| *call.id() == id);
        let actions = match (stream.state, running) {
            (ZoomStreamState::Started | ZoomStreamState::Interrupted, Some(call)) => {
                call.moved(stream.server_urls, now)
            }
            (ZoomStreamState::Started | ZoomStreamState::Interrupted, None) => {
                let mut wanted = vec![
                    MediaType::Audio,
                    MediaType::Share,
                    MediaType::Transcript,
                    MediaType::Chat,
                ];
                wanted.extend(self.app.video.then_some(MediaType::Video));
                // Another stream of the meeting: the previous one is obsolete.
                self.lines.hang_up_all();
                let (call, actions) = Session::begin(id, stream.server_urls, wanted, now);
                self.call = Some(call);
                actions
            }
            (ZoomStreamState::Stopped, Some(call)) => call.stop(stream.stop_reason.map(u64::from)),
            (ZoomStreamState::Stopped, None) => {
                match codes::stop(stream.stop_reason.map(u64::from)) {
                    Stop::Interrupted(why) if !self.was_in => {
                        self.wait(&format!("{why}; {NOT_OFFERED}"));
                    }
                    stop => self.events.push_back(session::end_of(stop)),
                }
                return;
            }
            (ZoomStreamState::GivenToAnotherJob, Some(_)) => {
                self.events.push_back(MeetingEvent::Lost(OTHER_JOBS_STREAM.to_owned()));
                return;
            }
            (ZoomStreamState::GivenToAnotherJob, None) => return self.wait(OTHER_JOBS_STREAM),
        };
        self.actions.extend(actions);
    }

    /// Drives the stream until something happened.
    async fn step(&mut self) {
        let wake = self.call.as_ref().and_then(Session::wake);
        tokio::select! {
            stream = changed(&mut self.stream_updates) => {
                if let Some(stream) = stream {
                    self.on_stream(stream);
                }
            }
            report = self.lines.next() => self.on_line_report(report),
            () = clock::sleep_until(wake) => {
                let actions = self.call.as_mut().map(|call| call.poll(clock::now()));
                self.actions.extend(actions.unwrap_or_default());
            }
        }
    }

    fn on_line_report(&mut self, LineReport { line, event }: LineReport) {
        let now = clock::now();
        let Some(call) = &mut self.call else { return };
        let actions = match event {
            LineEvent::Connected => call.connected(line, now),
            LineEvent::Down(why) => call.down(line, &bounds::REASON.cut(why), now),
            LineEvent::Text(text) => {
                // Media are not counted: the recording bounds their bytes.
                if line.carries_media() {
                    self.messages.pass(text.len());
                } else if !self.messages.take(text.len(), now) {
                    let failure = Exceeded::Messages.failure();
                    self.events.push_back(MeetingEvent::Refused(failure));
                    return;
                }
                match Message::read(&text) {
                    Ok(message) => call.on_message(line, message, now),
                    Err(error) => {
                        let error = bounds::REASON.cut(error.to_string());
                        tracing::debug!(?line, error, "a message of Zoom is ignored");
                        return;
                    }
                }
            }
        };
        self.actions.extend(actions);
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Dial(line, url) => self.dial(line, &url),
            Action::HangUp(line) => self.lines.hang_up(line),
            Action::Send(line, message) => self.lines.send(line, message.to_string()),
            Action::Admit { people, first_ms } => {
                let (now, wall_ms) = (clock::now(), clock::wall().as_millis());
                let first = first_ms.map(|first| self.streams.begin(first, wall_ms, now));
                let from = first.unwrap_or(now);
                self.events.push_back(MeetingEvent::Replays { from });
                // Zoom shows a notice to everybody in the meeting, and the host's account allows the app.
                let recording = RecordingRule::Free;
                self.events.push_back(MeetingEvent::Admitted { people, recording });
            }
            Action::Emit(event) => self.events.push_back(event),
            Action::Media { media, piece, resumed } => {
                if resumed {
                    self.streams.resumed(media);
                }
                self.media(media, piece);
            }
            Action::Text { media, person, at_ms, span_ms, text } => {
                let (id, name) = person.map_or_else(Default::default, |it| (it.id, it.name));
                if !self.streams.is_new(media, &id, at_ms, &text) {
                    return;
                }
                let now = clock::now();
                self.events.push_back(if media == MediaType::Chat {
                    MeetingEvent::Chat(ChatLine {
                        id: format!("{at_ms}-{id}"),
                        sender_id: id,
                        sender: name,
                        text: bounds::MESSAGE.cut(text),
                        private: false,
                        ms_ago: self.streams.ms_ago(at_ms, now),
                    })
                } else {
                    let (from_ms, to_ms) = span_ms.unwrap_or((at_ms, at_ms));
                    MeetingEvent::Caption(CaptionLine {
                        speaker_id: id,
                        speaker: name,
                        began_ms_ago: self.streams.ms_ago(from_ms, now),
                        ended_ms_ago: self.streams.ms_ago(to_ms, now),
                        text: bounds::CAPTION.cut(text),
                    })
                });
            }
            Action::Speaks(person) => self.streams.speaks(person, clock::now()),
            Action::Shares(person) => self.streams.shares(person),
        }
    }

    fn media(&mut self, media: MediaType, piece: protocol::Media) {
        let now = clock::now();
        if media != MediaType::Audio {
            if let Some((participant, source, frame)) = self.streams.picture(media, piece, now) {
                self.events.push_back(MeetingEvent::Media { participant, source, frame });
            }
            return;
        }
        if piece.person.is_none() && !std::mem::replace(&mut self.mixed, true) {
            tracing::warn!("Zoom sends one mix instead of a stream for each person");
            let everybody = session::participant(&everybody());
            let (participant, attribution) = (everybody.id.clone(), Attribution::Mix);
            self.events.push_back(MeetingEvent::Joined(everybody));
            let source = Source::Microphone;
            self.events.push_back(MeetingEvent::Attributed { participant, source, attribution });
        }
        let sound = self.call.as_ref().map_or(Sound::Opus, Session::sound);
        if let Some((participant, frame)) = self.streams.sound(piece, sound, now) {
            let source = Source::Microphone;
            self.events.push_back(MeetingEvent::Media { participant, source, frame });
        }
    }

    /// Connects a line, if its server belongs to Zoom: the URL comes from a webhook or a server, and is checked.
    fn dial(&mut self, line: Line, url: &str) {
        match allowed(url, &self.app.hosts) {
            Ok(url) => self.lines.dial(line, url),
            Err(why) => {
                let failure = Failure::new(FailureCode::InternalError, why);
                self.events.push_back(MeetingEvent::Refused(failure));
            }
        }
    }
}

/// A server's URL, if it is one that a bot may connect to.
fn allowed(url: &str, hosts: &[String]) -> Result<Url, String> {
    let refused = |why: &str| format!("Zoom named a media server that {why}");
    let url = Url::parse(url).map_err(|error| refused(&format!("has no URL: {error}")))?;
    if url.scheme() != "wss" {
        return Err(refused("is not reached by wss"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("has a user name or a password in its URL"));
    }
    let host = url.domain().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let within = |domain: &String| {
        let domain = domain.trim_matches('.').to_ascii_lowercase();
        !domain.is_empty()
            && host.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if !hosts.iter().any(within) {
        return Err(refused(&format!("is not within {}", hosts.join(", "))));
    }
    Ok(url)
}

async fn changed(stream_updates: &mut watch::Receiver<Option<ZoomStream>>) -> Option<ZoomStream> {
    match stream_updates.changed().await {
        Ok(()) => stream_updates.borrow_and_update().clone(),
        Err(_) => std::future::pending().await,
    }
}

/// Whether an event is the last one.
const fn ends(event: &MeetingEvent) -> bool {
    matches!(
        event,
        MeetingEvent::Ended
            | MeetingEvent::Removed
            | MeetingEvent::Refused(_)
            | MeetingEvent::Lost(_)
            | MeetingEvent::ConsentRevoked
    )
}

#[async_trait]
impl Meeting for RtmsMeeting {
    async fn next(&mut self) -> MeetingEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                if !ends(&event) {
                    return event;
                }
                self.over.get_or_insert((event, LAST_MESSAGES));
                continue;
            }
            if let Some(action) = self.actions.pop_front() {
                self.perform(action);
                continue;
            }
            if let Some((_, left)) = &mut self.over {
                *left = left.saturating_sub(1);
                let more = *left > 0 && self.call.is_some();
                let last = if more {
                    tokio::time::timeout(QUIET, self.lines.next()).await.ok()
                } else {
                    None
                };
                match last {
                    Some(report) => self.on_line_report(report),
                    None => {
                        if let Some((end, _)) = self.over.take() {
                            self.received.send_replace(self.streams.received());
                            return end;
                        }
                    }
                }
                continue;
            }
            self.messages.yield_if_due().await;
            self.step().await;
        }
    }

    fn send_chat(&mut self, id: CommandId, _: String) {
        let why = "Zoom's Realtime Media Streams can be read and not written to";
        self.events.push_back(MeetingEvent::CommandDone { id, outcome: Err(why.to_owned()) });
    }

    fn request_permission(&mut self, id: CommandId) {
        let why = "the host's account allows the app, and Zoom lets the app ask for nothing more";
        self.events.push_back(MeetingEvent::CommandDone { id, outcome: Err(why.to_owned()) });
    }

    /// Does nothing: Zoom has no such request, and begins each camera with a keyframe.
    fn request_keyframe(&mut self, _: TrackId) {}

    async fn leave(mut self: Box<Self>) -> Remainder {
        if let Some(mut call) = self.call.take() {
            for act in call.leave() {
                if let Action::Send(line, message) = act {
                    self.lines.send(line, message.to_string());
                }
            }
        }
        self.lines.close().await;
        Remainder::default()
    }

    /// Leaves the stream open: closing it would end it for the next bot too.
    async fn hand_over(self: Box<Self>) -> Remainder {
        self.lines.close().await;
        Remainder::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_of_zoom_are_allowed() {
        let hosts = ["zoom.us".to_owned(), "zoomgov.com".to_owned()];
        for url in ["wss://rtms.zoom.us/x?y=1", "wss://zoom.us", "wss://RTMS.ZoomGov.com.:8443/"] {
            assert!(allowed(url, &hosts).is_ok(), "{url}");
        }
        for url in [
            "ws://rtms.zoom.us",
            "https://rtms.zoom.us",
            "wss://zoom.us.example.com",
            "wss://notzoom.us",
            "wss://127.0.0.1",
            "wss://[::1]",
            "wss://a:b@rtms.zoom.us",
            "wss://rtms.zoom.us@example.com",
            "wss://us",
            "",
            "zoom.us",
        ] {
            assert!(allowed(url, &hosts).is_err(), "{url}");
        }
        assert!(allowed("wss://rtms.zoom.us", &[]).is_err());
        assert!(allowed("wss://rtms.zoom.us", &[String::new(), ".".to_owned()]).is_err());
    }
}
