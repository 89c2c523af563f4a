//! Tests with receivers whose encoded frames cannot be taken.

use super::*;

fn uncaptured(lane: u16, kind: &str, encoded: bool) -> PageEvent {
    PageEvent::Uncaptured { lane, kind: kind.to_owned(), encoded }
}

#[test]
fn packets_that_the_page_encoded_again_are_attributed_to_what_it_played() {
    let mut harness = TestSession::inside();
    harness.hears(&[], &[(ANN, 7)]);
    harness.says(7, 1);
    assert_eq!(harness.events(), [format!("of {ANN}")]);
    // The page has another connection, whose first lane has the next number.
    harness.happens(uncaptured(2, "audio", true));
    harness.lane = 2;
    harness.says(7, 2);
    harness.says(7, 3);
    let expected = [format!("{ANN} is played"), format!("of {ANN}"), format!("of {ANN}")];
    assert_eq!(harness.events(), expected);
    harness.lane = 3;
    harness.says(7, 4);
    assert_eq!(harness.events(), [format!("{ANN} is source"), format!("of {ANN}")]);
}

#[test]
fn media_that_cannot_be_captured_at_all_are_unavailable_once_the_bot_is_in() {
    let mut harness = TestSession::set();
    for lane in 1..4 {
        harness.happens(uncaptured(lane, "audio", false));
    }
    harness.happens(uncaptured(4, "video", false));
    assert_eq!(harness.events(), Vec::<String>::new());
    harness.connects();
    harness.look(&meeting());
    let events = harness.events();
    let unavailable: Vec<_> =
        events.iter().filter(|event| event.starts_with("Unavailable")).collect();
    assert!(unavailable[0].contains("Microphone") && unavailable[0].contains("several"));
    assert!(unavailable[1].contains("Camera") && unavailable[1].contains("camera-4"));
    assert_eq!(unavailable.len(), 2, "{events:#?}");
    assert!(events.contains(&"several is Several speakers".to_owned()), "{events:#?}");
}

#[test]
fn the_evidence_of_a_failed_join_lists_them() {
    let mut harness = TestSession::set();
    harness.happens(uncaptured(1, "audio", true));
    harness.session.lose("the test ends it");
    assert_eq!(harness.session.evidence().unwrap().uncaptured, ["audio"]);
}
