//! Webhooks: whether they are the server's, and what they say.

use meetbot_types::signature;

use crate::{error::shown, models};

pub use crate::models::{ChatMessage, EventData, EventDetails, Participant, WebhookEvent};
pub use meetbot_types::{
    EventName,
    signature::{
        SIGNATURE_HEADER, SecretError, check_secret, sign, sign_standard, verify_standard,
    },
};

/// Whether `header` (the value of `X-Meetbot-Signature`) is the signature of exactly these bytes with this secret.
///
/// In constant time. `false` for a missing header or any other form than `sha256=` and 64 hex digits. Give it the raw body: a body that was
/// parsed and printed again is another one. White space at the ends of the secret, as files have it, is passed over.
///
/// Fails for a text that cannot be a secret (empty, without `whsec_`, not base64): with it every webhook would be refused.
///
/// ```
/// use meetbot::{verify_webhook_signature, webhook::SecretError};
///
/// # fn main() -> Result<(), SecretError> {
/// let header = "sha256=00850923c6e3021c39db699664a5fbda4d62d6fb12a06566cda33074bfac21b1";
/// assert!(verify_webhook_signature(b"{}", Some(header), "whsec_dGVzdA==\n")?);
/// assert!(!verify_webhook_signature(b"{ }", Some(header), "whsec_dGVzdA==")?);
/// assert!(!verify_webhook_signature(b"{}", None, "whsec_dGVzdA==")?);
/// assert_eq!(verify_webhook_signature(b"{}", Some(header), ""), Err(SecretError::Empty));
/// # Ok(())
/// # }
/// ```
pub fn verify_webhook_signature(
    body: &[u8],
    header: Option<&str>,
    secret: &str,
) -> Result<bool, SecretError> {
    signature::verify(body, header, secret)
}

/// Why a webhook was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnwrapError {
    /// The signature is missing or not made with any of the secrets: answer 401.
    #[error(
        "the signature is not made with this secret: another secret, another body (parsed and printed again?), or not from the server"
    )]
    Signature,
    /// The body is signed but cannot be read: the server is newer than this version. Answer 2xx, or it is sent again.
    #[error(
        "the body is signed but is no event that this version can read: {source}: {}",
        shown(body)
    )]
    Body {
        /// The body as it came.
        body: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// One of the secrets cannot be any, or there is none: a fault of the receiver's configuration, whatever the webhook. Answer 500.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Verifies a webhook and reads it. During a rotation of the secret give the old one and the new one; any of them will do.
///
/// ```
/// use meetbot::webhook::{UnwrapError, unwrap};
///
/// let refused = unwrap(b"{}", Some("sha256=00"), &["whsec_bmV3", "whsec_b2xk"]);
/// assert!(matches!(refused, Err(UnwrapError::Signature)));
/// ```
pub fn unwrap(
    body: &[u8],
    header: Option<&str>,
    secrets: &[&str],
) -> Result<WebhookEvent, UnwrapError> {
    if secrets.is_empty() {
        return Err(SecretError::Empty.into());
    }
    // All are tried, so that the time taken does not tell which one fits.
    let mut fits = false;
    for secret in secrets {
        fits |= signature::verify(body, header, secret)?;
    }
    if !fits {
        return Err(UnwrapError::Signature);
    }
    models::plain(body).map_err(|source| UnwrapError::Body {
        body: String::from_utf8_lossy(body).into_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_cannot_be_one_is_no_wrong_signature() {
        let header = sign(b"{}", "whsec_dGVzdA==");
        let taken = |secrets: &[&str]| match unwrap(b"{}", Some(&header), secrets) {
            Err(UnwrapError::Body { .. }) => "signed",
            Err(UnwrapError::Signature) => "not signed",
            Err(UnwrapError::Secret(_)) => "no secret",
            Ok(_) => "an event",
        };
        assert_eq!(taken(&["whsec_dGVzdA==\n"]), "signed");
        assert_eq!(taken(&["whsec_b3RoZXI=", " whsec_dGVzdA=="]), "signed");
        assert_eq!(taken(&["whsec_b3RoZXI="]), "not signed");
        for secrets in [&[][..], &[""], &["whsec_dGVzdA==", ""], &["mb_test_x"], &["whsec_x"]] {
            assert_eq!(taken(secrets), "no secret", "{secrets:?}");
        }
    }
}
