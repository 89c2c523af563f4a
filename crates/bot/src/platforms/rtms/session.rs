//! One stream, without its sockets: what is heard and what time it is go in, what to dial, say and tell comes out.
//!
//! A stream has a signalling connection and one connection for each type of media. The server asks on each every 10 s whether it is still there; after three
//! questions without an answer it cuts that connection, and ends the stream when the signalling connection is away for 60 s.

mod connection;
mod heard;

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

/// A connection on which nothing comes for this long is down: three keep-alives, as the documents advise.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a handshake may wait for its answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the server waits for the signalling connection to come back.
const LONGEST_ABSENCE: Duration = Duration::from_mins(1);
/// A connection of media that the server calls interrupted is dialled again unless something comes on it within this time.
const SUSPICION: Duration = Duration::from_secs(1);
/// How long a stopped session may wait for another one, or for the stream to end.
const BETWEEN_SESSIONS: Duration = Duration::from_secs(30);
/// How long the first sound may take. What the server replays comes at once; a meeting in which nobody says anything may send nothing.
const FIRST_SOUND: Duration = Duration::from_secs(1);
/// What comes before the first sound waits for it, since that says when the recording begins: as much as this, in bytes.
const EARLY_BYTES: usize = 8 << 20;

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
    /// The bot is in, and these are there.
    Admit {
        people: Vec<Participant>,
        /// When the first piece of media was captured, in ms of Unix time.
        first_ms: Option<u64>,
    },
    /// Tell the bot.
    Tell(MeetingEvent),
    /// A piece of somebody's media. `resumed`: its connection was down since the piece before it.
    Media { media: MediaType, piece: Media, resumed: bool },
    /// A line of the transcript, or of the chat.
    Text {
        media: MediaType,
        person: Option<Person>,
        at_ms: u64,
        /// From when to when it was said, where Zoom says so.
        span_ms: Option<(u64, u64)>,
        text: String,
    },
    /// Who speaks from now on.
    Speaks(Person),
    /// Who shares a screen from now on.
    Shares(Option<Person>),
}

