//! The conversation with Janus: what it says, and what follows from that. Pure; `JanusMeeting` does what is decided here.

mod requests;
mod room;
mod streams;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use meetbot_types::bot::RecordingRule;
use serde_json::{Value, json};

use self::requests::{TRICKLE, attach};
use super::{
    address::Address,
    message::{Id, Message},
    refusal,
    roster::Roster,
    subscription::Subscription,
};
use crate::{
    bounds::{self, Exceeded},
    meeting::{Lost, MeetingEvent, Source},
};

/// Janus forgets a session that says nothing for 60 s (its default).
const KEEPALIVE: Duration = Duration::from_secs(25);
/// A server that answers nothing for this long is gone, also where the connection does not say so.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long the media path may take to come up.
pub(crate) const MEDIA_PATIENCE: Duration = Duration::from_secs(15);
/// How long the room has to say why the media path went down: a room that is closed or a bot that is kicked loses its media first.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What each of the bot's handles is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handle {
    /// In the room, as someone who could send and never does: the roster.
    Roster,
    /// Gets what the others send.
    Media,
    /// The text room.
    Chat,
}

/// Something to do.
#[derive(Debug)]
pub(crate) enum Act {
    /// Send this.
    Send(Value),
    /// Accept this offer for a handle, then call [`Session::answered`].
    Answer { handle: Handle, sdp: String },
    /// A candidate of the server.
    Candidate { handle: Handle, candidate: String },
    /// Tell the bot.
    Tell(MeetingEvent),
    /// The chat does not work, for this reason.
    NoChat(String),
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    room: Value,
    pin: Option<String>,
    display: String,
    has_chat: bool,
    id: Option<u64>,
    handles: [Option<u64>; 3],
    /// What the bot asks to be called.
    chosen_id: Id,
    /// What the room calls it, once it is in.
    own_id: Option<Id>,
    /// Under these ids the bot was in the room before. A Janus that has not missed it yet has them in its roster.
    former_ids: Vec<String>,
    roster: Roster,
    /// What the bot gets of what they send.
    pub(crate) streams: Subscription,
    talking: HashMap<Id, bool>,
    admitted: bool,
    path: Path,
    next_keepalive: Instant,
    heard: Instant,
}

/// The way that media take.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Path {
    /// Nothing was asked for yet.
    None,
    /// It is to be up by then.
    Due(Instant),
    Up,
    /// It is down, for this reason, and given up then.
    Down(Instant, Lost),
}

impl Session {
    /// A session that begins, and its first word.
    pub(crate) fn begin(
        address: &Address,
        display: String,
        chosen_id: Id,
        former_ids: Vec<String>,
        now: Instant,
    ) -> (Self, Value) {
        let session = Self {
            room: address.room.clone(),
            pin: address.pin.clone(),
            display,
            has_chat: address.text_room.is_some(),
            id: None,
            handles: [None; 3],
            chosen_id,
            own_id: None,
            former_ids,
            roster: Roster::default(),
            streams: Subscription::default(),
            talking: HashMap::new(),
            admitted: false,
            path: Path::None,
            next_keepalive: now + KEEPALIVE,
            heard: now,
        };
        (session, json!({"janus": "create", "transaction": "create"}))
    }

    /// Asks for no camera.
    pub(crate) const fn leave_cameras_out(&mut self) {
        self.streams.leave_cameras_out();
    }

