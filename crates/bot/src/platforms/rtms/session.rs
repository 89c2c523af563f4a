//! One stream, without its sockets: what is heard and what time it is go in, what to dial, say and tell comes out.
//!
//! A stream has a signalling connection and one connection for each type of media. The server asks on each every 10 s whether it is still there; after three
//! questions without an answer it cuts that connection, and ends the stream when the signalling connection is away for 60 s, or one of media for 30 s.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use meetbot_types::{
    Failure, FailureCode,
    bot::{Participant, RecordingRule},
};
use serde_json::Value;

use super::{
    codes::{self, Refusal, Stop},
    protocol::{
        self, AudioFormat, Event, Media, MediaType, Message, Person, Servers, SessionState,
        StreamId, StreamState, Text,
    },
};
use crate::meeting::MeetingEvent;

/// A connection on which nothing comes for this long is down (three keep-alives; the documents advise the same).
const SILENCE: Duration = Duration::from_secs(30);
/// How long a handshake may wait for its answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the server waits for the signalling connection to come back.
const LONGEST_ABSENCE: Duration = Duration::from_secs(60);
/// The waits between tries (those of Zoom's own client).
const RETRIES: [u64; 5] = [3, 6, 12, 24, 30];
/// How long a stopped session may wait for another one, or for the stream to end.
const BETWEEN_SESSIONS: Duration = Duration::from_secs(30);

/// A connection of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Line {
    Signalling,
    Media(MediaType),
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Act {
    /// Connect this line; the one that was there is dropped.
    Dial(Line, String),
    /// Drop it.
    HangUp(Line),
    /// Say this on it.
    Say(Line, Value),
    /// Tell the bot.
    Tell(MeetingEvent),
    /// A piece of somebody's media. `resumed`: its connection was down since the piece before it.
    Media { media: MediaType, person: Option<Person>, at_ms: u64, data: Vec<u8>, resumed: bool },
    /// A line of the transcript, or of the chat.
    Text { media: MediaType, person: Option<Person>, at_ms: u64, span_ms: Option<(u64, u64)>, text: String },
    /// The host withdrew consent: what was recorded is to be deleted.
    Revoked,
}

/// How far a connection is.
#[derive(Debug)]
enum State {
    /// To be dialled again at this time, or never.
    Down(Option<Instant>),
    Dialling,
    /// Since when its handshake waits for an answer.
    Asking(Instant),
    /// When something was last heard on it.
    Up(Instant),
}

#[derive(Debug)]
struct Connection {
    url: String,
    state: State,
    /// How often in a row it failed.
    failures: usize,
    /// Since when it is not up.
    away_since: Instant,
    /// It was down since its last piece of media.
    resumed: bool,
}

pub(super) struct Session {
    id: StreamId,
    sequence: u64,
    lines: BTreeMap<Line, Connection>,
    wanted: Vec<MediaType>,
    audio: AudioFormat,
    people: HashMap<String, String>,
    admitted: bool,
    paused: bool,
    /// Why the session stopped, and until when another one may begin.
    stopped: Option<(Option<u64>, Instant)>,
    over: bool,
}

impl Session {
    /// A stream whose signalling server is at `url`.
    pub(super) fn begin(id: StreamId, url: &str, wanted: Vec<MediaType>, now: Instant) -> (Self, Vec<Act>) {
        let mut session = Self {
            id,
            sequence: 0,
            lines: BTreeMap::new(),
            wanted,
            audio: AudioFormat::Opus,
            people: HashMap::new(),
            admitted: false,
            paused: false,
            stopped: None,
            over: false,
        };
        let acts = session.dial(Line::Signalling, url, now);
        (session, acts)
    }

    /// The stream goes on at other servers: all connections are made anew.
    pub(super) fn moved(&mut self, url: &str, now: Instant) -> Vec<Act> {
        self.stopped = None;
        let lines: Vec<Line> = self.lines.keys().copied().collect();
        let mut acts: Vec<Act> = lines.into_iter().map(Act::HangUp).collect();
        for connection in self.lines.values_mut() {
            connection.resumed = true;
        }
        self.lines.retain(|line, connection| {
            connection.state = State::Down(None);
            *line != Line::Signalling
        });
        acts.extend(self.dial(Line::Signalling, url, now));
        acts
    }

    fn dial(&mut self, line: Line, url: &str, now: Instant) -> Vec<Act> {
        let connection = self.lines.entry(line).or_insert_with(|| Connection {
            url: String::new(),
            state: State::Dialling,
            failures: 0,
            away_since: now,
            resumed: false,
        });
        url.clone_into(&mut connection.url);
        connection.state = State::Dialling;
        vec![Act::Dial(line, url.to_owned())]
    }

