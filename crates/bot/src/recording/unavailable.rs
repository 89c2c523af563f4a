//! Media that are not recorded.

use std::{io, time::Instant};

use meetbot_types::bot::MediaKind;

use super::{Recording, journal::Line, source_writer::SourceWriter};
use crate::{bounds, meeting::Source};

impl Recording {
    /// Writes into the journal that a participant sends media that cannot be recorded.
    pub(crate) fn unavailable(
        &mut self,
        participant: &str,
        source: Source,
        codec: String,
        reason: &str,
        at: Instant,
    ) -> io::Result<()> {
        if self.unavailable >= bounds::STREAMS {
            return Ok(());
        }
        self.unavailable += 1;
        let (person, _) = self.people.of(participant);
        let line = Line::TrackUnavailable {
            at_ms: self.at_ms(at),
            participant_id: person.to_owned(),
            kind: if source == Source::Microphone { MediaKind::Audio } else { MediaKind::Video },
            source: source.word().to_owned(),
            codec,
            reason: reason.to_owned(),
        };
        self.journal.push(&line)
    }

    /// The system dropped this many datagrams, because the bot's socket was full.
    pub(crate) fn datagrams_dropped(&mut self, lost: u64, at: Instant) -> io::Result<()> {
        let (attempt, at_ms) = (self.attempt, self.at_ms(at));
        self.journal.push(&Line::DatagramsDropped { attempt, at_ms, lost })
    }

    /// The connection to the meeting is lost: gives the following gap its reason, and marks the recording as incomplete even if nothing follows.
    pub(crate) fn connection_lost(&mut self, at: Instant) -> io::Result<()> {
        let at_ms = self.at_ms(at);
        self.settle_all()?;
        self.tracks.values_mut().for_each(SourceWriter::reset_connection);
        self.attributions.clear();
        // A failed try to rejoin belongs to the same loss.
        if self.lost_at_ms.is_none_or(|before| before < self.heard_ms) {
            self.lost_at_ms = Some(at_ms);
            self.journal.push(&Line::ConnectionLost { at_ms })?;
        }
        Ok(())
    }
}
