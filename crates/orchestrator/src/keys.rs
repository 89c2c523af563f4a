//! Creates, hashes and finds API keys.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use meetbot_types::{CreatedKey, KeyId, Timestamp, bot::Secret, signature, visible::is_blank};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::letters::{as_letters, letters};
use crate::store::{Key, NewKey, Scope, Store, StoreError};

/// Characters of the public part, by which a key is looked up.
const PREFIX_LENGTH: usize = 8;
/// Characters of the secret part: 40 of 62 letters are more than 230 bits.
const SECRET_LENGTH: usize = 40;

/// A new key with its secret, which cannot be read again later.
#[derive(Debug, Clone)]
pub struct FreshKey {
    /// As it is stored.
    pub key: Key,
    /// The key itself.
    pub secret: Secret,
    /// The consumer's webhook secret.
    pub webhook_secret: Secret,
}

impl FreshKey {
    /// The key as the API shows it, with the consumer's webhook secret, also of an existing consumer.
    pub fn shown(self) -> CreatedKey {
        CreatedKey {
            key: self.secret.expose().to_owned(),
            webhook_secret: Some(self.webhook_secret.expose().to_owned()),
            shown: self.key.shown(),
        }
    }
}

/// The properties of a key to be created.
#[derive(Debug, Clone, Copy)]
pub struct KeySpec<'a> {
    /// The consumer's name; a new consumer is created.
    pub consumer: &'a str,
    /// For real meetings, or for the sandbox.
    pub live: bool,
    /// Its scope.
    pub scope: Scope,
    /// When it expires; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// The longest name of a consumer, in characters.
pub const LONGEST_NAME: usize = 100;

/// Creates a key.
pub async fn create(store: &dyn Store, spec: KeySpec<'_>) -> Result<FreshKey, StoreError> {
    let now = store.now();
    let (new, secret) = new(spec, now.wall, |_| letters(SECRET_LENGTH));
    let (key, webhook_secret) = store.create_key(new, now).await?;
    Ok(FreshKey { key, secret, webhook_secret: Secret::new(webhook_secret) })
}

/// Creates a key if the store has none yet.
pub async fn create_first(
    store: &dyn Store,
    spec: KeySpec<'_>,
) -> Result<Option<FreshKey>, StoreError> {
    let now = store.now();
    let (new, secret) = new(spec, now.wall, |_| letters(SECRET_LENGTH));
    let created = store.create_first_key(new, now).await?;
    Ok(created.map(|(key, webhook_secret)| FreshKey {
        key,
        secret,
        webhook_secret: Secret::new(webhook_secret),
    }))
}

/// A key's row, and its secret; `rest` returns the secret part.
fn new(spec: KeySpec<'_>, now: Timestamp, rest: impl FnOnce(KeyId) -> String) -> (NewKey, Secret) {
    let KeySpec { consumer, live, scope, expires_at } = spec;
    let id = KeyId::generate(now);
    let prefix = format!("mb_{}_{}", if live { "live" } else { "test" }, letters(PREFIX_LENGTH));
    let secret = format!("{prefix}{}", rest(id));
    let new = NewKey {
        id,
        consumer_name: consumer.to_owned(),
        live,
        scope,
        expires_at,
        prefix,
        hash: hash(&secret),
        webhook_secret: signature::generate_secret(),
    };
    (new, Secret::new(secret))
}

/// A key for a caller of the API. With an `Idempotency-Key` its secret part is derived from that, the new key's id and the caller's key, so that the response
/// can be repeated although neither key is stored.
pub(crate) fn for_caller(
    spec: KeySpec<'_>,
    now: Timestamp,
    caller: &str,
    idempotency_key: Option<&str>,
) -> (NewKey, Secret) {
    new(spec, now, |id| match idempotency_key {
        Some(name) => derived(caller, id, name),
        None => letters(SECRET_LENGTH),
    })
}

/// Derives again the key that was created for this caller with an `Idempotency-Key`.
pub(crate) fn for_caller_again(
    id: KeyId,
    prefix: &str,
    caller: &str,
    idempotency_key: &str,
) -> Secret {
    Secret::new(format!("{prefix}{}", derived(caller, id, idempotency_key)))
}

