//! What becomes of the mixes of jobs that have ended.

use meetbot_types::manifest::File;

use super::{
    act::Mixed,
    job::{ModelJob, WaitingMix},
    world::{ALL, World, ms},
};
use crate::store::Store as _;

impl World {
    pub(super) async fn mix(&mut self, job: usize, mixed: Mixed) {
        let (store, now) = (self.store.clone(), self.now);
        let model = &mut self.jobs[job];
        let waits = model.mix.is_some();
        match mixed {
            Mixed::Made | Mixed::Unavailable => {
                let file = matches!(mixed, Mixed::Made).then(|| File {
                    name: "audio.mixed.webm".into(),
                    media_type: "audio/webm".into(),
                    bytes: 1,
                    sha256: String::new(),
                });
                let ended = store.end_mix(model.id, file, now).await.unwrap();
                assert_eq!(ended, waits);
                model.end_mix(matches!(mixed, Mixed::Made));
            }
            Mixed::PutOff => {
                let next = store.put_off_mix(model.id, now).await.unwrap();
                assert_eq!(next.map(ms), model.put_off_mix(now));
            }
            Mixed::Dropped => {
                store.drop_mixes(vec![model.id]).await.unwrap();
                model.mix = None;
            }
        }
        self.compare(job).await;
    }

    /// Holds the mixes that wait against the model.
    pub(super) async fn compare_mixes(&self) {
        let waits = |job: &ModelJob| job.mix.map(|WaitingMix { due_at, .. }| (due_at, job.id));
        let mut expected: Vec<_> = self.jobs.iter().filter_map(waits).collect();
        expected.sort_unstable();
        let (due, later): (Vec<_>, Vec<_>) =
            expected.into_iter().partition(|(due_at, _)| *due_at <= ms(self.now.wall));
        let waiting = self.store.waiting_mixes(ALL, self.now).await.unwrap();
        assert_eq!(waiting.due, due.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
        assert_eq!(waiting.next.map(ms), later.first().map(|(due_at, _)| *due_at));
    }
}
