//! Tests of a session with scripted surveys, messages and packets.

mod accounts;
mod captions;
mod early;
mod silence;
mod uncaptured;

use super::{voices::unknown_speaker, *};
use crate::{
    clock,
    platforms::browser::{
        capture::Sound,
        landmark_files::GOOGLE_MEET,
        survey::{Control, Dialog},
    },
};

const URL: &str = "https://meet.google.com/abc-mnop-xyz?hl=en";
const OWN: &str = "spaces/a/devices/9";
const ANN: &str = "spaces/a/devices/1";
const BEN: &str = "spaces/a/devices/2";

/// A session, and its simulated time.
struct TestSession {
    session: Session,
    now: Instant,
    /// The lane of packets.
    lane: u16,
}

fn button(name: &str) -> Control {
    let (name, key) = (name.to_owned(), format!("false|{name}|1"));
    Control { name, key, shown: true, free: true, ..Control::default() }
}

fn field(name: &str) -> Control {
    Control { is_field: true, key: format!("true|{name}|1"), ..button(name) }
}

fn page(text: &str, controls: &[Control]) -> Survey {
    Survey {
        host: "meet.google.com".to_owned(),
        path: "/abc-mnop-xyz".to_owned(),
        headings: vec![text.to_owned()],
        lines: vec![text.to_owned()],
        controls: controls.to_vec(),
        ..Survey::default()
    }
}

fn meeting() -> Survey {
    page("", &["Chat with everyone", "Leave call", "Turn off captions"].map(button))
}

fn person(device: &str, name: Option<&str>, presence: wire::Presence) -> wire::Person {
    wire::Person {
        device: device.to_owned(),
        name: name.map(ToOwned::to_owned),
        presence,
        is_self: device == OWN,
        is_host: false,
        screen_of: None,
    }
}

impl TestSession {
    fn set() -> Self {
        Self::after(BrowserHistory::default())
    }

    fn after(earlier: BrowserHistory) -> Self {
        let now = clock::now();
        let (room, name) = ("abc-mnop-xyz".to_owned(), "meetbot".to_owned());
        Self {
            session: Session::new(&GOOGLE_MEET, URL.to_owned(), room, name, earlier, now),
            now,
            lane: 1,
        }
    }

    /// In the meeting, with Ann.
    fn inside() -> Self {
        let mut harness = Self::set();
        harness.connects();
        harness.hears(&[person(ANN, Some("Ann"), wire::Presence::In)], &[]);
        harness.look(&meeting());
        let events = harness.events();
        assert!(events.iter().any(|event| event.starts_with("Admitted")), "{events:?}");
        harness
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Passes a look, and half a second.
    fn look(&mut self, survey: &Survey) {
        self.session.look(survey, self.now);
        self.wait(500);
    }

    /// The media path and the channel are up, and the roster lists the bot.
    fn connects(&mut self) {
        self.happens(PageEvent::Peer { id: 1, state: "connected".to_owned() });
        self.happens(PageEvent::Channel { id: 1, label: COLLECTIONS.to_owned(), open: true });
        self.hears(&[person(OWN, Some("meetbot"), wire::Presence::In)], &[]);
    }

    fn happens(&mut self, event: PageEvent) {
        self.session.on_record(Record::PageEvent(event), self.now);
    }

    /// A message of the meeting: people, and the sources of their audio.
    fn hears(&mut self, people: &[wire::Person], sources: &[(&str, u32)]) {
        let output = |(device, source): &(&str, u32)| wire::Output {
            device: (*device).to_owned(),
            sends: wire::Sends::Sound(*source),
        };
        let outputs = sources.iter().map(output).collect();
        let update = wire::Update { people: people.to_vec(), outputs, chat: Vec::new() };
        self.session.update(update, self.now);
        self.session.admit(self.now);
    }

    /// The `number`th packet of a source.
    fn says(&mut self, source: u32, number: u16) {
        let sound = Sound {
            lane: self.lane,
            rtp_time: u32::from(number) * 960,
            sequence: Some(number),
            level_dbov: Some(-20),
            age_ms: 0.0,
            sources: vec![source],
            data: vec![0x48, 1],
        };
        self.session.on_record(Record::Sound(sound), self.now);
    }

    fn chat(&mut self, device: &str, id: &str, text: &str) {
        let line =
            wire::Line { id: id.to_owned(), device: device.to_owned(), text: text.to_owned() };
        let update = wire::Update { chat: vec![line], ..wire::Update::default() };
        self.session.update(update, self.now);
    }

    fn tick(&mut self) {
        self.session.tick(self.now);
    }

    /// A summary of the output since the last call.
    fn events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        while let Some(output) = self.session.output() {
            events.push(match output {
                Output::Action(Action::Click(key) | Action::Fill { field: key, .. }) => key,
                Output::Action(act) => format!("{act:?}"),
                Output::Event(MeetingEvent::Media { participant, .. }) => {
                    format!("of {participant}")
                }
                Output::Event(MeetingEvent::Joined(who)) => format!("{} is {}", who.id, who.name),
                Output::Event(MeetingEvent::Left(id)) => format!("{id} left"),
                Output::Event(MeetingEvent::Attributed { participant, attribution, .. }) => {
                    format!("{participant} is {}", attribution.word())
                }
                Output::Event(MeetingEvent::Admitted { people, .. }) => {
                    format!("Admitted {:?}", people.iter().map(|who| &who.name).collect::<Vec<_>>())
                }
                Output::Event(MeetingEvent::CommandDone { outcome, .. }) => format!("{outcome:?}"),
                Output::Event(MeetingEvent::Refused(why)) => format!("Refused {}", why.code),
                Output::Event(MeetingEvent::Unreachable(why)) => {
                    format!("Unreachable {}: {}", why.code, why.detail)
                }
                Output::Event(MeetingEvent::Replays { from }) => {
                    format!("Replays {:?}", self.now.saturating_duration_since(from))
                }
                Output::Event(event) => format!("{event:?}"),
            });
        }
        events
    }
}

