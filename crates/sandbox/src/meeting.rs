//! The meetings that are being played, one for each job, and what was seen of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use meetbot_types::{
    JobId,
    sandbox::{Inspection, SentPackets},
};

use crate::script::Script;

/// How long a meeting is remembered after it began: longer than any scenario.
const REMEMBERED: Duration = Duration::from_hours(2);
/// How many messages of its bots a meeting remembers: the first ones.
const MOST_CHAT: usize = 1_000;

/// The sandbox's one reading of the clock.
#[expect(clippy::disallowed_methods, reason = "the sandbox's one reading of the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A meeting that began.
#[derive(Debug)]
pub(crate) struct Meeting {
    pub(crate) script: Script,
    pub(crate) began: Instant,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    joins: u32,
    present: u32,
    sent: Vec<u64>,
    chat: Vec<String>,
}

impl Meeting {
    /// How far the scenario is.
    pub(crate) fn elapsed(&self) -> Duration {
        now().saturating_duration_since(self.began)
    }

    fn seen<T>(&self, act: impl FnOnce(&mut Seen) -> T) -> T {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A bot is let in; it is present until the answer is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Presence {
        self.seen(|seen| {
            seen.joins += 1;
            seen.present += 1;
        });
        Presence(Arc::clone(self))
    }

    /// A packet of a person was sent to a bot.
    pub(crate) fn sent(&self, person: usize) {
        self.seen(|seen| seen.sent[person] += 1);
    }

    /// A bot wrote into the chat.
    pub(crate) fn wrote(&self, text: String) {
        self.seen(|seen| {
            if seen.chat.len() < MOST_CHAT {
                seen.chat.push(text);
            }
        });
    }

    /// What was seen.
    pub(crate) fn inspect(&self) -> Inspection {
        self.seen(|seen| Inspection {
            joins: seen.joins,
            present: seen.present,
            sent: (self.script.people.iter().zip(&seen.sent))
                .filter(|(_, packets)| **packets > 0)
                .map(|(person, packets)| SentPackets {
                    participant_id: person.id.clone(),
                    name: person.name.clone(),
                    packets: *packets,
                })
                .collect(),
            chat: seen.chat.clone(),
        })
    }
}

/// A bot that is in a meeting.
pub(crate) struct Presence(Arc<Meeting>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.seen(|seen| seen.present -= 1);
    }
}

/// All meetings.
#[derive(Debug, Default)]
pub(crate) struct Meetings(Mutex<HashMap<JobId, Arc<Meeting>>>);

impl Meetings {
    /// The job's meeting; it begins with the first bot that comes.
    pub(crate) fn join(&self, job: JobId, scenario: &str) -> Result<Arc<Meeting>, String> {
        let now = now();
        let mut meetings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meeting) = meetings.get(&job) {
            return Ok(Arc::clone(meeting));
        }
        let script: Script = scenario.parse()?;
        meetings.retain(|_, meeting| now.saturating_duration_since(meeting.began) < REMEMBERED);
        let seen = Seen { sent: vec![0; script.people.len()], ..Seen::default() };
        let meeting = Arc::new(Meeting { script, began: now, seen: Mutex::new(seen) });
        meetings.insert(job, Arc::clone(&meeting));
        Ok(meeting)
    }

    /// What was seen of a job's meeting; nothing when it never began.
    pub(crate) fn inspect(&self, job: JobId) -> Inspection {
        let meetings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        meetings.get(&job).map(|meeting| meeting.inspect()).unwrap_or_default()
    }
}
