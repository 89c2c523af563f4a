//! What a sandbox meeting plays. A scenario is a name and parameters, as in `two-speakers?seconds=20`; here it becomes a `Script`.

use std::{str::FromStr, time::Duration};

use meetbot_types::{
    FailureCode,
    bot::{Lobby, RecordingRule},
    sandbox,
};
use url::form_urlencoded;

use crate::{
    script::{Door, Finale, Line, Person, Script, Span, Voice},
    speech,
    stage::PACKET,
};

const MAX_SPEAKERS: u32 = 20;
const MAX_SECONDS: u32 = 3_600;
const PARAMETERS: [&str; 6] =
    ["seconds", "speakers", "admitAfter", "denyAfter", "answer", "answerAfter"];

/// A scenario that can be played.
#[derive(Debug)]
pub struct Scenario {
    /// Its name, the path of its URL.
    pub name: &'static str,
    /// What happens in it.
    pub plays: &'static str,
    /// How a job with default settings ends.
    pub expect: &'static str,
    /// How long it lasts when `seconds` does not say so.
    seconds: u32,
}

const fn scenario(
    name: &'static str,
    seconds: u32,
    plays: &'static str,
    expect: &'static str,
) -> Scenario {
    Scenario { name, plays, expect, seconds }
}

/// Every scenario.
pub const ALL: &[Scenario] = &[
    scenario(
        "two-speakers",
        20,
        "Alice and Bob talk in turns and write into the chat; in meetings of 15 s and more Carol comes and goes in between; then the meeting ends",
        "`completed`, `meeting_ended`",
    ),
    scenario(
        "conversation",
        40,
        "Alice, Bob and Carol talk in turns; each turn is a whole sentence, and its caption says its words; then the meeting ends",
        "`completed`, `meeting_ended`",
    ),
    scenario(
        "ends",
        3,
        "Alice and Bob talk; then the host ends the meeting for all",
        "`completed`, `meeting_ended`",
    ),
    scenario(
        "everyone-leaves",
        5,
        "Alice and Bob talk, then leave one after the other; the bot stays alone",
        "`completed`, `solo`",
    ),
    scenario("silence", 3600, "Alice and Bob are there and say nothing", "`completed`, `silence`"),
    scenario(
        "quiet-room",
        3600,
        "Alice and Bob are there and say nothing; their microphones send the noise of their rooms",
        "`completed`, `silence`",
    ),
    scenario(
        "quiet-speech",
        5,
        "Alice and Bob talk, so quietly that one could take it for noise",
        "`completed`, `meeting_ended`",
    ),
    scenario(
        "another-bot",
        5,
        "Alice and Bob talk; after half of the time a notetaker bot comes",
        "`completed`, `bot_detected` with `onBotDetected`, else `meeting_ended`",
    ),
    scenario(
        "kicked",
        3,
        "Alice and Bob talk; then the host removes the bot",
        "`failed`, `removed_from_meeting`",
    ),
    scenario(
        "host-denies",
        1,
        "The bot waits in the lobby, and the host refuses it",
        "`failed`, `host_denied_admission`",
    ),
    scenario(
        "nobody-admits",
        3600,
        "The bot waits in the lobby, and nobody cares",
        "`failed`, `lobby_timeout`",
    ),
    scenario(
        "host-absent",
        3600,
        "The meeting waits for its host, who does not come",
        "`failed`, `waiting_for_host`",
    ),
    scenario(
        "no-such-meeting",
        1,
        "There is no meeting of this name",
        "`failed`, `meeting_not_found`",
    ),
    scenario("bad-passcode", 1, "The meeting wants another passcode", "`failed`, `auth_failure`"),
    scenario(
        "already-ended",
        1,
        "The meeting was over before the bot came",
        "`failed`, `meeting_ended`",
    ),
    scenario(
        "asks-permission",
        5,
        "Alice and Bob talk; the bot may record only when the host permits it, which it does after `answerAfter` seconds",
        "`completed`, `meeting_ended`; with `answer=deny` or `answer=none`: `failed`, `recording_disabled` or `meeting_ended`",
    ),
    scenario(
        "recording-disabled",
        5,
        "Alice and Bob talk; nobody may record this meeting",
        "`failed`, `recording_disabled`",
    ),
    scenario(
        "network-loss",
        9,
        "Alice and Bob talk; after a third of the time the connection is lost, for 2 s",
        "`completed`, `meeting_ended`, with a gap in the manifest",
    ),
    scenario(
        "media-stops",
        18,
        "Alice and Bob talk; after 2 s nothing comes from anybody for 13 s, though they are there",
        "`completed`, `meeting_ended`, with `statusDetail` `no_media` meanwhile",
    ),
    scenario(
        "network-lost",
        3600,
        "Alice and Bob talk; after 2 s the connection is lost for good",
        "`failed`, `network_loss`, a minute later",
    ),
    scenario(
        "bot-crashes",
        3600,
        "Alice and Bob talk; each bot that joins crashes after a second",
        "`failed`, `internal_error`, after five bots",
    ),
    scenario(
        sandbox::NO_WORKER,
        1,
        "No worker is free, and no bot ever comes",
        "`failed`, `dispatch_timeout`",
    ),
    scenario("over-quota", 1, "The consumer's quota is used up", "`failed`, `quota_exceeded`"),
    scenario(
        "bot-blocked",
        1,
        "The platform takes the bot for a program and refuses it",
        "`failed`, `bot_blocked`",
    ),
    scenario(
        "registration-required",
        1,
        "The meeting admits only people who have registered for it",
        "`failed`, `registration_required`",
    ),
    scenario(
        "meeting-full",
        1,
        "The meeting has as many participants as it takes",
        "`failed`, `meeting_full`",
    ),
    scenario(
        "beep",
        9,
        "Alice's microphone sends a tone of 1 kHz in the second third of the time, and silence before and after it; Bob says nothing",
        "`completed`, `meeting_ended`",
    ),
    scenario(
        "chatty",
        5,
        "Alice and Bob talk and write thirty messages, some of them to the bot alone; Bob changes his name",
        "`completed`, `meeting_ended`",
    ),
];

