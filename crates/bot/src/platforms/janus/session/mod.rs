//! The state machine of the conversation with Janus. Pure: it turns messages into actions, which `JanusMeeting` performs.

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

/// How often a keepalive is sent. Janus drops a session without messages after 60 s (its default).
const KEEPALIVE: Duration = Duration::from_secs(25);
/// A server without any answer for this long counts as lost, even if the connection is open.
const SERVER_TIMEOUT: Duration = Duration::from_secs(40);
/// How long the media path may take to come up.
pub(crate) const MEDIA_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait for the room's reason after the media path went down: if the room closes or the bot is kicked, the media path goes down first.
const CLOSE_REASON_TIMEOUT: Duration = Duration::from_secs(1);

/// The bot's handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handle {
    /// In the room as a publisher that never sends: it gets the roster.
    Roster,
    /// The subscriber of the others' streams.
    Media,
    /// The text room.
    Chat,
}

/// An action for [`JanusMeeting`](super::JanusMeeting).
#[derive(Debug)]
pub(crate) enum Action {
    /// Send this message.
    Send(Value),
    /// Accept this offer for a handle, then call [`Session::answered`].
    Answer { handle: Handle, sdp: String },
    /// Add a candidate of the server.
    Candidate { handle: Handle, candidate: String },
    /// Pass this event to the bot.
    Emit(MeetingEvent),
    /// The chat does not work, for this reason.
    NoChat(String),
}

/// A session with a Janus server.
#[derive(Debug)]
pub(crate) struct Session {
    room: Value,
    pin: Option<String>,
    display: String,
    has_chat: bool,
    id: Option<u64>,
    handles: [Option<u64>; 3],
    /// The bot's display name.
    chosen_id: Id,
    /// The bot's id in the room, once it has joined.
    own_id: Option<Id>,
    /// The bot's earlier ids in the room. Janus may still list them.
    former_ids: Vec<String>,
    roster: Roster,
    /// The streams that the bot receives.
    pub(crate) streams: Subscription,
    talking: HashMap<Id, bool>,
    admitted: bool,
    path: Path,
    next_keepalive: Instant,
    last_message: Instant,
}

/// The state of the media path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Path {
    /// Nothing was requested yet.
    None,
    /// It must be up by then.
    Due(Instant),
    Up,
    /// It is down, for this reason, and is given up at this time.
    Down(Instant, Lost),
}

