//! Bots that are lost: who comes after them, when, and to do what.

use super::*;

/// A job whose first bot records.
async fn recorded(fixture: &Fixture) -> JobId {
    let job = fixture.create(|_| {}, at(1)).await;
    fixture.claim(1, at(2)).await.unwrap();
    let reports = [BotReport::Admitted, BotReport::RecordingStarted];
    fixture.report(job.id, 1, 1, 1, &reports, at(3)).await;
    job.id
}

#[tokio::test]
async fn after_a_failure_that_joining_again_cannot_mend_the_next_bot_only_finalises() {
    let fixture = fixture().await;
    let job = recorded(&fixture).await;
    let failure = Failure::new(FailureCode::InternalError, "the disk is full");
    let leaving = BotReport::Leaving { reason: None, failure: Some(failure.clone()) };
    fixture.report(job, 1, 1, 3, &[leaving], at(4)).await;
    fixture.store.release(job, 1, at(5)).await.unwrap();
    let ending = fixture.claim(2, at(5)).await.unwrap().finalize.unwrap();
    assert_eq!(ending, Cause::Failed(failure).ending(true, false));
}
