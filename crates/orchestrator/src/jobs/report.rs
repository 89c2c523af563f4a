//! Reports of a job's bot.

use meetbot_types::{
    Cause, EventName, Failure, JobStatus, LeaveReason, Permission, RecordingState,
    bot::{BotReport, IngestAnswer, Lobby, NumberedReport},
    event::EventDetails,
    job::JobEvent,
};

use super::{
    change::{Change, Changes, RoomChange},
    command::CommandChange,
    record::JobRecord,
    upload::Upload,
    withheld::withholds,
};
use crate::clock::{LeaseTime, StoreNow};

/// The `statusDetail` of a bot in a call without any media.
const NO_MEDIA: &str = "no_media";

/// The server's data about a recording when its bot reports the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// How many bytes it has; `None`: they are to be counted.
    pub bytes: Option<u64>,
    /// Where recordings are kept in a bucket: the nonce of its [`Upload`], which comes before the job's end.
    pub upload: Option<String>,
    /// The name of the data folder of the worker that has the files; `None`: the server has them.
    pub spool: Option<String>,
}

/// The result of a bot's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// Applied, each report once.
    Applied(IngestAnswer),
    /// A newer attempt has the job, or this one's lease ran out.
    Superseded,
    /// The job has never had a bot with this token, or there is no such job.
    Unknown,
}

/// Whether a lease has expired. No report could be stored during an outage of the store: a bot that was not given up since has a lease from its end on.
fn is_over(until: Option<LeaseTime>, away: Option<LeaseTime>, now: StoreNow) -> bool {
    let until = until.max(until.and(away.map(|away| away + now.timing.lease())));
    until.is_none_or(|until| until <= now.lease)
}

impl JobRecord {
    /// Applies what the bot of an attempt reports, each report once, and renews its lease. Without changes the job stays as it is. One that ends with them has a
    /// recording as it was `recorded`.
    pub(crate) fn report(
        &mut self,
        epoch: u32,
        reports: &[NumberedReport],
        token_hash: &[u8; 32],
        recorded: &Recorded,
        away: Option<LeaseTime>,
        now: StoreNow,
    ) -> (Reported, Option<Changes>) {
        if self.epoch > epoch && self.has_had_bot(token_hash) {
            return (Reported::Superseded, None);
        }
        if self.epoch != epoch || !self.has_bot(token_hash) {
            return (Reported::Unknown, None);
        }
        if self.job.status.is_final() || self.is_uploading() {
            return (Reported::Applied(self.acknowledged()), None);
        }
        // A late report does not renew an expired lease.
        if is_over(self.lease_until, away, now) {
            return (Reported::Superseded, None);
        }
        self.lease_until = Some(now.lease + now.timing.lease());
        let changes = self.change(now.wall, |change| change.apply_all(reports, recorded, now));
        (Reported::Applied(self.acknowledged()), Some(changes))
    }

    pub(super) fn acknowledged(&self) -> IngestAnswer {
        IngestAnswer { status: self.job.status.clone(), acknowledged: self.applied }
    }
}

