//! Tests that chat and captions are withheld while nothing may be recorded.

use meetbot_types::{
    CommandId, ControlAction, ControlState, Timestamp,
    bot::{BotCommand, BotReport},
};

use crate::orchestrator::{Fixture, now};

/// How many messages and captions were withheld in total.
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

fn lines(fixture: &Fixture, file: &str) -> usize {
    std::fs::read_to_string(fixture.folder(1).join(file)).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn chat_and_captions_of_a_pause_are_counted_and_nothing_more() {
    let fixture = Fixture::start().await;
    let bot = Fixture::run(fixture.order(1, "chatty?seconds=12"));
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    let ids = [1, 2, 3].map(|ms| CommandId::generate(Timestamp::from_millis(ms)));
    let command = |number: usize, action, message: Option<&str>| BotCommand {
        id: ids[number],
        seq: number as u64 + 1,
        action,
        message: message.map(ToOwned::to_owned),
    };
    fixture.command(command(0, ControlAction::PauseRecording, None));
    fixture.command(command(1, ControlAction::SendChatMessage, Some("paused")));
    fixture
        .wait_until(|reports| {
            let (messages, captions) = withheld(reports);
            messages >= 3 && captions >= 1
        })
        .await;
    fixture.command(command(2, ControlAction::ResumeRecording, None));
    bot.finish().await;
    let reports = fixture.take_reports();
    let place = |wanted: fn(&BotReport) -> bool| reports.iter().position(wanted).unwrap();
    let paused = place(|report| matches!(report, BotReport::RecordingPaused));
    let resumed = place(|report| matches!(report, BotReport::RecordingResumed { .. }));
    assert!(!reports[paused..resumed].iter().any(is_chat), "{reports:#?}");
    let counted = withheld(&reports);
    assert_eq!(withheld(&reports[paused..resumed]), counted, "{reports:#?}");
    let reported = reports.iter().filter(|report| is_chat(report)).count();
    assert!(
        reported > 0 && reported as u64 + counted.0 == 30,
        "{reported} {counted:?} {reports:#?}"
    );
    assert_eq!(lines(&fixture, "chat.jsonl"), reported);
    let said = BotReport::CommandDone { command_id: ids[1], state: ControlState::Done };
    assert!(reports[paused..resumed].contains(&said), "{reports:#?}");
    assert_eq!(fixture.sandbox.inspect(fixture.job).chat, ["paused"]);
}

#[tokio::test]
async fn chat_is_withheld_without_permission() {
    for answer in ["deny", "none"] {
        let fixture = Fixture::start().await;
        let scenario = format!("asks-permission?seconds=4&answer={answer}");
        Fixture::run(fixture.order(1, &scenario)).finish().await;
        let reports = fixture.take_reports();
        assert!(!reports.iter().any(is_chat), "{reports:#?}");
        assert!(withheld(&reports).0 > 0, "{reports:#?}");
        assert_eq!((lines(&fixture, "chat.jsonl"), lines(&fixture, "captions.jsonl")), (0, 0));
    }
}

#[tokio::test]
async fn chat_is_withheld_after_a_stop() {
    let fixture = Fixture::start().await;
    let bot = Fixture::run(fixture.order(1, "chatty?seconds=6"));
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    let id = CommandId::generate(now());
    let action = ControlAction::StopRecording;
    fixture.command(BotCommand { id, seq: 1, action, message: None });
    bot.finish().await;
    let reports = fixture.take_reports();
    let stopped =
        reports.iter().position(|report| matches!(report, BotReport::RecordingStopped { .. }));
    let after = &reports[stopped.unwrap()..];
    assert!(!after.iter().any(is_chat) && withheld(after).0 > 0, "{reports:#?}");
}
