//! Starts bots for due jobs, and puts jobs of lost bots back into the queue.

mod launcher;
mod local;
mod orders;
mod reaper;
mod work;

use meetbot_types::JobId;

pub(crate) use self::{
    launcher::available_to,
    local::LocalJobs,
    orders::{Orders, POOL_POLL, with_room},
    reaper::Reaper,
};
pub use self::{
    launcher::{BotExit, Launcher, Stop},
    work::{JobSource, Room, Work},
};

/// One of the bots of a job: its epoch.
pub type Attempt = (JobId, u32);
