//! Measures the time that a bot takes for each kind of event: `cargo xtask bench people` prints it.

#![expect(clippy::unwrap_used, reason = "a benchmark stops where it cannot go on")]

use std::{path::Path, sync::Arc, time::Duration};

use meetbot_types::{
    AddressPolicy, AutoLeave, JobId, MeetingLink, Timestamp,
    bot::{BotOrder, Participant, Secret},
};
use serde_json::json;

use crate::{
    clock,
    leave_policy::{LeavePolicy, Observed},
    media::{Codec, Frame, TrackId},
    meeting::Source,
    platforms::{janus::cost::Room, webrtc},
    recording::{Counters, Recording},
};

/// How often each event is measured.
const ROUNDS: usize = 1_000;

/// The parts of a bot that handle events: recording and leave policy.
struct Meeting {
    recording: Recording,
    leave_policy: LeavePolicy,
}

impl Meeting {
    fn joined(&mut self, id: &str, name: &str) {
        let (id, name) = (id.to_owned(), name.to_owned());
        let person = Participant { id, name, is_host: false, is_bot: false };
        let now = clock::now();
        self.leave_policy.handle(Observed::Joined(person.clone()), Duration::ZERO);
        self.recording.joined(&person, now).unwrap();
        self.leave_policy.poll(Duration::ZERO);
    }

    fn left(&mut self, id: &str) {
        self.recording.left(id, clock::now()).unwrap();
        self.leave_policy.handle(Observed::Left(id.to_owned()), Duration::ZERO);
        self.leave_policy.poll(Duration::ZERO);
    }

    fn speaks(&mut self, id: &str, number: u64) {
        let frame = Frame {
            track: TrackId::named("0"),
            codec: Codec::Opus,
            rtp_time: number * 960,
            clock_rate: 48_000,
            sequence: number..=number,
            arrived: clock::now(),
            level_dbov: Some(-20),
            voice: Some(true),
            contributing_sources: Vec::new(),
            rotation: None,
            keyframe: true,
            contiguous: true,
            sender_report: None,
            data: Arc::from([0x08; 60]),
        };
        self.recording.frame(id, Source::Microphone, &frame).unwrap();
        self.leave_policy.handle(Observed::Speech, Duration::ZERO);
        self.leave_policy.poll(Duration::ZERO);
    }
}

/// The recording of one participant, for the test that counts calls of the memory allocator.
pub struct Recorder(Recording, Counters);

impl Recorder {
    /// Begins a recording in this folder.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn begin(folder: &Path) -> Self {
        let (now, counters) = (clock::now(), Counters::default());
        let admitted = (now, Timestamp::UNIX_EPOCH);
        let mut recording = Recording::open(&order(folder), admitted, counters.clone()).unwrap();
        recording.joined(&participant(), now).unwrap();
        Self(recording, counters)
    }

    /// Records a frame of a peer, as the bot does.
    ///
    /// # Panics
    /// When the codec is not known, or the file cannot be written.
    pub fn frame(&mut self, frame: webrtc::PeerFrame) {
        let frame = webrtc::frame(frame).unwrap();
        let source = if frame.is_picture() { Source::Camera } else { Source::Microphone };
        self.0.frame(ID, source, &frame).unwrap();
    }

    /// Writes what is buffered, as the bot does every 400 ms.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub fn flush(&mut self) {
        self.0.flush().unwrap();
    }

    /// How many packets are in the files.
    pub fn packets(&self) -> u64 {
        self.1.get().packets_written
    }
}

/// The id of the participant of a [`Recorder`].
const ID: &str = "1";

fn participant() -> Participant {
    Participant { id: ID.to_owned(), name: "Ann".to_owned(), is_host: false, is_bot: false }
}

/// The median time of each kind of event, in a meeting of `people` people that is recorded into `folder`.
///
/// # Panics
/// When the folder cannot be written.
pub fn cost_of_events(folder: &Path, people: usize) -> Vec<(&'static str, Duration)> {
    let admitted = (clock::now(), Timestamp::UNIX_EPOCH);
    let mut meeting = Meeting {
        recording: Recording::open(&order(folder), admitted, Counters::default()).unwrap(),
        leave_policy: LeavePolicy::new(AutoLeave::default(), None, Duration::ZERO),
    };
    meeting.leave_policy.handle(Observed::Admitted, Duration::ZERO);
    let name = |number: usize| format!("Guest {}", number % 100);
    for number in 0..people {
        meeting.joined(&format!("there {number}"), &name(number));
    }
    let mut costs = Vec::new();
    let mut measure = |what, each: &mut dyn FnMut(usize)| {
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|round| {
                let begun = clock::now();
                each(round);
                clock::now() - begun
            })
            .collect();
        times.sort();
        costs.push((what, times[ROUNDS / 2]));
    };
    measure("somebody comes", &mut |round| meeting.joined(&format!("new {round}"), &name(round)));
    measure("somebody leaves", &mut |round| meeting.left(&format!("new {round}")));
    measure("somebody comes back", &mut |round| {
        meeting.joined(&format!("again {round}"), &name(round));
    });
    measure("somebody is called something else", &mut |round| {
        meeting.joined(&format!("again {round}"), "Somebody Else");
    });
    measure("a packet of a voice", &mut |round| meeting.speaks("there 0", round as u64));
    let mut room = Room::of(people);
    measure("Janus: somebody publishes", &mut |round| {
        let person = json!({"id": people + round + 1_000_000, "display": name(round), "streams": [{"type": "audio", "mid": "0", "codec": "opus"}]});
        room.on_event(&json!({"videoroom": "event", "publishers": [person]}));
    });
    measure("Janus: somebody talks", &mut |round| {
        room.on_event(&json!({"videoroom": "talking", "id": people + round + 1_000_000}));
    });
    measure("Janus: somebody leaves", &mut |round| {
        room.on_event(&json!({"videoroom": "event", "leaving": people + round + 1_000_000}));
    });
    meeting.recording.abandon(None).unwrap();
    costs
}

pub(crate) fn order(folder: &Path) -> BotOrder {
    let meeting_url = "janus+wss://janus.example.com/?room=1234";
    let link = MeetingLink::parse(meeting_url, None).unwrap();
    BotOrder {
        job_id: JobId::generate(Timestamp::UNIX_EPOCH),
        epoch: 1,
        token: Secret::new("a token"),
        claim_signature: None,
        orchestrator_url: "http://127.0.0.1".to_owned(),
        other_urls: Vec::new(),
        link,
        meeting_url: meeting_url.to_owned(),
        external_id: None,
        display_name: "meetbot".to_owned(),
        auto_leave: AutoLeave::default(),
        record_video: None,
        account: None,
        joined_ms_ago: None,
        sandbox: None,
        zoom: None,
        browser: None,
        imitation: None,
        address_policy: AddressPolicy { loopback: true, networks: Vec::new() },
        stun_servers: Vec::new(),
        folder: folder.to_owned(),
        spool: None,
        begun: None,
        most_bytes: None,
        heartbeat_ms: 5_000,
        alone_ms: 86_400_000,
        finalize: None,
    }
}
