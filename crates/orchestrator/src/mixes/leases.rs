//! Mixes that workers on other machines make: given to them for the time of a lease, and stored when they are in the bucket.

use meetbot_types::{
    JobId, Labels, Timestamp,
    work::{MixEnd, MixLease},
};

use super::Mixes;
use crate::{
    clock::StoreNow,
    jobs::{DueMix, derive},
    letters::letters,
    recordings::{Finished, bucket::BucketError},
    store::StoreError,
};

/// How many of those that are due are looked at for a worker, for each set of labels that mixes require.
const LOOKED_AT: u32 = 100;
/// How long the name of a lease is.
const NAME_LETTERS: usize = 10;
/// The beginning of the names under which the store notes for the other servers when a worker was heard that makes mixes; the worker's labels follow. No data folder has
/// such a name.
const MAKES_MIXES: &str = "mixes/";

/// Why the end of a mix cannot be stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

impl Mixes {
    /// Gives a worker with these labels up to `room` mixes of recordings that are in the bucket. `has`: the jobs whose files are on its disk.
    pub(crate) async fn give(
        &self,
        room: usize,
        labels: &Labels,
        has: &[JobId],
    ) -> Result<Vec<MixLease>, StoreError> {
        self.hear_worker(labels).await?;
        let (now, running_tasks) = (self.store.now(), self.recordings.mixes.jobs());
        let waiting = self.store.waiting_mixes(LOOKED_AT, now).await?;
        let mut given = Vec::new();
        for job_id in derive::for_worker(waiting.due, &running_tasks, labels, has, now) {
            if given.len() >= room {
                break;
            }
            let Some(ended) = self.store.waiting_mix(job_id).await? else { continue };
            let Some(Finished::InBucket { attempt, .. }) = self.recordings.finished(&ended) else {
                continue;
            };
            let lease = letters(NAME_LETTERS);
            if !self.recordings.is_on_disk(job_id)
                && self.store.lease_mix(job_id, lease.clone(), now).await?
            {
                let heartbeat = now.timing.heartbeat().as_millis();
                let renew_ms = u64::try_from(heartbeat).unwrap_or(u64::MAX);
                given.push(MixLease { job_id, attempt, lease, renew_ms });
            }
        }
        Ok(given)
    }

    /// A worker with these labels goes on with a mix, also if the labels that the mix requires have changed. `false`: it is to stop, since the mix was dropped or made, or
    /// another worker has it.
    pub(crate) async fn renew(
        &self,
        job: JobId,
        labels: &Labels,
        lease: String,
    ) -> Result<bool, StoreError> {
        self.hear_worker(labels).await?;
        self.store.hold_mix(job, lease, derive::lease_end(self.store.now())).await
    }

    /// Stores how a worker's mix has ended. One that is in the bucket is stored even if the lease has run out or is another worker's: the manifest there is final.
    pub(crate) async fn end_on_worker(
        &self,
        job: JobId,
        lease: String,
        end: MixEnd,
    ) -> Result<(), EndError> {
        let now = self.store.now();
        match end {
            MixEnd::Published => {
                let Some(ended) = self.store.waiting_mix(job).await? else { return Ok(()) };
                let Some(finished) = self.recordings.finished(&ended) else { return Ok(()) };
                match finished.mixed().await {
                    Ok(Some(manifest)) => self.end(job, derive::file(manifest)).await?,
                    Ok(None) | Err(BucketError::Missing | BucketError::Wrong(_)) => {
                        tracing::error!(%job, "a worker has reported a mix that is not in the bucket");
                        self.store.put_off_mix(job, Some(lease), now).await?;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            MixEnd::Returned => {
                self.store.hold_mix(job, lease, now.wall).await?;
            }
            MixEnd::Failed => {
                self.store.put_off_mix(job, Some(lease), now).await?;
            }
        }
        Ok(())
    }

    /// Notes that a worker with these labels makes mixes. Each is also noted without labels, as servers of an earlier version look for it.
    async fn hear_worker(&self, labels: &Labels) -> Result<(), StoreError> {
        let StoreNow { wall, timing, .. } = self.store.now();
        for labels in [&Labels::default(), labels] {
            let name = format!("{MAKES_MIXES}{labels}");
            if self.recordings.spools.hear(&name, wall, timing.lease() / 2) {
                self.store.hear_spool(name, wall).await?;
            }
        }
        Ok(())
    }

    /// Of mixes that are due, those that this server makes: those of recordings on its disk, and those that it does not leave to workers.
    pub(super) async fn for_server(
        &self,
        mut due: Vec<DueMix>,
        now: StoreNow,
    ) -> Result<Vec<DueMix>, StoreError> {
        if due.is_empty() {
            return Ok(due);
        }
        let after = derive::heard_after(now);
        let makers = self.makers(after).await?;
        // Workers may not have called since.
        let has_just_started = now.wall - self.clock.now().steady > after;
        due.retain(|mix| {
            let is_left = has_just_started || derive::is_left_to_workers(mix, &makers);
            !is_left || self.recordings.is_on_disk(mix.job)
        });
        Ok(due)
    }

    /// The labels of the workers that this server or another one has heard after this time to make mixes.
    async fn makers(&self, after: Timestamp) -> Result<Vec<Labels>, StoreError> {
        let mut names = self.recordings.spools.heard_after(MAKES_MIXES, after);
        names.extend(self.store.spools_heard(MAKES_MIXES.to_owned(), after).await?);
        let labels = |name: String| name.strip_prefix(MAKES_MIXES)?.parse().ok();
        Ok(names.into_iter().filter_map(labels).collect())
    }
}
