//! Hands jobs that are due to bots, and takes them back from bots that are gone.

mod launcher;
mod reaper;

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use meetbot_types::{
    Availability, Job, JobId, Reach, Timestamp,
    availability::with_test_key,
    bot::{BotOrder, SandboxSeat, Secret, ZoomApp},
};
use tokio::{sync::Notify, task::JoinSet};
use tracing::Instrument as _;

pub use self::launcher::{Fate, Launcher, Stop};
pub(crate) use self::reaper::Reaper;
use crate::{
    clock::Clock,
    jobs::create,
    keys,
    metrics::Metrics,
    store::{Claim, Claimed as ClaimedJob, Store, Ways},
    wake::Wakes,
    zoom::Zoom,
};

/// How long to wait at most before looking into the queue again; pokes and `joinAt` come sooner.
const POLL: Duration = Duration::from_secs(5);
/// At least this long between two looks: a store that contradicts itself costs a thousand looks a second, not a whole core.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const TOKEN_LETTERS: usize = 43;

/// One of the bots of a job: its epoch.
type Attempt = (JobId, u32);

/// Why the dispatcher stopped claiming.
enum Claimed {
    /// No job is due.
    AllDue,
    /// `bots.max` bots run, or the server drains: a bot that ends wakes the dispatcher.
    AllPlaces,
    /// The store did not answer.
    Unread,
}

/// Claims jobs for this server's bots.
pub(crate) struct Dispatch {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) launcher: Arc<dyn Launcher>,
    pub(crate) clock: Clock,
    pub(crate) poke: Arc<Notify>,
    pub(crate) outbox: Arc<Notify>,
    pub(crate) wakes: Arc<Wakes>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) max_bots: usize,
    /// Where the bots report.
    pub(crate) url: String,
    /// Where the sandbox plays, and what it wants to be shown by bots.
    pub(crate) sandbox: (String, Secret),
    pub(crate) recordings: PathBuf,
    /// Where meetings may be.
    pub(crate) meetings: Arc<Reach>,
    /// The ways into meetings that bots know.
    pub(crate) available: Arc<[Availability]>,
    pub(crate) stun_servers: Vec<String>,
    pub(crate) zoom: Arc<Zoom>,
    /// How many bytes the recording of one job may have.
    pub(crate) most_bytes_per_job: Option<u64>,
    /// How often a bot reports even when nothing happens, in milliseconds.
    pub(crate) heartbeat_ms: u64,
}

impl Dispatch {
    /// Claims until it is to drain, and ends when its last bot has that cannot go on without it. `running` are the jobs whose bots have outlived the server before.
    pub(crate) async fn run(self, running: Vec<Job>, stop: Stop) {
        let mut bots: JoinSet<(Attempt, Fate)> = JoinSet::new();
        for job in running {
            self.adopt(&job, &mut bots, &stop);
        }
        // Bots that are gone, whose jobs the store could not take back yet.
        let mut unreleased: Vec<Attempt> = Vec::new();
        loop {
            for attempt in std::mem::take(&mut unreleased) {
                unreleased.extend(self.take_back(attempt, &stop).await);
            }
            let sleep = match self.claim_due(&mut bots, &stop).await {
                Claimed::AllDue => self.until_next().await,
                Claimed::AllPlaces | Claimed::Unread => POLL,
            };
            tokio::select! {
                biased;
                () = stop.drain.cancelled() => break,
                () = self.poke.notified() => {}
                Some(Ok((attempt, fate))) = bots.join_next() => {
                    if fate == Fate::Ended {
                        unreleased.extend(self.take_back(attempt, &stop).await);
                    }
                }
                () = tokio::time::sleep(sleep) => {}
            }
        }
        tracing::info!(bots = bots.len(), "no more jobs are taken");
        let mut outlive = 0;
        while let Some(ended) = bots.join_next().await {
            match ended {
                Ok((attempt, Fate::Ended)) => {
                    self.take_back(attempt, &stop).await;
                }
                Ok((_, Fate::Outlives)) => outlive += 1,
                Err(_) => {}
            }
        }
        if outlive > 0 {
            tracing::info!(bots = outlive, "bots in processes of their own stay in their meetings");
        }
    }

    /// Claims until no job is due, or no place is left.
    async fn claim_due(&self, bots: &mut JoinSet<(Attempt, Fate)>, stop: &Stop) -> Claimed {
        let ways = self.ways();
        while bots.len() < self.max_bots && !stop.drain.is_cancelled() {
            let token = crate::letters::letters(TOKEN_LETTERS);
            let (hash, now) = (keys::hash(&token), self.store.now());
            match self.store.claim(hash, Arc::clone(&ways), now).await {
                Ok(Claim::Bot(claimed)) => self.launch(*claimed, token, bots, stop),
                Ok(Claim::NoMinutes(job)) => {
                    tracing::info!(%job, "a job met a consumer without minutes");
                    self.metrics.refused("minutes_per_month");
                    self.wakes.poke(job);
                    self.outbox.notify_one();
                }
                Ok(Claim::Nothing) => return Claimed::AllDue,
                Err(error) => {
                    tracing::warn!(%error, "the queue cannot be read");
                    return Claimed::Unread;
                }
            }
        }
        Claimed::AllPlaces
    }

