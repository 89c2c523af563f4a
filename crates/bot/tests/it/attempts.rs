//! Tests of attempts that are interrupted, and of the attempts that continue them.

use meetbot_types::{
    ControlAction, JobStatus,
    bot::{BotCommand, BotReport},
};

use crate::orchestrator::{Behaviour, Fixture, TIMEOUT, command, ended};

fn recording(report: &BotReport) -> bool {
    matches!(report, BotReport::RecordingStarted)
}

/// Waits until the first attempt has written its manifest.
async fn written(fixture: &Fixture) {
    let manifest = fixture.folder(1).join("manifest.json");
    let written = async {
        while !manifest.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, written).await.expect("the whole meeting is recorded");
}

#[tokio::test]
async fn an_unavailable_orchestrator_ends_no_meeting_and_gets_all_reports_later() {
    let fixture = Fixture::start().await;
    fixture.set_behaviour(Behaviour::Unavailable);
    let bot = Fixture::run(fixture.order(1, "two-speakers?seconds=3"));
    written(&fixture).await;
    assert!(fixture.refused() > 1);
    fixture.set_behaviour(Behaviour::Available);
    bot.finish().await;
    let reports = fixture.take_reports();
    assert!(reports.iter().any(recording));
    assert_eq!(ended(&reports).0.status, JobStatus::Completed);
    assert!(fixture.manifest(1).complete);
}

#[tokio::test]
async fn a_stopping_bot_does_not_wait_for_an_unavailable_orchestrator() {
    let fixture = Fixture::start().await;
    fixture.set_behaviour(Behaviour::Unavailable);
    let bot = Fixture::run(fixture.order(1, "two-speakers?seconds=3"));
    written(&fixture).await;
    bot.stop.cancel();
    bot.finish().await;
}

#[tokio::test]
async fn a_superseded_bot_leaves_at_once_and_reports_nothing_more() {
    leaves(Behaviour::Superseded).await;
}

/// As after a restore that ends all running jobs.
#[tokio::test]
async fn a_bot_leaves_whose_job_has_ended_without_it() {
    leaves(Behaviour::Over).await;
}

async fn leaves(behaviour: Behaviour) {
    let fixture = Fixture::start().await;
    let bot = Fixture::run(fixture.order(1, "two-speakers?seconds=3600"));
    fixture.wait_for(recording).await;
    fixture.set_behaviour(behaviour);
    bot.finish().await;
    let left = async {
        while fixture.sandbox.inspect(fixture.job).present > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, left).await.expect("it is no longer in the meeting");
    assert!(!fixture.take_reports().iter().any(|report| matches!(report, BotReport::Ended { .. })));
    assert!(
        !fixture.folder(1).join("manifest.json").exists(),
        "the next attempt writes the manifest"
    );
}

