//! Tests of whole meetings, from the join to the manifest.

use meetbot_testkit::polling::poll_until;
use meetbot_types::{
    CommandId, ControlAction, JobStatus, LeaveReason,
    bot::{BotCommand, BotReport, Caption, MixOrder},
};
use tokio_util::sync::CancellationToken;
use xtask::ffmpeg::length_ms;

use crate::orchestrator::{Fixture, TIMEOUT, ended, now};

#[tokio::test]
async fn a_meeting_is_recorded_by_speaker_and_reported_in_order() {
    let fixture = Fixture::start().await;
    Fixture::run(fixture.order(1, "two-speakers?seconds=4")).finish().await;
    let reports = fixture.take_reports();
    let place =
        |wanted: fn(&BotReport) -> bool| reports.iter().position(wanted).expect("it was reported");
    let places = [
        place(|report| matches!(report, BotReport::Admitted)),
        place(|report| matches!(report, BotReport::RecordingStarted)),
        place(|report| {
            matches!(report, BotReport::Leaving { reason: Some(LeaveReason::MeetingEnded), .. })
        }),
        place(|report| matches!(report, BotReport::Ended { .. })),
    ];
    assert!(places.is_sorted(), "{reports:#?}");
    let (ending, has_manifest) = ended(&reports);
    assert_eq!((ending.status, has_manifest), (JobStatus::Completed, true));

    let manifest = fixture.manifest(1);
    assert!(manifest.complete, "{manifest:#?}");
    assert_eq!((manifest.job_id, manifest.external_id.as_deref()), (fixture.job, Some("lesson-7")));
    let sent = fixture.sandbox.inspect(fixture.job).sent;
    assert_eq!((sent.len(), manifest.tracks.len()), (2, 2), "{manifest:#?}");
    for sent in sent {
        let track = manifest
            .tracks
            .iter()
            .find(|track| track.participant_id == sent.participant_id)
            .unwrap();
        assert!(track.packets * 100 >= sent.packets * 99, "{sent:?} {track:?}");
        assert!(track.duration_ms >= track.packets * 20 - 20, "{track:?}");
        let person =
            manifest.participants.iter().find(|person| person.id == sent.participant_id).unwrap();
        assert_eq!(person.name, sent.name);
    }
    let spoke: u64 = manifest.participants.iter().map(|person| person.speaking_ms).sum();
    assert!((500..=4_000).contains(&spoke), "they took turns: {manifest:#?}");
    assert!(manifest.mixed.is_pending(), "{:?}", manifest.mixed);
    let order = MixOrder { folder: fixture.folder(1), unwanted: None };
    let mixed = meetbot_bot::mix(&order, &CancellationToken::new()).await.unwrap().unwrap();
    assert_eq!(mixed, fixture.manifest(1));
    assert_eq!(mixed.mixed.file.as_deref(), Some("audio.mixed.webm"), "{:?}", mixed.mixed);
    assert_eq!(mixed.files.last().unwrap().name, "audio.mixed.webm");
    assert_eq!(mixed.files.len(), manifest.files.len() + 1);
    let mixed_ms = length_ms(&fixture.folder(1).join("audio.mixed.webm"));
    let last_ms =
        manifest.tracks.iter().map(|track| track.start_ms + track.duration_ms).max().unwrap();
    assert!(mixed_ms.abs_diff(last_ms) <= 100, "{mixed_ms} {last_ms}");
    let captions =
        std::fs::read_to_string(fixture.folder(1).join(manifest.captions.unwrap())).unwrap();
    let captions: Vec<Caption> =
        captions.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(captions.len() >= 2, "{captions:?}");
    for caption in captions {
        assert!(
            caption.start_ms < caption.end_ms && caption.end_ms <= manifest.duration_ms,
            "{caption:?}"
        );
        assert!(
            manifest.participants.iter().any(|person| person.id == caption.speaker_id),
            "{caption:?}"
        );
    }
    let chat = std::fs::read_to_string(fixture.folder(1).join(manifest.chat.unwrap())).unwrap();
    let heard = reports.iter().filter(|report| matches!(report, BotReport::Chat { .. })).count();
    assert!(heard > 0 && chat.lines().count() == heard, "{chat}");
}

