//! What a job's bot is asked to do.

use super::*;

#[tokio::test]
async fn cancel_ends_a_queued_job_at_once_and_others_through_their_bot() {
    let fixture = fixture().await;
    let queued = fixture.create(|_| {}, at(1)).await;
    let cancelled = fixture.store.cancel(fixture.tenant, queued.id, at(2)).await.unwrap().unwrap();
    assert_eq!(cancelled.status, JobStatus::Cancelled);

    let job = fixture.create(|_| {}, at(3)).await;
    fixture.claim(1, at(4)).await.unwrap();
    fixture
        .report(job.id, 1, 1, 1, &[BotReport::Admitted, BotReport::RecordingStarted], at(5))
        .await;
    let leaving = fixture.store.cancel(fixture.tenant, job.id, at(6)).await.unwrap().unwrap();
    assert_eq!(leaving.status, JobStatus::Finalizing);
    fixture.store.cancel(fixture.tenant, job.id, at(6)).await.unwrap();
    let commands = fixture.store.bot_commands(job.id, 1, [1; 32], 0).await.unwrap().unwrap();
    assert_eq!(
        commands.iter().map(|command| &command.action).collect::<Vec<_>>(),
        [&ControlAction::Cancel]
    );
    // Its bot dies on the way out: the next one only finalises, as cancelled.
    fixture.store.release(job.id, 1, at(7)).await.unwrap();
    let claimed = fixture.claim(2, at(8)).await.unwrap();
    assert_eq!(claimed.finalize.unwrap().status, JobStatus::Cancelled);
    fixture.report(job.id, 2, 2, 1, &[ended(Cause::Cancelled, true)], at(9)).await;
    let job = fixture.store.cancel(fixture.tenant, job.id, at(10)).await.unwrap().unwrap();
    assert_eq!(
        (job.status, job.leave_reason),
        (JobStatus::Cancelled, Some(LeaveReason::Cancelled))
    );
}

#[tokio::test]
async fn commands_are_in_order_answered_once_and_expire_with_their_bot() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    let give = async |action, now| {
        fixture.store.command(fixture.tenant, job.id, action, None, None, now).await.unwrap()
    };
    assert!(matches!(
        give(ControlAction::PauseRecording, at(2)).await,
        CommandOutcome::InvalidState(_)
    ));
    fixture.claim(1, at(3)).await.unwrap();
    fixture
        .report(job.id, 1, 1, 1, &[BotReport::Admitted, BotReport::RecordingStarted], at(4))
        .await;
    let CommandOutcome::Accepted(pause, _) = give(ControlAction::PauseRecording, at(5)).await
    else {
        panic!()
    };
    let CommandOutcome::Accepted(chat, _) = give(ControlAction::SendChatMessage, at(5)).await
    else {
        panic!()
    };
    let commands = fixture.store.bot_commands(job.id, 1, [1; 32], 0).await.unwrap().unwrap();
    assert_eq!(commands.iter().map(|command| command.id).collect::<Vec<_>>(), [pause.id, chat.id]);
    let after =
        fixture.store.bot_commands(job.id, 1, [1; 32], commands[0].seq).await.unwrap().unwrap();
    assert_eq!(after.len(), 1);
    let done = BotReport::CommandDone { command_id: pause.id, state: ControlState::Done };
    fixture.report(job.id, 1, 1, 3, &[done], at(6)).await;
    fixture.store.release(job.id, 1, at(7)).await.unwrap();
    let state =
        async |id| fixture.store.commanded(fixture.tenant, id).await.unwrap().unwrap().0.state;
    assert_eq!(state(pause.id).await, ControlState::Done);
    assert_eq!(state(chat.id).await, "expired");
}

#[tokio::test]
async fn leaving_a_queued_job_ends_it() {
    let fixture = fixture().await;
    let job = fixture.create(|_| {}, at(1)).await;
    let left = fixture
        .store
        .command(fixture.tenant, job.id, ControlAction::LeaveCall, None, None, at(2))
        .await
        .unwrap();
    let CommandOutcome::Accepted(command, job) = left else { panic!("{left:?}") };
    assert_eq!((command.state, job.status), (ControlState::Done, JobStatus::Cancelled));
    assert_eq!(job.leave_reason, Some(LeaveReason::Requested));
}
