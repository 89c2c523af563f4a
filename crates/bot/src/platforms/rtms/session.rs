//! The state machine of one stream, without sockets: messages and times in, actions out.
//!
//! A stream has a signalling connection and one connection for each type of media. The server sends a keep-alive on each every 10 s; after three
//! unanswered ones it closes that connection, and it ends the stream if the signalling connection is down for 60 s.

mod connection;
mod incoming;

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use meetbot_types::{Failure, FailureCode, bot::Participant};
use serde_json::Value;

use self::connection::{Connection, State};
use super::{
    codes::{self, Stop},
    protocol::{Media, MediaType, Person, Sound, StreamId, Text},
};
use crate::meeting::MeetingEvent;

/// A connection without a message for this long counts as down: three keep-alives, as Zoom's documents recommend.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a handshake may wait for its answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the server waits for the signalling connection to come back.
const LONGEST_ABSENCE: Duration = Duration::from_mins(1);
/// A media connection that the server reports as interrupted is dialled again unless a message comes on it within this time.
const INTERRUPTION_GRACE: Duration = Duration::from_secs(1);
/// How long a stopped session may wait for another one, or for the stream to end.
const BETWEEN_SESSIONS: Duration = Duration::from_secs(30);
/// How long to wait for the first audio. Replayed audio comes at once; a silent meeting may send none.
const FIRST_AUDIO_TIMEOUT: Duration = Duration::from_secs(1);
/// How many bytes from before the first audio are held: the first audio determines when the recording begins.
const EARLY_BYTES: usize = 8 << 20;

/// A connection of the stream, in the order in which they are read: sound, which says when the recording begins, is first, and what happened to people last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Line {
    Media(MediaType),
    Signalling,
}

impl Line {
    /// Whether it carries sound or pictures, and not a message now and then.
    pub(super) const fn carries_media(self) -> bool {
        matches!(self, Self::Media(MediaType::Audio | MediaType::Video | MediaType::Share))
    }
}

/// An action for [`super::RtmsMeeting`].
#[derive(Debug)]
pub(super) enum Action {
    /// Connect this line; its previous connection is dropped.
    Dial(Line, String),
    /// Drop it.
    HangUp(Line),
    /// Send this on it.
    Send(Line, Value),
    /// The bot is admitted.
    Admit {
        people: Vec<Participant>,
        /// When the first media were captured, in ms of Unix time.
        first_ms: Option<u64>,
    },
    /// Pass this event to the bot.
    Emit(MeetingEvent),
    /// A packet or picture. `resumed` is whether its connection was down since the previous one.
    Media { media: MediaType, piece: Media, resumed: bool },
    /// A line of the transcript, or of the chat.
    Text {
        media: MediaType,
        person: Option<Person>,
        at_ms: u64,
        /// Its start and end, if Zoom sends them.
        span_ms: Option<(u64, u64)>,
        text: String,
    },
    /// The new active speaker.
    Speaks(Person),
    /// The person who shares a screen from now on.
    Shares(Option<Person>),
}

/// A stream.
#[derive(Debug)]
pub(super) struct Session {
    id: StreamId,
    /// The signalling servers, tried alternately.
    urls: Vec<String>,
    sequence: u64,
    lines: BTreeMap<Line, Connection>,
    wanted: Vec<MediaType>,
    /// The requested audio codec.
    sound: Sound,
    people: HashMap<String, String>,
    /// Since when media may flow.
    ready: Option<Instant>,
    admitted: bool,
    /// Actions from before the admission, when their first picture was captured, and their size in bytes.
    early: (Vec<Action>, Option<u64>, usize),
    /// When Zoom reported interrupted media connections without their types.
    suspected: Option<Instant>,
    /// Why the session stopped, and until when another one may begin.
    stopped: Option<(Option<u64>, Instant)>,
    over: bool,
}

impl Session {
    /// A stream whose signalling servers are at `urls`.
    pub(super) fn begin(
        id: StreamId,
        urls: Vec<String>,
        wanted: Vec<MediaType>,
        now: Instant,
    ) -> (Self, Vec<Action>) {
        let mut session = Self {
            id,
            urls,
            sequence: 0,
            lines: BTreeMap::new(),
            wanted,
            sound: Sound::Opus,
            people: HashMap::new(),
            ready: None,
            admitted: false,
            early: (Vec::new(), None, 0),
            suspected: None,
            stopped: None,
            over: false,
        };
        let actions = session.dial_signalling(now);
        (session, actions)
    }

    /// The id of the stream.
    pub(super) const fn id(&self) -> &StreamId {
        &self.id
    }

    /// The audio codec.
    pub(super) const fn sound(&self) -> Sound {
        self.sound
    }

