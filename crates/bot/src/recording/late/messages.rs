//! The chat or the captions of an attempt with the lines that earlier attempts wrote last. Pure.

use std::{borrow::Cow, collections::HashMap};

use meetbot_types::bot::{Caption, ChatMessage};
use serde::Serialize;

use super::{Fit, lines};

/// Of one message bots have one id, at whatever time it reached them.
pub(super) const SAME_CHAT_MS: u64 = u64::MAX;
/// By how much the start of one caption may differ between two bots.
pub(super) const SAME_CAPTION_MS: u64 = 1_000;

/// Reads a line of chat or captions, and moves it by so many ms.
pub(super) type Read = for<'a> fn(&'a str, u64) -> Option<Message<'a>>;

/// A line of chat or captions.
#[derive(Debug)]
pub(super) struct Message<'a> {
    at_ms: u64,
    /// Lines with the same key at about the same time are one.
    key: (String, String),
    line: Cow<'a, str>,
}

/// The lines of an attempt's file, `own_ms` later, and those that only the files of earlier attempts have, each where its time belongs. `None` if that changes
/// nothing. A line that two bots wrote stands once: lines are the same within `same_ms`.
pub(super) fn merge<'a>(
    own: &'a str,
    own_ms: u64,
    earlier: impl IntoIterator<Item = (Fit, &'a str)>,
    read: Read,
    same_ms: u64,
) -> Option<Vec<Cow<'a, str>>> {
    let mut known: HashMap<(String, String), Vec<u64>> = HashMap::new();
    let (mut own_lines, mut last_ms) = (Vec::new(), 0);
    for line in lines(own) {
        if let Some(Message { at_ms, key, line }) = read(line, own_ms) {
            last_ms = at_ms;
            known.entry(key).or_default().push(at_ms);
            own_lines.push((at_ms, line));
        } else {
            own_lines.push((last_ms, Cow::Borrowed(line)));
        }
    }
    let mut late = Vec::new();
    for (fit, text) in earlier {
        let read = lines(text).filter_map(|line| read(line, fit.later_ms));
        let early = read.filter(|it| fit.until_ms.is_none_or(|until_ms| it.at_ms <= until_ms));
        let is_known = |it: &Message<'_>| {
            let times = known.get(&it.key);
            times.is_some_and(|times| times.iter().any(|at| at.abs_diff(it.at_ms) <= same_ms))
        };
        let new: Vec<Message<'a>> = early.filter(|it| !is_known(it)).collect();
        for Message { at_ms, key, line } in new {
            known.entry(key).or_default().push(at_ms);
            late.push((at_ms, line));
        }
    }
    if late.is_empty() && (own_ms == 0 || own_lines.is_empty()) {
        return None;
    }
    late.sort_by_key(|(at_ms, _)| *at_ms);
    let (mut merged, mut late) = (Vec::new(), late.into_iter().peekable());
    for (at_ms, line) in own_lines {
        while let Some((_, before)) = late.next_if(|(late_ms, _)| *late_ms < at_ms) {
            merged.push(before);
        }
        merged.push(line);
    }
    merged.extend(late.map(|(_, line)| line));
    Some(merged)
}

/// Reads a line of `chat.jsonl`.
pub(super) fn chat(line: &str, later_ms: u64) -> Option<Message<'_>> {
    let mut message: ChatMessage = serde_json::from_str(line).ok()?;
    message.at_ms = message.at_ms.saturating_add(later_ms);
    let line = moved(line, &message, later_ms)?;
    Some(Message { at_ms: message.at_ms, key: (message.id, String::new()), line })
}

/// Reads a line of `captions.jsonl`.
pub(super) fn caption(line: &str, later_ms: u64) -> Option<Message<'_>> {
    let mut caption: Caption = serde_json::from_str(line).ok()?;
    caption.start_ms = caption.start_ms.saturating_add(later_ms);
    caption.end_ms = caption.end_ms.saturating_add(later_ms);
    let line = moved(line, &caption, later_ms)?;
    Some(Message { at_ms: caption.start_ms, key: (caption.speaker_id, caption.text), line })
}

/// The line, with its new times if it was moved.
fn moved<'a>(line: &'a str, message: &impl Serialize, later_ms: u64) -> Option<Cow<'a, str>> {
    if later_ms == 0 {
        return Some(Cow::Borrowed(line));
    }
    serde_json::to_string(message).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests;
