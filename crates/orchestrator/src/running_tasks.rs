//! The mixes or uploads that are running, so that a recording is not removed while one of them uses it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use meetbot_types::JobId;
use tokio_util::sync::CancellationToken;

/// The running tasks, at most one for each job.
#[derive(Debug, Default)]
pub(crate) struct RunningTasks(Mutex<HashMap<JobId, Task>>);

#[derive(Debug, Clone)]
struct Task {
    stop: CancellationToken,
    ended: CancellationToken,
}

impl RunningTasks {
    /// Stops the task of this job, if one is running, and waits for its end. After that nothing writes into the recording.
    pub(crate) async fn end(&self, job: JobId) {
        let Some(Task { stop, ended }) = self.all().get(&job).cloned() else { return };
        stop.cancel();
        ended.cancelled().await;
    }

    /// Registers a task, until the returned value is dropped. The task has to end once `stop` is cancelled.
    pub(crate) fn begin(self: &Arc<Self>, job: JobId, stop: CancellationToken) -> RunningTask {
        let task = Task { stop, ended: CancellationToken::new() };
        self.all().insert(job, task.clone());
        RunningTask { job, task, all: Arc::clone(self) }
    }

    /// The jobs that have a running task.
    pub(crate) fn jobs(&self) -> HashSet<JobId> {
        self.all().keys().copied().collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<JobId, Task>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registration of a running task; removed when it is dropped.
#[derive(Debug)]
pub(crate) struct RunningTask {
    job: JobId,
    task: Task,
    all: Arc<RunningTasks>,
}

impl RunningTask {
    /// The job of the task.
    pub(crate) const fn job(&self) -> JobId {
        self.job
    }

    /// Cancelled when the task has to end.
    pub(crate) const fn stop(&self) -> &CancellationToken {
        &self.task.stop
    }
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        self.all.all().remove(&self.job);
        self.task.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::Timestamp;

    use super::*;

    #[tokio::test]
    async fn end_waits_until_the_task_has_ended() {
        let running_tasks = Arc::new(RunningTasks::default());
        let [job, other] = [(); 2].map(|()| JobId::generate(Timestamp::UNIX_EPOCH));
        running_tasks.end(job).await;
        let running = running_tasks.begin(job, CancellationToken::new());
        let stop = running.task.stop.clone();
        let mut ends = Box::pin(running_tasks.end(job));
        running_tasks.end(other).await;
        assert!(futures_util::poll!(&mut ends).is_pending() && stop.is_cancelled());
        drop(running);
        ends.await;
        assert!(running_tasks.jobs().is_empty());
    }
}
