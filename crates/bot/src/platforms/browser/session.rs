//! The state machine of a browser meeting: surveys, channel messages and media in; events and actions out. Pure.

mod cameras;
mod captions;
mod chat;
mod ending;
mod join_flow;
mod looks;
mod roster;
mod uncaptured;
mod voices;

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use meetbot_types::{CommandId, Platform, bot::RecordingRule};

use self::{
    captions::Captions, chat::Chat, join_flow::JoinFlow, roster::Roster, uncaptured::Uncaptured,
};
use super::{
    capture::{PageEvent, Record},
    evidence::{Evidence, Shown},
    judge::History,
    landmarks::Landmarks,
    lanes::{Lanes, Speaker},
    page::Action,
    pictures::{Owner, PictureResult, Pictures},
    products::google_meet::{captions as caption_lines, layout::COLLECTIONS, wire},
    survey::Survey,
};
use crate::{
    bounds, media::Frame, meeting::MeetingEvent, platforms::joins::BrowserHistory,
    recording::attribution::Attributions,
};

/// The time between two looks: before the lobby, in the lobby, in the meeting and while leaving.
const LOOK_EVERY_JOINING: Duration = Duration::from_millis(250);
const LOOK_EVERY_LOBBY: Duration = Duration::from_millis(500);
const LOOK_EVERY_INSIDE: Duration = Duration::from_secs(1);
/// How long the page may take to confirm that the bot has left.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How many consecutive looks may fail.
const MOST_FAILED_LOOKS: u32 = 4;
/// How much longer a silent page is waited for.
const LATE_BEAT: Duration = Duration::from_secs(1);
/// After the button to join was pressed, a page that stays empty for this long counts as crashed.
const EMPTY_PAGE_TIMEOUT: Duration = Duration::from_secs(6);

/// An output of the session.
#[derive(Debug)]
pub(crate) enum Output {
    Event(MeetingEvent),
    Action(Action),
}

/// A failure that the next join must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Blocked,
    Dead,
}

/// The phase of the meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before the lobby, or in it.
    Outside,
    Inside,
    /// Until when the page may confirm that the bot has left.
    Leaving {
        until: Instant,
    },
    Over,
}

/// The state of a meeting.
#[derive(Debug)]
pub(crate) struct Session {
    landmarks: &'static Landmarks,
    url: String,
    room: String,
    earlier: BrowserHistory,
    mark: Option<Mark>,
    phase: Phase,
    opened: Instant,
    /// The account as which the page is to show the bot; `None`: it is a guest.
    account: Option<String>,
    /// In how many looks in a row the page was that of a guest, although it was to show an account.
    guest_looks: u32,
    /// The bot was admitted: the end is then not a failure to join.
    was_in: bool,
    evidence: Evidence,
    /// The last survey before the admission, and whether the page was in a known state.
    last_look: Option<(Survey, bool)>,
    history: History,
    join_flow: JoinFlow,
    roster: Roster,
    lanes: Lanes,
    pictures: Pictures,
    /// Media from before the admission.
    early: VecDeque<(Speaker, Frame)>,
    early_pictures: VecDeque<(Owner, PictureResult)>,
    chat: Chat,
    captions: Captions,
    /// The states of the page's connections.
    peers: HashMap<u32, String>,
    /// How the owners of media are known.
    attributions: Attributions,
    uncaptured: Uncaptured,
    /// The labels of the open channels.
    channels: HashMap<u16, String>,
    /// Since when the page shows the meeting.
    inside_since: Option<Instant>,
    /// Since when the page is empty.
    blank_since: Option<Instant>,
    /// The page reported an error since it was last not empty.
    fault: bool,
    /// The last sign of life of the script in the page.
    beat: Instant,
    /// Since when the script has been silent for too long.
    silent_since: Option<Instant>,
    next_look: Instant,
    failed_looks: u32,
    left_pressed: bool,
    output: VecDeque<Output>,
}

