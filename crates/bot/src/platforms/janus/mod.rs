//! Janus: the bot joins its `VideoRoom` without sending, and its `TextRoom` for the chat. `docs/platforms/janus.md` documents it for users.

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
    chat::{CHANNEL, Chat, ChatEvent},
    message::{Id, Message},
    session::{Action, Handle, MEDIA_TIMEOUT, Session},
};
use crate::{
    bounds::{self, Exceeded},
    clock::{self, Timer},
    connect::Connect,
    media::{Frame, TrackId},
    meeting::{Lost, Meeting, MeetingEvent, Outcome, Remainder},
    platforms::{
        dial::{DialError, Socket, Target, dial},
        drain::Drain,
        joins::Joins,
        messages::Messages,
        outbox::Outbox,
        webrtc,
        woken::Woken,
    },
};

/// The WebSocket subprotocol of Janus.
const PROTOCOL: &str = "janus-protocol";

/// A room that the bot joins or has joined, or that refused it.
pub(crate) struct JanusMeeting {
    /// `None` if there is no connection: the only event has the reason.
    call: Option<Call>,
    /// Events for the next calls of `next`.
    events: VecDeque<MeetingEvent>,
    drain: Option<Drain>,
}

/// The connection to a room.
struct Call {
    sink: SplitSink<Socket, Packet>,
    stream: Woken<SplitStream<Socket>>,
    timer: Timer,
    outbox: Outbox,
    messages: Messages,
    session: Session,
    media: Box<Peer>,
    chat: Option<Box<ChatPeer>>,
}

struct ChatPeer {
    peer: Peer,
    /// The bot's data channel to the room, once it is requested. Messages on other channels are ignored.
    channel: Option<Channel>,
    open: bool,
    room: Chat,
    pin: Option<String>,
    display: String,
    /// Messages of commands that wait until the bot is in the text room.
    waiting: Outbox,
}

impl JanusMeeting {
    /// Connects, and begins the session.
    pub(crate) async fn join(
        order: &BotOrder,
        connect: &Connect,
        joins: &Joins,
    ) -> Result<Self, Lost> {
        let unreachable = |why: String| {
            let failure = Failure::new(FailureCode::MeetingNotFound, why);
            let events = [MeetingEvent::Unreachable(failure)].into();
            Self { call: None, events, drain: None }
        };
        let Some(address) = Address::of(&order.link) else {
            return Ok(unreachable("not a link of Janus".to_owned()));
        };
        let target = Target {
            url: &address.server,
            protocol: Some(PROTOCOL),
            token: None,
            address_policy: Some(&order.address_policy),
        };
        let dialled = match dial(&target, &connect.tls).await {
            Ok(dialled) => dialled,
            Err(DialError::Permanent(why)) => return Ok(unreachable(why)),
            Err(DialError::Temporary(why)) => return Err(why),
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
            session.exclude_cameras();
        }
        let (sink, stream) = dialled.socket.split();
        let (stream, timer) = (Woken::new(stream), Timer::default());
        let messages = Messages::new(clock::now());
        let outbox = Outbox::default();
        let mut call = Call { sink, stream, timer, outbox, messages, session, media, chat };
        call.send(&first)?;
        Ok(Self { call: Some(call), events: [joining].into(), drain: None })
    }
}

