//! The chat of a meeting: what others write, and what the bot writes, which is done once it comes back. Pure.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use meetbot_types::CommandId;

use super::{Output, Roster};
use crate::{
    meeting::{ChatLine, MeetingEvent},
    platforms::browser::{
        landmarks::Controls, page::Act, products::google_meet::wire::Line, survey::Survey,
    },
};

/// The longest line that Google Meet takes, in characters.
const LONGEST: usize = 500;
/// How long a line may take to come back.
const PATIENCE: Duration = Duration::from_secs(15);
/// So many ids of lines are kept, since lines come again.
const MOST_IDS: usize = 20_000;

#[derive(Debug, Default)]
pub(super) struct Chat {
    heard: HashSet<String>,
    outgoing: VecDeque<Outgoing>,
}

/// A command's message, in lines.
#[derive(Debug)]
struct Outgoing {
    id: CommandId,
    lines: VecDeque<String>,
    /// The first of them is written, and did not come back yet.
    written: bool,
    /// The chat was opened for it.
    opened: bool,
    until: Instant,
}

impl Chat {
    pub(super) fn send(&mut self, id: CommandId, text: &str, now: Instant) {
        let characters: Vec<char> = text.chars().collect();
        let lines = characters.chunks(LONGEST).map(|line| line.iter().collect()).collect();
        let until = now + PATIENCE;
        self.outgoing.push_back(Outgoing { id, lines, written: false, opened: false, until });
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub(super) fn wake(&self) -> Option<Instant> {
        self.outgoing.front().map(|outgoing| outgoing.until)
    }

    /// What has waited for too long is not done.
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

    /// A line of the meeting. Answers it where it is new and somebody else's.
    pub(super) fn hear(
        &mut self,
        line: Line,
        roster: &Roster,
        now: Instant,
        output: &mut VecDeque<Output>,
    ) -> Option<ChatLine> {
        if self.heard.len() >= MOST_IDS {
            self.heard.clear();
        }
        if !self.heard.insert(line.id.clone()) {
            return None;
        }
        if !roster.is_self(&line.device) {
            let sender = roster.name(&line.device);
            let Line { id, device: sender_id, text } = line;
            return Some(ChatLine { id, sender_id, sender, text, private: false, ms_ago: 0 });
        }
        if let Some(outgoing) = self.outgoing.front_mut()
            && outgoing.written
            && outgoing.lines.front().is_some_and(|first| same(first, &line.text))
        {
            outgoing.lines.pop_front();
            (outgoing.written, outgoing.until) = (false, now + PATIENCE);
            if outgoing.lines.is_empty()
                && let Some(outgoing) = self.outgoing.pop_front()
            {
                done(outgoing.id, Ok(()), output);
            }
        }
        None
    }

    /// A look at the page: writes what is to be written.
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
            output.push_back(Output::Act(Act::Send { field: field.key.clone(), text }));
        } else if let Some(button) = survey.control(false, &controls.open_chat) {
            if !outgoing.opened {
                outgoing.opened = true;
                output.push_back(Output::Act(Act::Click(button.key.clone())));
            }
        } else {
            output.push_back(Output::Act(Act::Nudge));
        }
    }
}

fn done(id: CommandId, outcome: Result<(), String>, output: &mut VecDeque<Output>) {
    output.push_back(Output::Event(MeetingEvent::CommandDone { id, outcome }));
}

/// Pages change spaces and line breaks.
fn same(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}
