//! What is left on a worker's disk when it is to end, and whether it ends nevertheless. Pure.

use std::{collections::BTreeSet, time::Duration};

use meetbot_types::JobId;

/// What a look at the files of bots that have ended has left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Jobs whose files are no finished recording and could not be uploaded. Their jobs do not wait for this worker.
    pub(super) stuck: BTreeSet<JobId>,
    /// The files cannot be listed.
    pub(super) is_unreadable: bool,
    /// Anything else: a finished recording is not uploaded, or no server says what to do.
    pub(super) others: bool,
}

impl Left {
    /// Whether everything was done.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Since when a worker that is to end makes no progress with files that need not keep it.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    since: Option<(Left, u64, Duration)>,
}

impl Stuck {
    /// Whether the worker ends although this is left, after so many bytes of uploads in all: it had `patience`, and neither has changed meanwhile.
    pub(super) fn ends(
        &mut self,
        left: &Left,
        uploaded: u64,
        now: Duration,
        patience: Duration,
    ) -> bool {
        if left.others {
            self.since = None;
            return false;
        }
        match &self.since {
            Some((before, bytes, since)) if (before, *bytes) == (left, uploaded) => {
                now.saturating_sub(*since) >= patience
            }
            _ => {
                self.since = Some((left.clone(), uploaded, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::Timestamp;

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(5);

    fn stuck(jobs: &[JobId]) -> Left {
        Left { stuck: jobs.iter().copied().collect(), ..Left::default() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_worker_ends_after_five_minutes_without_progress() {
        let [one, two] = [(); 2].map(|()| JobId::generate(Timestamp::UNIX_EPOCH));
        let unreadable = Left { is_unreadable: true, ..Left::default() };
        for left in [stuck(&[one, two]), unreadable] {
            let mut waits = Stuck::default();
            let ends = [0, 299, 300].map(|at| waits.ends(&left, 7, seconds(1_000 + at), PATIENCE));
            assert_eq!(ends, [false, false, true], "{left:?}");
        }
    }

    #[test]
    fn each_upload_and_each_job_that_is_done_is_progress() {
        let [one, two] = [(); 2].map(|()| JobId::generate(Timestamp::UNIX_EPOCH));
        let mut waits = Stuck::default();
        for (at, jobs, uploaded, ends) in [
            (0, &[one, two][..], 0, false),
            (299, &[one, two], 8, false),
            (500, &[one], 8, false),
            (799, &[one], 8, false),
            (800, &[one], 8, true),
        ] {
            assert_eq!(waits.ends(&stuck(jobs), uploaded, seconds(at), PATIENCE), ends, "{at}");
        }
    }

    #[test]
    fn a_finished_recording_keeps_the_worker_for_as_long_as_it_takes() {
        let left = Left { others: true, ..stuck(&[JobId::generate(Timestamp::UNIX_EPOCH)]) };
        let mut waits = Stuck::default();
        assert!(!waits.ends(&left, 0, seconds(0), PATIENCE));
        assert!(!waits.ends(&left, 0, seconds(9_000), PATIENCE));
        let left = Left { others: false, ..left };
        assert!(!waits.ends(&left, 0, seconds(9_000), PATIENCE), "it begins then");
        assert!(waits.ends(&left, 0, seconds(9_300), PATIENCE));
    }
}
