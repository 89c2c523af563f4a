//! The mix of a recording after its job has ended: which mixes begin, and where, when a failed one is retried, and the events. Pure.

use std::{collections::HashSet, time::Duration};

use meetbot_types::{
    EventName, JobId, Manifest, Timestamp, event::EventDetails, manifest::File, manifest::MixState,
};

use super::{change::Changes, record::JobRecord};
use crate::clock::StoreNow;

/// The waits between tries double from this one,
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// to this one.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// After so many tries, about a day after the first, a mix is given up.
const LAST_TRY: u32 = 150;

/// A mix that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueMix {
    /// Its job.
    pub job: JobId,
    /// Since when it has waited, if no worker had it; the beginning of time otherwise.
    pub since: Timestamp,
}

/// Until when a worker has a mix that it begins, or goes on with.
pub(crate) fn lease_end(now: StoreNow) -> Timestamp {
    now.wall + now.timing.lease()
}

/// Whether servers leave the mixes of recordings that only the bucket has to workers, of which one was heard to make mixes at this time.
pub(crate) fn is_left_to_workers(heard: Timestamp, now: StoreNow) -> bool {
    heard + now.timing.lease() * 2 > now.wall
}

/// Which of those that are due a worker may make, in their order: those that this server does not make, and at first only those of which the worker has files. After
/// half a lease, any worker may fetch the files.
pub(crate) fn for_worker(
    due: Vec<DueMix>,
    under_way: &HashSet<JobId>,
    has: &[JobId],
    now: StoreNow,
) -> Vec<JobId> {
    let is_for_all = |mix: &DueMix| mix.since + now.timing.lease() / 2 <= now.wall;
    due.into_iter()
        .filter(|mix| !under_way.contains(&mix.job) && (has.contains(&mix.job) || is_for_all(mix)))
        .map(|mix| mix.job)
        .collect()
}

/// Which of those that are due begin now, in their order: those that are not under way, as far as there is room.
pub(crate) fn begin(due: Vec<JobId>, under_way: &HashSet<JobId>, at_once: usize) -> Vec<JobId> {
    let room = at_once.saturating_sub(under_way.len());
    due.into_iter().filter(|job| !under_way.contains(job)).take(room).collect()
}

/// When to try again after so many tries of which none could read or write what it had to; `None` when it is given up.
pub(crate) fn next_try(tries: u32, now: Timestamp) -> Option<Timestamp> {
    let doublings = tries.saturating_sub(1).min(10);
    (tries < LAST_TRY).then(|| now + (FIRST_WAIT * (1 << doublings)).min(LONGEST_WAIT))
}

/// The mix that a manifest lists; `None` where there is none.
pub(crate) fn file(manifest: Manifest) -> Option<File> {
    let name = manifest.mixed.file.filter(|_| manifest.mixed.state == Some(MixState::Made))?;
    manifest.files.into_iter().find(|file| file.name == name)
}

impl JobRecord {
    /// A file is there that was made of the recording of the job, which has ended.
    pub(crate) fn derived(&mut self, artifact: File, now: Timestamp) -> Changes {
        self.change(now, |change| {
            let manifest_uri = change.record.job.manifest_uri.clone();
            let details = EventDetails::ArtifactReady { artifact, manifest_uri };
            change.emit(EventName::ArtifactReady, details);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;

    #[test]
    fn due_mixes_begin_in_order_up_to_the_limit() {
        let at = Timestamp::UNIX_EPOCH;
        let jobs: Vec<JobId> = (0..4).map(|_| JobId::generate(at)).collect();
        let under_way = HashSet::from([jobs[1]]);
        let begins = |at_once| begin(jobs.clone(), &under_way, at_once);
        assert_eq!(begins(3), [jobs[0], jobs[2]]);
        assert_eq!(begins(1), []);
        assert_eq!(begins(9), [jobs[0], jobs[2], jobs[3]]);
    }

    #[test]
    fn a_mix_is_offered_first_to_the_worker_that_has_the_files() {
        let now = contract::at(1_000);
        let due = [980, 986, 999, 0].map(|second| {
            let since = contract::at(second).wall;
            DueMix { job: JobId::generate(since), since }
        });
        let [old, recent, new, made_here] = due.map(|mix| mix.job);
        let offered =
            |has: &[JobId]| for_worker(due.to_vec(), &HashSet::from([made_here]), has, now);
        assert_eq!(offered(&[]), [old]);
        assert_eq!(offered(&[new, made_here]), [old, new]);
        assert_eq!(offered(&[new, recent]), [old, recent, new]);
    }

    #[test]
    fn servers_make_mixes_again_a_minute_after_the_last_worker_was_heard() {
        let at = contract::at;
        assert!(is_left_to_workers(at(1_000).wall, at(1_059)));
        assert!(!is_left_to_workers(at(1_000).wall, at(1_060)));
    }

    #[test]
    fn a_mix_is_retried_with_growing_waits_for_about_a_day() {
        let mut now = Timestamp::UNIX_EPOCH;
        let mut waits = Vec::new();
        for tries in 1.. {
            let Some(next) = next_try(tries, now) else { break };
            waits.push(next.millis_since(now) / 1000);
            now = next;
        }
        assert_eq!(waits[..9], [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        let hours = now.millis_since(Timestamp::UNIX_EPOCH) / 3_600_000;
        assert!((20..30).contains(&hours), "{hours} h");
    }
}
