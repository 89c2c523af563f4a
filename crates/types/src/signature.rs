//! Webhook signatures: made by the server, checked by the SDKs. Both schemes, one secret.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{
    Timestamp,
    pasted::{InvalidCharacter, trimmed},
};

/// The prefix of every webhook secret.
pub const SECRET_PREFIX: &str = "whsec_";

/// The header of [`sign`].
pub const SIGNATURE_HEADER: &str = "X-Meetbot-Signature";

/// Why a text cannot be a webhook secret. It shows nothing of the text but a character that no secret has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing, or white space.
    #[error("the webhook secret is empty: is the variable or the file that should hold it there?")]
    Empty,
    /// It holds a character that no secret has.
    #[error(
        "the webhook secret holds {0}, which no secret has and which may not show: remove it, or copy the secret again"
    )]
    Stranger(InvalidCharacter),
    /// It begins otherwise than with `whsec_`.
    #[error("the webhook secret does not begin with whsec_: is it an API key, or in quotes?")]
    Prefix,
    /// What follows `whsec_` is not the base64 of at least one byte.
    #[error(
        "what follows whsec_ in the webhook secret is not base64: was it copied whole, and is it a single secret?"
    )]
    Base64,
}

/// A secret as its two schemes use it.
struct Keys<'secret> {
    /// Without what a file or a variable adds at its ends.
    whole: &'secret str,
    /// What the base64 stands for.
    standard: Vec<u8>,
}

fn keys(secret: &str) -> Result<Keys<'_>, SecretError> {
    let whole = trimmed(secret);
    if whole.is_empty() {
        return Err(SecretError::Empty);
    }
    if let Some(invalid) = InvalidCharacter::within(whole) {
        return Err(SecretError::Stranger(invalid));
    }
    let digits = whole.strip_prefix(SECRET_PREFIX).ok_or(SecretError::Prefix)?;
    let standard = STANDARD.decode(digits).map_err(|_| SecretError::Base64)?;
    if standard.is_empty() { Err(SecretError::Base64) } else { Ok(Keys { whole, standard }) }
}

/// Whether this can be a webhook secret: `whsec_` and the base64 of at least one byte, with or without white space and a byte order mark at its ends.
pub fn check_secret(secret: &str) -> Result<(), SecretError> {
    keys(secret).map(drop)
}

/// A new webhook secret: `whsec_` and the base64 of 32 random bytes.
///
/// # Panics
/// When the operating system has no randomness to give.
pub fn generate_secret() -> String {
    let mut random = [0; 32];
    getrandom::fill(&mut random).expect("the operating system gives randomness");
    format!("{SECRET_PREFIX}{}", STANDARD.encode(random))
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

/// The value of `X-Meetbot-Signature`: `sha256=` and the hex HMAC-SHA256 of the raw body.
///
/// The key is the whole secret string, its `whsec_` included, without white space and a byte order mark at its ends. A text that cannot be a secret signs too;
/// [`verify`] refuses it.
pub fn sign(body: &[u8], secret: &str) -> String {
    format!("sha256={}", hex(&hmac(trimmed(secret).as_bytes(), &[body]).finalize().into_bytes()))
}

/// The HMAC-SHA256 of these bytes, in hex.
pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> String {
    hex(&hmac(key, &[bytes]).finalize().into_bytes())
}

/// The SHA-256 of these bytes, in hex, as manifests have it.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex(&Sha256::digest(bytes))
}

/// An incremental SHA-256, for data that is too large for memory.
#[derive(Debug, Clone, Default)]
pub struct Digest(Sha256);

impl Digest {
    /// Takes the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    /// The SHA-256 of all that was taken, in hex.
    pub fn finish(self) -> String {
        hex(&sha2::Digest::finalize(self.0))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Whether `header` is the signature of exactly these bytes, in constant time.
///
/// False for a missing header or any other form than `sha256=<64 hex digits>`. An error for a text that cannot be a secret: no webhook would
/// ever be right.
pub fn verify(body: &[u8], header: Option<&str>, secret: &str) -> Result<bool, SecretError> {
    let key = keys(secret)?.whole;
    let signature =
        header.and_then(|header| header.trim().strip_prefix("sha256=")).and_then(decode_hex);
    Ok(signature
        .is_some_and(|signature| hmac(key.as_bytes(), &[body]).verify_slice(&signature).is_ok()))
}

fn decode_hex(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

/// One signature of the `webhook-signature` header of Standard Webhooks: `v1,` and the base64 HMAC-SHA256 of
/// `<id>.<timestamp in seconds>.<body>`, keyed with the bytes whose base64 follows `whsec_`.
pub fn sign_standard(
    id: &str,
    sent_at: Timestamp,
    body: &[u8],
    secret: &str,
) -> Result<String, SecretError> {
    let seconds = sent_at.as_seconds().to_string();
    let key = keys(secret)?.standard;
    let mac = hmac(&key, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body]);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Whether one of the signatures in a `webhook-signature` header is right for this id, timestamp and body.
///
/// Only the signature: the caller bounds the age of `timestamp` (seconds, as in the header `webhook-timestamp`).
pub fn verify_standard(
    id: &str,
    timestamp: &str,
    body: &[u8],
    header: &str,
    secret: &str,
) -> Result<bool, SecretError> {
    let key = keys(secret)?.standard;
    Ok(header.split_ascii_whitespace().any(|signature| {
        signature.strip_prefix("v1,").and_then(|base64| STANDARD.decode(base64).ok()).is_some_and(
            |signature| {
                hmac(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])
                    .verify_slice(&signature)
                    .is_ok()
            },
        )
    }))
}
