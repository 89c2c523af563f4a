//! Chat and captions that bots withheld while recording was not permitted, and when the timeline shows their count.

use meetbot_types::{Cause, ControlAction, EventName, LeaveReason, bot::BotReport};

use super::{PAUSES, ended, play};
use crate::{jobs::withheld::Withheld, store::contract::at};

fn chat(messages: u64) -> BotReport {
    BotReport::Withheld { messages, captions: 1 }
}

#[test]
fn content_withheld_during_a_pause_is_reported_once_when_it_ends() {
    let resumed = BotReport::RecordingResumed { paused_ms: 5 };
    let twice = [&PAUSES[..], &[chat(1), chat(2), resumed.clone()]].concat();
    let (reported, _) = play(&[&twice[..], &[BotReport::RecordingPaused, resumed]].concat());
    let quiet = "nothing came in the second pause";
    assert_eq!(reported, ["joining", "in_call", "recording", "withheld 3 2"], "{quiet}");
    let stopped = BotReport::RecordingStopped { paused_ms: 5 };
    let end = ended(Cause::Left(LeaveReason::MeetingEnded), true);
    let (reported, _) = play(&[&PAUSES[..], &[chat(1), stopped, chat(1), end]].concat());
    let expected = ["withheld 2 2", "finalizing", "completed", "job.finalized"];
    assert_eq!(reported[4..], expected, "a stop has no end but the job's: {reported:?}");
}

#[test]
fn content_withheld_before_permission_is_reported_with_the_answer_or_at_the_end() {
    let asked = [BotReport::Admitted, BotReport::PermissionRequested, chat(4)];
    let granted = BotReport::PermissionAnswered { granted: true };
    let denied = BotReport::PermissionAnswered { granted: false };
    let end = ended(Cause::Left(LeaveReason::MeetingEnded), false);
    let (reported, _) = play(&[&asked[..], &[granted.clone(), end.clone()]].concat());
    assert_eq!(
        reported[3..5],
        ["bot.recording_permission_granted", "withheld 4 1"],
        "{reported:?}"
    );
    let (reported, _) = play(&[&asked[..], &[denied, chat(1), end]].concat());
    let expected = ["bot.recording_permission_denied", "withheld 5 2", "job.failed"];
    assert_eq!(reported[3..], expected, "{reported:?}");
    // The host permits it during a pause: nothing may be recorded yet.
    let resumed = BotReport::RecordingResumed { paused_ms: 5 };
    let both = [BotReport::PermissionRequested, chat(1), granted, chat(1), resumed];
    let (reported, _) = play(&[&PAUSES[..], &both].concat());
    assert_eq!(reported.last().unwrap(), "withheld 2 2");
    assert_eq!(reported.iter().filter(|reported| reported.starts_with("withheld")).count(), 1);
}

#[test]
fn counts_of_withheld_content_survive_a_lost_bot_and_are_reported_for_a_job_that_ends_in_the_queue()
{
    let (_, mut record) = play(&[BotReport::Admitted, BotReport::PermissionRequested, chat(2)]);
    record.release(1, at(9)).unwrap();
    let mut left = record.clone();
    let (_, changes) = left.command(&ControlAction::LeaveCall, None, at(9)).unwrap();
    assert_eq!(changes.events[0].event, EventName::ChatWithheld);
    let changes = record.cancel(at(9)).unwrap();
    assert_eq!(changes.events[0].event, EventName::ChatWithheld);
    assert_eq!((record.withheld, left.withheld), (Withheld::default(), Withheld::default()));
}