impl Session {
    /// The state when the page is opened.
    pub(crate) fn new(
        landmarks: &'static Landmarks,
        url: String,
        room: String,
        name: String,
        earlier: BrowserHistory,
        now: Instant,
    ) -> Self {
        Self {
            landmarks,
            url,
            room,
            earlier,
            mark: None,
            phase: Phase::Outside,
            opened: now,
            account: None,
            guest_looks: 0,
            was_in: false,
            evidence: Evidence::of(landmarks),
            last_look: None,
            history: History::default(),
            join_flow: JoinFlow::new(name, now),
            roster: Roster::default(),
            lanes: Lanes::new(now),
            pictures: Pictures::default(),
            early: VecDeque::new(),
            early_pictures: VecDeque::new(),
            chat: Chat::default(),
            captions: Captions::default(),
            peers: HashMap::new(),
            attributions: Attributions::of(&Platform::GoogleMeet),
            uncaptured: Uncaptured::default(),
            channels: HashMap::new(),
            inside_since: None,
            blank_since: None,
            fault: false,
            beat: now,
            silent_since: None,
            next_look: now,
            failed_looks: 0,
            left_pressed: false,
            output: VecDeque::new(),
        }
    }

    /// The same, with a page that has to show this account.
    pub(crate) fn signed_in_as(self, account: Option<String>) -> Self {
        Self { account, ..self }
    }

    /// Whether the bot was admitted.
    pub(crate) const fn was_in(&self) -> bool {
        self.was_in
    }

    /// The next output.
    pub(crate) fn output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// Whether the session is over.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Takes the failure that the next join must know.
    pub(crate) const fn take_mark(&mut self) -> Option<Mark> {
        self.mark.take()
    }

    /// The evidence of a failed join, once it is over.
    pub(crate) fn evidence(&self) -> Option<Evidence> {
        let shown =
            |(survey, is_known): &(Survey, bool)| Shown::of(survey, self.landmarks, *is_known);
        let evidence = || Evidence {
            knocks: self.join_flow.knocks(),
            connections: self.peers.values().cloned().collect(),
            page: self.last_look.as_ref().map(shown),
            ..self.evidence.clone()
        };
        (self.phase == Phase::Over && !self.was_in).then(evidence)
    }

    /// When to survey the page.
    pub(crate) const fn next_look(&self) -> Instant {
        self.next_look
    }

    /// When to call [`Session::tick`].
    pub(crate) fn wake(&self) -> Instant {
        let silent = self.silent_since.map_or_else(
            || self.beat + Duration::from_secs(self.landmarks.bounds.silent_s),
            |since| since + LATE_BEAT,
        );
        let leaves = if let Phase::Leaving { until } = self.phase { until } else { silent };
        let times = [
            self.lanes.wake(),
            self.pictures.wake(),
            self.chat.wake(),
            self.captions.wake().filter(|_| self.phase == Phase::Inside),
            Some(leaves),
        ];
        times.into_iter().flatten().fold(silent, Instant::min)
    }

    /// Handles timeouts.
    pub(crate) fn tick(&mut self, now: Instant) {
        let frames = self.lanes.overdue(now);
        self.media(frames);
        let shown = self.pictures.overdue(now);
        self.shown(shown);
        self.chat.tick(now, &mut self.output);
        if self.phase == Phase::Inside {
            let spoken = self.captions.complete(now);
            self.spoken(spoken, now);
        }
        if matches!(self.phase, Phase::Leaving { until } if until <= now) {
            self.phase = Phase::Over;
        }
        if now >= self.beat + Duration::from_secs(self.landmarks.bounds.silent_s) {
            // If this process was suspended, what the page has sent meanwhile is not read yet.
            let since = *self.silent_since.get_or_insert(now);
            if now >= since + LATE_BEAT {
                self.lose("the meeting's page no longer answers");
            }
        }
    }

