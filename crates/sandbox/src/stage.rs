//! The state of a scenario at a moment. Pure: every bot gets the same state at the same moment.

use std::time::Duration;

use meetbot_types::bot::Participant;

use crate::{
    script::{CallEnd, Person, Script, Voice},
    speech::{self, LEVELS_DBOV, Packet, ROOM, SILENCE, TONE, VOICES, WHISPER},
};

/// The time of one packet.
pub(crate) const PACKET: Duration = Duration::from_millis(20);
/// The captions of turns that end in the middle of a sentence; they differ from the spoken words.
const CAPTIONS: [&str; 3] = ["Let us begin.", "I see it the same way.", "Could you send me that?"];
/// The levels of the other samples, in dBov, as measured.
const TONE_DBOV: i8 = -25;
const ROOM_DBOV: i8 = -57;
const WHISPER_DBOV: i8 = -45;
const SILENT_DBOV: i8 = -127;

/// An event of the meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SceneEvent {
    /// The person with this index joins.
    Joined(usize),
    /// The person with this index leaves.
    Left(usize),
    /// The chat line with this index is sent.
    Chat(usize),
    /// The person with this index changes the name.
    Renamed(usize),
    /// The person with the first index has ended the turn with the second index.
    Caption(usize, usize),
    /// The end of the call for the bot.
    CallEnd(CallEnd),
}

/// One packet of one person.
#[derive(Debug, Clone)]
pub(crate) struct Sound {
    pub(crate) data: Packet,
    pub(crate) level_dbov: i8,
    pub(crate) voice: bool,
}

impl Script {
    /// All events after `after`, with their times, in order.
    pub(crate) fn from(&self, after: Duration) -> Vec<(Duration, SceneEvent)> {
        let mut all = vec![(self.length, SceneEvent::CallEnd(self.call_end))];
        for (index, person) in self.people.iter().enumerate() {
            all.push((person.there.from, SceneEvent::Joined(index)));
            all.push((person.there.to, SceneEvent::Left(index)));
            let turns = person.talks.iter().enumerate();
            all.extend(turns.map(|(turn, talk)| (talk.to, SceneEvent::Caption(index, turn))));
            all.extend(person.renamed.map(|(at, _)| (at, SceneEvent::Renamed(index))));
        }
        all.extend(
            self.chat.iter().enumerate().map(|(index, line)| (line.at, SceneEvent::Chat(index))),
        );
        // Events at or after the end are dropped.
        all.retain(|(at, happening)| {
            *at > after && (*at < self.length || matches!(happening, SceneEvent::CallEnd(_)))
        });
        all.sort_by_key(|(at, _)| *at);
        all
    }

    /// The indexes of the people in the meeting.
    pub(crate) fn present(&self, at: Duration) -> impl Iterator<Item = usize> {
        self.people
            .iter()
            .enumerate()
            .filter(move |(_, person)| person.there.contains(at))
            .map(|(index, _)| index)
    }
}

impl Person {
    /// The person's entry in the roster.
    pub(crate) fn participant(&self, at: Duration) -> Participant {
        let renamed = self.renamed.filter(|(from, _)| *from <= at);
        Participant {
            id: self.id.clone(),
            name: renamed.map_or_else(|| self.name.clone(), |(_, name)| name.to_owned()),
            is_host: self.is_host,
            is_bot: self.is_bot,
        }
    }

