//! Tests of whole meetings in Janus, judged by the audio in the files.

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
use crate::orchestrator::{Fixture, ended, now};

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
async fn each_participants_file_contains_only_that_voice() {
    let Some(janus) = Janus::start() else { return };
    let alice = Person::join(&janus, ROOM, "Alice", voice(440)).await;
    let bob = Person::join(&janus, ROOM, "Bob", voice(880)).await;
    let mut writer = Writer::join(&janus, "Alice").await;

    let fixture = Fixture::start().await;
    let mut order = fixture.order_for(1, &janus.link(ROOM, &format!("&textroom={ROOM}")));
    order.auto_leave.after_solo_seconds = Some(1);
    let bot = Fixture::run(order);
    let say = |seq, text: &str| {
        fixture.command(BotCommand {
            id: CommandId::generate(now()),
            seq,
            action: ControlAction::SendChatMessage,
            message: Some(text.to_owned()),
        });
    };
    // The bot may not be in the text room yet.
    fixture.wait_for(|report| matches!(report, BotReport::Admitted)).await;
    say(1, "this is recorded");
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    let before = alice.packets();

    writer.reads("this is recorded").await;
    writer.say("hello bot");
    fixture.wait_for(|report| matches!(report, BotReport::Chat { .. })).await;
    say(2, "hello people");
    writer.reads("hello people").await;

    // The streams of a later participant need a new negotiation.
    let carol = Person::join(&janus, ROOM, "Carol", voice(1760)).await;
    carol.sent(100).await;
    carol.leave().await;
    alice.sent(before + 250).await;
    let alices = alice.packets() - before;
    alice.leave().await;
    bob.leave().await;
    bot.finish().await;

    let reports = fixture.take_reports();
    let (ending, _) = ended(&reports);
    assert_eq!(
        (ending.status, ending.leave_reason),
        (JobStatus::Completed, Some(LeaveReason::Solo))
    );
    let manifest = fixture.manifest(1);
    assert!(manifest.complete, "{manifest:#?}");
    assert_eq!(manifest.participants.len(), 3, "{manifest:#?}");
    let all = [440.0, 880.0, 1760.0];
    for (name, own) in [("Alice", 0), ("Bob", 1), ("Carol", 2)] {
        let track = track(&manifest, name);
        assert_eq!(track.file, format!("audio.{name}.webm"));
        let heard = tones_db(&fixture.folder(1).join(&track.file), &all);
        for (index, level) in heard.iter().enumerate().filter(|(index, _)| *index != own) {
            assert!(heard[own] - level >= 40.0, "{name}: {heard:?}, {index}");
        }
        assert_eq!(track.lost_packets, 0, "{track:#?}");
        assert!(length_ms(&fixture.folder(1).join(&track.file)).abs_diff(track.duration_ms) <= 20);
        let person = manifest.participants.iter().find(|person| person.name == name).unwrap();
        assert!(
            person.left_at.is_some() && person.speaking_ms + 500 >= track.duration_ms,
            "{person:?}"
        );
    }
    let alice = track(&manifest, "Alice");
    // The last packets of a leaving participant may be lost: Janus forwards nothing after the leave.
    assert!(alice.packets + 3 >= alices && alice.packets <= alices + 60, "{alices} {alice:#?}");

    let chat = std::fs::read_to_string(fixture.folder(1).join(manifest.chat.unwrap())).unwrap();
    assert_eq!(chat.lines().count(), 1, "the bot's messages are not recorded: {chat}");
    assert!(chat.contains("\"sender\":\"Alice\"") && chat.contains("hello bot"), "{chat}");
}

#[tokio::test]
async fn a_lost_connection_continues_in_the_same_files() {
    let Some(janus) = Janus::start() else { return };
    let proxy = Proxy::start(&janus, 0).await;
    let alice = Person::join(&janus, ROOM, "Alice", voice(440)).await;
    let fixture = Fixture::start().await;
    let mut order = fixture.order_for(1, &proxy.link(ROOM));
    order.auto_leave.after_solo_seconds = Some(1);
    let bot = Fixture::run(order);
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    alice.sent(100).await;
    proxy.cut();
    let admitted = |reports: &[BotReport]| {
        reports.iter().filter(|report| matches!(report, BotReport::Admitted)).count()
    };
    fixture.wait_until(|reports| admitted(reports) == 2).await;
    alice.sent(alice.packets() + 100).await;
    assert_eq!(present(&janus, ROOM).await.len(), 2, "the bot is there once");
    alice.leave().await;
    bot.finish().await;

    let reports = fixture.take_reports();
    assert!(reports.iter().any(|report| matches!(report, BotReport::Reconnecting)), "{reports:#?}");
    assert_eq!(ended(&reports).0.leave_reason, Some(LeaveReason::Solo));
    let manifest = fixture.manifest(1);
    assert!(!manifest.complete, "there is a gap: {manifest:#?}");
    assert_eq!((manifest.participants.len(), manifest.tracks.len()), (1, 1), "{manifest:#?}");
    let track = track(&manifest, "Alice");
    assert!(track.gaps.iter().any(|gap| gap.reason == "network_loss"), "{track:#?}");
    assert_eq!(length_ms(&fixture.folder(1).join(&track.file)), track.duration_ms);
}

#[tokio::test]
async fn a_meeting_over_tls_is_joined_only_with_a_trusted_certificate() {
    let Some(janus) = Janus::start() else { return };
    let alice = Person::join(&janus, ROOM, "Alice", voice(440)).await;
    let fixture = Fixture::start().await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(janus.certificate()).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let bot = Fixture::run_trusting(fixture.order_for(1, &janus.tls_link(ROOM)), roots);
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    bot.stop.cancel();
    bot.finish().await;

    let fixture = Fixture::start().await;
    let bot = Fixture::run(fixture.order_for(1, &janus.tls_link(ROOM)));
    fixture.wait_for(|report| matches!(report, BotReport::Reconnecting)).await;
    bot.stop.cancel();
    bot.finish().await;
    assert!(!fixture.take_reports().iter().any(|report| matches!(report, BotReport::Admitted)));
    alice.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_is_muted_or_reconnects_is_one_person_in_the_manifest() {
    let Some(janus) = Janus::start() else { return };
    let alice = Person::join(&janus, ROOM, "Alice", voice(440)).await;
    let bob = Person::join(&janus, ROOM, "Bob", voice(880)).await;
    let fixture = Fixture::start().await;
    let mut order = fixture.order_for(1, &janus.link(ROOM, ""));
    order.auto_leave.after_solo_seconds = Some(1);
    let bot = Fixture::run(order);
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    let left = |report: &BotReport| matches!(report, BotReport::ParticipantLeft { .. });

    bob.sent(100).await;
    bob.mute(true);
    alice.sent(alice.packets() + 50).await;
    bob.mute(false);
    bob.sent(150).await;
    alice.vanish().await;
    fixture.wait_for(left).await;
    let alice = Person::join(&janus, ROOM, "Alice", voice(440)).await;
    alice.sent(100).await;
    alice.leave().await;
    bob.leave().await;
    bot.finish().await;

    let manifest = fixture.manifest(1);
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
    assert!(length_ms(&fixture.folder(1).join(&alice.file)).abs_diff(alice.duration_ms) < 40);
}
