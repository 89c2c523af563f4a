//! Receivers whose encoded frames cannot be taken. Pure.

use std::collections::HashSet;

use super::{Phase, Session};
use crate::{
    bounds,
    media::TrackId,
    meeting::{Attribution, MeetingEvent, Source},
    platforms::browser::{
        lanes,
        pictures::{Owner, PictureResult},
    },
};

/// Why media of such a receiver are in no file.
const REASON: &str = "the browser does not give out the encoded frames of this stream";

#[derive(Debug, Default)]
pub(super) struct Uncaptured {
    /// The lanes whose packets the page has encoded again.
    pub(super) encoded_again: HashSet<TrackId>,
    /// There is audio that cannot be recorded; it was not reported yet.
    lacks_audio: bool,
}

impl Session {
    /// The encoded frames of a receiver cannot be taken. `encoded`: its packets are what the page played, encoded again.
    pub(super) fn on_uncaptured(&mut self, lane: u16, kind: &str, encoded: bool) {
        self.evidence.cannot_capture(kind);
        if encoded {
            tracing::warn!(
                lane,
                "the encoded audio of a receiver in the meeting's page cannot be taken: what the page plays is encoded again"
            );
            if self.uncaptured.encoded_again.len() < bounds::STREAMS {
                self.uncaptured.encoded_again.insert(lanes::track(lane));
            }
            return;
        }
        tracing::warn!(
            lane,
            kind,
            "the encoded frames of a receiver in the meeting's page cannot be taken"
        );
        if kind == "audio" {
            self.uncaptured.lacks_audio = true;
            self.report_lack();
        } else {
            let unavailable = PictureResult::Unavailable { codec: "unknown", reason: REASON };
            self.shown(vec![(Owner::Nobody { lane }, unavailable)]);
        }
    }

    /// Reports audio that cannot be recorded, once the bot is in the meeting.
    pub(super) fn report_lack(&mut self) {
        if self.phase != Phase::Inside || !std::mem::take(&mut self.uncaptured.lacks_audio) {
            return;
        }
        let (participant, introduced) = self.several();
        if let Some(who) = introduced {
            self.emit(MeetingEvent::Joined(who));
            self.attribute(&participant, Source::Microphone, Attribution::Mix);
            self.emit(MeetingEvent::Left(participant.clone()));
        }
        let (source, codec) = (Source::Microphone, "opus".to_owned());
        self.emit(MeetingEvent::Unavailable { participant, source, codec, reason: REASON });
    }
}