    /// The ways into meetings that this server's bots know.
    fn ways(&self) -> Arc<Ways> {
        let (available, zoom) = (Arc::clone(&self.available), Arc::clone(&self.zoom));
        Arc::new(move |live, consumer| match (live, consumer) {
            (false, _) => with_test_key(&available),
            (true, Some(consumer)) => zoom.available(&available, consumer),
            (true, None) => available.to_vec(),
        })
    }

    fn launch(
        &self,
        claimed: ClaimedJob,
        token: String,
        bots: &mut JoinSet<(Attempt, Fate)>,
        stop: &Stop,
    ) {
        let ClaimedJob { job, tenant, consumer, link, finalize } = claimed;
        let zoom = consumer.and_then(|consumer| self.zoom.order(&consumer));
        self.wakes.poke(job.id);
        self.outbox.notify_one();
        let now = self.clock.now().steady;
        self.metrics.attempts.launched(job.id, job.attempt, &job.platform, now);
        let scenario = create::scenario(&link, tenant.live);
        let order = BotOrder {
            job_id: job.id,
            epoch: job.attempt,
            token: Secret::new(token),
            orchestrator_url: self.url.clone(),
            link,
            meeting_url: job.meeting_url,
            external_id: job.external_id,
            display_name: job.display_name,
            auto_leave: job.auto_leave,
            record_video: job.record_video,
            joined_ms_ago: job.joined_at.map(|joined| {
                let ago = self.clock.now().wall.millis_since(joined);
                u64::try_from(ago).unwrap_or(0)
            }),
            zoom: zoom.map(|app| ZoomApp { video: job.record_video.unwrap_or(app.video), ..app }),
            sandbox: scenario.map(|scenario| {
                let (address, token) = self.sandbox.clone();
                SandboxSeat { address, scenario, token: Some(token) }
            }),
            browser: None,
            imitation: None,
            reach: Reach::clone(&self.meetings),
            stun_servers: self.stun_servers.clone(),
            folder: self.recordings.join(job.id.to_string()),
            most_bytes: self.most_bytes_per_job,
            heartbeat_ms: self.heartbeat_ms,
            finalize,
        };
        tracing::info!(job = %job.id, attempt = job.attempt, platform = %job.platform, "a bot is launched");
        let (launcher, stop) = (Arc::clone(&self.launcher), stop.clone());
        watch((job.id, job.attempt), async move { launcher.run(order, stop).await }, bots);
    }

    /// Waits for a bot that has outlived the server before.
    fn adopt(&self, job: &Job, bots: &mut JoinSet<(Attempt, Fate)>, stop: &Stop) {
        self.metrics.attempts.adopted(job.id, job.attempt, &job.platform);
        tracing::info!(job = %job.id, attempt = job.attempt, platform = %job.platform, "a bot is taken over");
        let (launcher, stop) = (Arc::clone(&self.launcher), stop.clone());
        let attempt = (job.id, job.attempt);
        let bot = async move { launcher.adopt(attempt.0, attempt.1, stop).await };
        watch(attempt, bot, bots);
    }

    /// A bot that went without having ended its job is a lost bot, and known to be so at once; unless it was told to. Answers it where the store
    /// did not take that.
    async fn take_back(&self, (job, epoch): Attempt, stop: &Stop) -> Option<Attempt> {
        let (told, now) = (stop.leave.is_cancelled(), self.store.now());
        let released = if told {
            self.store.hand_over(job, epoch, now).await
        } else {
            self.store.release(job, epoch, now).await
        };
        let unended = match released {
            Ok(unended) => unended,
            Err(error) => {
                tracing::warn!(%error, %job, "a lease was not released yet; it runs out in any case");
                return Some((job, epoch));
            }
        };
        self.metrics.attempts.ended(job, epoch, unended && !told);
        if unended {
            if told {
                tracing::info!(%job, attempt = epoch, "a job was handed over");
            } else {
                tracing::warn!(%job, attempt = epoch, "a bot was lost");
            }
            self.wakes.poke(job);
            self.outbox.notify_one();
        }
        None
    }

    /// How long until a job is due.
    async fn until_next(&self) -> Duration {
        let next = self.store.next_start().await.ok().flatten();
        pause_before(next, self.clock.now().wall)
    }
}

/// Waits for a bot in a task of its own, so that its panic ends here.
fn watch(
    attempt: Attempt,
    bot: impl Future<Output = Fate> + Send + 'static,
    bots: &mut JoinSet<(Attempt, Fate)>,
) {
    let span = tracing::error_span!("bot", job = %attempt.0, attempt = attempt.1);
    bots.spawn(async move {
        let ended = tokio::spawn(bot.instrument(span)).await;
        let fate = ended.unwrap_or_else(|error| {
            tracing::error!(job = %attempt.0, %error, "a bot crashed");
            Fate::Ended
        });
        (attempt, fate)
    });
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
    fn a_job_that_becomes_due_behind_a_claim_waits_for_no_poll() {
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
