//! The mixes that a worker with a data folder of its own makes, of its own recordings and of those in the bucket.

use std::{env, sync::Arc, time::Duration};

use meetbot_orchestrator::{Launcher, Spool, make_on_worker};
use meetbot_types::work::{MixEnd, MixLease};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{servers::Servers, spool::Spooler, status::Status};

/// How often a worker with a free place asks for mixes.
const EVERY: Duration = Duration::from_secs(5);
/// The most reports of a mix's end. A lease runs out in any case.
const REPORTS: u32 = 3;

/// Makes mixes.
#[derive(Clone)]
pub(super) struct Mixer {
    pub(super) spooler: Spooler,
    pub(super) servers: Arc<Servers>,
    pub(super) launcher: Arc<dyn Launcher>,
    pub(super) status: Arc<Status>,
    /// How many at the same time.
    pub(super) at_once: usize,
}

/// How many mixes a worker with this setting makes at the same time: none where ffmpeg is not installed, so that another machine makes them.
pub(super) fn at_once(setting: usize) -> usize {
    let path = env::var_os("PATH").unwrap_or_default();
    if setting > 0 && !env::split_paths(&path).any(|folder| folder.join("ffmpeg").is_file()) {
        tracing::info!("ffmpeg is not installed: this worker makes no mixes");
        return 0;
    }
    setting
}

impl Mixer {
    /// Asks for mixes and makes them until `drain`. Those that are not done then are given back.
    pub(super) async fn run(self, drain: CancellationToken) {
        let mut making = JoinSet::new();
        while !drain.is_cancelled() {
            let room = self.at_once.saturating_sub(making.len());
            if room > 0 && !self.status.takes_no_jobs() {
                for mix in self.servers.mixes(room, self.spooler.kept()).await {
                    let (mixer, stop) = (self.clone(), drain.child_token());
                    making.spawn(async move { mixer.make(&mix, &stop).await });
                }
            }
            tokio::select! {
                () = drain.cancelled() => {}
                Some(ended) = making.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a mix crashed");
                    }
                }
                () = self.spooler.next_kept() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        while making.join_next().await.is_some() {}
    }

    /// Makes a mix while its lease is renewed, and reports what became of it.
    async fn make(&self, mix: &MixLease, stop: &CancellationToken) {
        let job = mix.job_id;
        let (_files, _counted) = (self.spooler.mixes(job), self.status.begin_mix());
        tracing::info!(%job, "a mix was given to this worker");
        let (spool, attempt) = (self.spooler.spool(), mix.attempt.as_str());
        let made = make_on_worker(spool, self.launcher.as_ref(), (job, attempt), stop);
        let made = tokio::select! {
            made = made => made,
            () = self.renew(mix, stop) => Ok(None),
        };
        let end = match made {
            Ok(Some(_)) => MixEnd::Published,
            Ok(None) => MixEnd::Returned,
            Err(error) => {
                tracing::error!(%job, %error, "a mix cannot be made now");
                MixEnd::Failed
            }
        };
        self.status.mixed(end);
        for tries in 1..=REPORTS {
            if self.servers.end_mix(mix, end).await {
                break;
            }
            tokio::time::sleep(Spool::pause(tries)).await;
        }
    }

    /// Renews the lease of a mix, and stops the mix if the servers say so. Never returns: a mix that is stopped ends by itself. One whose lease runs out goes on, since it harms nothing.
    async fn renew(&self, mix: &MixLease, stop: &CancellationToken) {
        let every = Duration::from_millis(mix.renew_ms);
        loop {
            tokio::time::sleep(every).await;
            if self.servers.renew_mix(mix).await == Some(false) {
                tracing::info!(job = %mix.job_id, "a mix is not to be made any more");
                stop.cancel();
                return std::future::pending().await;
            }
        }
    }
}
