//! Decides when a bot leaves, and why. Pure: it takes events and times, and returns decisions. Each call costs the same for any number of people.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use meetbot_types::{
    AutoLeave, Cause, Failure, FailureCode, LeaveReason,
    bot::{HEARTBEAT_SECONDS, Lobby, Participant},
};

use crate::notetakers;

/// How long a bot tries to rejoin a meeting after the connection was lost.
pub(crate) const REJOIN_SECONDS: u64 = 60;

/// No bot waits in a lobby or stays in a call longer than a week, even if all rules are off: a forgotten bot must end.
const CEILING_SECONDS: u32 = 7 * 86_400;

/// How long `onBotDetected` waits for the server's list of bots before it counts a participant with a bot's name: of two bots of this server, one stays.
const NAMED_BOT_SECONDS: u64 = HEARTBEAT_SECONDS as u64;

/// The events that the policy handles. Times are from the bot's start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Observed {
    /// The bot waits in the lobby.
    Waiting(Lobby),
    /// Why it waits, in words.
    WaitingWhy(String),
    /// The bot is in the call.
    Admitted,
    /// A participant is in the meeting.
    Joined(Participant),
    /// A participant left.
    Left(String),
    /// The ids under which bots of this server are or were in the room, in the order of [`meetbot_types::bot::OwnBots`].
    OwnBots {
        /// All of them.
        ids: Vec<String>,
        /// The id of this bot.
        own_id: Option<String>,
    },
    /// A participant speaks.
    Speech,
    /// The connection to the meeting is lost, for this reason.
    Lost(String),
    /// The attendance ends, independent of the rules.
    Over(Cause),
}

/// What the bot must do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// Leave now.
    Leave(Cause),
    /// Nothing before this time, unless an event occurs. `None`: no time limit.
    WaitUntil(Option<Duration>),
}

/// The state behind the decisions of a bot.
#[derive(Debug)]
pub(crate) struct LeavePolicy {
    rules: AutoLeave,
    /// `None` while it waits for a browser.
    joining_since: Option<Duration>,
    waiting_for_host: bool,
    waiting_why: Option<String>,
    admitted: Option<Duration>,
    /// How long before 0 a bot of the same job was in the call.
    joined_ago: Option<Duration>,
    last_speech: Duration,
    alone_since: Option<Duration>,
    lost_since: Option<Duration>,
    lost_why: String,
    /// The participants in the meeting.
    people: HashMap<String, Present>,
    /// How many of them are not bots.
    humans: usize,
    /// For each of them that is a bot: from when on its presence is a reason to leave.
    detected: BTreeSet<(Duration, String)>,
    /// Ids of this server's bots in the room.
    own_bots: HashSet<String>,
    /// Those of them for which this bot leaves.
    ahead: HashSet<String>,
    over: Option<Cause>,
}

/// A participant in the meeting.
#[derive(Debug, Clone, Copy)]
struct Present {
    /// The meeting reports it as a bot.
    is_bot: bool,
    /// Since when it has had a bot's name.
    named: Option<Duration>,
}

impl LeavePolicy {
    /// A bot that starts to join now. `joined_ago` is how long ago the first bot of its job was in the call, if there was one.
    pub(crate) fn new(rules: AutoLeave, joined_ago: Option<Duration>, now: Duration) -> Self {
        Self {
            rules,
            joining_since: Some(now),
            waiting_for_host: false,
            waiting_why: None,
            admitted: None,
            joined_ago,
            last_speech: now,
            alone_since: None,
            lost_since: None,
            lost_why: String::new(),
            people: HashMap::new(),
            humans: 0,
            detected: BTreeSet::new(),
            own_bots: HashSet::new(),
            ahead: HashSet::new(),
            over: None,
        }
    }

    /// The bot waits for a browser: nobody can admit it yet, and its lobby time does not run.
    pub(crate) const fn wait_for_browser(&mut self) {
        self.joining_since = None;
    }

    /// The bot has a browser: its lobby time begins.
    pub(crate) fn browser_ready(&mut self, now: Duration) {
        self.joining_since.get_or_insert(now);
    }

    /// How many participants are in the meeting.
    pub(crate) fn people(&self) -> usize {
        self.people.len()
    }

    /// Whether a participant is another bot: the meeting reports it, its name is a bot's, or this server sent it.
    pub(crate) fn is_bot(&self, id: &str) -> bool {
        self.people.get(id).is_some_and(|present| self.counts_as_bot(id, *present))
    }

