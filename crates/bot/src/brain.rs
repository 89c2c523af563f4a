//! When a bot leaves, and why. Pure: it is told what happens and when, and says what to do.

use std::{collections::HashMap, time::Duration};

use meetbot_types::{
    AutoLeave, Cause, Failure, FailureCode, LeaveReason,
    bot::{Lobby, Participant},
};

/// Names of other notetaker bots, a pattern each line.
const NOTETAKERS: &str = include_str!("notetakers.txt");
/// How long a bot tries to get back into a meeting that it lost.
pub(crate) const REJOIN_SECONDS: u64 = 60;

/// No bot waits at a door or sits in a call longer than a week, whatever rules are off: a bot that was forgotten must end.
const CEILING_SECONDS: u32 = 7 * 86_400;

/// What a brain is told. Times are from the bot's start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Observed {
    /// The bot waits at the door.
    Waiting(Lobby),
    /// The bot is in the call.
    Admitted,
    /// Someone is there.
    Joined(Participant),
    /// Someone is not.
    Left(String),
    /// Someone speaks.
    Speech,
    /// The way to the meeting is lost, for this reason.
    Lost(String),
    /// Something that ends it, whatever the rules say.
    Over(Cause),
}

/// What a bot is to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// Leave now.
    Leave(Cause),
    /// Nothing before this time, if nothing happens; `None`: for ever.
    WaitUntil(Option<Duration>),
}

/// The bot's mind.
#[derive(Debug)]
pub(crate) struct Brain {
    rules: AutoLeave,
    knocked: Duration,
    waiting_for_host: bool,
    admitted: Option<Duration>,
    /// How long before 0 a bot of the same job was in the call.
    joined_ago: Option<Duration>,
    last_speech: Duration,
    alone_since: Option<Duration>,
    lost_since: Option<Duration>,
    lost_why: String,
    /// Who is there, and whether they are a bot.
    people: HashMap<String, bool>,
    over: Option<Cause>,
}

impl Brain {
    /// A bot that knocks now. `joined_ago` is how long ago the first bot of its job was in the call, where another was there before.
    pub(crate) fn new(rules: AutoLeave, joined_ago: Option<Duration>, now: Duration) -> Self {
        Self {
            rules,
            knocked: now,
            waiting_for_host: false,
            admitted: None,
            joined_ago,
            last_speech: now,
            alone_since: None,
            lost_since: None,
            lost_why: String::new(),
            people: HashMap::new(),
            over: None,
        }
    }

    /// Whether someone counts as another bot: by the meeting's word, or by name.
    pub(crate) fn is_bot(person: &Participant) -> bool {
        let name = person.name.to_lowercase();
        let mut patterns = NOTETAKERS
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        person.is_bot || patterns.any(|pattern| name.contains(pattern))
    }

    /// Something happened.
    pub(crate) fn handle(&mut self, observed: Observed, now: Duration) {
        match observed {
            Observed::Waiting(lobby) => self.waiting_for_host = lobby == Lobby::WaitingForHost,
            Observed::Admitted => {
                if self.admitted.is_none() {
                    self.admitted = Some(now);
                    self.last_speech = now;
                }
                self.lost_since = None;
                self.people.clear();
                self.count_humans(now);
            }
            Observed::Joined(person) => {
                let is_bot = Self::is_bot(&person);
                self.people.insert(person.id, is_bot);
                self.count_humans(now);
            }
            Observed::Left(id) => {
                self.people.remove(&id);
                self.count_humans(now);
            }
            Observed::Speech => self.last_speech = now,
            Observed::Lost(why) => {
                self.lost_why = why;
                self.lost_since.get_or_insert(now);
            }
            // What ended it first stays the cause.
            Observed::Over(cause) => {
                self.over.get_or_insert(cause);
            }
        }
    }

    fn count_humans(&mut self, now: Duration) {
        if self.people.values().all(|is_bot| *is_bot) {
            self.alone_since.get_or_insert(now);
        } else {
            self.alone_since = None;
        }
    }

    /// What to do now.
    pub(crate) fn poll(&self, now: Duration) -> Decision {
        if let Some(cause) = &self.over {
            return Decision::Leave(cause.clone());
        }
        let another_bot = self.people.values().any(|is_bot| *is_bot);
        if self.rules.on_bot_detected && another_bot && self.admitted.is_some() {
            return Decision::Leave(Cause::Left(LeaveReason::BotDetected));
        }
        let mut next = None;
        for (deadline, cause) in self.deadlines() {
            if deadline <= now {
                return Decision::Leave(cause);
            }
            next = Some(next.map_or(deadline, |next: Duration| next.min(deadline)));
        }
        Decision::WaitUntil(next)
    }