/// A secret part that can only be computed with the caller's key: HMAC-SHA-256 with that key, as uniformly distributed letters.
fn derived(caller: &str, id: KeyId, idempotency_key: &str) -> String {
    let mut text = String::with_capacity(SECRET_LENGTH);
    for block in 0_u32.. {
        let mac = Hmac::<Sha256>::new_from_slice(caller.as_bytes());
        let mut mac = mac.expect("HMAC takes a key of any length");
        mac.update(format!("meetbot api key {id} {block} {idempotency_key}").as_bytes());
        text.extend(as_letters(&mac.finalize().into_bytes()).take(SECRET_LENGTH - text.len()));
        if text.len() == SECRET_LENGTH {
            break;
        }
    }
    text
}

/// What is wrong with a consumer's name, after trimming; `None` if it is valid.
pub fn name_problem(name: &str) -> Option<&'static str> {
    let length = name.chars().count();
    let wrong = !(1..=LONGEST_NAME).contains(&length)
        || name.chars().any(char::is_control)
        || is_blank(name);
    wrong.then_some("a name has 1 to 100 characters, none of them a control character, at least one of them visible")
}

/// Looks up the key of a token; it may have [ended](Key::ended).
pub async fn find(store: &dyn Store, token: &str) -> Result<Option<Key>, StoreError> {
    let Some(prefix) = prefix_of(token) else { return Ok(None) };
    let key = store.find_key(prefix).await?;
    let hash = hash(token);
    Ok(key.filter(|key| key.hash.ct_eq(&hash).into()))
}

/// How many of the keys are valid live keys.
pub fn count_live(keys: &[Key], now: Timestamp) -> usize {
    keys.iter().filter(|key| key.tenant.live && key.ended(now).is_none()).count()
}

/// Whether a token has the format of a key.
pub fn is_shaped(token: &str) -> bool {
    prefix_of(token).is_some()
}

pub(crate) fn prefix_of(token: &str) -> Option<&str> {
    let random = token.strip_prefix("mb_live_").or_else(|| token.strip_prefix("mb_test_"))?;
    let shaped = random.len() == PREFIX_LENGTH + SECRET_LENGTH
        && random.bytes().all(|letter| letter.is_ascii_alphanumeric());
    shaped.then(|| &token[..token.len() - SECRET_LENGTH])
}

/// The SHA-256 of a token. Tokens are random and long enough, so a slow hash would add no security and make denial of service easier.
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::KeyScope;

    use super::*;

    #[test]
    fn a_key_holds_more_than_192_random_bits_behind_its_prefix() {
        let bits = f64::from(u32::try_from(SECRET_LENGTH).unwrap()) * 62_f64.log2();
        assert!(bits > 192.0);
        assert_ne!(letters(SECRET_LENGTH), letters(SECRET_LENGTH));
    }

    #[test]
    fn a_repeated_request_derives_the_same_key_only_for_the_same_caller() {
        let spec = KeySpec { consumer: "acme", live: true, scope: Scope::Write, expires_at: None };
        let now = Timestamp::UNIX_EPOCH;
        let (new, secret) = for_caller(spec, now, "mb_live_a", Some("k"));
        let again = |caller, name| for_caller_again(new.id, &new.prefix, caller, name);
        assert_eq!(again("mb_live_a", "k"), secret);
        assert!(is_shaped(secret.expose()) && new.hash == hash(secret.expose()));
        assert_ne!(again("mb_live_b", "k"), secret);
        assert_ne!(again("mb_live_a", "l"), secret);
        // Another key under the same name, as a day later.
        let (_, other) = for_caller(spec, now, "mb_live_a", Some("k"));
        assert_ne!(other.expose()[16..], secret.expose()[16..]);
        let (_, other) = for_caller(spec, now, "mb_live_a", None);
        assert_ne!(other.expose()[16..], secret.expose()[16..]);
    }

    #[test]
    fn each_scope_includes_those_before_it_except_worker_and_names_match_the_api() {
        let words: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        let known: Vec<&str> = KeyScope::ALL.iter().map(KeyScope::as_str).collect();
        assert_eq!(words, known);
        let included = |own: Scope| {
            let may = Scope::ALL.iter().filter(|needed| own.includes(**needed));
            may.map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
        };
        let all: Vec<String> = Scope::ALL.into_iter().map(included).collect();
        assert_eq!(
            all,
            [
                "read",
                "read write",
                "read write admin",
                "read write admin operator worker",
                "worker"
            ]
        );
    }

    #[test]
    fn only_well_formed_keys_are_looked_up() {
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
