//! Claims due jobs and makes orders, for the server's bots and for those of workers.

use std::{path::PathBuf, sync::Arc, time::Duration};

use meetbot_types::{
    AddressPolicy, Availability, Cause, Ending, Failure, FailureCode, Job, Labels, Platform,
    Timestamp,
    availability::with_test_key,
    bot::{BegunRecording, BotOrder, SandboxSeat, Secret, ZoomApp},
    work::Pool,
};
use tokio::sync::Notify;

use super::{Attempt, Room};
use crate::{
    accounts::Accounts,
    change_notifier::ChangeNotifier,
    clock::Clock,
    jobs::create,
    keys,
    metrics::Metrics,
    store::{AvailabilityLookup, Claim, Claimed, Claimer, Store, StoreError},
    zoom::Zoom,
};

/// The longest wait before the queue is read again; notifications and `joinAt` end it sooner.
pub(crate) const POLL: Duration = Duration::from_secs(5);
/// How often the queue is read for a claim that may not take every job.
pub(crate) const POOL_POLL: Duration = Duration::from_secs(1);
/// The shortest wait between two reads of the queue, so that inconsistent results of the store do not take a whole core.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const TOKEN_LETTERS: usize = 43;

/// Claims jobs, and releases those whose bots are gone.
pub(crate) struct Orders {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    /// Wakes one of the tasks that wait for jobs.
    pub(crate) queue: Arc<Notify>,
    pub(crate) outbox: Arc<Notify>,
    pub(crate) changes: Arc<ChangeNotifier>,
    pub(crate) metrics: Arc<Metrics>,
    /// Where the bots report.
    pub(crate) url: String,
    /// Where the sandbox plays, and what it wants to be shown by bots.
    pub(crate) sandbox: (String, Secret),
    pub(crate) recordings: PathBuf,
    /// Where meetings may be.
    pub(crate) meetings: Arc<AddressPolicy>,
    /// The ways into meetings that bots know.
    pub(crate) available: Arc<[Availability]>,
    pub(crate) stun_servers: Vec<String>,
    pub(crate) zoom: Arc<Zoom>,
    /// The accounts as which bots may join.
    pub(crate) accounts: Arc<Accounts>,
    /// How many bytes the recording of one job may have.
    pub(crate) most_bytes_per_job: Option<u64>,
    /// How often a bot reports even when nothing happens, in milliseconds.
    pub(crate) heartbeat_ms: u64,
    /// How long a bot in a process of its own goes on while no server answers it, in milliseconds.
    pub(crate) alone_ms: u64,
}