/// Says what is wrong with a scenario, and what would be right.
pub fn check(text: &str) -> Result<(), String> {
    text.parse::<Script>().map(|_| ())
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, query) = text.split_once('?').unwrap_or((text, ""));
        let names = || ALL.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
        let known = ALL.iter().find(|known| known.name == name);
        let known =
            known.ok_or_else(|| format!("the sandbox plays no {name:?}; it plays {}", names()))?;
        let speakers = if known.name == "conversation" { 3 } else { 2 };
        let settings = Settings::read(query, known.seconds, speakers)?;
        Ok(settings.script(known.name))
    }
}

/// A scenario's parameters.
struct Settings {
    length: Duration,
    speakers: u32,
    admit_after: Duration,
    deny_after: Duration,
    /// What the host says to a request for permission.
    granted: Option<bool>,
    answer_after: Duration,
}

impl Settings {
    /// Reads the parameters; `seconds` and `speakers` are what the scenario has without them.
    fn read(query: &str, seconds: u32, speakers: u32) -> Result<Self, String> {
        let (mut length, mut speakers) = (seconds, speakers);
        let (mut admit_after, mut deny_after) = (0, 1);
        let (mut granted, mut answer_after) = (Some(true), 1);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let (place, least, most) = match name.as_ref() {
                "seconds" => (&mut length, 1, MAX_SECONDS),
                "speakers" => (&mut speakers, 1, MAX_SPEAKERS),
                "admitAfter" => (&mut admit_after, 0, MAX_SECONDS),
                "denyAfter" => (&mut deny_after, 0, MAX_SECONDS),
                "answerAfter" => (&mut answer_after, 0, MAX_SECONDS),
                "answer" => {
                    granted = match value.as_ref() {
                        "grant" => Some(true),
                        "deny" => Some(false),
                        "none" => None,
                        _ => {
                            return Err(format!(
                                "answer must be grant, deny or none, not {value:?}"
                            ));
                        }
                    };
                    continue;
                }
                // As links of real meetings do, it may carry a passcode, and what its sender's mail program put there.
                "pwd" => continue,
                tracking if tracking.starts_with("utm_") => continue,
                unknown => {
                    return Err(format!(
                        "the sandbox has no parameter {unknown:?}; it has {}",
                        PARAMETERS.join(", ")
                    ));
                }
            };
            let number = value.parse().ok().filter(|number| (least..=most).contains(number));
            *place = number.ok_or_else(|| {
                format!("{name} must be a whole number from {least} to {most}, not {value:?}")
            })?;
        }
        let seconds = |seconds| Duration::from_secs(u64::from(seconds));
        Ok(Self {
            length: seconds(length),
            speakers,
            admit_after: seconds(admit_after),
            deny_after: seconds(deny_after),
            granted,
            answer_after: seconds(answer_after),
        })
    }

    fn script(&self, name: &str) -> Script {
        let whole = Span { from: Duration::ZERO, to: self.length };
        let mut people: Vec<Person> = (0..self.speakers)
            .map(|index| person(index, whole, turns(index, self.speakers, self.length)))
            .collect();
        let mut length = self.length;
        let mut door = Door::Admits { after: self.admit_after };
        let mut finale = Finale::Ends;
        let (mut recording, mut outage, mut hush) = (RecordingRule::Free, None, None);
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
            "kicked" => finale = Finale::Removes,
            "host-denies" => door = Door::Denies { after: self.deny_after },
            "nobody-admits" => door = Door::Waits(Lobby::WaitingRoom),
            "host-absent" => door = Door::Waits(Lobby::WaitingForHost),
            "no-such-meeting" => {
                door = Door::Refuses(FailureCode::MeetingNotFound, "there is no such meeting");
            }
            "bad-passcode" => {
                door = Door::Refuses(FailureCode::AuthFailure, "the passcode is wrong");
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
                hush = Some(Span { from, to: from + Duration::from_secs(13) });
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
                door = Door::Refuses(
                    FailureCode::QuotaExceeded,
                    "the quota of this consumer is used up",
                );
            }
            "bot-blocked" => {
                door = Door::Refuses(
                    FailureCode::BotBlocked,
                    "the platform refuses the bot as automated",
                );
            }
            "registration-required" => {
                door = Door::Refuses(
                    FailureCode::RegistrationRequired,
                    "the meeting admits only people who have registered for it",
                );
            }
            "meeting-full" => {
                door = Door::Refuses(FailureCode::MeetingFull, "the meeting is full");
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
        Script { door, people, chat, length, finale, recording, answer, outage, hush, crash_after }
    }
}

