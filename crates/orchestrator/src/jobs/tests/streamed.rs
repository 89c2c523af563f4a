//! Jobs whose meeting Zoom streams to the bot.

use meetbot_types::Platform;

use super::*;

#[test]
fn a_chat_message_to_a_streamed_meeting_is_refused() {
    let denied = (ControlAction::SendChatMessage, ControlState::Denied);
    let asked = (ControlAction::PauseRecording, ControlState::Pending);
    for (live, (action, state)) in [
        (true, denied),
        (true, asked),
        // The sandbox plays the meetings of test keys.
        (false, (ControlAction::SendChatMessage, ControlState::Pending)),
    ] {
        let (_, mut record) = play(&RECORDS);
        record.job.platform = Platform::ZoomWeb;
        record.tenant.live = live;
        let (command, _) = record.command(&action, Some("hi".into()), at(9)).unwrap();
        assert_eq!(command.state, state, "{live} {action}");
    }
}
