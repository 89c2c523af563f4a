//! The journal of an attempt with what the journals of earlier attempts have gained since it began. Pure.
//!
//! A journal is a copy of an earlier attempt's, followed by the attempt's own part, which begins with its `started` line. So each bot's part is whole in the
//! journal of its own attempt, and may be shorter in those of later attempts, which copied it before its end.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, VecDeque},
};

use meetbot_types::Timestamp;

use super::{Fit, lines};
use crate::recording::journal::Line;

/// The result of [`merge`].
#[derive(Debug)]
pub(super) struct Merged<'a> {
    /// The lines of the journal; `None` if nothing came late.
    pub(super) lines: Option<Vec<Cow<'a, str>>>,
    /// By how much the times in the attempt's files are later now, in ms.
    pub(super) own_ms: u64,
    /// How the files of earlier attempts fit into those of this one.
    pub(super) fits: BTreeMap<u32, Fit>,
}

/// A journal, by the bots that wrote it.
#[derive(Debug)]
struct Journal<'a> {
    /// The moment from which it counts its times.
    base: Option<Timestamp>,
    parts: Vec<Part<'a>>,
}

/// The lines of a bot: from its `started` line to that of the next bot.
#[derive(Debug)]
struct Part<'a> {
    /// The attempt, and when its bot was in the call. `None` for lines before the first `started` line, which only a damaged journal has.
    started: Option<(u32, u64)>,
    lines: Vec<Cow<'a, str>>,
}

/// Merges the journals of earlier attempts, each with its number, into an attempt's own one. All its lines stay in it, in their order.
pub(super) fn merge<'a>(own: &'a str, earlier: &'a [(u32, String)]) -> Merged<'a> {
    let mut own = Journal::read(own);
    let mut earlier: Vec<(u32, Journal<'a>)> =
        earlier.iter().map(|(attempt, text)| (*attempt, Journal::read(text))).collect();
    // A bot that knew nothing of the earlier one's journal has the beginning from the server, or began anew: it is the later one. No time becomes negative.
    let bases = earlier.iter().map(|(_, journal)| journal.base).chain([own.base]);
    let Some(base) = bases.flatten().min() else {
        return Merged { lines: None, own_ms: 0, fits: BTreeMap::new() };
    };
    let own_ms = own.count_from(base);
    let mut starts: BTreeMap<u32, u64> = own.parts.iter().filter_map(|part| part.started).collect();
    let (mut sources, mut fits) = (BTreeMap::new(), BTreeMap::new());
    for (attempt, journal) in earlier.iter_mut().rev() {
        let later_ms = journal.count_from(base);
        let until_ms = starts.range(*attempt + 1..).map(|(_, at_ms)| *at_ms).min();
        fits.insert(*attempt, Fit { later_ms, until_ms });
        let mut parts = std::mem::take(&mut journal.parts).into_iter();
        let Some((part, at_ms)) = parts.find_map(|part| match part.started {
            Some((of, at_ms)) if of == *attempt => Some((part, at_ms)),
            _ => None,
        }) else {
            continue;
        };
        if !starts.contains_key(attempt) {
            // A bot that was cut off, and was in the call only after the next one.
            if until_ms.is_some_and(|until_ms| at_ms > until_ms) {
                continue;
            }
            starts.insert(*attempt, at_ms);
            own.insert(Part { started: part.started, lines: Vec::new() });
        }
        sources.insert(*attempt, (part, until_ms));
    }
    let (mut merged, mut is_new) = (Vec::new(), own_ms > 0);
    // Whether the recording is paused: as the next bot knew it, and as it was.
    let (mut known_paused, mut paused) = (false, false);
    for part in own.parts {
        // The next bot recorded by what it knew.
        if let Some((_, at_ms)) = part.started
            && paused != known_paused
        {
            let line = if known_paused { Line::Paused { at_ms } } else { Line::Resumed { at_ms } };
            merged.extend(text(&line).map(Cow::Owned));
            (paused, is_new) = (known_paused, true);
        }
        known_paused = paused_after(known_paused, &part.lines);
        let count = part.lines.len();
        let source = part.started.and_then(|(attempt, _)| sources.remove(&attempt));
        let lines = match source {
            Some((source, until_ms)) => join(&part.lines, source.lines, until_ms),
            None => part.lines,
        };
        paused = paused_after(paused, &lines);
        is_new |= lines.len() > count;
        merged.extend(lines);
    }
    Merged { lines: is_new.then_some(merged), own_ms, fits }
}

impl<'a> Journal<'a> {
    fn read(text: &'a str) -> Self {
        let (mut base, mut parts) = (None, Vec::new());
        for line in lines(text) {
            let started = match serde_json::from_str(line) {
                Ok(Line::Started { attempt, at_ms, started_at }) => {
                    base.get_or_insert(started_at);
                    Some((attempt, at_ms))
                }
                _ => None,
            };
            match parts.last_mut() {
                Some(Part { lines, .. }) if started.is_none() => lines.push(Cow::Borrowed(line)),
                _ => parts.push(Part { started, lines: vec![Cow::Borrowed(line)] }),
            }
        }
        Self { base, parts }
    }

    /// Changes all times so that they count from this moment, which is not later. Returns by how much, in ms.
    fn count_from(&mut self, base: Timestamp) -> u64 {
        let later_ms =
            self.base.map_or(0, |own| u64::try_from(own.millis_since(base)).unwrap_or(0));
        if later_ms > 0 {
            for part in &mut self.parts {
                if let Some((_, at_ms)) = &mut part.started {
                    *at_ms = at_ms.saturating_add(later_ms);
                }
                for line in &mut part.lines {
                    let Ok(mut moved) = serde_json::from_str(line) else { continue };
                    move_by(&mut moved, later_ms, base);
                    if let Some(moved) = text(&moved) {
                        *line = Cow::Owned(moved);
                    }
                }
            }
        }
        later_ms
    }

    /// Inserts a part before those of later attempts.
    fn insert(&mut self, part: Part<'a>) {
        let is_later = |other: &Part<'_>| match (other.started, part.started) {
            (Some((other, _)), Some((own, _))) => other > own,
            _ => false,
        };
        let place = self.parts.iter().position(is_later).unwrap_or(self.parts.len());
        self.parts.insert(place, part);
    }
}

