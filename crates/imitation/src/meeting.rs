//! The state machine of the meeting: the people, the page's view, and the effects of acts and reports. Pure; `serve` and `media` do the I/O.

mod page;
mod wire;

use std::collections::VecDeque;

use tokio::sync::mpsc;

pub(crate) use self::page::{Report, View};
use crate::{
    Action, Dialog, Observed, Person, Scenario, Screen, Signal, Video,
    lanes::{Lanes, Packet, Voice},
    observed::Devices,
    pictures,
    scenario::LeavingShown,
};

/// Packets of 20 ms in a second.
const PACKETS_PER_SECOND: u64 = 50;

/// A picture each 60 ms.
const TICKS_PER_PICTURE: u32 = 3;

/// 20 ms on the clock of cameras, 90 kHz.
const RTP_PER_TICK: u32 = 1_800;

/// An order to a media session.
#[derive(Debug)]
pub(crate) enum ToPeer {
    /// A packet on a lane.
    Audio(Packet),
    /// A picture of the visible camera or screen.
    Picture(Picture),
    /// A message in `collections`.
    Collections(Vec<u8>),
    /// A message in the channels for captions that the page has opened.
    Captions(Vec<u8>),
    /// Stop to send and to answer.
    GoDead,
    /// The session is over.
    Close,
}

/// A picture of a camera, or of a screen.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) is_screen: bool,
    pub(crate) csrc: u32,
    /// The picture's time on the clock of cameras, in 90 kHz.
    pub(crate) rtp_time: u32,
    pub(crate) payloads: Vec<Vec<u8>>,
}

/// The visible camera or screen.
#[derive(Debug)]
struct Camera {
    person: String,
    /// The colour of the last picture.
    white: bool,
    /// The next picture must be a keyframe.
    key: bool,
}

/// A person of the scenario, and the device while the person is in the meeting.
#[derive(Debug)]
struct Attendee {
    person: Person,
    device: Option<String>,
    /// The device of the person's shared screen.
    screen: Option<String>,
}

/// The meeting and its single page.
#[derive(Debug)]
pub(crate) struct Meeting {
    pub(crate) scenario: Scenario,
    pub(crate) observed: Observed,
    /// The browser of the page is signed in.
    signed_in: bool,
    /// The number of the page that was loaded last; older pages are obsolete.
    pub(crate) visit: u32,
    /// Incremented with every change of the view.
    version: u64,
    screen: Screen,
    wording: usize,
    dialog: Option<Dialog>,
    session: u32,
    attendees: Vec<Attendee>,
    /// The bot's device, created when it asks to join.
    bot: Option<String>,
    devices: u32,
    lanes: Lanes,
    peer: Option<mpsc::UnboundedSender<ToPeer>>,
    camera: Option<Camera>,
    shared: Option<Camera>,
    /// The ids of the streams of the camera and of the screen.
    streams: Vec<String>,
    ticks: u32,
    chat: Vec<(String, String)>,
    /// For how long a script must have occupied the page's main thread, in ms.
    busy_ms: u64,
    steps: VecDeque<crate::Step>,
    /// The roster has changed since the last answer with it.
    roster_is_news: bool,
}

