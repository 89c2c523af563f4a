//! What was recorded and is lost: the manifest beside the files, and beside the moments at which workers died.

use std::{
    collections::{HashMap, HashSet},
    fmt, fs,
    time::SystemTime,
};

use meetbot::{Job, TimelineEvent, Timestamp, blocking::MeetBot, webhook::EventDetails};
use meetbot_types::Manifest;
use tempfile::TempDir;

use super::{MEETING, parts::Parts};
use crate::load::recording_matches_its_manifest;

/// How much recorded media may be lost with a worker's process, in ms: what was not written in the last half second, and one write that the kill interrupts.
/// The rest is for a machine that is busy.
const WITH_PROCESS: u64 = 2_000;
/// The same with its disk.
const WITH_DISK: u64 = 10_000;
/// After so long, in ms, a killed worker is back, and what it uploads is on the disk of the bot that continues.
const RETURNED: u64 = 17_000;
/// By how much a gap in the manifest may differ from that between the files, in ms: the first sound comes after a bot is in the call.
const GAP_ERROR: u64 = 2_000;

/// A job's id, and the number of an attempt at it.
type Attempt = (String, u32);

/// Attempts that ended with their worker, or stood still with it.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    deaths: HashMap<Attempt, Death>,
    suspended: HashSet<Attempt>,
    /// The largest loss in ms where the disk stayed, and of how many attempts.
    pub(crate) with_process: (u64, usize),
    /// The same where the disk was lost.
    pub(crate) with_disk: (u64, usize),
}

#[derive(Debug)]
struct Death {
    at: Timestamp,
    disk_lost: bool,
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((process, of_processes), (disk, of_disks)) = (self.with_process, self.with_disk);
        write!(
            f,
            "recorded media lost: at most {process} ms with a process ({of_processes} bots), at most {disk} ms with a disk ({of_disks} bots)"
        )
    }
}

impl Losses {
    /// A worker dies now.
    #[expect(clippy::disallowed_methods, reason = "bots record by the clock")]
    pub(super) fn worker_dies(&mut self, parts: &Parts, worker: usize, disk_lost: bool) {
        let at = Timestamp::from(SystemTime::now());
        for attempt in parts.attempts_on(worker) {
            self.deaths.entry(attempt).or_insert(Death { at, disk_lost });
        }
    }

    /// A worker is suspended now: of what its bots are sent meanwhile, they hear only what their sockets hold.
    pub(super) fn worker_is_suspended(&mut self, parts: &Parts, worker: usize) {
        self.suspended.extend(parts.attempts_on(worker));
    }

    /// Checks what is lost of a recording. A bot whose successor had its job before the worker died had stopped to record: each attempt begins at one of `claims`.
    pub(super) fn add(&mut self, manifest: &Manifest, job: &Job, claims: &[Timestamp]) {
        let meeting_ms = u64::try_from(MEETING.as_millis()).unwrap();
        for attempt in &manifest.attempts {
            let Some(death) = self.deaths.get(&(job.id.clone(), attempt.attempt)) else { continue };
            let successor = claims.get(usize::try_from(attempt.attempt).unwrap());
            if attempt.outcome != "lost" || successor.is_some_and(|claim| *claim <= death.at) {
                continue;
            }
            let died = ms_between(manifest.started_at, death.at).min(meeting_ms);
            let recorded_until = match attempt.ended_ms {
                Some(until) => until,
                None if attempt.attempt == 1 => 0,
                // Nothing of it is left that says when it joined.
                None => continue,
            };
            let lost = died.saturating_sub(recorded_until);
            let (most, limit) = if death.disk_lost {
                (&mut self.with_disk, WITH_DISK)
            } else if manifest.duration_ms >= died + RETURNED {
                (&mut self.with_process, WITH_PROCESS)
            } else {
                // The meeting was over too early: docs/deploy.md.
                continue;
            };
            assert!(
                lost <= limit,
                "{lost} ms lost, {limit} allowed: {death:?} {job:#?} {manifest:#?}"
            );
            *most = (most.0.max(lost), most.1 + 1);
        }
    }
}

/// When each attempt at a job began.
pub(super) fn claims(job: &Job, server: &MeetBot) -> Vec<Timestamp> {
    let events = server.events(&job.id, None).unwrap().data;
    let is_claim = |event: &&TimelineEvent| {
        matches!(&event.data.details, EventDetails::StatusChanged { status_detail, .. }
            if status_detail.as_deref() == Some("launching"))
    };
    events.iter().filter(is_claim).map(|event| event.emitted_at.unwrap()).collect()
}

fn ms_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millis() - from.as_millis()).unwrap_or(0)
}

/// Downloads a recording; its files play and are what its manifest says, and its gaps are those between the files.
pub(super) fn recording_is_whole(job: &Job, server: &MeetBot, losses: &Losses) -> Manifest {
    let folder = TempDir::new().unwrap();
    for file in server.artifacts(&job.id).unwrap() {
        let name = file.name.unwrap();
        fs::write(folder.path().join(&name), server.artifact(&job.id, &name).unwrap()).unwrap();
    }
    let manifest = recording_matches_its_manifest(folder.path(), job, server);
    let mut before: Option<u64> = None;
    for attempt in &manifest.attempts {
        let (Some(joined), Some(ended)) = (attempt.joined_ms, attempt.ended_ms) else { continue };
        let is_of_attempt = |file: &str| match attempt.attempt {
            1 => !file.rsplit('.').nth(1).is_some_and(is_attempt),
            number => file.rsplit('.').nth(1) == Some(&format!("a{number}")),
        };
        let tracks: Vec<_> =
            manifest.tracks.iter().filter(|track| is_of_attempt(&track.file)).collect();
        let first = tracks.iter().map(|track| track.start_ms).min();
        let last = tracks.iter().map(|track| track.start_ms + track.duration_ms).max();
        if let Some(first) = first {
            assert!(first.abs_diff(joined) <= GAP_ERROR, "{first}: {attempt:#?} {manifest:#?}");
        }
        let was_suspended = losses.suspended.contains(&(job.id.clone(), attempt.attempt));
        if let Some(last) = last.filter(|_| !was_suspended) {
            assert!(last.abs_diff(ended) <= GAP_ERROR, "{last}: {attempt:#?} {manifest:#?}");
        }
        if let Some(before) = before {
            assert_eq!(attempt.gap_ms, Some(joined.saturating_sub(before)), "{manifest:#?}");
        }
        before = Some(ended);
    }
    manifest
}

/// Whether this part of a file's name names an attempt, as in `a2`.
fn is_attempt(part: &str) -> bool {
    part.strip_prefix('a').is_some_and(|number| number.parse::<u32>().is_ok())
}
