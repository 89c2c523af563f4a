//! Handles the meeting's events: each is written, reported and passed to the leave policy.

use std::{io, time::Instant};

use meetbot_types::{
    Cause, Failure, FailureCode, LeaveReason,
    bot::{BotReport, Participant, RecordingRule},
};

use super::{Bot, commands::report_mode};
use crate::{
    bounds::Exceeded,
    clock,
    leave_policy::Observed,
    media::TrackId,
    meeting::{CaptionLine, MeetingEvent, Source},
    recording::{Mode, Recording},
};

/// What the bot does in the meeting after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Ask the host for permission to record.
    AskHost,
    /// Ask the sender of a track for a keyframe.
    RequestKeyframe(TrackId),
}

impl Bot<'_> {
    /// Counts an event against the meeting's bounds. Media events are not counted: their bytes are bounded.
    fn bound(&mut self, event: &MeetingEvent) -> Result<(), Exceeded> {
        // Results of commands are caused by the bot itself.
        let is_free =
            matches!(event, MeetingEvent::Media { .. } | MeetingEvent::CommandDone { .. });
        if is_free || self.events.take(1, clock::now()) { Ok(()) } else { Err(Exceeded::Events) }
    }

    /// Handles one event of the meeting. Returns what the bot must do there.
    pub(super) async fn on_event(&mut self, event: MeetingEvent) -> io::Result<Option<Effect>> {
        self.bound(&event)?;
        let effect = match event {
            MeetingEvent::Admitted { people, recording } => {
                self.admitted(people, recording).await?
            }
            event => self.handle(event)?,
        };
        if let Some(recording) = &mut self.recording {
            recording.bound_lines(clock::now())?;
        }
        Ok(effect)
    }

    /// The meeting has admitted the bot.
    async fn admitted(
        &mut self,
        people: Vec<Participant>,
        rule: RecordingRule,
    ) -> io::Result<Option<Effect>> {
        self.in_since = Some(clock::now());
        self.lobby = None;
        self.observe(Observed::Admitted);
        self.reporter.report(BotReport::Admitted);
        if rule == RecordingRule::Forbidden {
            let detail = "nobody may record this meeting";
            let failure = Failure::new(FailureCode::RecordingDisabled, detail);
            self.observe(Observed::Over(Cause::Failed(failure)));
            return Ok(None);
        }
        let asks = rule == RecordingRule::AskHost && !self.permission.granted();
        if self.recording.is_none() {
            let mut recording = self.open().await?;
            if asks {
                recording.hold();
            }
            // Changes of the mode by an earlier bot, whose report may be lost.
            if recording.mode() != Mode::On {
                report_mode(self.reporter, &recording);
            }
            self.recording = Some(recording);
            for command in std::mem::take(&mut self.deferred) {
                self.apply_recording_command(command)?;
            }
        }
        self.replace_roster(people).await?;
        Ok(asks.then_some(Effect::AskHost))
    }

    /// Opens the recording on a blocking thread: it reads the files of earlier attempts, and writes to disk.
    async fn open(&self) -> io::Result<Recording> {
        let (order, counters) = (self.order.clone(), self.counters.clone());
        let now = clock::now();
        let replayed = self.replays_from.map(|from| now.saturating_duration_since(from));
        let admitted = (now, clock::wall());
        let span = tracing::Span::current();
        let open = move || {
            span.in_scope(|| Recording::open_with_replay(&order, admitted, replayed, counters))
        };
        tokio::task::spawn_blocking(open).await.map_err(io::Error::other)?
    }

    fn handle(&mut self, event: MeetingEvent) -> io::Result<Option<Effect>> {
        let now = clock::now();
        match event {
            // Platforms that can leave cameras out do not send them at all.
            MeetingEvent::Media { source: Source::Camera, .. }
                if self.order.record_video == Some(false) => {}
            MeetingEvent::Media { participant, source, frame } => {
                if self.media.on_media(now) {
                    self.reporter.report(BotReport::MediaFlows);
                }
                let Some(recording) = &mut self.recording else { return Ok(None) };
                let recorded = recording.frame(&participant, source, &frame)?;
                if recorded.speech {
                    self.observe(Observed::Speech);
                }
                if recorded.first {
                    self.reporter.report(BotReport::RecordingStarted);
                }
                if recorded.keyframe_wanted {
                    return Ok(Some(Effect::RequestKeyframe(frame.track)));
                }
            }
            MeetingEvent::Unavailable { participant, source, codec, reason } => {
                let Some(recording) = &mut self.recording else { return Ok(None) };
                recording.unavailable(&participant, source, codec, reason, now)?;
            }
            MeetingEvent::Attributed { participant, source, attribution } => {
                if let Some(recording) = &mut self.recording {
                    recording.attribute(participant, source, attribution);
                }
            }
            MeetingEvent::JoiningAs { platform, room, own_id } => {
                self.own_id = Some(own_id.clone());
                let participant_id = own_id;
                self.reporter.report(BotReport::JoiningAs { platform, room, participant_id });
            }
            MeetingEvent::Lobby(lobby) => {
                if self.lobby.as_ref() != Some(&lobby) {
                    self.lobby = Some(lobby.clone());
                    self.observe(Observed::Waiting(lobby.clone()));
                    self.reporter.report(BotReport::Waiting { lobby });
                }
            }
            MeetingEvent::Joined(participant) => self.joined(participant)?,
            MeetingEvent::Left(id) => self.left(id)?,
            MeetingEvent::Chat(line) => {
                let Some(recording) = &mut self.recording else { return Ok(None) };
                if recording.has_message(&line) {
                    return Ok(None);
                }
                self.reporter.report(match recording.chat(line, now)? {
                    Some(message) => BotReport::Chat { message },
                    None => BotReport::Withheld { messages: 1, captions: 0 },
                });
            }
            MeetingEvent::Caption(line) => {
                self.caption(line, now)?;
            }
            MeetingEvent::Permission(granted) => {
                if !self.permission.answer(granted)? {
                    return Ok(None);
                }
                if granted && let Some(recording) = &mut self.recording {
                    recording.permit(now);
                }
                self.reporter.report(BotReport::PermissionAnswered { granted });
                self.answer_commands(granted);
            }
            MeetingEvent::CommandDone { id, outcome } => self.on_command_result(id, &outcome),
            // If the bot, or one before it, was in the meeting, the meeting has ended in between: a normal end.
            MeetingEvent::Refused(failure)
                if failure.code == FailureCode::MeetingNotFound && self.was_in_meeting() =>
            {
                self.observe(Observed::Over(Cause::Left(LeaveReason::MeetingEnded)));
            }
            MeetingEvent::Refused(failure) | MeetingEvent::Unreachable(failure) => {
                self.observe(Observed::Over(Cause::Failed(failure)));
            }
            MeetingEvent::LobbyDetail(why) => self.observe(Observed::WaitingWhy(why)),
            MeetingEvent::Replays { from } => {
                self.replays_from = Some(from);
                if let Some(recording) = &mut self.recording {
                    recording.replays_again()?;
                }
            }
            MeetingEvent::ConsentRevoked => {
                self.consent_revoked = true;
                let detail =
                    "the host withdrew the consent to be recorded; what was recorded is deleted";
                let failure = Failure::new(FailureCode::RecordingDisabled, detail);
                self.observe(Observed::Over(Cause::Failed(failure)));
            }
            MeetingEvent::Removed => self.observe(Observed::Over(Cause::Removed)),
            MeetingEvent::Ended => {
                let over = if self.was_in_meeting() {
                    Cause::Left(LeaveReason::MeetingEnded)
                } else {
                    let detail = "the meeting was over before the bot came";
                    Cause::Failed(Failure::new(FailureCode::MeetingEnded, detail))
                };
                self.observe(Observed::Over(over));
            }
            // The loop handles these itself.
            MeetingEvent::Admitted { .. } | MeetingEvent::Lost(_) => {}
        }
        Ok(None)
    }

    /// Writes a line of captions, or counts it if nothing may be recorded.
    pub(super) fn caption(&mut self, line: CaptionLine, now: Instant) -> io::Result<()> {
        if let Some(recording) = &mut self.recording
            && !recording.caption(line, now)?
        {
            self.reporter.report(BotReport::Withheld { messages: 0, captions: 1 });
        }
        Ok(())
    }

    /// Whether this attempt was in the meeting, or one before it may have been.
    pub(super) const fn was_in_meeting(&self) -> bool {
        self.recording.is_some() || self.order.epoch > 1
    }
}