impl Call {
    /// Drives the connection until something happened, and adds events to `events`.
    async fn step(&mut self, events: &mut VecDeque<MeetingEvent>) -> Result<(), Lost> {
        let chat = self.chat.as_ref().and_then(|chat| chat.waiting.wake());
        let wake = chat.into_iter().fold(self.session.wake(), Instant::min);
        tokio::select! {
            sent = self.outbox.send(&mut self.sink), if self.outbox.is_waiting() => {
                sent.map(drop).map_err(|error| format!("the connection failed: {error}"))
            }
            received = self.stream.next() => {
                // The media that arrived before the message.
                for event in self.media.arrived().map_err(|error| error.to_string())? {
                    self.media(event, events)?;
                }
                let text = match received {
                    Some(Ok(Packet::Text(text))) => text,
                    Some(Ok(Packet::Close(_))) | None => {
                        return Err("the server closed the connection".to_owned());
                    }
                    Some(Ok(_)) => return Ok(()),
                    Some(Err(error)) => return Err(format!("the connection failed: {error}")),
                };
                if !self.may_send(text.len(), events) {
                    return Ok(());
                }
                match Message::read(&text) {
                    Ok(message) => {
                        let actions = self.session.on_message(message, clock::now())?;
                        self.perform(actions, events)
                    }
                    Err(error) => {
                        let error = bounds::REASON.cut(error.to_string());
                        tracing::debug!(error, "Janus sent an invalid message");
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
                self.on_chat_event(event, events);
                Ok(())
            }
            () = self.timer.until(Some(wake)) => {
                let now = clock::now();
                if let Some(chat) = &mut self.chat {
                    let why = "the chat's room does not admit the bot";
                    let overdue = chat.waiting.overdue(now);
                    events.extend(overdue.into_iter().map(|id| done(id, Err(why.to_owned()))));
                }
                if self.session.is_media_overdue(now) {
                    let patience = MEDIA_TIMEOUT.as_secs();
                    let why = self.media.why_no_path();
                    return Err(format!("no media path came up within {patience} s: {why}"));
                }
                let actions = self.session.poll(now)?;
                self.perform(actions, events)
            }
        }
    }

    /// Counts a message of this length. Returns whether Janus may send it; else the bot must leave.
    fn may_send(&mut self, bytes: usize, events: &mut VecDeque<MeetingEvent>) -> bool {
        let may = self.messages.take(bytes, clock::now());
        if !may {
            events.push_back(MeetingEvent::Refused(Exceeded::Messages.failure()));
        }
        may
    }

    fn perform(
        &mut self,
        actions: Vec<Action>,
        events: &mut VecDeque<MeetingEvent>,
    ) -> Result<(), Lost> {
        for act in actions {
            match act {
                Action::Send(message) => self.send(&message)?,
                Action::Answer { sdp, .. } if bounds::description(&sdp).is_err() => {
                    let failure = Exceeded::Description.failure();
                    events.push_back(MeetingEvent::Refused(failure));
                }
                Action::Answer { handle: Handle::Chat, sdp } => {
                    let Some(chat) = &mut self.chat else { continue };
                    match chat.peer.accept_offer(&sdp) {
                        Ok(answer) => {
                            // The channel is opened from this side, once the session is up.
                            if chat.channel.is_none() {
                                chat.channel = Some(chat.peer.open_channel(CHANNEL).0);
                            }
                            let answered = self.session.answered(Handle::Chat, &answer);
                            self.send(&answered)?;
                        }
                        Err(error) => self.without_chat(&error.to_string(), events),
                    }
                }
                Action::Answer { handle, sdp } => {
                    let answer =
                        self.media.accept_offer(&sdp).map_err(|error| error.to_string())?;
                    let answered = self.session.answered(handle, &answer);
                    self.send(&answered)?;
                }
                Action::Candidate { candidate, .. }
                    if candidate.len() > bounds::CANDIDATE_BYTES =>
                {
                    tracing::debug!(bytes = candidate.len(), "a candidate is ignored");
                }
                Action::Candidate { handle, candidate } => {
                    let peer = match (handle, &mut self.chat) {
                        (Handle::Chat, Some(chat)) => &mut chat.peer,
                        (Handle::Media, _) => &mut self.media,
                        _ => continue,
                    };
                    match peer.add_remote_candidate(&candidate) {
                        Ok(own) => {
                            if let Some(own) = own {
                                let candidate = self.session.candidate(handle, &own);
                                self.send(&candidate)?;
                            }
                        }
                        // The candidate's type is not supported (TCP, mDNS): another one may work.
                        Err(error) => tracing::debug!(%error, "a candidate is ignored"),
                    }
                }
                Action::Emit(event) => events.push_back(event),
                Action::NoChat(why) => self.without_chat(&why, events),
            }
        }
        Ok(())
    }

    fn send(&mut self, message: &Value) -> Result<(), Lost> {
        if self.outbox.push(message.to_string()) {
            Ok(())
        } else {
            Err("the server does not read its messages".to_owned())
        }
    }

    /// The meeting continues without its chat.
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
                self.media.pause_between_readings();
                let admitted = self.session.media_is_up(clock::now());
                self.perform(admitted.into_iter().collect(), events)
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
            // If senders report no level, the room may report who talks.
            frame.voice = self.session.talks(mid);
        }
        Some(MeetingEvent::Media { participant, source, frame })
    }

