//! The scripts of the scenarios: the people, their turns, and the end.

use std::time::Duration;

use meetbot_types::{
    FailureCode,
    bot::{Lobby, RecordingRule},
};

use super::settings::{MAX_SECONDS, MAX_SPEAKERS, Settings};
use crate::{
    script::{CallEnd, JoinResponse, Line, Person, Script, Span, Voice},
    speech,
    stage::PACKET,
};

impl Settings {
    /// The script of the scenario with this name.
    pub(super) fn script(&self, name: &str) -> Script {
        let whole = Span { from: Duration::ZERO, to: self.length };
        let mut people: Vec<Person> = (0..self.speakers)
            .map(|index| person(index, whole, turns(index, self.speakers, self.length)))
            .collect();
        let mut length = self.length;
        let mut join_response = JoinResponse::Admits { after: self.admit_after };
        let mut call_end = CallEnd::Ends;
        let (mut recording, mut outage, mut silence) = (RecordingRule::Free, None, None);
        let mut crash_after = None;
        let mut chat = vec![
            line(self.length / 5, 0, "Welcome! The agenda is in the invitation."),
            line(self.length / 2, self.speakers as usize - 1, "Notes: https://example.com/notes"),
        ];
        match name {
            "two-speakers" if self.length >= Duration::from_secs(15) => {
                let there = Span { from: self.length / 3, to: self.length * 2 / 3 };
                let from = there.from + Duration::from_secs(1);
                let talks = vec![Span { from, to: from + Duration::from_secs(2) }];
                people.push(person(self.speakers, there, talks));
            }
            "conversation" => converse(&mut people, self.length),
            "everyone-leaves" => {
                for (index, person) in (0_u32..).zip(&mut people) {
                    let earlier = self.length * index / (4 * self.speakers);
                    person.there.to = self.length.saturating_sub(earlier);
                }
                length = Duration::from_secs(u64::from(MAX_SECONDS));
            }
            "silence" => {
                for person in &mut people {
                    person.talks.clear();
                }
                chat.clear();
            }
            "quiet-room" => {
                for person in &mut people {
                    person.voice = Voice::Room;
                    person.talks = vec![whole];
                }
                chat.clear();
            }
            "quiet-speech" => {
                for person in &mut people {
                    person.voice = Voice::Whisper;
                }
            }
            "another-bot" => {
                let there = Span { from: self.length / 2, to: self.length };
                people.push(Person {
                    name: "Otter.ai Notetaker".into(),
                    is_bot: true,
                    ..person(self.speakers, there, Vec::new())
                });
            }
            "kicked" => call_end = CallEnd::Removes,
            "host-denies" => join_response = JoinResponse::Denies { after: self.deny_after },
            "nobody-admits" => join_response = JoinResponse::Waits(Lobby::WaitingRoom),
            "host-absent" => join_response = JoinResponse::Waits(Lobby::WaitingForHost),
            "no-such-meeting" => {
                join_response =
                    JoinResponse::Refuses(FailureCode::MeetingNotFound, "there is no such meeting");
            }
            "bad-passcode" => {
                join_response =
                    JoinResponse::Refuses(FailureCode::AuthFailure, "the passcode is wrong");
            }
            "already-ended" => length = Duration::ZERO,
            "asks-permission" => recording = RecordingRule::AskHost,
            "recording-disabled" => recording = RecordingRule::Forbidden,
            "network-loss" => {
                let from = self.length / 3;
                outage = Some(Span { from, to: from + Duration::from_secs(2) });
            }
            "media-stops" => {
                let from = Duration::from_secs(2);
                silence = Some(Span { from, to: from + Duration::from_secs(13) });
            }
            "network-lost" => {
                outage = Some(Span { from: Duration::from_secs(2), to: Duration::MAX });
            }
            "beep" => {
                let (from, to) = (self.length / 3, self.length * 2 / 3);
                for person in &mut people {
                    person.talks.clear();
                }
                people[0].talks.push(Span { from, to });
                people[0].voice = Voice::Tone;
                chat.clear();
            }
            "bot-crashes" => crash_after = Some(Duration::from_secs(1)),
            "over-quota" => {
                join_response = JoinResponse::Refuses(
                    FailureCode::QuotaExceeded,
                    "the quota of this consumer is used up",
                );
            }
            "bot-blocked" => {
                join_response = JoinResponse::Refuses(
                    FailureCode::BotBlocked,
                    "the platform refuses the bot as automated",
                );
            }
            "registration-required" => {
                join_response = JoinResponse::Refuses(
                    FailureCode::RegistrationRequired,
                    "the meeting admits only people who have registered for it",
                );
            }
            "meeting-full" => {
                join_response =
                    JoinResponse::Refuses(FailureCode::MeetingFull, "the meeting is full");
            }
            "chatty" => {
                chat = (1..=CHATTER)
                    .map(|number| {
                        let text = SAYINGS[number as usize % SAYINGS.len()];
                        let person = (number % self.speakers) as usize;
                        let private = number % 10 == 0;
                        Line { private, ..line(self.length * number / (CHATTER + 1), person, text) }
                    })
                    .collect();
                if let Some(bob) = people.get_mut(1) {
                    bob.renamed = Some((self.length / 2, "Bob (he/him)"));
                }
            }
            _ => {}
        }
        chat.retain(|line| people[line.person].there.contains(line.at));
        let answer = self.granted.map(|granted| (granted, self.answer_after));
        Script {
            join_response,
            people,
            chat,
            length,
            call_end,
            recording,
            answer,
            outage,
            silence,
            crash_after,
        }
    }
}

