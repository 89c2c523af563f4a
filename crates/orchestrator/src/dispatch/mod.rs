//! Hands jobs that are due to bots, and takes them back from bots that are gone.

mod launcher;
mod orders;
mod own;
mod reaper;
mod work;

use meetbot_types::JobId;

pub use self::{
    launcher::{Fate, Launcher, Stop},
    work::{Desk, Work},
};
pub(crate) use self::{orders::Orders, own::Own, reaper::Reaper};

/// One of the bots of a job: its epoch.
pub type Attempt = (JobId, u32);
