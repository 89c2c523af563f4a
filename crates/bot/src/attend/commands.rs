//! What a bot is told to do in its meeting.

use std::io;

use meetbot_types::{
    Cause, CommandId, ControlAction, ControlState,
    bot::{BotCommand, BotReport},
};

use super::Bot;
use crate::{
    brain::Observed,
    clock,
    meeting::{Meeting, Outcome},
    recording::{Mode, Recording},
    reporter::Reporter,
};

/// What the meeting was asked to do, and what has not come of it yet.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// Messages that are to be written into the chat.
    chats: Vec<CommandId>,
    /// Questions to the host that are to be sent.
    questions: Vec<Question>,
    /// Commands whose question the host has not answered.
    unanswered: Vec<CommandId>,
}

#[derive(Debug)]
struct Question {
    id: CommandId,
    /// It is a command's; otherwise the bot asks because the meeting wants to be asked.
    commanded: bool,
}

impl Bot<'_> {
    /// Asks the host for permission to record, for a command or on its own account.
    pub(super) fn ask_host(&mut self, command: Option<CommandId>, meeting: &mut dyn Meeting) {
        let id = command.unwrap_or_else(|| CommandId::generate(clock::wall()));
        self.under_way.questions.push(Question { id, commanded: command.is_some() });
        meeting.request_permission(id);
    }

    /// The meeting has done what it was asked to do, or cannot do it.
    pub(super) fn carried_out(&mut self, id: CommandId, outcome: &Outcome) {
        if let Err(why) = outcome {
            tracing::info!(job = %self.order.job_id, command = %id, why, "the meeting does not do it");
        }
        let UnderWay { chats, questions, unanswered } = &mut self.under_way;
        if let Some(place) = chats.iter().position(|chat| *chat == id) {
            chats.remove(place);
            self.done(id, if outcome.is_ok() { ControlState::Done } else { ControlState::Denied });
        } else if let Some(place) = questions.iter().position(|question| question.id == id) {
            let Question { commanded, .. } = questions.remove(place);
            if outcome.is_ok() {
                // Done when the host answers.
                unanswered.extend(commanded.then_some(id));
                self.permission.ask();
                self.reporter.report(BotReport::PermissionRequested);
            } else if commanded {
                self.done(id, ControlState::Denied);
            }
        }
    }

    /// The host has answered.
    pub(super) fn answer_commands(&mut self, granted: bool) {
        let state = if granted { ControlState::Done } else { ControlState::Denied };
        for id in std::mem::take(&mut self.under_way.unanswered) {
            self.done(id, state.clone());
        }
    }

    /// The meeting is lost: what it was to do is not done. A host who was asked may still answer, to the bot that comes back.
    pub(super) fn lose_commands(&mut self) {
        let UnderWay { chats, questions, .. } = &mut self.under_way;
        let (chats, questions) = (std::mem::take(chats), std::mem::take(questions));
        let questions = questions.into_iter().filter(|question| question.commanded);
        for id in chats.into_iter().chain(questions.map(|question| question.id)) {
            self.done(id, ControlState::Denied);
        }
    }

    fn done(&self, command_id: CommandId, state: ControlState) {
        self.reporter.report(BotReport::CommandDone { command_id, state });
    }

    /// Pauses, resumes or stops the recording.
    pub(super) fn record_as_told(&mut self, command: BotCommand) -> io::Result<()> {
        let now = clock::now();
        let Some(recording) = &mut self.recording else {
            self.early.push(command);
            return Ok(());
        };
        match command.action {
            ControlAction::PauseRecording => recording.pause(now)?,
            ControlAction::ResumeRecording => recording.resume(now)?,
            _ => recording.stop(now)?,
        }
        // Also where it was so already: the bot that made it so may have died before it was heard.
        report_mode(self.reporter, recording);
        self.done(command.id, ControlState::Done);
        Ok(())
    }

    /// Obeys a command; without a meeting there is nobody to write to or to ask.
    pub(super) fn obey(
        &mut self,
        command: BotCommand,
        meeting: Option<&mut (dyn Meeting + 'static)>,
    ) -> io::Result<()> {
        let BotCommand { id, action, .. } = &command;
        let id = *id;
        match (action, meeting) {
            (ControlAction::LeaveCall, _) => self.observe(Observed::Over(Cause::Requested)),
            (ControlAction::Cancel, _) => self.observe(Observed::Over(Cause::Cancelled)),
            (
                ControlAction::PauseRecording
                | ControlAction::ResumeRecording
                | ControlAction::StopRecording,
                _,
            ) => return self.record_as_told(command),
            (ControlAction::SendChatMessage, Some(meeting)) => {
                self.under_way.chats.push(id);
                meeting.send_chat(id, command.message.unwrap_or_default());
                return Ok(());
            }
            (ControlAction::RequestRecordingPermission, Some(meeting)) => {
                self.ask_host(Some(id), meeting);
                return Ok(());
            }
            _ => {
                self.done(id, ControlState::Denied);
                return Ok(());
            }
        }
        self.done(id, ControlState::Done);
        Ok(())
    }
}

/// Says whether what comes is written.
pub(super) fn report_mode(reporter: &Reporter, recording: &Recording) {
    let paused_ms = recording.paused_ms();
    reporter.report(match recording.mode() {
        Mode::On => BotReport::RecordingResumed { paused_ms },
        Mode::Paused { .. } => BotReport::RecordingPaused,
        Mode::Stopped => BotReport::RecordingStopped { paused_ms },
    });
}
