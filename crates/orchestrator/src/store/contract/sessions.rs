//! Sessions of browsers.

use super::*;

fn session(key: &Key, number: u8, ends_at: u64) -> NewSession {
    NewSession { hash: [number; 32], key: key.id, expires_at: at(ends_at).wall }
}

#[tokio::test]
async fn a_session_gives_its_key_until_it_ends() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (mine, _) = store.create_key(key("acme", false), at(0)).await.unwrap();
    store.begin_session(session(&mine, 1, 100), at(0)).await.unwrap();
    store.begin_session(session(&mine, 2, 100), at(0)).await.unwrap();
    assert_eq!(store.session_key([1; 32], at(99)).await.unwrap(), Some(mine.clone()));
    assert_eq!(store.session_key([1; 32], at(100)).await.unwrap(), None);
    assert_eq!(store.session_key([3; 32], at(1)).await.unwrap(), None);
    assert_eq!(store.end_session([1; 32], at(1)).await.unwrap(), Some(mine.clone()));
    assert_eq!(store.end_session([1; 32], at(1)).await.unwrap(), None, "only once");
    assert_eq!(store.session_key([1; 32], at(1)).await.unwrap(), None);
    assert_eq!(store.end_session([2; 32], at(100)).await.unwrap(), None, "it is over");

    // It shows that its key was revoked, and goes with its consumer.
    store.begin_session(session(&mine, 4, 100), at(0)).await.unwrap();
    store.revoke_key(mine.id, false, at(5)).await.unwrap();
    let revoked = store.session_key([4; 32], at(6)).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(at(5).wall));
    assert!(store.erase_consumer(mine.tenant).await.unwrap().is_some());
    assert_eq!(store.session_key([4; 32], at(6)).await.unwrap(), None);
}

#[tokio::test]
async fn sessions_are_bounded_for_each_key() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (mine, _) = store.create_key(key("acme", true), at(0)).await.unwrap();
    let (other, _) = store.create_key(key("acme", true), at(0)).await.unwrap();
    store.begin_session(session(&other, 0, 9_000), at(0)).await.unwrap();
    let most = u8::try_from(SESSIONS_PER_KEY).unwrap();
    for number in 1..=most + 2 {
        store.begin_session(session(&mine, number, 9_000), at(number.into())).await.unwrap();
    }
    let mut alive = Vec::new();
    for number in 0..=most + 2 {
        if store.session_key([number; 32], at(300)).await.unwrap().is_some() {
            alive.push(number);
        }
    }
    assert_eq!(alive, [0].into_iter().chain(3..=most + 2).collect::<Vec<u8>>());
}
