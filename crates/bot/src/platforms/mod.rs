//! The platforms that a bot can join, a folder or file each.

pub(crate) mod janus;
mod sandbox;

use meetbot_types::{Platform, bot::BotOrder};

use self::{janus::JanusMeeting, sandbox::SandboxMeeting};
use crate::{
    meeting::{Lost, Meeting},
    run::Connect,
};

/// What a bot can join.
pub const PLATFORMS: &[Platform] = &[Platform::Sandbox, Platform::Janus];

/// Knocks at the order's meeting. An error is worth another try; a refusal comes as an event.
pub(crate) async fn join(order: &BotOrder, connect: &Connect) -> Result<Box<dyn Meeting>, Lost> {
    Ok(match (&order.sandbox, &order.link.platform) {
        // With a test key the sandbox plays the meetings of every platform.
        (Some(seat), _) => Box::new(SandboxMeeting::join(order, seat).await?),
        (None, Platform::Janus) => Box::new(JanusMeeting::join(order, connect).await?),
        (None, platform) => return Err(format!("no bot can join {platform} yet")),
    })
}
