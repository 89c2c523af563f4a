//! The mixes of jobs that have ended.

use std::collections::HashMap;

use meetbot_types::manifest::File;

use super::{
    action::MixResult,
    job::{ModelJob, WaitingMix},
    state::{ALL, ModelTest, ms},
};
use crate::jobs::derive;

impl ModelTest {
    pub(super) async fn mix(&mut self, job: usize, mix_result: MixResult) {
        let (store, now) = (self.store.clone(), self.now);
        let model = &mut self.jobs[job];
        let lease_end = derive::lease_end(now);
        let (before, mut takes_turn) = (model.mix, model.mix.is_some_and(|mix| !mix.leased));
        match mix_result {
            MixResult::Made | MixResult::Unavailable => {
                let file = matches!(mix_result, MixResult::Made).then(|| File {
                    name: "audio.mixed.webm".into(),
                    media_type: "audio/webm".into(),
                    bytes: 1,
                    sha256: String::new(),
                });
                // Sometimes they cannot be counted.
                let bytes = matches!(mix_result, MixResult::Made).then_some(700);
                let ended = store.end_mix(model.id, file, bytes, now).await.unwrap();
                assert_eq!(ended, before.is_some());
                model.end_mix(matches!(mix_result, MixResult::Made), bytes);
            }
            MixResult::Postponed => {
                let next = store.put_off_mix(model.id, None, now).await.unwrap();
                assert_eq!(next.map(ms), model.put_off_mix(now));
            }
            MixResult::Leased => {
                takes_turn = before.is_some_and(|mix| mix.due_at <= ms(now.wall));
                let leased = store.lease_mix(model.id, "one".to_owned(), now).await.unwrap();
                assert_eq!(leased, takes_turn);
                if let Some(mix) = model.mix.as_mut().filter(|_| leased) {
                    (mix.due_at, mix.leased) = (ms(lease_end), true);
                }
            }
            MixResult::Held => {
                takes_turn = false;
                let held = store.hold_mix(model.id, "one".to_owned(), lease_end).await.unwrap();
                assert_eq!(held, before.is_some_and(|mix| mix.leased));
                if let Some(mix) = model.mix.as_mut().filter(|_| held) {
                    mix.due_at = ms(lease_end);
                }
            }
            MixResult::LatePostponed => {
                takes_turn = false;
                let late = Some("other".to_owned());
                assert_eq!(store.put_off_mix(model.id, late, now).await.unwrap(), None);
            }
            MixResult::Dropped => {
                takes_turn = false;
                store.drop_mixes(vec![model.id]).await.unwrap();
                model.mix = None;
            }
        }
        if takes_turn {
            let tenant = self.jobs[job].tenant;
            self.mix_turns.retain(|other| *other != tenant);
            self.mix_turns.push(tenant);
        }
        self.compare(job).await;
    }

    /// Holds the mixes that wait against the model.
    pub(super) async fn compare_mixes(&self) {
        let waits =
            |job: &ModelJob| job.mix.map(|mix: WaitingMix| (mix.due_at, job.id, job.tenant));
        let mut expected: Vec<_> = self.jobs.iter().filter_map(waits).collect();
        expected.sort_unstable_by_key(|(due_at, id, _)| (*due_at, *id));
        if self.paused {
            expected.clear();
        }
        let (due, later): (Vec<_>, Vec<_>) =
            expected.into_iter().partition(|(due_at, ..)| *due_at <= ms(self.now.wall));
        let mut places = HashMap::new();
        let mut in_turns: Vec<_> = due
            .into_iter()
            .map(|(due_at, id, tenant)| {
                let place = places.entry(tenant).and_modify(|place| *place += 1).or_insert(0);
                let turn = self.mix_turns.iter().position(|other| *other == tenant);
                (*place, turn, due_at, id)
            })
            .collect();
        in_turns.sort_unstable();
        let waiting = self.store.waiting_mixes(ALL, self.now).await.unwrap();
        let due: Vec<_> = waiting.due.iter().map(|mix| mix.job).collect();
        assert_eq!(due, in_turns.into_iter().map(|(.., id)| id).collect::<Vec<_>>());
        assert_eq!(waiting.next.map(ms), later.first().map(|(due_at, ..)| *due_at));
    }
}
