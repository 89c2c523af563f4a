//! API keys: made, shown once, and recognised.

use std::fmt;

use meetbot_types::{KeyId, Timestamp, bot::Secret, signature};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::store::{Key, NewKey, Scope, Store, StoreError};

/// Characters of the part by which a key is found.
const PREFIX_LENGTH: usize = 8;
/// Characters of the part that is secret: 40 of 62 letters are more than 230 bits.
const SECRET_LENGTH: usize = 40;
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key that was just made; nobody sees it again.
#[derive(Debug, Clone)]
pub struct FreshKey {
    /// As it is stored.
    pub key: Key,
    /// The key itself.
    pub secret: Secret,
    /// The consumer's webhook secret.
    pub webhook_secret: Secret,
}

/// A key that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The consumer's name; one that is new is made.
    pub consumer: &'a str,
    /// For real meetings, or for the sandbox.
    pub live: bool,
    /// What it may do.
    pub scope: Scope,
    /// From when on it opens nothing. `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// Makes a key.
pub async fn create(store: &dyn Store, wanted: Wanted<'_>) -> Result<FreshKey, StoreError> {
    let (Wanted { consumer, live, scope, expires_at }, now) = (wanted, store.now());
    let prefix = format!("mb_{}_{}", if live { "live" } else { "test" }, letters(PREFIX_LENGTH));
    let secret = format!("{prefix}{}", letters(SECRET_LENGTH));
    let new = NewKey {
        id: KeyId::generate(now.wall),
        consumer_name: consumer.to_owned(),
        live,
        scope,
        expires_at,
        prefix,
        hash: hash(&secret),
        webhook_secret: signature::generate_secret(),
    };
    let (key, webhook_secret) = store.create_key(new, now).await?;
    Ok(FreshKey { key, secret: Secret::new(secret), webhook_secret: Secret::new(webhook_secret) })
}

/// The key of a token, if it is one; it may have [ended](Key::ended).
pub async fn find(store: &dyn Store, token: &str) -> Result<Option<Key>, StoreError> {
    let Some(prefix) = prefix_of(token) else { return Ok(None) };
    let key = store.find_key(prefix).await?;
    let hash = hash(token);
    Ok(key.filter(|key| key.hash.ct_eq(&hash).into()))
}

/// How many of the keys are good for real meetings.
pub fn count_live(keys: &[Key], now: Timestamp) -> usize {
    keys.iter().filter(|key| key.tenant.live && key.ended(now).is_none()).count()
}

/// Whether a token looks like a key.
pub(crate) fn is_shaped(token: &str) -> bool {
    prefix_of(token).is_some()
}

pub(crate) fn prefix_of(token: &str) -> Option<&str> {
    let random = token.strip_prefix("mb_live_").or_else(|| token.strip_prefix("mb_test_"))?;
    let shaped = random.len() == PREFIX_LENGTH + SECRET_LENGTH
        && random.bytes().all(|letter| letter.is_ascii_alphanumeric());
    shaped.then(|| &token[..token.len() - SECRET_LENGTH])
}

/// The SHA-256 of a token: with so much randomness in it, a slow hash would only serve an attacker.
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Random letters and digits, each as likely as any other.
pub(crate) fn letters(count: usize) -> String {
    let mut text = String::with_capacity(count);
    let mut bytes = [0; 64];
    while text.len() < count {
        getrandom::fill(&mut bytes).expect("the operating system gives randomness");
        // 248 is the largest multiple of 62 that a byte holds.
        let letters =
            bytes.iter().filter(|byte| **byte < 248).map(|byte| LETTERS[*byte as usize % 62]);
        text.extend(letters.take(count - text.len()).map(char::from));
    }
    text
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_more_than_192_random_bits_behind_its_prefix() {
        let bits = f64::from(u32::try_from(SECRET_LENGTH).unwrap()) * 62_f64.log2();
        assert!(bits > 192.0);
        assert_ne!(letters(SECRET_LENGTH), letters(SECRET_LENGTH));
    }

    #[test]
    fn only_what_looks_like_a_key_is_looked_up() {
        let good = format!("mb_test_{}", "a".repeat(48));
        assert_eq!(prefix_of(&good), Some("mb_test_aaaaaaaa"));
        for bad in [
            "",
            "mb_test_",
            "mb_test_short",
            &good[1..],
            &good.replace('a', "é"),
            &(good.clone() + "a"),
        ] {
            assert_eq!(prefix_of(bad), None, "{bad}");
        }
    }
}
