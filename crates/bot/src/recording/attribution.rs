//! How it is known whose a media file is. Pure.

use std::collections::HashMap;

use meetbot_types::Platform;

use super::Recording;
use crate::{
    bounds,
    meeting::{Attribution, Source},
};

/// How it is known whose media are, by the meeting's id of the participant, and by source.
#[derive(Debug)]
pub(crate) struct Attributions {
    usual: Attribution,
    others: HashMap<String, HashMap<Source, Attribution>>,
}

impl Attributions {
    /// Those of a platform's meetings.
    pub(crate) fn of(platform: &Platform) -> Self {
        let usual = match platform {
            Platform::GoogleMeet => Attribution::Source,
            _ => Attribution::Stream,
        };
        Self { usual, others: HashMap::new() }
    }

    /// For this participant's source it is another one than usual.
    pub(crate) fn set(&mut self, participant: String, source: Source, attribution: Attribution) {
        if self.others.len() < bounds::PEOPLE || self.others.contains_key(&participant) {
            self.others.entry(participant).or_default().insert(source, attribution);
        }
    }

    /// Each is as usual again: after a lost connection, the meeting reports anew which are not.
    pub(crate) fn clear(&mut self) {
        self.others.clear();
    }

    /// That of a participant's source.
    pub(crate) fn get(&self, participant: &str, source: Source) -> Attribution {
        let of_participant = self.others.get(participant);
        of_participant.and_then(|of| of.get(&source)).copied().unwrap_or(self.usual)
    }
}

impl Recording {
    /// Sets how it is known whose media from this source of this participant are. The next frame begins another file if it was known in another way before.
    pub(crate) fn attribute(
        &mut self,
        participant: String,
        source: Source,
        attribution: Attribution,
    ) {
        self.attributions.set(participant, source, attribution);
    }
}
