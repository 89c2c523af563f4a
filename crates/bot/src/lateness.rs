//! Whether the bots of a process fall behind: they read their media so late that the system drops datagrams, or soon will.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use meetbot_types::Timestamp;

use crate::{clock, recording::files::private};

/// Readings that are late for this long show that the machine has too many bots. A shorter spell may be one slow write to the disk, or a machine that was suspended.
const SPELL: Duration = Duration::from_secs(3);
/// Late readings that are further apart are not of one spell. Bots report theirs every 400 ms.
const APART: Duration = Duration::from_secs(1);
/// For how long bots must have read in time before they have caught up.
const CAUGHT_UP: Duration = Duration::from_secs(10);

/// How late the bots of a process read their media.
#[derive(Debug, Default)]
pub struct Lateness {
    state: Mutex<State>,
    /// The file that a bot in a process of its own writes when it falls behind,
    report: Option<PathBuf>,
    /// and that the process reads which launches such bots.
    reports: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct State {
    /// The first and the last late reading of this spell.
    spell: Option<(Instant, Instant)>,
    /// Until when the bots are behind, if nothing more is late.
    until: Option<Instant>,
    /// When the report was written last.
    reported: Option<Instant>,
}

impl Lateness {
    /// For a process with one bot, whose launcher reads this file.
    pub fn reported_in(file: PathBuf) -> Self {
        Self { report: Some(file), ..Self::default() }
    }

    /// For a process that launches bots as tasks, and others in processes that write this file.
    pub fn with_reports_in(file: PathBuf) -> Self {
        Self { reports: Some(file), ..Self::default() }
    }

    /// Whether bots have lost datagrams because they read too late, or have read late for three seconds, and have not read in time for ten seconds since.
    pub fn is_behind(&self) -> bool {
        self.is_behind_at(clock::now()) || self.is_reported(clock::wall())
    }

    fn is_behind_at(&self, now: Instant) -> bool {
        self.state().until.is_some_and(|until| now < until)
    }

    /// Whether a bot in a process of its own has just reported it.
    fn is_reported(&self, now: Timestamp) -> bool {
        let Some(file) = &self.reports else { return false };
        let Ok(written) = fs::metadata(file).and_then(|found| found.modified()) else {
            return false;
        };
        // A report from the future is of a clock that was set back since.
        let age = now.millis_since(Timestamp::from(written));
        u128::try_from(age).is_ok_and(|age| age < CAUGHT_UP.as_millis())
    }

    /// A bot has lost datagrams, because its socket was full.
    pub(crate) fn dropped(&self, now: Instant) {
        let mut state = self.state();
        self.extend(&mut state, now);
    }

    /// A bot has read datagrams that had waited for too long.
    pub(crate) fn read_late(&self, now: Instant) {
        let mut state = self.state();
        let first = match state.spell {
            Some((first, last)) if now.saturating_duration_since(last) <= APART => first,
            _ => now,
        };
        state.spell = Some((first, now));
        if now.saturating_duration_since(first) >= SPELL {
            self.extend(&mut state, now);
        }
    }

    fn extend(&self, state: &mut State, now: Instant) {
        state.until = Some(now + CAUGHT_UP);
        let Some(file) = &self.report else { return };
        if state.reported.is_none_or(|last| now.saturating_duration_since(last) >= APART) {
            state.reported = Some(now);
            let opened = private().create(true).truncate(true).open(file);
            if let Err(error) = opened.and_then(|mut file| file.write_all(b"late")) {
                tracing::warn!(%error, "it cannot be reported that the bot falls behind");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn bots_are_behind_after_a_loss_until_they_have_read_in_time_for_ten_seconds() {
        let (lateness, start) = (Lateness::default(), clock::now());
        assert!(!lateness.is_behind_at(start));
        lateness.dropped(start);
        assert!(lateness.is_behind_at(start) && lateness.is_behind_at(start + 9_999 * MS));
        assert!(!lateness.is_behind_at(start + 10_000 * MS));
        lateness.dropped(start + 8_000 * MS);
        assert!(lateness.is_behind_at(start + 17_000 * MS));
    }

    #[test]
    fn bots_are_behind_before_a_loss_if_they_read_late_for_three_seconds() {
        let start = clock::now();
        let read = |every_ms: u32, times: u32| {
            let lateness = Lateness::default();
            let at = |time: u32| start + every_ms * time * MS;
            (0..times).for_each(|time| lateness.read_late(at(time)));
            lateness.is_behind_at(at(times - 1))
        };
        assert!(!read(450, 7) && read(450, 8), "the eighth is 3.15 s after the first");
        assert!(!read(1_001, 20), "each is a spell of its own");
        assert!(!read(0, 1_000), "many bots that read late at one moment");
    }

    #[test]
    fn a_bot_in_a_process_of_its_own_reports_that_it_is_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("late");
        let bot = Lateness::reported_in(file.clone());
        let launcher = Lateness::with_reports_in(file.clone());
        assert!(!launcher.is_behind());
        bot.read_late(clock::now());
        assert!(!launcher.is_behind());
        bot.dropped(clock::now());
        assert!(launcher.is_behind() && bot.is_behind());
        let written = Timestamp::from(fs::metadata(&file).unwrap().modified().unwrap());
        assert!(launcher.is_reported(written + 9_999 * MS));
        assert!(!launcher.is_reported(written + 10_000 * MS));
        assert!(!Lateness::default().is_behind());
    }
}
