//! Keys.

use super::*;

#[tokio::test]
async fn keys_are_found_by_their_public_part_and_revoked() {
    let fixture = fixture().await;
    let new = NewKey { webhook_secret: "whsec_BBBB".to_owned(), ..key("acme", false) };
    let (made, secret) = fixture.store.create_key(new.clone(), at(1)).await.unwrap();
    // A consumer has one secret: that of its first key.
    assert_eq!((made.tenant.consumer, secret.as_str()), (fixture.tenant.consumer, "whsec_AAAA"));
    assert_eq!(fixture.store.find_key(&new.prefix).await.unwrap(), Some(made.clone()));
    assert!(fixture.store.revoke_key(made.id, at(2)).await.unwrap());
    let revoked = fixture.store.find_key(&new.prefix).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(at(2).wall));
    assert!(!fixture.store.revoke_key(KeyId::generate(at(3).wall), at(3)).await.unwrap());
    assert_eq!(fixture.store.keys().await.unwrap().len(), 2);
}
