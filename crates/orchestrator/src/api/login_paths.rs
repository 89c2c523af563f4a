//! Where the calls of `meetbot login` are.

/// The folder of them all.
pub(super) const FOLDER: &str = "/api/v1/cli-auth/";
/// The route whose path holds a secret, which no log shows.
pub(super) const POLL: &str = "/api/v1/cli-auth/poll/{nonce}";
