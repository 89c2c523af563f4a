//! A bot, an orchestrator of another version, and the proxies between them.

use meetbot_types::{
    CommandId, ControlAction, ControlState, JobStatus, LeaveReason,
    bot::{BotCommand, BotReport},
};

use crate::orchestrator::{Mood, Stage, ended, now};

#[tokio::test]
async fn an_older_orchestrator_hears_all_that_it_can_read() {
    let stage = Stage::set().await;
    stage.be(Mood::Older);
    let bot = Stage::run(stage.order(1, "chatty?seconds=6"));
    stage.hears(|report| matches!(report, BotReport::RecordingStarted)).await;
    let id = CommandId::generate(now());
    let action = ControlAction::PauseRecording;
    stage.command(BotCommand { id, seq: 1, action, message: None });
    bot.ends().await;
    assert!(stage.refused() > 0, "it was told something that it does not know");
    // Without a hole in the numbers, too.
    let reports = stage.reports();
    assert!(!reports.iter().any(|report| matches!(report, BotReport::Withheld { .. })));
    let (ending, has_manifest) = ended(&reports);
    assert_eq!((ending.status, has_manifest), (JobStatus::Completed, true));
    assert_eq!(ending.leave_reason, Some(LeaveReason::MeetingEnded));
    let done = BotReport::CommandDone { command_id: id, state: ControlState::Done };
    assert!(reports.contains(&done), "{reports:#?}");
}

#[tokio::test]
async fn a_proxys_refusals_are_waited_out() {
    let stage = Stage::set().await;
    let bot = Stage::run(stage.order(1, "two-speakers?seconds=6"));
    stage.hears(|report| matches!(report, BotReport::RecordingStarted)).await;
    for status in [400, 401, 403, 404, 409, 413, 415, 502] {
        let before = stage.refused();
        stage.be(Mood::Proxy(status));
        while stage.refused() == before {
            tokio::task::yield_now().await;
        }
    }
    stage.be(Mood::Listens);
    bot.ends().await;
    let (ending, has_manifest) = ended(&stage.reports());
    assert_eq!((ending.status, has_manifest), (JobStatus::Completed, true));
    assert!(stage.manifest(1).complete, "the bot stayed in the meeting");
}

#[tokio::test]
async fn a_command_of_a_newer_orchestrator_is_denied_and_those_behind_it_are_heard() {
    let stage = Stage::set().await;
    let bot = Stage::run(stage.order(1, "two-speakers?seconds=3600"));
    stage.hears(|report| matches!(report, BotReport::RecordingStarted)).await;
    let id = CommandId::generate(now());
    let action = ControlAction::Other("raise_hand".into());
    stage.command(BotCommand { id, seq: 1, action, message: None });
    let action = ControlAction::LeaveCall;
    stage.command(BotCommand { id: CommandId::generate(now()), seq: 2, action, message: None });
    bot.ends().await;
    let denied = BotReport::CommandDone { command_id: id, state: ControlState::Denied };
    let reports = stage.reports();
    assert!(reports.contains(&denied), "{reports:#?}");
    assert_eq!(ended(&reports).0.leave_reason, Some(LeaveReason::Requested));
}