    /// A line is connected: its handshake is said.
    pub(super) fn connected(&mut self, line: Line, now: Instant) -> Vec<Act> {
        let Some(connection) = self.lines.get_mut(&line) else { return vec![Act::HangUp(line)] };
        connection.state = State::Asking(now);
        self.sequence += 1;
        let handshake = match line {
            Line::Signalling => self.id.signalling_handshake(self.sequence),
            Line::Media(media) => self.id.media_handshake(media, self.audio, self.sequence),
        };
        vec![Act::Say(line, handshake)]
    }

    /// A line is down, or could not be connected.
    pub(super) fn down(&mut self, line: Line, why: &str, now: Instant) -> Vec<Act> {
        if self.over {
            return Vec::new();
        }
        // The server closes its connections when a stream is over.
        if line == Line::Signalling && let Some((reason, _)) = self.stopped {
            return self.stop(reason);
        }
        let Some(connection) = self.lines.get_mut(&line) else { return Vec::new() };
        if matches!(connection.state, State::Up(_)) {
            connection.away_since = now;
            connection.resumed = true;
        }
        let wait = RETRIES[connection.failures.min(RETRIES.len() - 1)];
        // The first try follows at once: most cuts are short.
        let wait = if connection.failures == 0 { 0 } else { wait };
        connection.failures += 1;
        connection.state = State::Down(Some(now + Duration::from_secs(wait)));
        tracing::info!(?line, why, "a connection to Zoom is down");
        vec![Act::HangUp(line)]
    }
}

impl Session {
    /// A message came on a line.
    pub(super) fn hear(&mut self, line: Line, message: Message<'_>, now: Instant) -> Vec<Act> {
        let Some(connection) = self.lines.get_mut(&line) else { return Vec::new() };
        if let State::Up(heard) = &mut connection.state {
            *heard = now;
        }
        match (message, line) {
            (Message::KeepAlive { timestamp }, _) => {
                vec![Act::Say(line, protocol::keep_alive(timestamp))]
            }
            (Message::SignallingAnswer { status: 0, servers, .. }, Line::Signalling) => {
                self.signalling_is_up(&servers, now)
            }
            (Message::SignallingAnswer { status, reason, .. }, Line::Signalling) => {
                self.refused(line, codes::signalling_refusal(status, &reason), now)
            }
            (Message::MediaAnswer { status: 0, .. }, Line::Media(media)) => self.media_is_up(media, now),
            (Message::MediaAnswer { status, reason }, Line::Media(media)) => {
                self.refused(line, codes::media_refusal(media, status, &reason), now)
            }
            (Message::Event(event), Line::Signalling) => self.event(event, now),
            (Message::Stream { state, reason }, Line::Signalling) => self.stream(state, reason, now),
            (Message::Session { state, reason }, Line::Signalling) => self.session(state, reason, now),
            (Message::Audio(media), Line::Media(MediaType::Audio)) => {
                self.media(MediaType::Audio, media)
            }
            (Message::Video(media), Line::Media(MediaType::Video)) => {
                self.media(MediaType::Video, media)
            }
            (Message::Share(media), Line::Media(MediaType::Share)) => {
                self.media(MediaType::Share, media)
            }
            (Message::Transcript(text), Line::Media(MediaType::Transcript)) => {
                self.text(MediaType::Transcript, text)
            }
            (Message::Chat(text), Line::Media(MediaType::Chat)) => self.text(MediaType::Chat, text),
            // On the wrong line, or of no interest.
            _ => Vec::new(),
        }
    }

    fn up(&mut self, line: Line, now: Instant) {
        if let Some(connection) = self.lines.get_mut(&line) {
            connection.state = State::Up(now);
            connection.failures = 0;
        }
    }

    fn signalling_is_up(&mut self, servers: &Servers, now: Instant) -> Vec<Act> {
        self.up(Line::Signalling, now);
        let mut acts = vec![Act::Say(Line::Signalling, protocol::subscription())];
        if servers.of(MediaType::Audio).is_none() {
            let detail = "Zoom gives this app no sound of the meeting: the app needs the scope `meeting:read:meeting_audio`";
            acts.extend(self.end(MeetingEvent::Refused(Failure::new(FailureCode::RecordingDisabled, detail))));
            return acts;
        }
        for media in self.wanted.clone() {
            match servers.of(media) {
                Some(url) => acts.extend(self.dial(Line::Media(media), url, now)),
                None => tracing::info!("Zoom does not give the meeting's {}", codes::word(media)),
            }
        }
        acts
    }

