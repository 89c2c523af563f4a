//! Tests with a page whose script is silent.

use super::*;

#[test]
fn a_page_whose_script_is_silent_is_lost() {
    let mut harness = TestSession::inside();
    harness.wait(1_000 * GOOGLE_MEET.bounds.silent_s);
    harness.tick();
    assert_eq!(harness.events(), Vec::<String>::new());
    assert_eq!(harness.session.wake(), harness.now + LATE_BEAT);
    harness.wait(1_000);
    harness.tick();
    let events = harness.events();
    assert!(events[0].starts_with("Lost"), "{events:?}");
}

#[test]
fn a_bot_that_was_suspended_reads_what_its_page_has_sent_before_it_calls_it_silent() {
    let mut harness = TestSession::inside();
    for _ in 0..2 {
        harness.wait(3_600_000);
        harness.tick();
        harness.happens(PageEvent::Beat);
        harness.tick();
        assert_eq!(harness.events(), Vec::<String>::new());
    }
    harness.wait(1_000 * GOOGLE_MEET.bounds.silent_s - 1);
    harness.tick();
    assert_eq!(harness.events(), Vec::<String>::new());
}