#[tokio::test]
async fn each_scenario_of_a_lobby_ends_as_documented() {
    for (scenario, code) in [
        ("host-denies?denyAfter=1", "host_denied_admission"),
        ("no-such-meeting", "meeting_not_found"),
        ("already-ended", "meeting_ended"),
        ("bad-passcode", "auth_failure"),
        ("bot-blocked", "bot_blocked"),
        ("registration-required", "registration_required"),
        ("meeting-full", "meeting_full"),
    ] {
        let fixture = Fixture::start().await;
        Fixture::run(fixture.order(1, scenario)).finish().await;
        let (ending, has_manifest) = ended(&fixture.take_reports());
        assert_eq!((ending.status, has_manifest), (JobStatus::Failed, false), "{scenario}");
        assert_eq!(ending.failure.unwrap().code.as_str(), code, "{scenario}");
    }
}

#[tokio::test]
async fn a_kicked_bot_keeps_its_recording() {
    let fixture = Fixture::start().await;
    Fixture::run(fixture.order(1, "kicked?seconds=3")).finish().await;
    let (ending, has_manifest) = ended(&fixture.take_reports());
    assert_eq!(
        (ending.status, ending.leave_reason, has_manifest),
        (JobStatus::Failed, Some(LeaveReason::Removed), true)
    );
    let manifest = fixture.manifest(1);
    assert_eq!(manifest.failure_code.unwrap().as_str(), "removed_from_meeting");
    assert!(manifest.tracks.iter().all(|track| track.packets > 25), "{:#?}", manifest.tracks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_leaves_on_command_and_reports_it() {
    let fixture = Fixture::start().await;
    let bot = Fixture::run(fixture.order(1, "two-speakers?seconds=3600"));
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    let command = |seq, action, message: Option<&str>| BotCommand {
        id: CommandId::generate(now()),
        seq,
        action,
        message: message.map(ToOwned::to_owned),
    };
    fixture.command(command(1, ControlAction::SendChatMessage, Some("good bye")));
    fixture.command(command(2, ControlAction::LeaveCall, None));
    bot.finish().await;
    let reports = fixture.take_reports();
    let done =
        reports.iter().filter(|report| matches!(report, BotReport::CommandDone { .. })).count();
    assert_eq!(done, 2, "{reports:#?}");
    let (ending, _) = ended(&reports);
    assert_eq!(
        (ending.status, ending.leave_reason),
        (JobStatus::Completed, Some(LeaveReason::Requested))
    );
    // The sandbox may read the bot's message after the bot has ended.
    let seen = tokio::task::block_in_place(|| {
        poll_until(TIMEOUT, || {
            let seen = fixture.sandbox.inspect(fixture.job);
            if seen.present == 0 { Ok(seen) } else { Err("the sandbox has not seen it leave") }
        })
    });
    assert_eq!(seen.chat, ["good bye"]);
    assert!(fixture.manifest(1).complete);
}

#[tokio::test]
async fn a_bot_that_is_alone_leaves_by_the_rule() {
    let fixture = Fixture::start().await;
    let mut order = fixture.order(1, "everyone-leaves?seconds=3");
    order.auto_leave.after_solo_seconds = Some(1);
    Fixture::run(order).finish().await;
    let (ending, has_manifest) = ended(&fixture.take_reports());
    assert_eq!(
        (ending.status, ending.leave_reason, has_manifest),
        (JobStatus::Completed, Some(LeaveReason::Solo), true)
    );
    let manifest = fixture.manifest(1);
    assert!(manifest.participants.iter().all(|person| person.left_at.is_some()), "{manifest:#?}");
}
