//! The mixes or uploads that are running, so that a recording is not removed while one of them uses it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use meetbot_types::JobId;
use tokio_util::sync::CancellationToken;

/// The running tasks, at most one for each job.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<HashMap<JobId, Making>>);

#[derive(Debug, Clone)]
struct Making {
    stop: CancellationToken,
    ended: CancellationToken,
}

impl UnderWay {
    /// Stops the task of this job, if one is running, and waits for its end. After that nothing writes into the recording.
    pub(crate) async fn end(&self, job: JobId) {
        let Some(Making { stop, ended }) = self.all().get(&job).cloned() else { return };
        stop.cancel();
        ended.cancelled().await;
    }

    /// Registers a task, until the returned value is dropped. The task has to end once `stop` is cancelled.
    pub(crate) fn begin(self: &Arc<Self>, job: JobId, stop: CancellationToken) -> Place {
        let making = Making { stop, ended: CancellationToken::new() };
        self.all().insert(job, making.clone());
        Place { job, making, all: Arc::clone(self) }
    }

    /// The jobs that have a running task.
    pub(crate) fn jobs(&self) -> HashSet<JobId> {
        self.all().keys().copied().collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<JobId, Making>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registration of a running task; removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    job: JobId,
    making: Making,
    all: Arc<UnderWay>,
}

impl Place {
    /// The job of the task.
    pub(crate) const fn job(&self) -> JobId {
        self.job
    }

    /// Cancelled when the task has to end.
    pub(crate) const fn stop(&self) -> &CancellationToken {
        &self.making.stop
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.all().remove(&self.job);
        self.making.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::Timestamp;

    use super::*;

    #[tokio::test]
    async fn end_waits_until_the_task_has_ended() {
        let under_way = Arc::new(UnderWay::default());
        let [job, other] = [(); 2].map(|()| JobId::generate(Timestamp::UNIX_EPOCH));
        under_way.end(job).await;
        let place = under_way.begin(job, CancellationToken::new());
        let stop = place.making.stop.clone();
        let mut ends = Box::pin(under_way.end(job));
        under_way.end(other).await;
        assert!(futures_util::poll!(&mut ends).is_pending() && stop.is_cancelled());
        drop(place);
        ends.await;
        assert!(under_way.jobs().is_empty());
    }
}
