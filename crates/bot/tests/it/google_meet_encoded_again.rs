//! Tests with a page whose encoded frames cannot be taken.

use meetbot_imitation::{Action, Dialect, Scenario, Signal, Sound};
use meetbot_types::{
    ControlAction,
    bot::{BotReport, MediaCounters, MediaKind},
    manifest::Track,
};

use crate::{
    google_meet::{has_chromium, order, says, step},
    google_meet_files::{tone_db, tone_levels},
    orchestrator::{Fixture, command},
};

#[tokio::test(flavor = "multi_thread")]
async fn voices_whose_encoded_frames_cannot_be_taken_are_encoded_again_and_stay_separate() {
    if !has_chromium() {
        return;
    }
    for dialect in [Dialect::Labels, Dialect::Text] {
        are_encoded_again(dialect).await;
    }
}

async fn are_encoded_again(dialect: Dialect) {
    let people = [("Ann Host", 500), ("Ben Weber", 700), ("Cleo Jones", 1_100)];
    let scenario = Scenario {
        dialect,
        sound: Sound::Transform,
        steps: vec![step(Signal::Knocked, &[Action::Admit])],
        ..Scenario::default()
    };
    let imitation = meetbot_imitation::serve(scenario).await.unwrap();
    let fixture = Fixture::start().await;
    let mut order = order(&fixture, &imitation);
    order.record_video = Some(true);
    let bot = Fixture::run(order);
    fixture.wait_for(|report| matches!(report, BotReport::Admitted)).await;
    imitation.act(Action::Camera { person: people[0].0.to_owned(), on: true });
    // One after the other on one lane; then all at once. The page reads the end of one voice when the next one has begun.
    for (person, _) in people {
        imitation.act(says(person, 2_000));
        imitation.until(|seen| seen.sent.get(person) >= Some(&60)).await;
        imitation.act(Action::Busy(1_500));
        imitation.until(|seen| seen.sent.get(person) >= Some(&100)).await;
    }
    for (person, _) in people {
        imitation.act(says(person, 4_000));
    }
    for (person, _) in people {
        imitation.until(|seen| seen.sent.get(person) >= Some(&300)).await;
    }
    // A page on a busy machine encodes late, and a bot that leaves does not wait for it. There may be more packets than were sent: if they come late, the page fills the time.
    let seen = imitation.observed();
    let sent: u64 = people.iter().map(|(name, _)| seen.sent[*name]).sum();
    let has_all = |media: &MediaCounters| media.packets_written * 100 >= sent * 95;
    fixture.wait_for(|it| matches!(it, BotReport::Heartbeat { media } if has_all(media))).await;
    fixture.command(command(1, ControlAction::SendChatMessage, Some("good bye")));
    fixture.wait_for(|report| matches!(report, BotReport::CommandDone { .. })).await;
    fixture.command(command(2, ControlAction::LeaveCall, None));
    bot.finish().await;

    let seen = imitation.observed();
    assert_eq!(seen.faults, []);
    assert_eq!((seen.sound.as_deref(), seen.takes_video), (Some("transform"), Some(true)));
    let manifest = fixture.manifest(1);
    let in_files: u64 = manifest.tracks.iter().map(|track| track.packets).sum();
    assert!(in_files * 100 >= sent * 95, "{in_files} of {sent}: {manifest:#?}");
    for (name, hz) in people {
        let person = manifest.participants.iter().find(|one| one.name == name).unwrap();
        let is_voice =
            |track: &&Track| track.participant_id == person.id && track.kind == MediaKind::Audio;
        let voices = || manifest.tracks.iter().filter(is_voice);
        let played = |track: &&Track| track.attributed_by.as_deref() == Some("played");
        let (played, before): (Vec<_>, Vec<_>) = voices().partition(played);
        // In one dialect the transform comes a moment after the track.
        let is_late = dialect == Dialect::Text;
        assert!(!played.is_empty() && before.len() <= usize::from(is_late), "{manifest:#?}");
        assert!(before.iter().all(|track| track.packets < 100), "{before:?}");
        let sent = seen.sent[name];
        let packets: u64 = voices().map(|track| track.packets).sum();
        // Of each change from one voice to another, 0.7 s may be attributed to the wrong one, see below.
        assert!(packets * 100 >= sent * 75, "{name}: {packets} of {sent}: {manifest:#?}");
        // How many pieces of 100 ms have the voice.
        let holds = |track: &Track, hz| {
            let file = fixture.folder(1).join(&track.file);
            let own = tone_db(&file, hz);
            tone_levels(&file, hz).into_iter().filter(|db| *db > own - 30.0).count()
        };
        // What is played before the transform is there was captured encoded.
        let holding =
            |tracks: &[&Track]| tracks.iter().map(|track| holds(track, hz)).sum::<usize>();
        let (of_played, of_before) = (holding(&played), holding(&before));
        assert!(of_played + of_before >= 50, "{name}: {of_before} + {of_played}: {manifest:#?}");
        for track in played {
            assert_eq!(track.codec, "opus");
            let file = fixture.folder(1).join(&track.file);
            let own = tone_db(&file, hz);
            for (_, other) in people.into_iter().filter(|(_, other)| *other != hz) {
                // Where a lane changes from one voice to another, some packets are attributed to the other of the two.
                let levels = tone_levels(&file, other);
                let foreign = levels.into_iter().filter(|db| *db > own - 30.0).count();
                assert!(foreign <= 7, "{name}: {foreign} of {other} Hz");
            }
        }
        assert!(person.speaking_ms >= 5_000, "{person:?}");
    }
    let missing = &manifest.unavailable;
    assert!(
        missing.iter().all(|track| track.kind == MediaKind::Video && track.codec == "unknown"),
        "{missing:?}"
    );
    // A camera, and a screen.
    assert_eq!(missing.len(), 2, "{missing:?}");
    imitation.stop().await;
}
