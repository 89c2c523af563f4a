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

    /// The page shows no account, or asks to sign in, although the browser has the profile of an account.
    pub(super) fn lose_login(&mut self, account: &str) {
        let detail = format!(
            "the account {account:?} is signed out, so that Google Meet's page is that of a guest or asks to sign in; its operator signs in again with `meetbot browser login google --account {account}`"
        );
        self.end(MeetingEvent::Refused(Failure::new(FailureCode::AuthFailure, detail)));
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
