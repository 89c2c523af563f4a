//! The scenarios of the sandbox. A scenario is a name with parameters, as in `two-speakers?seconds=20`; it is parsed into a `Script`.

mod plays;
mod settings;

use std::str::FromStr;

use meetbot_types::sandbox;

use self::settings::Settings;
use crate::script::Script;

/// A scenario that can be played.
#[derive(Debug)]
pub struct Scenario {
    /// Its name, the path of its URL.
    pub name: &'static str,
    /// What happens in it.
    pub plays: &'static str,
    /// How a job with default settings ends.
    pub expect: &'static str,
    /// How long it lasts without the parameter `seconds`.
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
        "Alice and Bob talk in turns and write into the chat; in meetings of 15 s and more Carol joins and leaves in between; then the meeting ends",
        "`completed`, `meeting_ended`",
    ),
    scenario(
        "conversation",
        40,
        "Alice, Bob and Carol talk in turns; each turn is a whole sentence, and its caption has the same words; then the meeting ends",
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
        "Alice and Bob talk, almost as quietly as noise",
        "`completed`, `meeting_ended`",
    ),
    scenario(
        "another-bot",
        5,
        "Alice and Bob talk; after half of the time a notetaker bot joins",
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
        "The bot waits in the lobby, and nobody answers",
        "`failed`, `lobby_timeout`",
    ),
    scenario(
        "host-absent",
        3600,
        "The meeting waits for its host, who does not join",
        "`failed`, `waiting_for_host`",
    ),
    scenario(
        "no-such-meeting",
        1,
        "There is no meeting of this name",
        "`failed`, `meeting_not_found`",
    ),
    scenario(
        "bad-passcode",
        1,
        "The meeting requires another passcode",
        "`failed`, `auth_failure`",
    ),
    scenario(
        "already-ended",
        1,
        "The meeting was over before the bot joined",
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
        "Alice and Bob talk; after 2 s no media arrive for 13 s, although both are present",
        "`completed`, `meeting_ended`, with `statusDetail` `no_media` meanwhile",
    ),
    scenario(
        "network-lost",
        3600,
        "Alice and Bob talk; after 2 s the connection is lost permanently",
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
        "The platform detects that the bot is a program and refuses it",
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
        "The meeting has its maximum number of participants",
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

/// Checks a scenario; the error says what is wrong, and what would be right.
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

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, time::Duration};

    use meetbot_types::FailureCode;
    use xtask::spec_file;

    use super::{
        settings::{MAX_SECONDS, MAX_SPEAKERS},
        *,
    };

    #[test]
    fn hostile_parameters_are_played_within_bounds_or_refused() {
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
        xtask::hostile_inputs::feed(&corpus, |text| match text.parse::<Script>() {
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
    fn parameters_are_bounded_and_the_error_names_the_bounds() {
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
             A URL under `https://sandbox.meetbot.dev/` joins no real meeting: the server simulates the other participants, over real WebRTC.\n\
             With a `mb_test_` key any other URL plays `two-speakers?seconds=20`. With a live key a sandbox meeting counts no minutes.\n\n\
             | scenario | what happens | how a job ends |\n| --- | --- | --- |\n",
        );
        for scenario in ALL {
            writeln!(page, "| `{}` | {} | {} |", scenario.name, scenario.plays, scenario.expect)
                .unwrap();
        }
        write!(page, "\nParameters, all optional: `seconds` (how long the meeting is, 1 to {MAX_SECONDS}), `speakers` (1 to {MAX_SPEAKERS}), `admitAfter` (seconds in the lobby), \
             `denyAfter` (seconds until `host-denies` refuses), `answer` (`grant`, `deny` or `none`: the host's answer when a bot asks for permission to record) and `answerAfter` (seconds until that answer). A scenario's time runs from the job's first join, so a bot that rejoins continues at the current second. If the server itself was restarted, the meeting starts again, \
             unless `meetbot sandbox serve` plays it in a process of its own. By default `conversation` has three speakers, who say the sentences of \
             [make.sh](../crates/sandbox/speech/make.sh) in order, repeatedly; a transcript should contain exactly these. An unknown parameter is refused, except for those of real meeting links: a passcode (`pwd`, ignored), and names that begin with `utm_`, which mail programs add.\n").unwrap();
        spec_file::check("docs/sandbox.md", &page);
    }
}
