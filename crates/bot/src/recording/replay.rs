//! A meeting may replay media to a bot that follows a lost one or has rejoined: determines how much of it is recorded already.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, BufReader},
    path::Path,
    time::Duration,
};

use meetbot_types::bot::{BotOrder, Caption, ChatMessage, MediaKind};

use super::{
    CAPTIONS, CHAT, READ_AT_ONCE, Recording, files::folder_of, journal, journal_state::BegunTrack,
    scan::scan, source_writer::Key,
};
use crate::meeting::{ChatLine, Source};

/// Half a packet: a frame that begins this much before the recorded end is the next packet, with a rounded timestamp.
const HALF_PACKET_MS: u64 = 10;
/// The same.
pub(super) const HALF_PACKET: Duration = Duration::from_millis(HALF_PACKET_MS);
/// How much the start of a replayed caption may differ: each bot maps Zoom's clock to its own.
const SAME_CAPTION_MS: u64 = 1_000;

/// The extent of the recording when a meeting begins to replay.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// The end of each track in files, in ms of the recording.
    ends_ms: HashMap<Key, u64>,
    /// The ids of recorded chat messages.
    messages: HashSet<String>,
    /// Starts of recorded captions, by speaker and text.
    captions: HashMap<(String, String), Vec<u64>>,
}

impl Replay {
    /// The extent after attempts with these tracks, and lines in `folder`. The files are read in full.
    pub(super) fn after(
        order: &BotOrder,
        tracks: &[BegunTrack],
        folder: &Path,
    ) -> io::Result<Self> {
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
                .entry(Key { person: track.participant_id.as_str().into(), video, source })
                .or_default();
            if found.packets > 0 {
                *end_ms = (*end_ms).max(track.start_ms + found.duration_ms);
            }
        }
        Self { ends_ms: ends, ..Self::default() }.with_lines_of(folder)
    }

    /// Adds the lines that are in `folder` now.
    fn with_lines_of(mut self, folder: &Path) -> io::Result<Self> {
        journal::read(&folder.join(CHAT), |_, message: ChatMessage| {
            self.messages.insert(message.id);
            Ok(())
        })?;
        journal::read(&folder.join(CAPTIONS), |_, caption: Caption| {
            let key = (caption.speaker_id, caption.text);
            self.captions.entry(key).or_default().push(caption.start_ms);
            Ok(())
        })?;
        Ok(self)
    }

    /// The end of the last track.
    pub(super) fn end_ms(&self) -> u64 {
        self.ends_ms.values().copied().max().unwrap_or(0)
    }

    /// Whether a frame of this moment is in the track's file. After the first one that is not, no later one is.
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
        let key = (speaker_id.to_owned(), text.to_owned());
        self.captions.get(&key).is_some_and(|starts| {
            starts.iter().any(|start| start.abs_diff(start_ms) <= SAME_CAPTION_MS)
        })
    }
}

impl Recording {
    /// The bot rejoined, and the meeting replays: recorded lines are not written twice. The platform removes replayed frames of this attempt: it knows their exact
    /// timestamps, the recording only their places.
    pub(crate) fn replays_again(&mut self) -> io::Result<()> {
        self.flush_files()?;
        let replay = self.replay.take().unwrap_or_default();
        self.replay = Some(replay.with_lines_of(&self.folder)?);
        Ok(())
    }

    /// Whether a line of chat was replayed, and is recorded already.
    pub(crate) fn has_message(&self, line: &ChatLine) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.has_message(&line.id))
    }
}