#[test]
fn a_guest_turns_devices_off_enters_the_name_and_joins_once() {
    let mut harness = TestSession::set();
    let name = |value: &str| Control { value: value.to_owned(), ..field("Your name") };
    let off = [button("Turn on microphone"), button("Turn on camera")];
    let knock = button("Ask to join");
    let on = [button("Turn off microphone"), name(""), Control { disabled: true, ..knock.clone() }];
    harness.look(&page("Ready to join?", &on));
    assert_eq!(harness.events(), ["false|Turn off microphone|1"]);
    let nameless = [&off[..], &[name(""), Control { disabled: true, ..knock.clone() }]].concat();
    harness.look(&page("Ready to join?", &nameless));
    assert_eq!(harness.events(), ["true|Your name|1"]);
    let ready = page("Ready to join?", &[&off[..], &[name("meetbot"), knock]].concat());
    harness.happens(PageEvent::Devices { asking: 1 });
    for _ in 0..6 {
        harness.look(&ready);
    }
    assert_eq!(harness.events(), Vec::<String>::new(), "the page waits for its devices");
    harness.happens(PageEvent::Devices { asking: 0 });
    for _ in 0..6 {
        harness.look(&ready);
    }
    assert_eq!(harness.events(), ["false|Ask to join|1"]);
    harness.look(&page("Asking to be let in...", &off));
    assert_eq!(harness.events(), ["Lobby(WaitingRoom)"]);
    assert!(harness.session.evidence().is_none(), "nothing has failed");
}

#[test]
fn the_bot_is_admitted_once_page_roster_channel_and_media_show_it() {
    // In each case one of them is missing.
    for missing in ["page", "roster", "channel", "media"] {
        let mut harness = TestSession::set();
        if missing != "media" {
            harness.happens(PageEvent::Peer { id: 1, state: "connected".to_owned() });
        }
        if missing != "channel" {
            harness.happens(PageEvent::Channel {
                id: 1,
                label: COLLECTIONS.to_owned(),
                open: true,
            });
        }
        if missing != "roster" {
            harness.hears(&[person(OWN, Some("meetbot"), wire::Presence::In)], &[]);
        }
        let shown = if missing == "page" { page("Asking to be let in", &[]) } else { meeting() };
        for _ in 0..4 {
            harness.look(&shown);
        }
        let events = harness.events();
        assert!(!events.iter().any(|event| event.starts_with("Admitted")), "{missing}: {events:?}");
        // If the messages cannot be read, page and media suffice after a while.
        harness.wait(1_000 * GOOGLE_MEET.bounds.wire_s);
        harness.look(&shown);
        let is_in = harness.events().iter().any(|event| event.starts_with("Admitted"));
        assert_eq!(is_in, matches!(missing, "roster" | "channel"), "{missing}");
    }
}

