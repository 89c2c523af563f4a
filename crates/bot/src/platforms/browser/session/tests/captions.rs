//! Tests of captions in a session.

use super::*;

#[test]
fn captions_are_switched_on_and_reported_with_their_speakers() {
    let mut harness = TestSession::inside();
    let hidden = page("", &[button("Chat with everyone")]);
    let off = page("", &[button("Chat with everyone"), button("Turn on captions")]);
    harness.look(&hidden);
    harness.look(&off);
    assert_eq!(harness.events(), ["Nudge", "false|Turn on captions|1"]);
    harness.happens(PageEvent::Channel { id: 2, label: "captions".to_owned(), open: true });
    harness.look(&off);
    assert_eq!(harness.events(), Vec::<String>::new(), "their channel is open");
    let line = |device: &str, text: &str| caption_lines::Version {
        device: device.to_owned(),
        line: 1,
        number: 1,
        text: text.to_owned(),
        is_last: true,
    };
    harness
        .session
        .captioned(vec![line(ANN, "Hello"), line(OWN, "me"), line(BEN, "Hi")], harness.now);
    harness.wait(2_000);
    harness.tick();
    let events = harness.events();
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(
        events[0].contains("\"Hello\"") && events[0].contains("speaker: \"Ann\""),
        "{events:?}"
    );
    assert!(events[0].contains("began_ms_ago: 2000, ended_ms_ago: 2000"), "{events:?}");
    assert_eq!(events[1], format!("{BEN} is Unknown speaker"));
    // What is incomplete at the end comes before it.
    let more = caption_lines::Version { number: 2, ..line(ANN, "Hello there") };
    harness.session.captioned(vec![more], harness.now);
    harness.session.leave(harness.now);
    let events = harness.events();
    assert!(events[0].contains("\"there\""), "{events:?}");
    // The button may be missing: the bot gives up.
    let mut harness = TestSession::inside();
    for _ in 0..30 {
        harness.look(&hidden);
        harness.happens(PageEvent::Beat);
    }
    assert_eq!(harness.events(), vec!["Nudge"; 8]);
}
