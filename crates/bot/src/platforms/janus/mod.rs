//! Janus: its `VideoRoom` as someone who never sends, its `TextRoom` for the chat. `docs/platforms/janus.md` tells users about it.

mod address;
mod chat;
#[cfg(feature = "bench")]
pub(crate) mod cost;
mod layers;
mod message;
mod refusal;
mod roster;
mod session;
mod subscription;
#[cfg(any(test, fuzzing))]
pub(crate) mod untrusted;

use std::{collections::VecDeque, time::Instant};

use async_trait::async_trait;
use futures_util::{
    StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use meetbot_rtc::{Channel, Event, Kind, Peer};
use meetbot_types::{CommandId, Failure, FailureCode, Platform, bot::BotOrder};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message as Packet;

use self::{
    address::Address,
    chat::{CHANNEL, Chat, Heard},
    message::{Id, Message},
    session::{Act, Handle, MEDIA_PATIENCE, Session},
};
use crate::{
    bounds::{self, Exceeded},
    clock,
    connect::Connect,
    media::{Frame, TrackId},
    meeting::{Lost, Meeting, MeetingEvent, Outcome},
    platforms::{
        dial::{DialError, Socket, Target, dial},
        joins::Joins,
        messages::Messages,
        outbox::Outbox,
        over::Over,
        webrtc,
    },
};

/// The WebSocket subprotocol that Janus speaks.
const PROTOCOL: &str = "janus-protocol";

/// A room that the bot has knocked at, or that turned it away.
pub(crate) struct JanusMeeting {
    /// `None` where there was nobody to talk to: the only event says why.
    call: Option<Call>,
    /// Told already, and not asked for yet.
    events: VecDeque<MeetingEvent>,
    over: Option<Over>,
}

/// The bot's side of a room.
struct Call {
    sink: SplitSink<Socket, Packet>,
    stream: SplitStream<Socket>,
    outbox: Outbox,
    messages: Messages,
    session: Session,
    media: Box<Peer>,
    chat: Option<Box<ChatPeer>>,
}

struct ChatPeer {
    peer: Peer,
    /// The bot's channel to the room, once it has asked for one. The room is not heard on any other.
    channel: Option<Channel>,
    open: bool,
    room: Chat,
    pin: Option<String>,
    display: String,
    /// What commands write, until the bot is in the room.
    waiting: Outbox,
}

impl JanusMeeting {
    /// Connects, and begins the conversation.
    pub(crate) async fn join(
        order: &BotOrder,
        connect: &Connect,
        joins: &Joins,
    ) -> Result<Self, Lost> {
        let unreachable = |why: String| {
            let failure = Failure::new(FailureCode::MeetingNotFound, why);
            let events = [MeetingEvent::Unreachable(failure)].into();
            Self { call: None, events, over: None }
        };
        let Some(address) = Address::of(&order.link) else {
            return Ok(unreachable("no link of Janus".to_owned()));
        };
        let target = Target {
            url: &address.server,
            protocol: Some(PROTOCOL),
            token: None,
            address_policy: Some(&order.address_policy),
        };
        let dialled = match dial(&target, &connect.tls).await {
            Ok(dialled) => dialled,
            Err(DialError::Never(why)) => return Ok(unreachable(why)),
            Err(DialError::Away(why)) => return Err(why),
        };
        let peer = || async {
            let mut peer = Peer::answering(dialled.local, joins.guard.clone());
            peer.discover(&order.stun_servers).await?;
            Ok::<_, meetbot_rtc::Error>(peer)
        };
        let socket_error = |error: meetbot_rtc::Error| error.to_string();
        let media = Box::new(peer().await.map_err(socket_error)?);
        let own_id = Id::random(&address.room);
        let (join, former_ids) = joins.begin(own_id.to_string());
        let chat = match &address.text_room {
            None => None,
            Some(room) => Some(Box::new(ChatPeer {
                peer: peer().await.map_err(socket_error)?,
                channel: None,
                open: false,
                room: Chat::new(
                    room.clone(),
                    &order.job_id.to_string(),
                    format!("{}.{join}", order.epoch),
                ),
                pin: address.pin.clone(),
                display: order.display_name.clone(),
                waiting: Outbox::default(),
            })),
        };
        let joining = MeetingEvent::JoiningAs {
            platform: Platform::Janus,
            room: address.room_name(),
            own_id: own_id.to_string(),
        };
        let (mut session, first) =
            Session::begin(&address, order.display_name.clone(), own_id, former_ids, clock::now());
        if order.record_video == Some(false) {
            session.leave_cameras_out();
        }
        let (sink, stream) = dialled.socket.split();
        let messages = Messages::new(clock::now());
        let outbox = Outbox::default();
        let mut call = Call { sink, stream, outbox, messages, session, media, chat };
        call.say(&first)?;
        Ok(Self { call: Some(call), events: [joining].into(), over: None })
    }
}

impl Call {
    /// Moves the call until something happened; what is worth telling goes into `events`.
    async fn step(&mut self, events: &mut VecDeque<MeetingEvent>) -> Result<(), Lost> {
        let chat = self.chat.as_ref().and_then(|chat| chat.waiting.wake());
        let wake = chat.into_iter().fold(self.session.wake(), Instant::min);
        tokio::select! {
            sent = self.outbox.send(&mut self.sink), if self.outbox.is_waiting() => {
                sent.map(drop).map_err(|error| format!("the connection broke: {error}"))
            }
            heard = self.stream.next() => {
                let text = match heard {
                    Some(Ok(Packet::Text(text))) => text,
                    Some(Ok(Packet::Close(_))) | None => {
                        return Err("the server closed the connection".to_owned());
                    }
                    Some(Ok(_)) => return Ok(()),
                    Some(Err(error)) => return Err(format!("the connection broke: {error}")),
                };
                if !self.may_send(text.len(), events) {
                    return Ok(());
                }
                match Message::read(&text) {
                    Ok(message) => {
                        let acts = self.session.hear(message, clock::now())?;
                        self.act(acts, events)
                    }
                    Err(error) => {
                        let error = bounds::REASON.cut(error.to_string());
                        tracing::debug!(error, "Janus said something unknown");
                        Ok(())
                    }
                }
            }
            event = self.media.next() => self.media(event.map_err(|error| error.to_string())?, events),
            event = next(self.chat.as_deref_mut()) => {
                if let Ok(Event::ChannelData { data, .. }) = &event
                    && !self.may_send(data.len(), events)
                {
                    return Ok(());
                }
                self.hear_chat(event, events);
                Ok(())
            }
            () = tokio::time::sleep_until(wake.into()) => {
                let now = clock::now();
                if let Some(chat) = &mut self.chat {
                    let why = "the chat's room does not let the bot in";
                    let overdue = chat.waiting.overdue(now);
                    events.extend(overdue.into_iter().map(|id| done(id, Err(why.to_owned()))));
                }
                if self.session.misses_media(now) {
                    let patience = MEDIA_PATIENCE.as_secs();
                    let why = self.media.path();
                    return Err(format!("no media path came up within {patience} s: {why}"));
                }
                let acts = self.session.poll(now)?;
                self.act(acts, events)
            }
        }
    }

    /// Whether Janus may send a message of this length too; else the bot is to leave.
    fn may_send(&mut self, bytes: usize, events: &mut VecDeque<MeetingEvent>) -> bool {
        let may = self.messages.take(bytes, clock::now());
        if !may {
            events.push_back(MeetingEvent::Refused(Exceeded::Messages.failure()));
        }
        may
    }

    fn act(&mut self, acts: Vec<Act>, events: &mut VecDeque<MeetingEvent>) -> Result<(), Lost> {
        for act in acts {
            match act {
                Act::Send(message) => self.say(&message)?,
                Act::Answer { sdp, .. } if bounds::description(&sdp).is_err() => {
                    let failure = Exceeded::Description.failure();
                    events.push_back(MeetingEvent::Refused(failure));
                }
                Act::Answer { handle: Handle::Chat, sdp } => {
                    let Some(chat) = &mut self.chat else { continue };
                    match chat.peer.accept_offer(&sdp) {
                        Ok(answer) => {
                            // The channel is opened from this side, once the session is up.
                            if chat.channel.is_none() {
                                chat.channel = Some(chat.peer.open_channel(CHANNEL).0);
                            }
                            let answered = self.session.answered(Handle::Chat, &answer);
                            self.say(&answered)?;
                        }
                        Err(error) => self.without_chat(&error.to_string(), events),
                    }
                }
                Act::Answer { handle, sdp } => {
                    let answer =
                        self.media.accept_offer(&sdp).map_err(|error| error.to_string())?;
                    let answered = self.session.answered(handle, &answer);
                    self.say(&answered)?;
                }
                Act::Candidate { candidate, .. } if candidate.len() > bounds::CANDIDATE_BYTES => {
                    tracing::debug!(bytes = candidate.len(), "a candidate is passed over");
                }
                Act::Candidate { handle, candidate } => {
                    let peer = match (handle, &mut self.chat) {
                        (Handle::Chat, Some(chat)) => &mut chat.peer,
                        (Handle::Media, _) => &mut self.media,
                        _ => continue,
                    };
                    match peer.add_remote_candidate(&candidate) {
                        Ok(own) => {
                            if let Some(own) = own {
                                let candidate = self.session.candidate(handle, &own);
                                self.say(&candidate)?;
                            }
                        }
                        // One of a kind that is not known here (TCP, mDNS): another may do.
                        Err(error) => tracing::debug!(%error, "a candidate is passed over"),
                    }
                }
                Act::Tell(event) => events.push_back(event),
                Act::NoChat(why) => self.without_chat(&why, events),
            }
        }
        Ok(())
    }

    fn say(&mut self, message: &Value) -> Result<(), Lost> {
        if self.outbox.push(message.to_string()) {
            Ok(())
        } else {
            Err("the server takes nothing of what it is sent".to_owned())
        }
    }

    /// A meeting goes on without its chat.
    fn without_chat(&mut self, why: &str, events: &mut VecDeque<MeetingEvent>) {
        let Some(mut chat) = self.chat.take() else { return };
        tracing::warn!(why, "the meeting's chat cannot be read or written");
        while let Some((id, _)) = chat.waiting.pop() {
            events.extend(id.map(|id| done(id, Err(why.to_owned()))));
        }
    }

    fn media(&mut self, event: Event, events: &mut VecDeque<MeetingEvent>) -> Result<(), Lost> {
        match event {
            Event::Connected => {
                let admitted = self.session.media_is_up(clock::now());
                self.act(admitted.into_iter().collect(), events)
            }
            Event::Disconnected => {
                self.session.media_is_down("the media path is down".to_owned(), clock::now());
                Ok(())
            }
            Event::TrackAdded { track, kind: Kind::Video } => {
                self.session.streams.keyframes.begin(track.into(), clock::now());
                Ok(())
            }
            Event::Frame(frame) => {
                events.extend(webrtc::frame(frame).and_then(|frame| self.frame(frame)));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn frame(&mut self, mut frame: Frame) -> Option<MeetingEvent> {
        if frame.is_picture() && !self.session.streams.picture(frame.track, clock::now()) {
            return None;
        }
        let mid = frame.track.name();
        let (participant, source) = self.session.owner(mid)?;
        if frame.level_dbov.is_none() && frame.voice.is_none() {
            // Where senders tell no level, the room may tell who talks.
            frame.voice = self.session.talks(mid);
        }
        Some(MeetingEvent::Media { participant, source, frame })
    }

    fn hear_chat(&mut self, event: Result<Event, Lost>, events: &mut VecDeque<MeetingEvent>) {
        let Some(chat) = &mut self.chat else { return };
        let broken = match event {
            Ok(Event::ChannelOpen { channel, .. }) if chat.channel == Some(channel) => {
                chat.open = true;
                let join = chat.room.join(chat.pin.as_deref(), &chat.display);
                chat.peer.send_text(channel, &join).err().map(|error| error.to_string())
            }
            Ok(Event::ChannelData { channel, data }) if chat.channel == Some(channel) => {
                match chat.room.hear(&data) {
                    Heard::Line(line) => {
                        events.push_back(MeetingEvent::Chat(line));
                        None
                    }
                    Heard::Refused(why) => Some(why),
                    Heard::Nothing => {
                        chat.write(events);
                        None
                    }
                }
            }
            Ok(Event::ChannelClosed { channel }) if chat.channel == Some(channel) => {
                Some("its data channel is down".to_owned())
            }
            Ok(Event::Disconnected) => Some("its media path is down".to_owned()),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        if let Some(why) = broken {
            self.without_chat(&why, events);
        }
    }
}

impl ChatPeer {
    /// Writes what waits, once the bot is in the room.
    fn write(&mut self, events: &mut VecDeque<MeetingEvent>) {
        let Some(channel) = self.channel.filter(|_| self.open && self.room.is_inside()) else {
            return;
        };
        while let Some((id, text)) = self.waiting.pop() {
            let sent = self.peer.send_text(channel, &self.room.say(&text));
            let outcome = sent.map_err(|error| error.to_string());
            events.extend(id.map(|id| done(id, outcome)));
        }
    }
}

fn done(id: CommandId, outcome: Outcome) -> MeetingEvent {
    MeetingEvent::CommandDone { id, outcome }
}

async fn next(chat: Option<&mut ChatPeer>) -> Result<Event, Lost> {
    match chat {
        Some(chat) => chat.peer.next().await.map_err(|error| error.to_string()),
        None => std::future::pending().await,
    }
}

#[async_trait]
impl Meeting for JanusMeeting {
    async fn next(&mut self) -> MeetingEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                if !Over::is(&event) {
                    return event;
                }
                self.over = Some(Over::new(event));
            }
            let Some(call) = &mut self.call else { return std::future::pending().await };
            if let Some(over) = &mut self.over {
                let last = over.last(&mut call.media).await;
                if last.is_none_or(|event| call.media(event, &mut self.events).is_err())
                    && let Some(over) = self.over.take()
                {
                    return over.end();
                }
                continue;
            }
            call.messages.give_way().await;
            if let Err(lost) = call.step(&mut self.events).await {
                return MeetingEvent::Lost(lost);
            }
        }
    }

    fn send_chat(&mut self, id: CommandId, text: String) {
        let chat = self.call.as_mut().and_then(|call| call.chat.as_deref_mut());
        let Some(chat) = chat else {
            let why = "the meeting has no chat: its link names no text room, or the room is gone";
            self.events.push_back(done(id, Err(why.to_owned())));
            return;
        };
        if chat.waiting.push_for(id, text, clock::now()) {
            chat.write(&mut self.events);
        } else {
            let why = "too much waits to be written into the chat";
            self.events.push_back(done(id, Err(why.to_owned())));
        }
    }

    fn request_permission(&mut self, id: CommandId) {
        let why = "nobody in a Janus room decides about recordings";
        self.events.push_back(done(id, Err(why.to_owned())));
    }

    fn request_keyframe(&mut self, track: TrackId) {
        if let Some(call) = &mut self.call {
            // A server that takes nothing is noticed with the next message that it is sent.
            let _ = call.say(&call.session.keyframe(track.name()));
        }
    }

    async fn leave(mut self: Box<Self>) -> Vec<CommandId> {
        let Some(mut call) = self.call.take() else { return Vec::new() };
        for message in call.session.leave() {
            let _ = call.say(&message);
        }
        call.outbox.close(&mut call.sink).await;
        call.media.close();
        if let Some(chat) = call.chat {
            chat.peer.close();
        }
        // What is written into the chat is done at once, or waits for the bot to be let in there.
        self.events.into_iter().filter_map(MeetingEvent::done).collect()
    }
}