#[test]
fn a_late_name_also_applies_to_earlier_audio() {
    let mut harness = TestSession::inside();
    harness.says(300, 0);
    harness.wait(2_100);
    harness.tick();
    let (id, name) = unknown_speaker(300, 0);
    assert_eq!(
        harness.events(),
        [
            format!("{id} is {name}"),
            format!("{id} is unnamed"),
            format!("{id} left"),
            format!("of {id}")
        ]
    );
    // The device of the source comes first, the name later.
    harness.hears(&[], &[(BEN, 300)]);
    assert_eq!(harness.events(), Vec::<String>::new());
    harness.says(300, 110);
    let events = harness.events();
    assert_eq!(events, [format!("{BEN} is Unknown speaker"), format!("of {BEN}")]);
    harness.hears(&[person(BEN, Some("Ben"), wire::Presence::In)], &[]);
    let events = harness.events();
    assert_eq!(events, [format!("{BEN} is Ben"), format!("{id} is Ben"), format!("{id} left")]);
    harness.hears(&[person(BEN, Some("Ben B."), wire::Presence::In)], &[]);
    assert_eq!(harness.events(), [format!("{BEN} is Ben B.")], "only once");
    // The next owner of the source is not Ben.
    harness.hears(&[person(BEN, None, wire::Presence::Out)], &[]);
    harness.says(300, 120);
    harness.wait(2_100);
    harness.tick();
    assert_eq!(harness.events().last().unwrap(), &format!("of {}", unknown_speaker(300, 1).0));
}

#[test]
fn the_bots_own_audio_is_dropped() {
    let mut harness = TestSession::inside();
    harness.hears(&[], &[(OWN, 900)]);
    harness.says(900, 0);
    assert_eq!(harness.events(), Vec::<String>::new());
}

#[test]
fn a_second_connection_replaces_the_first() {
    let mut harness = TestSession::inside();
    harness.happens(PageEvent::Peer { id: 1, state: "closed".to_owned() });
    harness.happens(PageEvent::Channel { id: 1, label: COLLECTIONS.to_owned(), open: false });
    harness.happens(PageEvent::Peer { id: 2, state: "connected".to_owned() });
    harness.happens(PageEvent::Channel { id: 2, label: COLLECTIONS.to_owned(), open: true });
    harness.hears(&[], &[(ANN, 100)]);
    harness.says(100, 0);
    assert_eq!(harness.events(), [format!("of {ANN}")]);
}

#[test]
fn each_end_in_the_meeting_gives_its_event() {
    for (survey, expected) in [
        (page("You've been removed from the meeting", &[]), "Removed"),
        (page("You left the meeting", &[]), "Removed"),
        (page("The call ended because everyone left", &[]), "Ended"),
        (page("You can't join this video call", &[]), "Lost"),
    ] {
        let mut harness = TestSession::inside();
        harness.look(&survey);
        assert_eq!(harness.events(), Vec::<String>::new(), "one look is not enough");
        harness.look(&survey);
        let events = harness.events();
        assert!(events.len() == 1 && events[0].starts_with(expected), "{events:?}");
        assert!(harness.session.is_over() && harness.session.evidence().is_none(), "it was in");
    }
    let mut harness = TestSession::inside();
    harness.hears(&[person(OWN, None, wire::Presence::Removed)], &[]);
    assert_eq!(harness.events(), ["Removed"]);
}

#[test]
fn the_bot_waits_while_the_page_reconnects() {
    let mut harness = TestSession::inside();
    for _ in 0..20 {
        harness.look(&page("Reconnecting...", &[]));
        harness.happens(PageEvent::Beat);
    }
    harness.look(&meeting());
    assert_eq!((harness.events(), harness.session.is_over()), (Vec::new(), false));
}

#[test]
fn a_page_that_crashes_after_the_request_to_join_is_not_a_denial() {
    for (dead, expected) in [(0, "Lost"), (2, "Unreachable internal_error")] {
        let mut harness = TestSession::after(BrowserHistory { blocked: false, dead });
        harness.look(&page("Asking to be let in...", &[]));
        harness.events();
        harness
            .happens(PageEvent::Fault { message: "DisconnectedError: EndCause = 72".to_owned() });
        for _ in 0..4 {
            harness.look(&Survey { host: "meet.google.com".to_owned(), ..Survey::default() });
        }
        let events = harness.events();
        assert!(events.len() == 1 && events[0].starts_with(expected), "{events:?}");
        assert_eq!(harness.session.take_mark(), Some(Mark::Dead));
        let evidence = harness.session.evidence().unwrap();
        assert_eq!(evidence.errors, ["DisconnectedError"]);
        let states: Vec<_> = evidence.states.into_iter().map(|seen| seen.state).collect();
        assert_eq!(states, [Some("waiting_room".to_owned()), None]);
    }
}

#[test]
fn an_unknown_page_fails_after_a_timeout_with_its_headings() {
    let mut harness = TestSession::set();
    let unknown = page("Something here is new", &[button("Continue")]);
    harness.look(&unknown);
    harness.wait(1_000 * GOOGLE_MEET.bounds.unknown_s - 1_000);
    harness.look(&unknown);
    assert_eq!(harness.events(), Vec::<String>::new(), "it may be loading");
    harness.wait(1_000);
    harness.look(&unknown);
    let events = harness.events();
    assert!(events[0].starts_with("Unreachable internal_error"), "{events:?}");
    assert!(events[0].contains("Something here is new") && events[0].contains("Continue"));
    let evidence = harness.session.evidence().unwrap();
    assert_eq!(evidence.ended.as_deref(), Some("the meeting's page shows nothing known"));
}

