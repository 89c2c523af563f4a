//! The audit log of key use.

use meetbot_types::{ErrorCode, UseId};

use super::*;

fn used(key: &Key, job: Option<JobId>, status: u16, now: StoreNow) -> KeyUse {
    KeyUse {
        id: UseId::generate(now.wall),
        at: now.wall,
        key: key.id,
        consumer: key.tenant.consumer,
        address: [127, 0, 0, 1].into(),
        method: "POST".to_owned(),
        path: "/api/v1/jobs".to_owned(),
        job,
        status,
        error: (status >= 400).then_some(ErrorCode::Forbidden),
        request: "req_1".to_owned(),
        times: 1,
    }
}

#[tokio::test]
async fn audit_entries_are_stored_filtered_and_removed_after_their_retention() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (one, _) = store.create_key(key("acme", true), at(0)).await.unwrap();
    let (two, _) = store.create_key(key("acme", true), at(0)).await.unwrap();
    let job = Some(JobId::generate(at(0).wall));
    let lines =
        [used(&one, job, 201, at(1)), used(&one, None, 403, at(2)), used(&two, job, 403, at(4))];
    let shown = vec![(one.id, at(2).wall)];
    store.note_uses(lines.to_vec(), Vec::new(), shown, at(0).wall).await.unwrap();
    let list = async |filter: UseFilter, limit| {
        store.key_uses(filter, Window { limit, after: None }).await.unwrap().data
    };
    let [first, second, third] = lines;
    let all = UseFilter::default();
    assert_eq!(list(all.clone(), 9).await, [third.clone(), second.clone(), first.clone()]);
    assert_eq!(list(all.clone(), 1).await[0], third);
    let of_key = UseFilter { key: Some(one.id), ..all.clone() };
    assert_eq!(list(of_key, 9).await, [second.clone(), first.clone()]);
    assert_eq!(list(UseFilter { job, ..all.clone() }, 9).await, [third.clone(), first.clone()]);
    let refused = UseFilter { refused: true, ..all.clone() };
    assert_eq!(list(refused, 9).await, [third.clone(), second.clone()]);
    let consumer = Some(one.tenant.consumer);
    let of_consumer = UseFilter { consumer, refused: true, ..all.clone() };
    assert_eq!(list(of_consumer, 9).await.len(), 2);
    let of_nobody = UseFilter { consumer: Some(ConsumerId::generate(at(0).wall)), ..all.clone() };
    assert_eq!(list(of_nobody, 9).await, []);
    let between = |after, before| UseFilter { after, before, ..all.clone() };
    let [from, until] = [at(2).wall, at(4).wall].map(Some);
    assert_eq!(list(between(from, until), 9).await, std::slice::from_ref(&second));
    assert_eq!(list(between(until, None), 9).await, std::slice::from_ref(&third));
    assert_eq!(list(between(None, from), 9).await, std::slice::from_ref(&first));
    let ever = [i64::MIN, i64::MAX].map(|ms| Some(Timestamp::from_millis(ms)));
    assert_eq!(list(between(ever[0], ever[1]), 9).await.len(), 3);
    assert_eq!(list(between(ever[1], ever[0]), 9).await, []);
    let page = async |after| store.key_uses(all.clone(), Window { limit: 2, after }).await.unwrap();
    let newest = page(None).await;
    assert_eq!(newest.data, [third.clone(), second.clone()]);
    let oldest = page(newest.next_cursor.map(|id| id.parse().unwrap())).await;
    assert_eq!((oldest.data, oldest.next_cursor), (vec![first.clone()], None));
    let last_used = async |id| {
        let keys = store.keys().await.unwrap();
        keys.into_iter().find(|key| key.id == id).unwrap().last_used_at
    };
    assert_eq!((last_used(one.id).await, last_used(two.id).await), (Some(at(2).wall), None));
    // Further calls for one entry, and for an entry that is deleted.
    let repeats = vec![(third.id, 2), (UseId::generate(at(0).wall), 9), (third.id, 39)];
    store.note_uses(Vec::new(), repeats, Vec::new(), at(3).wall).await.unwrap();
    assert_eq!(list(all, 9).await, [KeyUse { times: 42, ..third }]);
}

#[tokio::test]
async fn a_key_that_is_not_accepted_has_its_reason() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let ends = NewKey { expires_at: Some(at(10).wall), ..key("acme", true) };
    let (made, _) = store.create_key(ends.clone(), at(1)).await.unwrap();
    let kept = store.find_key(&ends.prefix).await.unwrap().unwrap();
    assert_eq!(kept, made);
    assert_eq!((kept.ended(at(9).wall), kept.ended(at(10).wall)), (None, Some(KeyEnd::Expired)));
    store.revoke_key(made.id, false, at(20)).await.unwrap();
    let kept = store.find_key(&ends.prefix).await.unwrap().unwrap();
    assert_eq!(kept.ended(at(20).wall), Some(KeyEnd::Revoked));
}

#[tokio::test]
async fn a_filtered_search_reaches_a_rare_entry_over_several_pages() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (one, _) = store.create_key(key("acme", true), at(0)).await.unwrap();
    let (two, _) = store.create_key(key("acme", true), at(0)).await.unwrap();
    let first = used(&one, None, 201, at(1));
    let later = |ms| StoreNow { wall: at(2).wall + Duration::from_millis(ms), ..at(2) };
    let many = (0..45_000).map(|ms| used(&two, None, 201, later(ms)));
    let lines = [first.clone()].into_iter().chain(many).collect();
    store.note_uses(lines, Vec::new(), Vec::new(), at(0).wall).await.unwrap();
    let filter = UseFilter { key: Some(one.id), ..UseFilter::default() };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let window = Window { limit: 1, after };
        let page = store.key_uses(filter.clone(), window).await.unwrap();
        found.extend(page.data);
        let Some(next) = page.next_cursor else { break };
        let next = Some(next.parse().unwrap());
        assert!(after.is_none_or(|after| next < Some(after)), "it goes on");
        after = next;
    }
    assert_eq!(found, std::slice::from_ref(&first));
    // Where the time says where it is, nothing else is searched.
    let filter = UseFilter { before: Some(at(2).wall), ..filter };
    let page = store.key_uses(filter, Window { limit: 9, after: None }).await.unwrap();
    assert_eq!((page.data, page.next_cursor), (vec![first], None));
}
