//! The sandbox's WebSocket: one bot each, met at the door and played to.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use meetbot_rtc::{AudioPacket, Event, Guard, Kind, Peer, TrackId};
use meetbot_types::{
    FailureCode, JobId,
    bot::{Lobby, Participant, Secret},
    sandbox::{FromBot, FromMeeting, Inspection, TrackOwner},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::MissedTickBehavior,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderMap, StatusCode, header},
        protocol::WebSocketConfig,
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    meeting::{Meeting, Meetings},
    script::{Door, Finale},
    stage::{Happening, PACKET},
};

/// The largest message of a bot: a session description is a tenth of it.
const MESSAGE_LIMIT: usize = 64 * 1024;
/// How long a bot may take to say why it came.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// How many packets are sent at once when the sender was held up.
const CATCH_UP: u64 = 250;
/// What the meeting's captions make of a turn; the voices say something else, as captions do.
const CAPTIONS: [&str; 3] = ["Let us begin.", "I see it the same way.", "Could you send me that?"];
/// The bot's own id in the roster.
const SELF_ID: &str = "p-meetbot";
/// RTP units in a packet of 20 ms.
const PACKET_TICKS: u64 = 960;

/// A running sandbox. Dropping it lets it play on until the runtime ends; [`Sandbox::stop`] ends it.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    meetings: Arc<Meetings>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Sandbox {
    /// Listens and plays to whoever shows this token, as `Authorization: Bearer TOKEN`, and is no web page.
    pub async fn start(listen: SocketAddr, token: Secret) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let meetings = Arc::new(Meetings::default());
        let serving = tokio::spawn(serve(listener, token, Arc::clone(&meetings), stop.clone()));
        Ok(Self { address, meetings, stop, serving })
    }

    /// Its WebSocket, as in `ws://127.0.0.1:40001`.
    pub fn address(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// What was seen of a job's meeting; nothing when it never began.
    pub fn inspect(&self, job: JobId) -> Inspection {
        self.meetings.inspect(job)
    }

    /// Ends all meetings and stops listening.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.serving.await;
    }
}

async fn serve(
    listener: TcpListener,
    token: Secret,
    meetings: Arc<Meetings>,
    stop: CancellationToken,
) {
    let token = Arc::new(token);
    let mut bots = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = bots.join_next(), if !bots.is_empty() => continue,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a bot was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (meetings, token, local) =
            (Arc::clone(&meetings), Arc::clone(&token), stream.local_addr());
        bots.spawn(async move {
            let met = async { Guest::accept(stream, &token).await?.meet(&meetings, local?).await };
            if let Err(error) = met.await {
                tracing::debug!(%error, %from, "a bot went away");
            }
        });
    }
    // Dropping the set ends every meeting.
}

