//! Tests of a bot with an orchestrator of another version, and with proxies between them.

use meetbot_types::{
    CommandId, ControlAction, ControlState, JobStatus, LeaveReason,
    bot::{BotCommand, BotReport},
};

use crate::orchestrator::{Behaviour, Fixture, ended, now};

#[tokio::test]
async fn an_older_orchestrator_gets_all_reports_that_it_can_read() {
    let fixture = Fixture::start().await;
    fixture.set_behaviour(Behaviour::Older);
    let bot = Fixture::run(fixture.order(1, "chatty?seconds=6"));
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    let id = CommandId::generate(now());
    let action = ControlAction::PauseRecording;
    fixture.command(BotCommand { id, seq: 1, action, message: None });
    bot.finish().await;
    assert!(fixture.refused() > 0, "it refused a report that it does not know");
    // And without a gap in the numbers.
    let reports = fixture.take_reports();
    assert!(!reports.iter().any(|report| matches!(report, BotReport::Withheld { .. })));
    let (ending, has_manifest) = ended(&reports);
    assert_eq!((ending.status, has_manifest), (JobStatus::Completed, true));
    assert_eq!(ending.leave_reason, Some(LeaveReason::MeetingEnded));
    let done = BotReport::CommandDone { command_id: id, state: ControlState::Done };
    assert!(reports.contains(&done), "{reports:#?}");
}

#[tokio::test]
async fn refusals_of_a_proxy_are_retried() {
    let fixture = Fixture::start().await;
    let bot = Fixture::run(fixture.order(1, "two-speakers?seconds=6"));
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    for status in [400, 401, 403, 404, 409, 413, 415, 502] {
        let before = fixture.refused();
        fixture.set_behaviour(Behaviour::Proxy(status));
        while fixture.refused() == before {
            tokio::task::yield_now().await;
        }
    }
    fixture.set_behaviour(Behaviour::Available);
    bot.finish().await;
    let (ending, has_manifest) = ended(&fixture.take_reports());
    assert_eq!((ending.status, has_manifest), (JobStatus::Completed, true));
    assert!(fixture.manifest(1).complete, "the bot stayed in the meeting");
}

#[tokio::test]
async fn an_unknown_command_of_a_newer_orchestrator_is_denied_and_later_ones_are_carried_out() {
    let fixture = Fixture::start().await;
    let bot = Fixture::run(fixture.order(1, "two-speakers?seconds=3600"));
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    let id = CommandId::generate(now());
    let action = ControlAction::Other("raise_hand".into());
    fixture.command(BotCommand { id, seq: 1, action, message: None });
    let action = ControlAction::LeaveCall;
    fixture.command(BotCommand { id: CommandId::generate(now()), seq: 2, action, message: None });
    bot.finish().await;
    let denied = BotReport::CommandDone { command_id: id, state: ControlState::Denied };
    let reports = fixture.take_reports();
    assert!(reports.contains(&denied), "{reports:#?}");
    assert_eq!(ended(&reports).0.leave_reason, Some(LeaveReason::Requested));
}
