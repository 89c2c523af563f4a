//! All deliveries of an endpoint since a time, sent once more.

use meetbot_types::{Redeliver, Redelivered, bot::Participant};

use super::*;

const URL: &str = "http://a.example/hook?key=1";

fn since(seconds: u64) -> Redeliver {
    Redeliver { endpoint: URL.to_owned(), since: at(seconds).wall, cursor: None }
}

impl Fixture {
    async fn redeliver_since(&self, which: Redeliver, now: StoreNow) -> EndpointRedelivery {
        self.store.redeliver_all(self.tenant, which, None, now).await.unwrap()
    }

    async fn job_of_endpoint(&self, url: &str, now: StoreNow) -> Job {
        let reported = Webhooks { on_status_change: Some(url.into()), on_finalize: None };
        let job = self.create(|job| job.webhooks = reported, now).await;
        self.claim(1, now).await.unwrap();
        job
    }
}

fn sent(count: u32) -> EndpointRedelivery {
    EndpointRedelivery::Sent(Redelivered { count, next_cursor: None })
}

#[tokio::test]
async fn deliveries_of_an_endpoint_since_a_time_are_redelivered_in_any_state() {
    let fixture = fixture().await;
    let mut jobs = Vec::new();
    for (second, verdict) in
        [(1, Verdict::Delivered), (10, Verdict::Delivered), (20, Verdict::Dead)]
    {
        jobs.push(fixture.job_of_endpoint(URL, at(second)).await.id);
        let due = fixture.due(at(second)).await;
        fixture.note(&due[0], 200, verdict, at(second)).await;
    }
    let other = fixture.job_of_endpoint("http://b.example/hook", at(25)).await.id;
    let due = fixture.due(at(25)).await;
    fixture.note(&due[0], 200, Verdict::Delivered, at(25)).await;
    jobs.push(fixture.job_of_endpoint("http://a.example/hook?key=2", at(30)).await.id);

    assert_eq!(fixture.redeliver_since(since(31), at(40)).await, sent(0));
    let unknown = Redeliver { endpoint: "http://a.example/".to_owned(), ..since(0) };
    assert_eq!(fixture.redeliver_since(unknown, at(40)).await, EndpointRedelivery::NoEndpoint);
    let (stranger, _) = fixture.store.create_key(key("other", true), at(0)).await.unwrap();
    let theirs =
        fixture.store.redeliver_all(stranger.tenant, since(0), None, at(40)).await.unwrap();
    assert_eq!(theirs, EndpointRedelivery::NoEndpoint);
    let due = fixture.due(at(40)).await;
    assert_eq!(due.iter().map(|due| due.event.data.job_id).collect::<Vec<_>>(), jobs[3..]);

    // The last one is being tried, and keeps its try; the first is too old.
    assert_eq!(fixture.redeliver_since(since(10), at(50)).await, sent(3));
    fixture.note(&due[0], 200, Verdict::Delivered, at(51)).await;
    let due = fixture.due(at(52)).await;
    assert_eq!(due.iter().map(|due| due.event.data.job_id).collect::<Vec<_>>(), jobs[1..3]);
    assert!(due.iter().all(|due| due.event.attempt == 2 && due.tries == 0));
    assert!(!jobs.contains(&other));
}

#[tokio::test]
async fn a_repeated_request_redelivers_them_once() {
    let fixture = fixture().await;
    fixture.job_of_endpoint(URL, at(1)).await;
    let due = fixture.due(at(1)).await;
    fixture.note(&due[0], 200, Verdict::Delivered, at(1)).await;
    let idempotency_key =
        || Some(IdempotencyKey { key: "a".into(), fingerprint: [1; 32], ignored: String::new() });
    let ask = async |idempotency_key, now| {
        fixture.store.redeliver_all(fixture.tenant, since(1), idempotency_key, now).await.unwrap()
    };
    assert_eq!(ask(idempotency_key(), at(2)).await, sent(1));
    let due = fixture.due(at(2)).await;
    fixture.note(&due[0], 200, Verdict::Delivered, at(2)).await;
    let EndpointRedelivery::Prior(PriorRequest::Answered(answer)) =
        ask(idempotency_key(), at(3)).await
    else {
        panic!("it came before")
    };
    assert_eq!(answer.body, r#"{"count":1,"nextCursor":null}"#);
    assert!(fixture.due(at(3)).await.is_empty());
}

#[tokio::test]
async fn many_deliveries_are_redelivered_in_pages_oldest_first() {
    let fixture = fixture().await;
    let person = |number: u32| BotReport::ParticipantJoined {
        participant: Participant {
            id: number.to_string(),
            name: "Somebody".to_owned(),
            is_host: false,
            is_bot: false,
        },
    };
    let half = REDELIVERED_AT_ONCE / 2 + 1;
    for second in [1, 2] {
        let job = fixture.job_of_endpoint(URL, at(second)).await;
        let people: Vec<_> = (0..half).map(person).collect();
        fixture.report(job.id, 1, 1, 1, &people, at(second)).await;
    }
    let EndpointRedelivery::Sent(first) = fixture.redeliver_since(since(1), at(3)).await else {
        panic!("there is such an endpoint")
    };
    assert_eq!(first.count, REDELIVERED_AT_ONCE);
    let cursor = first.next_cursor;
    assert!(cursor.is_some_and(|cursor| cursor.created_at() >= at(1).wall));
    assert_eq!(fixture.redeliver_since(Redeliver { cursor, ..since(1) }, at(4)).await, sent(4));
}

#[tokio::test]
async fn an_intermediate_response_is_stored_until_the_final_one() {
    let fixture = fixture().await;
    let idempotency_key =
        || IdempotencyKey { key: "a".into(), fingerprint: [1; 32], ignored: String::new() };
    let answer =
        |body: &str| StoredResponse { status: 200, body: body.into(), ignored: String::new() };
    let begin = async |idempotency_key, now| {
        fixture
            .store
            .begin_request(fixture.tenant, idempotency_key, answer("unknown"), now)
            .await
            .unwrap()
    };
    assert_eq!(begin(idempotency_key(), at(1)).await, None);
    assert_eq!(begin(idempotency_key(), at(2)).await, Some(PriorRequest::Running));
    assert_eq!(
        begin(IdempotencyKey { fingerprint: [2; 32], ..idempotency_key() }, at(2)).await,
        Some(PriorRequest::Different)
    );
    assert_eq!(
        begin(idempotency_key(), at(60)).await,
        Some(PriorRequest::Answered(answer("unknown")))
    );
    fixture.store.set_final_response(fixture.tenant, "a".into(), answer("done")).await.unwrap();
    assert_eq!(
        begin(idempotency_key(), at(61)).await,
        Some(PriorRequest::Answered(answer("done")))
    );
}