    fn media_is_up(&mut self, media: MediaType, now: Instant) -> Vec<Act> {
        self.up(Line::Media(media), now);
        let mut acts = vec![Act::Say(Line::Signalling, self.id.client_ready())];
        if media == MediaType::Audio && !self.admitted {
            self.admitted = true;
            let people = self.people.iter().map(|(id, name)| participant(id, name)).collect();
            // Everybody in the meeting sees Zoom's own notice, and the host has agreed to the app.
            let recording = RecordingRule::Free;
            acts.push(Act::Tell(MeetingEvent::Admitted { people, recording }));
        }
        acts
    }

    fn refused(&mut self, line: Line, refusal: Refusal, now: Instant) -> Vec<Act> {
        match (refusal, line) {
            (Refusal::Failed(failure), _) => self.end(MeetingEvent::Refused(failure)),
            (Refusal::AudioFormat, _) if self.audio == AudioFormat::Opus => {
                self.audio = AudioFormat::L16;
                let url = self.lines.get(&line).map(|connection| connection.url.clone());
                url.map_or_else(Vec::new, |url| self.dial(line, &url, now))
            }
            (Refusal::AudioFormat, _) => {
                let detail = "Zoom gives this meeting's sound neither as Opus nor as L16 at 48 kHz";
                self.end(MeetingEvent::Refused(Failure::new(FailureCode::InternalError, detail)))
            }
            (Refusal::NotGiven(why), Line::Media(MediaType::Audio)) => {
                self.end(MeetingEvent::Refused(Failure::new(FailureCode::RecordingDisabled, why)))
            }
            (Refusal::NotGiven(why), _) => {
                tracing::info!(why, "a type of media is not recorded");
                self.lines.remove(&line);
                vec![Act::HangUp(line)]
            }
            (Refusal::Gone(why), _) => self.end(MeetingEvent::Lost(why)),
            (Refusal::Duplicate, _) => {
                self.down(line, "another connection of this stream is there", now)
            }
        }
    }

    fn event(&mut self, event: Event, now: Instant) -> Vec<Act> {
        match event {
            Event::Joined(people) => {
                people.into_iter().filter_map(|person| self.know(Some(&person))).collect()
            }
            Event::Left(people) => {
                let left = people.into_iter().filter(|person| self.people.remove(&person.id).is_some());
                let left: Vec<_> = left.map(|person| MeetingEvent::Left(person.id)).collect();
                left.into_iter().filter(|_| self.admitted).map(Act::Tell).collect()
            }
            Event::Speaker(person) => self.know(Some(&person)).into_iter().collect(),
            Event::MediaInterrupted => {
                // Of which type is not said in a way that all servers share: a connection that is up answers for itself.
                let silent: Vec<Line> = self.silent_media(now);
                silent.into_iter().flat_map(|line| self.down(line, "Zoom says that it is interrupted", now)).collect()
            }
            Event::SharingStarted(_) | Event::SharingStopped(_) | Event::Video { .. } | Event::Other(_) => Vec::new(),
        }
    }

    fn silent_media(&self, now: Instant) -> Vec<Line> {
        let silent = |connection: &Connection| match connection.state {
            State::Up(heard) => now.saturating_duration_since(heard) > Duration::from_secs(1),
            _ => false,
        };
        let media = self.lines.iter().filter(|(line, _)| **line != Line::Signalling);
        media.filter(|(_, connection)| silent(connection)).map(|(line, _)| *line).collect()
    }

    fn stream(&mut self, state: StreamState, reason: Option<u64>, now: Instant) -> Vec<Act> {
        match state {
            StreamState::Active | StreamState::Resumed => {
                self.paused = false;
                Vec::new()
            }
            StreamState::Paused => {
                self.paused = true;
                Vec::new()
            }
            StreamState::Terminating => {
                self.stopped.get_or_insert((reason, now + BETWEEN_SESSIONS));
                Vec::new()
            }
            StreamState::Terminated => {
                let reason = reason.or(self.stopped.and_then(|(reason, _)| reason));
                self.stop(reason)
            }
            StreamState::Inactive | StreamState::Interrupted | StreamState::Other(_) => Vec::new(),
        }
    }

    fn session(&mut self, state: SessionState, reason: Option<u64>, now: Instant) -> Vec<Act> {
        match state {
            SessionState::Started | SessionState::Resumed | SessionState::Initialising => {
                self.paused = false;
                self.stopped = None;
            }
            SessionState::Paused => self.paused = true,
            // The stream may have another session, or ends with a message of its own.
            SessionState::Stopped => self.stopped = Some((reason, now + BETWEEN_SESSIONS)),
            SessionState::Inactive | SessionState::Other(_) => {}
        }
        Vec::new()
    }

