//! The sandbox: signalling over its WebSocket, media over WebRTC.

use std::collections::{HashMap, VecDeque};

use async_trait::async_trait;
use futures_util::{SinkExt as _, StreamExt as _};
use meetbot_rtc::{Event, Peer, TrackId};
use meetbot_types::{
    Failure, JobId, Platform,
    bot::{BotOrder, Participant, RecordingRule, SandboxSeat},
    sandbox::{FromBot, FromMeeting, TrackOwner},
};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{ClientRequestBuilder, Message, protocol::WebSocketConfig},
};

use super::Joins;
use crate::meeting::{CaptionLine, ChatLine, Lost, Meeting, MeetingEvent, Source};

/// The largest message of the meeting: a session description with many tracks.
const MESSAGE_LIMIT: usize = 256 * 1024;

/// A sandbox meeting that the bot has knocked at.
pub(crate) struct SandboxMeeting {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    peer: Box<Peer>,
    owners: HashMap<TrackId, String>,
    /// The sandbox has a room for each job.
    job: JobId,
    /// The roster and whether the bot may record, until the media path is up too.
    admitted: Option<(Vec<Participant>, RecordingRule)>,
    connected: bool,
    /// Told already, and not asked for yet.
    events: VecDeque<MeetingEvent>,
}

impl SandboxMeeting {
    /// Knocks.
    pub(crate) async fn join(
        order: &BotOrder,
        seat: &SandboxSeat,
        joins: &Joins,
    ) -> Result<Self, Lost> {
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_LIMIT));
        let uri = seat.address.parse().map_err(|error| format!("the sandbox's URL: {error}"))?;
        let mut request = ClientRequestBuilder::new(uri);
        if let Some(token) = &seat.token {
            request = request.with_header("authorization", format!("Bearer {}", token.expose()));
        }
        let connected = connect_async_with_config(request, Some(config), true).await;
        let (socket, _) =
            connected.map_err(|error| format!("the sandbox does not answer: {error}"))?;
        let MaybeTlsStream::Plain(stream) = socket.get_ref() else {
            return Err("the sandbox speaks no TLS".to_owned());
        };
        let ends = stream.local_addr().and_then(|here| Ok((here.ip(), stream.peer_addr()?.ip())));
        let (here, there) = ends.map_err(|error| error.to_string())?;
        let mut meeting = Self {
            socket,
            // The operator says where the sandbox is.
            peer: Box::new(Peer::answering(here, joins.guard.and(there))),
            owners: HashMap::new(),
            job: order.job_id,
            admitted: None,
            connected: false,
            events: VecDeque::new(),
        };
        let join = FromBot::Join {
            job_id: order.job_id,
            scenario: seat.scenario.clone(),
            name: order.display_name.clone(),
        };
        meeting.say(&join).await?;
        Ok(meeting)
    }

    async fn say(&mut self, word: &FromBot) -> Result<(), Lost> {
        let text = serde_json::to_string(word).map_err(|error| error.to_string())?;
        self.socket.send(Message::text(text)).await.map_err(|error| error.to_string())
    }

    async fn heed(&mut self, message: Message) -> Result<(), Lost> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return Err("the meeting closed the connection".to_owned()),
            _ => return Ok(()),
        };
        let word: FromMeeting = serde_json::from_str(&text)
            .map_err(|error| format!("the meeting said something unknown: {error}"))?;
        let event = match word {
            FromMeeting::Lobby { lobby } => MeetingEvent::Lobby(lobby),
            FromMeeting::Refused { code, detail } => {
                MeetingEvent::Refused(Failure::new(code, detail))
            }
            FromMeeting::Ended => MeetingEvent::Ended,
            FromMeeting::Removed => MeetingEvent::Removed,
            FromMeeting::Admitted { self_id, mut roster, recording } => {
                // In the call is who stands in the roster.
                if roster.iter().any(|person| person.id == self_id) {
                    roster.retain(|person| person.id != self_id);
                    self.admitted = Some((roster, recording));
                    self.events.push_back(MeetingEvent::JoiningAs {
                        platform: Platform::Sandbox,
                        room: self.job.to_string(),
                        own_id: self_id,
                    });
                    self.admit();
                }
                return Ok(());
            }
            FromMeeting::Offer { sdp, tracks } => {
                let answer = self.peer.accept_offer(&sdp).map_err(|error| error.to_string())?;
                // An offer names the owners of all its tracks.
                let owner =
                    |track: TrackOwner| (TrackId::from_mid(&track.mid), track.participant_id);
                self.owners = tracks.into_iter().map(owner).collect();
                return self.say(&FromBot::Answer { sdp: answer }).await;
            }
            FromMeeting::ParticipantJoined { participant } => MeetingEvent::Joined(participant),
            FromMeeting::ParticipantLeft { id } => MeetingEvent::Left(id),
            FromMeeting::Chat { id, sender_id, sender, text, private } => {
                MeetingEvent::Chat(ChatLine { id, sender_id, sender, text, private })
            }
            FromMeeting::Caption { speaker_id, speaker, began_ms_ago, text } => {
                MeetingEvent::Caption(CaptionLine { speaker_id, speaker, began_ms_ago, text })
            }
            FromMeeting::Permission { granted } => MeetingEvent::Permission(granted),
            // The one bug that is wanted: it shows what a bot's crash leads to.
            FromMeeting::Crash => panic!("the scenario makes this bot crash"),
            FromMeeting::Inspection(_) => return Ok(()),
        };
        self.events.push_back(event);
        Ok(())
    }

    fn media(&mut self, event: Event) -> Result<(), Lost> {
        match event {
            Event::Connected => {
                self.connected = true;
                self.admit();
            }
            Event::Disconnected => return Err("the media path is down".to_owned()),
            Event::Frame(frame) => {
                if let Some(participant) = self.owners.get(&frame.track) {
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

#[async_trait]
impl Meeting for SandboxMeeting {
    async fn next(&mut self) -> MeetingEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let outcome = tokio::select! {
                message = self.socket.next() => match message {
                    Some(Ok(message)) => self.heed(message).await,
                    Some(Err(error)) => Err(error.to_string()),
                    None => Err("the meeting closed the connection".to_owned()),
                },
                event = self.peer.next() => match event {
                    Ok(event) => self.media(event),
                    Err(error) => Err(error.to_string()),
                },
            };
            if let Err(lost) = outcome {
                return MeetingEvent::Lost(lost);
            }
        }
    }

    async fn send_chat(&mut self, text: &str) -> Result<bool, Lost> {
        self.say(&FromBot::Chat { text: text.to_owned() }).await.map(|()| true)
    }

    async fn request_permission(&mut self) -> Result<(), Lost> {
        self.say(&FromBot::RequestPermission).await
    }

    fn request_keyframe(&mut self, track: TrackId) {
        // Nobody sends pictures in the sandbox; a track that went away needs none.
        let _ = self.peer.request_keyframe(track);
    }

    async fn leave(mut self: Box<Self>) {
        let _ = self.say(&FromBot::Leave).await;
        let _ = self.socket.close(None).await;
        self.peer.close();
    }
}
