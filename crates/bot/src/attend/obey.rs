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
    meeting::Meeting,
    recording::{Mode, Recording},
    reporter::Reporter,
};

impl Bot<'_> {
    /// Asks the host for permission to record; answers whether the question is on its way.
    pub(super) async fn ask(&mut self, meeting: &mut Box<dyn Meeting>) -> bool {
        let asked = meeting.request_permission().await.is_ok();
        if asked {
            self.permission.ask();
            self.reporter.report(BotReport::PermissionRequested);
        }
        asked
    }

    pub(super) fn done(&self, command_id: CommandId, state: ControlState) {
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

    /// Writes what is to be written into the chat.
    pub(super) async fn say(&mut self, meeting: Option<&mut Box<dyn Meeting>>) {
        for (id, state) in self.unsaid.say(meeting, clock::now()).await {
            self.done(id, state);
        }
    }

    pub(super) async fn obey(
        &mut self,
        command: BotCommand,
        meeting: Option<&mut Box<dyn Meeting>>,
    ) -> io::Result<()> {
        let BotCommand { id, seq, action, message } = command;
        let mut state = ControlState::Done;
        match action {
            ControlAction::LeaveCall => self.observe(Observed::Over(Cause::Requested)),
            ControlAction::Cancel => self.observe(Observed::Over(Cause::Cancelled)),
            ControlAction::PauseRecording
            | ControlAction::ResumeRecording
            | ControlAction::StopRecording => {
                return self.record_as_told(BotCommand { id, action, message, seq });
            }
            ControlAction::SendChatMessage => {
                self.unsaid.add(id, message.unwrap_or_default(), clock::now());
                self.say(meeting).await;
                return Ok(());
            }
            ControlAction::RequestRecordingPermission => {
                if let Some(meeting) = meeting
                    && self.ask(meeting).await
                {
                    // Done when the host answers.
                    self.asked_for_permission = Some(id);
                    return Ok(());
                }
                state = ControlState::Denied;
            }
            _ => state = ControlState::Denied,
        }
        self.done(id, state);
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
