//! The model of a job: the state after each call, in a second and simpler implementation than the server's.

use meetbot_types::{
    CommandId, ControlAction, ControlState, EventName, JobId, JobStatus, bot::LAST_ATTEMPT,
};

use super::outbox::{ModelDelivery, urls_of};
use crate::{clock::StoreNow, store::Tenant};

use JobStatus::{
    Cancelled, Completed, Failed, Finalizing, InCall, Joining, Queued, Recording as InRecording,
};

pub(super) const LEASE_MS: i64 = 30_000;

/// A report of a bot, reduced to what the model needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BotMessage {
    Heartbeat,
    Admitted,
    RecordingStarted,
    RecordingPaused,
    RecordingResumed,
    RecordingStopped,
    Chat,
    Withheld,
    Leaving,
    Ended(BotEnd),
    /// The command with this index, counted from the oldest, is done.
    CommandDone(usize),
}

/// How a bot's work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BotEnd {
    Completed,
    Failed,
    Cancelled,
}

/// Why a job ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndReason {
    Cancelled,
    Other,
}

/// Whether anything is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordingPhase {
    Off,
    On,
    Paused,
    Stopped,
}

#[derive(Debug, Clone)]
pub(super) struct ModelCommand {
    pub(super) id: CommandId,
    pub(super) action: ControlAction,
    pub(super) state: ControlState,
}

/// A mix that is still to be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WaitingMix {
    /// On the wall clock; 0 until it was put off or leased.
    pub(super) due_at: i64,
    pub(super) tries: u32,
    /// A worker has or had the lease "one" since the last try.
    pub(super) leased: bool,
}

#[derive(Debug, Clone)]
pub(super) struct ModelJob {
    pub(super) id: JobId,
    pub(super) tenant: Tenant,
    /// `onStatusChange` and `onFinalize`.
    pub(super) urls: [Option<&'static str>; 2],
    pub(super) status: JobStatus,
    pub(super) end_reason: Option<EndReason>,
    /// It was cancelled while a bot had it: however that bot ends, it ends as cancelled.
    pub(super) cancelled_with_bot: bool,
    pub(super) has_media: bool,
    pub(super) recording: RecordingPhase,
    /// How many items arrived while recording was paused, and are not reported yet.
    pub(super) withheld: u32,
    pub(super) epoch: u32,
    /// The tokens of its bots, the last one's last.
    pub(super) tokens: Vec<[u8; 32]>,
    /// The attempt whose bot was adopted: on which machine it is, is not known.
    pub(super) adopted: Option<u32>,
    /// How many of its bots were not lost, but left because their server stopped.
    pub(super) handed_over: u32,
    /// On the steady clock; the epoch is live while there is one and it is ahead.
    pub(super) lease: Option<i64>,
    pub(super) applied: u64,
    /// On the wall clock.
    pub(super) run_at: i64,
    pub(super) start_by: i64,
    pub(super) deleted_at: Option<i64>,
    /// How many bytes its recording has; none until its end, and while they are to be counted.
    pub(super) bytes: Option<u64>,
    /// How long its bots were in the meeting, once one was let in.
    pub(super) in_meeting_ms: Option<i64>,
    /// When one was last heard there, on the steady clock.
    pub(super) in_meeting_at: Option<i64>,
    /// Its minutes stand in the ledger.
    pub(super) counted: bool,
    /// The timeline: each event, with the status at that time.
    pub(super) timeline: Vec<(EventName, JobStatus)>,
    pub(super) mix: Option<WaitingMix>,
    pub(super) commands: Vec<ModelCommand>,
    pub(super) deliveries: Vec<ModelDelivery>,
}

impl ModelJob {
    /// Its lease is not over, also because the store was away a moment ago.
    pub(super) fn live(&self, epoch: u32, away: Option<StoreNow>, now: StoreNow) -> bool {
        let spared =
            away.is_some_and(|away| away.lease.as_millis() + LEASE_MS > now.lease.as_millis());
        let live = |until| spared || until > now.lease.as_millis();
        self.epoch == epoch && self.lease.is_some_and(live)
    }

