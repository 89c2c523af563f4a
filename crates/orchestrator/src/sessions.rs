//! What a browser shows in place of a key: a session, and the link that begins one.

use std::time::Duration;

use meetbot_types::{KeyId, Timestamp, bot::Secret};

use crate::{
    keys,
    store::{NewSession, Store, StoreError},
};

/// How long a browser stays signed in, unless its key ends before.
pub(crate) const SESSION: Duration = Duration::from_hours(12);
/// How long a link is good.
const LINK: Duration = Duration::from_mins(1);
/// Letters and digits of a session or a link: more than 230 random bits.
const LENGTH: usize = 40;

/// What is stored of a session.
pub(crate) fn hash_of_session(token: &str) -> [u8; 32] {
    keys::hash(&format!("session {token}"))
}

/// What is stored of a link: another hash than that of a session with the same letters, so that neither opens what the other does.
pub(crate) fn hash_of_link(token: &str) -> [u8; 32] {
    keys::hash(&format!("link {token}"))
}

pub(crate) fn is_shaped(token: &str) -> bool {
    token.len() == LENGTH && token.bytes().all(|letter| letter.is_ascii_alphanumeric())
}

/// Begins a session with the rights of a key; answers what the browser shows.
pub(crate) async fn begin(store: &dyn Store, key: KeyId) -> Result<Secret, StoreError> {
    let (token, now) = (crate::letters::letters(LENGTH), store.now());
    let new = NewSession { hash: hash_of_session(&token), key, expires_at: now.wall + SESSION };
    store.begin_session(new, now).await?;
    Ok(Secret::new(token))
}

/// Makes a link's token, which begins one session with the rights of a key; and when it is over.
pub(crate) async fn make_link(
    store: &dyn Store,
    key: KeyId,
) -> Result<(Secret, Timestamp), StoreError> {
    let (token, now) = (crate::letters::letters(LENGTH), store.now());
    let expires_at = now.wall + LINK;
    store.begin_session(NewSession { hash: hash_of_link(&token), key, expires_at }, now).await?;
    Ok((Secret::new(token), expires_at))
}

/// The path that signs a browser in. What stands behind `#` is sent to no server and stands in no log.
pub(crate) fn path(token: &Secret) -> String {
    format!("/#link={}", token.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_no_session() {
        assert_ne!(hash_of_link("x"), hash_of_session("x"));
    }

    #[test]
    fn only_what_looks_like_a_session_is_looked_up() {
        assert!(is_shaped(&crate::letters::letters(LENGTH)));
        for wrong in ["", "x", &"a".repeat(LENGTH + 1), &format!("{}-", "a".repeat(LENGTH - 1))] {
            assert!(!is_shaped(wrong), "{wrong}");
        }
    }
}
