//! Sessions, which browsers use in place of a key, and the links that begin one.

use std::time::Duration;

use meetbot_types::{KeyId, Timestamp, bot::Secret};

use crate::{
    keys,
    store::{NewSession, Store, StoreError},
};

/// How long a browser stays signed in, unless its key ends before.
pub(crate) const SESSION: Duration = Duration::from_hours(12);
/// How long a link is valid.
const LINK: Duration = Duration::from_mins(1);
/// Letters and digits of a session or a link: more than 230 random bits.
const LENGTH: usize = 40;

/// The hash of a session that is stored.
pub(crate) fn hash_of_session(token: &str) -> [u8; 32] {
    keys::hash(&format!("session {token}"))
}

/// The hash of a link that is stored. It differs from that of a session with the same token, so that one cannot be used as the other.
pub(crate) fn hash_of_link(token: &str) -> [u8; 32] {
    keys::hash(&format!("link {token}"))
}

pub(crate) fn is_shaped(token: &str) -> bool {
    token.len() == LENGTH && token.bytes().all(|letter| letter.is_ascii_alphanumeric())
}

/// Begins a session with the rights of a key. Returns its token, which the browser keeps.
pub(crate) async fn begin(store: &dyn Store, key: KeyId) -> Result<Secret, StoreError> {
    let (token, now) = (crate::letters::letters(LENGTH), store.now());
    let new = NewSession { hash: hash_of_session(&token), key, expires_at: now.wall + SESSION };
    store.begin_session(new, now).await?;
    Ok(Secret::new(token))
}

/// Creates a link's token, which begins one session with the rights of a key. Returns it and its expiry.
pub(crate) async fn make_link(
    store: &dyn Store,
    key: KeyId,
) -> Result<(Secret, Timestamp), StoreError> {
    let (token, now) = (crate::letters::letters(LENGTH), store.now());
    let expires_at = now.wall + LINK;
    store.begin_session(NewSession { hash: hash_of_link(&token), key, expires_at }, now).await?;
    Ok((Secret::new(token), expires_at))
}

/// The path that signs a browser in. The token is in the fragment, which browsers do not send, so that no access log contains it.
pub(crate) fn path(token: &Secret) -> String {
    format!("/#link={}", token.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_and_a_session_have_different_hashes() {
        assert_ne!(hash_of_link("x"), hash_of_session("x"));
    }

    #[test]
    fn only_well_formed_sessions_are_looked_up() {
        assert!(is_shaped(&crate::letters::letters(LENGTH)));
        for wrong in ["", "x", &"a".repeat(LENGTH + 1), &format!("{}-", "a".repeat(LENGTH - 1))] {
            assert!(!is_shaped(wrong), "{wrong}");
        }
    }
}
