//! What follows when something happens to a job: its new state, and the events to tell. Pure; the store writes both in one transaction.

use std::{num::NonZeroU32, time::Duration};

use meetbot_types::{
    Cause, Ending, EventName, Failure, FailureCode, Job, JobStatus, LeaveReason, Permission,
    RecordingState, Timestamp,
    bot::{BotReport, Lobby},
    event::EventDetails,
    job::JobEvent,
};

use super::{
    quota,
    withheld::{Withheld, withholds},
};

/// The hint that a bot is in a call from which nothing comes.
const NO_MEDIA: &str = "no_media";

/// An event to tell: a line of the timeline, and for most a webhook.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Happened {
    /// Its name.
    pub event: EventName,
    /// What it says.
    pub details: EventDetails,
    /// The job's status after it.
    pub status: JobStatus,
    /// When.
    pub at: Timestamp,
}

/// A job while something happens to it.
struct Change<'a> {
    job: &'a mut Job,
    withheld: &'a mut Withheld,
    at: Timestamp,
    told: Vec<Happened>,
}

impl Change<'_> {
    fn tell(&mut self, event: EventName, details: EventDetails) {
        let status = self.job.status.clone();
        self.told.push(Happened { event, details, status, at: self.at });
    }

    /// Takes the edge of the table, if there is one; what a late or doubled report asks for is not an error.
    fn step(&mut self, event: JobEvent, detail: Option<&str>) -> bool {
        let Ok(status) = self.job.status.after(event) else { return false };
        self.job.status_detail = detail.map(str::to_owned);
        let previous = std::mem::replace(&mut self.job.status, status);
        // `job.failed` goes to both endpoints and says it all.
        if self.job.status != JobStatus::Failed {
            self.tell(
                EventName::StatusChanged,
                EventDetails::StatusChanged {
                    previous_status: Some(previous),
                    status_detail: self.job.status_detail.clone(),
                    leave_reason: self.job.leave_reason.clone(),
                },
            );
        }
        true
    }

    fn detail(&mut self, detail: Option<&str>) {
        self.job.status_detail = detail.map(str::to_owned);
    }

    /// That something was withheld is told once it is over, and before the job's end.
    fn tell_withheld(&mut self) {
        if let Some(Withheld { messages, captions }) = self.withheld.take() {
            self.tell(EventName::ChatWithheld, EventDetails::ChatWithheld { messages, captions });
        }
    }

    fn end(&mut self, ending: &Ending, manifest_uri: Option<&str>, duration_ms: u64) {
        if self.job.status.is_final() {
            return;
        }
        self.tell_withheld();
        self.job.leave_reason.clone_from(&ending.leave_reason);
        let failed = ending.status == JobStatus::Failed;
        if !failed {
            self.step(JobEvent::Leave, None);
        }
        self.job.manifest_uri = manifest_uri.map(str::to_owned);
        self.job.ended_at = Some(self.at);
        if self.job.recording.state != RecordingState::Off {
            self.job.recording.state = RecordingState::Stopped;
        }
        if let Some(failure) = ending.failure.as_ref().filter(|_| failed) {
            self.job.failure_code = Some(failure.code.clone());
            self.job.failure_detail = Some(failure.detail.clone());
        }
        match ending.status {
            JobStatus::Completed => {
                self.step(JobEvent::Complete, None);
                self.tell(
                    EventName::Finalized,
                    EventDetails::Finalized {
                        manifest_uri: self.job.manifest_uri.clone(),
                        leave_reason: self.job.leave_reason.clone(),
                        duration_ms,
                    },
                );
            }
            JobStatus::Cancelled => {
                self.step(JobEvent::Cancel, None);
            }
            _ => {
                self.step(JobEvent::Fail, None);
                self.tell(
                    EventName::Failed,
                    EventDetails::Failed {
                        failure_code: self.job.failure_code.clone(),
                        failure_detail: self.job.failure_detail.clone(),
                        failure_reason: self.job.failure_detail.clone(),
                        manifest_uri: self.job.manifest_uri.clone(),
                    },
                );
            }
        }
    }
}

