//! The mix of a recording after its job has ended: which mixes begin, and where, when a failed one is retried, and the events. Pure.

use std::{collections::HashSet, time::Duration};

use meetbot_types::{
    EventName, JobId, Labels, Manifest, Timestamp, event::EventDetails, manifest::File,
    manifest::MixState,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueMix {
    /// Its job.
    pub job: JobId,
    /// Since when it has waited, if no worker had it; the beginning of time otherwise.
    pub since: Timestamp,
    /// The labels that its consumer requires of a worker.
    pub requires: Labels,
}

/// Until when a worker has a mix that it begins, or goes on with.
pub(crate) fn lease_end(now: StoreNow) -> Timestamp {
    now.wall + now.timing.lease()
}

/// Servers leave mixes to workers that were heard to make mixes after this time.
pub(crate) fn heard_after(now: StoreNow) -> Timestamp {
    now.wall - now.timing.lease() * 2
}

/// Whether servers leave a mix of a recording that only the bucket has to workers, of which those with these labels make mixes: whether one of them may make it.
pub(crate) fn is_left_to_workers(mix: &DueMix, makers: &[Labels]) -> bool {
    makers.iter().any(|labels| labels.include(&mix.requires))
}

/// Which of those that are due a worker with these labels may make, in their order: those that this server does not make, and at first only those of which the worker
/// has files. After half a lease, any worker may fetch the files. A worker without the labels that a mix requires makes it at no time.
pub(crate) fn for_worker(
    due: Vec<DueMix>,
    under_way: &HashSet<JobId>,
    labels: &Labels,
    has: &[JobId],
    now: StoreNow,
) -> Vec<JobId> {
    let is_for_all = |mix: &DueMix| mix.since + now.timing.lease() / 2 <= now.wall;
    due.into_iter()
        .filter(|mix| !under_way.contains(&mix.job) && labels.include(&mix.requires))
        .filter(|mix| has.contains(&mix.job) || is_for_all(mix))
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

    fn labels(text: &str) -> Labels {
        text.parse().unwrap()
    }

    /// A mix that has waited since this second, and requires these labels.
    fn due_mix(second: u64, requires: &str) -> DueMix {
        let since = contract::at(second).wall;
        DueMix { job: JobId::generate(since), since, requires: labels(requires) }
    }

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
        let due = [980, 986, 999, 0].map(|second| due_mix(second, ""));
        let [old, recent, new, made_here] = due.each_ref().map(|mix| mix.job);
        let under_way = HashSet::from([made_here]);
        let offered =
            |has: &[JobId]| for_worker(due.to_vec(), &under_way, &Labels::default(), has, now);
        assert_eq!(offered(&[]), [old]);
        assert_eq!(offered(&[new, made_here]), [old, new]);
        assert_eq!(offered(&[new, recent]), [old, recent, new]);
    }

    #[test]
    fn a_mix_is_offered_only_to_workers_with_all_labels_that_it_requires() {
        let due = ["", "eu", "eu,net=fast"].map(|text| due_mix(1, text));
        let [free, eu, fast] = due.each_ref().map(|mix| mix.job);
        for (worker, expected) in [
            ("", vec![free]),
            ("us", vec![free]),
            ("net=fast", vec![free]),
            ("eu,us", vec![free, eu]),
            ("eu,net=fast", vec![free, eu, fast]),
        ] {
            // The files on its disk make no difference: its bot may have recorded before the labels were required.
            for has in [&[][..], &[free, eu, fast]] {
                let now = contract::at(1_000);
                let offered = for_worker(due.to_vec(), &HashSet::new(), &labels(worker), has, now);
                assert_eq!(offered, expected, "{worker:?} {has:?}");
            }
        }
    }

    #[test]
    fn servers_leave_a_mix_to_workers_only_while_one_of_them_may_make_it() {
        let makers = ["", "us", "eu,us"].map(labels);
        for (requires, left) in [("", true), ("us", true), ("eu,us", true), ("eu,net=fast", false)]
        {
            assert_eq!(is_left_to_workers(&due_mix(1, requires), &makers), left, "{requires:?}");
        }
        assert!(!is_left_to_workers(&due_mix(1, "eu,us"), &makers[..2]));
        assert!(!is_left_to_workers(&due_mix(1, ""), &[]));
    }

    #[test]
    fn servers_make_mixes_again_a_minute_after_the_last_worker_was_heard() {
        let at = contract::at;
        assert!(at(1_000).wall > heard_after(at(1_059)));
        assert!(at(1_000).wall <= heard_after(at(1_060)));
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