    /// It has a place: it has had a bot, and has not ended.
    pub(super) fn has_slot(&self) -> bool {
        self.epoch > 0 && !self.status.is_final()
    }

    pub(super) fn waits(&self) -> bool {
        self.epoch == 0 && self.status == Queued
    }

    pub(super) fn minutes(&self) -> u64 {
        self.in_meeting_ms.map_or(0, |ms| ms.max(1).cast_unsigned().div_ceil(60_000))
    }

    /// Its live bot has reported: adds the time in the meeting since the last report.
    pub(super) fn count_time(&mut self, now: StoreNow) {
        let steady = now.lease.as_millis();
        if let (Some(ms), Some(before)) = (self.in_meeting_ms.as_mut(), self.in_meeting_at) {
            *ms += steady - before;
        }
        let in_meeting = matches!(self.status, InCall | InRecording);
        self.in_meeting_at = in_meeting.then_some(steady);
    }

    /// It was due, and its consumer had no minutes left.
    pub(super) fn refuse(&mut self) {
        self.end(Failed);
    }

    /// A server took over its live bot.
    pub(super) fn outlive(&mut self, now: StoreNow) {
        self.renew(now);
        self.in_meeting_at = self.in_meeting_at.map(|_| now.lease.as_millis());
    }

    pub(super) fn renew(&mut self, now: StoreNow) {
        if !self.status.is_final() {
            self.lease = Some(now.lease.as_millis() + LEASE_MS);
        }
    }

    fn emit(&mut self, event: EventName) {
        let sequence = self.timeline.len() as u64 + 1;
        for url in urls_of(self.urls, &event) {
            self.deliveries.push(ModelDelivery::new(sequence, event.clone(), url));
        }
        self.timeline.push((event, self.status.clone()));
    }

    fn go(&mut self, to: JobStatus) {
        self.status = to;
        self.emit(EventName::StatusChanged);
    }

    fn with_bot(&self) -> bool {
        matches!(self.status, Joining | InCall | InRecording)
    }

    fn leave(&mut self) {
        if self.with_bot() {
            self.go(Finalizing);
        }
    }

    fn emit_withheld(&mut self) {
        if std::mem::take(&mut self.withheld) > 0 {
            self.emit(EventName::ChatWithheld);
        }
    }

    fn end(&mut self, status: JobStatus) {
        self.emit_withheld();
        self.bytes = (self.epoch == 0).then_some(0);
        if status == Failed {
            self.status = Failed;
            self.emit(EventName::Failed);
        } else {
            self.leave();
            let completed = status == Completed;
            self.go(status);
            if completed {
                self.emit(EventName::Finalized);
            }
        }
        self.lease = None;
        for command in self.commands.iter_mut().filter(|one| one.state == ControlState::Pending) {
            let it_left =
                matches!(command.action, ControlAction::Cancel | ControlAction::LeaveCall);
            command.state = if it_left { ControlState::Done } else { ControlState::Expired };
        }
    }

    /// A new bot takes it. Answers whether that one only finalises what is on disk.
    pub(super) fn claim(&mut self, token: [u8; 32], now: StoreNow) -> bool {
        let finalize = self.end_reason.is_some() || self.epoch - self.handed_over >= 5;
        self.begin_attempt(self.epoch + 1, token, now);
        if finalize {
            self.go(Finalizing);
        }
        finalize
    }

    fn begin_attempt(&mut self, epoch: u32, token: [u8; 32], now: StoreNow) {
        self.epoch = epoch;
        self.tokens.push(token);
        self.applied = 0;
        self.lease = Some(now.lease.as_millis() + LEASE_MS);
        self.go(Joining);
    }

    /// Whether it may have been claimed for this attempt, and the store has forgotten that.
    pub(super) fn adopts(&self, epoch: u32) -> bool {
        epoch > self.epoch && !self.status.is_final() && self.end_reason.is_none()
    }