/// Why a connection is no bot's of this sandbox, if so. Browsers send an `Origin`, and bots none: a page that somebody opens on this machine gets
/// nowhere, whatever it knows.
fn refused(headers: &HeaderMap, token: &Secret) -> Option<StatusCode> {
    if headers.contains_key(header::ORIGIN) {
        return Some(StatusCode::FORBIDDEN);
    }
    let shown = headers.get(header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    (!shown.is_some_and(|shown| token.is(shown))).then_some(StatusCode::UNAUTHORIZED)
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A bot on its WebSocket.
struct Guest {
    socket: WebSocketStream<TcpStream>,
}

impl Guest {
    async fn accept(stream: TcpStream, token: &Secret) -> Outcome<Self> {
        stream.set_nodelay(true)?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT));
        #[expect(clippy::result_large_err, reason = "the type is the library's")]
        let admit = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            refused(request.headers(), token).map_or(Ok(response), |status| {
                let mut refusal = ErrorResponse::new(None);
                *refusal.status_mut() = status;
                Err(refusal)
            })
        };
        let accepting = accept_hdr_async_with_config(stream, admit, Some(config));
        Ok(Self { socket: tokio::time::timeout(FIRST_WORD, accepting).await?? })
    }

    async fn say(&mut self, message: &FromMeeting) -> Outcome<()> {
        let text = serde_json::to_string(message)?;
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// What the bot says next; `None` when it is gone. What is not understood ends the connection.
    async fn hear(&mut self) -> Outcome<Option<FromBot>> {
        while let Some(message) = self.socket.next().await {
            match message? {
                Message::Text(text) => return Ok(Some(serde_json::from_str(&text)?)),
                Message::Close(_) => return Ok(None),
                Message::Binary(_) => return Err("a binary message".into()),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Ok(None)
    }

    async fn meet(mut self, meetings: &Meetings, local: SocketAddr) -> Outcome<()> {
        loop {
            match tokio::time::timeout(FIRST_WORD, self.hear()).await?? {
                Some(FromBot::Inspect { job_id }) => {
                    self.say(&FromMeeting::Inspection(meetings.inspect(job_id))).await?;
                }
                Some(FromBot::Join { job_id, scenario, name }) => {
                    let joined = meetings.join(job_id, &scenario);
                    let ended = match joined {
                        Ok(meeting) => self.play(&meeting, job_id, name, local).await,
                        Err(detail) => {
                            let code = FailureCode::MeetingNotFound;
                            self.say(&FromMeeting::Refused { code, detail }).await
                        }
                    };
                    let _ = self.socket.close(None).await;
                    return ended;
                }
                Some(_) => return Err("a bot has to join first".into()),
                None => return Ok(()),
            }
        }
    }

    async fn play(
        &mut self,
        meeting: &Arc<Meeting>,
        job: JobId,
        name: String,
        local: SocketAddr,
    ) -> Outcome<()> {
        let elapsed = meeting.elapsed();
        if meeting.script.outage.is_some_and(|outage| outage.contains(elapsed)) {
            return Err("the scenario's outage".into());
        }
        if elapsed >= meeting.script.length {
            return self.say(&FromMeeting::Ended).await;
        }
        if !self.stand_at_the_door(meeting).await? {
            return Ok(());
        }
        let _presence = meeting.enter();
        tracing::debug!(%job, "a bot is in");
        let bot = Participant { id: SELF_ID.into(), name, is_host: false, is_bot: true };
        let mut call = Call::begin(self, meeting, bot, local).await?;
        call.run().await
    }

    /// Answers whether the bot is let in. A bot that was let in before is let in again at once.
    async fn stand_at_the_door(&mut self, meeting: &Meeting) -> Outcome<bool> {
        let (wait, lobby) = match &meeting.script.door {
            Door::Admits { after } | Door::Denies { after } => (Some(*after), Lobby::WaitingRoom),
            Door::Waits(lobby) => (None, lobby.clone()),
            Door::Refuses(code, detail) => {
                let detail = (*detail).to_owned();
                self.say(&FromMeeting::Refused { code: code.clone(), detail }).await?;
                return Ok(false);
            }
        };
        let left = wait.map(|wait| wait.saturating_sub(meeting.elapsed()));
        if left != Some(Duration::ZERO) {
            self.say(&FromMeeting::Lobby { lobby }).await?;
            let patience = left.unwrap_or(meeting.script.length);
            let answered = tokio::time::timeout(patience, async {
                loop {
                    match self.hear().await? {
                        None | Some(FromBot::Leave) => return Outcome::Ok(()),
                        Some(_) => {}
                    }
                }
            });
            if let Ok(left_the_lobby) = answered.await {
                left_the_lobby?;
                return Ok(false);
            }
        }
        match meeting.script.door {
            Door::Admits { .. } => Ok(true),
            Door::Denies { .. } => {
                let code = FailureCode::HostDeniedAdmission;
                let detail = "the host denied the bot's request to join".to_owned();
                self.say(&FromMeeting::Refused { code, detail }).await?;
                Ok(false)
            }
            _ => {
                self.say(&FromMeeting::Ended).await?;
                Ok(false)
            }
        }
    }
}

/// A bot that is in the call.
struct Call<'a> {
    guest: &'a mut Guest,
    meeting: &'a Arc<Meeting>,
    peer: Peer,
    /// Who sends on which track.
    tracks: Vec<(usize, TrackId)>,
    /// The same, offered but not answered yet.
    offered: Vec<(usize, TrackId)>,
    /// Who came while an offer was on its way.
    newcomers: VecDeque<usize>,
    to_come: VecDeque<(Duration, Happening)>,
    /// The number of the next packet.
    next: u64,
    /// When the bot is made to crash.
    crash_at: Option<Duration>,
    /// When the host answers the request for permission, and what.
    answer_at: Option<(Duration, bool)>,
}

impl<'a> Call<'a> {
    async fn begin(
        guest: &'a mut Guest,
        meeting: &'a Arc<Meeting>,
        bot: Participant,
        local: SocketAddr,
    ) -> Outcome<Self> {
        let at = meeting.elapsed();
        let present: Vec<usize> = meeting.script.present(at).collect();
        let mut roster = vec![bot];
        roster.extend(present.iter().map(|index| meeting.script.people[*index].participant(at)));
        let recording = meeting.script.recording;
        // A bot is where it comes from. What it says of itself sends nothing elsewhere.
        let from = guest.socket.get_ref().peer_addr()?.ip();
        let guard = Guard::new(|_| false, "the bot is elsewhere").and(from);
        guest.say(&FromMeeting::Admitted { self_id: SELF_ID.into(), roster, recording }).await?;
        let mut call = Self {
            guest,
            meeting,
            peer: Peer::bind(local.ip(), guard)?,
            tracks: Vec::new(),
            newcomers: present.into(),
            offered: Vec::new(),
            to_come: meeting.script.from(at).into(),
            next: number(at),
            crash_at: meeting.script.crash_after.map(|after| at + after),
            answer_at: None,
        };
        call.offer().await?;
        Ok(call)
    }

    async fn run(&mut self) -> Outcome<()> {
        let mut ticks = tokio::time::interval(PACKET);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // In any order: each of them may always have something, on a busy machine the ticks, too.
            tokio::select! {
                _ = ticks.tick() => {
                    self.send()?;
                    if let Some(finale) = self.happen().await? {
                        return self.end(finale).await;
                    }
                }
                heard = self.guest.hear() => {
                    let Some(word) = heard? else { return Ok(()) };
                    if !self.heed(word).await? {
                        return Ok(());
                    }
                }
                event = self.peer.next() => {
                    if let Event::Disconnected = event? {
                        return Err("the media path is down".into());
                    }
                }
            }
            tokio::task::consume_budget().await;
        }
    }

    /// Does what the bot asks; `false` when it leaves.
    async fn heed(&mut self, word: FromBot) -> Outcome<bool> {
        match word {
            FromBot::Answer { sdp } => {
                self.peer.accept_answer(&sdp)?;
                self.tracks.append(&mut self.offered);
                if !self.newcomers.is_empty() {
                    self.offer().await?;
                }
            }
            FromBot::Chat { text } => self.meeting.wrote(text),
            FromBot::RequestPermission => {
                let now = self.meeting.elapsed();
                self.answer_at =
                    self.meeting.script.answer.map(|(granted, after)| (now + after, granted));
            }
            FromBot::Leave => return Ok(false),
            FromBot::Join { .. } => return Err("a bot joins once".into()),
            FromBot::Inspect { .. } => return Err("a bot in a meeting cannot inspect it".into()),
        }
        Ok(true)
    }

    /// Offers tracks for all who came since the last offer.
    async fn offer(&mut self) -> Outcome<()> {
        let people: Vec<usize> = self.newcomers.drain(..).collect();
        let microphone =
            |index: &usize| (Kind::Audio, self.meeting.script.people[*index].id.clone());
        let microphones: Vec<_> = people.iter().map(microphone).collect();
        let (tracks, sdp) = self.peer.offer(&microphones)?;
        self.offered = people.into_iter().zip(tracks).collect();
        let owners = self.tracks.iter().chain(&self.offered).map(|(index, track)| TrackOwner {
            mid: track.to_string(),
            participant_id: self.meeting.script.people[*index].id.clone(),
        });
        let tracks = owners.collect();
        self.guest.say(&FromMeeting::Offer { sdp, tracks }).await
    }

    /// Sends the packets whose time has come.
    fn send(&mut self) -> Outcome<()> {
        let now = number(self.meeting.elapsed());
        let hush =
            self.meeting.script.hush.is_some_and(|hush| hush.contains(self.meeting.elapsed()));
        if hush || !self.peer.is_connected() {
            self.next = now;
            return Ok(());
        }
        self.next = self.next.max(now.saturating_sub(CATCH_UP));
        for packet in self.next..now {
            for (index, track) in &self.tracks {
                let Some(sound) = self.meeting.script.people[*index].sound(*index, packet) else {
                    continue;
                };
                let packet = AudioPacket {
                    rtp_time: packet * PACKET_TICKS,
                    level_dbov: sound.level_dbov,
                    voice: sound.voice,
                    data: sound.data,
                };
                self.peer.send_audio(*track, &packet)?;
                self.meeting.sent(*index);
            }
        }
        self.next = self.next.max(now);
        Ok(())
    }

    async fn happen(&mut self) -> Outcome<Option<Finale>> {
        let now = self.meeting.elapsed();
        if self.meeting.script.outage.is_some_and(|outage| outage.contains(now)) {
            return Err("the scenario's outage".into());
        }
        if self.crash_at.is_some_and(|at| at <= now) {
            self.crash_at = None;
            self.guest.say(&FromMeeting::Crash).await?;
        }
        if let Some((_, granted)) = self.answer_at.filter(|(at, _)| *at <= now) {
            self.answer_at = None;
            self.guest.say(&FromMeeting::Permission { granted }).await?;
        }
        while self.to_come.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, happening)) = self.to_come.pop_front() else { break };
            let script = &self.meeting.script;
            match happening {
                Happening::Renames(index) => {
                    let participant = script.people[index].participant(now);
                    self.guest.say(&FromMeeting::ParticipantJoined { participant }).await?;
                }
                Happening::Comes(index) => {
                    let participant = script.people[index].participant(now);
                    self.guest.say(&FromMeeting::ParticipantJoined { participant }).await?;
                    self.newcomers.push_back(index);
                    if self.offered.is_empty() {
                        self.offer().await?;
                    }
                }
                Happening::Goes(index) => {
                    let id = script.people[index].id.clone();
                    self.guest.say(&FromMeeting::ParticipantLeft { id }).await?;
                    self.newcomers.retain(|newcomer| *newcomer != index);
                }
                Happening::Captions(index, turn) => {
                    let person = &script.people[index];
                    let length = person.talks[turn].length();
                    let caption = FromMeeting::Caption {
                        speaker_id: person.id.clone(),
                        speaker: person.participant(now).name,
                        began_ms_ago: u64::try_from(length.as_millis()).unwrap_or(0),
                        text: CAPTIONS[turn % CAPTIONS.len()].to_owned(),
                    };
                    self.guest.say(&caption).await?;
                }
                Happening::Says(index) => {
                    let line = &script.chat[index];
                    let person = &script.people[line.person];
                    let message = FromMeeting::Chat {
                        id: format!("chat-{}", index + 1),
                        sender_id: person.id.clone(),
                        sender: person.participant(now).name,
                        text: line.text.to_owned(),
                        private: line.private,
                    };
                    self.guest.say(&message).await?;
                }
                Happening::Finale(finale) => return Ok(Some(finale)),
            }
        }
        Ok(None)
    }

    async fn end(&mut self, finale: Finale) -> Outcome<()> {
        // What was sent last is on its way while the session is still awaited.
        let _ = tokio::time::timeout(PACKET * 2, async { while self.peer.next().await.is_ok() {} })
            .await;
        self.guest
            .say(&match finale {
                Finale::Ends => FromMeeting::Ended,
                Finale::Removes => FromMeeting::Removed,
            })
            .await
    }
}

/// The packet whose time has come.
fn number(at: Duration) -> u64 {
    u64::try_from(at.as_millis() / PACKET.as_millis()).unwrap_or(u64::MAX)
}