impl Change<'_> {
    /// Applies those of the reports that follow the last one that is applied.
    pub(super) fn apply_all(
        &mut self,
        reports: &[NumberedReport],
        recorded: &Recorded,
        now: StoreNow,
    ) {
        for numbered in reports {
            if numbered.seq == self.record.applied + 1 {
                self.record.applied = numbered.seq;
                self.at = numbered.at.min(now.wall);
                self.apply_report(&numbered.report, recorded);
            }
        }
        let record = &mut *self.record;
        if record.job.status.is_final() {
            record.job.recording.bytes = recorded.bytes;
        }
        record.metered.heard(&record.job, now);
    }

    fn apply_report(&mut self, report: &BotReport, recorded: &Recorded) {
        let idle = matches!(report, BotReport::Heartbeat { .. } | BotReport::Unreadable { .. });
        let is_over = self.record.job.status.is_final() || self.record.is_uploading();
        if !idle && !is_over {
            self.touch();
            self.apply(report, recorded);
            if !withholds(&self.record.job.recording) {
                self.emit_withheld();
            }
        }
        match report {
            BotReport::Leaving { reason, failure } if self.record.cause.is_none() => {
                self.record.cause = cause_of_leaving(reason.as_ref(), failure.as_ref());
            }
            BotReport::JoiningAs { platform, room, participant_id } => {
                self.changes.rooms.push(RoomChange::Joins {
                    platform: platform.clone(),
                    room: room.clone(),
                    participant_id: participant_id.clone(),
                });
            }
            BotReport::CommandDone { command_id, state } => {
                let (id, state) = (*command_id, state.clone());
                self.changes.commands.push(CommandChange::Answered { id, state });
            }
            _ => {}
        }
    }

    fn apply(&mut self, report: &BotReport, recorded: &Recorded) {
        let at = self.at;
        match report {
            BotReport::Waiting { lobby } if self.record.job.status == JobStatus::Joining => {
                self.detail(Some(match lobby {
                    Lobby::WaitingForHost => "waiting_for_host",
                    _ => "waiting_room",
                }));
            }
            BotReport::MediaStalled => self.detail(Some(NO_MEDIA)),
            BotReport::MediaFlows if self.record.job.status_detail.as_deref() == Some(NO_MEDIA) => {
                self.detail(None);
            }
            BotReport::Reconnecting => self.detail(Some("reconnecting")),
            BotReport::Admitted => {
                let paused = self.record.job.recording.state == RecordingState::Paused;
                let detail = paused.then_some("paused");
                if self.record.job.status == JobStatus::Joining {
                    self.record.job.joined_at.get_or_insert(at);
                    self.step(JobEvent::Admit, detail);
                } else {
                    self.detail(detail);
                }
            }
            BotReport::RecordingStarted => {
                self.record.job.recording.state = RecordingState::On;
                self.record.job.recording.started_at.get_or_insert(at);
                self.step(JobEvent::Record, None);
            }
            BotReport::RecordingPaused if self.record.job.recording.state == RecordingState::On => {
                self.record.job.recording.state = RecordingState::Paused;
                self.detail(Some("paused"));
            }
            BotReport::RecordingResumed { paused_ms }
                if self.record.job.recording.state == RecordingState::Paused =>
            {
                self.record.job.recording.state = RecordingState::On;
                self.record.job.recording.paused_ms = *paused_ms;
                self.detail(None);
            }
            BotReport::RecordingStopped { paused_ms } => {
                self.record.job.recording.state = RecordingState::Stopped;
                self.record.job.recording.paused_ms = *paused_ms;
                self.step(JobEvent::StopRecording, None);
            }
            BotReport::PermissionRequested => {
                self.record.job.recording.permission = Permission::Pending;
                if self.record.job.recording.state == RecordingState::Off {
                    self.record.job.recording.state = RecordingState::AwaitingPermission;
                }
                let permission = Permission::Pending;
                self.emit(EventName::PermissionRequested, EventDetails::Permission { permission });
            }
            BotReport::PermissionAnswered { granted } => {
                let (event, permission) = if *granted {
                    (EventName::PermissionGranted, Permission::Granted)
                } else {
                    (EventName::PermissionDenied, Permission::Denied)
                };
                self.record.job.recording.permission = permission.clone();
                if self.record.job.recording.state == RecordingState::AwaitingPermission {
                    self.record.job.recording.state = RecordingState::Off;
                }
                self.emit(event, EventDetails::Permission { permission });
            }
            BotReport::ParticipantJoined { participant } => self.emit(
                EventName::ParticipantJoined,
                EventDetails::Participant { participant: participant.clone() },
            ),
            BotReport::ParticipantRenamed { participant, previous_name } => self.emit(
                EventName::ParticipantRenamed,
                EventDetails::ParticipantRenamed {
                    participant: participant.clone(),
                    previous_name: previous_name.clone(),
                },
            ),
            BotReport::ParticipantLeft { participant } => self.emit(
                EventName::ParticipantLeft,
                EventDetails::Participant { participant: participant.clone() },
            ),
            BotReport::Chat { message } => {
                self.emit(EventName::ChatMessage, EventDetails::Chat { message: message.clone() });
            }
            BotReport::Withheld { messages, captions } => {
                self.record.withheld.add(*messages, *captions);
            }
            BotReport::LeftOut { messages, participant_events } => {
                let (messages, participant_events) = (*messages, *participant_events);
                let details = EventDetails::EventsLeftOut { messages, participant_events };
                self.emit(EventName::EventsLeftOut, details);
            }
            BotReport::Leaving { reason, .. }
                if self.record.job.status != JobStatus::Finalizing =>
            {
                // A cancelled job stays cancelled, whatever made its bot leave.
                if self.record.cause != Some(Cause::Cancelled) {
                    self.record.job.leave_reason.clone_from(reason);
                }
                self.step(JobEvent::Leave, None);
            }
            BotReport::Ended { ending, manifest_uri, duration_ms, paused_ms, consent_revoked } => {
                // Without a manifest the bytes are not counted.
                if manifest_uri.is_some() {
                    self.record.job.recording.paused_ms = *paused_ms;
                }
                let cancelled = Cause::Cancelled.ending(false, false);
                let was_cancelled = self.record.cause == Some(Cause::Cancelled);
                let ending = if was_cancelled { &cancelled } else { ending };
                // Its files were removed before this report is applied.
                if *consent_revoked {
                    self.record.job.recording.deleted_at = Some(at);
                }
                let manifest_uri = manifest_uri.as_deref().filter(|_| !consent_revoked);
                match recorded.upload.as_ref().filter(|_| manifest_uri.is_some()) {
                    Some(nonce) => self.hold(Upload {
                        spool: recorded.spool.clone(),
                        epoch: self.record.epoch,
                        nonce: nonce.clone(),
                        ending: ending.clone(),
                        duration_ms: *duration_ms,
                        since: at,
                    }),
                    None => self.end(ending, manifest_uri, *duration_ms),
                }
            }
            _ => {}
        }
    }
}

/// The cause of the job's end, once a bot has reported that it is leaving.
fn cause_of_leaving(reason: Option<&LeaveReason>, failure: Option<&Failure>) -> Option<Cause> {
    if let Some(failure) = failure {
        return Some(Cause::Failed(failure.clone()));
    }
    match reason? {
        LeaveReason::Cancelled => Some(Cause::Cancelled),
        LeaveReason::Requested => Some(Cause::Requested),
        LeaveReason::Removed => Some(Cause::Removed),
        LeaveReason::NotAdmitted => None,
        reason => Some(Cause::Left(reason.clone())),
    }
}