impl Meeting {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let mut meeting = Self {
            signed_in: true,
            visit: 0,
            version: 0,
            screen: scenario.opens,
            wording: scenario.wording,
            dialog: None,
            session: 0,
            attendees: Vec::new(),
            bot: None,
            devices: 100,
            lanes: Lanes::default(),
            peer: None,
            camera: None,
            shared: None,
            streams: Vec::new(),
            ticks: 0,
            chat: Vec::new(),
            busy_ms: 0,
            steps: scenario.steps.clone().into(),
            roster_is_news: true,
            observed: Observed::default(),
            scenario: Scenario { people: Vec::new(), ..scenario.clone() },
        };
        for person in scenario.people {
            let device = person.present.then(|| meeting.new_device());
            meeting.attendees.push(Attendee { person, device, screen: None });
        }
        meeting
    }

    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    fn new_device(&mut self) -> String {
        self.devices += 1;
        format!("spaces/wXyZ0123abc/devices/{}", self.devices)
    }

    /// A page was loaded: the bot starts again.
    pub(crate) fn open(&mut self, login: Option<&str>) -> u32 {
        self.visit += 1;
        self.signed_in = self.scenario.login.is_none() || login == self.scenario.login.as_deref();
        self.observed.visits += 1;
        if matches!(self.screen, Screen::WaitingRoom | Screen::HostAbsent) {
            self.observed.faults.push(crate::Fault::ReloadedInLobby);
        }
        self.close_session();
        self.bot = None;
        self.session = 0;
        self.dialog = None;
        self.observed.left = false;
        self.show(self.scenario.opens, self.scenario.wording);
        self.signal(&Signal::Opened);
        self.visit
    }

    /// A decoder needs a keyframe.
    pub(crate) fn wants_key_frame(&mut self) {
        for camera in [&mut self.camera, &mut self.shared].into_iter().flatten() {
            camera.key = true;
        }
    }

    fn close_session(&mut self) {
        if let Some(peer) = self.peer.take() {
            let _ = peer.send(ToPeer::Close);
        }
        self.observed.connected = false;
        self.observed.joined = false;
        self.observed.takes_captions = false;
    }

    /// The page opened a media session. Returns its number.
    pub(crate) fn opened_session(
        &mut self,
        peer: mpsc::UnboundedSender<ToPeer>,
        streams: Vec<String>,
    ) -> u32 {
        self.close_session();
        self.observed.takes_video = Some(!streams.is_empty());
        self.streams = streams;
        self.wants_key_frame();
        self.observed.sessions += 1;
        self.peer = Some(peer);
        self.observed.sessions
    }

    /// Media and `collections` of a session are up.
    pub(crate) fn connected(&mut self, session: u32) {
        if session != self.observed.sessions || self.peer.is_none() {
            return;
        }
        self.observed.connected = true;
        self.send_roster();
        self.check_joined();
    }

    /// A channel for captions of a session was opened, or the last one was closed.
    pub(crate) fn takes_captions(&mut self, session: u32, takes: bool) {
        if session == self.observed.sessions && self.peer.is_some() {
            self.observed.takes_captions = takes;
        }
    }

    /// Signals that the bot has joined, once it is admitted, and media and roster have reached it.
    fn check_joined(&mut self) {
        if self.screen.is_in() && self.observed.connected && !self.observed.joined {
            self.observed.joined = true;
            self.signal(&Signal::Joined);
        }
    }

    fn show(&mut self, screen: Screen, wording: usize) {
        self.screen = screen;
        self.wording = wording;
        self.observed.screen = Some(screen);
        self.version += 1;
        if !matches!(screen, Screen::WaitingRoom | Screen::HostAbsent | Screen::PreJoin)
            && !screen.is_in()
        {
            self.dialog = None;
            self.close_session();
        }
    }

    fn ask_for_session(&mut self) {
        self.session += 1;
        self.version += 1;
    }

    /// Performs the next step, if it waits for this signal.
    fn signal(&mut self, signal: &Signal) {
        if self.steps.front().is_some_and(|step| step.on == *signal)
            && let Some(step) = self.steps.pop_front()
        {
            for act in step.then {
                self.act(act);
            }
        }
    }

    /// Performs an act.
    pub(crate) fn act(&mut self, act: Action) {
        match act {
            Action::Deny => self.show(Screen::Denied, 0),
            Action::Remove => {
                self.send_own_status(crate::messages::Status::Removed);
                self.show(Screen::Removed, 0);
            }
            Action::End => {
                for attendee in &mut self.attendees {
                    attendee.device = None;
                }
                self.show(Screen::Ended, 0);
            }
            Action::Admit | Action::Show { screen: Screen::Meeting, .. } => self.admit(),
            Action::Show { screen, wording } => self.show(screen, wording),
            Action::Ask(dialog) => {
                self.dialog = Some(dialog);
                self.version += 1;
            }
            Action::Say { person, ms } => self.say(&person, ms),
            Action::Join(name) => self.join(&name),
            Action::Leave(name) => self.leave(&name),
            Action::Write { person, text } => {
                if let Some(device) = self.attendee(&person).and_then(|one| one.device.clone()) {
                    self.send_chat(&device, &person, &text);
                }
            }
            Action::Caption { person, line, version, text, last } => {
                self.send_caption(&person, line, version, &text, last);
            }
            Action::Camera { person, on } => self.turn_camera(&person, on),
            Action::Present { person, on } => self.present(&person, on),
            Action::Raw(message) => {
                if let Some(peer) = &self.peer {
                    let _ = peer.send(ToPeer::Collections(message));
                }
            }
            Action::Pack(compression) => self.scenario.compression = compression,
            Action::ChangeCsrc { person, csrc } => self.change_csrc(&person, csrc),
            Action::Mix(mixed) => self.lanes.mixed = mixed,
            Action::ChangeLane(person) => self.lanes.change_lane(&person),
            Action::NewPeerConnection => {
                self.close_session();
                self.ask_for_session();
            }
            Action::Cut => {
                if let Some(peer) = &self.peer {
                    let _ = peer.send(ToPeer::GoDead);
                }
            }
            Action::Busy(ms) => {
                self.busy_ms += ms;
                self.version += 1;
            }
        }
    }

    fn attendee(&mut self, name: &str) -> Option<&mut Attendee> {
        self.attendees.iter_mut().find(|one| one.person.name == name)
    }

    fn admit(&mut self) {
        if self.bot.is_none() {
            self.bot = Some(self.new_device());
        }
        self.roster_is_news = true;
        self.show(Screen::Meeting, 0);
        if self.session == 0 {
            self.ask_for_session();
        } else if self.observed.connected {
            self.send_roster();
        }
        self.check_joined();
    }

    fn say(&mut self, name: &str, ms: u64) {
        let Some(Attendee { person, device: Some(_), .. }) = self.attendee(name) else { return };
        let voice = Voice {
            person: person.name.clone(),
            csrc: person.csrc,
            tone_hz: person.tone_hz,
            level_dbov: person.level_dbov,
            left: (ms * PACKETS_PER_SECOND).div_ceil(1_000),
        };
        self.lanes.say(voice);
    }

    fn turn_camera(&mut self, person: &str, on: bool) {
        if on {
            self.camera = Some(Camera { person: person.to_owned(), white: false, key: true });
        } else if self.camera.as_ref().is_some_and(|camera| camera.person == person) {
            self.camera = None;
        }
        self.send_outputs(person);
    }

    fn present(&mut self, name: &str, on: bool) {
        let device = self.new_device();
        if !on {
            self.send_gone(name, true);
        }
        let Some(attendee) = self.attendee(name) else { return };
        attendee.screen = on.then_some(device);
        self.roster_is_news = true;
        self.shared = on.then(|| Camera { person: name.to_owned(), white: false, key: true });
        if on {
            self.send_newcomer(name);
        }
    }

    /// Sends a picture of the visible camera and screen each 60 ms, and at once when the owner begins or stops to speak, so that voice and picture
    /// are in sync.
    fn picture(&mut self) {
        self.ticks = self.ticks.wrapping_add(1);
        if !self.observed.joined {
            return;
        }
        let (video, ticks) = (self.scenario.video, self.ticks);
        for (camera, is_screen) in [(&mut self.camera, false), (&mut self.shared, true)] {
            let Some(camera) = camera.as_mut().filter(|_| !self.streams.is_empty()) else {
                continue;
            };
            let white = self.lanes.speaks(&camera.person);
            if !ticks.is_multiple_of(TICKS_PER_PICTURE) && white == camera.white {
                continue;
            }
            let person = self.attendees.iter().find(|one| one.person.name == camera.person);
            let (Some(person), Some(peer)) = (person, &self.peer) else { continue };
            // An interframe keeps the previous colour. H.264 frames have numbers, so only keyframes can be repeated.
            let key = camera.key || white != camera.white || video == Video::H264;
            (camera.white, camera.key) = (white, false);
            let sent = if is_screen {
                &mut self.observed.screen_pictures
            } else {
                &mut self.observed.pictures
            };
            *sent.entry(camera.person.clone()).or_default() += 1;
            let frame = pictures::frame(video, white, key);
            let _ = peer.send(ToPeer::Picture(Picture {
                is_screen,
                csrc: person.person.csrc,
                rtp_time: ticks.wrapping_mul(RTP_PER_TICK),
                payloads: pictures::payloads(video, &frame, key),
            }));
        }
    }

    fn join(&mut self, name: &str) {
        let device = self.new_device();
        let Some(attendee) = self.attendee(name) else { return };
        attendee.device = Some(device);
        self.roster_is_news = true;
        self.version += 1;
        if self.scenario.late_names {
            self.send_outputs(name);
        } else {
            self.send_newcomer(name);
        }
    }

    fn change_csrc(&mut self, name: &str, csrc: u32) {
        let Some(attendee) = self.attendee(name) else { return };
        attendee.person.csrc = csrc;
        self.lanes.change_csrc(name, csrc);
        self.send_outputs(name);
    }

    fn leave(&mut self, name: &str) {
        self.lanes.silence(name);
        if self.scenario.leaving_shown == LeavingShown::Channel {
            self.send_gone(name, false);
        }
        if let Some(attendee) = self.attendee(name) {
            attendee.device = None;
            attendee.screen = None;
        }
        self.roster_is_news = true;
        self.version += 1;
    }

    /// Advances the meeting by 20 ms.
    pub(crate) fn tick(&mut self) {
        self.picture();
        let tick = self.lanes.tick();
        for packet in tick.packets {
            let Some(peer) = self.peer.as_ref().filter(|_| self.observed.joined) else { continue };
            *self.observed.sent.entry(packet.person.clone()).or_default() += 1;
            let _ = peer.send(ToPeer::Audio(packet));
        }
        for person in tick.unsent {
            *self.observed.unsent.entry(person).or_default() += 1;
        }
        for person in tick.finished {
            self.signal(&Signal::Said(person));
        }
    }

    /// Counts an audio packet from the bot.
    pub(crate) fn heard(&mut self, level_dbov: Option<i8>) {
        self.observed.heard += 1;
        self.observed.loudest_heard_dbov = self.observed.loudest_heard_dbov.max(level_dbov);
    }

    /// The account of the page's browser.
    fn account(&self) -> Option<String> {
        self.scenario.account.clone().filter(|_| self.signed_in)
    }

    fn knocked(&mut self, name: Option<String>, devices: Devices) {
        self.observed.name = name.or_else(|| self.account());
        self.observed.knocks += 1;
        self.observed.devices_at_knock = Some(devices);
        self.observed.devices = Some(devices);
        if devices.microphone || devices.camera {
            self.observed.faults.push(crate::Fault::DevicesOn(devices));
        }
        if self.bot.is_none() {
            self.bot = Some(self.new_device());
        }
        self.show(Screen::WaitingRoom, 0);
        if self.scenario.session_in_lobby {
            self.ask_for_session();
        }
        self.signal(&Signal::Knocked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compression, Step};

    const OFF: Devices = Devices { microphone: false, camera: false };

    fn knock() -> Report {
        Report::Knock { name: Some("Bot".to_owned()), devices: OFF, trusted: true }
    }

    fn holds(bytes: &[u8], text: &str) -> bool {
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// A meeting with an admitted bot, and the orders to its session.
    fn joined(scenario: Scenario) -> (Meeting, mpsc::UnboundedReceiver<ToPeer>) {
        let plain = Scenario { compression: Compression::Plain, ..scenario };
        let mut meeting = Meeting::new(plain);
        let (orders_in, orders) = mpsc::unbounded_channel();
        meeting.open(None);
        meeting.report(knock());
        meeting.act(Action::Admit);
        let number =
            meeting.opened_session(orders_in, vec!["camera".to_owned(), "screen".to_owned()]);
        meeting.connected(number);
        assert!(meeting.observed.joined);
        (meeting, orders)
    }

    fn said(orders: &mut mpsc::UnboundedReceiver<ToPeer>) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while let Ok(message) = orders.try_recv() {
            if let ToPeer::Collections(message) = message {
                messages.push(message);
            }
        }
        messages
    }

    #[test]
    fn a_scripts_request_to_join_is_ignored_and_steps_wait_for_each_other() {
        let steps = vec![
            Step { on: Signal::Knocked, then: vec![Action::Deny] },
            Step { on: Signal::Opened, then: vec![] },
            Step { on: Signal::Knocked, then: vec![Action::Admit] },
        ];
        let mut meeting = Meeting::new(Scenario { steps, ..Scenario::default() });
        meeting.open(None);
        meeting.report(Report::Knock { name: None, devices: OFF, trusted: false });
        assert_eq!((meeting.observed.knocks, meeting.screen), (0, Screen::PreJoin));
        meeting.report(knock());
        assert_eq!(meeting.screen, Screen::Denied);
        meeting.open(None);
        meeting.report(knock());
        assert_eq!((meeting.observed.knocks, meeting.screen), (2, Screen::Meeting));
        assert!(!meeting.observed.joined, "nothing of the meeting has reached the bot");
    }

    #[test]
    fn a_leave_is_announced_as_the_scenario_defines() {
        let (mut meeting, mut orders) = joined(Scenario::default());
        let roster = said(&mut orders);
        assert!(roster.iter().any(|message| holds(message, "Ben Weber")), "{roster:?}");
        assert!(holds(&meeting.sync(), "Ben Weber"));
        assert!(meeting.sync().is_empty(), "nothing has changed");
        meeting.act(Action::Leave("Ben Weber".to_owned()));
        assert_eq!(said(&mut orders), Vec::<Vec<u8>>::new());
        let roster = meeting.sync();
        assert!(holds(&roster, "Cleo Jones") && !holds(&roster, "Ben Weber"));

        let leaving_shown = LeavingShown::Channel;
        let (mut meeting, mut orders) = joined(Scenario { leaving_shown, ..Scenario::default() });
        said(&mut orders);
        meeting.act(Action::Leave("Ben Weber".to_owned()));
        let gone = said(&mut orders);
        // The status, field 4, is 6.
        assert!(gone.len() == 1 && holds(&gone[0], "Ben Weber") && holds(&gone[0], "\x20\x06"));
    }

    #[test]
    fn a_newcomers_name_may_come_later_than_the_voice() {
        for late_names in [false, true] {
            let people = vec![Person::new("Eve Late", 77_001, 500).later()];
            let (mut meeting, mut orders) =
                joined(Scenario { people, late_names, ..Scenario::default() });
            said(&mut orders);
            meeting.sync();
            meeting.act(Action::Join("Eve Late".to_owned()));
            let messages = said(&mut orders).concat();
            assert!(holds(&messages, "77001"), "the voice is known at once");
            assert_eq!(holds(&messages, "Eve Late"), !late_names);
            assert!(holds(&meeting.sync(), "Eve Late"));
            meeting.act(Action::ChangeCsrc { person: "Eve Late".to_owned(), csrc: 77_002 });
            assert!(holds(&said(&mut orders).concat(), "77002"));
        }
    }

    #[test]
    fn a_camera_turns_white_with_the_first_packet_of_the_voice_and_black_after_the_last() {
        let (mut meeting, mut orders) = joined(Scenario::default());
        let person = "Ann Host".to_owned();
        meeting.act(Action::Camera { person: person.clone(), on: true });
        let mut heard_and_white = |meeting: &mut Meeting| {
            meeting.tick();
            let (mut heard, mut white) = (false, None);
            while let Ok(order) = orders.try_recv() {
                match order {
                    ToPeer::Audio(_) => heard = true,
                    ToPeer::Picture(picture) => {
                        let frame = pictures::frame(Video::Vp8, true, true);
                        white =
                            Some(picture.payloads == pictures::payloads(Video::Vp8, &frame, true));
                    }
                    _ => {}
                }
            }
            (heard, white)
        };
        let silent = [(false, None), (false, None), (false, Some(false))];
        assert_eq!([(); 3].map(|()| heard_and_white(&mut meeting)), silent);
        heard_and_white(&mut meeting);
        meeting.act(Action::Say { person, ms: 20 });
        assert_eq!(heard_and_white(&mut meeting), (true, Some(true)));
        let (heard, white) = heard_and_white(&mut meeting);
        assert_eq!((heard, white), (false, Some(false)));
    }

    #[test]
    fn a_removal_is_in_the_channel_before_the_session_closes() {
        let (mut meeting, mut orders) = joined(Scenario::default());
        said(&mut orders);
        meeting.act(Action::Remove);
        let Ok(ToPeer::Collections(last)) = orders.try_recv() else {
            panic!("no message was sent")
        };
        assert!(holds(&last, "Bot") && holds(&last, "\x20\x07"));
        assert!(matches!(orders.try_recv(), Ok(ToPeer::Close)));
        assert_eq!((meeting.screen, meeting.observed.joined), (Screen::Removed, false));
        meeting.act(Action::Say { person: "Ann Host".to_owned(), ms: 100 });
        meeting.tick();
        assert!(meeting.observed.sent.is_empty(), "nothing is sent after the removal");
    }

    #[test]
    fn a_message_of_more_than_500_characters_is_refused() {
        let (mut meeting, _orders) = joined(Scenario::default());
        meeting.report(Report::Chat("x".repeat(501)));
        meeting.report(Report::Chat("y".repeat(500)));
        assert_eq!(meeting.observed.written, ["y".repeat(500)]);
        assert_eq!(meeting.observed.faults, [crate::Fault::LongMessage(501)]);
    }
}
