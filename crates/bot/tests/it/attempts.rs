//! Attempts that are cut short, and those that go on after them.

use meetbot_types::{
    CommandId, ControlAction, JobStatus,
    bot::{BotCommand, BotReport},
};

use crate::orchestrator::{Mood, PATIENCE, Stage, ended, now};

fn recording(report: &BotReport) -> bool {
    matches!(report, BotReport::RecordingStarted)
}

/// Waits until the first attempt has written its manifest.
async fn written(stage: &Stage) {
    let manifest = stage.folder(1).join("manifest.json");
    let written = async {
        while !manifest.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("the whole meeting is recorded");
}

#[tokio::test]
async fn an_orchestrator_that_is_away_ends_no_meeting_and_hears_everything_later() {
    let stage = Stage::set().await;
    stage.be(Mood::Away);
    let bot = Stage::run(stage.order(1, "two-speakers?seconds=3"));
    written(&stage).await;
    assert!(stage.refused() > 1);
    stage.be(Mood::Listens);
    bot.ends().await;
    let reports = stage.reports();
    assert!(reports.iter().any(recording));
    assert_eq!(ended(&reports).0.status, JobStatus::Completed);
    assert!(stage.manifest(1).complete);
}

#[tokio::test]
async fn a_bot_that_is_told_to_stop_waits_for_no_orchestrator() {
    let stage = Stage::set().await;
    stage.be(Mood::Away);
    let bot = Stage::run(stage.order(1, "two-speakers?seconds=3"));
    written(&stage).await;
    bot.stop.cancel();
    bot.ends().await;
}

#[tokio::test]
async fn a_superseded_bot_leaves_at_once_and_says_nothing_more() {
    let stage = Stage::set().await;
    let bot = Stage::run(stage.order(1, "two-speakers?seconds=3600"));
    stage.hears(recording).await;
    stage.be(Mood::Superseded);
    bot.ends().await;
    let left = async {
        while stage.sandbox.inspect(stage.job).present > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, left).await.expect("it is no longer in the meeting");
    assert!(!stage.reports().iter().any(|report| matches!(report, BotReport::Ended { .. })));
    assert!(
        !stage.folder(1).join("manifest.json").exists(),
        "the manifest is the next attempt's to write"
    );
}

#[tokio::test]
async fn the_next_attempt_goes_on_in_the_same_recording() {
    let stage = Stage::set().await;
    let first = Stage::run(stage.order(1, "two-speakers?seconds=8"));
    stage.hears(recording).await;
    let sent = async {
        while stage.sandbox.inspect(stage.job).sent.iter().all(|sent| sent.packets < 100) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, sent).await.expect("there is something to keep");
    first.stop.cancel();
    first.ends().await;
    assert!(
        !stage.reports().iter().any(|report| matches!(report, BotReport::Ended { .. })),
        "its job is not over"
    );

    Stage::run(stage.order(2, "two-speakers?seconds=8")).ends().await;
    assert_eq!(ended(&stage.reports()).0.status, JobStatus::Completed);
    let manifest = stage.manifest(2);
    assert!(!manifest.complete);
    assert_eq!(manifest.attempts.len(), 2, "{manifest:#?}");
    assert!(manifest.attempts[1].gap_ms.is_some());
    let of_first: u64 = manifest
        .tracks
        .iter()
        .filter(|track| !track.file.contains(".a2."))
        .map(|track| track.packets)
        .sum();
    assert!(of_first >= 99, "{manifest:#?}");
    assert_eq!(manifest.tracks.len(), 4, "two speakers, two attempts: {manifest:#?}");
    assert!(
        manifest.tracks.windows(2).all(|two| two[0].start_ms <= two[1].start_ms),
        "one clock: {:#?}",
        manifest.tracks
    );
    assert!(
        manifest
            .tracks
            .iter()
            .all(|track| track.start_ms + track.duration_ms <= manifest.duration_ms + 100)
    );
}

fn command(seq: u64, action: ControlAction) -> BotCommand {
    BotCommand { id: CommandId::generate(now()), seq, action, message: None }
}

#[tokio::test]
async fn a_pause_outlives_the_bot_that_made_it() {
    let stage = Stage::set().await;
    let first = Stage::run(stage.order(1, "two-speakers?seconds=3600"));
    stage.hears(recording).await;
    stage.command(command(1, ControlAction::PauseRecording));
    stage.hears(|report| matches!(report, BotReport::CommandDone { .. })).await;
    first.stop.cancel();
    first.ends().await;
    stage.reports();

    let second = Stage::run(stage.order(2, "two-speakers?seconds=3600"));
    stage.hears(|report| matches!(report, BotReport::Admitted)).await;
    let before: u64 = stage.sandbox.inspect(stage.job).sent.iter().map(|sent| sent.packets).sum();
    let heard = async {
        while stage.sandbox.inspect(stage.job).sent.iter().map(|sent| sent.packets).sum::<u64>()
            < before + 100
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("the meeting goes on");
    stage.command(command(2, ControlAction::ResumeRecording));
    stage.hears(recording).await;
    stage.command(command(3, ControlAction::LeaveCall));
    second.ends().await;

    let reports = stage.reports();
    let place =
        |wanted: fn(&BotReport) -> bool| reports.iter().position(wanted).expect("it was reported");
    let resumed = place(|report| matches!(report, BotReport::RecordingResumed { .. }));
    assert!(resumed < place(recording), "{reports:#?}");
    let manifest = stage.manifest(2);
    let [pause] = manifest.pauses.as_slice() else { panic!("{manifest:#?}") };
    let BotReport::RecordingResumed { paused_ms } = reports[resumed] else { unreachable!() };
    assert_eq!(paused_ms, pause.end_ms - pause.start_ms);
    assert!(paused_ms >= 1_000, "two people sent a hundred packets meanwhile: {pause:?}");
    for track in &manifest.tracks {
        // A file's time begins with its first packet, which comes late on a busy machine, the next ones right behind it.
        let within = track.start_ms + track.duration_ms <= pause.start_ms + 500
            || track.start_ms >= pause.end_ms;
        assert!(within, "{track:?} is of the pause {pause:?}");
    }
}

/// A bot that does something, and dies before anybody has heard of it.
async fn dies_unheard(stage: &Stage, told: BotCommand, line: &str) {
    let first = Stage::run(stage.order(1, "two-speakers?seconds=3600"));
    stage.hears(recording).await;
    stage.be(Mood::Away);
    stage.command(told);
    let journal = stage.folder(1).join("events.jsonl");
    let done = async {
        while !std::fs::read_to_string(&journal).unwrap().contains(line) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("it is done");
    first.stop.cancel();
    first.ends().await;
    stage.reports();
    stage.be(Mood::Listens);
}

fn paused(report: &BotReport) -> bool {
    matches!(report, BotReport::RecordingPaused)
}

#[tokio::test]
async fn a_pause_that_nobody_heard_of_is_told_by_the_next_bot() {
    let stage = Stage::set().await;
    dies_unheard(&stage, command(1, ControlAction::PauseRecording), r#""type":"paused""#).await;
    let second = Stage::run(stage.order(2, "two-speakers?seconds=3600"));
    stage.hears(|report| matches!(report, BotReport::CommandDone { .. })).await;
    stage.command(command(2, ControlAction::ResumeRecording));
    stage.hears(recording).await;
    stage.command(command(3, ControlAction::LeaveCall));
    second.ends().await;
    let reports = stage.reports();
    let place =
        |wanted: fn(&BotReport) -> bool| reports.iter().position(wanted).expect("it was reported");
    let done = place(|report| matches!(report, BotReport::CommandDone { .. }));
    let resumed = place(|report| matches!(report, BotReport::RecordingResumed { .. }));
    assert!(place(paused) < done && done < resumed, "{reports:#?}");
}

#[tokio::test]
async fn a_stop_that_nobody_heard_of_is_told_by_the_next_bot() {
    let stage = Stage::set().await;
    dies_unheard(&stage, command(1, ControlAction::StopRecording), r#""type":"stopped""#).await;
    let second = Stage::run(stage.order(2, "two-speakers?seconds=3600"));
    stage.hears(|report| matches!(report, BotReport::CommandDone { .. })).await;
    stage.command(command(2, ControlAction::LeaveCall));
    second.ends().await;
    let reports = stage.reports();
    let stopped = |report: &BotReport| matches!(report, BotReport::RecordingStopped { .. });
    assert!(reports.iter().any(stopped), "{reports:#?}");
    assert!(!reports.iter().any(recording), "{reports:#?}");
}

#[tokio::test]
async fn what_comes_before_the_bot_is_in_is_done_when_it_is() {
    let stage = Stage::set().await;
    let stop = command(1, ControlAction::StopRecording);
    let id = stop.id;
    stage.command(stop);
    let bot = Stage::run(stage.order(1, "two-speakers?seconds=3600&admitAfter=1"));
    stage.hears(|report| matches!(report, BotReport::CommandDone { .. })).await;
    stage.command(command(2, ControlAction::LeaveCall));
    bot.ends().await;
    let reports = stage.reports();
    let admitted = reports.iter().position(|report| matches!(report, BotReport::Admitted));
    let done = reports.iter().position(
        |report| matches!(report, BotReport::CommandDone { command_id, .. } if *command_id == id),
    );
    assert!(admitted.is_some() && admitted < done, "{reports:#?}");
    assert!(!reports.iter().any(recording), "{reports:#?}");
}

fn end(report: &BotReport) -> bool {
    matches!(report, BotReport::Ended { .. })
}

#[tokio::test]
async fn a_recording_that_cannot_be_written_is_not_joined_again_but_finalised() {
    let stage = Stage::set().await;
    // What the bot hears first in the chat cannot be written.
    std::fs::create_dir_all(stage.folder(1).join("chat.jsonl")).unwrap();
    Stage::run(stage.order(1, "two-speakers?seconds=14")).ends().await;
    let reports = stage.reports();
    let failures: Vec<_> = reports
        .iter()
        .filter_map(|report| match report {
            BotReport::Leaving { reason: None, failure } => failure.as_ref(),
            _ => None,
        })
        .collect();
    let [failure] = failures.as_slice() else { panic!("{reports:#?}") };
    assert!(failure.detail.contains("cannot be written"), "{failure:?}");
    assert!(!reports.iter().any(end), "another attempt tries: {reports:#?}");

    // Neither can the next one finalise it; and it leaves nothing that would fill a disk.
    let finalize = |epoch| {
        let ending = meetbot_types::Cause::Failed((*failure).clone()).ending(true, false);
        let mut order = stage.order(epoch, "two-speakers?seconds=14");
        order.finalize = Some(ending);
        Stage::run(order).ends()
    };
    finalize(2).await;
    assert_eq!((stage.reports().iter().any(end), stage.folder(2).exists()), (false, false));
    std::fs::remove_dir(stage.folder(1).join("chat.jsonl")).unwrap();
    finalize(3).await;
    let (ending, has_manifest) = ended(&stage.reports());
    assert_eq!((ending.status, has_manifest), (JobStatus::Failed, true));
    assert!(!stage.manifest(3).tracks.is_empty());
}

#[tokio::test]
async fn a_recording_that_cannot_be_finalised_for_a_day_is_given_up() {
    let stage = Stage::set().await;
    let first = Stage::run(stage.order(1, "two-speakers?seconds=3600"));
    stage.hears(recording).await;
    first.stop.cancel();
    first.ends().await;
    stage.reports();
    let journal = stage.folder(1).join("events.jsonl");
    std::fs::remove_file(&journal).unwrap();
    std::fs::create_dir(&journal).unwrap();
    let mut order = stage.order(150, "two-speakers?seconds=3600");
    order.finalize = Some(meetbot_types::Cause::Requested.ending(true, false));
    Stage::run(order).ends().await;
    let (ending, has_manifest) = ended(&stage.reports());
    assert_eq!((ending.status, has_manifest), (JobStatus::Failed, false));
}

#[tokio::test]
async fn an_attempt_that_only_finalises_makes_the_manifest_of_what_is_there() {
    let stage = Stage::set().await;
    let first = Stage::run(stage.order(1, "two-speakers?seconds=3600"));
    stage.hears(recording).await;
    first.stop.cancel();
    first.ends().await;
    stage.reports();
    let joins = stage.sandbox.inspect(stage.job).joins;
    let mut order = stage.order(2, "two-speakers?seconds=3600");
    order.finalize = Some(meetbot_types::Cause::Cancelled.ending(true, false));
    Stage::run(order).ends().await;
    let (ending, has_manifest) = ended(&stage.reports());
    assert_eq!((ending.status, has_manifest), (JobStatus::Cancelled, true));
    assert_eq!(stage.sandbox.inspect(stage.job).joins, joins, "it joins nothing");
    assert!(!stage.manifest(2).complete);
}
