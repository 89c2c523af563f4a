//! Meetings from the door to the files, judged by what is to be heard in them.

use meetbot_types::{
    CommandId, ControlAction, JobStatus, LeaveReason, Manifest,
    bot::{BotCommand, BotReport},
    manifest::Track,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use xtask::{
    ffmpeg::{length_ms, tones_db},
    janus::{Janus, ROOM},
};

use super::{
    media::tone,
    person::{Person, Sends, Writer, present},
    proxy::Proxy,
};
use crate::orchestrator::{Stage, ended, now};

pub(crate) fn track<'a>(manifest: &'a Manifest, name: &str) -> &'a Track {
    let person = manifest.participants.iter().find(|person| person.name == name);
    let person = person.unwrap_or_else(|| panic!("{name} was there: {manifest:#?}"));
    let track = manifest.tracks.iter().find(|track| track.participant_id == person.id);
    track.unwrap_or_else(|| panic!("{name} is recorded: {manifest:#?}"))
}

fn voice(hz: u32) -> Sends {
    Sends { voice: Some(tone(hz)), ..Sends::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_has_their_own_voice_in_their_own_file() {
    let Some(janus) = Janus::start() else { return };
    let alice = Person::join(&janus, ROOM, "Alice", voice(440)).await;
    let bob = Person::join(&janus, ROOM, "Bob", voice(880)).await;
    let mut writer = Writer::join(&janus, "Alice").await;

    let stage = Stage::set().await;
    let mut order = stage.order_for(1, &janus.link(ROOM, &format!("&textroom={ROOM}")));
    order.auto_leave.after_solo_seconds = Some(1);
    let bot = Stage::run(order);
    let say = |seq, text: &str| {
        stage.command(BotCommand {
            id: CommandId::generate(now()),
            seq,
            action: ControlAction::SendChatMessage,
            message: Some(text.to_owned()),
        });
    };
    // The bot may not be in the text room yet.
    stage.hears(|report| matches!(report, BotReport::Admitted)).await;
    say(1, "this is recorded");
    stage.hears(|report| matches!(report, BotReport::RecordingStarted)).await;
    let before = alice.packets();

    writer.reads("this is recorded").await;
    writer.say("hello bot");
    stage.hears(|report| matches!(report, BotReport::Chat { .. })).await;
    say(2, "hello people");
    writer.reads("hello people").await;

    // Someone who comes later is asked for by a new negotiation.
    let carol = Person::join(&janus, ROOM, "Carol", voice(1760)).await;
    carol.sent(100).await;
    carol.leave().await;
    alice.sent(before + 250).await;
    let alices = alice.packets() - before;
    alice.leave().await;
    bob.leave().await;
    bot.ends().await;

    let reports = stage.reports();
    let (ending, _) = ended(&reports);
    assert_eq!(
        (ending.status, ending.leave_reason),
        (JobStatus::Completed, Some(LeaveReason::Solo))
    );
    let manifest = stage.manifest(1);
    assert!(manifest.complete, "{manifest:#?}");
    assert_eq!(manifest.participants.len(), 3, "{manifest:#?}");
    let all = [440.0, 880.0, 1760.0];
    for (name, own) in [("Alice", 0), ("Bob", 1), ("Carol", 2)] {
        let track = track(&manifest, name);
        assert_eq!(track.file, format!("audio.{name}.webm"));
        let heard = tones_db(&stage.folder(1).join(&track.file), &all);
        for (index, level) in heard.iter().enumerate().filter(|(index, _)| *index != own) {
            assert!(heard[own] - level >= 40.0, "{name}: {heard:?}, {index}");
        }
        assert_eq!(track.lost_packets, 0, "{track:#?}");
        assert!(length_ms(&stage.folder(1).join(&track.file)).abs_diff(track.duration_ms) <= 20);
        let person = manifest.participants.iter().find(|person| person.name == name).unwrap();
        assert!(
            person.left_at.is_some() && person.speaking_ms + 500 >= track.duration_ms,
            "{person:?}"
        );
    }
    let alice = track(&manifest, "Alice");
    // Who leaves may take the last packets along: Janus forwards nothing more of somebody who is gone.
    assert!(alice.packets + 3 >= alices && alice.packets <= alices + 60, "{alices} {alice:#?}");

    let chat = std::fs::read_to_string(stage.folder(1).join(manifest.chat.unwrap())).unwrap();
    assert_eq!(chat.lines().count(), 1, "the bot's own words are not others': {chat}");
    assert!(chat.contains("\"sender\":\"Alice\"") && chat.contains("hello bot"), "{chat}");
}

#[tokio::test]
async fn a_line_that_is_cut_is_picked_up_again_in_the_same_files() {
    let Some(janus) = Janus::start() else { return };
    let proxy = Proxy::start(&janus, 0).await;
    let alice = Person::join(&janus, ROOM, "Alice", voice(440)).await;
    let stage = Stage::set().await;
    let mut order = stage.order_for(1, &proxy.link(ROOM));
    order.auto_leave.after_solo_seconds = Some(1);
    let bot = Stage::run(order);
    stage.hears(|report| matches!(report, BotReport::RecordingStarted)).await;
    alice.sent(100).await;
    proxy.cut();
    let admitted = |reports: &[BotReport]| {
        reports.iter().filter(|report| matches!(report, BotReport::Admitted)).count()
    };
    stage.hears_all(|reports| admitted(reports) == 2).await;
    alice.sent(alice.packets() + 100).await;
    assert_eq!(present(&janus, ROOM).await.len(), 2, "the bot is there once");
    alice.leave().await;
    bot.ends().await;

    let reports = stage.reports();
    assert!(reports.iter().any(|report| matches!(report, BotReport::Reconnecting)), "{reports:#?}");
    assert_eq!(ended(&reports).0.leave_reason, Some(LeaveReason::Solo));
    let manifest = stage.manifest(1);
    assert!(!manifest.complete, "there is a hole: {manifest:#?}");
    assert_eq!((manifest.participants.len(), manifest.tracks.len()), (1, 1), "{manifest:#?}");
    let track = track(&manifest, "Alice");
    assert!(track.gaps.iter().any(|gap| gap.reason == "network_loss"), "{track:#?}");
    assert_eq!(length_ms(&stage.folder(1).join(&track.file)), track.duration_ms);
}

#[tokio::test]
async fn a_meeting_over_tls_is_joined_by_its_certificate_only() {
    let Some(janus) = Janus::start() else { return };
    let alice = Person::join(&janus, ROOM, "Alice", voice(440)).await;
    let stage = Stage::set().await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(janus.certificate()).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let bot = Stage::run_trusting(stage.order_for(1, &janus.tls_link(ROOM)), roots);
    stage.hears(|report| matches!(report, BotReport::RecordingStarted)).await;
    bot.stop.cancel();
    bot.ends().await;

    let stage = Stage::set().await;
    let bot = Stage::run(stage.order_for(1, &janus.tls_link(ROOM)));
    stage.hears(|report| matches!(report, BotReport::Reconnecting)).await;
    bot.stop.cancel();
    bot.ends().await;
    assert!(!stage.reports().iter().any(|report| matches!(report, BotReport::Admitted)));
    alice.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_muted_or_drops_out_and_comes_back_is_one_person_in_the_manifest() {
    let Some(janus) = Janus::start() else { return };
    let alice = Person::join(&janus, ROOM, "Alice", voice(440)).await;
    let bob = Person::join(&janus, ROOM, "Bob", voice(880)).await;
    let stage = Stage::set().await;
    let mut order = stage.order_for(1, &janus.link(ROOM, ""));
    order.auto_leave.after_solo_seconds = Some(1);
    let bot = Stage::run(order);
    stage.hears(|report| matches!(report, BotReport::RecordingStarted)).await;
    let left = |report: &BotReport| matches!(report, BotReport::ParticipantLeft { .. });

    bob.sent(100).await;
    bob.mute(true);
    alice.sent(alice.packets() + 50).await;
    bob.mute(false);
    bob.sent(150).await;
    alice.vanish().await;
    stage.hears(left).await;
    let alice = Person::join(&janus, ROOM, "Alice", voice(440)).await;
    alice.sent(100).await;
    alice.leave().await;
    bob.leave().await;
    bot.ends().await;

    let manifest = stage.manifest(1);
    assert_eq!(manifest.participants.len(), 2, "{manifest:#?}");
    assert_eq!(manifest.tracks.len(), 2, "{manifest:#?}");
    let gap =
        |name: &str| track(&manifest, name).gaps.iter().map(|gap| gap.end_ms - gap.start_ms).max();
    assert!(gap("Bob").is_some_and(|gap| (900..2_000).contains(&gap)), "{manifest:#?}");
    assert!(gap("Alice").is_some(), "{manifest:#?}");
    let reasons = |name: &str| {
        let gaps = &track(&manifest, name).gaps;
        gaps.iter().map(|gap| gap.reason.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (reasons("Alice"), reasons("Bob")),
        (vec!["absent".to_owned()], vec!["muted".to_owned()])
    );
    let alice = track(&manifest, "Alice");
    assert!(length_ms(&stage.folder(1).join(&alice.file)).abs_diff(alice.duration_ms) < 40);
}