/// How many messages are written in `chatty`.
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

/// How long nobody speaks between two sentences.
const BETWEEN_SENTENCES: Duration = Duration::from_millis(300);

/// Whole sentences, one speaker after the other. One that would not end before the meeting does is not begun.
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

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use xtask::spec_file;

    use super::*;

    #[test]
    fn nasty_parameters_are_played_within_bounds_or_refused() {
        let corpus: Vec<String> = ALL
            .iter()
            .map(|scenario| {
                format!(
                    "{}?seconds=3&speakers=20&admitAfter=1&answer=deny&answerAfter=2",
                    scenario.name
                )
            })
            .collect();
        let corpus: Vec<&str> = corpus.iter().map(String::as_str).collect();
        xtask::nasty::feed(&corpus, |text| match text.parse::<Script>() {
            Ok(script) => {
                assert!(script.people.len() <= 24 && script.length <= Duration::from_hours(2));
            }
            Err(problem) => assert!(problem.len() > 20),
        });
    }

    #[test]
    fn every_failure_code_has_a_scenario() {
        for code in FailureCode::ALL {
            let ends_so = |scenario: &Scenario| scenario.expect.contains(&format!("`{code}`"));
            assert!(ALL.iter().any(ends_so), "{code}");
        }
    }

    #[test]
    fn every_scenario_can_be_played() {
        for scenario in ALL {
            let script: Script = scenario.name.parse().unwrap();
            for person in &script.people {
                assert!(person.there.from < person.there.to, "{}", scenario.name);
                assert!(person.talks.iter().all(|talk| talk.from < talk.to), "{}", scenario.name);
            }
        }
    }

    #[test]
    fn parameters_are_bounded_and_the_error_says_how() {
        assert!(check("two-speakers?seconds=3600&speakers=20").is_ok());
        assert!(check("two-speakers?utm_source=mail").is_ok());
        assert!(check("bad-passcode?pwd=secret").is_ok());
        for (text, hint) in [
            ("two-speakers?seconds=0", "from 1 to 3600"),
            ("two-speakers?seconds=3601", "from 1 to 3600"),
            ("two-speakers?speakers=21", "from 1 to 20"),
            ("two-speakers?seconds=-5", "from 1 to 3600"),
            ("ends?seconds=soon", "\"soon\""),
            ("two-speakers?secs=3", "no parameter \"secs\"; it has seconds, speakers"),
            ("two-speakers?Seconds=3", "no parameter \"Seconds\""),
            ("two-speakers?=3", "no parameter \"\""),
            ("host-denies?deny_after=1", "denyAfter"),
            ("moon-landing", "it plays two-speakers"),
            ("", "it plays two-speakers"),
        ] {
            let problem = check(text).unwrap_err();
            assert!(problem.contains(hint), "{text}: {problem}");
        }
    }

    #[test]
    fn speakers_take_turns() {
        let script: Script = "two-speakers?seconds=20".parse().unwrap();
        let talking = |at| {
            let people = script.people.iter().take(2);
            people.filter(|person| person.talks.iter().any(|talk| talk.contains(at))).count()
        };
        assert!(
            (0..200)
                .map(|tenth| talking(Duration::from_millis(tenth * 100)))
                .all(|count| count <= 1)
        );
        assert!(script.people.iter().take(2).all(|person| person.talks.len() >= 2));
    }

    #[test]
    fn the_documented_table_is_up_to_date() {
        let mut page = String::from(
            "# The sandbox\n\n<!-- Made from crates/sandbox/src/scenario.rs by its tests; `cargo xtask update` rewrites it. -->\n\n\
             A URL under `https://sandbox.meetbot.dev/` joins no real meeting: the server plays the other people itself, over real WebRTC.\n\
             With a `mb_test_` key any other URL plays `two-speakers?seconds=20`. With a live key a sandbox meeting counts no minutes.\n\n\
             | scenario | what happens | how a job ends |\n| --- | --- | --- |\n",
        );
        for scenario in ALL {
            writeln!(page, "| `{}` | {} | {} |", scenario.name, scenario.plays, scenario.expect)
                .unwrap();
        }
        write!(page, "\nParameters, all optional: `seconds` (how long the meeting is, 1 to {MAX_SECONDS}), `speakers` (1 to {MAX_SPEAKERS}), `admitAfter` (seconds in the lobby), \
             `denyAfter` (seconds until `host-denies` refuses), `answer` (`grant`, `deny` or `none`: what the host says when a bot asks for permission to record) and `answerAfter` (seconds until it says so). A scenario's time runs from the job's first join, so that a bot that comes back enters at the second that has been reached; when the server itself was restarted, the meeting begins anew, \
             unless `meetbot sandbox serve` plays it in a process of its own. `conversation` has three speakers without `speakers`, who say the sentences of \
             [make.sh](../crates/sandbox/speech/make.sh) in their order, again and again: what a transcript of it should be. An unknown parameter is refused, except what links of real meetings carry: a passcode (`pwd`, passed over), and names that begin with `utm_`, which mail programs add.\n").unwrap();
        spec_file::check("docs/sandbox.md", &page);
    }
}
