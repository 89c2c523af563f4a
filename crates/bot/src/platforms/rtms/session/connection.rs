//! The state of one connection of a stream, and its retries.

use std::time::{Duration, Instant};

use super::{ANSWER, SILENCE};

/// The waits between tries, in seconds, as in Zoom's client. The first retry is immediate, since most interruptions are short.
const WAITS: [u64; 6] = [0, 3, 6, 12, 24, 30];

/// The state of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// Down, and dialled again at this time; `None` if signalling decides when.
    Down(Option<Instant>),
    Dialling,
    /// When its handshake was sent.
    Asking(Instant),
    /// When the last message came.
    Up(Instant),
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) url: String,
    pub(super) state: State,
    /// How many consecutive tries failed.
    pub(super) failures: usize,
    /// Since when it is not up.
    pub(super) away_since: Instant,
    /// It was down since its last media message.
    pub(super) resumed: bool,
    /// The server last refused it as a duplicate.
    pub(super) duplicate: bool,
}

impl Connection {
    /// A connection that was never up.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            url: String::new(),
            state: State::Down(None),
            failures: 0,
            away_since: now,
            resumed: false,
            duplicate: false,
        }
    }

    /// A message came.
    pub(super) fn on_message(&mut self, now: Instant) {
        if let State::Up(on_message) = &mut self.state {
            *on_message = now;
        }
    }

    /// Its handshake is complete.
    pub(super) const fn up(&mut self, now: Instant) {
        self.state = State::Up(now);
        self.failures = 0;
        self.duplicate = false;
    }

    /// Whether it is up, on this server.
    pub(super) fn is_up_at(&self, url: &str) -> bool {
        matches!(self.state, State::Up(_)) && self.url == url
    }

    /// It is not up any more.
    pub(super) const fn lose(&mut self, now: Instant) {
        if matches!(self.state, State::Up(_)) {
            self.away_since = now;
            self.resumed = true;
        }
    }

    /// It is down, and will be retried.
    pub(super) fn fail(&mut self, now: Instant) {
        self.lose(now);
        let wait = Duration::from_secs(WAITS[self.failures.min(WAITS.len() - 1)]);
        self.failures += 1;
        self.state = State::Down(Some(now + wait));
    }

    /// When its next timeout is due.
    pub(super) fn wake(&self) -> Option<Instant> {
        match self.state {
            State::Down(retry) => retry,
            State::Dialling => None,
            State::Asking(since) => Some(since + ANSWER),
            State::Up(on_message) => Some(on_message + SILENCE),
        }
    }
}