    /// The bot of a forgotten claim has sent all its reports.
    pub(super) fn adopt(&mut self, epoch: u32, token: [u8; 32], now: StoreNow) {
        if self.lease.is_some() {
            let run_at = self.run_at;
            self.lose(now);
            self.run_at = run_at;
        }
        self.begin_attempt(epoch, token, now);
        self.adopted = Some(epoch);
    }

    /// Its bot is lost. The pause before the next one grows with the number of lost bots; after the last one it ends.
    pub(super) fn lose_bot(&mut self, now: StoreNow) {
        if self.epoch - self.handed_over >= LAST_ATTEMPT {
            let is_cancelled = self.end_reason == Some(EndReason::Cancelled);
            self.end(if is_cancelled { Cancelled } else { Failed });
            return;
        }
        let wall = now.wall.as_millis();
        let wait = match self.epoch - self.handed_over {
            0 | 1 => 0,
            lost => (5_000 * 2_i64.pow(lost - 2)).min(600_000),
        };
        let run_at = wall.max(self.run_at + wait).min(wall + wait);
        self.lose(now);
        self.run_at = run_at;
    }

    /// Its bot has ended with its server: the next one starts without a pause.
    pub(super) fn lose(&mut self, now: StoreNow) {
        (self.lease, self.in_meeting_at) = (None, None);
        self.run_at = now.wall.as_millis();
        for command in self.commands.iter_mut().filter(|one| one.state == ControlState::Pending) {
            let once = matches!(
                command.action,
                ControlAction::SendChatMessage | ControlAction::RequestRecordingPermission
            );
            if once {
                command.state = ControlState::Expired;
            }
        }
        if self.status != Queued {
            self.go(Queued);
        }
    }

    /// Ends it if no worker has taken it in time, and returns whether it did.
    pub(super) fn expire(&mut self, now: StoreNow) -> bool {
        let late =
            self.status == Queued && self.epoch == 0 && self.start_by <= now.wall.as_millis();
        if late {
            self.end(Failed);
        }
        late
    }

    /// Handles a report of its live bot.
    pub(super) fn on_message(&mut self, message: BotMessage, recording_bytes: Option<u64>) {
        let had_ended = self.status.is_final();
        self.apply(message);
        if !had_ended && self.status.is_final() {
            self.bytes = recording_bytes;
        }
        if matches!(self.recording, RecordingPhase::Off | RecordingPhase::On) {
            self.emit_withheld();
        }
    }

    fn apply(&mut self, message: BotMessage) {
        match message {
            _ if self.status.is_final() => {}
            BotMessage::Admitted if self.status == Joining => {
                self.in_meeting_ms.get_or_insert(0);
                self.go(InCall);
            }
            BotMessage::RecordingStarted => {
                (self.recording, self.has_media) = (RecordingPhase::On, true);
                if self.status == InCall {
                    self.go(InRecording);
                }
            }
            BotMessage::RecordingPaused if self.recording == RecordingPhase::On => {
                self.recording = RecordingPhase::Paused;
            }
            BotMessage::RecordingResumed if self.recording == RecordingPhase::Paused => {
                self.recording = RecordingPhase::On;
            }
            BotMessage::Heartbeat
            | BotMessage::Admitted
            | BotMessage::RecordingPaused
            | BotMessage::RecordingResumed => {}
            BotMessage::RecordingStopped => {
                self.recording = RecordingPhase::Stopped;
                if self.status == InRecording {
                    self.go(InCall);
                }
            }
            BotMessage::Chat => self.emit(EventName::ChatMessage),
            BotMessage::Withheld => self.withheld += 1,
            BotMessage::Leaving => {
                self.end_reason.get_or_insert(EndReason::Other);
                self.leave();
            }
            BotMessage::Ended(end) => {
                self.end(match end {
                    _ if self.cancelled_with_bot => Cancelled,
                    BotEnd::Completed => Completed,
                    BotEnd::Failed => Failed,
                    BotEnd::Cancelled => Cancelled,
                });
                self.mix = Some(WaitingMix::default());
            }
            BotMessage::CommandDone(choice) => {
                let pending = |one: &&mut ModelCommand| one.state == ControlState::Pending;
                if let Some(command) =
                    self.commands.get_mut(choice).as_mut().filter(|one| pending(one))
                {
                    command.state = ControlState::Done;
                }
            }
        }
    }

