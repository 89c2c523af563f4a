//! The outbox: the order of deliveries, the concurrent tries of an endpoint, and failed deliveries.

use super::*;
use meetbot_types::EndpointState;

impl Fixture {
    /// A delivery is sent once more.
    async fn redeliver(&self, id: DeliveryId, now: StoreNow) -> Delivery {
        match self.store.redeliver(self.tenant, id, None, now).await.unwrap() {
            Redelivery::Sent(delivery) => *delivery,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn due(&self, now: StoreNow) -> Vec<DueDelivery> {
        let capacity = Capacity { proven: 100, unproven: 100 };
        self.store.due_deliveries(capacity, now).await.unwrap().due
    }

    pub(super) async fn note(
        &self,
        due: &DueDelivery,
        status: u16,
        verdict: Verdict,
        now: StoreNow,
    ) {
        let delivered = verdict == Verdict::Delivered;
        let tried = DeliveryTry {
            at: now.wall,
            duration_ms: 1,
            status: Some(status),
            error: (!delivered).then(|| status.to_string()),
            answer: Some("so be it".into()),
        };
        let (delivery, since) = (due.event.delivery_id, due.since);
        self.store
            .tried(DeliveryAttempt { delivery, since, tried, verdict, rest_wanted: None }, now)
            .await
            .unwrap();
    }

    /// A job whose events go to this URL alone, with one event so far.
    async fn job_with_url(&self, url: &str, now: StoreNow) -> Job {
        let job = self
            .create(
                |job| {
                    job.webhooks =
                        Webhooks { on_status_change: Some(url.into()), on_finalize: None };
                },
                now,
            )
            .await;
        assert_eq!(self.claim(1, now).await.unwrap().job.id, job.id);
        job
    }

    /// The same, and the endpoint has taken it.
    async fn proven(&self, url: &str, now: StoreNow) -> Job {
        let job = self.job_with_url(url, now).await;
        let due = self.due(now).await;
        self.note(&due[0], 200, Verdict::Delivered, now).await;
        job
    }

    async fn ledger(&self, job: &Job) -> Vec<Delivery> {
        let filter = DeliveryFilter { job_id: Some(job.id), state: None };
        let window = Window { limit: 50, after: None };
        self.store.deliveries(self.tenant, filter, window).await.unwrap().data
    }
}

fn url_of(due: &DueDelivery) -> &str {
    &due.url
}

#[tokio::test]
async fn deliveries_of_a_job_are_in_order_until_the_oldest_has_failed_four_times() {
    let fixture = fixture().await;
    let job = fixture.create(|job| job.webhooks.on_finalize = None, at(1)).await;
    fixture.claim(1, at(2)).await.unwrap();
    fixture.report(job.id, 1, 1, 1, &[BotReport::Admitted], at(3)).await;
    let due = async |second| fixture.due(at(second)).await;
    for round in 1..=TRIES_IN_ORDER {
        let now = 100 * u64::from(round);
        let taken = due(now).await;
        assert_eq!(taken.len(), 1, "only the oldest");
        assert_eq!((taken[0].event.attempt, taken[0].event.data.sequence), (round, 1));
        assert!(due(now).await.is_empty(), "it is on its way");
        fixture.note(&taken[0], 500, Verdict::RetryAt(at(now + 100).wall), at(now)).await;
    }
    for sequence in [2, 1] {
        let taken = due(500).await;
        assert_eq!(taken.iter().map(|due| due.event.data.sequence).collect::<Vec<_>>(), [sequence]);
        fixture.note(&taken[0], 200, Verdict::Delivered, at(500)).await;
    }
}

#[tokio::test]
async fn one_url_in_both_fields_gets_each_event_once_and_a_dead_delivery_can_be_redelivered() {
    let fixture = fixture().await;
    let url = "http://127.0.0.1:1/all";
    let both = |job: &mut Job| {
        job.webhooks.on_status_change = Some(url.into());
        job.webhooks.on_finalize = Some(url.into());
    };
    let job = fixture.create(both, at(1)).await;
    fixture.claim(1, at(2)).await.unwrap();
    let failure = Failure::new(FailureCode::HostDeniedAdmission, "no");
    fixture.report(job.id, 1, 1, 1, &[ended(Cause::Failed(failure), false)], at(3)).await;
    let list = async || {
        let filter = DeliveryFilter { job_id: Some(job.id), state: None };
        let window = Window { limit: 10, after: None };
        fixture.store.deliveries(fixture.tenant, filter, window).await.unwrap().data
    };
    let mut events: Vec<_> = list().await.iter().map(|one| one.event.to_string()).collect();
    events.sort();
    assert_eq!(events, ["job.failed", "job.status_changed"]);
    let taken = fixture.due(at(4)).await;
    let id = taken[0].event.delivery_id;
    fixture.note(&taken[0], 410, Verdict::Dead, at(4)).await;
    let again = fixture.redeliver(id, at(5)).await;
    assert_eq!((again.state, again.tries.len()), (DeliveryState::Pending, 1));
    // It is sent together with the one that waited for it.
    let mut attempts = Vec::new();
    while let [due] = fixture.due(at(6)).await.as_slice() {
        attempts.push((due.event.delivery_id == id, due.event.attempt));
        fixture.note(due, 200, Verdict::Delivered, at(6)).await;
    }
    attempts.sort_unstable();
    assert_eq!(attempts, [(false, 1), (true, 2)]);
}

#[tokio::test]
async fn an_endpoint_that_is_down_gets_single_probes_until_one_succeeds() {
    let fixture = fixture().await;
    let down = "http://127.0.0.1:1/down";
    let mut jobs = Vec::new();
    for _ in 0..20 {
        jobs.push(fixture.job_with_url(down, at(1)).await);
    }
    // Each failure is another delivery's, whose own next try is far away.
    let mut now = 2;
    for failure in 1..=7 {
        let due = fixture.due(at(now)).await;
        assert_eq!(due.len(), 1, "one at a time, at {now} s");
        fixture.note(&due[0], 500, Verdict::RetryAt(at(9_000).wall), at(now)).await;
        let rest = [0, 0, 0, 0, 5, 10, 20][failure - 1];
        if rest > 0 {
            assert!(fixture.due(at(now + rest - 1)).await.is_empty(), "it rests");
        }
        now += rest;
    }
    let waiting = &fixture.ledger(&jobs[19]).await[0];
    assert_eq!((&waiting.endpoint.state, waiting.endpoint.failures), (&EndpointState::Down, 7));
    assert_eq!(waiting.endpoint.rests_until, Some(at(now).wall));
    assert_eq!((waiting.next_try_at, waiting.tries.len()), (Some(at(now).wall), 0));
    let probe = fixture.due(at(now)).await;
    fixture.note(&probe[0], 200, Verdict::Delivered, at(now)).await;
    assert_eq!(fixture.due(at(now)).await.len(), 12, "all that are due and were not tried");
    assert_eq!(fixture.ledger(&jobs[19]).await[0].endpoint.state, EndpointState::Up);
}

#[tokio::test]
async fn a_new_endpoint_gets_one_try_at_a_time_and_a_proven_one_as_many_as_its_limit() {
    let fixture = fixture().await;
    for _ in 0..40 {
        fixture.job_with_url("http://127.0.0.1:1/busy?a=1", at(1)).await;
        fixture.job_with_url("http://127.0.0.1:1/busy?b=2", at(1)).await;
    }
    fixture.job_with_url("http://127.0.0.1:1/quiet", at(2)).await;
    let due = fixture.due(at(3)).await;
    assert_eq!(
        due.iter().map(url_of).collect::<Vec<_>>(),
        ["http://127.0.0.1:1/busy?a=1", "http://127.0.0.1:1/quiet"]
    );
    assert!(fixture.due(at(3)).await.is_empty());
    fixture.note(&due[0], 200, Verdict::Delivered, at(3)).await;
    let taken = fixture.due(at(3)).await;
    assert_eq!(taken.len(), 32);
    assert!(fixture.due(at(3)).await.is_empty(), "the bulkhead is full");
    fixture.note(&taken[0], 200, Verdict::Delivered, at(3)).await;
    assert_eq!(fixture.due(at(3)).await.len(), 1);
}

#[tokio::test]
async fn proven_endpoints_share_a_separate_capacity() {
    let fixture = fixture().await;
    for name in ["one", "two"] {
        fixture.proven(&format!("http://127.0.0.1:1/{name}"), at(1)).await;
        for _ in 0..20 {
            fixture.job_with_url(&format!("http://127.0.0.1:1/{name}"), at(2)).await;
        }
    }
    for number in 0..50 {
        fixture.job_with_url(&format!("http://127.0.0.1:1/dead/{number}"), at(1)).await;
    }
    let take = async |proven, unproven| {
        fixture.store.due_deliveries(Capacity { proven, unproven }, at(3)).await.unwrap()
    };
    let taken = take(10, 0).await;
    let of = |name: &str| taken.due.iter().filter(|due| due.url.ends_with(name)).count();
    assert_eq!((of("one"), of("two"), taken.due.len()), (5, 5, 10));
    assert_eq!(taken.next, None, "there is no room for what is left");
    let taken = take(0, 20).await;
    assert_eq!(taken.due.len(), 20);
    assert!(taken.due.iter().all(|due| due.url.contains("dead")));
    assert_eq!(take(0, 100).await.due.len(), 30);
    let taken = take(100, 100).await;
    assert_eq!((taken.due.len(), taken.next), (30, None));
}

#[tokio::test]
async fn retry_after_applies_to_all_deliveries_of_an_endpoint() {
    let fixture = fixture().await;
    let url = "http://127.0.0.1:1/asks";
    fixture.proven(url, at(1)).await;
    for _ in 0..2 {
        fixture.job_with_url(url, at(2)).await;
    }
    let due = fixture.due(at(2)).await;
    let tried = DeliveryTry {
        at: at(2).wall,
        duration_ms: 1,
        status: Some(429),
        error: None,
        answer: None,
    };
    let verdict = Verdict::RetryAt(at(62).wall);
    let rest_wanted = Some(Duration::from_mins(1));
    let (delivery, since) = (due[0].event.delivery_id, due[0].since);
    fixture
        .store
        .tried(DeliveryAttempt { delivery, since, tried, verdict, rest_wanted }, at(2))
        .await
        .unwrap();
    fixture.note(&due[1], 200, Verdict::Delivered, at(2)).await;
    fixture.job_with_url(url, at(3)).await;
    assert!(fixture.due(at(61)).await.is_empty(), "also those that were never tried");
    assert_eq!(fixture.due(at(62)).await.len(), 2);
}

#[tokio::test]
async fn a_redelivery_does_not_block_others_and_ends_the_endpoints_rest() {
    let fixture = fixture().await;
    let url = "http://127.0.0.1:1/again";
    let job = fixture.job_with_url(url, at(1)).await;
    let first = fixture.due(at(1)).await.remove(0);
    fixture.note(&first, 410, Verdict::Dead, at(1)).await;
    for _ in 0..4 {
        fixture.job_with_url(url, at(1)).await;
        let due = fixture.due(at(1)).await;
        fixture.note(&due[0], 500, Verdict::RetryAt(at(5_000).wall), at(1)).await;
    }
    fixture.report(job.id, 1, 1, 1, &[BotReport::Admitted], at(2)).await;
    assert!(fixture.due(at(2)).await.is_empty(), "it rests");
    let id = first.event.delivery_id;
    let again = fixture.redeliver(id, at(2)).await;
    assert_eq!((again.state, again.next_try_at), (DeliveryState::Pending, Some(at(2).wall)));
    let due = fixture.due(at(2)).await;
    fixture.note(&due[0], 200, Verdict::Delivered, at(2)).await;
    assert_eq!(fixture.due(at(2)).await[0].event.data.sequence, 2, "nobody waited for it");
}

#[tokio::test]
async fn deliveries_to_an_endpoint_that_stays_down_are_given_up_after_36_hours() {
    let fixture = fixture().await;
    let url = "http://127.0.0.1:1/gone";
    let mut jobs = Vec::new();
    for _ in 0..8 {
        jobs.push(fixture.job_with_url(url, at(1)).await);
    }
    fixture.report(jobs[7].id, 1, 1, 1, &[BotReport::Admitted], at(2)).await;
    let mut now = 2;
    while fixture.ledger(&jobs[7]).await.iter().any(|one| one.state == DeliveryState::Pending) {
        assert!(now < 60 * 3_600, "they are never given up");
        for due in fixture.due(at(now)).await {
            // Those that are probed have tries left.
            fixture.note(&due, 500, Verdict::RetryAt(at(now + 5).wall), at(now)).await;
        }
        now += 300;
    }
    assert!(now > 36 * 3_600, "{now}");
    for job in jobs {
        let ledger = fixture.ledger(&job).await;
        assert!(ledger.iter().all(|one| one.state == DeliveryState::Dead), "{ledger:?}");
    }
}

#[tokio::test]
async fn deliveries_of_an_ended_sender_are_taken_again() {
    let fixture = fixture().await;
    fixture.job_with_url("http://127.0.0.1:1/lost", at(1)).await;
    let taken = fixture.due(at(1)).await;
    fixture.store.sweep(at(50)).await.unwrap();
    assert!(fixture.due(at(50)).await.is_empty());
    fixture.store.sweep(at(62)).await.unwrap();
    let again = fixture.due(at(62)).await;
    assert_eq!(again[0].event.delivery_id, taken[0].event.delivery_id);
    // The process dies, and its sender with it.
    fixture.store.take_over(Arc::new(|_, _| false), at(0)).await.unwrap();
    assert_eq!(fixture.due(at(63)).await.len(), 1);
}

#[tokio::test]
async fn a_replaced_secret_also_signs_until_its_overlap_ends() {
    let fixture = fixture().await;
    let secret = |text: &str| Secret::new(format!("whsec_{text}"));
    let day = Duration::from_hours(24);
    let rotate = async |new: &str, overlap, now| {
        fixture.store.rotate_webhook_secret("acme", secret(new), overlap, now).await.unwrap()
    };
    let Rotation::Done(secrets) = rotate("BBBB", day, at(10)).await else { panic!() };
    let previous = PreviousSecret { secret: secret("AAAA"), until: at(10).wall + day };
    assert_eq!(
        secrets,
        WebhookSecrets { current: secret("BBBB"), previous: Some(previous.clone()) }
    );
    assert_eq!(rotate("CCCC", day, at(11)).await, Rotation::UnderWay(previous.until));
    fixture.job_with_url("http://127.0.0.1:1/", at(12)).await;
    assert_eq!(fixture.due(at(12)).await[0].secrets, secrets);

    let over = at(10 + 24 * 3_600);
    fixture.job_with_url("http://127.0.0.1:1/later", over).await;
    let alone = WebhookSecrets { current: secret("BBBB"), previous: None };
    assert_eq!(fixture.due(over).await[0].secrets, alone);
    fixture.store.sweep(over).await.unwrap();
    assert_eq!(fixture.store.webhook_secrets("acme", at(12)).await.unwrap(), Some(alone));
    assert!(matches!(
        rotate("CCCC", Duration::ZERO, over).await,
        Rotation::Done(WebhookSecrets { previous: None, .. })
    ));
    assert_eq!(
        fixture.store.rotate_webhook_secret("nobody", secret("X"), day, over).await.unwrap(),
        Rotation::NoConsumer
    );
}

#[tokio::test]
async fn a_secret_is_rotated_once_for_an_idempotency_key() {
    let fixture = fixture().await;
    let (store, tenant) = (&fixture.store, fixture.tenant);
    let idempotency_key =
        IdempotencyKey { key: "r".into(), fingerprint: [1; 32], ignored: "note".into() };
    let rotate = async |consumer, new: &str, idempotency_key: Option<&IdempotencyKey>, now| {
        let (new, day) = (Secret::new(new), Duration::from_hours(24));
        let rotated = store.rotate_webhook_secret_idempotently(
            tenant,
            consumer,
            new,
            day,
            idempotency_key.cloned(),
            now,
        );
        rotated.await.unwrap()
    };
    let first = rotate(tenant.consumer, "whsec_BBBB", Some(&idempotency_key), at(10)).await;
    let RotationAnswer::Now(Rotation::Done(secrets)) = first else { panic!("{first:?}") };
    let shown = secrets.shown(tenant.consumer, "acme".to_owned());
    // Another rotation would be under way: it is the same one.
    let again = rotate(tenant.consumer, "whsec_CCCC", Some(&idempotency_key), at(11)).await;
    let RotationAnswer::Prior(PriorRequest::Answered(answer)) = again else { panic!("{again:?}") };
    assert_eq!((answer.status, answer.ignored.as_str()), (200, "note"));
    assert_eq!(answer.body, serde_json::to_string(&shown).unwrap());
    let other = IdempotencyKey { fingerprint: [2; 32], ..idempotency_key };
    let different = rotate(tenant.consumer, "whsec_CCCC", Some(&other), at(12)).await;
    assert!(matches!(different, RotationAnswer::Prior(PriorRequest::Different)), "{different:?}");
    // A refusal is no answer that is kept.
    let third = IdempotencyKey { key: "s".into(), ..other };
    for now in [at(13), at(14)] {
        let refused = rotate(tenant.consumer, "whsec_CCCC", Some(&third), now).await;
        let is_under_way = matches!(refused, RotationAnswer::Now(Rotation::UnderWay(_)));
        assert!(is_under_way, "{refused:?}");
    }
    let nobody = rotate(ConsumerId::generate(at(0).wall), "whsec_D", None, at(15)).await;
    assert!(matches!(nobody, RotationAnswer::Now(Rotation::NoConsumer)), "{nobody:?}");
    let kept = store.webhook_secrets("acme", at(16)).await.unwrap().unwrap();
    assert_eq!(kept, secrets);
}

#[tokio::test]
async fn a_redelivery_with_an_idempotency_key_happens_once() {
    let fixture = fixture().await;
    let job = fixture.job_with_url("http://127.0.0.1:1/", at(1)).await;
    let due = fixture.due(at(2)).await.remove(0);
    fixture.note(&due, 200, Verdict::Delivered, at(3)).await;
    let id = due.event.delivery_id;
    let idempotency_key =
        IdempotencyKey { key: "again".into(), fingerprint: [1; 32], ignored: "a.b".into() };
    let ask = async |idempotency_key: &IdempotencyKey, now| {
        fixture
            .store
            .redeliver(fixture.tenant, id, Some(idempotency_key.clone()), now)
            .await
            .unwrap()
    };
    let Redelivery::Sent(sent) = ask(&idempotency_key, at(4)).await else { panic!() };
    let due = fixture.due(at(5)).await.remove(0);
    assert_eq!((due.event.delivery_id, due.event.data.job_id), (id, job.id));
    fixture.note(&due, 200, Verdict::Delivered, at(6)).await;
    let Redelivery::Prior(PriorRequest::Answered(answer)) = ask(&idempotency_key, at(7)).await
    else {
        panic!()
    };
    assert_eq!((answer.status, answer.body), (200, serde_json::to_string(&sent).unwrap()));
    assert_eq!(answer.ignored, idempotency_key.ignored);
    assert!(fixture.due(at(8)).await.is_empty(), "it arrived once for that key");
    let other = IdempotencyKey { fingerprint: [2; 32], ..idempotency_key };
    assert!(matches!(ask(&other, at(9)).await, Redelivery::Prior(PriorRequest::Different)));
    // What is not there is not kept as an answer.
    let (nothing, key) =
        (DeliveryId::generate(at(9).wall), IdempotencyKey { key: "none".into(), ..other });
    let store = &fixture.store;
    let answer = store.redeliver(fixture.tenant, nothing, Some(key.clone()), at(9)).await.unwrap();
    assert!(matches!(answer, Redelivery::NotFound), "{answer:?}");
    assert!(store.prior_request(fixture.tenant, key, at(9)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_redelivery_requested_during_a_try_follows_it_unless_the_try_succeeds() {
    let fixture = fixture().await;
    let far = Verdict::RetryAt(at(90_000).wall);
    // Also during a first try, which has counted none yet.
    for (name, tries) in [("first", 0), ("seventh", 6)] {
        for verdict in [Verdict::Dead, far, Verdict::Delivered] {
            let url = format!("http://127.0.0.1:1/{name}/{verdict:?}");
            let job = fixture.job_with_url(&url, at(1)).await;
            for number in 0..tries {
                let due = fixture.due(at(1_000 * number + 1)).await.remove(0);
                let next = Verdict::RetryAt(at(1_000 * number + 1_001).wall);
                fixture.note(&due, 500, next, at(1_000 * number + 1)).await;
            }
            let due = fixture.due(at(7_000)).await.remove(0);
            assert_eq!((&due.url, u64::from(due.tries)), (&url, tries));
            fixture.redeliver(due.event.delivery_id, at(7_001)).await;
            assert!(fixture.due(at(7_001)).await.is_empty(), "it is on its way");
            let status = if verdict == Verdict::Delivered { 200 } else { 500 };
            fixture.note(&due, status, verdict, at(7_002)).await;
            let shown = fixture.ledger(&job).await.remove(0);
            if verdict == Verdict::Delivered {
                assert_eq!((shown.state, shown.next_try_at), (DeliveryState::Delivered, None));
                continue;
            }
            assert_eq!(shown.state, DeliveryState::Pending, "{url}");
            // An endpoint that fails as often as this rests first.
            let now = shown.next_try_at.expect("it waits for its try").millis_since(at(0).wall);
            assert!(now < 7_002_000 + 60_000, "{url}: {now}");
            let due = fixture.due(at(now.unsigned_abs().div_ceil(1_000))).await.remove(0);
            assert_eq!((&due.url, due.tries), (&url, 0));
            fixture.note(&due, 200, Verdict::Delivered, at(7_100)).await;
        }
    }
}
