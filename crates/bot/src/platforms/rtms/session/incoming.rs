//! What Zoom says, and what follows.

use std::time::Instant;

use meetbot_types::{Failure, FailureCode};

use super::{
    Act, BETWEEN_SESSIONS, Line, Session,
    connection::{Connection, State},
};
use crate::{
    meeting::MeetingEvent,
    platforms::rtms::{
        codes::{self, Refusal},
        protocol::{self, Event, MediaType, Message, Servers, SessionState, Sound, StreamState},
    },
};

impl Session {
    /// A message came on a line.
    pub(in crate::platforms::rtms) fn hear(
        &mut self,
        line: Line,
        message: Message<'_>,
        now: Instant,
    ) -> Vec<Act> {
        let Some(connection) = self.lines.get_mut(&line) else { return Vec::new() };
        connection.heard(now);
        match (message, line) {
            (Message::KeepAlive { timestamp }, _) => {
                vec![Act::Say(line, protocol::keep_alive(timestamp))]
            }
            (Message::Audio(piece), Line::Media(MediaType::Audio)) => {
                self.media(MediaType::Audio, piece)
            }
            (Message::Video(piece), Line::Media(MediaType::Video)) => {
                self.media(MediaType::Video, piece)
            }
            (Message::Share(piece), Line::Media(MediaType::Share)) => {
                self.media(MediaType::Share, piece)
            }
            (Message::Transcript(text), Line::Media(MediaType::Transcript)) => {
                self.text(MediaType::Transcript, text)
            }
            (Message::Chat(text), Line::Media(MediaType::Chat)) => self.text(MediaType::Chat, text),
            // Media that are still on their way when a stream is over are taken, and nothing else.
            _ if self.over => Vec::new(),
            (Message::SignallingAnswer { status: 0, servers, .. }, Line::Signalling) => {
                self.signalling_is_up(&servers, now)
            }
            (Message::SignallingAnswer { status, reason, .. }, Line::Signalling) => {
                self.refused(line, codes::signalling_refusal(status, &reason), now)
            }
            (Message::MediaAnswer { status: 0, .. }, Line::Media(media)) => {
                self.media_is_up(media, now)
            }
            (Message::MediaAnswer { status, reason }, Line::Media(media)) => {
                self.refused(line, codes::media_refusal(media, status, &reason), now)
            }
            (Message::Event(event), Line::Signalling) => self.event(event, now),
            (Message::Stream { state, reason }, Line::Signalling) => {
                self.stream(state, reason, now)
            }
            (Message::Session { state, reason }, Line::Signalling) => {
                self.session(state, reason, now);
                Vec::new()
            }
            // On the wrong line, or of no interest.
            _ => Vec::new(),
        }
    }

    fn signalling_is_up(&mut self, servers: &Servers, now: Instant) -> Vec<Act> {
        if let Some(signalling) = self.lines.get_mut(&Line::Signalling) {
            signalling.up(now);
        }
        if servers.of(MediaType::Audio).is_none() {
            let detail = "Zoom gives this app no sound of the meeting: the app needs the scope `meeting:read:meeting_audio`";
            return self
                .end(MeetingEvent::Refused(Failure::new(FailureCode::RecordingDisabled, detail)));
        }
        let mut acts = vec![Act::Say(Line::Signalling, protocol::subscription())];
        // What was said of media that came up while signalling was away is lost.
        let is_up = |line: &Connection| matches!(line.state, State::Up(_));
        if self.lines.iter().any(|(line, it)| *line != Line::Signalling && is_up(it)) {
            acts.push(Act::Say(Line::Signalling, self.id.client_ready()));
        }
        for media in self.wanted.clone() {
            let line = Line::Media(media);
            match servers.of(media) {
                // One that is up goes on: only signalling was away.
                Some(url) if self.lines.get(&line).is_some_and(|line| line.is_up_at(url)) => {}
                Some(url) => acts.extend(self.dial(line, url, now)),
                None => tracing::info!("Zoom does not give the meeting's {}", codes::word(media)),
            }
        }
        acts
    }

