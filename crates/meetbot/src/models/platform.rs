//! Which platforms a server's bots can join.

use meetbot_types::{Platform, Via};
use serde::{Deserialize, Serialize};

use super::{objects, or_default};

/// One way into a platform's meetings. A platform may have several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformAvailability {
    /// The platform.
    pub platform: Platform,
    /// How bots get into its meetings; `None` where the server's version has no bot for it.
    pub via: Option<Via>,
    /// Whether a job for one of its meetings is taken. It follows from what the server's settings and its machine have, not from the bots that run at the moment.
    #[serde(default, deserialize_with = "or_default")]
    pub joinable: bool,
    /// Whether it may break with any change that the platform makes.
    #[serde(default, deserialize_with = "or_default")]
    pub experimental: bool,
    /// What the operator has to install or set; empty where it can be joined.
    #[serde(default, deserialize_with = "objects")]
    pub missing: Vec<MissingRequirement>,
}

/// Something that the bots of a server would need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingRequirement {
    /// A stable word for programs.
    pub code: Option<String>,
    /// What is missing and how an operator provides it, for people.
    pub message: Option<String>,
}