    /// The stream is over, for this reason of Zoom's.
    pub(super) fn stop(&mut self, reason: Option<u64>) -> Vec<Act> {
        match codes::stop(reason) {
            Stop::Removed => self.end(MeetingEvent::Removed),
            Stop::Ended => self.end(MeetingEvent::Ended),
            Stop::Failed(failure) => self.end(MeetingEvent::Refused(failure)),
            Stop::Interrupted(why) => self.end(MeetingEvent::Lost(why)),
            Stop::Revoked => {
                let mut acts = vec![Act::Revoked];
                let detail = "the host withdrew the consent to be recorded; what was recorded is deleted";
                acts.extend(self.end(MeetingEvent::Refused(Failure::new(FailureCode::RecordingDisabled, detail))));
                acts
            }
        }
    }

    fn end(&mut self, event: MeetingEvent) -> Vec<Act> {
        if std::mem::replace(&mut self.over, true) {
            return Vec::new();
        }
        let mut acts = vec![Act::Tell(event)];
        acts.extend(self.lines.keys().copied().map(Act::HangUp));
        self.lines.clear();
        acts
    }

    fn media(&mut self, media: MediaType, piece: Media) -> Vec<Act> {
        let mut acts: Vec<Act> = self.know(piece.person.as_ref()).into_iter().collect();
        let connection = self.lines.get_mut(&Line::Media(media));
        let resumed = connection.is_some_and(|connection| std::mem::take(&mut connection.resumed));
        let Media { person, at_ms, data } = piece;
        acts.push(Act::Media { media, person, at_ms, data, resumed });
        acts
    }

    fn text(&mut self, media: MediaType, text: Text<'_>) -> Vec<Act> {
        let mut acts: Vec<Act> = self.know(text.person.as_ref()).into_iter().collect();
        let Text { person, at_ms, span_ms, text } = text;
        acts.push(Act::Text { media, person, at_ms, span_ms, text: text.into_owned() });
        acts
    }

    /// Somebody is there. Who came before the bot is known by what they say only.
    fn know(&mut self, person: Option<&Person>) -> Option<Act> {
        let person = person?;
        match self.people.get(&person.id) {
            Some(known) if *known == person.name || person.name.is_empty() => None,
            // A name that changes is a new one for the same person: the bot makes a rename of it.
            _ => {
                self.people.insert(person.id.clone(), person.name.clone());
                let joined = MeetingEvent::Joined(participant(&person.id, &person.name));
                self.admitted.then_some(Act::Tell(joined))
            }
        }
    }

    /// When `poll` is to be called again.
    pub(super) fn wake(&self) -> Option<Instant> {
        let lines = self.lines.values().filter_map(|connection| match connection.state {
            State::Down(retry) => retry,
            State::Dialling => None,
            State::Asking(since) => Some(since + ANSWER),
            State::Up(heard) => Some(heard + SILENCE),
        });
        lines.chain(self.stopped.map(|(_, until)| until)).min()
    }

    /// Time has passed.
    pub(super) fn poll(&mut self, now: Instant) -> Vec<Act> {
        if let Some((reason, until)) = self.stopped
            && now >= until
        {
            return self.stop(reason);
        }
        let mut acts = Vec::new();
        for line in self.lines.keys().copied().collect::<Vec<_>>() {
            let Some(connection) = self.lines.get(&line) else { continue };
            match connection.state {
                State::Up(heard) if now >= heard + SILENCE => {
                    acts.extend(self.down(line, "no keep-alive came for 30 s", now));
                }
                State::Asking(since) if now >= since + ANSWER => {
                    acts.extend(self.down(line, "the handshake was not answered within 10 s", now));
                }
                State::Down(Some(retry)) if now >= retry => {
                    if line == Line::Signalling && now >= connection.away_since + LONGEST_ABSENCE {
                        let lost = "Zoom's signalling server was not reached for 60 s".to_owned();
                        acts.extend(self.end(MeetingEvent::Lost(lost)));
                        return acts;
                    }
                    let url = connection.url.clone();
                    acts.extend(self.dial(line, &url, now));
                }
                _ => {}
            }
        }
        acts
    }

    /// What is said before the bot goes.
    pub(super) fn leave(&mut self) -> Vec<Act> {
        self.over = true;
        vec![Act::Say(Line::Signalling, self.id.close())]
    }

    pub(super) const fn audio_format(&self) -> AudioFormat {
        self.audio
    }

    /// Whether Zoom has paused the stream.
    pub(super) const fn paused(&self) -> bool {
        self.paused
    }
}

fn participant(id: &str, name: &str) -> Participant {
    Participant { id: id.to_owned(), name: name.to_owned(), is_host: false, is_bot: false }
}
