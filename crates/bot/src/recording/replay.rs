//! What a meeting sends again to a bot that comes after a lost one, or that has joined anew: how much of it is recorded already.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, BufReader},
    path::Path,
};

use meetbot_types::bot::{BotOrder, Caption, ChatMessage, MediaKind};

use super::{
    CAPTIONS, CHAT, READ_AT_ONCE, Recording, files::folder_of, journal, scan::scan, story::Begun,
    writing::Key,
};
use crate::meeting::{ChatLine, Source};

/// Half a packet: what begins this much before the end of what is recorded is the packet after it, whose timestamp was rounded.
const HALF_PACKET_MS: u64 = 10;
/// A caption that is sent again may begin this much earlier or later than it did: two bots put Zoom's clock beside their own.
const SAME_CAPTION_MS: u64 = 1_000;

/// Where the recording stands when a meeting begins to send again.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// Up to which ms of the recording each track is in files.
    ends_ms: HashMap<Key, u64>,
    /// The ids of chat messages.
    messages: HashSet<String>,
    /// When captions began, by their speakers and texts.
    captions: HashMap<(String, String), Vec<u64>>,
}

impl Replay {
    /// After attempts that left these tracks, and lines in `folder`. The files are read from their beginning to their end.
    pub(super) fn after(order: &BotOrder, tracks: &[Begun], folder: &Path) -> io::Result<Self> {
        let mut ends = HashMap::new();
        for track in tracks {
            let Some(source) = Source::named(&track.content.source) else { continue };
            let file = match File::open(folder_of(order, track.attempt).join(&track.file)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            let mut file = BufReader::with_capacity(READ_AT_ONCE, file);
            let found = scan(&mut file, &track.content.kind)?;
            let video = track.content.kind == MediaKind::Video;
            let end_ms: &mut u64 = ends
                .entry(Key { person: track.participant_id.clone(), video, source })
                .or_default();
            if found.packets > 0 {
                *end_ms = (*end_ms).max(track.start_ms + found.duration_ms);
            }
        }
        Self { ends_ms: ends, ..Self::default() }.with_lines_of(folder)
    }

    /// The same with the lines that are in `folder` by now.
    fn with_lines_of(mut self, folder: &Path) -> io::Result<Self> {
        journal::read(&folder.join(CHAT), |_, message: ChatMessage| {
            self.messages.insert(message.id);
            Ok(())
        })?;
        journal::read(&folder.join(CAPTIONS), |_, caption: Caption| {
            let said = (caption.speaker_id, caption.text);
            self.captions.entry(said).or_default().push(caption.start_ms);
            Ok(())
        })?;
        Ok(self)
    }

    /// Where the last track ends.
    pub(super) fn end_ms(&self) -> u64 {
        self.ends_ms.values().copied().max().unwrap_or(0)
    }

    /// Whether what was captured at this moment is in the track's file. Once something is not, nothing that follows is.
    pub(super) fn has_frame(&mut self, key: &Key, at_ms: u64) -> bool {
        let Some(end_ms) = self.ends_ms.get(key) else { return false };
        if at_ms + HALF_PACKET_MS < *end_ms {
            return true;
        }
        self.ends_ms.remove(key);
        false
    }

    pub(super) fn has_message(&self, id: &str) -> bool {
        self.messages.contains(id)
    }

    pub(super) fn has_caption(&self, speaker_id: &str, text: &str, start_ms: u64) -> bool {
        let said = (speaker_id.to_owned(), text.to_owned());
        self.captions.get(&said).is_some_and(|starts| {
            starts.iter().any(|start| start.abs_diff(start_ms) <= SAME_CAPTION_MS)
        })
    }
}

impl Recording {
    /// The meeting was joined anew and sends again what it sent before: lines that are recorded are not written twice. Which frames of this attempt are
    /// sent again, their timestamps say more exactly than their places, so the platform takes those out.
    pub(crate) fn replays_again(&mut self) -> io::Result<()> {
        self.hand_over()?;
        let replay = self.replay.take().unwrap_or_default();
        self.replay = Some(replay.with_lines_of(&self.folder)?);
        Ok(())
    }

    /// Whether a line of chat is recorded, and was sent again.
    pub(crate) fn has_message(&self, line: &ChatLine) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.has_message(&line.id))
    }
}