/// A stream.
#[derive(Debug)]
pub(super) struct Session {
    id: StreamId,
    /// The signalling servers, tried in turns.
    urls: Vec<String>,
    sequence: u64,
    lines: BTreeMap<Line, Connection>,
    wanted: Vec<MediaType>,
    /// How it asks for sound.
    sound: Sound,
    people: HashMap<String, String>,
    /// Since when media may flow.
    ready: Option<Instant>,
    admitted: bool,
    /// What came before the bot was let in, when the first picture of it was captured, and how many bytes it has.
    early: (Vec<Act>, Option<u64>, usize),
    /// When Zoom said that connections of media are interrupted, without saying which.
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
    ) -> (Self, Vec<Act>) {
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
        let acts = session.dial_signalling(now);
        (session, acts)
    }

    /// The stream that it is.
    pub(super) const fn id(&self) -> &StreamId {
        &self.id
    }

    /// How sound comes.
    pub(super) const fn sound(&self) -> Sound {
        self.sound
    }

    /// The stream goes on at these servers: all connections are made anew.
    pub(super) fn moved(&mut self, urls: Vec<String>, now: Instant) -> Vec<Act> {
        if self.over {
            return Vec::new();
        }
        self.urls = urls;
        self.stopped = None;
        let mut acts = self.hang_up_media(now);
        acts.extend(self.dial_signalling(now));
        acts
    }

    fn hang_up_media(&mut self, now: Instant) -> Vec<Act> {
        let media = self.lines.iter_mut().filter(|(line, _)| **line != Line::Signalling);
        media
            .map(|(line, connection)| {
                connection.lose(now);
                connection.state = State::Down(None);
                Act::HangUp(*line)
            })
            .collect()
    }

    fn dial_signalling(&mut self, now: Instant) -> Vec<Act> {
        let failures = self.lines.get(&Line::Signalling).map_or(0, |line| line.failures);
        let Some(url) = self.urls.get(failures % self.urls.len().max(1)).cloned() else {
            let lost = "Zoom named no signalling server".to_owned();
            return self.end(MeetingEvent::Lost(lost));
        };
        self.dial(Line::Signalling, &url, now)
    }

    fn dial(&mut self, line: Line, url: &str, now: Instant) -> Vec<Act> {
        let connection = self.lines.entry(line).or_insert_with(|| Connection::new(now));
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
            Line::Media(media) => self.id.media_handshake(media, self.sound, self.sequence),
        };
        vec![Act::Say(line, handshake)]
    }

    /// A line is down, or could not be connected.
    pub(super) fn down(&mut self, line: Line, why: &str, now: Instant) -> Vec<Act> {
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
        vec![Act::HangUp(line)]
    }

    /// The stream is over, for this reason of Zoom's.
    pub(super) fn stop(&mut self, reason: Option<u64>) -> Vec<Act> {
        self.end(end_of(codes::stop(reason)))
    }

    /// The last event. Lines stay as they are: media that are on their way still come.
    fn end(&mut self, event: MeetingEvent) -> Vec<Act> {
        if std::mem::replace(&mut self.over, true) {
            return Vec::new();
        }
        vec![Act::Tell(event)]
    }

    /// A piece of media came on a connection that was dropped meanwhile.
    pub(super) fn late(&mut self, media: MediaType, piece: Media) -> Vec<Act> {
        self.piece(media, piece, false)
    }

    fn media(&mut self, media: MediaType, piece: Media) -> Vec<Act> {
        let connection = self.lines.get_mut(&Line::Media(media));
        let resumed = connection.is_some_and(|connection| std::mem::take(&mut connection.resumed));
        self.piece(media, piece, resumed)
    }

    fn piece(&mut self, media: MediaType, piece: Media, resumed: bool) -> Vec<Act> {
        let mut acts: Vec<Act> = self.know(piece.person.as_ref()).into_iter().collect();
        let (at_ms, bytes) = (piece.at_ms, piece.data.len());
        if media == MediaType::Audio {
            acts.extend(self.admit(Some(at_ms)));
        } else if !self.admitted {
            self.early.1 = Some(self.early.1.map_or(at_ms, |first| first.min(at_ms)));
        }
        acts.extend(self.once_in(Act::Media { media, piece, resumed }, bytes));
        acts
    }

    fn text(&mut self, media: MediaType, text: Text<'_>) -> Vec<Act> {
        let mut acts: Vec<Act> = self.know(text.person.as_ref()).into_iter().collect();
        let Text { person, at_ms, span_ms, said } = text;
        let bytes = said.len();
        let text = Act::Text { media, person, at_ms, span_ms, text: said.into_owned() };
        acts.extend(self.once_in(text, bytes));
        acts
    }

    /// This is to be done at once, or when the bot is let in.
    fn once_in(&mut self, act: Act, bytes: usize) -> Vec<Act> {
        if self.admitted {
            return vec![act];
        }
        self.early.0.push(act);
        self.early.2 += bytes + size_of::<Act>();
        if self.early.2 > EARLY_BYTES { self.admit(None) } else { Vec::new() }
    }

    /// Lets the bot in, unless it is: with the first sound, captured at `sound_ms`, which says whether the server replays what came before the bot.
    fn admit(&mut self, sound_ms: Option<u64>) -> Vec<Act> {
        if std::mem::replace(&mut self.admitted, true) {
            return Vec::new();
        }
        let person = |(id, name): (&String, &String)| Person { id: id.clone(), name: name.clone() };
        let people = self.people.iter().map(person).map(|person| participant(&person)).collect();
        let (early, picture_ms, _) = std::mem::take(&mut self.early);
        let first_ms = sound_ms.into_iter().chain(picture_ms).min();
        [Act::Admit { people, first_ms }].into_iter().chain(early).collect()
    }

    /// Somebody is there. Who came before the bot is known by what they say only.
    fn know(&mut self, person: Option<&Person>) -> Option<Act> {
        let person = person?;
        match self.people.get(&person.id) {
            Some(known) if *known == person.name || person.name.is_empty() => None,
            // A name that changes is a new one for the same person: the bot makes a rename of it.
            _ => {
                self.people.insert(person.id.clone(), person.name.clone());
                let joined = MeetingEvent::Joined(participant(person));
                self.admitted.then_some(Act::Tell(joined))
            }
        }
    }

    /// When `poll` is to be called again.
    pub(super) fn wake(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let lines = self.lines.values().filter_map(Connection::wake);
        let others = [
            self.stopped.map(|(_, until)| until),
            self.suspected.map(|since| since + SUSPICION),
            self.ready.filter(|_| !self.admitted).map(|since| since + FIRST_SOUND),
        ];
        lines.chain(others.into_iter().flatten()).min()
    }

    /// Time has passed.
    pub(super) fn poll(&mut self, now: Instant) -> Vec<Act> {
        if self.over {
            return Vec::new();
        }
        if let Some((reason, until)) = self.stopped
            && now >= until
        {
            return self.stop(reason);
        }
        let mut acts = Vec::new();
        if self.ready.is_some_and(|since| now >= since + FIRST_SOUND) {
            acts.extend(self.admit(None));
        }
        if let Some(since) = self.suspected
            && now >= since + SUSPICION
        {
            self.suspected = None;
            for line in self.media_silent_since(since) {
                acts.extend(self.down(line, "Zoom says that it is interrupted", now));
            }
        }
        for line in self.lines.keys().copied().collect::<Vec<_>>() {
            acts.extend(self.poll_line(line, now));
        }
        acts
    }

    fn poll_line(&mut self, line: Line, now: Instant) -> Vec<Act> {
        let Some(connection) = self.lines.get(&line) else { return Vec::new() };
        match connection.state {
            State::Up(heard) if now >= heard + SILENCE => {
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
            State::Up(heard) => heard <= since,
            _ => false,
        };
        media.filter(|(_, connection)| silent(connection)).map(|(line, _)| *line).collect()
    }

    /// What is said before the bot goes: its stream is to end.
    pub(super) fn leave(&mut self) -> Vec<Act> {
        if std::mem::replace(&mut self.over, true) {
            return Vec::new();
        }
        vec![Act::Say(Line::Signalling, self.id.close())]
    }
}

/// What a stop is for the bot.
pub(super) fn end_of(stop: Stop) -> MeetingEvent {
    match stop {
        Stop::Removed => MeetingEvent::Removed,
        Stop::Ended => MeetingEvent::Ended,
        Stop::Failed(failure) => MeetingEvent::Refused(failure),
        Stop::Interrupted(why) => MeetingEvent::Lost(why),
        Stop::Revoked => MeetingEvent::ConsentRevoked,
    }
}

/// A person for the bot. Zoom does not say who is the host.
pub(super) fn participant(person: &Person) -> Participant {
    let Person { id, name } = person.clone();
    Participant { id, name, is_host: false, is_bot: false }
}

#[cfg(test)]
mod tests;