    /// Janus says something.
    pub(crate) fn hear(&mut self, message: Message, now: Instant) -> Result<Vec<Act>, Lost> {
        self.heard = now;
        let handle = self.handle_of(message.sender);
        match (message.janus.as_str(), handle) {
            ("success", _) => {
                let next = self.created(&message);
                Ok(next.into_iter().chain(self.ask(now)).collect())
            }
            ("error", _) => Ok(self.refused_by_janus(&message)),
            ("event", Some(Handle::Roster)) => {
                let joins = message.transaction.as_deref() == Some("join");
                Ok(message.plugindata.map_or_else(Vec::new, |room| {
                    let mut acts = self.in_the_room(room.data, joins);
                    acts.extend(self.ask(now));
                    if let Some(exceeded) = self.exceeded() {
                        return vec![Act::Tell(MeetingEvent::Refused(exceeded.failure()))];
                    }
                    acts.extend(self.admit());
                    acts
                }))
            }
            ("event", Some(Handle::Media)) => Ok(self.subscription(message, now)),
            ("event", Some(Handle::Chat)) => Ok(message.jsep.map_or_else(Vec::new, |jsep| {
                vec![Act::Answer { handle: Handle::Chat, sdp: jsep.sdp }]
            })),
            ("trickle", Some(handle)) => {
                let candidate = message.candidate.and_then(|candidate| candidate.candidate);
                Ok(candidate
                    .map(|candidate| Act::Candidate { handle, candidate })
                    .into_iter()
                    .collect())
            }
            ("hangup" | "detached", Some(Handle::Chat)) => {
                Ok(vec![Act::NoChat(message.reason.unwrap_or_default())])
            }
            ("hangup" | "detached", Some(Handle::Media)) => {
                let why = message.reason.unwrap_or_default();
                self.media_is_down(format!("Janus ended the media session: {why}"), now);
                Ok(Vec::new())
            }
            ("detached", Some(Handle::Roster)) => Err("Janus ended the bot's handle".to_owned()),
            ("timeout", _) => {
                Err("Janus ended the session: it heard nothing from the bot".to_owned())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The bound that the room is beyond.
    fn exceeded(&self) -> Option<Exceeded> {
        if self.roster.len() > bounds::PEOPLE {
            return Some(Exceeded::People);
        }
        (self.streams.len() > bounds::STREAMS).then_some(Exceeded::Streams)
    }

    fn handle_of(&self, sender: Option<u64>) -> Option<Handle> {
        let all = [Handle::Roster, Handle::Media, Handle::Chat];
        all.into_iter().find(|handle| sender.is_some() && self.handles[*handle as usize] == sender)
    }

    /// A session or a handle is there: the next step.
    fn created(&mut self, message: &Message) -> Vec<Act> {
        let (Some(created), Some(transaction)) = (&message.data, &message.transaction) else {
            return Vec::new();
        };
        match transaction.as_str() {
            "create" => {
                self.id = Some(created.id);
                let plugins = [("videoroom", "attach-roster"), ("videoroom", "attach-media")];
                let chat = self.has_chat.then_some(("textroom", "attach-chat"));
                let plugins = plugins.into_iter().chain(chat);
                plugins.map(|(plugin, handle)| attach(self.id, plugin, handle)).collect()
            }
            "attach-roster" => {
                self.handles[Handle::Roster as usize] = Some(created.id);
                let mut join = json!({"request": "join", "ptype": "publisher", "room": self.room, "id": self.chosen_id, "display": self.display});
                if let Some(pin) = &self.pin {
                    join["pin"] = pin.as_str().into();
                }
                vec![Act::Send(self.request(Handle::Roster, "join", &join))]
            }
            "attach-media" => {
                self.handles[Handle::Media as usize] = Some(created.id);
                Vec::new()
            }
            "attach-chat" => {
                self.handles[Handle::Chat as usize] = Some(created.id);
                vec![Act::Send(self.request(Handle::Chat, "setup", &json!({"request": "setup"})))]
            }
            _ => Vec::new(),
        }
    }

    /// Janus itself refuses: before any room is asked.
    fn refused_by_janus(&self, message: &Message) -> Vec<Act> {
        let Some(error) = &message.error else { return Vec::new() };
        if message.transaction.as_deref() == Some("attach-chat") {
            return vec![Act::NoChat(error.reason.clone())];
        }
        // A candidate that is not taken is one way less, and no word about the meeting.
        if self.admitted || message.transaction.as_deref() == Some(TRICKLE) {
            tracing::debug!(code = error.code, reason = error.reason, "Janus refuses a request");
            return Vec::new();
        }
        vec![Act::Tell(MeetingEvent::Unreachable(refusal::by_server(error.code, &error.reason)))]
    }

    /// The media path is up.
    pub(crate) fn media_is_up(&mut self, now: Instant) -> Option<Act> {
        self.path = Path::Up;
        self.streams.keyframes.restart(now);
        self.admit()
    }

    /// The media path is down.
    pub(crate) fn media_is_down(&mut self, why: Lost, now: Instant) {
        if !matches!(self.path, Path::Down(..)) {
            self.path = Path::Down(now + LAST_WORDS, why);
        }
    }

    /// In the call is whose name stands in the roster, and who gets what is sent, if anything is.
    fn admit(&mut self) -> Option<Act> {
        let nothing_comes = self.streams.is_empty();
        if self.admitted || self.own_id.is_none() || !(self.path == Path::Up || nothing_comes) {
            return None;
        }
        self.admitted = true;
        let people = self.roster.people();
        Some(Act::Tell(MeetingEvent::Admitted { people, recording: RecordingRule::Free }))
    }

    /// Whose frames come on a track, and of what.
    pub(crate) fn owner(&self, mid: &str) -> Option<(String, Source)> {
        Some((self.streams.feed(mid)?.to_string(), self.streams.source(mid)?))
    }

    /// Whether the owner of a track talks, where the room tells.
    pub(crate) fn talks(&self, mid: &str) -> Option<bool> {
        self.talking.get(self.streams.feed(mid)?).copied()
    }

    /// Whether the media path is not up although it should be by now.
    pub(crate) fn misses_media(&self, now: Instant) -> bool {
        matches!(self.path, Path::Due(due) if due <= now)
    }

    /// What is due by now.
    pub(crate) fn poll(&mut self, now: Instant) -> Result<Vec<Act>, Lost> {
        if now >= self.heard + PATIENCE {
            return Err("the Janus server has fallen silent".to_owned());
        }
        if let Path::Down(due, why) = &self.path
            && *due <= now
        {
            return Err(why.clone());
        }
        let mut acts: Vec<Act> = self.ask(now).into_iter().collect();
        if self.path == Path::Up {
            let due = self.streams.keyframes.due(now);
            acts.extend(due.iter().map(|track| Act::Send(self.keyframe(track.name()))));
        }
        if self.next_keepalive <= now {
            self.next_keepalive = now + KEEPALIVE;
            acts.push(Act::Send(
                json!({"janus": "keepalive", "session_id": self.id, "transaction": "keepalive"}),
            ));
        }
        Ok(acts)
    }

    /// When something is due.
    pub(crate) fn wake(&self) -> Instant {
        let path = match &self.path {
            Path::Due(due) | Path::Down(due, _) => Some(*due),
            Path::None | Path::Up => None,
        };
        let keyframe = self.streams.keyframes.wake().filter(|_| self.path == Path::Up);
        let times = [
            Some(self.next_keepalive),
            Some(self.heard + PATIENCE),
            path,
            self.streams.again(),
            keyframe,
        ];
        times.into_iter().flatten().min().unwrap_or(self.next_keepalive)
    }
}

#[cfg(test)]
mod tests;
