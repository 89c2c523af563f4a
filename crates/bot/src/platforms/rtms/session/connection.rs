//! How far one connection of a stream is, and when it is tried again.

use std::time::{Duration, Instant};

use super::{ANSWER, SILENCE};

/// The waits between tries, in seconds: those of Zoom's own client. The first try follows at once, since most cuts are short.
const WAITS: [u64; 6] = [0, 3, 6, 12, 24, 30];

/// How far a connection is.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// To be dialled again at this time; `None` where signalling says when.
    Down(Option<Instant>),
    Dialling,
    /// Since when its handshake waits for an answer.
    Asking(Instant),
    /// When something was last heard on it.
    Up(Instant),
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) url: String,
    pub(super) state: State,
    /// How often in a row it failed.
    pub(super) failures: usize,
    /// Since when it is not up.
    pub(super) away_since: Instant,
    /// It was down since its last piece of media.
    pub(super) resumed: bool,
    /// The server last refused it since another connection is there.
    pub(super) duplicate: bool,
}

impl Connection {
    /// One that was never up.
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

    /// Something was heard.
    pub(super) fn heard(&mut self, now: Instant) {
        if let State::Up(heard) = &mut self.state {
            *heard = now;
        }
    }

    /// Its handshake is done.
    pub(super) const fn up(&mut self, now: Instant) {
        self.state = State::Up(now);
        self.failures = 0;
        self.duplicate = false;
    }

    /// Whether it is up, at this server.
    pub(super) fn is_up_at(&self, url: &str) -> bool {
        matches!(self.state, State::Up(_)) && self.url == url
    }

    /// It is no longer up, if it was.
    pub(super) const fn lose(&mut self, now: Instant) {
        if matches!(self.state, State::Up(_)) {
            self.away_since = now;
            self.resumed = true;
        }
    }

    /// It is down, and to be tried again.
    pub(super) fn fail(&mut self, now: Instant) {
        self.lose(now);
        let wait = Duration::from_secs(WAITS[self.failures.min(WAITS.len() - 1)]);
        self.failures += 1;
        self.state = State::Down(Some(now + wait));
    }

    /// When something is due.
    pub(super) fn wake(&self) -> Option<Instant> {
        match self.state {
            State::Down(retry) => retry,
            State::Dialling => None,
            State::Asking(since) => Some(since + ANSWER),
            State::Up(heard) => Some(heard + SILENCE),
        }
    }
}
