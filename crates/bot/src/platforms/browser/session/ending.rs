//! The ends of a session. Pure.

use std::time::Instant;

use meetbot_types::{Failure, FailureCode};

use super::{LEAVE_TIMEOUT, Mark, Phase, Session};
use crate::{bounds::Exceeded, meeting::MeetingEvent, platforms::browser::survey::Survey};

impl Session {
    /// Begins to leave.
    pub(crate) fn leave(&mut self, now: Instant) {
        let spoken = self.captions.finish();
        self.spoken(spoken, now);
        self.phase = match self.phase {
            Phase::Inside => Phase::Leaving { until: now + LEAVE_TIMEOUT },
            _ => Phase::Over,
        };
        self.next_look = now;
    }

    /// The connection to the meeting is lost.
    pub(crate) fn lose(&mut self, why: &str) {
        if let Phase::Leaving { .. } = self.phase {
            self.phase = Phase::Over;
        }
        self.end(MeetingEvent::Lost(why.to_owned()));
    }

    /// The page crashed, or does not react.
    pub(crate) fn die(&mut self, why: &str) {
        self.mark = Some(Mark::Dead);
        if self.earlier.dead >= 2 && self.phase == Phase::Outside {
            let failure = Failure::new(FailureCode::InternalError, why);
            self.end(MeetingEvent::Unreachable(failure));
        } else {
            self.lose(why);
        }
    }

    pub(super) fn give_up(&mut self, why: &str, survey: &Survey) {
        let version = &self.landmarks.version;
        self.evidence.ended = Some(why.to_owned());
        let detail = format!("{why}; {} (landmarks of {version})", survey.summary());
        self.end(MeetingEvent::Unreachable(Failure::new(FailureCode::InternalError, detail)));
    }

    /// The meeting exceeded a bound.
    pub(crate) fn exceed(&mut self, exceeded: Exceeded) {
        self.end(MeetingEvent::Refused(exceeded.failure()));
    }

    /// Ends the session; only the first end counts.
    pub(super) fn end(&mut self, event: MeetingEvent) {
        if self.phase != Phase::Over && self.evidence.ended.is_none() {
            self.evidence.ended = event.why();
        }
        // The last record came at most a second ago, unless the page is silent.
        let spoken = self.captions.finish();
        self.spoken(spoken, self.beat);
        self.emit(event);
        self.phase = Phase::Over;
    }
}
