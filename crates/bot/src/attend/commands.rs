//! Commands of the orchestrator, and their progress.

use std::io;

use meetbot_types::{
    Cause, CommandId, ControlAction, ControlState,
    bot::{BotCommand, BotReport},
};

use super::Bot;
use crate::{
    clock,
    leave_policy::Observed,
    meeting::{Meeting, Outcome},
    recording::{Mode, Recording},
    reporter::Reporter,
};

/// Commands that were passed to the meeting and are not finished.
#[derive(Debug, Default)]
pub(super) struct PendingCommands {
    /// Chat messages that are to be sent.
    chats: Vec<CommandId>,
    /// Questions to the host that are to be sent.
    questions: Vec<Question>,
    /// Commands whose question the host has not answered.
    unanswered: Vec<CommandId>,
}

#[derive(Debug)]
struct Question {
    id: CommandId,
    /// The command that caused it; `None` if the bot asks because the meeting requires it.
    commanded: bool,
}

impl Bot<'_> {
    /// Asks the host for permission to record, for a command or because the meeting requires it.
    pub(super) fn ask_host(&mut self, command: Option<CommandId>, meeting: &mut dyn Meeting) {
        let id = command.unwrap_or_else(|| CommandId::generate(clock::wall()));
        self.pending.questions.push(Question { id, commanded: command.is_some() });
        meeting.request_permission(id);
    }

    /// The meeting has carried out a command, or cannot do so.
    pub(super) fn on_command_result(&mut self, id: CommandId, outcome: &Outcome) {
        if let Err(why) = outcome {
            tracing::info!(job = %self.order.job_id, command = %id, why, "the meeting cannot carry out a command");
        }
        let PendingCommands { chats, questions, unanswered } = &mut self.pending;
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
        for id in std::mem::take(&mut self.pending.unanswered) {
            self.done(id, state.clone());
        }
    }

    /// The connection is lost: its pending chat messages and unsent questions fail. A host who was asked may still answer after the bot has joined again.
    pub(super) fn lose_commands(&mut self) {
        let PendingCommands { chats, questions, .. } = &mut self.pending;
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
    pub(super) fn apply_recording_command(&mut self, command: BotCommand) -> io::Result<()> {
        let now = clock::now();
        let Some(recording) = &mut self.recording else {
            self.deferred.push(command);
            return Ok(());
        };
        match command.action {
            ControlAction::PauseRecording => recording.pause(now)?,
            ControlAction::ResumeRecording => recording.resume(now)?,
            _ => recording.stop(now)?,
        }
        // Also if the mode does not change: an earlier bot may have changed it and died before its report was applied.
        report_mode(self.reporter, recording);
        self.done(command.id, ControlState::Done);
        Ok(())
    }

    /// Carries out a command. Without a meeting, chat messages and questions fail.
    pub(super) fn run_command(
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
            ) => return self.apply_recording_command(command),
            (ControlAction::SendChatMessage, Some(meeting)) => {
                self.pending.chats.push(id);
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

/// Reports whether the bot records.
pub(super) fn report_mode(reporter: &Reporter, recording: &Recording) {
    let paused_ms = recording.paused_ms();
    reporter.report(match recording.mode() {
        Mode::On => BotReport::RecordingResumed { paused_ms },
        Mode::Paused { .. } => BotReport::RecordingPaused,
        Mode::Stopped => BotReport::RecordingStopped { paused_ms },
    });
}
