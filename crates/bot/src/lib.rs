//! One task, one meeting: joins, records, decides when to leave, reports.

mod attend;
#[cfg(feature = "bench")]
pub mod bench;
mod bounds;
mod brain;
mod clock;
mod commands;
mod media;
mod meeting;
mod notetakers;
mod platforms;
mod recording;
mod refusal;
mod reporter;
mod run;
mod unsaid;

pub use self::{
    platforms::PLATFORMS,
    recording::mix::mix,
    run::{Connect, run},
};

/// What `fuzz/` feeds.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::{platforms::janus::outside::*, recording::outside::*};
}