/// The known lines of a part, with what the source has besides: usually more lines at its end. In a damaged journal lines may be missing anywhere; they are
/// inserted where the source has them.
fn join<'a>(
    known: &[Cow<'a, str>],
    source: Vec<Cow<'a, str>>,
    until_ms: Option<u64>,
) -> Vec<Cow<'a, str>> {
    let same = known.iter().zip(&source).take_while(|(known, line)| known == line).count();
    let mut places: HashMap<&str, VecDeque<usize>> = HashMap::new();
    for (place, line) in known.iter().enumerate().skip(same) {
        places.entry(line).or_default().push_back(place);
    }
    let mut take = |line: &str| places.get_mut(line)?.pop_front();
    let mut joined = known[..same].to_vec();
    let mut next = same;
    let mut until = Until { until_ms, no_more_files: false };
    for line in source.into_iter().skip(same) {
        let (line, place) = match take(&line) {
            Some(place) => (line, Some(place)),
            None => match until.early(line) {
                Early::Whole(line) => (line, None),
                // It is known if the recording was finalised before.
                Early::Cut(line) => {
                    let place = take(&line);
                    (Cow::Owned(line), place)
                }
                Early::Nothing => continue,
            },
        };
        match place {
            None => joined.push(line),
            Some(place) if place >= next => {
                joined.extend_from_slice(&known[next..=place]);
                next = place + 1;
            }
            Some(_) => {}
        }
    }
    joined.extend_from_slice(&known[next..]);
    joined
}

/// Which late lines are from before the next attempt was in the call.
#[derive(Debug)]
struct Until {
    until_ms: Option<u64>,
    /// A file was left out.
    no_more_files: bool,
}

/// What of a late line is from before that.
#[derive(Debug)]
enum Early<'a> {
    Whole(Cow<'a, str>),
    Cut(String),
    Nothing,
}

impl Until {
    fn early<'a>(&mut self, text_of_line: Cow<'a, str>) -> Early<'a> {
        let Ok(mut line) = serde_json::from_str::<Line>(&text_of_line) else {
            return Early::Nothing;
        };
        let Some(until_ms) = self.until_ms else { return Early::Whole(text_of_line) };
        match &mut line {
            Line::Speaking { start_ms, end_ms, .. } | Line::Gap { start_ms, end_ms, .. } => {
                if *start_ms > until_ms {
                    return Early::Nothing;
                }
                if *end_ms <= until_ms {
                    return Early::Whole(text_of_line);
                }
                *end_ms = until_ms;
                return text(&line).map_or(Early::Nothing, Early::Cut);
            }
            // The next bot did not know it, and recorded until the server told it to stop: then it wrote this line itself.
            Line::Stopped { .. } => return Early::Nothing,
            // Levels refer to files by their numbers, so no file may be missing before another one.
            Line::Track { at_ms, .. } if self.no_more_files || *at_ms > until_ms => {
                self.no_more_files = true;
                return Early::Nothing;
            }
            _ => {}
        }
        // Files, people and the end of the bot: the next one writes what happens after it has joined. Where the recording would be paused by a line and the next
        // bot did not know it, `merge` ends the pause at its join.
        if line.at_ms() <= until_ms { Early::Whole(text_of_line) } else { Early::Nothing }
    }
}

fn text(line: &Line) -> Option<String> {
    serde_json::to_string(line).ok()
}

/// Whether the recording is paused after these lines.
fn paused_after(paused: bool, lines: &[Cow<'_, str>]) -> bool {
    lines.iter().fold(paused, |paused, line| match serde_json::from_str(line) {
        Ok(Line::Paused { .. }) => true,
        Ok(Line::Resumed { .. }) => false,
        _ => paused,
    })
}

/// Moves a line by so many ms, in a journal that counts from `base`.
const fn move_by(line: &mut Line, ms: u64, base: Timestamp) {
    match line {
        Line::Started { at_ms, started_at, .. } => {
            *at_ms = at_ms.saturating_add(ms);
            *started_at = base;
        }
        Line::ParticipantJoined { at_ms, .. }
        | Line::ParticipantChanged { at_ms, .. }
        | Line::ParticipantLeft { at_ms, .. }
        | Line::Track { at_ms, .. }
        | Line::TrackStart { at_ms, .. }
        | Line::TrackUnavailable { at_ms, .. }
        | Line::Paused { at_ms }
        | Line::Resumed { at_ms }
        | Line::Stopped { at_ms }
        | Line::ConnectionLost { at_ms }
        | Line::DatagramsDropped { at_ms, .. }
        | Line::HandedOver { at_ms, .. }
        | Line::Left { at_ms, .. } => *at_ms = at_ms.saturating_add(ms),
        Line::Gap { start_ms, end_ms, .. } | Line::Speaking { start_ms, end_ms, .. } => {
            *start_ms = start_ms.saturating_add(ms);
            *end_ms = end_ms.saturating_add(ms);
        }
    }
}

#[cfg(test)]
mod tests;