    /// Queues a chat message.
    pub(crate) fn send_chat(&mut self, id: CommandId, text: &str, now: Instant) {
        if self.phase == Phase::Inside {
            self.chat.send(id, text, now);
        } else {
            let outcome = Err("the bot is not in the meeting".to_owned());
            self.emit(MeetingEvent::CommandDone { id, outcome });
        }
    }

    /// Fails: in Google Meet a participant cannot ask for permission.
    pub(crate) fn request_permission(&mut self, id: CommandId) {
        let outcome =
            Err("in Google Meet a participant cannot ask for permission to record".to_owned());
        self.emit(MeetingEvent::CommandDone { id, outcome });
    }

    /// A survey of the page failed.
    pub(crate) fn cannot_look(&mut self, why: &str, now: Instant) {
        self.failed_looks += 1;
        self.next_look = now + LOOK_EVERY_LOBBY;
        if self.failed_looks >= MOST_FAILED_LOOKS {
            self.lose(&format!("the meeting's page cannot be looked at: {why}"));
        }
    }

    /// Handles a record of the page's script.
    pub(crate) fn on_record(&mut self, record: Record, now: Instant) {
        (self.beat, self.silent_since) = (now, None);
        match record {
            Record::Sound(sound) => {
                let frames = self.lanes.take(sound, now);
                self.media(frames);
            }
            Record::Picture(picture) => {
                let shown = self.pictures.take(picture, now);
                self.shown(shown);
            }
            Record::Message { channel, bytes } => {
                match self.channels.get(&channel).map(String::as_str) {
                    Some(COLLECTIONS) => {
                        if let Some(update) = wire::collections(&bytes) {
                            self.update(update, now);
                        }
                    }
                    Some(label) => {
                        let versions = caption_lines::captions(label, &bytes).unwrap_or_default();
                        self.captioned(versions, now);
                    }
                    None => {}
                }
            }
            Record::Answer(bytes) => {
                if let Some(people) = wire::roster(&bytes).filter(|people| !people.is_empty()) {
                    let gone = self.roster.gone(&people);
                    self.people(people);
                    self.people(gone);
                    self.name_the_unknown();
                }
            }
            Record::PageEvent(event) => self.on_page_event(event),
        }
        self.admit(now);
    }

    fn on_page_event(&mut self, event: PageEvent) {
        match event {
            PageEvent::Peer { id, state } => {
                if state == "closed" {
                    self.peers.remove(&id);
                } else {
                    self.peers.insert(id, state);
                }
            }
            PageEvent::Channel { id, label, open: true } => {
                self.evidence.opened(&label);
                if self.channels.len() < bounds::STREAMS {
                    self.channels.insert(id, label);
                }
            }
            PageEvent::Channel { id, open: false, .. } => {
                self.channels.remove(&id);
            }
            PageEvent::Devices { asking } => self.join_flow.ask_for_devices(asking > 0),
            PageEvent::Fault { message } => {
                self.evidence.failed(&message);
                self.fault = true;
            }
            PageEvent::Uncaptured { lane, kind, encoded } => {
                self.on_uncaptured(lane, &kind, encoded);
            }
            PageEvent::Format { lane, mime } => {
                tracing::warn!(
                    lane,
                    mime,
                    "a page receives audio in a format that is not recorded"
                );
            }
            PageEvent::Lane { lane, kind, stream } => {
                tracing::debug!(lane, kind, "a page has a receiver");
                if kind == "video" {
                    self.pictures.stream(lane, stream);
                }
            }
            PageEvent::Stream { lane, stream } => self.pictures.stream(lane, stream),
            PageEvent::Beat => {}
        }
    }

