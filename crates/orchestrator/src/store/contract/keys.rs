//! Keys.

use meetbot_types::CreatedKey;

use super::*;

#[tokio::test]
async fn keys_are_found_by_their_public_part_and_revoked() {
    let fixture = fixture().await;
    let new = NewKey { webhook_secret: "whsec_BBBB".to_owned(), ..key("acme", false) };
    let (made, secret) = fixture.store.create_key(new.clone(), at(1)).await.unwrap();
    // A consumer has one secret: that of its first key.
    assert_eq!((made.tenant.consumer, secret.as_str()), (fixture.tenant.consumer, "whsec_AAAA"));
    assert_eq!(fixture.store.find_key(&new.prefix).await.unwrap(), Some(made.clone()));
    let done = fixture.store.revoke_key(made.id, false, at(2)).await.unwrap();
    let revoked = fixture.store.find_key(&new.prefix).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(at(2).wall));
    assert_eq!(done, Revocation::Done(revoked.clone()));
    // Again, it changes nothing.
    let again = fixture.store.revoke_key(made.id, true, at(3)).await.unwrap();
    assert_eq!(again, Revocation::Done(revoked));
    let none = KeyId::generate(at(3).wall);
    let none = fixture.store.revoke_key(none, false, at(3)).await.unwrap();
    assert_eq!(none, Revocation::NotFound);
    assert_eq!(fixture.store.keys().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_first_key_is_created_only_in_a_store_that_has_no_key() {
    let backend = Backend::new();
    let store = backend.open();
    let (made, secret) =
        store.create_first_key(key("default", false), at(0)).await.unwrap().unwrap();
    assert_eq!(secret, "whsec_AAAA");
    store.revoke_key(made.id, false, at(1)).await.unwrap();
    let second = store.create_first_key(key("acme", false), at(2)).await.unwrap();
    assert!(second.is_none(), "{second:?}");
    assert_eq!(store.keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_last_valid_operator_key_is_not_revoked_if_the_caller_asks_so() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let operator = |live| NewKey { scope: Scope::Operator, ..key("ops", live) };
    let make = async |new| store.create_key(new, at(0)).await.unwrap().0.id;
    let revoke = async |id, keep| store.revoke_key(id, keep, at(10)).await.unwrap();
    let first = make(operator(true)).await;
    let expired = make(NewKey { expires_at: Some(at(10).wall), ..operator(true) }).await;
    // A test key of that scope opens nothing of what the scope is for.
    make(operator(false)).await;
    assert_eq!(revoke(first, true).await, Revocation::LastOperator);
    assert!(matches!(revoke(expired, true).await, Revocation::Done(_)), "it was good no more");
    let second = make(operator(true)).await;
    assert!(matches!(revoke(first, true).await, Revocation::Done(_)));
    assert_eq!(revoke(second, true).await, Revocation::LastOperator);
    assert!(matches!(revoke(first, true).await, Revocation::Done(_)), "it is revoked already");
    assert!(matches!(revoke(second, false).await, Revocation::Done(_)));
}

#[tokio::test]
async fn a_key_is_created_once_for_an_idempotency_key_and_not_stored_in_the_response() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let idempotency_key =
        IdempotencyKey { key: "k".into(), fingerprint: [1; 32], ignored: "note".into() };
    let create = async |name: &str, idempotency_key: &IdempotencyKey, now| {
        let new = key(name, true);
        store
            .create_key_idempotently(fixture.tenant, new, Some(idempotency_key.clone()), now)
            .await
            .unwrap()
    };
    let KeyCreation::Created(made, Some(secret)) = create("new", &idempotency_key, at(1)).await
    else {
        panic!("a consumer that is new has its secret shown")
    };
    assert_eq!(secret.expose(), "whsec_AAAA");
    let KeyCreation::Prior(PriorRequest::Answered(answer)) =
        create("new", &idempotency_key, at(2)).await
    else {
        panic!()
    };
    assert_eq!((answer.status, answer.ignored.as_str()), (201, "note"));
    let shown: CreatedKey = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((shown.key.as_str(), shown.webhook_secret), ("", Some("whsec_AAAA".to_owned())));
    assert_eq!(shown.shown, made.shown());
    let other = IdempotencyKey { fingerprint: [2; 32], ..idempotency_key };
    let different = create("new", &other, at(3)).await;
    assert!(matches!(different, KeyCreation::Prior(PriorRequest::Different)), "{different:?}");
    let KeyCreation::Created(_, None) = store
        .create_key_idempotently(fixture.tenant, key("new", false), None, at(4))
        .await
        .unwrap()
    else {
        panic!("a consumer that is known keeps its secret to itself")
    };
    let of_new = KeyFilter { consumer: Some("new".to_owned()) };
    let window = Window { limit: 9, after: None };
    assert_eq!(store.list_keys(of_new, window).await.unwrap().data.len(), 2);
}

#[tokio::test]
async fn keys_are_listed_in_pages_newest_first() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for second in 1..=5 {
        let name = if second == 3 { "other" } else { "acme" };
        let new = NewKey { id: KeyId::generate(at(second).wall), ..key(name, true) };
        store.create_key(new, at(second)).await.unwrap();
    }
    let pages = async |consumer: Option<&str>| {
        let (mut seconds, mut after) = (Vec::new(), None);
        loop {
            let filter = KeyFilter { consumer: consumer.map(str::to_owned) };
            let page = store.list_keys(filter, Window { limit: 2, after }).await.unwrap();
            assert!(page.data.len() <= 2);
            let since = |key: &Key| key.created_at.millis_since(at(0).wall) / 1_000;
            seconds.extend(page.data.iter().map(since));
            let Some(next) = page.next_cursor else { return seconds };
            after = Some(next.parse().unwrap());
        }
    };
    assert_eq!(pages(None).await, [5, 4, 3, 2, 1, 0]);
    assert_eq!(pages(Some("acme")).await, [5, 4, 2, 1, 0]);
    assert_eq!(pages(Some("nobody")).await, [0; 0]);
}
