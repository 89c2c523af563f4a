//! The running meetings, one for each job, and the observations of them.

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

/// How long a meeting is kept after its start: longer than any scenario.
const KEPT_FOR: Duration = Duration::from_hours(2);
/// How many messages of its bots a meeting keeps: the first ones.
const MOST_CHAT: usize = 1_000;

/// The sandbox's one reading of the clock.
#[expect(clippy::disallowed_methods, reason = "the sandbox's one reading of the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A meeting of a job.
#[derive(Debug)]
pub(crate) struct Meeting {
    pub(crate) script: Script,
    pub(crate) began: Instant,
    observations: Mutex<Observations>,
}

#[derive(Debug, Default)]
struct Observations {
    joins: u32,
    present: u32,
    sent: Vec<u64>,
    chat: Vec<String>,
}

impl Meeting {
    /// The elapsed time of the scenario.
    pub(crate) fn elapsed(&self) -> Duration {
        now().saturating_duration_since(self.began)
    }

    fn observe<T>(&self, act: impl FnOnce(&mut Observations) -> T) -> T {
        act(&mut self.observations.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A bot is admitted; it is present until the returned guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Presence {
        self.observe(|seen| {
            seen.joins += 1;
            seen.present += 1;
        });
        Presence(Arc::clone(self))
    }

    /// Counts a packet of a person that was sent to a bot.
    pub(crate) fn sent(&self, person: usize) {
        self.observe(|seen| seen.sent[person] += 1);
    }

    /// Keeps a bot's chat message.
    pub(crate) fn wrote(&self, text: String) {
        self.observe(|seen| {
            if seen.chat.len() < MOST_CHAT {
                seen.chat.push(text);
            }
        });
    }

    /// The observations.
    pub(crate) fn inspect(&self) -> Inspection {
        self.observe(|seen| Inspection {
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

/// The presence of a bot in a meeting.
pub(crate) struct Presence(Arc<Meeting>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.observe(|seen| seen.present -= 1);
    }
}

/// All meetings.
#[derive(Debug, Default)]
pub(crate) struct Meetings(Mutex<HashMap<JobId, Arc<Meeting>>>);

impl Meetings {
    /// The job's meeting; it begins with the first bot.
    pub(crate) fn join(&self, job: JobId, scenario: &str) -> Result<Arc<Meeting>, String> {
        let now = now();
        let mut meetings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meeting) = meetings.get(&job) {
            return Ok(Arc::clone(meeting));
        }
        let script: Script = scenario.parse()?;
        meetings.retain(|_, meeting| now.saturating_duration_since(meeting.began) < KEPT_FOR);
        let observations =
            Observations { sent: vec![0; script.people.len()], ..Observations::default() };
        let meeting =
            Arc::new(Meeting { script, began: now, observations: Mutex::new(observations) });
        meetings.insert(job, Arc::clone(&meeting));
        Ok(meeting)
    }

    /// The observations of a job's meeting; empty if it never began.
    pub(crate) fn inspect(&self, job: JobId) -> Inspection {
        let meetings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        meetings.get(&job).map(|meeting| meeting.inspect()).unwrap_or_default()
    }
}
