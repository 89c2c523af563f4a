//! The chat of a meeting: others' messages, and the bot's, each of which is done once the meeting sends it back. Pure.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use meetbot_types::CommandId;

use super::{Output, Roster};
use crate::{
    clock::ms_between,
    meeting::{ChatLine, MeetingEvent},
    platforms::browser::{
        landmarks::Controls, page::Action, products::google_meet::wire::Line, survey::Survey,
    },
};

/// The longest line that Google Meet accepts, in characters.
const LONGEST: usize = 500;
/// How long the meeting may take to send a line back.
const ECHO_TIMEOUT: Duration = Duration::from_secs(15);
/// How many ids of lines are kept, to skip repeated lines.
const MOST_IDS: usize = 20_000;
/// How many lines from before the admission are kept: the page shows the admission later than the lines begin.
const MOST_EARLY: usize = 200;

#[derive(Debug, Default)]
pub(super) struct Chat {
    seen_ids: HashSet<String>,
    /// Lines from before the admission, and when they came.
    early: VecDeque<(Line, Instant)>,
    outgoing: VecDeque<Outgoing>,
}

/// A command's message, in lines.
#[derive(Debug)]
struct Outgoing {
    id: CommandId,
    lines: VecDeque<String>,
    /// Its first line is written, and was not sent back yet.
    written: bool,
    /// The chat panel was opened for it.
    opened: bool,
    until: Instant,
}

impl Chat {
    pub(super) fn send(&mut self, id: CommandId, text: &str, now: Instant) {
        let characters: Vec<char> = text.chars().collect();
        let lines = characters.chunks(LONGEST).map(|line| line.iter().collect()).collect();
        let until = now + ECHO_TIMEOUT;
        self.outgoing.push_back(Outgoing { id, lines, written: false, opened: false, until });
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub(super) fn wake(&self) -> Option<Instant> {
        self.outgoing.front().map(|outgoing| outgoing.until)
    }

    /// Fails messages that have waited for too long.
    pub(super) fn tick(&mut self, now: Instant, output: &mut VecDeque<Output>) {
        while let Some(outgoing) = self.outgoing.pop_front_if(|outgoing| outgoing.until <= now) {
            let why = if outgoing.written {
                "the message was written, and the meeting did not show it"
            } else {
                "the meeting's page lets the bot write no messages: the host may have switched the chat off, or allowed it to members only"
            };
            done(outgoing.id, Err(why.to_owned()), output);
        }
    }

    /// Keeps a line from before the admission.
    pub(super) fn keep(&mut self, line: Line, now: Instant) {
        if self.early.len() >= MOST_EARLY {
            self.early.pop_front();
        }
        self.early.push_back((line, now));
    }

    /// Takes the lines from before the admission.
    pub(super) fn take_early(&mut self) -> VecDeque<(Line, Instant)> {
        std::mem::take(&mut self.early)
    }

    /// Handles a line of the meeting, which came at `came`. Returns it if it is new and not the bot's.
    pub(super) fn on_line(
        &mut self,
        (line, came): (Line, Instant),
        roster: &Roster,
        now: Instant,
        output: &mut VecDeque<Output>,
    ) -> Option<ChatLine> {
        if self.seen_ids.len() >= MOST_IDS {
            self.seen_ids.clear();
        }
        if !self.seen_ids.insert(line.id.clone()) {
            return None;
        }
        if !roster.is_self(&line.device) {
            let sender = roster.name(&line.device);
            let Line { id, device: sender_id, text } = line;
            let ms_ago = ms_between(came, now);
            return Some(ChatLine { id, sender_id, sender, text, private: false, ms_ago });
        }
        if let Some(outgoing) = self.outgoing.front_mut()
            && outgoing.written
            && outgoing.lines.front().is_some_and(|first| same(first, &line.text))
        {
            outgoing.lines.pop_front();
            (outgoing.written, outgoing.until) = (false, now + ECHO_TIMEOUT);
            if outgoing.lines.is_empty()
                && let Some(outgoing) = self.outgoing.pop_front()
            {
                done(outgoing.id, Ok(()), output);
            }
        }
        None
    }

    /// Handles a look at the page: writes the next line.
    pub(super) fn look(
        &mut self,
        controls: &Controls,
        survey: &Survey,
        now: Instant,
        output: &mut VecDeque<Output>,
    ) {
        let Some(outgoing) = self.outgoing.front_mut().filter(|outgoing| !outgoing.written) else {
            return;
        };
        if let Some(field) = survey.control(true, &controls.compose) {
            if field.disabled {
                outgoing.until = now;
                return;
            }
            let Some(text) = outgoing.lines.front().cloned() else { return };
            outgoing.written = true;
            output.push_back(Output::Action(Action::Send { field: field.key.clone(), text }));
        } else if let Some(button) = survey.control(false, &controls.open_chat) {
            if !outgoing.opened {
                outgoing.opened = true;
                output.push_back(Output::Action(Action::Click(button.key.clone())));
            }
        } else {
            output.push_back(Output::Action(Action::Nudge));
        }
    }
}

fn done(id: CommandId, outcome: Result<(), String>, output: &mut VecDeque<Output>) {
    output.push_back(Output::Event(MeetingEvent::CommandDone { id, outcome }));
}

/// Compares without spacing, since pages change spaces and line breaks.
fn same(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}