/// Changes a job from which nothing is withheld, or which goes on as it was.
fn change(job: &mut Job, at: Timestamp, act: impl FnOnce(&mut Change<'_>)) -> Vec<Happened> {
    change_with(job, &mut Withheld::default(), at, act)
}

fn change_with(
    job: &mut Job,
    withheld: &mut Withheld,
    at: Timestamp,
    act: impl FnOnce(&mut Change<'_>),
) -> Vec<Happened> {
    let mut change = Change { job, withheld, at, told: Vec::new() };
    act(&mut change);
    let Change { job, told, .. } = change;
    job.updated_at = at;
    told
}

/// A new bot takes the job from the queue; one that is only to finalise what is on disk goes straight to `finalizing`.
pub(crate) fn claim(job: &mut Job, attempt: u32, finalize: bool, now: Timestamp) -> Vec<Happened> {
    change(job, now, |change| {
        change.job.attempt = attempt;
        change.step(JobEvent::Claim, Some("launching"));
        if finalize {
            change.step(JobEvent::Leave, None);
        }
    })
}

/// The bot is gone: back to the queue, for the next one.
pub(crate) fn lose(job: &mut Job, now: Timestamp) -> Vec<Happened> {
    change(job, now, |change| {
        change.step(JobEvent::Lose, Some("reconnecting"));
    })
}

/// How long a job waits at most for its next bot, after so many were lost: the first is replaced at once, and those that are lost again and again come ever
/// more slowly.
fn longest_wait(lost: u32) -> Duration {
    const LONGEST: Duration = Duration::from_mins(10);
    match lost.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => Duration::from_secs(5 << doublings.min(10)).min(LONGEST),
    }
}

/// When the next bot may come, after so many were lost, of which the last could start at `before`: the wait counts from there, so that one that lived for
/// longer is replaced at once, too.
pub(crate) fn next_start(before: Timestamp, lost: u32, now: Timestamp) -> Timestamp {
    let wait = longest_wait(lost);
    (before + wait).clamp(now, now + wait)
}

/// The recording of a job that has ended is deleted; before that nothing happens.
pub(crate) fn delete_recording(job: &mut Job, now: Timestamp) -> Vec<Happened> {
    if !job.status.is_final() || job.recording.deleted_at.is_some() {
        return Vec::new();
    }
    change(job, now, |change| {
        change.job.recording.deleted_at = Some(now);
        change.job.manifest_uri = None;
    })
}

/// No worker could start a bot in time, or its consumer had as many as it may have.
pub(crate) fn expire(job: &mut Job, at_bot_limit: bool, now: Timestamp) -> Vec<Happened> {
    let detail = if at_bot_limit {
        "its consumer had as many bots in meetings as it may have, until it was too late"
    } else {
        "no worker could start a bot in time"
    };
    let failure = Failure::new(FailureCode::DispatchTimeout, detail);
    change(job, now, |change| change.end(&Cause::Failed(failure).ending(false, false), None, 0))
}

/// Why a job ends that had a bot when the backup was made from which it was restored.
pub(crate) fn ended_by_restore() -> Failure {
    let detail = "its bot was in the meeting when the backup was made, and the restore ended it";
    Failure::new(FailureCode::InternalError, detail)
}

/// It is restored, had recorded nothing, and is to get no other bot.
pub(crate) fn end_by_restore(job: &mut Job, now: Timestamp) -> Vec<Happened> {
    let ending = Cause::Failed(ended_by_restore()).ending(false, false);
    change(job, now, |change| change.end(&ending, None, 0))
}

/// Its time has come, and its consumer has had all minutes of the month.
pub(crate) fn refuse_for_minutes(
    job: &mut Job,
    minutes: NonZeroU32,
    now: Timestamp,
) -> Vec<Happened> {
    let failure = Failure::new(FailureCode::QuotaExceeded, minutes_are_used_up(minutes, now));
    change(job, now, |change| change.end(&Cause::Failed(failure).ending(false, false), None, 0))
}

/// Says so to whoever wants another bot.
pub(crate) fn minutes_are_used_up(minutes: NonZeroU32, now: Timestamp) -> String {
    let next = quota::next_month(now);
    format!(
        "the consumer's minutes of this month ({minutes}) are used up; the next month begins at {next}"
    )
}

/// The job is cancelled: at once where there is no bot and nothing was recorded, else when its bot has left.
pub(crate) fn cancel(job: &mut Job, withheld: &mut Withheld, now: Timestamp) -> Vec<Happened> {
    change_with(job, withheld, now, |change| {
        if change.job.status == JobStatus::Queued {
            change.end(&Cause::Cancelled.ending(false, false), None, 0);
        } else {
            change.job.leave_reason = Some(LeaveReason::Cancelled);
            change.step(JobEvent::Leave, None);
        }
    })
}

/// Leave-call on a job that is still in the queue.
pub(crate) fn leave_the_queue(
    job: &mut Job,
    withheld: &mut Withheld,
    now: Timestamp,
) -> Vec<Happened> {
    let ending = Cause::Requested.ending(false, false);
    change_with(job, withheld, now, |change| change.end(&ending, None, 0))
}

/// What the job's next bot has to end with, instead of joining: it was leaving already, or too many were lost.
pub(crate) fn finalize_only(
    job: &Job,
    cause: Option<Cause>,
    lost: u32,
    max_attempts: u32,
) -> Option<Ending> {
    let has_media = job.recording.started_at.is_some();
    let denied = job.recording.permission == Permission::Denied;
    let exhausted = || {
        (lost >= max_attempts).then(|| {
            Cause::Failed(Failure::new(
                FailureCode::InternalError,
                format!("{max_attempts} bots were lost one after the other"),
            ))
        })
    };
    cause.or_else(exhausted).map(|cause| cause.ending(has_media, denied))
}

/// Why the job will have ended, once a bot said that it is leaving.
pub(crate) fn cause_of_leaving(
    reason: Option<&LeaveReason>,
    failure: Option<&Failure>,
) -> Option<Cause> {
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

/// Applies one report of the job's bot. `at` is when the bot says it happened.
pub(crate) fn report(
    job: &mut Job,
    withheld: &mut Withheld,
    report: &BotReport,
    at: Timestamp,
    now: Timestamp,
) -> Vec<Happened> {
    let at = at.min(now);
    let idle = matches!(report, BotReport::Heartbeat { .. } | BotReport::Unreadable { .. });
    if job.status.is_final() || idle {
        return Vec::new();
    }
    change_with(job, withheld, at, |change| {
        apply(change, report);
        if !withholds(&change.job.recording) {
            change.tell_withheld();
        }
    })
}

fn apply(change: &mut Change<'_>, report: &BotReport) {
    let at = change.at;
    match report {
        BotReport::Waiting { lobby } if change.job.status == JobStatus::Joining => {
            change.detail(Some(match lobby {
                Lobby::WaitingForHost => "waiting_for_host",
                _ => "waiting_room",
            }));
        }
        BotReport::MediaStalled => change.detail(Some(NO_MEDIA)),
        BotReport::MediaFlows if change.job.status_detail.as_deref() == Some(NO_MEDIA) => {
            change.detail(None);
        }
        BotReport::Reconnecting => change.detail(Some("reconnecting")),
        BotReport::Admitted => {
            let paused = change.job.recording.state == RecordingState::Paused;
            let detail = paused.then_some("paused");
            if change.job.status == JobStatus::Joining {
                change.job.joined_at.get_or_insert(at);
                change.step(JobEvent::Admit, detail);
            } else {
                change.detail(detail);
            }
        }
        BotReport::RecordingStarted => {
            change.job.recording.state = RecordingState::On;
            change.job.recording.started_at.get_or_insert(at);
            change.step(JobEvent::Record, None);
        }
        BotReport::RecordingPaused if change.job.recording.state == RecordingState::On => {
            change.job.recording.state = RecordingState::Paused;
            change.detail(Some("paused"));
        }
        BotReport::RecordingResumed { paused_ms }
            if change.job.recording.state == RecordingState::Paused =>
        {
            change.job.recording.state = RecordingState::On;
            change.job.recording.paused_ms = *paused_ms;
            change.detail(None);
        }
        BotReport::RecordingStopped { paused_ms } => {
            change.job.recording.state = RecordingState::Stopped;
            change.job.recording.paused_ms = *paused_ms;
            change.step(JobEvent::StopRecording, None);
        }
        BotReport::PermissionRequested => {
            change.job.recording.permission = Permission::Pending;
            if change.job.recording.state == RecordingState::Off {
                change.job.recording.state = RecordingState::AwaitingPermission;
            }
            let permission = Permission::Pending;
            change.tell(EventName::PermissionRequested, EventDetails::Permission { permission });
        }
        BotReport::PermissionAnswered { granted } => {
            let (event, permission) = if *granted {
                (EventName::PermissionGranted, Permission::Granted)
            } else {
                (EventName::PermissionDenied, Permission::Denied)
            };
            change.job.recording.permission = permission.clone();
            if change.job.recording.state == RecordingState::AwaitingPermission {
                change.job.recording.state = RecordingState::Off;
            }
            change.tell(event, EventDetails::Permission { permission });
        }
        BotReport::ParticipantJoined { participant } => change.tell(
            EventName::ParticipantJoined,
            EventDetails::Participant { participant: participant.clone() },
        ),
        BotReport::ParticipantRenamed { participant, previous_name } => change.tell(
            EventName::ParticipantRenamed,
            EventDetails::ParticipantRenamed {
                participant: participant.clone(),
                previous_name: previous_name.clone(),
            },
        ),
        BotReport::ParticipantLeft { participant } => change.tell(
            EventName::ParticipantLeft,
            EventDetails::Participant { participant: participant.clone() },
        ),
        BotReport::Chat { message } => {
            change.tell(EventName::ChatMessage, EventDetails::Chat { message: message.clone() });
        }
        BotReport::Withheld { messages, captions } => change.withheld.add(*messages, *captions),
        BotReport::LeftOut { messages, participant_events } => {
            let (messages, participant_events) = (*messages, *participant_events);
            let details = EventDetails::EventsLeftOut { messages, participant_events };
            change.tell(EventName::EventsLeftOut, details);
        }
        BotReport::Leaving { reason, .. } => {
            // A cancelled job stays cancelled, whatever made its bot leave.
            if change.job.leave_reason.is_none() {
                change.job.leave_reason.clone_from(reason);
            }
            change.step(JobEvent::Leave, None);
        }
        BotReport::Ended { ending, manifest_uri, duration_ms, paused_ms } => {
            // Without a manifest nobody has counted.
            if manifest_uri.is_some() {
                change.job.recording.paused_ms = *paused_ms;
            }
            let cancelled = Cause::Cancelled.ending(false, false);
            let was_cancelled = change.job.leave_reason == Some(LeaveReason::Cancelled);
            let ending = if was_cancelled { &cancelled } else { ending };
            change.end(ending, manifest_uri.as_deref(), *duration_ms);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::{AutoLeave, JobId, Metadata, Platform, Recording, Webhooks};

    use super::*;

    fn queued() -> Job {
        let now = Timestamp::from_millis(0);
        Job {
            id: JobId::generate(now),
            external_id: None,
            meeting_url: "https://sandbox.meetbot.dev/two-speakers".into(),
            platform: Platform::Sandbox,
            display_name: "meetbot".into(),
            status: JobStatus::Queued,
            status_detail: None,
            recording: Recording::default(),
            join_at: None,
            webhooks: Webhooks::default(),
            metadata: Metadata::default(),
            auto_leave: AutoLeave::default(),
            attempt: 0,
            leave_reason: None,
            failure_code: None,
            failure_detail: None,
            manifest_uri: None,
            created_at: now,
            updated_at: now,
            joined_at: None,
            ended_at: None,
            extra: serde_json::Map::default(),
        }
    }

    /// Plays reports on a claimed job; answers what was told, and the job.
    fn play(reports: &[BotReport]) -> (Vec<String>, Job) {
        let mut job = queued();
        let mut told = claim(&mut job, 1, false, Timestamp::from_millis(1));
        let mut withheld = Withheld::default();
        for (second, one) in (1_i64..).zip(reports) {
            let at = Timestamp::from_millis(second * 1000);
            told.extend(report(&mut job, &mut withheld, one, at, at));
        }
        let told = told
            .iter()
            .map(|happened| match happened.event {
                EventName::StatusChanged => happened.status.to_string(),
                EventName::ChatWithheld => {
                    let EventDetails::ChatWithheld { messages, captions } = happened.details else {
                        panic!("{happened:?}")
                    };
                    format!("withheld {messages} {captions}")
                }
                ref event => event.to_string(),
            })
            .collect();
        (told, job)
    }

    fn ended(cause: Cause, has_media: bool) -> BotReport {
        BotReport::Ended {
            ending: cause.ending(has_media, false),
            manifest_uri: has_media.then(|| "file:///m.json".into()),
            duration_ms: 20_000,
            paused_ms: 0,
        }
    }

    #[test]
    fn the_happy_path_tells_each_status_once_and_ends_with_finalized() {
        let (told, job) = play(&[
            BotReport::Waiting { lobby: Lobby::WaitingRoom },
            BotReport::Admitted,
            BotReport::RecordingStarted,
            BotReport::Leaving { reason: Some(LeaveReason::MeetingEnded), failure: None },
            ended(Cause::Left(LeaveReason::MeetingEnded), true),
        ]);
        let expected =
            ["joining", "in_call", "recording", "finalizing", "completed", "job.finalized"];
        assert_eq!(told, expected);
        assert_eq!(job.leave_reason, Some(LeaveReason::MeetingEnded));
        assert_eq!(job.manifest_uri.as_deref(), Some("file:///m.json"));
        assert_eq!(job.joined_at, Some(Timestamp::from_millis(2000)));
        assert_eq!(job.recording.started_at, Some(Timestamp::from_millis(3000)));
        assert_eq!(job.recording.state, RecordingState::Stopped);
        assert_eq!(job.ended_at, Some(Timestamp::from_millis(5000)));
    }

    #[test]
    fn a_refused_bot_fails_the_job_and_tells_it_once() {
        let failure = Failure::new(FailureCode::HostDeniedAdmission, "the host said no");
        let (told, job) = play(&[ended(Cause::Failed(failure), false)]);
        assert_eq!(told, ["joining", "job.failed"]);
        assert_eq!(job.failure_code, Some(FailureCode::HostDeniedAdmission));
        assert_eq!(job.leave_reason, Some(LeaveReason::NotAdmitted));
        assert_eq!(job.manifest_uri, None);
    }

    #[test]
    fn a_final_job_takes_nothing() {
        let end = ended(Cause::Left(LeaveReason::Solo), true);
        let (told, job) = play(&[BotReport::Admitted, end.clone(), end, BotReport::Admitted]);
        assert_eq!(told, ["joining", "in_call", "finalizing", "completed", "job.finalized"]);
        assert_eq!(job.status, JobStatus::Completed);
    }

    #[test]
    fn the_next_bot_goes_on_where_the_lost_one_was() {
        let (_, mut job) = play(&[BotReport::Admitted, BotReport::RecordingStarted]);
        let now = Timestamp::from_millis(9000);
        lose(&mut job, now);
        assert_eq!(
            (job.status.as_str(), job.status_detail.as_deref()),
            ("queued", Some("reconnecting"))
        );
        claim(&mut job, 2, false, now);
        for one in [BotReport::Admitted, BotReport::RecordingStarted] {
            report(&mut job, &mut Withheld::default(), &one, now, now);
        }
        assert_eq!((job.status.as_str(), job.attempt), ("recording", 2));
        assert_eq!(job.recording.started_at, Some(Timestamp::from_millis(2000)));
        assert_eq!(job.joined_at, Some(Timestamp::from_millis(1000)));
    }

    #[test]
    fn a_pause_outlives_a_lost_bot() {
        let reports =
            [BotReport::Admitted, BotReport::RecordingStarted, BotReport::RecordingPaused];
        let (_, mut job) = play(&reports);
        let now = Timestamp::from_millis(9000);
        lose(&mut job, now);
        claim(&mut job, 2, false, now);
        report(&mut job, &mut Withheld::default(), &BotReport::Admitted, now, now);
        assert_eq!(
            (job.status.as_str(), job.status_detail.as_deref(), job.recording.state.as_str()),
            ("in_call", Some("paused"), "paused")
        );
        for one in [BotReport::RecordingResumed { paused_ms: 6000 }, BotReport::RecordingStarted] {
            report(&mut job, &mut Withheld::default(), &one, now, now);
        }
        assert_eq!((job.status.as_str(), job.recording.state.as_str()), ("recording", "on"));
        assert_eq!((job.status_detail, job.recording.paused_ms), (None, 6000));
    }

    #[test]
    fn a_pause_counts_however_it_ends() {
        let paused = [BotReport::Admitted, BotReport::RecordingStarted, BotReport::RecordingPaused];
        let stopped = BotReport::RecordingStopped { paused_ms: 700 };
        let (told, job) = play(&[&paused[..], &[stopped]].concat());
        assert_eq!(told, ["joining", "in_call", "recording", "in_call"]);
        assert_eq!((job.recording.state, job.recording.paused_ms), (RecordingState::Stopped, 700));

        let reason = LeaveReason::Requested;
        let mut end = ended(Cause::Left(reason.clone()), true);
        if let BotReport::Ended { paused_ms, .. } = &mut end {
            *paused_ms = 900;
        }
        let leaves = [BotReport::Leaving { reason: Some(reason), failure: None }, end];
        let (_, job) = play(&[&paused[..], &leaves].concat());
        assert_eq!(job.recording.paused_ms, 900);
    }

    #[test]
    fn a_cancelled_job_ends_cancelled_whatever_its_bot_says() {
        let (_, mut job) = play(&[BotReport::Admitted, BotReport::RecordingStarted]);
        let now = Timestamp::from_millis(9000);
        cancel(&mut job, &mut Withheld::default(), now);
        assert_eq!(job.status, JobStatus::Finalizing);
        let told = report(
            &mut job,
            &mut Withheld::default(),
            &ended(Cause::Left(LeaveReason::MeetingEnded), true),
            now,
            now,
        );
        assert_eq!(told.len(), 1);
        assert_eq!(
            (job.status.as_str(), job.leave_reason),
            ("cancelled", Some(LeaveReason::Cancelled))
        );
        assert_eq!(job.manifest_uri.as_deref(), Some("file:///m.json"));
    }

    #[test]
    fn in_the_queue_cancel_and_leave_end_at_once() {
        let now = Timestamp::from_millis(5);
        let (mut cancelled, mut left) = (queued(), queued());
        cancel(&mut cancelled, &mut Withheld::default(), now);
        leave_the_queue(&mut left, &mut Withheld::default(), now);
        assert_eq!(cancelled.leave_reason, Some(LeaveReason::Cancelled));
        assert_eq!(left.leave_reason, Some(LeaveReason::Requested));
        assert!([cancelled, left].iter().all(|job| job.status == JobStatus::Cancelled));
    }

    #[test]
    fn after_the_last_attempt_only_the_disk_is_finalised() {
        let (_, mut job) = play(&[BotReport::Admitted, BotReport::RecordingStarted]);
        assert_eq!(finalize_only(&job, None, 4, 5), None);
        job.attempt = 5;
        let ending = finalize_only(&job, None, 5, 5).unwrap();
        assert_eq!(ending.status, JobStatus::Failed);
        let ending = finalize_only(&job, Some(Cause::Requested), 0, 5).unwrap();
        assert_eq!(ending.status, JobStatus::Completed);
        let full = Failure::new(FailureCode::InternalError, "the disk is full");
        let cause = cause_of_leaving(None, Some(&full));
        let ending = finalize_only(&job, cause, 1, 5).unwrap();
        assert_eq!((ending.status, ending.failure), (JobStatus::Failed, Some(full)));
    }

    #[test]
    fn a_bots_clock_cannot_run_ahead_of_the_servers() {
        let mut job = queued();
        let now = Timestamp::from_millis(1000);
        claim(&mut job, 1, false, now);
        report(
            &mut job,
            &mut Withheld::default(),
            &BotReport::Admitted,
            Timestamp::from_millis(99_000),
            now,
        );
        assert_eq!(job.joined_at, Some(now));
    }

    fn chat(messages: u64) -> BotReport {
        BotReport::Withheld { messages, captions: 1 }
    }

    #[test]
    fn what_a_pause_withholds_is_told_once_when_it_ends() {
        let paused = [BotReport::Admitted, BotReport::RecordingStarted, BotReport::RecordingPaused];
        let resumed = BotReport::RecordingResumed { paused_ms: 5 };
        let twice = [&paused[..], &[chat(1), chat(2), resumed.clone()]].concat();
        let (told, _) = play(&[&twice[..], &[BotReport::RecordingPaused, resumed]].concat());
        let quiet = "nothing came in the second pause";
        assert_eq!(told, ["joining", "in_call", "recording", "withheld 3 2"], "{quiet}");
        let stopped = BotReport::RecordingStopped { paused_ms: 5 };
        let end = ended(Cause::Left(LeaveReason::MeetingEnded), true);
        let (told, _) = play(&[&paused[..], &[chat(1), stopped, chat(1), end]].concat());
        let expected = ["withheld 2 2", "finalizing", "completed", "job.finalized"];
        assert_eq!(told[4..], expected, "a stop has no end but the job's: {told:?}");
    }

    #[test]
    fn what_is_withheld_before_permission_is_told_with_the_answer_or_at_the_end() {
        let asked = [BotReport::Admitted, BotReport::PermissionRequested, chat(4)];
        let granted = BotReport::PermissionAnswered { granted: true };
        let denied = BotReport::PermissionAnswered { granted: false };
        let end = ended(Cause::Left(LeaveReason::MeetingEnded), false);
        let (told, _) = play(&[&asked[..], &[granted.clone(), end.clone()]].concat());
        assert_eq!(told[3..5], ["bot.recording_permission_granted", "withheld 4 1"], "{told:?}");
        let (told, _) = play(&[&asked[..], &[denied, chat(1), end]].concat());
        let expected = ["bot.recording_permission_denied", "withheld 5 2", "job.failed"];
        assert_eq!(told[3..], expected, "{told:?}");
        // The host permits it during a pause: nothing may be recorded yet.
        let paused = [BotReport::Admitted, BotReport::RecordingStarted, BotReport::RecordingPaused];
        let resumed = BotReport::RecordingResumed { paused_ms: 5 };
        let both = [BotReport::PermissionRequested, chat(1), granted, chat(1), resumed];
        let (told, _) = play(&[&paused[..], &both].concat());
        assert_eq!(told.last().unwrap(), "withheld 2 2");
        assert_eq!(told.iter().filter(|told| told.starts_with("withheld")).count(), 1);
    }

    #[test]
    fn what_is_withheld_outlives_a_lost_bot_and_is_told_of_a_job_that_ends_in_the_queue() {
        let now = Timestamp::from_millis(9000);
        let (_, mut job) = play(&[BotReport::Admitted, BotReport::PermissionRequested]);
        let mut withheld = Withheld::default();
        report(&mut job, &mut withheld, &chat(2), now, now);
        lose(&mut job, now);
        let names = |told: Vec<Happened>| told.into_iter().map(|one| one.event).collect::<Vec<_>>();
        let mut left = (job.clone(), withheld);
        let told = names(leave_the_queue(&mut left.0, &mut left.1, now));
        assert_eq!(told[0], EventName::ChatWithheld);
        let told = names(cancel(&mut job, &mut withheld, now));
        assert_eq!(told[0], EventName::ChatWithheld);
        assert_eq!((withheld, left.1), (Withheld::default(), Withheld::default()));
    }

    #[test]
    fn a_report_of_another_version_changes_nothing() {
        let unknown = BotReport::Unreadable { kind: "moved".into() };
        let (told, job) = play(&[BotReport::Admitted, unknown]);
        assert_eq!(told, ["joining", "in_call"]);
        assert_eq!(job.updated_at, Timestamp::from_millis(1000));
    }
}
