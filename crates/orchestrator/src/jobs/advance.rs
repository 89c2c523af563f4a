//! What follows when something happens to a job: its new state, and the events to tell. Pure; the store writes both in one transaction.

use std::{num::NonZeroU32, time::Duration};

use meetbot_types::{
    Cause, Ending, EventName, Failure, FailureCode, Job, JobStatus, LeaveReason, Permission,
    RecordingState, Timestamp,
    bot::{BotReport, Lobby},
    event::EventDetails,
    job::JobEvent,
};

use super::quota;

/// The hint that a bot is in a call from which nothing comes.
const NO_MEDIA: &str = "no_media";

/// An event to tell: a line of the timeline and a webhook.
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

    fn end(&mut self, ending: &Ending, manifest_uri: Option<&str>, duration_ms: u64) {
        if self.job.status.is_final() {
            return;
        }
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

fn change(job: &mut Job, at: Timestamp, act: impl FnOnce(&mut Change<'_>)) -> Vec<Happened> {
    let mut change = Change { job, at, told: Vec::new() };
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
        "the {minutes} minutes that the consumer has in a month are used up; the next month begins at {next}"
    )
}

/// The job is cancelled: at once where there is no bot and nothing was recorded, else when its bot has left.
pub(crate) fn cancel(job: &mut Job, now: Timestamp) -> Vec<Happened> {
    change(job, now, |change| {
        if change.job.status == JobStatus::Queued {
            change.end(&Cause::Cancelled.ending(false, false), None, 0);
        } else {
            change.job.leave_reason = Some(LeaveReason::Cancelled);
            change.step(JobEvent::Leave, None);
        }
    })
}

/// Leave-call on a job that is still in the queue.
pub(crate) fn leave_the_queue(job: &mut Job, now: Timestamp) -> Vec<Happened> {
    change(job, now, |change| change.end(&Cause::Requested.ending(false, false), None, 0))
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
    report: &BotReport,
    at: Timestamp,
    now: Timestamp,
) -> Vec<Happened> {
    let at = at.min(now);
    if job.status.is_final() || matches!(report, BotReport::Heartbeat { .. }) {
        return Vec::new();
    }
    change(job, at, |change| apply(change, report))
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
        BotReport::ParticipantLeft { participant } => change.tell(
            EventName::ParticipantLeft,
            EventDetails::Participant { participant: participant.clone() },
        ),
        BotReport::Chat { message } => {
            change.tell(EventName::ChatMessage, EventDetails::Chat { message: message.clone() });
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
        for (second, one) in (1_i64..).zip(reports) {
            let at = Timestamp::from_millis(second * 1000);
            told.extend(report(&mut job, one, at, at));
        }
        let told = told
            .iter()
            .map(|happened| match happened.event {
                EventName::StatusChanged => happened.status.to_string(),
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
            report(&mut job, &one, now, now);
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
        report(&mut job, &BotReport::Admitted, now, now);
        assert_eq!(
            (job.status.as_str(), job.status_detail.as_deref(), job.recording.state.as_str()),
            ("in_call", Some("paused"), "paused")
        );
        for one in [BotReport::RecordingResumed { paused_ms: 6000 }, BotReport::RecordingStarted] {
            report(&mut job, &one, now, now);
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
        cancel(&mut job, now);
        assert_eq!(job.status, JobStatus::Finalizing);
        let told = report(&mut job, &ended(Cause::Left(LeaveReason::MeetingEnded), true), now, now);
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
        cancel(&mut cancelled, now);
        leave_the_queue(&mut left, now);
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
        report(&mut job, &BotReport::Admitted, Timestamp::from_millis(99_000), now);
        assert_eq!(job.joined_at, Some(now));
    }
}
