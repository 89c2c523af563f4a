//! The store against a model of it: whatever happens in whatever order, it does what the model does and keeps its promises.

mod act;
mod bots;
mod clients;
mod job;
mod mixes;
mod outbox;
mod senders;
mod state;
mod world;

use std::ops::RangeInclusive;

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use self::{act::act, state::World};

/// Each seed makes the same histories on every machine; one that fails is made as short as it goes, and printed.
const SEEDS: RangeInclusive<u8> = 0..=7;
const HISTORIES: u32 = 10;
const LONGEST: usize = 100;

/// The seeds, and how many histories each makes: `cargo xtask model SEED COUNT` sets both.
fn wanted() -> (RangeInclusive<u8>, u32) {
    let variable = |name: &str| std::env::var(name).ok();
    let seed = variable("MEETBOT_MODEL_SEED")
        .map(|seed| seed.parse().expect("MEETBOT_MODEL_SEED is a number from 0 to 255"));
    let count = variable("MEETBOT_MODEL_COUNT")
        .map(|count| count.parse().expect("MEETBOT_MODEL_COUNT is a number"));
    (seed.map_or(SEEDS, |seed| seed..=seed), count.unwrap_or(HISTORIES))
}

#[test]
fn the_store_does_what_its_model_does_in_any_history() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (seeds, histories) = wanted();
    for seed in seeds {
        let config = Config {
            cases: histories,
            failure_persistence: None,
            max_shrink_iters: 2_000,
            ..Config::default()
        };
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let mut runner = TestRunner::new_with_rng(config, random);
        let played = runner.run(&prop::collection::vec(act(), 1..LONGEST), |history| {
            runtime.block_on(async {
                let mut world = World::new().await;
                for act in history {
                    world.play(act).await;
                }
                world.come_to_rest().await;
            });
            Ok(())
        });
        if let Err(failure) = played {
            panic!("seed {seed}: {failure}");
        }
    }
}