    fn media_is_up(&mut self, media: MediaType, now: Instant) -> Vec<Act> {
        if let Some(connection) = self.lines.get_mut(&Line::Media(media)) {
            connection.up(now);
        }
        if media == MediaType::Audio {
            self.ready.get_or_insert(now);
        }
        // Nothing may be said on signalling before its own handshake, after which this is.
        let signalling = self.lines.get(&Line::Signalling).map(|line| line.state);
        match signalling {
            Some(State::Up(_)) => vec![Act::Say(Line::Signalling, self.id.client_ready())],
            _ => Vec::new(),
        }
    }

    fn refused(&mut self, line: Line, refusal: Refusal, now: Instant) -> Vec<Act> {
        match (refusal, line) {
            (Refusal::Codec(_), _) if self.sound == Sound::Opus => {
                tracing::info!("Zoom gives no Opus: samples are asked for");
                self.sound = Sound::L16;
                let url = self.lines.get(&line).map(|line| line.url.clone()).unwrap_or_default();
                self.dial(line, &url, now)
            }
            (Refusal::Failed(failure) | Refusal::Codec(failure), _) => {
                self.end(MeetingEvent::Refused(failure))
            }
            (Refusal::NotGiven(why), Line::Media(MediaType::Audio)) => {
                let failure = Failure::new(FailureCode::RecordingDisabled, why);
                self.end(MeetingEvent::Refused(failure))
            }
            (Refusal::NotGiven(why), _) => {
                tracing::info!(why, "a type of media is not recorded");
                self.lines.remove(&line);
                vec![Act::HangUp(line)]
            }
            (Refusal::Gone(why), _) => self.end(MeetingEvent::Lost(why)),
            (Refusal::Duplicate, _) => {
                if let Some(connection) = self.lines.get_mut(&line) {
                    connection.duplicate = true;
                }
                self.down(line, "another connection of this stream is there", now)
            }
        }
    }

    fn event(&mut self, event: Event, now: Instant) -> Vec<Act> {
        match event {
            Event::Joined(people) => {
                people.into_iter().filter_map(|person| self.know(Some(&person))).collect()
            }
            Event::Left(people) => {
                let (mut acts, admitted) = (Vec::new(), self.admitted);
                for person in people {
                    if self.people.remove(&person.id).is_some() && admitted {
                        acts.push(Act::Tell(MeetingEvent::Left(person.id)));
                    }
                }
                acts
            }
            Event::Speaker(person) => {
                let joined = self.know(Some(&person));
                joined.into_iter().chain([Act::Speaks(person)]).collect()
            }
            Event::SharingStarted(person) => {
                let joined = self.know(person.as_ref());
                joined.into_iter().chain([Act::Shares(person)]).collect()
            }
            Event::SharingStopped(_) => vec![Act::Shares(None)],
            Event::MediaInterrupted(None) => {
                self.suspected.get_or_insert(now);
                Vec::new()
            }
            Event::MediaInterrupted(Some(types)) => {
                let named = self.lines.keys().copied().filter(|line| match line {
                    Line::Media(media) => types & *media as u64 != 0,
                    Line::Signalling => false,
                });
                let named: Vec<Line> = named.collect();
                let down = |line| self.down(line, "Zoom says that it is interrupted", now);
                named.into_iter().flat_map(down).collect()
            }
            Event::Other(_) => Vec::new(),
        }
    }

    fn stream(&mut self, state: StreamState, reason: Option<u64>, now: Instant) -> Vec<Act> {
        match state {
            StreamState::Terminating => {
                self.stopped.get_or_insert((reason, now + BETWEEN_SESSIONS));
                Vec::new()
            }
            StreamState::Terminated => {
                let reason = reason.or(self.stopped.and_then(|(reason, _)| reason));
                self.stop(reason)
            }
            // A pause is a gap of the media, and interruptions show on the connections.
            StreamState::Active
            | StreamState::Resumed
            | StreamState::Paused
            | StreamState::Inactive
            | StreamState::Interrupted
            | StreamState::Other(_) => Vec::new(),
        }
    }

    fn session(&mut self, state: SessionState, reason: Option<u64>, now: Instant) {
        match state {
            SessionState::Started | SessionState::Resumed | SessionState::Initialising => {
                self.stopped = None;
            }
            // The stream may have another session, or ends with a message of its own.
            SessionState::Stopped => self.stopped = Some((reason, now + BETWEEN_SESSIONS)),
            SessionState::Paused | SessionState::Inactive | SessionState::Other(_) => {}
        }
    }
}
