//! Google Meet: its landmarks, and how its messages are read. Nothing of this is documented by Google: it is what public projects have found out.

pub(crate) mod compression;
pub(crate) mod protobuf;
pub(crate) mod wire;

/// What runs before the page where no video is wanted.
pub(crate) const WITHOUT_VIDEO: &str = include_str!("without_video.js");

/// The call whose answers hold the roster.
pub(crate) const CALL: &str = "SyncMeetingSpaceCollections";
