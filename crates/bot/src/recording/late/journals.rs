//! The journal of an attempt with what the journals of earlier attempts have gained since it began.
//!
//! A journal is a copy of an earlier attempt's, followed by the attempt's own part, which begins with its `started` line. So each bot's part is whole in the
//! journal of its own attempt, and may be shorter in those of later attempts, which copied it before its end.
//!
//! The journals are read twice: first for where their parts are, then line by line as they are merged.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
};

use meetbot_types::Timestamp;

use super::{
    Fit,
    lines::{Lines, Placed},
};
use crate::recording::journal::Line;

/// In how many of the next lines of a copied part a line of the whole part is looked for. More lines that only the copy has are not in a row there.
const AHEAD: usize = 1_000;

/// How the journals are merged.
#[derive(Debug)]
pub(super) struct Merged {
    /// By how much the times in the attempt's files are later now, in ms.
    pub(super) own_ms: u64,
    /// How the files of earlier attempts fit into those of this one.
    pub(super) fits: BTreeMap<u32, Fit>,
    own: Journal,
    /// The parts of the merged journal, in their order, each with the source of its late lines.
    parts: Vec<(Part, Option<Source>)>,
}

/// A journal, by the bots that wrote it.
#[derive(Debug)]
struct Journal {
    path: PathBuf,
    /// The moment from which it counts its times.
    base: Option<Timestamp>,
    /// By how much its times are later where they count from the merged journal's moment, in ms.
    later_ms: u64,
    parts: Vec<Part>,
}

/// The lines of a bot: from its `started` line to that of the next bot.
#[derive(Debug, Clone)]
struct Part {
    /// The attempt, and when its bot was in the call. `None` for lines before the first `started` line, which only a damaged journal has.
    started: Option<(u32, u64)>,
    /// Where its lines are. Nowhere, if only the source has them.
    bytes: Range<u64>,
}

/// The part of an attempt in the attempt's own journal.
#[derive(Debug)]
struct Source {
    journal: Journal,
    part: Part,
    until_ms: Option<u64>,
}

/// How the journals of earlier attempts, each with its number, are merged into an attempt's own one. All its lines stay in it, in their order. `None` where no
/// bot has written anything.
pub(super) fn plan(own: &Path, earlier: &[(u32, PathBuf)]) -> io::Result<Option<Merged>> {
    let mut own = Journal::read(own)?;
    let mut journals = Vec::new();
    for (attempt, path) in earlier {
        journals.push((*attempt, Journal::read(path)?));
    }
    // A bot that knew nothing of the earlier one's journal has the beginning from the server, or began anew: it is the later one. No time becomes negative.
    let bases = journals.iter().map(|(_, journal)| journal.base).chain([own.base]);
    let Some(base) = bases.flatten().min() else { return Ok(None) };
    own.count_from(base);
    let mut parts = own.parts.clone();
    let mut starts: BTreeMap<u32, u64> = parts.iter().filter_map(|part| part.started).collect();
    let (mut sources, mut fits) = (BTreeMap::new(), BTreeMap::new());
    for (attempt, mut journal) in journals.into_iter().rev() {
        journal.count_from(base);
        let until_ms = starts.range(attempt + 1..).map(|(_, at_ms)| *at_ms).min();
        fits.insert(attempt, Fit { later_ms: journal.later_ms, until_ms });
        let Some((part, at_ms)) = journal.part_of(attempt) else { continue };
        if let Entry::Vacant(start) = starts.entry(attempt) {
            // A bot that was cut off, and was in the call only after the next one.
            if until_ms.is_some_and(|until_ms| at_ms > until_ms) {
                continue;
            }
            start.insert(at_ms);
            insert(&mut parts, Part { started: part.started, bytes: 0..0 });
        }
        sources.insert(attempt, Source { journal, part, until_ms });
    }
    let with_source = |part: Part| {
        let source = part.started.and_then(|(attempt, _)| sources.remove(&attempt));
        (part, source)
    };
    let parts = parts.into_iter().map(with_source).collect();
    Ok(Some(Merged { own_ms: own.later_ms, fits, own, parts }))
}

/// Inserts a part before those of later attempts.
fn insert(parts: &mut Vec<Part>, part: Part) {
    let is_later = |other: &Part| match (other.started, part.started) {
        (Some((other, _)), Some((own, _))) => other > own,
        _ => false,
    };
    let place = parts.iter().position(is_later).unwrap_or(parts.len());
    parts.insert(place, part);
}

impl Merged {
    /// Writes the merged journal.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        // Whether the recording is paused: as the next bot knew it, and as it was.
        let (mut known_paused, mut to) = (false, Output { to, paused: false });
        for (part, source) in &self.parts {
            // The next bot recorded by what it knew.
            if let Some((_, at_ms)) = part.started
                && to.paused != known_paused
            {
                let line =
                    if known_paused { Line::Paused { at_ms } } else { Line::Resumed { at_ms } };
                if let Some(line) = text(&line) {
                    to.push(&line)?;
                }
            }
            let mut known = Known {
                lines: self.own.lines(part)?,
                ahead: VecDeque::new(),
                paused: known_paused,
            };
            if let Some(Source { journal, part, until_ms }) = source {
                join(&mut known, journal.lines(part)?, *until_ms, &mut to)?;
            }
            while let Some(line) = known.next()? {
                to.push(&line)?;
            }
            known_paused = known.paused;
        }
        Ok(())
    }
}