    /// It is cancelled. Returns whether its bot gets a command.
    pub(super) fn cancel(&mut self, now: StoreNow) -> bool {
        let is_finalised = self.status == Finalizing || self.status == Queued && self.has_media;
        let is_ending = is_finalised && self.end_reason.is_some();
        if self.status.is_final() || is_ending || self.end_reason == Some(EndReason::Cancelled) {
            return false;
        }
        self.end_reason = Some(EndReason::Cancelled);
        match self.status {
            Queued if self.has_media => self.run_at = now.wall.as_millis(),
            Queued => self.end(Cancelled),
            _ => {
                self.cancelled_with_bot = true;
                self.leave();
                return true;
            }
        }
        false
    }

    /// Whether it accepts this action now.
    pub(super) fn takes(&self, action: &ControlAction) -> bool {
        let in_call = matches!(self.status, InCall | InRecording);
        match action {
            ControlAction::LeaveCall => self.status == Queued || self.with_bot(),
            ControlAction::SendChatMessage => in_call,
            ControlAction::RequestRecordingPermission => {
                in_call && self.recording != RecordingPhase::Stopped
            }
            ControlAction::StopRecording => in_call && self.recording != RecordingPhase::Off,
            _ => in_call && matches!(self.recording, RecordingPhase::On | RecordingPhase::Paused),
        }
    }

    /// Handles an action that it accepts, and returns the command's state.
    pub(super) fn command(&mut self, action: &ControlAction, now: StoreNow) -> ControlState {
        if *action != ControlAction::LeaveCall {
            return ControlState::Pending;
        }
        self.end_reason.get_or_insert(EndReason::Other);
        if self.status != Queued {
            return ControlState::Pending;
        }
        if self.has_media {
            self.run_at = now.wall.as_millis();
        } else {
            self.end(Cancelled);
        }
        ControlState::Done
    }

    /// Its mix is made, or will not be made.
    pub(super) fn end_mix(&mut self, made: bool, recording_bytes: Option<u64>) {
        if self.mix.take().is_none() {
            return;
        }
        self.bytes = recording_bytes;
        if made {
            self.emit(EventName::ArtifactReady);
        }
    }

    /// Whether it has ended and may have files; those without files have a count of 0.
    pub(super) fn has_files(&self) -> bool {
        self.status.is_final() && self.bytes != Some(0)
    }

    /// A restore ends it if it had a bot.
    pub(super) fn end_by_restore(&mut self, now: StoreNow) {
        if !self.has_slot() {
            return;
        }
        if !self.has_media {
            self.end(Failed);
            return;
        }
        self.end_reason.get_or_insert(EndReason::Other);
        self.lose(now);
    }

    /// Its mix cannot be made now; returns when it is due again.
    pub(super) fn put_off_mix(&mut self, now: StoreNow) -> Option<i64> {
        let tries = self.mix?.tries + 1;
        let wait = (5_000 * 2_i64.pow(tries.min(9) - 1)).min(600_000);
        let due_at = now.wall.as_millis() + wait;
        self.mix = Some(WaitingMix { due_at, tries, leased: false });
        Some(due_at)
    }

    /// Its recording is deleted.
    pub(super) fn delete_recording(&mut self, now: StoreNow) {
        if self.status.is_final() {
            self.mix = None;
            if self.deleted_at.is_none() && self.bytes != Some(0) {
                self.bytes = None;
            }
            self.deleted_at.get_or_insert(now.wall.as_millis());
        }
    }
}