    fn update(&mut self, update: wire::Update, now: Instant) {
        self.people(update.people);
        for output in update.outputs {
            match output.sends {
                wire::Sends::Sound(source) => {
                    let (frames, unknown) = self.lanes.bind(source, output.device.clone());
                    if let Some(Speaker::Source { source, turn }) = unknown {
                        self.roster.was(voices::unknown_speaker(source, turn).0, output.device);
                    }
                    self.media(frames);
                }
                wire::Sends::Pictures(name) => {
                    let shown = self.pictures.bind(name, output.device, now);
                    self.shown(shown);
                }
            }
        }
        self.name_the_unknown();
        for line in update.chat {
            if self.phase == Phase::Outside {
                self.chat.keep(line, now);
            } else {
                self.chat_line((line, now), now);
            }
        }
    }

    fn chat_line(&mut self, line: (wire::Line, Instant), now: Instant) {
        let line = self.chat.on_line(line, &self.roster, now, &mut self.output);
        if self.phase == Phase::Inside {
            self.output.extend(line.map(MeetingEvent::Chat).map(Output::Event));
        }
    }

    fn people(&mut self, people: Vec<wire::Person>) {
        for person in people {
            let change = match self.roster.update(person) {
                Ok(change) => change,
                Err(exceeded) => return self.exceed(exceeded),
            };
            match change {
                roster::RosterChange::Joined(participant) if self.phase == Phase::Inside => {
                    self.emit(MeetingEvent::Joined(participant));
                }
                roster::RosterChange::Left(device) => {
                    self.lanes.unbind(&device);
                    self.pictures.unbind(&device);
                    if self.phase == Phase::Inside {
                        self.emit(MeetingEvent::Left(device));
                    }
                }
                roster::RosterChange::ShareEnded(device) => {
                    self.lanes.unbind(&device);
                    self.pictures.unbind(&device);
                }
                roster::RosterChange::RemovedSelf if self.phase == Phase::Inside => {
                    self.end(MeetingEvent::Removed);
                }
                _ => {}
            }
        }
    }

    /// Admits the bot once page, roster, channel and media path all confirm it. If the messages cannot be read, page and media path suffice
    /// after a while.
    fn admit(&mut self, now: Instant) {
        let Some(since) = self.inside_since.filter(|_| self.phase == Phase::Outside) else {
            return;
        };
        let media = self.peers.values().any(|state| state == "connected");
        let has_channel = self.channels.values().any(|label| label == COLLECTIONS);
        let waited = now.saturating_duration_since(since)
            >= Duration::from_secs(self.landmarks.bounds.wire_s);
        if !(media && (has_channel && self.roster.has_self() || waited)) {
            return;
        }
        if !self.roster.has_self() {
            tracing::warn!("Google Meet's messages cannot be read; no names are known");
        }
        (self.phase, self.was_in) = (Phase::Inside, true);
        let own_id = self.roster.own_id().unwrap_or("the bot").to_owned();
        let (platform, room) = (Platform::GoogleMeet, self.room.clone());
        self.emit(MeetingEvent::JoiningAs { platform, room, own_id });
        let early: Vec<_> = std::mem::take(&mut self.early).into();
        let early_pictures: Vec<_> = std::mem::take(&mut self.early_pictures).into();
        let shown_at = early_pictures.iter().filter_map(|(_, shown)| match shown {
            PictureResult::Frame(frame) => Some(frame.arrived),
            PictureResult::Unavailable { .. } => None,
        });
        if let Some(from) = early.iter().map(|(_, frame)| frame.arrived).chain(shown_at).min() {
            self.emit(MeetingEvent::Replays { from });
        }
        let people = self.roster.others();
        self.emit(MeetingEvent::Admitted { people, recording: RecordingRule::Free });
        self.report_lack();
        self.media(early);
        self.shown(early_pictures);
        for line in self.chat.take_early() {
            self.chat_line(line, now);
        }
        self.name_the_unknown();
    }

    fn emit(&mut self, event: MeetingEvent) {
        if self.phase != Phase::Over {
            self.output.push_back(Output::Event(event));
        }
    }
}

#[cfg(test)]
mod tests;