impl Journal {
    fn read(path: &Path) -> io::Result<Self> {
        let (mut base, mut parts) = (None, Vec::<Part>::new());
        let mut lines = Lines::of(path)?;
        while let Some(Placed { text, place }) = lines.next()? {
            let started = match serde_json::from_str(&text) {
                Ok(Line::Started { attempt, at_ms, started_at }) => {
                    base.get_or_insert(started_at);
                    Some((attempt, at_ms))
                }
                _ => None,
            };
            match parts.last_mut() {
                Some(Part { bytes, .. }) if started.is_none() => bytes.end = place.end,
                _ => parts.push(Part { started, bytes: place }),
            }
        }
        Ok(Self { path: path.to_owned(), base, later_ms: 0, parts })
    }

    /// Changes all times so that they count from this moment, which is not later.
    fn count_from(&mut self, base: Timestamp) {
        if let Some(own) = self.base.replace(base) {
            self.later_ms = u64::try_from(own.millis_since(base)).unwrap_or(0);
        }
        for (_, at_ms) in self.parts.iter_mut().filter_map(|part| part.started.as_mut()) {
            *at_ms = at_ms.saturating_add(self.later_ms);
        }
    }

    /// The part of an attempt, and when its bot was in the call.
    fn part_of(&self, attempt: u32) -> Option<(Part, u64)> {
        self.parts.iter().find_map(|part| match part.started {
            Some((of, at_ms)) if of == attempt => Some((part.clone(), at_ms)),
            _ => None,
        })
    }

    fn lines(&self, part: &Part) -> io::Result<Moved> {
        let lines = Lines::within(&self.path, part.bytes.clone())?;
        let later = self.base.filter(|_| self.later_ms > 0).map(|base| (self.later_ms, base));
        Ok(Moved { lines, later })
    }
}

/// Lines of a journal, with their changed times.
#[derive(Debug)]
struct Moved {
    lines: Lines,
    /// By how many ms they are later, and from which moment they count.
    later: Option<(u64, Timestamp)>,
}

impl Moved {
    fn next(&mut self) -> io::Result<Option<String>> {
        let Some(Placed { text: line, .. }) = self.lines.next()? else { return Ok(None) };
        let moved = self.later.and_then(|(ms, base)| {
            let mut moved = serde_json::from_str(&line).ok()?;
            move_by(&mut moved, ms, base);
            text(&moved)
        });
        Ok(Some(moved.unwrap_or(line)))
    }
}

/// The lines of a part that the attempt copied.
#[derive(Debug)]
struct Known {
    lines: Moved,
    /// The next of them, as far as they were looked at.
    ahead: VecDeque<String>,
    /// Whether the recording is paused after the lines before them.
    paused: bool,
}

impl Known {
    fn next(&mut self) -> io::Result<Option<String>> {
        let line = match self.ahead.pop_front() {
            Some(line) => Some(line),
            None => self.lines.next()?,
        };
        self.paused = paused_after(self.paused, line.as_deref().unwrap_or_default());
        Ok(line)
    }

    /// How many lines come before this one; `None` if it is not among the next ones.
    fn before(&mut self, line: &str) -> io::Result<Option<usize>> {
        if let Some(at) = self.ahead.iter().position(|other| other == line) {
            return Ok(Some(at));
        }
        while self.ahead.len() < AHEAD
            && let Some(next) = self.lines.next()?
        {
            let is_it = next == line;
            self.ahead.push_back(next);
            if is_it {
                return Ok(Some(self.ahead.len() - 1));
            }
        }
        Ok(None)
    }
}

/// Where the merged journal is written.
#[derive(Debug)]
struct Output<'a, W> {
    to: &'a mut W,
    /// Whether the recording is paused after what is written.
    paused: bool,
}

impl<W: Write> Output<'_, W> {
    fn push(&mut self, line: &str) -> io::Result<()> {
        self.paused = paused_after(self.paused, line);
        writeln!(self.to, "{line}")
    }
}

/// Writes the known lines of a part up to the last one that the source has, with what the source has besides: usually more lines at its end. In a damaged
/// journal lines may be missing anywhere; they are inserted where the source has them.
fn join(
    known: &mut Known,
    mut source: Moved,
    until_ms: Option<u64>,
    to: &mut Output<'_, impl Write>,
) -> io::Result<()> {
    let mut until = Until { until_ms, no_more_files: false };
    while let Some(line) = source.next()? {
        let (line, before) = match known.before(&line)? {
            Some(before) => (line, Some(before)),
            None => match until.early(line) {
                Early::Whole(line) => (line, None),
                // It is known if the recording was finalised before.
                Early::Cut(line) => {
                    let before = known.before(&line)?;
                    (line, before)
                }
                Early::Nothing => continue,
            },
        };
        let Some(before) = before else {
            to.push(&line)?;
            continue;
        };
        for _ in 0..=before {
            if let Some(line) = known.next()? {
                to.push(&line)?;
            }
        }
    }
    Ok(())
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
enum Early {
    Whole(String),
    Cut(String),
    Nothing,
}

impl Until {
    fn early(&mut self, text_of_line: String) -> Early {
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

/// Whether the recording is paused after this line.
fn paused_after(paused: bool, line: &str) -> bool {
    // Most lines need not be parsed.
    if !line.contains("paused") && !line.contains("resumed") {
        return paused;
    }
    match serde_json::from_str(line) {
        Ok(Line::Paused { .. }) => true,
        Ok(Line::Resumed { .. }) => false,
        _ => paused,
    }
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
