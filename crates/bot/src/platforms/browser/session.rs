//! A meeting as its page, its data channels and its media tell it: what was seen in, events and acts out. Pure.

mod cameras;
mod chat;
mod door;
mod looks;
mod roster;
mod voices;

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use meetbot_types::{CommandId, Failure, FailureCode, Platform, bot::RecordingRule};

use self::{chat::Chat, door::Door, roster::Roster};
use super::{
    capture::{Happened, Record},
    evidence::{Evidence, Shown},
    judge::History,
    landmarks::Landmarks,
    lanes::{Lanes, Speaker},
    page::Act,
    pictures::{Owner, Pictures, Seen},
    products::google_meet::wire,
    survey::Survey,
};
use crate::{
    bounds::{self, Exceeded},
    media::Frame,
    meeting::MeetingEvent,
    platforms::joins::BrowserHistory,
};

/// The time from look to look: on the way in, at the door, in the meeting, on the way out.
const LOOKS_ARRIVING: Duration = Duration::from_millis(250);
const LOOKS_AT_DOOR: Duration = Duration::from_millis(500);
const LOOKS_INSIDE: Duration = Duration::from_secs(1);
/// How long the page may take to show that the bot has left.
const LEAVES: Duration = Duration::from_secs(3);
/// So many looks in a row may fail.
const MOST_FAILED_LOOKS: u32 = 4;
/// A page that shows nothing at all, behind the button to join, is dead after this time.
const DEAD: Duration = Duration::from_secs(6);
/// The channel that tells who is there.
const COLLECTIONS: &str = "collections";

/// What follows from something.
#[derive(Debug)]
pub(crate) enum Output {
    Event(MeetingEvent),
    Act(Act),
}

/// Why the next join has to know of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Blocked,
    Dead,
}

/// Where the bot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// On its way to the button to join, or at the door.
    Outside,
    Inside,
    /// Until when the page may show that the bot has left.
    Leaving {
        until: Instant,
    },
    Over,
}

/// A meeting.
#[derive(Debug)]
pub(crate) struct Session {
    landmarks: &'static Landmarks,
    url: String,
    room: String,
    earlier: BrowserHistory,
    mark: Option<Mark>,
    phase: Phase,
    opened: Instant,
    /// It was let in: its end is then no failure to join.
    was_in: bool,
    evidence: Evidence,
    /// The last look on the way in, and whether it showed something known.
    last_look: Option<(Survey, bool)>,
    history: History,
    door: Door,
    roster: Roster,
    lanes: Lanes,
    pictures: Pictures,
    /// What came before the bot has seen that it is in.
    early: VecDeque<(Speaker, Frame)>,
    early_pictures: VecDeque<(Owner, Seen)>,
    chat: Chat,
    /// The states of the page's connections.
    peers: HashMap<u32, String>,
    /// The labels of the channels that are open.
    channels: HashMap<u16, String>,
    /// Since when the page shows the meeting.
    inside_since: Option<Instant>,
    /// Since when it shows nothing at all.
    blank_since: Option<Instant>,
    /// It reported an error since it last showed something.
    fault: bool,
    /// The last sign of the script in the page.
    beat: Instant,
    next_look: Instant,
    failed_looks: u32,
    left_pressed: bool,
    output: VecDeque<Output>,
}