#[tokio::test]
async fn the_next_attempt_continues_the_same_recording() {
    let fixture = Fixture::start().await;
    let first = Fixture::run(fixture.order(1, "two-speakers?seconds=8"));
    fixture.wait_for(recording).await;
    let sent = async {
        while fixture.sandbox.inspect(fixture.job).sent.iter().all(|sent| sent.packets < 100) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, sent).await.expect("there is something to keep");
    first.stop.cancel();
    first.finish().await;
    assert!(
        !fixture.take_reports().iter().any(|report| matches!(report, BotReport::Ended { .. })),
        "its job is not over"
    );

    Fixture::run(fixture.order(2, "two-speakers?seconds=8")).finish().await;
    assert_eq!(ended(&fixture.take_reports()).0.status, JobStatus::Completed);
    let manifest = fixture.manifest(2);
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

#[tokio::test]
async fn a_pause_outlives_the_bot_that_made_it() {
    let fixture = Fixture::start().await;
    let first = Fixture::run(fixture.order(1, "two-speakers?seconds=3600"));
    fixture.wait_for(recording).await;
    fixture.command(command(1, ControlAction::PauseRecording, None));
    fixture.wait_for(|report| matches!(report, BotReport::CommandDone { .. })).await;
    first.stop.cancel();
    first.finish().await;
    fixture.take_reports();

    let second = Fixture::run(fixture.order(2, "two-speakers?seconds=3600"));
    fixture.wait_for(|report| matches!(report, BotReport::Admitted)).await;
    let before: u64 =
        fixture.sandbox.inspect(fixture.job).sent.iter().map(|sent| sent.packets).sum();
    let heard = async {
        while fixture.sandbox.inspect(fixture.job).sent.iter().map(|sent| sent.packets).sum::<u64>()
            < before + 100
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, heard).await.expect("the meeting goes on");
    fixture.command(command(2, ControlAction::ResumeRecording, None));
    fixture.wait_for(recording).await;
    fixture.command(command(3, ControlAction::LeaveCall, None));
    second.finish().await;

    let reports = fixture.take_reports();
    let place =
        |wanted: fn(&BotReport) -> bool| reports.iter().position(wanted).expect("it was reported");
    let resumed = place(|report| matches!(report, BotReport::RecordingResumed { .. }));
    assert!(resumed < place(recording), "{reports:#?}");
    let manifest = fixture.manifest(2);
    let [pause] = manifest.pauses.as_slice() else { panic!("{manifest:#?}") };
    let BotReport::RecordingResumed { paused_ms } = reports[resumed] else { unreachable!() };
    assert_eq!(paused_ms, pause.end_ms - pause.start_ms);
    assert!(paused_ms >= 1_000, "two people sent a hundred packets meanwhile: {pause:?}");
    for track in &manifest.tracks {
        // A file's time begins with its first packet, which is late on a busy machine; the next ones follow immediately.
        let within = track.start_ms + track.duration_ms <= pause.start_ms + 500
            || track.start_ms >= pause.end_ms;
        assert!(within, "{track:?} is of the pause {pause:?}");
    }
}

/// Runs a bot that carries out a command, and crashes before its report is applied.
async fn crash_before_report(fixture: &Fixture, command: BotCommand, line: &str) {
    let first = Fixture::run(fixture.order(1, "two-speakers?seconds=3600"));
    fixture.wait_for(recording).await;
    fixture.set_behaviour(Behaviour::Unavailable);
    fixture.command(command);
    let journal = fixture.folder(1).join("events.jsonl");
    let done = async {
        while !std::fs::read_to_string(&journal).unwrap().contains(line) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, done).await.expect("it is done");
    first.stop.cancel();
    first.finish().await;
    fixture.take_reports();
    fixture.set_behaviour(Behaviour::Available);
}

fn paused(report: &BotReport) -> bool {
    matches!(report, BotReport::RecordingPaused)
}

#[tokio::test]
async fn an_unreported_pause_is_reported_by_the_next_bot() {
    let fixture = Fixture::start().await;
    crash_before_report(
        &fixture,
        command(1, ControlAction::PauseRecording, None),
        r#""type":"paused""#,
    )
    .await;
    let second = Fixture::run(fixture.order(2, "two-speakers?seconds=3600"));
    fixture.wait_for(|report| matches!(report, BotReport::CommandDone { .. })).await;
    fixture.command(command(2, ControlAction::ResumeRecording, None));
    fixture.wait_for(recording).await;
    fixture.command(command(3, ControlAction::LeaveCall, None));
    second.finish().await;
    let reports = fixture.take_reports();
    let place =
        |wanted: fn(&BotReport) -> bool| reports.iter().position(wanted).expect("it was reported");
    let done = place(|report| matches!(report, BotReport::CommandDone { .. }));
    let resumed = place(|report| matches!(report, BotReport::RecordingResumed { .. }));
    assert!(place(paused) < done && done < resumed, "{reports:#?}");
}

#[tokio::test]
async fn an_unreported_stop_is_reported_by_the_next_bot() {
    let fixture = Fixture::start().await;
    crash_before_report(
        &fixture,
        command(1, ControlAction::StopRecording, None),
        r#""type":"stopped""#,
    )
    .await;
    let second = Fixture::run(fixture.order(2, "two-speakers?seconds=3600"));
    fixture.wait_for(|report| matches!(report, BotReport::CommandDone { .. })).await;
    fixture.command(command(2, ControlAction::LeaveCall, None));
    second.finish().await;
    let reports = fixture.take_reports();
    let stopped = |report: &BotReport| matches!(report, BotReport::RecordingStopped { .. });
    assert!(reports.iter().any(stopped), "{reports:#?}");
    assert!(!reports.iter().any(recording), "{reports:#?}");
}

#[tokio::test]
async fn recording_commands_before_the_admission_are_carried_out_after_it() {
    let fixture = Fixture::start().await;
    let stop = command(1, ControlAction::StopRecording, None);
    let id = stop.id;
    fixture.command(stop);
    let bot = Fixture::run(fixture.order(1, "two-speakers?seconds=3600&admitAfter=1"));
    fixture.wait_for(|report| matches!(report, BotReport::CommandDone { .. })).await;
    fixture.command(command(2, ControlAction::LeaveCall, None));
    bot.finish().await;
    let reports = fixture.take_reports();
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
async fn a_recording_that_cannot_be_written_is_finalised_without_a_rejoin() {
    let fixture = Fixture::start().await;
    // The first chat message cannot be written.
    std::fs::create_dir_all(fixture.folder(1).join("chat.jsonl")).unwrap();
    Fixture::run(fixture.order(1, "two-speakers?seconds=14")).finish().await;
    let reports = fixture.take_reports();
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

    // The next one cannot finalise it either; and it leaves no files that would fill a disk.
    let finalize = |epoch| {
        let ending = meetbot_types::Cause::Failed((*failure).clone()).ending(true, false);
        let mut order = fixture.order(epoch, "two-speakers?seconds=14");
        order.finalize = Some(ending);
        Fixture::run(order).finish()
    };
    finalize(2).await;
    assert_eq!(
        (fixture.take_reports().iter().any(end), fixture.folder(2).exists()),
        (false, false)
    );
    std::fs::remove_dir(fixture.folder(1).join("chat.jsonl")).unwrap();
    finalize(3).await;
    let (ending, has_manifest) = ended(&fixture.take_reports());
    assert_eq!((ending.status, has_manifest), (JobStatus::Failed, true));
    assert!(!fixture.manifest(3).tracks.is_empty());
}

#[tokio::test]
async fn a_recording_that_cannot_be_finalised_for_a_day_is_given_up() {
    let fixture = Fixture::start().await;
    let first = Fixture::run(fixture.order(1, "two-speakers?seconds=3600"));
    fixture.wait_for(recording).await;
    first.stop.cancel();
    first.finish().await;
    fixture.take_reports();
    let journal = fixture.folder(1).join("events.jsonl");
    std::fs::remove_file(&journal).unwrap();
    std::fs::create_dir(&journal).unwrap();
    let mut order = fixture.order(150, "two-speakers?seconds=3600");
    order.finalize = Some(meetbot_types::Cause::Requested.ending(true, false));
    Fixture::run(order).finish().await;
    let (ending, has_manifest) = ended(&fixture.take_reports());
    assert_eq!((ending.status, has_manifest), (JobStatus::Failed, false));
}

#[tokio::test]
async fn an_attempt_that_only_finalises_makes_the_manifest_of_the_existing_files() {
    let fixture = Fixture::start().await;
    let first = Fixture::run(fixture.order(1, "two-speakers?seconds=3600"));
    fixture.wait_for(recording).await;
    first.stop.cancel();
    first.finish().await;
    fixture.take_reports();
    let joins = fixture.sandbox.inspect(fixture.job).joins;
    let mut order = fixture.order(2, "two-speakers?seconds=3600");
    order.finalize = Some(meetbot_types::Cause::Cancelled.ending(true, false));
    Fixture::run(order).finish().await;
    let (ending, has_manifest) = ended(&fixture.take_reports());
    assert_eq!((ending.status, has_manifest), (JobStatus::Cancelled, true));
    assert_eq!(fixture.sandbox.inspect(fixture.job).joins, joins, "it joins nothing");
    assert!(!fixture.manifest(2).complete);
}
