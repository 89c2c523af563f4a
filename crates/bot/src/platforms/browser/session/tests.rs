//! A session from the opening of its page on, played with surveys, messages and packets.

use super::{voices::nobody, *};
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

/// A session, and the time that it is told.
struct Stage {
    session: Session,
    now: Instant,
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
    page("", &[button("Chat with everyone"), button("Leave call")])
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

impl Stage {
    fn set() -> Self {
        Self::after(BrowserHistory::default())
    }

    fn after(earlier: BrowserHistory) -> Self {
        let now = clock::now();
        let (room, name) = ("abc-mnop-xyz".to_owned(), "meetbot".to_owned());
        Self { session: Session::new(&GOOGLE_MEET, URL.to_owned(), room, name, earlier, now), now }
    }

    /// In the meeting, with Ann.
    fn inside() -> Self {
        let mut stage = Self::set();
        stage.connects();
        stage.hears(&[person(ANN, Some("Ann"), wire::Presence::In)], &[]);
        stage.look(&meeting());
        let events = stage.events();
        assert!(events.iter().any(|event| event.starts_with("Admitted")), "{events:?}");
        stage
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// A look, and half a second.
    fn look(&mut self, survey: &Survey) {
        self.session.look(survey, self.now);
        self.wait(500);
    }

    /// The media path and the channel are there, and the roster holds the bot.
    fn connects(&mut self) {
        self.happens(Happened::Peer { id: 1, state: "connected".to_owned() });
        self.happens(Happened::Channel { id: 1, label: COLLECTIONS.to_owned(), open: true });
        self.hears(&[person(OWN, Some("meetbot"), wire::Presence::In)], &[]);
    }

    fn happens(&mut self, happened: Happened) {
        self.session.hear(Record::Happened(happened), self.now);
    }

    /// A message of the meeting: people, and the sources of their voices.
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

    /// A packet of a source on the first lane, the `number`th.
    fn says(&mut self, source: u32, number: u16) {
        let sound = Sound {
            lane: 1,
            rtp_time: u32::from(number) * 960,
            sequence: Some(number),
            level_dbov: Some(-20),
            age_ms: 0.0,
            sources: vec![source],
            data: vec![0x48, 1],
        };
        self.session.hear(Record::Sound(sound), self.now);
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

    /// What followed since the last time, in short.
    fn events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        while let Some(output) = self.session.output() {
            events.push(match output {
                Output::Act(Act::Click(key) | Act::Fill { field: key, .. }) => key,
                Output::Act(act) => format!("{act:?}"),
                Output::Event(MeetingEvent::Media { participant, .. }) => {
                    format!("of {participant}")
                }
                Output::Event(MeetingEvent::Joined(who)) => format!("{} is {}", who.id, who.name),
                Output::Event(MeetingEvent::Left(id)) => format!("{id} left"),
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
fn a_guest_turns_the_devices_off_writes_the_name_and_knocks_once() {
    let mut stage = Stage::set();
    let name = |value: &str| Control { value: value.to_owned(), ..field("Your name") };
    let off = [button("Turn on microphone"), button("Turn on camera")];
    let knock = button("Ask to join");
    let on = [button("Turn off microphone"), name(""), Control { disabled: true, ..knock.clone() }];
    stage.look(&page("Ready to join?", &on));
    assert_eq!(stage.events(), ["false|Turn off microphone|1"]);
    let nameless = [&off[..], &[name(""), Control { disabled: true, ..knock.clone() }]].concat();
    stage.look(&page("Ready to join?", &nameless));
    assert_eq!(stage.events(), ["true|Your name|1"]);
    let ready = page("Ready to join?", &[&off[..], &[name("meetbot"), knock]].concat());
    stage.happens(Happened::Devices { asking: 1 });
    for _ in 0..6 {
        stage.look(&ready);
    }
    assert_eq!(stage.events(), Vec::<String>::new(), "the page waits for its devices");
    stage.happens(Happened::Devices { asking: 0 });
    for _ in 0..6 {
        stage.look(&ready);
    }
    assert_eq!(stage.events(), ["false|Ask to join|1"]);
    stage.look(&page("Asking to be let in...", &off));
    assert_eq!(stage.events(), ["Lobby(WaitingRoom)"]);
    assert!(stage.session.evidence().is_none(), "nothing has failed");
}

#[test]
fn the_bot_is_in_once_page_roster_channel_and_media_say_so() {
    // Each leaves one of them out.
    for missing in ["page", "roster", "channel", "media"] {
        let mut stage = Stage::set();
        if missing != "media" {
            stage.happens(Happened::Peer { id: 1, state: "connected".to_owned() });
        }
        if missing != "channel" {
            stage.happens(Happened::Channel { id: 1, label: COLLECTIONS.to_owned(), open: true });
        }
        if missing != "roster" {
            stage.hears(&[person(OWN, Some("meetbot"), wire::Presence::In)], &[]);
        }
        let shown = if missing == "page" { page("Asking to be let in", &[]) } else { meeting() };
        for _ in 0..4 {
            stage.look(&shown);
        }
        let events = stage.events();
        assert!(!events.iter().any(|event| event.starts_with("Admitted")), "{missing}: {events:?}");
        // Where the messages cannot be read, page and media are believed after a while.
        stage.wait(1_000 * GOOGLE_MEET.bounds.wire_s);
        stage.look(&shown);
        let is_in = stage.events().iter().any(|event| event.starts_with("Admitted"));
        assert_eq!(is_in, matches!(missing, "roster" | "channel"), "{missing}");
    }
}

#[test]
fn what_was_said_while_the_page_did_not_show_the_meeting_yet_is_kept() {
    let mut stage = Stage::set();
    stage.connects();
    stage.hears(&[person(ANN, Some("Ann"), wire::Presence::In)], &[(ANN, 100)]);
    stage.says(100, 0);
    stage.wait(6_000);
    for number in 300..310 {
        stage.says(100, number);
        stage.wait(20);
    }
    stage.wait(300);
    stage.look(&meeting());
    let events = stage.events();
    let replays = events.iter().position(|event| event.starts_with("Replays")).unwrap();
    // Seen 500 ms after the ten packets of 20 ms, and half a second later.
    assert_eq!(events[replays], "Replays 1s");
    assert_eq!(events[replays + 1], "Admitted [\"Ann\"]");
    let voice = format!("of {ANN}");
    assert_eq!(events[replays + 2..], vec![voice.clone(); 10], "and what is older than 5 s is not");
    stage.says(100, 360);
    assert_eq!(stage.events(), [voice]);
}

#[test]
fn somebody_whose_name_comes_late_has_it_from_the_beginning() {
    let mut stage = Stage::inside();
    stage.says(300, 0);
    stage.wait(2_100);
    stage.tick();
    let (id, name) = nobody(300, 0);
    assert_eq!(
        stage.events(),
        [format!("{id} is {name}"), format!("{id} left"), format!("of {id}")]
    );
    // Whose the source is comes first, the name later still.
    stage.hears(&[], &[(BEN, 300)]);
    assert_eq!(stage.events(), Vec::<String>::new());
    stage.says(300, 110);
    let events = stage.events();
    assert_eq!(events, [format!("{BEN} is Unknown speaker"), format!("of {BEN}")]);
    stage.hears(&[person(BEN, Some("Ben"), wire::Presence::In)], &[]);
    let events = stage.events();
    assert_eq!(events, [format!("{BEN} is Ben"), format!("{id} is Ben"), format!("{id} left")]);
    stage.hears(&[person(BEN, Some("Ben B."), wire::Presence::In)], &[]);
    assert_eq!(stage.events(), [format!("{BEN} is Ben B.")], "only once");
    // The next one who has the source is not Ben.
    stage.hears(&[person(BEN, None, wire::Presence::Out)], &[]);
    stage.says(300, 120);
    stage.wait(2_100);
    stage.tick();
    assert_eq!(stage.events().last().unwrap(), &format!("of {}", nobody(300, 1).0));
}

#[test]
fn the_bots_own_voice_is_nobodys() {
    let mut stage = Stage::inside();
    stage.hears(&[], &[(OWN, 900)]);
    stage.says(900, 0);
    assert_eq!(stage.events(), Vec::<String>::new());
}

#[test]
fn a_second_connection_takes_the_place_of_the_first() {
    let mut stage = Stage::inside();
    stage.happens(Happened::Peer { id: 1, state: "closed".to_owned() });
    stage.happens(Happened::Channel { id: 1, label: COLLECTIONS.to_owned(), open: false });
    stage.happens(Happened::Peer { id: 2, state: "connected".to_owned() });
    stage.happens(Happened::Channel { id: 2, label: COLLECTIONS.to_owned(), open: true });
    stage.hears(&[], &[(ANN, 100)]);
    stage.says(100, 0);
    assert_eq!(stage.events(), [format!("of {ANN}")]);
}

#[test]
fn an_end_in_the_meeting_is_told_as_what_it_is() {
    for (survey, expected) in [
        (page("You've been removed from the meeting", &[]), "Removed"),
        (page("You left the meeting", &[]), "Removed"),
        (page("The call ended because everyone left", &[]), "Ended"),
        (page("You can't join this video call", &[]), "Lost"),
    ] {
        let mut stage = Stage::inside();
        stage.look(&survey);
        assert_eq!(stage.events(), Vec::<String>::new(), "one look is not enough");
        stage.look(&survey);
        let events = stage.events();
        assert!(events.len() == 1 && events[0].starts_with(expected), "{events:?}");
        assert!(stage.session.is_over() && stage.session.evidence().is_none(), "it was in");
    }
    let mut stage = Stage::inside();
    stage.hears(&[person(OWN, None, wire::Presence::Removed)], &[]);
    assert_eq!(stage.events(), ["Removed"]);
}

#[test]
fn a_page_that_reconnects_is_waited_for() {
    let mut stage = Stage::inside();
    for _ in 0..20 {
        stage.look(&page("Reconnecting...", &[]));
        stage.happens(Happened::Beat);
    }
    stage.look(&meeting());
    assert_eq!((stage.events(), stage.session.is_over()), (Vec::new(), false));
}

#[test]
fn a_page_that_goes_dead_after_the_knock_is_no_denial() {
    for (dead, expected) in [(0, "Lost"), (2, "Unreachable internal_error")] {
        let mut stage = Stage::after(BrowserHistory { blocked: false, dead });
        stage.look(&page("Asking to be let in...", &[]));
        stage.events();
        stage.happens(Happened::Fault { message: "DisconnectedError: EndCause = 72".to_owned() });
        for _ in 0..4 {
            stage.look(&Survey { host: "meet.google.com".to_owned(), ..Survey::default() });
        }
        let events = stage.events();
        assert!(events.len() == 1 && events[0].starts_with(expected), "{events:?}");
        assert_eq!(stage.session.take_mark(), Some(Mark::Dead));
        let evidence = stage.session.evidence().unwrap();
        assert_eq!(evidence.errors, ["DisconnectedError"]);
        let states: Vec<_> = evidence.states.into_iter().map(|seen| seen.state).collect();
        assert_eq!(states, [Some("waiting_room".to_owned()), None]);
    }
}

#[test]
fn an_unknown_page_is_given_up_after_its_time_and_its_headings_are_named() {
    let mut stage = Stage::set();
    let unknown = page("Something here is new", &[button("Continue")]);
    stage.look(&unknown);
    stage.wait(1_000 * GOOGLE_MEET.bounds.unknown_s - 1_000);
    stage.look(&unknown);
    assert_eq!(stage.events(), Vec::<String>::new(), "it may be loading");
    stage.wait(1_000);
    stage.look(&unknown);
    let events = stage.events();
    assert!(events[0].starts_with("Unreachable internal_error"), "{events:?}");
    assert!(events[0].contains("Something here is new") && events[0].contains("Continue"));
    let evidence = stage.session.evidence().unwrap();
    assert_eq!(evidence.ended.as_deref(), Some("the meeting's page shows nothing known"));
}

#[test]
fn a_page_whose_script_is_silent_is_lost() {
    let mut stage = Stage::inside();
    stage.wait(1_000 * GOOGLE_MEET.bounds.silent_s);
    stage.tick();
    let events = stage.events();
    assert!(events[0].starts_with("Lost"), "{events:?}");
}

#[test]
fn nobody_who_answers_is_asked_once_more_and_a_browser_that_is_refused_is_replaced_once() {
    let mut stage = Stage::set();
    let unanswered = page("No one responded to your request to join the call", &[]);
    stage.look(&unanswered);
    stage.look(&unanswered);
    assert_eq!(stage.events(), [format!("Open({URL:?})")]);
    for (blocked, expected) in [(false, "Lost"), (true, "Refused bot_blocked")] {
        let mut stage = Stage::after(BrowserHistory { blocked, dead: 0 });
        let refused = page("You can't join this video call", &[]);
        stage.look(&refused);
        stage.look(&refused);
        let events = stage.events();
        assert!(events.len() == 1 && events[0].starts_with(expected), "{events:?}");
    }
}

#[test]
fn a_dialog_that_nobody_knows_is_closed_and_never_by_its_first_button() {
    let mut stage = Stage::inside();
    let of_dialog = |name: &str, accepts| Control { dialog: Some(0), accepts, ..button(name) };
    let mut asked = meeting();
    asked.dialogs = vec![Dialog { lines: vec!["Would you like our new layout?".to_owned()] }];
    asked.controls.extend([of_dialog("Try it", true), of_dialog("Close", false)]);
    stage.look(&asked);
    assert_eq!(stage.events(), ["false|Close|1"]);
    asked.controls.truncate(meeting().controls.len() + 1);
    stage.look(&asked);
    assert_eq!(stage.events(), ["Escape"]);
}

#[test]
fn a_long_message_is_written_in_lines_each_once_the_one_before_has_come_back() {
    let mut stage = Stage::inside();
    let id = CommandId::generate(meetbot_types::Timestamp::UNIX_EPOCH);
    let text = format!("{}{}", "x".repeat(500), "y".repeat(20));
    stage.session.send_chat(id, &text, stage.now);
    stage.look(&meeting());
    assert_eq!(stage.events(), ["false|Chat with everyone|1"]);
    let mut open = meeting();
    open.controls.push(field("Send a message to everyone"));
    let sends = |letter: &str, count| {
        let (field, text) = ("true|Send a message to everyone|1".to_owned(), letter.repeat(count));
        format!("{:?}", Act::Send { field, text })
    };
    stage.look(&open);
    stage.look(&open);
    assert_eq!(stage.events(), [sends("x", 500)], "it waits for the line");
    stage.chat(OWN, "m1", &"x".repeat(500));
    stage.chat(OWN, "m1", &"x".repeat(500));
    stage.look(&open);
    assert_eq!(stage.events(), [sends("y", 20)]);
    stage.chat(ANN, "m2", "hello");
    stage.chat(OWN, "m3", &"y".repeat(20));
    let events = stage.events();
    assert!(
        events.len() == 2 && events[0].contains("hello") && events[1] == "Ok(())",
        "{events:?}"
    );
}

#[test]
fn where_the_chat_takes_nothing_a_message_is_not_done() {
    // Its field is disabled; there is none.
    for disabled in [true, false] {
        let mut stage = Stage::inside();
        let id = CommandId::generate(meetbot_types::Timestamp::UNIX_EPOCH);
        stage.session.send_chat(id, "hello", stage.now);
        let mut shown = page("", &[button("People")]);
        if disabled {
            shown.controls.push(Control { disabled: true, ..field("Send a message") });
        }
        stage.look(&shown);
        stage.wait(if disabled { 0 } else { 15_000 });
        stage.tick();
        let events = stage.events();
        let last = events.last().unwrap();
        assert!(
            last.starts_with("Err") && last.contains("lets the bot write no messages"),
            "{events:?}"
        );
    }
}

#[test]
fn who_leaves_presses_the_button_and_waits_for_the_page_that_says_so() {
    let mut stage = Stage::inside();
    stage.session.leave(stage.now);
    stage.look(&meeting());
    stage.look(&meeting());
    assert_eq!(stage.events(), ["false|Leave call|1"], "once");
    assert!(!stage.session.is_over());
    stage.look(&page("", &[button("End the call"), button("Just leave the call")]));
    assert_eq!(stage.events(), ["false|Just leave the call|1"]);
    let left = page("You left the meeting", &[]);
    stage.look(&left);
    stage.look(&left);
    assert!(stage.session.is_over());

    let mut stage = Stage::inside();
    stage.session.leave(stage.now);
    stage.wait(3_000);
    stage.tick();
    assert!(stage.session.is_over(), "it need not show that");
}
