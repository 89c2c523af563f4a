//! Compares the store with a model of it: random histories of actions are run on both, and their states must be equal after each action.

mod action;
mod bots;
mod clients;
mod job;
mod mixes;
mod outbox;
mod run;
mod senders;
mod state;

use std::ops::RangeInclusive;

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use self::{action::any_action, state::ModelTest};

/// Each seed gives the same histories on every machine; a failing one is shortened and printed.
const SEEDS: RangeInclusive<u8> = 0..=7;
const HISTORIES: u32 = 10;
const LONGEST: usize = 100;

/// The seeds, and how many histories each makes: `cargo xtask model SEED COUNT` sets both.
fn settings_from_environment() -> (RangeInclusive<u8>, u32) {
    let variable = |name: &str| std::env::var(name).ok();
    let seed = variable("MEETBOT_MODEL_SEED")
        .map(|seed| seed.parse().expect("MEETBOT_MODEL_SEED is a number from 0 to 255"));
    let count = variable("MEETBOT_MODEL_COUNT")
        .map(|count| count.parse().expect("MEETBOT_MODEL_COUNT is a number"));
    (seed.map_or(SEEDS, |seed| seed..=seed), count.unwrap_or(HISTORIES))
}

#[test]
fn the_store_equals_its_model_after_each_action_of_random_histories() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (seeds, histories) = settings_from_environment();
    for seed in seeds {
        let config = Config {
            cases: histories,
            failure_persistence: None,
            max_shrink_iters: 2_000,
            ..Config::default()
        };
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let mut runner = TestRunner::new_with_rng(config, random);
        let played = runner.run(&prop::collection::vec(any_action(), 1..LONGEST), |history| {
            runtime.block_on(async {
                let mut world = ModelTest::new().await;
                for action in history {
                    world.play(action).await;
                }
                world.run_to_completion().await;
            });
            Ok(())
        });
        if let Err(failure) = played {
            panic!("seed {seed}: {failure}");
        }
    }
}