    /// The caption of one of the person's turns.
    pub(crate) fn words(&self, index: usize, turn: usize) -> &'static str {
        match self.voice {
            Voice::Sentences => speech::sentence(index % VOICES.len(), turn).1,
            _ => CAPTIONS[turn % CAPTIONS.len()],
        }
    }

    /// The microphone's packet with this number in the scenario; `None` if the person is not in the meeting.
    pub(crate) fn sound(&self, index: usize, number: u64) -> Option<Sound> {
        let at = Duration::from_millis(number.saturating_mul(20));
        if !self.there.contains(at) {
            return None;
        }
        let silence = Sound { data: SILENCE.clone(), level_dbov: SILENT_DBOV, voice: false };
        let Some(turn) = self.talks.iter().position(|talk| talk.contains(at)) else {
            return Some(silence);
        };
        // Each turn continues in the sample where the previous one stopped.
        let before: Duration = self.talks[..turn].iter().map(|talk| talk.length()).sum();
        let said = before + at.saturating_sub(self.talks[turn].from);
        let own = index % VOICES.len();
        let (voice, level_dbov) = match self.voice {
            Voice::Own | Voice::Sentences => (&VOICES[own], None),
            Voice::Tone => (&*TONE, Some(TONE_DBOV)),
            Voice::Room => (&*ROOM, Some(ROOM_DBOV)),
            Voice::Whisper => (&*WHISPER, Some(WHISPER_DBOV)),
        };
        let packet =
            usize::try_from(said.as_millis() / PACKET.as_millis()).unwrap_or(0) % voice.len();
        let level_dbov = level_dbov.unwrap_or_else(|| LEVELS_DBOV[own][packet]);
        // Many senders mark all packets as voice.
        Some(Sound { data: voice[packet].clone(), level_dbov, voice: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Script {
        text.parse().unwrap()
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_third_person_joins_and_leaves_before_the_end() {
        let script = script("two-speakers?seconds=21");
        let events: Vec<_> = script
            .from(Duration::ZERO)
            .into_iter()
            .filter(|(_, what)| !matches!(what, SceneEvent::Caption(..)))
            .map(|(at, what)| (at.as_secs(), what))
            .collect();
        let expected = [
            (4, SceneEvent::Chat(0)),
            (7, SceneEvent::Joined(2)),
            (10, SceneEvent::Chat(1)),
            (14, SceneEvent::Left(2)),
            (21, SceneEvent::CallEnd(CallEnd::Ends)),
        ];
        assert_eq!(events, expected);
        assert_eq!(script.present(seconds(8)).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_late_bot_gets_only_later_events() {
        let script = script("two-speakers?seconds=21");
        let to_come = script.from(seconds(15));
        let captions = |what: &SceneEvent| matches!(what, SceneEvent::Caption(..));
        assert!(to_come.iter().all(|(at, what)| captions(what) || *at == seconds(21)));
        assert_eq!(to_come.last(), Some(&(seconds(21), SceneEvent::CallEnd(CallEnd::Ends))));
        assert!(script.from(seconds(21)).is_empty());
    }

    #[test]
    fn everyone_sends_without_a_break_while_in_the_meeting() {
        let script = script("two-speakers?seconds=21");
        let sounds = |index: usize| {
            (0..21 * 50)
                .filter_map(|number| script.people[index].sound(index, number))
                .collect::<Vec<_>>()
        };
        assert_eq!((sounds(0).len(), sounds(2).len()), (1050, 350));
        for index in 0..3 {
            assert!(sounds(index).iter().any(|sound| sound.voice));
            assert!(sounds(index).iter().any(|sound| !sound.voice));
        }
    }

    #[test]
    fn in_a_conversation_each_turn_is_one_complete_sentence_of_one_speaker() {
        let script = script("conversation?seconds=60");
        assert_eq!(script.people.len(), 3);
        let mut turns: Vec<_> = Vec::new();
        for (index, person) in script.people.iter().enumerate() {
            for (turn, talk) in person.talks.iter().enumerate() {
                let first = u64::try_from(talk.from.as_millis() / PACKET.as_millis()).unwrap();
                let packets =
                    u64::try_from(talk.length().as_millis() / PACKET.as_millis()).unwrap();
                let sounds = (first..first + packets).map(|at| person.sound(index, at).unwrap());
                assert!(sounds.into_iter().all(|sound| sound.voice));
                assert!(talk.to < script.length);
                turns.push((talk.from, talk.to, person.words(index, turn)));
            }
        }
        turns.sort_unstable();
        assert!(turns.windows(2).all(|pair| pair[0].1 < pair[1].0), "{turns:?}");
        let words: Vec<&str> = turns.iter().map(|turn| turn.2).collect();
        let first = ["Good morning everyone, and thank you for coming.", "Thank you, Alice."];
        assert_eq!(words[..2], first);
        assert!(words.len() >= 14, "{words:?}");
        // The second sentence begins where the first one ends in Alice's sample.
        let second = script.people[0].talks[1].from.as_millis() / PACKET.as_millis();
        let sound = script.people[0].sound(0, u64::try_from(second).unwrap()).unwrap();
        assert_eq!(sound.data, VOICES[0][speech::sentence(0, 0).0]);
    }

    #[test]
    fn in_silence_nobody_has_a_voice() {
        let script = script("silence?seconds=60");
        assert!((0..3000).all(|number| !script.people[0].sound(0, number).unwrap().voice));
    }
}
