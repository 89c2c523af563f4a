//! The other servers on this server's database: notifies them of what changes here, and wakes the tasks here that wait for what changes there.

use std::{collections::HashMap, sync::Arc, time::Duration};

use meetbot_types::JobId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    change_notifier::{ChangeNotifier, Changed},
    metrics::Metrics,
    store::{Heard, JobStore as _, PostgresStore, ServerStore as _, Store as _},
};

/// How long changes are gathered: a notification for each would hold up the commits of all.
const GATHER: Duration = Duration::from_millis(5);
/// How often to look for changes whose notification was lost, and how long to wait before listening again.
const LOOK: Duration = Duration::from_secs(1);
/// How often to look while no notifications arrive: a control call needs a look for its command, and its caller's own for the result, within a second in all.
const LOOK_UNNOTIFIED: Duration = Duration::from_millis(300);
/// How many jobs a notification names: it may have 8,000 bytes.
const JOBS_AT_ONCE: usize = 200;
/// The word for bots that have joined rooms.
const ROOMS: &str = "rooms";

/// What connects this server with the others.
pub(crate) struct OtherServers {
    pub(crate) database: PostgresStore,
    pub(crate) changes: Arc<ChangeNotifier>,
    /// Wakes one of the tasks that wait for jobs to run.
    pub(crate) queue: Arc<Notify>,
    pub(crate) metrics: Arc<Metrics>,
    /// Notified when notifications no longer arrive.
    pub(crate) unnotified: Notify,
}

impl OtherServers {
    /// Runs until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let all = async { tokio::join!(self.send(), self.listen(), self.look()) };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = all => {}
        }
    }

    async fn send(&self) {
        loop {
            self.changes.has_changed().await;
            tokio::time::sleep(GATHER).await;
            let changed = self.changes.changed();
            if !self.database.has_others() {
                continue;
            }
            for notice in notices(&changed) {
                if let Err(error) = self.database.send_notice(&notice).await {
                    tracing::debug!(%error, "other servers see a change a second later");
                }
            }
        }
    }

    async fn listen(&self) {
        loop {
            let Err(error) = self.database.listen(|heard| self.hear(&heard)).await;
            self.metrics.notified(false);
            self.unnotified.notify_one();
            tracing::warn!(%error, "this server is not notified of what other servers change; it looks for changes");
            tokio::time::sleep(LOOK).await;
        }
    }

    fn hear(&self, heard: &Heard) {
        match heard {
            Heard::Began => {
                self.metrics.notified(true);
                self.changes.notify_all_here();
            }
            Heard::Notice(notice) => {
                let Changed { jobs, rooms } = read(notice);
                for job in jobs {
                    self.changes.notify_job_here(job);
                }
                if rooms {
                    self.changes.notify_rooms_here();
                }
            }
        }
        self.queue.notify_one();
    }

    /// One query for all tasks that wait here, each [`LOOK`] or [`LOOK_UNNOTIFIED`].
    async fn look(&self) {
        let mut seen = HashMap::new();
        loop {
            let is_notified = self.database.is_notified();
            tokio::select! {
                () = tokio::time::sleep(if is_notified { LOOK } else { LOOK_UNNOTIFIED }) => {}
                () = self.unnotified.notified() => {}
            }
            if !self.database.has_others() {
                seen.clear();
                continue;
            }
            match self.database.marks(self.changes.watched()).await {
                Ok(marks) => {
                    for job in differing(&seen, &marks) {
                        self.changes.notify_job_here(job);
                    }
                    seen = marks;
                }
                Err(error) => tracing::debug!(%error, "the jobs that are watched cannot be read"),
            }
            let is_due = |next| next <= self.database.now().wall;
            if self.database.next_start().await.is_ok_and(|next| next.is_some_and(is_due)) {
                self.queue.notify_one();
            }
            if !self.database.is_notified() {
                self.changes.notify_feeds_here();
                self.changes.notify_rooms_here();
            }
        }
    }
}

/// The jobs that are new, changed or gone. New ones too: they may have changed between the first read of who waits for them and the first mark.
fn differing(before: &HashMap<JobId, String>, now: &HashMap<JobId, String>) -> Vec<JobId> {
    let changed = now.iter().filter(|(job, mark)| before.get(job) != Some(mark));
    let gone = before.keys().filter(|job| !now.contains_key(job));
    changed.map(|(job, _)| *job).chain(gone.copied()).collect()
}

/// The notifications of a change: names of jobs, and [`ROOMS`].
fn notices(Changed { jobs, rooms }: &Changed) -> Vec<String> {
    let mut words: Vec<String> = jobs.iter().map(ToString::to_string).collect();
    words.extend(rooms.then(|| ROOMS.to_owned()));
    words.chunks(JOBS_AT_ONCE).map(|words| words.join(" ")).collect()
}

/// What a notification says. Words of a newer program are ignored.
fn read(notice: &str) -> Changed {
    let mut changed = Changed::default();
    for word in notice.split(' ') {
        match word.parse() {
            Ok(job) => {
                changed.jobs.insert(job);
            }
            Err(_) => changed.rooms |= word == ROOMS,
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use meetbot_types::Timestamp;

    use super::*;

    fn jobs(count: usize) -> Vec<JobId> {
        (0..count).map(|_| JobId::generate(Timestamp::UNIX_EPOCH)).collect()
    }

    #[test]
    fn notifications_are_read_as_they_were_sent_and_are_short_enough() {
        let changed = Changed { jobs: jobs(2 * JOBS_AT_ONCE).into_iter().collect(), rooms: true };
        let notices = notices(&changed);
        assert_eq!(notices.len(), 3);
        assert!(notices.iter().all(|notice| notice.len() < 7_900));
        let mut all = Changed::default();
        for notice in &notices {
            let Changed { jobs, rooms } = read(notice);
            all.jobs.extend(jobs);
            all.rooms |= rooms;
        }
        assert_eq!(all, changed);
        assert_eq!(read("what a newer program says"), Changed::default());
    }

    #[test]
    fn a_look_finds_jobs_that_are_new_changed_or_gone() {
        let [same, changed, new, gone] = jobs(4).try_into().unwrap();
        let marks = |marks: &[(JobId, &str)]| -> HashMap<JobId, String> {
            marks.iter().map(|(job, mark)| (*job, (*mark).to_owned())).collect()
        };
        let before = marks(&[(same, "1"), (changed, "1"), (gone, "1")]);
        let mut found = differing(&before, &marks(&[(same, "1"), (changed, "2"), (new, "1")]));
        found.sort_unstable();
        let mut expected = vec![changed, new, gone];
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