    fn counts_as_bot(&self, id: &str, present: Present) -> bool {
        present.is_bot || present.named.is_some() || self.own_bots.contains(id)
    }

    /// Handles an event.
    pub(crate) fn handle(&mut self, observed: Observed, now: Duration) {
        match observed {
            Observed::Waiting(lobby) => self.waiting_for_host = lobby == Lobby::WaitingForHost,
            Observed::WaitingWhy(why) => self.waiting_why = Some(why),
            Observed::Admitted => {
                if self.admitted.is_none() {
                    self.admitted = Some(now);
                    self.last_speech = now;
                }
                self.lost_since = None;
                self.people.clear();
                self.detected.clear();
                self.humans = 0;
                self.update_company(now);
            }
            Observed::Joined(person) => {
                let before = self.remove(&person.id).and_then(|before| before.named);
                let named = notetakers::is_bots_name(&person.name).then(|| before.unwrap_or(now));
                self.add(person.id, Present { is_bot: person.is_bot, named });
                self.update_company(now);
            }
            Observed::Left(id) => {
                self.remove(&id);
                self.update_company(now);
            }
            Observed::OwnBots { ids, own_id } => {
                let own_place = ids.iter().position(|id| Some(id) == own_id.as_ref());
                self.ahead = ids[..own_place.unwrap_or(0)].iter().cloned().collect();
                self.own_bots = ids.into_iter().collect();
                self.detected.clear();
                self.humans = 0;
                for (id, present) in std::mem::take(&mut self.people) {
                    self.add(id, present);
                }
                if self.admitted.is_some() {
                    self.update_company(now);
                }
            }
            Observed::Speech => self.last_speech = now,
            Observed::Lost(why) => {
                self.lost_why = why;
                self.lost_since.get_or_insert(now);
            }
            // The first cause is kept.
            Observed::Over(cause) => {
                self.over.get_or_insert(cause);
            }
        }
    }

    /// Adds a new participant.
    fn add(&mut self, id: String, present: Present) {
        self.humans += usize::from(!self.counts_as_bot(&id, present));
        self.detected.extend(self.detected_from(&id, present).map(|from| (from, id.clone())));
        self.people.insert(id, present);
    }

    /// Removes a participant, and returns its state.
    fn remove(&mut self, id: &str) -> Option<Present> {
        let present = self.people.remove(id)?;
        self.humans -= usize::from(!self.counts_as_bot(id, present));
        if let Some(from) = self.detected_from(id, present) {
            self.detected.remove(&(from, id.to_owned()));
        }
        Some(present)
    }

    fn update_company(&mut self, now: Duration) {
        if self.humans == 0 {
            self.alone_since.get_or_insert(now);
        } else {
            self.alone_since = None;
        }
    }

    /// From when on a participant's presence is a reason to leave. Of this server's bots all but the first leave; otherwise all would, and none would record.
    fn detected_from(&self, id: &str, present: Present) -> Option<Duration> {
        if self.own_bots.contains(id) {
            return self.ahead.contains(id).then_some(Duration::ZERO);
        }
        let named = present.named.map(|since| since + Duration::from_secs(NAMED_BOT_SECONDS));
        if present.is_bot { Some(Duration::ZERO) } else { named }
    }

