//! Starts bots for due jobs, and puts jobs of lost bots back into the queue.

mod launcher;
mod local;
mod orders;
mod reaper;
mod work;

use meetbot_types::JobId;

pub use self::{
    launcher::{BotExit, Launcher, Stop},
    work::{JobSource, Work},
};
pub(crate) use self::{local::LocalJobs, orders::Orders, reaper::Reaper};

/// One of the bots of a job: its epoch.
pub type Attempt = (JobId, u32);
