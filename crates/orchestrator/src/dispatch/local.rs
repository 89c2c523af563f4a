//! The source of jobs for the worker inside a server: it reads the store directly.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use meetbot_types::{Labels, bot::BotOrder, work::Pool};
use tokio_util::sync::CancellationToken;

use super::{
    Attempt, Launcher,
    orders::{Orders, POLL, POOL_POLL},
    work::{JobSource, Room},
};

/// How often it is looked whether the bots have caught up.
const LOOK: Duration = Duration::from_secs(1);

/// Claims jobs directly from the server's store.
pub(crate) struct LocalJobs {
    pub(crate) orders: Arc<Orders>,
    pub(crate) launcher: Arc<dyn Launcher>,
    /// The labels of this server's own bots.
    pub(crate) labels: Labels,
}

impl LocalJobs {
    /// Waits until the bots read their media in time again.
    async fn catch_up(&self, drain: &CancellationToken) {
        tracing::warn!(
            "the bots read their media too late: no jobs are taken until they have read in time for 10 s"
        );
        while self.launcher.is_behind() {
            tokio::select! {
                () = drain.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        tracing::info!("the bots have caught up: jobs are taken again");
    }
}

#[async_trait]
impl JobSource for LocalJobs {
    /// One order, so that its bot starts before the next job is claimed: many claims take as many writes to the disk.
    async fn claim(&self, room: Room, drain: &CancellationToken) -> Vec<BotOrder> {
        let Self { orders, launcher, labels } = self;
        while !drain.is_cancelled() {
            if launcher.is_behind() {
                self.catch_up(drain).await;
                continue;
            }
            let one = Room { bots: 1, browsers: room.browsers.min(1) };
            let wait = match orders.due(one, None, &Pool::ALL, labels).await {
                // No new job ends this wait, since it may be one for a browser or for other labels, and the wake would be lost. The next claim may have room for a browser.
                Ok(due)
                    if due.is_empty()
                        && (room.browsers == 0 || !orders.are_all_for(labels).await) =>
                {
                    tokio::select! {
                        () = drain.cancelled() => {}
                        () = tokio::time::sleep(POOL_POLL) => {}
                    }
                    return due;
                }
                Ok(due) if due.is_empty() => orders.until_next().await,
                Ok(due) => {
                    let takes_last = |order: &BotOrder| {
                        room.bots == 1 || room.browsers == 1 && order.pool() == Pool::Browser
                    };
                    if due.iter().any(takes_last) {
                        orders.pass_on();
                    }
                    return due;
                }
                Err(error) => {
                    tracing::warn!(%error, "the queue cannot be read");
                    POLL
                }
            };
            tokio::select! {
                () = drain.cancelled() => {}
                () = orders.queue.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        Vec::new()
    }

    async fn end_attempt(&self, attempt: Attempt, handed_over: bool) -> bool {
        match self.orders.end_attempt(attempt, handed_over).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, job = %attempt.0, "a lease was not released yet; it runs out in any case");
                false
            }
        }
    }
}