    /// Decides what to do now.
    pub(crate) fn poll(&self, now: Duration) -> Decision {
        if let Some(cause) = &self.over {
            return Decision::Leave(cause.clone());
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
            let was_in = self.admitted.is_some() || self.joined_ago.is_some();
            let what = if was_in {
                "was lost and could not be joined again"
            } else {
                "could not be reached"
            };
            let detail = format!("the meeting {what} within {REJOIN_SECONDS} s: {}", self.lost_why);
            let failure = Failure::new(FailureCode::NetworkLoss, detail);
            (since + Duration::from_secs(REJOIN_SECONDS), Cause::Failed(failure))
        });
        let [entry, detected, silence, solo, max] = match self.admitted {
            None => {
                let patience = rules.after_entry_delay_seconds.or(Some(CEILING_SECONDS));
                let entry =
                    self.joining_since.and_then(|joining_since| after(joining_since, patience));
                [entry.map(|at| (at, Cause::Failed(self.not_admitted()))), None, None, None, None]
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
                let detected = self.detected.first().map(|(from, _)| *from);
                let detected = detected.filter(|_| rules.on_bot_detected);
                [
                    None,
                    detected.map(left(LeaveReason::BotDetected)),
                    silence.map(left(LeaveReason::Silence)),
                    solo.map(left(LeaveReason::Solo)),
                    max.map(left(LeaveReason::MaxDuration)),
                ]
            }
        };
        // If several are due at once, the most specific reason comes first.
        [entry, detected, max, solo, silence, lost].into_iter().flatten()
    }

    fn not_admitted(&self) -> Failure {
        let seconds = self.rules.after_entry_delay_seconds.unwrap_or(CEILING_SECONDS);
        if self.waiting_for_host {
            let detail = match &self.waiting_why {
                Some(why) => format!("{why} (the bot waited for {seconds} s)"),
                None => format!("the host did not come within {seconds} s"),
            };
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

    #[test]
    fn waiting_for_a_browser_does_not_count_as_time_in_the_lobby() {
        let rules = AutoLeave { after_entry_delay_seconds: Some(60), ..AutoLeave::default() };
        let mut leave_policy = LeavePolicy::new(rules, None, Duration::ZERO);
        leave_policy.wait_for_browser();
        let hour = Duration::from_hours(1);
        assert!(!matches!(leave_policy.poll(hour), Decision::Leave(_)), "{leave_policy:?}");
        leave_policy.browser_ready(hour);
        leave_policy.browser_ready(2 * hour);
        assert!(
            matches!(leave_policy.poll(hour + Duration::from_mins(1)), Decision::Leave(_)),
            "{leave_policy:?}"
        );
    }

    #[test]
    fn a_meeting_that_no_bot_has_joined_counts_as_unreachable_and_not_as_lost() {
        let detail = |joined_ago: Option<Duration>| {
            let mut leave_policy =
                LeavePolicy::new(AutoLeave::default(), joined_ago, Duration::ZERO);
            leave_policy.handle(Observed::Lost("refused".into()), Duration::ZERO);
            match leave_policy.poll(Duration::from_secs(REJOIN_SECONDS)) {
                Decision::Leave(Cause::Failed(failure)) => failure.detail,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(detail(None), "the meeting could not be reached within 60 s: refused");
        let lost = "the meeting was lost and could not be joined again within 60 s: refused";
        assert_eq!(detail(Some(Duration::from_secs(9))), lost);
    }

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
            "own_bots" => Observed::OwnBots {
                ids: with.split(", ").map(str::to_owned).collect(),
                own_id: Some("me".into()),
            },
            "speech" => Observed::Speech,
            "lost" => Observed::Lost(String::new()),
            "ended" => Observed::Over(Cause::Left(LeaveReason::MeetingEnded)),
            "removed" => Observed::Over(Cause::Removed),
            "leave_call" => Observed::Over(Cause::Requested),
            "cancel" => Observed::Over(Cause::Cancelled),
            other => panic!("{other} is no event of auto_leave.json"),
        }
    }

    fn describe(cause: &Cause) -> String {
        match cause {
            Cause::Left(reason) => reason.to_string(),
            Cause::Requested => "requested".into(),
            Cause::Cancelled => "cancelled".into(),
            Cause::Removed => "removed".into(),
            Cause::Failed(failure) => failure.code.to_string(),
        }
    }

    /// Plays a timeline: polls the policy after each event and at each time that it returned.
    fn play(case: &Case) -> String {
        let second = Duration::from_secs;
        let mut leave_policy = LeavePolicy::new(
            case.auto_leave.or(&AutoLeave::default()),
            case.joined_ago.map(second),
            Duration::ZERO,
        );
        let mut events = case.events.iter().peekable();
        let mut now = Duration::ZERO;
        loop {
            while let Some((_, event)) = events.next_if(|(at, _)| second(*at) <= now) {
                leave_policy.handle(observed(event), now);
            }
            match leave_policy.poll(now) {
                Decision::Leave(why) => {
                    return format!("{} leave {}", now.as_secs(), describe(&why));
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
    fn every_timeline_of_the_vectors_ends_as_expected() {
        let file: File =
            serde_json::from_value(xtask::spec_file::read_json("spec/vectors/auto_leave.json"))
                .unwrap();
        assert_eq!(file.kind, "auto_leave");
        assert!(!file.about.is_empty() && file.cases.len() > 20);
        for case in &file.cases {
            assert_eq!(play(case), case.expected, "{}", case.name);
        }
    }
}