impl Session {
    /// A meeting whose page is being opened.
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
            was_in: false,
            evidence: Evidence::of(landmarks),
            last_look: None,
            history: History::default(),
            door: Door::new(name, now),
            roster: Roster::default(),
            lanes: Lanes::new(now),
            pictures: Pictures::default(),
            early: VecDeque::new(),
            early_pictures: VecDeque::new(),
            chat: Chat::default(),
            peers: HashMap::new(),
            channels: HashMap::new(),
            inside_since: None,
            blank_since: None,
            fault: false,
            beat: now,
            next_look: now,
            failed_looks: 0,
            left_pressed: false,
            output: VecDeque::new(),
        }
    }

    /// What is to be told or done next.
    pub(crate) fn output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// Whether nothing more follows.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// What the next join has to know, once.
    pub(crate) const fn take_mark(&mut self) -> Option<Mark> {
        self.mark.take()
    }

    /// What is to be kept of a join that is over and has failed.
    pub(crate) fn evidence(&self) -> Option<Evidence> {
        let shown =
            |(survey, is_known): &(Survey, bool)| Shown::of(survey, self.landmarks, *is_known);
        let evidence = || Evidence {
            knocks: self.door.knocks(),
            connections: self.peers.values().cloned().collect(),
            page: self.last_look.as_ref().map(shown),
            ..self.evidence.clone()
        };
        (self.phase == Phase::Over && !self.was_in).then(evidence)
    }

    /// When to look at the page.
    pub(crate) const fn next_look(&self) -> Instant {
        self.next_look
    }

    /// When to call [`Session::tick`].
    pub(crate) fn wake(&self) -> Instant {
        let silent = self.beat + Duration::from_secs(self.landmarks.bounds.silent_s);
        let leaves = if let Phase::Leaving { until } = self.phase { until } else { silent };
        let times = [self.lanes.wake(), self.pictures.wake(), self.chat.wake(), Some(leaves)];
        times.into_iter().flatten().fold(silent, Instant::min)
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant) {
        let frames = self.lanes.overdue(now);
        self.media(frames);
        let shown = self.pictures.overdue(now);
        self.shown(shown);
        self.chat.tick(now, &mut self.output);
        if matches!(self.phase, Phase::Leaving { until } if until <= now) {
            self.phase = Phase::Over;
        }
        if now >= self.beat + Duration::from_secs(self.landmarks.bounds.silent_s) {
            self.lose("the meeting's page no longer answers");
        }
    }

    /// A chat message is to be written.
    pub(crate) fn send_chat(&mut self, id: CommandId, text: &str, now: Instant) {
        if self.phase == Phase::Inside {
            self.chat.send(id, text, now);
        } else {
            let outcome = Err("the bot is not in the meeting".to_owned());
            self.tell(MeetingEvent::CommandDone { id, outcome });
        }
    }

    /// Google Meet has no permission that a participant could ask for.
    pub(crate) fn request_permission(&mut self, id: CommandId) {
        let outcome = Err("Google Meet lets nobody ask for permission to record".to_owned());
        self.tell(MeetingEvent::CommandDone { id, outcome });
    }

    /// The bot is to leave.
    pub(crate) fn leave(&mut self, now: Instant) {
        self.phase = match self.phase {
            Phase::Inside => Phase::Leaving { until: now + LEAVES },
            _ => Phase::Over,
        };
        self.next_look = now;
    }

    /// The way to the meeting is lost.
    pub(crate) fn lose(&mut self, why: &str) {
        if let Phase::Leaving { .. } = self.phase {
            self.phase = Phase::Over;
        }
        self.end(MeetingEvent::Lost(why.to_owned()));
    }

    /// The page crashed, or is dead.
    pub(crate) fn die(&mut self, why: &str) {
        self.mark = Some(Mark::Dead);
        if self.earlier.dead >= 2 && self.phase == Phase::Outside {
            let failure = Failure::new(FailureCode::InternalError, why);
            self.end(MeetingEvent::Unreachable(failure));
        } else {
            self.lose(why);
        }
    }

    /// The page could not be looked at.
    pub(crate) fn cannot_look(&mut self, why: &str, now: Instant) {
        self.failed_looks += 1;
        self.next_look = now + LOOKS_AT_DOOR;
        if self.failed_looks >= MOST_FAILED_LOOKS {
            self.lose(&format!("the meeting's page cannot be looked at: {why}"));
        }
    }

    /// The page hands something out.
    pub(crate) fn hear(&mut self, record: Record, now: Instant) {
        self.beat = now;
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
                if self.channels.get(&channel).is_some_and(|label| label == COLLECTIONS)
                    && let Some(update) = wire::collections(&bytes)
                {
                    self.update(update, now);
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
            Record::Happened(happened) => self.happened(happened),
        }
        self.admit(now);
    }

    fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Peer { id, state } => {
                if state == "closed" {
                    self.peers.remove(&id);
                } else {
                    self.peers.insert(id, state);
                }
            }
            Happened::Channel { id, label, open: true } => {
                self.evidence.opened(&label);
                if self.channels.len() < bounds::STREAMS {
                    self.channels.insert(id, label);
                }
            }
            Happened::Channel { id, open: false, .. } => {
                self.channels.remove(&id);
            }
            Happened::Devices { asking } => self.door.ask_for_devices(asking > 0),
            Happened::Fault { message } => {
                self.evidence.failed(&message);
                self.fault = true;
            }
            Happened::Format { lane, mime } => {
                tracing::warn!(
                    lane,
                    mime,
                    "a page receives sound in a format that is not recorded"
                );
            }
            Happened::Lane { lane, kind, stream } => {
                tracing::debug!(lane, kind, "a page has a receiver");
                if kind == "video" {
                    self.pictures.stream(lane, stream);
                }
            }
            Happened::Stream { lane, stream } => self.pictures.stream(lane, stream),
            Happened::Beat => {}
        }
    }

    fn update(&mut self, update: wire::Update, now: Instant) {
        self.people(update.people);
        for output in update.outputs {
            match output.sends {
                wire::Sends::Sound(source) => {
                    let (frames, unknown) = self.lanes.bind(source, output.device.clone());
                    if let Some(Speaker::Source { source, turn }) = unknown {
                        self.roster.was(voices::nobody(source, turn).0, output.device);
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
            let line = self.chat.hear(line, &self.roster, now, &mut self.output);
            if self.phase == Phase::Inside {
                self.output.extend(line.map(MeetingEvent::Chat).map(Output::Event));
            }
        }
    }

    fn people(&mut self, people: Vec<wire::Person>) {
        for person in people {
            let news = match self.roster.hear(person) {
                Ok(news) => news,
                Err(exceeded) => return self.exceed(exceeded),
            };
            match news {
                roster::News::Came(participant) if self.phase == Phase::Inside => {
                    self.tell(MeetingEvent::Joined(participant));
                }
                roster::News::Left(device) => {
                    self.lanes.unbind(&device);
                    self.pictures.unbind(&device);
                    if self.phase == Phase::Inside {
                        self.tell(MeetingEvent::Left(device));
                    }
                }
                roster::News::NoLongerShared(device) => {
                    self.lanes.unbind(&device);
                    self.pictures.unbind(&device);
                }
                roster::News::RemovedSelf if self.phase == Phase::Inside => {
                    self.end(MeetingEvent::Removed);
                }
                _ => {}
            }
        }
    }

    /// The bot is in once everything says so: the page, the roster, the channel and the media path. Where the messages cannot be read, the page alone is believed
    /// after a while.
    fn admit(&mut self, now: Instant) {
        let Some(since) = self.inside_since.filter(|_| self.phase == Phase::Outside) else {
            return;
        };
        let media = self.peers.values().any(|state| state == "connected");
        let has_channel = self.channels.values().any(|label| label == COLLECTIONS);
        let waited = now.saturating_duration_since(since)
            >= Duration::from_secs(self.landmarks.bounds.wire_s);
        if !(media && (has_channel && self.roster.holds_self() || waited)) {
            return;
        }
        if !self.roster.holds_self() {
            tracing::warn!("Google Meet's messages cannot be read; nobody's name is known");
        }
        (self.phase, self.was_in) = (Phase::Inside, true);
        let own_id = self.roster.own_id().unwrap_or("the bot").to_owned();
        let (platform, room) = (Platform::GoogleMeet, self.room.clone());
        self.tell(MeetingEvent::JoiningAs { platform, room, own_id });
        let early: Vec<_> = std::mem::take(&mut self.early).into();
        let early_pictures: Vec<_> = std::mem::take(&mut self.early_pictures).into();
        let shown_at = early_pictures.iter().filter_map(|(_, shown)| match shown {
            Seen::Frame(frame) => Some(frame.arrived),
            Seen::Unavailable { .. } => None,
        });
        if let Some(from) = early.iter().map(|(_, frame)| frame.arrived).chain(shown_at).min() {
            self.tell(MeetingEvent::Replays { from });
        }
        let people = self.roster.others();
        self.tell(MeetingEvent::Admitted { people, recording: RecordingRule::Free });
        self.media(early);
        self.shown(early_pictures);
        self.name_the_unknown();
    }

    fn give_up(&mut self, why: &str, survey: &Survey) {
        let version = &self.landmarks.version;
        self.evidence.ended = Some(why.to_owned());
        let detail = format!("{why}; {} (landmarks of {version})", survey.in_short());
        self.end(MeetingEvent::Unreachable(Failure::new(FailureCode::InternalError, detail)));
    }

    /// The meeting went beyond a bound.
    pub(crate) fn exceed(&mut self, exceeded: Exceeded) {
        self.end(MeetingEvent::Refused(exceeded.failure()));
    }

    fn tell(&mut self, event: MeetingEvent) {
        if self.phase != Phase::Over {
            self.output.push_back(Output::Event(event));
        }
    }

    /// The first end counts.
    fn end(&mut self, event: MeetingEvent) {
        if self.phase != Phase::Over && self.evidence.ended.is_none() {
            self.evidence.ended = event.why();
        }
        self.tell(event);
        self.phase = Phase::Over;
    }
}

#[cfg(test)]
mod tests;