impl Orders {
    /// Orders for bots of these pools that a worker with these labels, or this server, has room for; fewer where no more jobs are due. Orders claimed before an error are returned without the error.
    pub(crate) async fn due(
        &self,
        room: Room,
        worker: Option<&str>,
        pools: &[Pool],
        labels: &Labels,
    ) -> Result<Vec<BotOrder>, StoreError> {
        let (mut orders, lookup) = (Vec::<BotOrder>::new(), self.availability_lookup());
        let of_browsers = |order: &&BotOrder| order.pool() == Pool::Browser;
        while orders.len() < room.bots {
            let browsers = orders.iter().filter(of_browsers).count();
            let pool = match with_room(pools, room.browsers - browsers)[..] {
                [] => break,
                [pool] => Some(pool),
                _ => None,
            };
            let token = crate::letters::letters(TOKEN_LETTERS);
            let worker = worker.map(|worker| format!("worker:{worker}"));
            let by = Claimer { worker, pool, labels: labels.clone() };
            let (hash, now) = (keys::hash(&token), self.store.now());
            match self.store.claim_for(by, hash, Arc::clone(&lookup), now).await {
                Ok(Claim::Bot(claimed)) => orders.push(self.order(*claimed, token)),
                Ok(Claim::NoMinutes(job)) => {
                    tracing::info!(%job, "a job met a consumer without minutes");
                    self.metrics.refused("minutes_per_month");
                    self.changes.notify_job(job);
                    self.outbox.notify_one();
                }
                Ok(Claim::Nothing) => return Ok(orders),
                Err(error) if orders.is_empty() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the queue cannot be read");
                    return Ok(orders);
                }
            }
        }
        Ok(orders)
    }

    /// A caller has no capacity left, and more jobs may be due: wakes another one.
    pub(crate) fn pass_on(&self) {
        self.queue.notify_one();
    }

    /// Whether a worker with these labels may take jobs of all consumers. `false` if that is not known.
    pub(crate) async fn are_all_for(&self, labels: &Labels) -> bool {
        let required = self.store.required_labels().await;
        required.is_ok_and(|required| required.iter().all(|required| labels.include(required)))
    }

    /// How long until a job is due.
    pub(crate) async fn until_next(&self) -> Duration {
        let next = self.store.next_start().await.ok().flatten();
        pause_before(next, self.clock.now().wall)
    }

    /// A bot is gone. One that went without having ended its job is a lost bot, and known to be so at once; unless it left since its process stops (`handed_over`). Answers whether it had
    /// not ended its job, which goes to another bot then.
    pub(crate) async fn end_attempt(
        &self,
        (job, epoch): Attempt,
        handed_over: bool,
    ) -> Result<bool, StoreError> {
        let now = self.store.now();
        let unended = if handed_over {
            self.store.hand_over(job, epoch, now).await
        } else {
            self.store.release(job, epoch, now).await
        }?;
        self.metrics.attempts.ended(job, epoch, unended && !handed_over);
        if unended {
            if handed_over {
                tracing::info!(%job, attempt = epoch, "a job was handed over");
            } else {
                tracing::warn!(%job, attempt = epoch, "a bot was lost");
            }
            self.changes.notify_job(job);
            self.queue.notify_one();
            self.outbox.notify_one();
        }
        Ok(unended)
    }

    /// The ways into meetings that bots know.
    fn availability_lookup(&self) -> Arc<AvailabilityLookup> {
        let (available, zoom) = (Arc::clone(&self.available), Arc::clone(&self.zoom));
        Arc::new(move |live, consumer| match (live, consumer) {
            (false, _) => with_test_key(&available),
            (true, Some(consumer)) => zoom.available(&available, consumer),
            (true, None) => available.to_vec(),
        })
    }

    /// How a job ends whose account the settings no longer have, or no longer for its consumer.
    fn ending_without_account(&self, job: &Job, consumer: Option<&str>) -> Option<Ending> {
        let account = job.account.as_deref()?;
        // Where an account names no consumers, the others were counted when the job was created.
        let refusal = self.accounts.refusal(account, consumer.unwrap_or_default(), true)?;
        let failure = Failure::new(FailureCode::DispatchTimeout, refusal.message);
        Some(Cause::Failed(failure).ending(false, false))
    }

    fn order(&self, claimed: Claimed, token: String) -> BotOrder {
        let Claimed { job, tenant, consumer, link, finalize, signature } = claimed;
        let finalize = finalize.or_else(|| self.ending_without_account(&job, consumer.as_deref()));
        let zoom = consumer
            .filter(|_| job.platform == Platform::ZoomWeb)
            .and_then(|consumer| self.zoom.order(&consumer));
        self.changes.notify_job(job.id);
        self.outbox.notify_one();
        let now = self.clock.now();
        self.metrics.attempts.launched(job.id, job.attempt, &job.platform, now.steady);
        let scenario = create::scenario(&link, tenant.live);
        tracing::info!(job = %job.id, attempt = job.attempt, platform = %job.platform, "a bot is launched");
        BotOrder {
            job_id: job.id,
            epoch: job.attempt,
            token: Secret::new(token),
            claim_signature: Some(signature),
            orchestrator_url: self.url.clone(),
            other_urls: Vec::new(),
            link,
            meeting_url: job.meeting_url,
            external_id: job.external_id,
            display_name: job.display_name,
            auto_leave: job.auto_leave,
            record_video: job.record_video,
            account: job.account,
            joined_ms_ago: job
                .joined_at
                .map(|joined| u64::try_from(now.wall.millis_since(joined)).unwrap_or(0)),
            zoom: zoom.map(|app| ZoomApp { video: job.record_video.unwrap_or(app.video), ..app }),
            sandbox: scenario.map(|scenario| {
                let (address, token) = self.sandbox.clone();
                SandboxSeat { address, scenario, token: Some(token) }
            }),
            browser: None,
            imitation: None,
            address_policy: AddressPolicy::clone(&self.meetings),
            stun_servers: self.stun_servers.clone(),
            folder: self.recordings.join(job.id.to_string()),
            spool: None,
            begun: job.recording.started_at.map(|started_at| BegunRecording {
                started_at,
                state: job.recording.state.clone(),
            }),
            most_bytes: self.most_bytes_per_job,
            heartbeat_ms: self.heartbeat_ms,
            alone_ms: self.alone_ms,
            finalize,
        }
    }
}

/// Those of the pools for which there is room, with room for so many browsers.
pub(crate) fn with_room(pools: &[Pool], browsers: usize) -> Vec<Pool> {
    pools.iter().copied().filter(|pool| *pool != Pool::Browser || browsers > 0).collect()
}

/// How long to wait for the next job that may start. One that became due after the last claim is claimed at once: without this it would wait for
/// the next poll.
fn pause_before(next: Option<Timestamp>, now: Timestamp) -> Duration {
    let ahead = next.map(|next| u64::try_from(next.millis_since(now)).unwrap_or(0));
    ahead.map_or(POLL, |ms| Duration::from_millis(ms).clamp(SHORTEST_PAUSE, POLL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_becomes_due_during_a_claim_is_claimed_without_a_poll() {
        let at = Timestamp::from_millis;
        let now = at(1_800_000_000_000);
        for (next, pause) in [
            (None, POLL),
            (Some(now + Duration::from_hours(1)), POLL),
            (Some(now + Duration::from_millis(700)), Duration::from_millis(700)),
            (Some(now), SHORTEST_PAUSE),
            (Some(at(now.as_millis() - 1)), SHORTEST_PAUSE),
            (Some(at(0)), SHORTEST_PAUSE),
        ] {
            assert_eq!(pause_before(next, now), pause, "{next:?}");
        }
    }
}