#[test]
fn an_unanswered_request_is_repeated_once_and_a_refused_browser_is_replaced_once() {
    let mut harness = TestSession::set();
    let unanswered = page("No one responded to your request to join the call", &[]);
    harness.look(&unanswered);
    harness.look(&unanswered);
    assert_eq!(harness.events(), [format!("Open({URL:?})")]);
    for (blocked, expected) in [(false, "Lost"), (true, "Refused bot_blocked")] {
        let mut harness = TestSession::after(BrowserHistory { blocked, dead: 0 });
        let refused = page("You can't join this video call", &[]);
        harness.look(&refused);
        harness.look(&refused);
        let events = harness.events();
        assert!(events.len() == 1 && events[0].starts_with(expected), "{events:?}");
    }
}

#[test]
fn an_unknown_dialog_is_closed_and_never_with_its_first_button() {
    let mut harness = TestSession::inside();
    let of_dialog = |name: &str, accepts| Control { dialog: Some(0), accepts, ..button(name) };
    let mut asked = meeting();
    asked.dialogs = vec![Dialog { lines: vec!["Would you like our new layout?".to_owned()] }];
    asked.controls.extend([of_dialog("Try it", true), of_dialog("Close", false)]);
    harness.look(&asked);
    assert_eq!(harness.events(), ["false|Close|1"]);
    asked.controls.truncate(meeting().controls.len() + 1);
    harness.look(&asked);
    assert_eq!(harness.events(), ["Escape"]);
}

#[test]
fn a_long_message_is_written_line_by_line_after_each_echo() {
    let mut harness = TestSession::inside();
    let id = CommandId::generate(meetbot_types::Timestamp::UNIX_EPOCH);
    let text = format!("{}{}", "x".repeat(500), "y".repeat(20));
    harness.session.send_chat(id, &text, harness.now);
    harness.look(&meeting());
    assert_eq!(harness.events(), ["false|Chat with everyone|1"]);
    let mut open = meeting();
    open.controls.push(field("Send a message to everyone"));
    let sends = |letter: &str, count| {
        let (field, text) = ("true|Send a message to everyone|1".to_owned(), letter.repeat(count));
        format!("{:?}", Action::Send { field, text })
    };
    harness.look(&open);
    harness.look(&open);
    assert_eq!(harness.events(), [sends("x", 500)], "it waits for the line");
    harness.chat(OWN, "m1", &"x".repeat(500));
    harness.chat(OWN, "m1", &"x".repeat(500));
    harness.look(&open);
    assert_eq!(harness.events(), [sends("y", 20)]);
    harness.chat(ANN, "m2", "hello");
    harness.chat(OWN, "m3", &"y".repeat(20));
    let events = harness.events();
    assert!(
        events.len() == 2 && events[0].contains("hello") && events[1] == "Ok(())",
        "{events:?}"
    );
}

#[test]
fn a_message_fails_if_the_chat_is_not_writable() {
    // Its field is disabled, or missing.
    for disabled in [true, false] {
        let mut harness = TestSession::inside();
        let id = CommandId::generate(meetbot_types::Timestamp::UNIX_EPOCH);
        harness.session.send_chat(id, "hello", harness.now);
        let mut shown = page("", &[button("People")]);
        if disabled {
            shown.controls.push(Control { disabled: true, ..field("Send a message") });
        }
        harness.look(&shown);
        harness.wait(if disabled { 0 } else { 15_000 });
        harness.tick();
        let events = harness.events();
        let last = events.last().unwrap();
        assert!(
            last.starts_with("Err") && last.contains("lets the bot write no messages"),
            "{events:?}"
        );
    }
}

#[test]
fn leaving_presses_the_button_and_waits_for_the_page_that_confirms_it() {
    let mut harness = TestSession::inside();
    harness.session.leave(harness.now);
    harness.look(&meeting());
    harness.look(&meeting());
    assert_eq!(harness.events(), ["false|Leave call|1"], "once");
    assert!(!harness.session.is_over());
    harness.look(&page("", &[button("End the call"), button("Just leave the call")]));
    assert_eq!(harness.events(), ["false|Just leave the call|1"]);
    let left = page("You left the meeting", &[]);
    harness.look(&left);
    harness.look(&left);
    assert!(harness.session.is_over());

    let mut harness = TestSession::inside();
    harness.session.leave(harness.now);
    harness.wait(3_000);
    harness.tick();
    assert!(harness.session.is_over(), "the confirmation is not required");
}
