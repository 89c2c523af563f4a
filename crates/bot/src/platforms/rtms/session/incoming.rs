//! Handles Zoom's messages.

use std::time::Instant;

use meetbot_types::{Failure, FailureCode};

use super::{
    Action, BETWEEN_SESSIONS, Line, Session,
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
    /// Handles a message on a line.
    pub(in crate::platforms::rtms) fn on_message(
        &mut self,
        line: Line,
        message: Message<'_>,
        now: Instant,
    ) -> Vec<Action> {
        let Some(connection) = self.lines.get_mut(&line) else { return Vec::new() };
        connection.on_message(now);
        match (message, line) {
            (Message::KeepAlive { timestamp }, _) => {
                vec![Action::Send(line, protocol::keep_alive(timestamp))]
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
            // After the end of a stream only late media are handled.
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
            // On the wrong line, or irrelevant.
            _ => Vec::new(),
        }
    }

    fn signalling_is_up(&mut self, servers: &Servers, now: Instant) -> Vec<Action> {
        if let Some(signalling) = self.lines.get_mut(&Line::Signalling) {
            signalling.up(now);
        }
        if servers.of(MediaType::Audio).is_none() {
            let detail = "Zoom gives this app no sound of the meeting: the app needs the scope `meeting:read:meeting_audio`";
            return self
                .end(MeetingEvent::Refused(Failure::new(FailureCode::RecordingDisabled, detail)));
        }
        let mut actions = vec![Action::Send(Line::Signalling, protocol::subscription())];
        // Announcements of media that connected while signalling was down are lost, so they are repeated.
        let is_up = |line: &Connection| matches!(line.state, State::Up(_));
        if self.lines.iter().any(|(line, it)| *line != Line::Signalling && is_up(it)) {
            actions.push(Action::Send(Line::Signalling, self.id.client_ready()));
        }
        for media in self.wanted.clone() {
            let line = Line::Media(media);
            match servers.of(media) {
                // A connection that is up stays: only signalling was down.
                Some(url) if self.lines.get(&line).is_some_and(|line| line.is_up_at(url)) => {}
                Some(url) => actions.extend(self.dial(line, url, now)),
                None => tracing::info!("Zoom does not give the meeting's {}", codes::word(media)),
            }
        }
        actions
    }

    fn media_is_up(&mut self, media: MediaType, now: Instant) -> Vec<Action> {
        if let Some(connection) = self.lines.get_mut(&Line::Media(media)) {
            connection.up(now);
        }
        if media == MediaType::Audio {
            self.ready.get_or_insert(now);
        }
        // On signalling nothing may be sent before its handshake; after that this is sent.
        let signalling = self.lines.get(&Line::Signalling).map(|line| line.state);
        match signalling {
            Some(State::Up(_)) => vec![Action::Send(Line::Signalling, self.id.client_ready())],
            _ => Vec::new(),
        }
    }

    fn refused(&mut self, line: Line, refusal: Refusal, now: Instant) -> Vec<Action> {
        match (refusal, line) {
            (Refusal::Codec(_), _) if self.sound == Sound::Opus => {
                tracing::info!("Zoom offers no Opus: samples are requested");
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
                vec![Action::HangUp(line)]
            }
            (Refusal::Gone(why), _) => self.end(MeetingEvent::Lost(why)),
            (Refusal::Duplicate, _) => {
                if let Some(connection) = self.lines.get_mut(&line) {
                    connection.duplicate = true;
                }
                self.down(line, "another connection has this stream", now)
            }
        }
    }

    fn event(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Joined(people) => {
                people.into_iter().filter_map(|person| self.add_person(Some(&person))).collect()
            }
            Event::Left(people) => {
                let (mut actions, admitted) = (Vec::new(), self.admitted);
                for person in people {
                    if self.people.remove(&person.id).is_some() && admitted {
                        actions.push(Action::Emit(MeetingEvent::Left(person.id)));
                    }
                }
                actions
            }
            Event::Speaker(person) => {
                let joined = self.add_person(Some(&person));
                joined.into_iter().chain([Action::Speaks(person)]).collect()
            }
            Event::SharingStarted(person) => {
                let joined = self.add_person(person.as_ref());
                joined.into_iter().chain([Action::Shares(person)]).collect()
            }
            Event::SharingStopped(_) => vec![Action::Shares(None)],
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
                let down = |line| self.down(line, "Zoom reports that it is interrupted", now);
                named.into_iter().flat_map(down).collect()
            }
            Event::Other(_) => Vec::new(),
        }
    }

    fn stream(&mut self, state: StreamState, reason: Option<u64>, now: Instant) -> Vec<Action> {
        match state {
            StreamState::Terminating => {
                self.stopped.get_or_insert((reason, now + BETWEEN_SESSIONS));
                Vec::new()
            }
            StreamState::Terminated => {
                let reason = reason.or(self.stopped.and_then(|(reason, _)| reason));
                self.stop(reason)
            }
            // A pause is a gap in the media, and interruptions are detected on the connections.
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
            // The stream may have another session, or ends with a separate message.
            SessionState::Stopped => self.stopped = Some((reason, now + BETWEEN_SESSIONS)),
            SessionState::Paused | SessionState::Inactive | SessionState::Other(_) => {}
        }
    }
}