impl Session {
    /// A new session, and its first message.
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
            last_message: now,
        };
        (session, json!({"janus": "create", "transaction": "create"}))
    }

    /// Requests no cameras.
    pub(crate) const fn exclude_cameras(&mut self) {
        self.streams.exclude_cameras();
    }

    /// Handles a message of Janus.
    pub(crate) fn on_message(
        &mut self,
        message: Message,
        now: Instant,
    ) -> Result<Vec<Action>, Lost> {
        self.last_message = now;
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
                    let mut actions = self.on_room_event(room.data, joins);
                    actions.extend(self.ask(now));
                    if let Some(exceeded) = self.exceeded() {
                        return vec![Action::Emit(MeetingEvent::Refused(exceeded.failure()))];
                    }
                    actions.extend(self.admit());
                    actions
                }))
            }
            ("event", Some(Handle::Media)) => Ok(self.subscription(message, now)),
            ("event", Some(Handle::Chat)) => Ok(message.jsep.map_or_else(Vec::new, |jsep| {
                vec![Action::Answer { handle: Handle::Chat, sdp: jsep.sdp }]
            })),
            ("trickle", Some(handle)) => {
                let candidate = message.candidate.and_then(|candidate| candidate.candidate);
                Ok(candidate
                    .map(|candidate| Action::Candidate { handle, candidate })
                    .into_iter()
                    .collect())
            }
            ("hangup" | "detached", Some(Handle::Chat)) => {
                Ok(vec![Action::NoChat(message.reason.unwrap_or_default())])
            }
            ("hangup" | "detached", Some(Handle::Media)) => {
                let why = message.reason.unwrap_or_default();
                self.media_is_down(format!("Janus ended the media session: {why}"), now);
                Ok(Vec::new())
            }
            ("detached", Some(Handle::Roster)) => Err("Janus ended the bot's handle".to_owned()),
            ("timeout", _) => {
                Err("Janus ended the session: it received nothing from the bot".to_owned())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The bound that the room exceeds.
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

    /// A session or a handle was created: takes the next step.
    fn created(&mut self, message: &Message) -> Vec<Action> {
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
                vec![Action::Send(self.request(Handle::Roster, "join", &join))]
            }
            "attach-media" => {
                self.handles[Handle::Media as usize] = Some(created.id);
                Vec::new()
            }
            "attach-chat" => {
                self.handles[Handle::Chat as usize] = Some(created.id);
                vec![Action::Send(self.request(
                    Handle::Chat,
                    "setup",
                    &json!({"request": "setup"}),
                ))]
            }
            _ => Vec::new(),
        }
    }

    /// Handles an error of Janus itself.
    fn refused_by_janus(&self, message: &Message) -> Vec<Action> {
        let Some(error) = &message.error else { return Vec::new() };
        if message.transaction.as_deref() == Some("attach-chat") {
            return vec![Action::NoChat(error.reason.clone())];
        }
        // A refused candidate only means one path less.
        if self.admitted || message.transaction.as_deref() == Some(TRICKLE) {
            tracing::debug!(code = error.code, reason = error.reason, "Janus refuses a request");
            return Vec::new();
        }
        vec![Action::Emit(MeetingEvent::Unreachable(refusal::by_server(error.code, &error.reason)))]
    }

    /// The media path is up.
    pub(crate) fn media_is_up(&mut self, now: Instant) -> Option<Action> {
        self.path = Path::Up;
        self.streams.keyframes.restart(now);
        self.admit()
    }

    /// The media path is down.
    pub(crate) fn media_is_down(&mut self, why: Lost, now: Instant) {
        if !matches!(self.path, Path::Down(..)) {
            self.path = Path::Down(now + CLOSE_REASON_TIMEOUT, why);
        }
    }

    /// Admits the bot once the roster lists it, and the media path is up if there are streams.
    fn admit(&mut self) -> Option<Action> {
        let nothing_comes = self.streams.is_empty();
        if self.admitted || self.own_id.is_none() || !(self.path == Path::Up || nothing_comes) {
            return None;
        }
        self.admitted = true;
        let people = self.roster.people();
        Some(Action::Emit(MeetingEvent::Admitted { people, recording: RecordingRule::Free }))
    }

    /// The sender and the source of a track.
    pub(crate) fn owner(&self, mid: &str) -> Option<(String, Source)> {
        Some((self.streams.feed(mid)?.to_string(), self.streams.source(mid)?))
    }

    /// Whether the sender of a track talks, if the room reports it.
    pub(crate) fn talks(&self, mid: &str) -> Option<bool> {
        self.talking.get(self.streams.feed(mid)?).copied()
    }

    /// Whether the media path should be up by now, but is not.
    pub(crate) fn is_media_overdue(&self, now: Instant) -> bool {
        matches!(self.path, Path::Due(due) if due <= now)
    }

    /// The actions that are due.
    pub(crate) fn poll(&mut self, now: Instant) -> Result<Vec<Action>, Lost> {
        if now >= self.last_message + SERVER_TIMEOUT {
            return Err("the Janus server does not answer any more".to_owned());
        }
        if let Path::Down(due, why) = &self.path
            && *due <= now
        {
            return Err(why.clone());
        }
        let mut actions: Vec<Action> = self.ask(now).into_iter().collect();
        if self.path == Path::Up {
            let due = self.streams.keyframes.due(now);
            actions.extend(due.iter().map(|track| Action::Send(self.keyframe(track.name()))));
        }
        if self.next_keepalive <= now {
            self.next_keepalive = now + KEEPALIVE;
            actions.push(Action::Send(
                json!({"janus": "keepalive", "session_id": self.id, "transaction": "keepalive"}),
            ));
        }
        Ok(actions)
    }

    /// When the next action is due.
    pub(crate) fn wake(&self) -> Instant {
        let path = match &self.path {
            Path::Due(due) | Path::Down(due, _) => Some(*due),
            Path::None | Path::Up => None,
        };
        let keyframe = self.streams.keyframes.wake().filter(|_| self.path == Path::Up);
        let times = [
            Some(self.next_keepalive),
            Some(self.last_message + SERVER_TIMEOUT),
            path,
            self.streams.retry_at(),
            keyframe,
        ];
        times.into_iter().flatten().min().unwrap_or(self.next_keepalive)
    }
}

#[cfg(test)]
mod tests;