    /// The stream continues on these servers: all connections are reopened.
    pub(super) fn moved(&mut self, urls: Vec<String>, now: Instant) -> Vec<Action> {
        if self.over {
            return Vec::new();
        }
        self.urls = urls;
        self.stopped = None;
        let mut actions = self.hang_up_media(now);
        actions.extend(self.dial_signalling(now));
        actions
    }

    fn hang_up_media(&mut self, now: Instant) -> Vec<Action> {
        let media = self.lines.iter_mut().filter(|(line, _)| **line != Line::Signalling);
        media
            .map(|(line, connection)| {
                connection.lose(now);
                connection.state = State::Down(None);
                Action::HangUp(*line)
            })
            .collect()
    }

    fn dial_signalling(&mut self, now: Instant) -> Vec<Action> {
        let failures = self.lines.get(&Line::Signalling).map_or(0, |line| line.failures);
        let Some(url) = self.urls.get(failures % self.urls.len().max(1)).cloned() else {
            let lost = "Zoom named no signalling server".to_owned();
            return self.end(MeetingEvent::Lost(lost));
        };
        self.dial(Line::Signalling, &url, now)
    }

    fn dial(&mut self, line: Line, url: &str, now: Instant) -> Vec<Action> {
        let connection = self.lines.entry(line).or_insert_with(|| Connection::new(now));
        url.clone_into(&mut connection.url);
        connection.state = State::Dialling;
        vec![Action::Dial(line, url.to_owned())]
    }

    /// A line is connected: sends its handshake.
    pub(super) fn connected(&mut self, line: Line, now: Instant) -> Vec<Action> {
        let Some(connection) = self.lines.get_mut(&line) else { return vec![Action::HangUp(line)] };
        connection.state = State::Asking(now);
        self.sequence += 1;
        let handshake = match line {
            Line::Signalling => self.id.signalling_handshake(self.sequence),
            Line::Media(media) => self.id.media_handshake(media, self.sound, self.sequence),
        };
        vec![Action::Send(line, handshake)]
    }

    /// A line is down, or could not be connected.
    pub(super) fn down(&mut self, line: Line, why: &str, now: Instant) -> Vec<Action> {
        if self.over {
            return Vec::new();
        }
        // The server closes its connections when a stream is over.
        if line == Line::Signalling
            && let Some((reason, _)) = self.stopped
        {
            return self.stop(reason);
        }
        let Some(connection) = self.lines.get_mut(&line) else { return Vec::new() };
        connection.fail(now);
        tracing::info!(?line, why, "a connection to Zoom is down");
        vec![Action::HangUp(line)]
    }

    /// The stream is over, for this reason of Zoom.
    pub(super) fn stop(&mut self, reason: Option<u64>) -> Vec<Action> {
        self.end(end_of(codes::stop(reason)))
    }

    /// Emits the last event. The lines stay open for late media.
    fn end(&mut self, event: MeetingEvent) -> Vec<Action> {
        if std::mem::replace(&mut self.over, true) {
            return Vec::new();
        }
        vec![Action::Emit(event)]
    }

    fn media(&mut self, media: MediaType, piece: Media) -> Vec<Action> {
        let connection = self.lines.get_mut(&Line::Media(media));
        let resumed = connection.is_some_and(|connection| std::mem::take(&mut connection.resumed));
        self.piece(media, piece, resumed)
    }

    fn piece(&mut self, media: MediaType, piece: Media, resumed: bool) -> Vec<Action> {
        let mut actions: Vec<Action> = self.add_person(piece.person.as_ref()).into_iter().collect();
        let (at_ms, bytes) = (piece.at_ms, piece.data.len());
        if media == MediaType::Audio {
            actions.extend(self.admit(Some(at_ms)));
        } else if !self.admitted {
            self.early.1 = Some(self.early.1.map_or(at_ms, |first| first.min(at_ms)));
        }
        actions.extend(self.when_admitted(Action::Media { media, piece, resumed }, bytes));
        actions
    }

    fn text(&mut self, media: MediaType, text: Text<'_>) -> Vec<Action> {
        let mut actions: Vec<Action> = self.add_person(text.person.as_ref()).into_iter().collect();
        let Text { person, at_ms, span_ms, content } = text;
        let bytes = content.len();
        let text = Action::Text { media, person, at_ms, span_ms, text: content.into_owned() };
        actions.extend(self.when_admitted(text, bytes));
        actions
    }

    /// Returns the action at once, or holds it until the bot is admitted.
    fn when_admitted(&mut self, act: Action, bytes: usize) -> Vec<Action> {
        if self.admitted {
            return vec![act];
        }
        self.early.0.push(act);
        self.early.2 += bytes + size_of::<Action>();
        if self.early.2 > EARLY_BYTES { self.admit(None) } else { Vec::new() }
    }

