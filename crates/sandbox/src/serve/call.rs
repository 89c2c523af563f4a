//! The call with an admitted bot: the media and events for it, and its messages.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use meetbot_rtc::{AudioPacket, Event, Guard, Kind, Peer, TrackId};
use meetbot_types::{
    bot::Participant,
    sandbox::{FromBot, FromMeeting, TrackOwner},
};
use tokio::time::MissedTickBehavior;

use super::{Guest, Outcome, SELF_ID};
use crate::{
    meeting::Meeting,
    script::CallEnd,
    stage::{PACKET, SceneEvent},
};

/// How long messages of a bot are still read after its media path went down.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How many packets are sent at once after a delay of the sender.
const CATCH_UP: u64 = 250;
/// RTP units in a packet of 20 ms.
const PACKET_TICKS: u64 = 960;

/// A bot that is in the call.
pub(super) struct Call<'a> {
    guest: &'a mut Guest,
    meeting: &'a Arc<Meeting>,
    peer: Peer,
    /// The person of each track.
    tracks: Vec<(usize, TrackId)>,
    /// The tracks of an unanswered offer.
    offered: Vec<(usize, TrackId)>,
    /// People who joined while an offer was unanswered.
    newcomers: VecDeque<usize>,
    to_come: VecDeque<(Duration, SceneEvent)>,
    /// The number of the next packet.
    next: u64,
    /// When the bot must crash.
    crash_at: Option<Duration>,
    /// When the host answers the request for permission, and the answer.
    answer_at: Option<(Duration, bool)>,
}

impl<'a> Call<'a> {
    pub(super) async fn begin(
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
        // Media are sent only to the address of the bot's connection, whatever its description names.
        let from = guest.socket.get_ref().peer_addr()?.ip();
        let guard = Guard::new(|_| false, "the bot is elsewhere").and(from);
        guest.send(&FromMeeting::Admitted { self_id: SELF_ID.into(), roster, recording }).await?;
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

    pub(super) async fn run(&mut self) -> Outcome<()> {
        let mut ticks = tokio::time::interval(PACKET);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // In random order: on a busy machine each of them, also the ticks, may always be ready.
            tokio::select! {
                _ = ticks.tick() => {
                    self.send()?;
                    if let Some(call_end) = self.play_events().await? {
                        return self.end(call_end).await;
                    }
                }
                received = self.guest.receive() => {
                    let Some(message) = received? else { return Ok(()) };
                    if !self.on_message(message).await? {
                        return Ok(());
                    }
                }
                event = self.peer.next() => {
                    if let Event::Disconnected = event? {
                        return self.read_last_messages().await;
                    }
                }
            }
            tokio::task::consume_budget().await;
        }
    }

    /// The media path is down. A leaving bot closes it right after its last messages, which may still be unread.
    async fn read_last_messages(&mut self) -> Outcome<()> {
        let words = async {
            while let Some(message) = self.guest.receive().await? {
                if !self.on_message(message).await? {
                    break;
                }
            }
            Ok(())
        };
        let received = tokio::time::timeout(CLOSE_TIMEOUT, words).await;
        received.unwrap_or_else(|_| Err("the media path is down".into()))
    }

    /// Handles a message of the bot; returns `false` when the bot leaves.
    async fn on_message(&mut self, message: FromBot) -> Outcome<bool> {
        match message {
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

    /// Offers tracks for the people who joined since the last offer.
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
        self.guest.send(&FromMeeting::Offer { sdp, tracks }).await
    }

    /// Sends the packets that are due.
    fn send(&mut self) -> Outcome<()> {
        let now = number(self.meeting.elapsed());
        let silence = self
            .meeting
            .script
            .silence
            .is_some_and(|silence| silence.contains(self.meeting.elapsed()));
        if silence || !self.peer.is_connected() {
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

    async fn play_events(&mut self) -> Outcome<Option<CallEnd>> {
        let now = self.meeting.elapsed();
        if self.meeting.script.outage.is_some_and(|outage| outage.contains(now)) {
            return Err("the scenario's outage".into());
        }
        if self.crash_at.is_some_and(|at| at <= now) {
            self.crash_at = None;
            self.guest.send(&FromMeeting::Crash).await?;
        }
        if let Some((_, granted)) = self.answer_at.filter(|(at, _)| *at <= now) {
            self.answer_at = None;
            self.guest.send(&FromMeeting::Permission { granted }).await?;
        }
        while self.to_come.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, happening)) = self.to_come.pop_front() else { break };
            let script = &self.meeting.script;
            match happening {
                SceneEvent::Renamed(index) => {
                    let participant = script.people[index].participant(now);
                    self.guest.send(&FromMeeting::ParticipantJoined { participant }).await?;
                }
                SceneEvent::Joined(index) => {
                    let participant = script.people[index].participant(now);
                    self.guest.send(&FromMeeting::ParticipantJoined { participant }).await?;
                    self.newcomers.push_back(index);
                    if self.offered.is_empty() {
                        self.offer().await?;
                    }
                }
                SceneEvent::Left(index) => {
                    let id = script.people[index].id.clone();
                    self.guest.send(&FromMeeting::ParticipantLeft { id }).await?;
                    self.newcomers.retain(|newcomer| *newcomer != index);
                }
                SceneEvent::Caption(index, turn) => {
                    let person = &script.people[index];
                    let length = person.talks[turn].length();
                    let caption = FromMeeting::Caption {
                        speaker_id: person.id.clone(),
                        speaker: person.participant(now).name,
                        began_ms_ago: u64::try_from(length.as_millis()).unwrap_or(0),
                        text: person.words(index, turn).to_owned(),
                    };
                    self.guest.send(&caption).await?;
                }
                SceneEvent::Chat(index) => {
                    let line = &script.chat[index];
                    let person = &script.people[line.person];
                    let message = FromMeeting::Chat {
                        id: format!("chat-{}", index + 1),
                        sender_id: person.id.clone(),
                        sender: person.participant(now).name,
                        text: line.text.to_owned(),
                        private: line.private,
                    };
                    self.guest.send(&message).await?;
                }
                SceneEvent::CallEnd(call_end) => return Ok(Some(call_end)),
            }
        }
        Ok(None)
    }

    async fn end(&mut self, call_end: CallEnd) -> Outcome<()> {
        // The last packets are sent only while the session is polled.
        let _ = tokio::time::timeout(PACKET * 2, async { while self.peer.next().await.is_ok() {} })
            .await;
        self.guest
            .send(&match call_end {
                CallEnd::Ends => FromMeeting::Ended,
                CallEnd::Removes => FromMeeting::Removed,
            })
            .await
    }
}

/// The number of the packet that is due.
fn number(at: Duration) -> u64 {
    u64::try_from(at.as_millis() / PACKET.as_millis()).unwrap_or(u64::MAX)
}
