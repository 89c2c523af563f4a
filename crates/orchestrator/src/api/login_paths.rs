//! The paths of the calls of `meetbot login`.

/// The prefix of all of them.
pub(super) const FOLDER: &str = "/api/v1/cli-auth/";
/// The route whose path contains a secret and must not be logged.
pub(super) const POLL: &str = "/api/v1/cli-auth/poll/{nonce}";
