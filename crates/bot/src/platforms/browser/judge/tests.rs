//! Tests with every state of Google Meet's page, in its two forms: names as labels and straight apostrophes, names in nested elements and curly ones.

use std::time::Duration;

use super::*;
use crate::{
    clock,
    platforms::browser::{
        landmarks::tests::GOOGLE_MEET,
        survey::{Control, Dialog, Frame},
    },
};

fn button(name: &str) -> Control {
    Control { name: name.to_owned(), shown: true, free: true, ..Control::default() }
}

fn field(name: &str) -> Control {
    Control { is_field: true, ..button(name) }
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// Adds misleading content: controls of a call in the lobby, an invisible captcha, texts that stay.
fn with_decoys(mut survey: Survey) -> Survey {
    let names = [
        "Leave call",
        "Turn on microphone",
        "Turn on camera",
        "Send a reaction",
        "Try again",
        "Return to home screen",
    ];
    survey.controls.extend(names.map(button));
    survey.frames.push(Frame {
        address: "https://www.google.com/recaptcha/x".into(),
        width: 256,
        height: 1,
    });
    survey.lines.push("Return to home screen".into());
    survey
}

fn page(texts: &[&str]) -> Survey {
    Survey {
        host: "meet.google.com".into(),
        path: "/abc-mnop-xyz".into(),
        headings: lines(&texts[..texts.len().min(1)]),
        lines: lines(texts),
        ..Survey::default()
    }
}

/// The state that a page is recognised as, in both forms.
fn state(survey: &Survey) -> Option<String> {
    let landmarks = Landmarks::read(GOOGLE_MEET).unwrap();
    let named = |survey: &Survey| {
        recognise(&landmarks, survey, false).map(|at| landmarks.states[at].name.clone())
    };
    let plain = named(survey);
    let curly = |text: &mut String| *text = text.replace('\'', "\u{2019}");
    let mut other = with_decoys(survey.clone());
    other.headings.iter_mut().for_each(curly);
    other.lines.iter_mut().for_each(curly);
    assert_eq!(named(&other), plain, "{other:?}");
    plain
}

#[test]
fn every_published_text_gives_its_state() {
    for (name, texts) in [
        ("wrong_code", &["Check your meeting code"][..]),
        ("wrong_code", &["Invalid video call name"]),
        ("wrong_code", &["Your meeting code has expired"]),
        ("wrong_code", &["The meeting code you entered doesn't work"]),
        ("login_asked", &["Sign in", "to continue with your Google Account"]),
        ("denied", &["Someone in the call denied your request to join"]),
        ("denied", &["Your request to join was denied"]),
        ("denied", &["You weren't allowed to join"]),
        // The lobby's text stays in the page behind it.
        ("denied", &["Someone in the call denied your request to join", "Asking to be let in..."]),
        ("unanswered", &["No one responded to your request to join the call"]),
        ("blocked", &["You can't join this video call", "Returning to home screen in 59 seconds"]),
        (
            "trouble",
            &["There is a problem connecting to this video call. Try again in a few minutes."],
        ),
        ("trouble", &["Sorry, we encountered a problem joining this video call"]),
        ("full", &["This meeting is full"]),
        ("removed", &["You've been removed from the meeting"]),
        ("removed", &["You were removed from the meeting"]),
        ("ended", &["Your host ended the meeting for everyone"]),
        ("ended", &["The call ended because everyone left"]),
        ("ended", &["The call ended"]),
        ("left", &["You left the meeting"]),
        ("reconnecting", &["Connection lost. Trying to reconnect..."]),
        ("reconnecting", &["Reconnecting..."]),
        ("reconnecting", &["Unable to connect"]),
        ("host_absent", &["Waiting for the host to join"]),
        ("waiting_room", &["Asking to be let in..."]),
        ("waiting_room", &["You'll join the call when someone lets you in"]),
        ("waiting_room", &["Please wait until a meeting host brings you into the call"]),
        ("waiting_room", &["Please wait until a meeting host admits you to the call"]),
    ] {
        assert_eq!(state(&page(texts)).as_deref(), Some(name), "{texts:?}");
    }
}

#[test]
fn pages_without_such_a_text_are_recognised_by_their_controls_and_frames() {
    let with = |controls: &[Control]| Survey { controls: controls.to_vec(), ..page(&["Meet"]) };
    for (name, survey) in [
        ("login_host", Survey { host: "accounts.google.com".into(), ..page(&["Sign in"]) }),
        (
            "captcha",
            Survey {
                frames: vec![Frame {
                    address: "https://www.google.com/recaptcha/api2/anchor".into(),
                    width: 304,
                    height: 78,
                }],
                ..page(&["Confirm you're not a robot"])
            },
        ),
        ("prejoin", with(&[field("Your name"), button("Other ways to join")])),
        ("prejoin", with(&[button("Ask to join")])),
        ("prejoin", with(&[button("Join here too"), button("People")])),
        ("prejoin", Survey { controls: vec![field("Your name")], ..page(&["Sign in"]) }),
        ("inside", with(&[button("Chat with everyone")])),
        ("inside", with(&[button("Show everyone")])),
        ("inside", with(&[button("People 3")])),
        // A hidden toolbar.
        ("inside", with(&[Control { shown: false, ..button("Chat with everyone") }])),
    ] {
        assert_eq!(state(&survey).as_deref(), Some(name), "{survey:?}");
    }
    for survey in [
        Survey::default(),
        page(&[]),
        page(&["Something here is new"]),
        with(&[button("Leave call")]),
    ] {
        assert_eq!(state(&survey), None, "{survey:?}");
    }
    let dialogs = vec![Dialog { lines: lines(&["You've been removed from the meeting"]) }];
    assert_eq!(state(&Survey { dialogs, ..page(&[]) }).as_deref(), Some("removed"));
}

#[test]
fn an_end_must_show_in_two_consecutive_looks() {
    let landmarks = Landmarks::read(GOOGLE_MEET).unwrap();
    let (mut history, now) = (History::default(), clock::now());
    let removed = page(&["You were removed from the meeting"]);
    let waiting = page(&["Asking to be let in..."]);
    let mut look =
        |survey: &Survey| history.look(&landmarks, survey, false, now).map(|state| &state.verdict);
    assert_eq!(look(&removed), None);
    assert!(matches!(look(&waiting), Some(Verdict::Lobby(_))), "one look is enough");
    assert_eq!(look(&removed), None);
    assert_eq!(look(&removed), Some(&Verdict::Removed));
}

#[test]
fn unknown_since_is_the_first_look_without_a_known_state() {
    let landmarks = Landmarks::read(GOOGLE_MEET).unwrap();
    let (mut history, start) = (History::default(), clock::now());
    let unknown = page(&["Something here is new"]);
    for second in 0..3 {
        history.look(&landmarks, &unknown, false, start + Duration::from_secs(second));
    }
    assert_eq!(history.unknown_since(), Some(start));
    history.look(&landmarks, &page(&["Reconnecting..."]), false, start + Duration::from_secs(3));
    assert_eq!(history.unknown_since(), None);
}

#[test]
fn texts_of_people_do_not_end_a_meeting_that_the_page_still_shows() {
    let landmarks = Landmarks::read(GOOGLE_MEET).unwrap();
    let mut survey = page(&["You were removed from the meeting", "Asking to be let in"]);
    survey.controls.push(button("Chat with everyone"));
    let name = |survey: &Survey, is_in| {
        recognise(&landmarks, survey, is_in).map(|at| landmarks.states[at].name.as_str())
    };
    assert_eq!(name(&survey, true), Some("inside"));
    survey.controls.clear();
    assert_eq!(name(&survey, true), Some("removed"));
}