/// How many messages are sent in `chatty`.
const CHATTER: u32 = 30;
const SAYINGS: [&str; 5] = [
    "Can everybody hear me?",
    "👍🏽 ja, très bien, すごい",
    "A line\nand another",
    "\"quotes\", \\backslashes\\ and <b>tags</b>",
    "https://example.com/a?b=c&d=e#f",
];

const NAMES: [&str; MAX_SPEAKERS as usize + 1] = [
    "Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi", "Ivan", "Judy", "Kim",
    "Leo", "Mallory", "Nina", "Olivia", "Peggy", "Quentin", "Rupert", "Sybil", "Trent", "Uma",
];

fn person(index: u32, there: Span, talks: Vec<Span>) -> Person {
    let name = NAMES[index as usize];
    Person {
        id: format!("p-{}", name.to_lowercase()),
        name: name.to_owned(),
        is_host: index == 0,
        is_bot: false,
        there,
        talks,
        voice: Voice::Own,
        renamed: None,
    }
}

const fn line(at: Duration, person: usize, text: &'static str) -> Line {
    Line { at, person, text, private: false }
}

/// Turns of at most 4 s, one speaker after the other, with half a second between them.
fn turns(index: u32, speakers: u32, length: Duration) -> Vec<Span> {
    let turn = (length / (2 * speakers)).clamp(Duration::from_millis(500), Duration::from_secs(4));
    let pause = turn / 8;
    let mut spans = Vec::new();
    let mut from = turn * index;
    while from < length {
        spans.push(Span { from: from + pause, to: (from + turn).min(length) });
        from += turn * speakers;
    }
    spans.retain(|span| span.from < span.to);
    spans
}

/// The pause between two sentences.
const BETWEEN_SENTENCES: Duration = Duration::from_millis(300);

/// Adds turns of complete sentences, one speaker after the other. A sentence that would end after the meeting is left out.
fn converse(people: &mut [Person], length: Duration) {
    for person in &mut *people {
        person.voice = Voice::Sentences;
        person.talks.clear();
    }
    let mut from = BETWEEN_SENTENCES;
    for turn in 0.. {
        for (index, person) in people.iter_mut().enumerate() {
            let (packets, _) = speech::sentence(index % speech::VOICES.len(), turn);
            let to = from + PACKET * u32::try_from(packets).unwrap_or(u32::MAX);
            if to >= length {
                return;
            }
            person.talks.push(Span { from, to });
            from = to + BETWEEN_SENTENCES;
        }
    }
}
