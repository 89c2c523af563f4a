//! Tests of media, chat and captions from before the page shows the meeting.

use super::*;

#[test]
fn audio_from_shortly_before_the_page_shows_the_meeting_is_kept() {
    let mut harness = TestSession::set();
    harness.connects();
    harness.hears(&[person(ANN, Some("Ann"), wire::Presence::In)], &[(ANN, 100)]);
    harness.says(100, 0);
    harness.wait(6_000);
    for number in 300..310 {
        harness.says(100, number);
        harness.wait(20);
    }
    harness.wait(300);
    harness.look(&meeting());
    let events = harness.events();
    let replays = events.iter().position(|event| event.starts_with("Replays")).unwrap();
    // The page shows it 500 ms after the ten packets of 20 ms, and half a second later.
    assert_eq!(events[replays], "Replays 1s");
    assert_eq!(events[replays + 1], "Admitted [\"Ann\"]");
    let voice = format!("of {ANN}");
    assert_eq!(
        events[replays + 2..],
        vec![voice.clone(); 10],
        "packets older than 5 s are dropped"
    );
    harness.says(100, 360);
    assert_eq!(harness.events(), [voice]);
}

#[test]
fn chat_and_captions_from_before_the_page_shows_the_meeting_are_kept() {
    let mut harness = TestSession::set();
    harness.connects();
    harness.chat(ANN, "m1", "early");
    harness.chat(OWN, "m2", "of the bot");
    harness.happens(PageEvent::Channel { id: 2, label: "captions".to_owned(), open: true });
    let (device, text) = (ANN.to_owned(), "good morning".to_owned());
    let version = caption_lines::Version { device, line: 1, number: 1, text, is_last: true };
    harness.session.captioned(vec![version], harness.now);
    // The line of captions is complete before the admission.
    harness.wait(3_000);
    harness.tick();
    assert_eq!(harness.events(), Vec::<String>::new());
    assert!(harness.session.wake() > harness.now, "nothing is due until the page shows it");
    // The name comes after the line.
    harness.hears(&[person(ANN, Some("Ann"), wire::Presence::In)], &[]);
    harness.chat(ANN, "m1", "early");
    harness.look(&meeting());
    harness.tick();
    let events = harness.events();
    let admitted = events.iter().position(|event| event.starts_with("Admitted")).unwrap();
    let [chat, caption] = &events[admitted + 1..] else { panic!("{events:?}") };
    for part in ["\"early\"", "sender: \"Ann\"", "ms_ago: 3000"] {
        assert!(chat.contains(part), "{chat}");
    }
    for part in ["\"good morning\"", "speaker: \"Ann\"", "began_ms_ago: 3500"] {
        assert!(caption.contains(part), "{caption}");
    }
    harness.chat(ANN, "m1", "early");
    assert_eq!(harness.events(), Vec::<String>::new(), "it is reported once");
}

#[test]
fn of_many_lines_from_before_the_admission_the_newest_are_kept() {
    let mut harness = TestSession::set();
    harness.connects();
    for number in 0..1_000 {
        harness.chat(ANN, &format!("m{number}"), &format!("line {number}"));
    }
    harness.look(&meeting());
    let lines = harness.events().into_iter().filter(|event| event.starts_with("Chat"));
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 200);
    assert!(lines[0].contains("\"line 800\"") && lines[199].contains("\"line 999\""));
}