    /// Admits the bot, unless it is: with the first audio, captured at `sound_ms`, which shows whether the server replays earlier media.
    fn admit(&mut self, sound_ms: Option<u64>) -> Vec<Action> {
        if std::mem::replace(&mut self.admitted, true) {
            return Vec::new();
        }
        let person = |(id, name): (&String, &String)| Person { id: id.clone(), name: name.clone() };
        let people = self.people.iter().map(person).map(|person| participant(&person)).collect();
        let (early, picture_ms, _) = std::mem::take(&mut self.early);
        let first_ms = sound_ms.into_iter().chain(picture_ms).min();
        [Action::Admit { people, first_ms }].into_iter().chain(early).collect()
    }

    /// Adds a person. People who joined before the bot are known only by their media.
    fn add_person(&mut self, person: Option<&Person>) -> Option<Action> {
        let person = person?;
        match self.people.get(&person.id) {
            Some(known) if *known == person.name || person.name.is_empty() => None,
            // Another name for a known person: the bot reports a rename.
            _ => {
                self.people.insert(person.id.clone(), person.name.clone());
                let joined = MeetingEvent::Joined(participant(person));
                self.admitted.then_some(Action::Emit(joined))
            }
        }
    }

    /// When `poll` must be called again.
    pub(super) fn wake(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let lines = self.lines.values().filter_map(Connection::wake);
        let others = [
            self.stopped.map(|(_, until)| until),
            self.suspected.map(|since| since + INTERRUPTION_GRACE),
            self.ready.filter(|_| !self.admitted).map(|since| since + FIRST_AUDIO_TIMEOUT),
        ];
        lines.chain(others.into_iter().flatten()).min()
    }

    /// Handles timeouts.
    pub(super) fn poll(&mut self, now: Instant) -> Vec<Action> {
        if self.over {
            return Vec::new();
        }
        if let Some((reason, until)) = self.stopped
            && now >= until
        {
            return self.stop(reason);
        }
        let mut actions = Vec::new();
        if self.ready.is_some_and(|since| now >= since + FIRST_AUDIO_TIMEOUT) {
            actions.extend(self.admit(None));
        }
        if let Some(since) = self.suspected
            && now >= since + INTERRUPTION_GRACE
        {
            self.suspected = None;
            for line in self.media_silent_since(since) {
                actions.extend(self.down(line, "Zoom reports that it is interrupted", now));
            }
        }
        for line in self.lines.keys().copied().collect::<Vec<_>>() {
            actions.extend(self.poll_line(line, now));
        }
        actions
    }

    fn poll_line(&mut self, line: Line, now: Instant) -> Vec<Action> {
        let Some(connection) = self.lines.get(&line) else { return Vec::new() };
        match connection.state {
            State::Up(last) if now >= last + SILENCE => {
                self.down(line, "no keep-alive came for 30 s", now)
            }
            State::Asking(since) if now >= since + ANSWER => {
                self.down(line, "the handshake was not answered within 10 s", now)
            }
            State::Down(Some(retry)) if now >= retry => {
                if line != Line::Signalling {
                    let url = connection.url.clone();
                    return self.dial(line, &url, now);
                }
                if now < connection.away_since + LONGEST_ABSENCE {
                    return self.dial_signalling(now);
                }
                let why = "Zoom's signalling server was not reached for 60 s";
                if connection.duplicate {
                    let detail = "another connection has had this stream for 60 s";
                    let failure = Failure::new(FailureCode::InternalError, detail);
                    return self.end(MeetingEvent::Refused(failure));
                }
                self.end(MeetingEvent::Lost(why.to_owned()))
            }
            _ => Vec::new(),
        }
    }

    fn media_silent_since(&self, since: Instant) -> Vec<Line> {
        let media = self.lines.iter().filter(|(line, _)| **line != Line::Signalling);
        let silent = |connection: &Connection| match connection.state {
            State::Up(last) => last <= since,
            _ => false,
        };
        media.filter(|(_, connection)| silent(connection)).map(|(line, _)| *line).collect()
    }

    /// The actions of a leave: the stream must end.
    pub(super) fn leave(&mut self) -> Vec<Action> {
        if std::mem::replace(&mut self.over, true) {
            return Vec::new();
        }
        vec![Action::Send(Line::Signalling, self.id.close())]
    }
}

/// The bot's event for a stop.
pub(super) fn end_of(stop: Stop) -> MeetingEvent {
    match stop {
        Stop::Removed => MeetingEvent::Removed,
        Stop::Ended => MeetingEvent::Ended,
        Stop::Failed(failure) => MeetingEvent::Refused(failure),
        Stop::Interrupted(why) => MeetingEvent::Lost(why),
        Stop::Revoked => MeetingEvent::ConsentRevoked,
    }
}

/// The participant of a person. Zoom does not mark the host.
pub(super) fn participant(person: &Person) -> Participant {
    let Person { id, name } = person.clone();
    Participant { id, name, is_host: false, is_bot: false }
}

#[cfg(test)]
mod tests;
