//! The conversation with Janus: what it says, and what follows from that. Pure; `mod.rs` does what this file decides.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use meetbot_types::bot::RecordingRule;
use serde_json::{Value, json};

use super::{
    address::Address,
    message::{Id, Message, RoomEvent},
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

/// The transaction of the bot's own candidates.
const TRICKLE: &str = "trickle";

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

    fn request(&self, handle: Handle, transaction: &str, body: &Value) -> Value {
        json!({
            "janus": "message", "session_id": self.id, "handle_id": self.handles[handle as usize],
            "transaction": transaction, "body": body,
        })
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

    fn is_own(&self, id: &Id) -> bool {
        self.own_id.as_ref() == Some(id) || self.former_ids.contains(&id.to_string())
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

    /// An answer or event of the room.
    fn in_the_room(&mut self, event: RoomEvent, joins: bool) -> Vec<Act> {
        let tell = |event| vec![Act::Tell(event)];
        match event.videoroom.as_deref() {
            Some("joined") => {
                self.own_id = event.id.or(self.own_id.take());
                for person in event.publishers.into_iter().chain(event.attendees) {
                    if !self.is_own(&person.id) {
                        self.roster.see(person);
                    }
                }
                return Vec::new();
            }
            Some(word @ ("talking" | "stopped-talking")) => {
                if let Some(id) = event.id.filter(|id| self.roster.has(id)) {
                    self.talking.insert(id, word == "talking");
                }
                return Vec::new();
            }
            Some("destroyed") => return tell(MeetingEvent::Ended),
            _ => {}
        }
        if let Some(code) = event.error_code {
            let why = event.error.unwrap_or_default();
            if joins {
                return tell(MeetingEvent::Refused(refusal::by_room(
                    code,
                    &why,
                    self.pin.is_some(),
                )));
            }
            tracing::debug!(code, why, "the room refuses a request");
            return Vec::new();
        }
        let mut news = Vec::new();
        if let Some(reason) = event.reason.filter(|_| event.leaving.is_some()) {
            // It is told so only to whom it happens.
            if reason == "kicked" {
                return tell(MeetingEvent::Removed);
            }
        }
        for person in event.publishers.into_iter().chain(event.joining) {
            if !self.is_own(&person.id) {
                news.extend(self.roster.see(person).map(MeetingEvent::Joined));
            }
        }
        if let (Some(id), Some(name)) = (&event.id, event.display) {
            news.extend(self.roster.rename(id, name).map(MeetingEvent::Joined));
        }
        if let Some(id) = event.unpublished {
            self.roster.fall_silent(&id);
        }
        for id in event.leaving.into_iter().chain(event.kicked) {
            self.talking.remove(&id);
            if self.roster.lose(&id) {
                news.push(MeetingEvent::Left(id.to_string()));
            }
        }
        // Before the bot is in, the roster alone keeps the news.
        if self.admitted { news.into_iter().map(Act::Tell).collect() } else { Vec::new() }
    }

    /// Asks for streams that are there and were not asked for yet.
    fn ask(&mut self, now: Instant) -> Option<Act> {
        if self.own_id.is_none() || self.handles[Handle::Media as usize].is_none() {
            return None;
        }
        let mut join = json!({"request": "join", "ptype": "subscriber", "room": self.room});
        if let Some(pin) = &self.pin {
            join["pin"] = pin.as_str().into();
        }
        let body = self.streams.ask(&mut self.roster, join, now)?;
        if self.path == Path::None {
            self.path = Path::Due(now + MEDIA_PATIENCE);
        }
        Some(Act::Send(self.request(Handle::Media, "subscribe", &body)))
    }

    /// An answer or event of the subscription.
    fn subscription(&mut self, message: Message, now: Instant) -> Vec<Act> {
        let event = message.plugindata.map(|room| room.data).unwrap_or_default();
        if let Some(code) = event.error_code {
            tracing::debug!(code, why = event.error, "a request about streams is refused");
            if message.transaction.as_deref() == Some("subscribe") {
                self.streams.refuse(now);
                self.expect_no_path();
            }
            return self.ask(now).into_iter().chain(self.admit()).collect();
        }
        let offer = message.jsep.filter(|jsep| jsep.kind == "offer");
        if !self.streams.is_open() && offer.as_ref().is_some_and(|offer| offer.e2ee) {
            return self.without_encrypted();
        }
        let settled = self.streams.hear(event, offer.is_some(), &self.roster, now);
        let answer = offer.map(|jsep| Act::Answer { handle: Handle::Media, sdp: jsep.sdp });
        let more = if settled { self.ask(now) } else { None };
        answer.into_iter().chain(more).collect()
    }

    /// No media path comes up for what is not given.
    fn expect_no_path(&mut self) {
        if !self.streams.is_open() && matches!(self.path, Path::Due(_)) {
            self.path = Path::None;
        }
    }

    /// A subscription that begins with what is encrypted end to end gets nothing else ever: the bot begins another, without.
    fn without_encrypted(&mut self) -> Vec<Act> {
        self.streams.give_up();
        self.expect_no_path();
        let handle = self.handles[Handle::Media as usize].take();
        let detach = json!({
            "janus": "detach", "session_id": self.id, "handle_id": handle, "transaction": "detach",
        });
        let attach = attach(self.id, "videoroom", "attach-media");
        [Act::Send(detach), attach].into_iter().chain(self.admit()).collect()
    }

    /// Asks for a keyframe of a track.
    ///
    /// In words, not in RTCP: Janus 1.1.2 looks up whose feedback it is by the first receiver report or RTP feedback in a packet, and throws a
    /// picture loss indication away that comes alone or behind another track's. Sending that is on already and switched on again asks too.
    pub(crate) fn keyframe(&self, mid: &str) -> Value {
        let body = json!({"request": "configure", "streams": [{"mid": mid, "send": true}]});
        self.request(Handle::Media, "keyframe", &body)
    }

    /// The answer to an offer of Janus, to be sent.
    pub(crate) fn answered(&self, handle: Handle, sdp: &str) -> Value {
        let request = if handle == Handle::Chat { "ack" } else { "start" };
        let mut message = self.request(handle, request, &json!({"request": request}));
        message["jsep"] = json!({"type": "answer", "sdp": sdp});
        message
    }

    /// A candidate of the bot's that the answer did not hold.
    pub(crate) fn candidate(&self, handle: Handle, candidate: &str) -> Value {
        json!({
            "janus": "trickle", "session_id": self.id, "handle_id": self.handles[handle as usize],
            "transaction": TRICKLE, "candidate": {"candidate": candidate, "sdpMLineIndex": 0},
        })
    }

    /// The media path is up.
    pub(crate) fn media_is_up(&mut self, now: Instant) -> Option<Act> {
        self.path = Path::Up;
        self.streams.openings.restart(now);
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
            let due = self.streams.openings.due(now);
            acts.extend(due.iter().map(|mid| Act::Send(self.keyframe(mid))));
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
        let opening = self.streams.openings.wake().filter(|_| self.path == Path::Up);
        let times = [
            Some(self.next_keepalive),
            Some(self.heard + PATIENCE),
            path,
            self.streams.again(),
            opening,
        ];
        times.into_iter().flatten().min().unwrap_or(self.next_keepalive)
    }

    /// The last words.
    pub(crate) fn leave(&self) -> [Value; 2] {
        [
            self.request(Handle::Roster, "leave", &json!({"request": "leave"})),
            json!({"janus": "destroy", "session_id": self.id, "transaction": "destroy"}),
        ]
    }
}

fn attach(session: Option<u64>, plugin: &str, transaction: &str) -> Act {
    let plugin = format!("janus.plugin.{plugin}");
    Act::Send(json!({
        "janus": "attach", "session_id": session, "plugin": plugin, "transaction": transaction,
    }))
}

#[cfg(test)]
mod tests {
    use meetbot_types::{FailureCode, MeetingLink};

    use super::*;
    use crate::platforms::janus::subscription::{ASK_AGAIN, MOST_TRIES};

    /// A session whose handles are 1, 2 and 3, at the moment when it asks to join.
    fn session(now: Instant) -> Session {
        session_after(Vec::new(), now)
    }

    /// The same, of a bot that was in the room before under these ids.
    fn session_after(former: Vec<String>, now: Instant) -> Session {
        let link = MeetingLink::parse("janus+ws://h/?room=7&pin=p&textroom=9", None).unwrap();
        let (mut session, first) = Session::begin(
            &Address::of(&link).unwrap(),
            "Notes".to_owned(),
            Id::Number(100),
            former,
            now,
        );
        assert_eq!(first["janus"], "create");
        let created = |transaction: &str, id: u64| json!({"janus": "success", "transaction": transaction, "data": {"id": id}});
        assert_eq!(hear(&mut session, created("create", 50), now).len(), 3);
        let join = hear(&mut session, created("attach-roster", 1), now);
        let [Act::Send(join)] = join.as_slice() else { panic!("{join:?}") };
        let body = &join["body"];
        assert_eq!(
            (&body["room"], &body["id"], &body["pin"]),
            (&json!(7), &json!(100), &json!("p"))
        );
        hear(&mut session, created("attach-media", 2), now);
        hear(&mut session, created("attach-chat", 3), now);
        session
    }

    fn hear(session: &mut Session, message: Value, now: Instant) -> Vec<Act> {
        session.hear(serde_json::from_value(message).unwrap(), now).unwrap()
    }

    fn event(handle: u64, transaction: &str, data: &Value) -> Value {
        json!({"janus": "event", "sender": handle, "transaction": transaction, "plugindata": {"data": data}})
    }

    fn joined(publishers: &Value) -> Value {
        event(
            1,
            "join",
            &json!({"videoroom": "joined", "id": 100, "publishers": publishers, "attendees": []}),
        )
    }

    fn ann() -> Value {
        json!([{"id": 5, "display": "Ann", "streams": [{"type": "audio", "mid": "0", "codec": "opus"}]}])
    }

    #[expect(clippy::disallowed_methods, reason = "a test needs some moment to begin with")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn the_bot_is_in_when_the_roster_holds_it_and_what_is_sent_comes() {
        let now = start();
        let mut session = session(now);
        let acts = hear(&mut session, joined(&ann()), now);
        let [Act::Send(subscribe)] = acts.as_slice() else { panic!("{acts:?}") };
        assert_eq!(subscribe["body"]["streams"], json!([{"feed": 5, "mid": "0"}]));
        let mut offer = event(
            2,
            "subscribe",
            &json!({"videoroom": "attached", "streams": [{"mid": "a", "feed_id": 5, "feed_mid": "0"}]}),
        );
        offer["jsep"] = json!({"type": "offer", "sdp": "v=0"});
        let acts = hear(&mut session, offer, now);
        assert!(matches!(acts.as_slice(), [Act::Answer { handle: Handle::Media, .. }]), "{acts:?}");
        assert!(
            matches!(session.media_is_up(now), Some(Act::Tell(MeetingEvent::Admitted { people, .. })) if people.len() == 1)
        );
        assert_eq!(session.owner("a"), Some(("5".to_owned(), Source::Microphone)));
        assert_eq!(session.talks("a"), None);
        hear(&mut session, event(1, "", &json!({"videoroom": "talking", "id": 5})), now);
        assert_eq!(session.talks("a"), Some(true));
        let acts =
            hear(&mut session, event(1, "", &json!({"videoroom": "event", "leaving": 5})), now);
        assert!(
            matches!(acts.as_slice(), [Act::Tell(MeetingEvent::Left(id))] if id == "5"),
            "{acts:?}"
        );
    }

    #[test]
    fn of_a_video_in_several_layers_the_best_is_asked_for_and_awaited() {
        let now = start();
        let mut session = session(now);
        let camera = json!([{"id": 5, "display": "Ann", "streams": [
            {"type": "video", "mid": "0", "codec": "vp8", "simulcast": true},
        ]}]);
        let acts = hear(&mut session, joined(&camera), now);
        let [Act::Send(subscribe)] = acts.as_slice() else { panic!("{acts:?}") };
        let best = json!([{"feed": 5, "mid": "0", "substream": 2, "temporal": 2}]);
        assert_eq!(subscribe["body"]["streams"], best);
        let streams = json!([{"mid": "a", "feed_id": 5, "feed_mid": "0"}]);
        let attached = json!({"videoroom": "attached", "streams": streams});
        hear(&mut session, event(2, "subscribe", &attached), now);
        let switched = |layer: u32| {
            event(2, "", &json!({"videoroom": "event", "mid": "a", "substream": layer}))
        };
        hear(&mut session, switched(0), now);
        assert!(!session.streams.picture("a", now));
        hear(&mut session, switched(2), now);
        assert!(session.streams.picture("a", now));
        let updated = json!({"videoroom": "updated", "streams": streams});
        hear(&mut session, event(2, "", &updated), now);
        assert!(session.streams.picture("a", now), "it is the same video still");
    }

    #[test]
    fn an_empty_room_needs_no_media_path() {
        let now = start();
        let acts = hear(&mut session(now), joined(&json!([])), now);
        assert!(matches!(acts.as_slice(), [Act::Tell(MeetingEvent::Admitted { .. })]), "{acts:?}");
    }

    #[test]
    fn what_is_encrypted_end_to_end_keeps_nothing_else_away() {
        let now = start();
        let mut session = session(now);
        let eve = json!([{"id": 6, "display": "Eve", "streams": [{"type": "audio", "mid": "0", "codec": "opus"}]}]);
        hear(&mut session, joined(&eve), now);
        let mut offer = event(2, "subscribe", &json!({"videoroom": "attached", "streams": []}));
        offer["jsep"] = json!({"type": "offer", "sdp": "v=0", "e2ee": true});
        let acts = hear(&mut session, offer, now);
        let [Act::Send(detach), Act::Send(attach), Act::Tell(MeetingEvent::Admitted { .. })] =
            acts.as_slice()
        else {
            panic!("{acts:?}")
        };
        assert_eq!((&detach["janus"], &detach["handle_id"]), (&json!("detach"), &json!(2)));
        assert_eq!(attach["plugin"], "janus.plugin.videoroom");
        let acts = hear(&mut session, json!({"janus": "detached", "sender": 2}), now);
        assert!(acts.is_empty(), "{acts:?}");
        let came = json!({"videoroom": "event", "publishers": ann()});
        let acts = hear(&mut session, event(1, "", &came), now);
        assert!(matches!(acts.as_slice(), [Act::Tell(MeetingEvent::Joined(_))]), "{acts:?}");
        let attached =
            json!({"janus": "success", "transaction": "attach-media", "data": {"id": 4}});
        let acts = hear(&mut session, attached, now);
        let [Act::Send(subscribe)] = acts.as_slice() else { panic!("{acts:?}") };
        assert_eq!(subscribe["handle_id"], 4);
        assert_eq!(subscribe["body"]["request"], "join");
        assert_eq!(subscribe["body"]["streams"], json!([{"feed": 5, "mid": "0"}]));
    }

    #[test]
    fn a_ghost_of_the_bot_itself_is_nobody() {
        let now = start();
        let mut second = session_after(vec!["100".to_owned()], now);
        let ghost = json!([{"id": 100, "display": "meetbot"}]);
        let back = json!({"videoroom": "joined", "id": 101, "publishers": [], "attendees": ghost});
        let acts = hear(&mut second, event(1, "join", &back), now);
        let nobody = |acts: &[Act]| matches!(acts, [Act::Tell(MeetingEvent::Admitted { people, .. })] if people.is_empty());
        assert!(nobody(&acts), "{acts:?}");
        for word in [json!({"joining": ghost[0]}), json!({"leaving": 100})] {
            let mut word = word;
            word["videoroom"] = "event".into();
            let acts = hear(&mut second, event(1, "", &word), now);
            assert!(acts.is_empty(), "{acts:?}");
        }
    }

    #[test]
    fn streams_that_are_refused_are_asked_for_again_but_not_for_ever() {
        let now = start();
        let mut session = session(now);
        hear(&mut session, joined(&ann()), now);
        let refused =
            || event(2, "subscribe", &json!({"error_code": 428, "error": "no such feed"}));
        let mut at = now;
        for _ in 1..MOST_TRIES {
            assert!(hear(&mut session, refused(), at).is_empty(), "nothing yet, and not in yet");
            assert!(session.poll(at).unwrap().is_empty(), "not at once");
            at = session.wake();
            assert_eq!(at - session.heard, ASK_AGAIN);
            assert_eq!(session.poll(at).unwrap().len(), 1);
            assert!(session.wake() > at, "an answer is awaited");
            session.heard = at;
        }
        let acts = hear(&mut session, refused(), at);
        assert!(matches!(acts.as_slice(), [Act::Tell(MeetingEvent::Admitted { .. })]), "{acts:?}");
        assert!(session.poll(at + ASK_AGAIN).unwrap().is_empty());
        assert!(session.wake() > at + ASK_AGAIN, "nothing is due any more");
        assert!(!session.misses_media(at + MEDIA_PATIENCE), "no media path is missed");
    }

    #[test]
    fn streams_that_were_refused_are_forgotten_when_their_sender_is_gone() {
        let now = start();
        let mut session = session(now);
        hear(&mut session, joined(&ann()), now);
        let refused = json!({"error_code": 428, "error": "no such feed"});
        hear(&mut session, event(2, "subscribe", &refused), now);
        hear(&mut session, event(1, "", &json!({"videoroom": "event", "leaving": 5})), now);
        assert_eq!(session.wake(), now + KEEPALIVE, "nothing is due any more");
        assert!(!session.misses_media(now + MEDIA_PATIENCE), "no media path is missed");
    }

    #[test]
    fn a_media_path_is_missed_when_it_is_late() {
        let now = start();
        let mut session = session(now);
        hear(&mut session, joined(&ann()), now);
        assert!(
            !session.misses_media(session.wake().checked_sub(Duration::from_millis(1)).unwrap())
        );
        assert!(session.misses_media(now + MEDIA_PATIENCE));
        assert_eq!(session.wake(), now + MEDIA_PATIENCE, "it is looked at in time");
        session.media_is_up(now);
        assert!(!session.misses_media(now + MEDIA_PATIENCE));
    }

    #[test]
    fn a_candidate_that_janus_does_not_take_ends_nothing() {
        let now = start();
        let mut session = session(now);
        hear(&mut session, joined(&ann()), now);
        let told = session.candidate(Handle::Media, "candidate:1 1 udp 1 192.0.2.1 9 typ host");
        assert_eq!((&told["janus"], &told["handle_id"]), (&json!("trickle"), &json!(2)));
        let refused = json!({
            "janus": "error", "transaction": told["transaction"],
            "error": {"code": 466, "reason": "no"},
        });
        assert!(hear(&mut session, refused, now).is_empty());
    }

    #[test]
    fn the_session_is_kept_alive_and_a_silent_server_is_given_up() {
        let now = start();
        let mut session = session(now);
        assert_eq!(session.wake(), now + KEEPALIVE);
        let acts = session.poll(now + KEEPALIVE).unwrap();
        assert!(matches!(acts.as_slice(), [Act::Send(word)] if word["janus"] == "keepalive"));
        assert!(session.poll(now + PATIENCE).unwrap_err().contains("silent"));
    }

    #[test]
    fn a_room_that_closes_says_so_before_its_media_path_is_missed() {
        let now = start();
        let mut session = session(now);
        hear(&mut session, joined(&json!([])), now);
        hear(&mut session, json!({"janus": "hangup", "sender": 2, "reason": "Close PC"}), now);
        let acts = hear(&mut session, event(1, "", &json!({"videoroom": "destroyed"})), now);
        assert!(matches!(acts.as_slice(), [Act::Tell(MeetingEvent::Ended)]), "{acts:?}");
        assert!(session.poll(now + LAST_WORDS).unwrap_err().contains("Close PC"));
    }

    #[test]
    fn every_refusal_has_its_code() {
        for (code, expected) in [
            (426, FailureCode::MeetingNotFound),
            (429, FailureCode::AuthFailure),
            (430, FailureCode::MeetingNotFound),
            (432, FailureCode::HostDeniedAdmission),
            (433, FailureCode::AuthFailure),
            (499, FailureCode::InternalError),
        ] {
            let now = start();
            let refused = event(
                1,
                "join",
                &json!({"videoroom": "event", "error_code": code, "error": "why"}),
            );
            let acts = hear(&mut session(now), refused, now);
            let [Act::Tell(MeetingEvent::Refused(failure))] = acts.as_slice() else {
                panic!("{acts:?}")
            };
            assert_eq!(failure.code, expected, "{code}");
        }
    }
}
