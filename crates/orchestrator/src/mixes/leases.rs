//! Mixes that workers on other machines make: given to them for the time of a lease, and stored when they are in the bucket.

use meetbot_types::{
    JobId, Timestamp,
    work::{MixEnd, MixLease},
};

use super::Mixes;
use crate::{
    clock::StoreNow,
    jobs::derive,
    letters::letters,
    recordings::{Finished, bucket::BucketError},
    store::StoreError,
};

/// How many of those that are due are looked at for a worker.
const LOOKED_AT: u32 = 100;
/// How long the name of a lease is.
const NAME_LETTERS: usize = 10;
/// The name under which the store notes for the other servers when a worker was heard that makes mixes. No data folder has it.
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
    /// Gives a worker up to `room` mixes of recordings that are in the bucket. `has`: the jobs whose files are on its disk.
    pub(crate) async fn give(
        &self,
        room: usize,
        has: &[JobId],
    ) -> Result<Vec<MixLease>, StoreError> {
        self.hear_worker().await?;
        let (now, running_tasks) = (self.store.now(), self.recordings.mixes.jobs());
        let waiting = self.store.waiting_mixes(LOOKED_AT, now).await?;
        let mut given = Vec::new();
        for job_id in derive::for_worker(waiting.due, &running_tasks, has, now) {
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

    /// A worker goes on with a mix. `false`: it is to stop, since the mix was dropped or made, or another worker has it.
    pub(crate) async fn renew(&self, job: JobId, lease: String) -> Result<bool, StoreError> {
        self.hear_worker().await?;
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

    /// Notes that a worker makes mixes.
    async fn hear_worker(&self) -> Result<(), StoreError> {
        let StoreNow { wall, timing, .. } = self.store.now();
        if self.recordings.spools.hear(MAKES_MIXES, wall, timing.lease() / 2) {
            self.store.hear_spool(MAKES_MIXES.to_owned(), wall).await?;
        }
        Ok(())
    }

    /// When a worker was heard that makes mixes, by this server or another one; the start of this server if that was later.
    pub(super) async fn workers_heard(&self) -> Result<Timestamp, StoreError> {
        let started = self.store.now().wall - self.clock.now().steady;
        let here = self.recordings.spools.heard(MAKES_MIXES).unwrap_or(started).max(started);
        let elsewhere = self.store.spool_heard(MAKES_MIXES.to_owned()).await?;
        Ok(elsewhere.map_or(here, |heard| heard.max(here)))
    }
}
