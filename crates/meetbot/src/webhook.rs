//! Webhooks: whether they are the server's, and what they say.

use std::time::Duration;

use meetbot_types::{Timestamp, signature};

use crate::{clock, error::shown, models};

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

/// How old a webhook may be, and how far ahead its clock: five minutes, as the verifiers of Standard Webhooks have it.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// Why a webhook was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnwrapError {
    /// The signature is missing or not made with any of the secrets: answer 401.
    #[error(
        "the signature is not made with this secret: another secret, another body (parsed and printed again?), or not from the server"
    )]
    Signature,
    /// It is signed, but was sent longer ago or further ahead than is allowed, or at no time: answer 401.
    #[error("it was sent more than {} s ago or ahead: is the clock right?", tolerance.as_secs())]
    Age {
        /// How old it may be.
        tolerance: Duration,
    },
    /// Nothing in it says when it was sent, and its age matters: answer 401.
    #[error(
        "nothing in it says when it was sent; with a tolerance of None its age does not matter"
    )]
    Undated,
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

/// Verifies a webhook and reads it.
///
/// It goes by the headers of Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`), which sign the time too. `X-Meetbot-Signature` signs none:
/// it is accepted only where the age does not matter: an attacker who replays an old webhook could leave the other headers out.
///
/// - `headers`: the request's headers, in any spelling of their names: a `&HeaderMap`, or pairs of texts.
/// - `secrets`: the webhook secret; during a rotation the old one and the new one, and any of them will do.
/// - `tolerance`: how old the webhook may be, and how far ahead its clock; [`TOLERANCE`] unless there is a reason. With `None` its age does not matter.
///
/// ```
/// use meetbot::webhook::{TOLERANCE, UnwrapError, unwrap};
///
/// let headers = [("webhook-id", "dlv_1"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,x")];
/// let refused = unwrap(b"{}", headers, &["whsec_bmV3", "whsec_b2xk"], Some(TOLERANCE));
/// assert!(matches!(refused, Err(UnwrapError::Signature)));
/// ```
pub fn unwrap(
    body: &[u8],
    headers: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<[u8]>)>,
    secrets: &[&str],
    tolerance: Option<Duration>,
) -> Result<WebhookEvent, UnwrapError> {
    judge(body, headers, secrets, tolerance, clock::wall())?;
    models::plain(body).map_err(|source| UnwrapError::Body {
        body: String::from_utf8_lossy(body).into_owned(),
        source,
    })
}

/// The headers that tell whose a webhook is.
#[derive(Default)]
struct Signed {
    meetbot: Option<String>,
    standard: Option<String>,
    id: String,
    timestamp: String,
}

impl Signed {
    fn read(headers: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<[u8]>)>) -> Self {
        let mut signed = Self::default();
        for (name, value) in headers {
            let value = || String::from_utf8_lossy(value.as_ref()).into_owned();
            match name.as_ref().to_ascii_lowercase().as_str() {
                "x-meetbot-signature" => signed.meetbot = Some(value()),
                "webhook-signature" => signed.standard = Some(value()),
                "webhook-id" => signed.id = value(),
                "webhook-timestamp" => signed.timestamp = value(),
                _ => {}
            }
        }
        signed
    }
}

/// Checks whether a webhook is valid.
pub(crate) fn judge(
    body: &[u8],
    headers: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<[u8]>)>,
    secrets: &[&str],
    tolerance: Option<Duration>,
    now: Timestamp,
) -> Result<(), UnwrapError> {
    if secrets.is_empty() {
        return Err(SecretError::Empty.into());
    }
    let signed = Signed::read(headers);
    // All are tried, so that the time taken does not tell which one fits.
    let mut fits = false;
    for secret in secrets {
        fits |= match &signed.standard {
            Some(header) => verify_standard(&signed.id, &signed.timestamp, body, header, secret)?,
            None => signature::verify(body, signed.meetbot.as_deref(), secret)?,
        };
    }
    match (&signed.standard, tolerance) {
        (None, Some(_)) => Err(UnwrapError::Undated),
        _ if !fits => Err(UnwrapError::Signature),
        (Some(_), Some(tolerance)) => {
            let sent = signed.timestamp.parse::<i64>().ok();
            let age = sent.map(|sent| now.as_millis().abs_diff(sent.saturating_mul(1000)));
            if age.is_some_and(|age| u128::from(age) <= tolerance.as_millis()) {
                Ok(())
            } else {
                Err(UnwrapError::Age { tolerance })
            }
        }
        (_, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_secret_is_a_separate_error() {
        let header = sign(b"{}", "whsec_dGVzdA==");
        let headers = [(SIGNATURE_HEADER, header)];
        let taken = |secrets: &[&str]| match unwrap(b"{}", headers.clone(), secrets, None) {
            Err(UnwrapError::Body { .. }) => "signed",
            Err(UnwrapError::Signature) => "not signed",
            Err(UnwrapError::Secret(_)) => "no secret",
            other => panic!("{other:?}"),
        };
        assert_eq!(taken(&["whsec_dGVzdA==\n"]), "signed");
        assert_eq!(taken(&["whsec_b3RoZXI=", " whsec_dGVzdA=="]), "signed");
        assert_eq!(taken(&["whsec_b3RoZXI="]), "not signed");
        for secrets in [&[][..], &[""], &["whsec_dGVzdA==", ""], &["mb_test_x"], &["whsec_x"]] {
            assert_eq!(taken(secrets), "no secret", "{secrets:?}");
        }
    }

    #[test]
    fn headers_are_accepted_in_the_forms_of_frameworks() {
        let (body, secret) = (b"{}", "whsec_dGVzdA==");
        let now = clock::wall();
        let mut headers = http::HeaderMap::new();
        headers.insert("webhook-id", "dlv_1".parse().unwrap());
        headers.insert("webhook-timestamp", now.as_seconds().into());
        let signature = sign_standard("dlv_1", now, body, secret).unwrap();
        headers.insert("webhook-signature", signature.parse().unwrap());
        let signed = unwrap(body, &headers, &[secret], Some(TOLERANCE));
        assert!(matches!(signed, Err(UnwrapError::Body { .. })), "{signed:?}");
        // A signature that is not text is invalid.
        headers.insert("webhook-id", http::HeaderValue::from_bytes(b"dlv_\xff").unwrap());
        let refused = unwrap(body, &headers, &[secret], Some(TOLERANCE));
        assert!(matches!(refused, Err(UnwrapError::Signature)), "{refused:?}");
    }
}
