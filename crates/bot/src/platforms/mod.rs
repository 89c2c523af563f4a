//! The platforms that a bot can join, a file each.

pub(crate) mod sandbox;

use meetbot_types::Platform;

/// What a bot can join.
pub const PLATFORMS: &[Platform] = &[Platform::Sandbox];