    fn on_chat_event(&mut self, event: Result<Event, Lost>, events: &mut VecDeque<MeetingEvent>) {
        let Some(chat) = &mut self.chat else { return };
        let broken = match event {
            Ok(Event::ChannelOpen { channel, .. }) if chat.channel == Some(channel) => {
                chat.open = true;
                let join = chat.room.join(chat.pin.as_deref(), &chat.display);
                chat.peer.send_text(channel, &join).err().map(|error| error.to_string())
            }
            Ok(Event::ChannelData { channel, data }) if chat.channel == Some(channel) => {
                match chat.room.on_message(&data) {
                    ChatEvent::Line(line) => {
                        events.push_back(MeetingEvent::Chat(line));
                        None
                    }
                    ChatEvent::Refused(why) => Some(why),
                    ChatEvent::Nothing => {
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
    /// Sends the waiting messages, once the bot is in the text room.
    fn write(&mut self, events: &mut VecDeque<MeetingEvent>) {
        let Some(channel) = self.channel.filter(|_| self.open && self.room.is_inside()) else {
            return;
        };
        while let Some((id, text)) = self.waiting.pop() {
            let sent = self.peer.send_text(channel, &self.room.message(&text));
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
                if !Drain::is_end(&event) {
                    return event;
                }
                self.drain = Some(Drain::new(event));
                self.call.iter_mut().for_each(|call| call.media.read_at_once());
            }
            let Some(call) = &mut self.call else { return std::future::pending().await };
            if let Some(drain) = &mut self.drain {
                let last = drain.next(&mut call.media).await;
                if last.is_none_or(|event| call.media(event, &mut self.events).is_err())
                    && let Some(drain) = self.drain.take()
                {
                    return drain.into_end();
                }
                continue;
            }
            call.messages.yield_if_due().await;
            if let Err(lost) = call.step(&mut self.events).await {
                return MeetingEvent::Lost(lost);
            }
        }
    }

    fn arrived_media(&mut self) -> Option<MeetingEvent> {
        let call = self.call.as_mut().filter(|_| self.drain.is_none())?;
        while self.events.is_empty() {
            let frame = call.media.received()?;
            call.media(Event::Frame(frame), &mut self.events).ok()?;
        }
        self.events.pop_front_if(|event| matches!(event, MeetingEvent::Media { .. }))
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
            let why = "too many chat messages are waiting";
            self.events.push_back(done(id, Err(why.to_owned())));
        }
    }

    fn request_permission(&mut self, id: CommandId) {
        let why = "a Janus room has no permission to record that a host could give";
        self.events.push_back(done(id, Err(why.to_owned())));
    }

    fn request_keyframe(&mut self, track: TrackId) {
        if let Some(call) = &mut self.call {
            // If the outbox is full, the next message detects that the server does not read.
            let _ = call.send(&call.session.keyframe(track.name()));
        }
    }

    fn dropped_datagrams(&self) -> u64 {
        self.call.as_ref().map_or(0, |call| call.media.dropped())
    }

    fn late_readings(&self) -> u64 {
        self.call.as_ref().map_or(0, |call| call.media.late_readings())
    }

    async fn leave(mut self: Box<Self>) -> Remainder {
        let Some(mut call) = self.call.take() else { return Remainder::default() };
        for message in call.session.leave() {
            let _ = call.send(&message);
        }
        call.outbox.close(&mut call.sink).await;
        call.media.close();
        if let Some(chat) = call.chat {
            chat.peer.close();
        }
        // Chat messages are sent at once, or wait until the bot is admitted to the text room.
        let done: Vec<_> = self.events.into_iter().filter_map(MeetingEvent::done).collect();
        done.into()
    }
}