    fn deadlines(&self) -> impl Iterator<Item = (Duration, Cause)> {
        let after = |from: Duration, rule: Option<u32>| {
            rule.map(|seconds| from + Duration::from_secs(u64::from(seconds)))
        };
        let rules = &self.rules;
        let left = |reason| move |at| (at, Cause::Left(reason));
        let lost = self.lost_since.map(|since| {
            let detail = format!(
                "the meeting was lost and could not be joined again within {REJOIN_SECONDS} s: {}",
                self.lost_why
            );
            let failure = Failure::new(FailureCode::NetworkLoss, detail);
            (since + Duration::from_secs(REJOIN_SECONDS), Cause::Failed(failure))
        });
        let [entry, silence, solo, max] = match self.admitted {
            None => {
                let entry =
                    after(self.knocked, rules.after_entry_delay_seconds.or(Some(CEILING_SECONDS)));
                [entry.map(|at| (at, Cause::Failed(self.not_admitted()))), None, None, None]
            }
            Some(admitted) => {
                let silence = after(self.last_speech, rules.after_silence_seconds);
                let solo =
                    self.alone_since.and_then(|since| after(since, rules.after_solo_seconds));
                let longest = rules.after_max_seconds.or(Some(CEILING_SECONDS));
                let max = match self.joined_ago {
                    Some(ago) => after(Duration::ZERO, longest).map(|at| at.saturating_sub(ago)),
                    None => after(admitted, longest),
                };
                [
                    None,
                    silence.map(left(LeaveReason::Silence)),
                    solo.map(left(LeaveReason::Solo)),
                    max.map(left(LeaveReason::MaxDuration)),
                ]
            }
        };
        // The most telling reason first, where several are due at once.
        [entry, max, solo, silence, lost].into_iter().flatten()
    }

    fn not_admitted(&self) -> Failure {
        let seconds = self.rules.after_entry_delay_seconds.unwrap_or(CEILING_SECONDS);
        if self.waiting_for_host {
            let detail = format!("the host did not come within {seconds} s");
            Failure::new(FailureCode::WaitingForHost, detail)
        } else {
            let detail = format!("nobody admitted the bot within {seconds} s");
            Failure::new(FailureCode::LobbyTimeout, detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Case {
        name: String,
        #[serde(default)]
        auto_leave: meetbot_types::AutoLeaveConfig,
        /// Seconds since the first bot of the job was in the call.
        joined_ago: Option<u64>,
        events: Vec<(u64, Value)>,
        /// `SECOND leave CAUSE`, or `waits`.
        expected: String,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        kind: String,
        about: String,
        cases: Vec<Case>,
    }

    fn observed(event: &Value) -> Observed {
        let person = |name: &str, is_bot| Participant {
            id: name.into(),
            name: name.into(),
            is_host: false,
            is_bot,
        };
        let (what, with) = match event {
            Value::String(what) => (what.as_str(), ""),
            Value::Object(map) => {
                let (what, with) = map.iter().next().unwrap();
                (what.as_str(), with.as_str().unwrap())
            }
            other => panic!("{other}"),
        };
        match what {
            "waiting_room" => Observed::Waiting(Lobby::WaitingRoom),
            "waiting_for_host" => Observed::Waiting(Lobby::WaitingForHost),
            "admitted" => Observed::Admitted,
            "joined" => Observed::Joined(person(with, false)),
            "bot_joined" => Observed::Joined(person(with, true)),
            "left" => Observed::Left(with.into()),
            "speech" => Observed::Speech,
            "lost" => Observed::Lost(String::new()),
            "ended" => Observed::Over(Cause::Left(LeaveReason::MeetingEnded)),
            "removed" => Observed::Over(Cause::Removed),
            "leave_call" => Observed::Over(Cause::Requested),
            "cancel" => Observed::Over(Cause::Cancelled),
            other => panic!("{other} is no event of auto_leave.json"),
        }
    }

    fn in_words(cause: &Cause) -> String {
        match cause {
            Cause::Left(reason) => reason.to_string(),
            Cause::Requested => "requested".into(),
            Cause::Cancelled => "cancelled".into(),
            Cause::Removed => "removed".into(),
            Cause::Failed(failure) => failure.code.to_string(),
        }
    }

    /// Plays a timeline: the brain is asked after each event and whenever it wanted to be.
    fn play(case: &Case) -> String {
        let second = Duration::from_secs;
        let mut brain = Brain::new(
            case.auto_leave.or(&AutoLeave::default()),
            case.joined_ago.map(second),
            Duration::ZERO,
        );
        let mut events = case.events.iter().peekable();
        let mut now = Duration::ZERO;
        loop {
            while let Some((_, event)) = events.next_if(|(at, _)| second(*at) <= now) {
                brain.handle(observed(event), now);
            }
            match brain.poll(now) {
                Decision::Leave(why) => {
                    return format!("{} leave {}", now.as_secs(), in_words(&why));
                }
                Decision::WaitUntil(wake) => {
                    let event = events.peek().map(|(at, _)| second(*at));
                    let Some(next) = wake.into_iter().chain(event).min() else {
                        return "waits".into();
                    };
                    assert!(next > now, "{}: it would spin", case.name);
                    now = next;
                }
            }
        }
    }

    #[test]
    fn every_timeline_of_the_vectors_ends_as_it_says() {
        let file: File =
            serde_json::from_value(xtask::spec_file::read_json("spec/vectors/auto_leave.json"))
                .unwrap();
        assert_eq!(file.kind, "auto_leave");
        assert!(!file.about.is_empty() && file.cases.len() > 20);
        for case in &file.cases {
            assert_eq!(play(case), case.expected, "{}", case.name);
        }
    }

    #[test]
    fn notetakers_are_known_by_name() {
        let named = |name: &str| Participant {
            id: "x".into(),
            name: name.into(),
            is_host: false,
            is_bot: false,
        };
        for name in ["Otter.ai", "Ann's Fireflies.ai Notetaker", "Fathom Notetaker", "MEETBOT"] {
            assert!(Brain::is_bot(&named(name)), "{name}");
        }
        for name in ["Ann Otterman", "Bob", "Robot Chicken", ""] {
            assert!(!Brain::is_bot(&named(name)), "{name}");
        }
    }
}
