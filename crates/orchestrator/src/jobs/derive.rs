//! The mix of a recording after its job has ended: which mixes begin, when a failed one is retried, and the events. Pure.

use std::{collections::HashSet, time::Duration};

use meetbot_types::{
    EventName, JobId, Manifest, Timestamp, event::EventDetails, manifest::File, manifest::MixState,
};

use super::{change::Changes, record::JobRecord};

/// The waits between tries double from this one,
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// to this one.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// After so many tries, about a day after the first, a mix is given up.
const LAST_TRY: u32 = 150;

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
