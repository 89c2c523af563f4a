//! What is written and said while nothing may be recorded stays in the bot.

use meetbot_types::{
    CommandId, ControlAction, ControlState, Timestamp,
    bot::{BotCommand, BotReport},
};

use crate::orchestrator::{Stage, now};

/// How many messages and captions were withheld in all.
fn withheld(reports: &[BotReport]) -> (u64, u64) {
    reports.iter().fold((0, 0), |(all_messages, all_captions), report| match report {
        BotReport::Withheld { messages, captions } => {
            (all_messages + messages, all_captions + captions)
        }
        _ => (all_messages, all_captions),
    })
}

fn is_chat(report: &BotReport) -> bool {
    matches!(report, BotReport::Chat { .. })
}

fn lines(stage: &Stage, file: &str) -> usize {
    std::fs::read_to_string(stage.folder(1).join(file)).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn chat_and_captions_of_a_pause_are_counted_and_nothing_more() {
    let stage = Stage::set().await;
    let bot = Stage::run(stage.order(1, "chatty?seconds=12"));
    stage.hears(|report| matches!(report, BotReport::RecordingStarted)).await;
    let ids = [1, 2, 3].map(|ms| CommandId::generate(Timestamp::from_millis(ms)));
    let command = |number: usize, action, message: Option<&str>| BotCommand {
        id: ids[number],
        seq: number as u64 + 1,
        action,
        message: message.map(ToOwned::to_owned),
    };
    stage.command(command(0, ControlAction::PauseRecording, None));
    stage.command(command(1, ControlAction::SendChatMessage, Some("paused")));
    stage
        .hears_all(|reports| {
            let (messages, captions) = withheld(reports);
            messages >= 3 && captions >= 1
        })
        .await;
    stage.command(command(2, ControlAction::ResumeRecording, None));
    bot.ends().await;
    let reports = stage.reports();
    let place = |wanted: fn(&BotReport) -> bool| reports.iter().position(wanted).unwrap();
    let paused = place(|report| matches!(report, BotReport::RecordingPaused));
    let resumed = place(|report| matches!(report, BotReport::RecordingResumed { .. }));
    assert!(!reports[paused..resumed].iter().any(is_chat), "{reports:#?}");
    let counted = withheld(&reports);
    assert_eq!(withheld(&reports[paused..resumed]), counted, "{reports:#?}");
    let told = reports.iter().filter(|report| is_chat(report)).count();
    assert!(told > 0 && told as u64 + counted.0 == 30, "{told} {counted:?} {reports:#?}");
    assert_eq!(lines(&stage, "chat.jsonl"), told);
    let said = BotReport::CommandDone { command_id: ids[1], state: ControlState::Done };
    assert!(reports[paused..resumed].contains(&said), "{reports:#?}");
    assert_eq!(stage.sandbox.inspect(stage.job).chat, ["paused"]);
}

#[tokio::test]
async fn nothing_of_the_chat_leaves_the_bot_without_permission() {
    for answer in ["deny", "none"] {
        let stage = Stage::set().await;
        let scenario = format!("asks-permission?seconds=4&answer={answer}");
        Stage::run(stage.order(1, &scenario)).ends().await;
        let reports = stage.reports();
        assert!(!reports.iter().any(is_chat), "{reports:#?}");
        assert!(withheld(&reports).0 > 0, "{reports:#?}");
        assert_eq!((lines(&stage, "chat.jsonl"), lines(&stage, "captions.jsonl")), (0, 0));
    }
}

#[tokio::test]
async fn after_a_stop_nothing_of_the_chat_leaves_the_bot() {
    let stage = Stage::set().await;
    let bot = Stage::run(stage.order(1, "chatty?seconds=6"));
    stage.hears(|report| matches!(report, BotReport::RecordingStarted)).await;
    let id = CommandId::generate(now());
    let action = ControlAction::StopRecording;
    stage.command(BotCommand { id, seq: 1, action, message: None });
    bot.ends().await;
    let reports = stage.reports();
    let stopped =
        reports.iter().position(|report| matches!(report, BotReport::RecordingStopped { .. }));
    let after = &reports[stopped.unwrap()..];
    assert!(!after.iter().any(is_chat) && withheld(after).0 > 0, "{reports:#?}");
}
