//! Google Meet: its landmarks, and the readers of its messages. Google documents none of this; it is based on the findings of public projects.

pub(crate) mod captions;
pub(crate) mod compression;
pub(crate) mod fields;
pub(crate) mod layout;
pub(crate) mod protobuf;
pub(crate) mod wire;

/// The script that runs before the page if video is not recorded.
pub(crate) const WITHOUT_VIDEO: &str = include_str!("without_video.js");

/// The RPC whose answers contain the roster.
pub(crate) const CALL: &str = "SyncMeetingSpaceCollections";
