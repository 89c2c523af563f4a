//! Webhook signatures: made by the server, checked by the SDKs. Both schemes, one secret.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::Timestamp;

/// What every webhook secret begins with.
pub const SECRET_PREFIX: &str = "whsec_";

/// The header of [`sign`].
pub const SIGNATURE_HEADER: &str = "X-Meetbot-Signature";

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
/// The key is the whole secret string, its `whsec_` included.
pub fn sign(body: &[u8], secret: &str) -> String {
    format!("sha256={}", hex(&hmac(secret.as_bytes(), &[body]).finalize().into_bytes()))
}

/// The SHA-256 of these bytes, in hex, as manifests have it.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex(&Sha256::digest(bytes))
}

/// The same of what is too large to be held at once.
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
/// False for a missing header, an empty secret or any other form than `sha256=<64 hex digits>`.
pub fn verify(body: &[u8], header: Option<&str>, secret: &str) -> bool {
    let Some(hex) = header.and_then(|header| header.trim().strip_prefix("sha256=")) else {
        return false;
    };
    if secret.is_empty() {
        return false;
    }
    let Some(signature) = decode_hex(hex) else { return false };
    hmac(secret.as_bytes(), &[body]).verify_slice(&signature).is_ok()
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

/// The key of the Standard Webhooks scheme: the bytes behind `whsec_`.
fn standard_key(secret: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.strip_prefix(SECRET_PREFIX)?).ok().filter(|key| !key.is_empty())
}

/// One signature of the `webhook-signature` header of Standard Webhooks: `v1,` and the base64 HMAC-SHA256 of
/// `<id>.<timestamp in seconds>.<body>`.
///
/// `None` for a secret that is not `whsec_` and base64.
pub fn sign_standard(id: &str, sent_at: Timestamp, body: &[u8], secret: &str) -> Option<String> {
    let seconds = sent_at.as_seconds().to_string();
    let mac = hmac(&standard_key(secret)?, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body]);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Whether one of the signatures in a `webhook-signature` header is right for this id, timestamp and body.
///
/// Only the signature: whoever calls it bounds the age of `timestamp` (seconds, as in the header `webhook-timestamp`).
pub fn verify_standard(id: &str, timestamp: &str, body: &[u8], header: &str, secret: &str) -> bool {
    let Some(key) = standard_key(secret) else { return false };
    header.split_ascii_whitespace().any(|signature| {
        signature.strip_prefix("v1,").and_then(|base64| STANDARD.decode(base64).ok()).is_some_and(
            |signature| {
                hmac(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])
                    .verify_slice(&signature)
                    .is_ok()
            },
        )
    })
}
