//! Requests of callers: idempotency keys, isolation of tenants, and lists.

use super::*;

#[tokio::test]
async fn an_external_id_names_one_job_in_each_world() {
    let fixture = fixture().await;
    let name = |job: &mut Job| job.external_id = Some("meeting-7".into());
    let first = fixture.create(name, at(1)).await;
    let mut again = new_job(at(2));
    name(&mut again);
    let creation = fixture
        .store
        .create_job(fixture.tenant, again.clone(), link(), start(&again), None, at(2))
        .await
        .unwrap();
    let Creation::Existing(existing) = creation else { panic!("{creation:?}") };
    assert_eq!(existing.id, first.id);
    let other_world = Tenant { live: false, ..fixture.tenant };
    let creation = fixture
        .store
        .create_job(other_world, again.clone(), link(), start(&again), None, at(2))
        .await
        .unwrap();
    assert!(matches!(creation, Creation::Created(_)));
}

#[tokio::test]
async fn an_idempotency_key_gets_its_first_answer_for_a_day() {
    let fixture = fixture().await;
    let idempotency_key =
        IdempotencyKey { key: "k".into(), fingerprint: [1; 32], ignored: "a.b".into() };
    let create = async |idempotency_key: &IdempotencyKey, now| {
        fixture
            .store
            .create_job(
                fixture.tenant,
                new_job(now),
                link(),
                start(&new_job(now)),
                Some(idempotency_key.clone()),
                now,
            )
            .await
            .unwrap()
    };
    let Creation::Created(job) = create(&idempotency_key, at(1)).await else { panic!() };
    let Creation::Prior(PriorRequest::Answered(answer)) = create(&idempotency_key, at(2)).await
    else {
        panic!()
    };
    assert_eq!((answer.status, answer.body), (201, serde_json::to_string(&job).unwrap()));
    assert_eq!(answer.ignored, idempotency_key.ignored);
    let other = IdempotencyKey { fingerprint: [2; 32], ..idempotency_key.clone() };
    assert!(matches!(create(&other, at(3)).await, Creation::Prior(PriorRequest::Different)));
    let tomorrow = at(1 + 24 * HOUR.as_secs());
    assert!(matches!(create(&other, tomorrow).await, Creation::Created(_)));
}

#[tokio::test]
async fn a_command_of_an_idempotency_key_is_given_once() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    fixture.claim(1, at(2)).await.unwrap();
    fixture.report(job.id, 1, 1, 1, &[BotReport::Admitted], at(3)).await;
    let idempotency_key =
        IdempotencyKey { key: "say".into(), fingerprint: [1; 32], ignored: "a.b".into() };
    let say = async |now| {
        fixture
            .store
            .command(
                fixture.tenant,
                job.id,
                ControlAction::SendChatMessage,
                Some("hi".into()),
                Some(idempotency_key.clone()),
                now,
            )
            .await
            .unwrap()
    };
    assert!(matches!(say(at(4)).await, CommandOutcome::Accepted(..)));
    assert!(matches!(say(at(5)).await, CommandOutcome::Prior(PriorRequest::Running)));
    // The server died before the last answer: the first one is given.
    let CommandOutcome::Prior(PriorRequest::Answered(answer)) = say(at(30)).await else { panic!() };
    assert_eq!(answer.status, 202);
    assert_eq!(answer.ignored, idempotency_key.ignored);
    let last = StoredResponse { status: 200, body: "{}".into(), ignored: "a.b".into() };
    fixture.store.set_final_response(fixture.tenant, "say".into(), last.clone()).await.unwrap();
    let CommandOutcome::Prior(PriorRequest::Answered(answer)) = say(at(31)).await else { panic!() };
    assert_eq!(answer, last);
    let commands = fixture.store.bot_commands(job.id, 1, [1; 32], 0).await.unwrap().unwrap();
    assert_eq!(commands.len(), 1);
}

#[tokio::test]
async fn another_tenant_cannot_see_a_job() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    let (other, _) = fixture.store.create_key(key("other", true), at(1)).await.unwrap();
    for stranger in [other.tenant, Tenant { live: false, ..fixture.tenant }] {
        let store = &fixture.store;
        let window = Window { limit: 10, after: None };
        assert!(store.job(stranger, job.id).await.unwrap().is_none());
        assert!(store.cancel(stranger, job.id, at(2)).await.unwrap().is_none());
        assert!(
            store
                .timeline(stranger, job.id, Window { limit: 10, after: None })
                .await
                .unwrap()
                .is_none()
        );
        assert!(store.jobs(stranger, JobFilter::default(), window).await.unwrap().data.is_empty());
        let commanded =
            store.command(stranger, job.id, ControlAction::LeaveCall, None, None, at(2)).await;
        assert!(matches!(commanded.unwrap(), CommandOutcome::NotFound));
        let window = Window { limit: 10, after: None };
        assert!(
            store
                .deliveries(stranger, DeliveryFilter::default(), window)
                .await
                .unwrap()
                .data
                .is_empty()
        );
    }
    assert_eq!(fixture.job(job.id).await.status, JobStatus::Queued);
}

#[tokio::test]
async fn a_list_is_stable_under_inserts_and_filters() {
    let fixture = fixture().await;
    for second in 1..=5 {
        fixture.create(|job| job.external_id = Some(second.to_string()), at(second)).await;
    }
    let list = async |filter, after| {
        fixture.store.jobs(fixture.tenant, filter, Window { limit: 2, after }).await.unwrap()
    };
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = list(JobFilter::default(), after).await;
        seen.extend(page.data.into_iter().filter_map(|job| job.external_id));
        fixture.create(|_| {}, at(60)).await;
        let Some(cursor) = page.next_cursor else { break };
        after = Some(cursor.parse().unwrap());
    }
    assert_eq!(seen, ["5", "4", "3", "2", "1"]);
    let filter = JobFilter {
        created_after: Some(at(2).wall),
        created_before: Some(at(4).wall),
        statuses: vec![JobStatus::Queued, JobStatus::Failed],
        ..JobFilter::default()
    };
    let found = list(filter, None).await.data;
    assert_eq!(
        found.iter().filter_map(|job| job.external_id.as_deref()).collect::<Vec<_>>(),
        ["3", "2"]
    );
    let filter = JobFilter { platform: Some(Platform::ZoomWeb), ..JobFilter::default() };
    assert!(list(filter, None).await.data.is_empty());
}
