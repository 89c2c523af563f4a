//! The sandbox: signalling over its WebSocket, media over WebRTC.

use std::collections::{HashMap, VecDeque};

use async_trait::async_trait;
use futures_util::{
    StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use meetbot_rtc::{Event, Peer};
use meetbot_types::{
    CommandId, Failure, JobId, Platform,
    bot::{BotOrder, Participant, RecordingRule, SandboxSeat},
    sandbox::{FromBot, FromMeeting, TrackOwner},
};
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::{
    dial::{Socket, Target, dial},
    drain::Drain,
    joins::Joins,
    messages::Messages,
    outbox::Outbox,
    webrtc,
    woken::Woken,
};
use crate::{
    bounds::{self, Exceeded},
    clock::{self, Timer},
    connect::Connect,
    media::TrackId,
    meeting::{CaptionLine, ChatLine, Lost, Meeting, MeetingEvent, Remainder, Source},
};

/// A meeting of the sandbox that the bot attends or waits to enter.
pub(crate) struct SandboxMeeting {
    sink: SplitSink<Socket, Message>,
    stream: Woken<SplitStream<Socket>>,
    outbox: Outbox,
    peer: Box<Peer>,
    owners: HashMap<TrackId, String>,
    /// The id of the job: the sandbox has a room for each job.
    job: JobId,
    messages: Messages,
    /// The bot was admitted.
    inside: bool,
    /// The roster and the rule of recording, until the media path is up too.
    admitted: Option<(Vec<Participant>, RecordingRule)>,
    connected: bool,
    drain: Option<Drain>,
    timer: Timer,
    /// Events for the next calls of `next`.
    events: VecDeque<MeetingEvent>,
}

impl SandboxMeeting {
    /// Connects, and asks to join.
    pub(crate) async fn join(
        order: &BotOrder,
        seat: &SandboxSeat,
        connect: &Connect,
        joins: &Joins,
    ) -> Result<Self, Lost> {
        let url =
            Url::parse(&seat.address).map_err(|error| format!("the sandbox's URL: {error}"))?;
        // The operator configures the sandbox's address, so it is not checked.
        let target =
            Target { url: &url, protocol: None, token: seat.token.as_ref(), address_policy: None };
        let dialled = dial(&target, &connect.tls).await;
        let dialled = dialled.map_err(|error| format!("the sandbox does not answer: {error}"))?;
        let (sink, stream) = dialled.socket.split();
        let mut meeting = Self {
            sink,
            stream: Woken::new(stream),
            outbox: Outbox::default(),
            peer: Box::new(Peer::answering(dialled.local, joins.guard.and(dialled.remote))),
            owners: HashMap::new(),
            job: order.job_id,
            messages: Messages::new(clock::now()),
            inside: false,
            admitted: None,
            connected: false,
            drain: None,
            timer: Timer::default(),
            events: VecDeque::new(),
        };
        meeting.send(&FromBot::Join {
            job_id: order.job_id,
            scenario: seat.scenario.clone(),
            name: order.display_name.clone(),
        })?;
        Ok(meeting)
    }

    fn send(&mut self, word: &FromBot) -> Result<(), Lost> {
        let text = serde_json::to_string(word).map_err(|error| error.to_string())?;
        if self.outbox.push(text) {
            Ok(())
        } else {
            Err("the meeting does not read its messages".to_owned())
        }
    }

    /// Queues the message of a command.
    fn send_for(&mut self, id: CommandId, word: &FromBot) {
        let fits = serde_json::to_string(word)
            .is_ok_and(|text| self.outbox.push_for(id, text, clock::now()));
        if !fits {
            self.cannot_send([id]);
        }
    }

    fn cannot_send(&mut self, ids: impl IntoIterator<Item = CommandId>) {
        let outcome = || Err("the meeting does not read its messages".to_owned());
        let done = ids.into_iter().map(|id| MeetingEvent::CommandDone { id, outcome: outcome() });
        self.events.extend(done);
    }

    /// Drives the meeting until something happened, and adds events to `events`. Cancel-safe.
    async fn step(&mut self) -> Result<(), Lost> {
        let wake = self.outbox.wake();
        tokio::select! {
            sent = self.outbox.send(&mut self.sink), if self.outbox.is_waiting() => {
                let sent = sent.map_err(|error| error.to_string())?;
                let done = sent.into_iter().map(|id| MeetingEvent::CommandDone { id, outcome: Ok(()) });
                self.events.extend(done);
                Ok(())
            }
            message = self.stream.next() => {
                // The media that arrived before the message.
                for event in self.peer.arrived().map_err(|error| error.to_string())? {
                    self.media(event)?;
                }
                match message {
                    Some(Ok(message)) => self.on_message(message),
                    Some(Err(error)) => Err(error.to_string()),
                    None => Err("the meeting closed the connection".to_owned()),
                }
            }
            event = self.peer.next() => self.media(event.map_err(|error| error.to_string())?),
            () = self.timer.until(wake) => {
                let overdue = self.outbox.overdue(clock::now());
                self.cannot_send(overdue);
                Ok(())
            }
        }
    }

    fn on_message(&mut self, message: Message) -> Result<(), Lost> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return Err("the meeting closed the connection".to_owned()),
            _ => return Ok(()),
        };
        if !self.messages.take(text.len(), clock::now()) {
            self.leave_because(Exceeded::Messages);
            return Ok(());
        }
        let word: FromMeeting = serde_json::from_str(&text)
            .map_err(|error| format!("the meeting sent an invalid message: {error}"))?;
        let event = match word {
            FromMeeting::Lobby { lobby } => MeetingEvent::Lobby(lobby),
            FromMeeting::Refused { code, detail } => {
                MeetingEvent::Refused(Failure::new(code, bounds::REASON.cut(detail)))
            }
            FromMeeting::Ended => MeetingEvent::Ended,
            FromMeeting::Removed => MeetingEvent::Removed,
            FromMeeting::Admitted { self_id, roster, recording } => {
                self.on_admitted(bounds::id(self_id), roster, recording);
                return Ok(());
            }
            FromMeeting::Offer { sdp, tracks } => {
                if let Err(exceeded) = bounds::description(&sdp) {
                    self.leave_because(exceeded);
                    return Ok(());
                }
                let answer = self.peer.accept_offer(&sdp).map_err(|error| error.to_string())?;
                if tracks.len() > bounds::STREAMS {
                    self.leave_because(Exceeded::Streams);
                    return Ok(());
                }
                // An offer lists the owners of all its tracks.
                let owner = |track: TrackOwner| {
                    (TrackId::named(&track.mid), bounds::id(track.participant_id))
                };
                self.owners = tracks.into_iter().map(owner).collect();
                return self.send(&FromBot::Answer { sdp: answer });
            }
            FromMeeting::ParticipantJoined { participant } => {
                MeetingEvent::Joined(cut(participant))
            }
            FromMeeting::ParticipantLeft { id } => MeetingEvent::Left(bounds::id(id)),
            FromMeeting::Chat { id, sender_id, sender, text, private } => {
                MeetingEvent::Chat(ChatLine {
                    id: bounds::id(id),
                    sender_id: bounds::id(sender_id),
                    sender: bounds::NAME.cut(sender),
                    text: bounds::MESSAGE.cut(text),
                    private,
                    ms_ago: 0,
                })
            }
            FromMeeting::Caption { speaker_id, speaker, began_ms_ago, text } => {
                MeetingEvent::Caption(CaptionLine {
                    speaker_id: bounds::id(speaker_id),
                    speaker: bounds::NAME.cut(speaker),
                    began_ms_ago,
                    ended_ms_ago: 0,
                    text: bounds::CAPTION.cut(text),
                })
            }
            FromMeeting::Permission { granted } => MeetingEvent::Permission(granted),
            // An intended panic: it shows what a crash of a bot leads to.
            FromMeeting::Crash => panic!("the scenario makes this bot crash"),
            FromMeeting::Inspection(_) => return Ok(()),
        };
        self.events.push_back(event);
        Ok(())
    }

    /// The bot is admitted, with this roster. A meeting admits a bot once.
    fn on_admitted(&mut self, own_id: String, roster: Vec<Participant>, recording: RecordingRule) {
        if roster.len() > bounds::PEOPLE {
            return self.leave_because(Exceeded::People);
        }
        let mut roster: Vec<_> = roster.into_iter().map(cut).collect();
        if self.inside || roster.iter().all(|person| person.id != own_id) {
            return;
        }
        self.inside = true;
        roster.retain(|person| person.id != own_id);
        self.admitted = Some((roster, recording));
        let room = self.job.to_string();
        let platform = Platform::Sandbox;
        self.events.push_back(MeetingEvent::JoiningAs { platform, room, own_id });
        self.admit();
    }

    /// The meeting exceeded a bound: the bot leaves.
    fn leave_because(&mut self, exceeded: Exceeded) {
        self.events.push_back(MeetingEvent::Refused(exceeded.failure()));
    }

    fn media(&mut self, event: Event) -> Result<(), Lost> {
        match event {
            Event::Connected => {
                self.peer.pause_between_readings();
                self.connected = true;
                self.admit();
            }
            Event::Disconnected => return Err("the media path is down".to_owned()),
            Event::Frame(frame) => {
                if let Some(frame) = webrtc::frame(frame)
                    && let Some(participant) = self.owners.get(&frame.track)
                {
                    let (participant, source) = (participant.clone(), Source::Microphone);
                    self.events.push_back(MeetingEvent::Media { participant, source, frame });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn admit(&mut self) {
        if self.connected
            && let Some((people, recording)) = self.admitted.take()
        {
            self.events.push_back(MeetingEvent::Admitted { people, recording });
        }
    }
}

fn cut(person: Participant) -> Participant {
    let Participant { id, name, is_host, is_bot } = person;
    Participant { id: bounds::id(id), name: bounds::NAME.cut(name), is_host, is_bot }
}

#[async_trait]
impl Meeting for SandboxMeeting {
    async fn next(&mut self) -> MeetingEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                if !Drain::is_end(&event) {
                    return event;
                }
                self.peer.read_at_once();
                self.drain = Some(Drain::new(event));
            }
            if let Some(drain) = &mut self.drain {
                let last = drain.next(&mut self.peer).await;
                if last.is_none_or(|event| self.media(event).is_err())
                    && let Some(drain) = self.drain.take()
                {
                    return drain.into_end();
                }
                continue;
            }
            self.messages.yield_if_due().await;
            if let Err(lost) = self.step().await {
                return MeetingEvent::Lost(lost);
            }
        }
    }

    fn arrived_media(&mut self) -> Option<MeetingEvent> {
        while self.events.is_empty() && self.drain.is_none() {
            let frame = self.peer.received()?;
            self.media(Event::Frame(frame)).ok()?;
        }
        self.events.pop_front_if(|event| matches!(event, MeetingEvent::Media { .. }))
    }

    fn send_chat(&mut self, id: CommandId, text: String) {
        self.send_for(id, &FromBot::Chat { text });
    }

    fn request_permission(&mut self, id: CommandId) {
        self.send_for(id, &FromBot::RequestPermission);
    }

    fn request_keyframe(&mut self, track: TrackId) {
        // The sandbox has no video; a removed track needs no keyframe.
        let _ = self.peer.request_keyframe(webrtc::track_of_peer(track));
    }

    fn dropped_datagrams(&self) -> u64 {
        self.peer.dropped()
    }

    fn late_readings(&self) -> u64 {
        self.peer.late_readings()
    }

    async fn leave(mut self: Box<Self>) -> Remainder {
        let _ = self.send(&FromBot::Leave);
        let sent = self.outbox.close(&mut self.sink).await;
        self.peer.close();
        let done = self.events.into_iter().filter_map(MeetingEvent::done);
        done.chain(sent).collect::<Vec<_>>().into()
    }
}
