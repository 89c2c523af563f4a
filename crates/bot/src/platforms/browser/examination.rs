//! What a join shows of a product's page, media and messages, for a bug report: without people's words and names, passcodes and tokens. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Instant,
};

use serde::Serialize;
use serde_json::Value;

use super::{
    capture::{Format, PageEvent, Record},
    evidence::{self, Evidence},
    judge::History,
    landmarks::{Landmarks, Verdict},
    lanes::LOUDEST,
    products::google_meet::{CALL, fields},
    survey::{Survey, begins},
};
use crate::clock::ms_between;

/// How many names of each kind are listed.
const MOST_NAMES: usize = 100;

/// The findings of a join.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Examination {
    /// The version of this program.
    pub version: String,
    /// The day of the landmarks that were used.
    pub landmarks: String,
    /// How long after the opening of the page the bot was in the meeting, in ms; `null` if it never was.
    pub joined_ms: Option<u64>,
    /// Why the join ended, if not because its time was over.
    pub ended: Option<String>,
    /// The states of the landmarks, in their order.
    pub states: Vec<StateFinding>,
    /// The controls of the landmarks.
    pub controls: Vec<ControlFinding>,
    /// The states of the page's connections, and how often each was reached.
    pub connections: BTreeMap<String, u64>,
    /// The data channels, by label, and the call for the roster.
    pub channels: BTreeMap<String, ChannelFinding>,
    /// The audio packets.
    pub sound: SoundFinding,
    /// The pictures, by format. Video is not requested.
    pub pictures: BTreeMap<String, u64>,
    /// How many receivers have encoded frames that cannot be taken, by kind: `audio`, `video`.
    pub uncaptured: BTreeMap<String, u64>,
    /// Formats of audio that cannot be recorded.
    pub unknown_formats: BTreeSet<String>,
    /// The kinds of errors that the page reported.
    pub errors: BTreeSet<String>,
    /// The people whom the messages named, and events that could be read.
    pub read: ReadFinding,
    /// The last content of the page, if the bot was not admitted: of an unknown page with its headings and the names of its buttons; all other text is replaced by its length.
    pub page: Option<Value>,
    #[serde(skip)]
    history: History,
    #[serde(skip)]
    labels: HashMap<u16, String>,
    #[serde(skip)]
    counts: BTreeMap<String, BTreeMap<Vec<u32>, u64>>,
    #[serde(skip)]
    is_in: bool,
    #[serde(skip)]
    lanes: BTreeSet<u16>,
    #[serde(skip)]
    lanes_encoded_again: BTreeSet<u16>,
}

/// A state of the landmarks.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateFinding {
    /// Its name.
    pub name: String,
    /// When the page was first in it, in ms after its opening; `null` if it never was.
    pub first_ms: Option<u64>,
}

/// A control of the landmarks.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlFinding {
    /// Its name.
    pub name: String,
    /// Which of its texts the page had; `null` if it had none.
    pub text: Option<String>,
}

/// A data channel, or a call.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelFinding {
    /// How many messages came.
    pub messages: u64,
    /// How many of them could not be read.
    pub unreadable: u64,
    /// The fields of the others.
    pub fields: Vec<FieldFinding>,
}

/// A field of messages.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldFinding {
    /// Its path, as in `1.2.13`.
    pub path: String,
    /// Its meaning, if it is one that the bot reads.
    pub meaning: Option<&'static str>,
    /// How often it came; 0 for a known field that never came.
    pub count: u64,
}

/// Audio packets.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SoundFinding {
    /// How many receivers had packets.
    pub lanes: usize,
    /// How many packets came.
    pub packets: u64,
    /// How many of them the page has decoded and encoded again.
    pub encoded_again: u64,
    /// How many name exactly one speaker.
    pub of_one: u64,
    /// How many name several speakers.
    pub of_several: u64,
    /// How many name none.
    pub of_none: u64,
    /// How many are marked as those of the loudest speaker.
    pub of_loudest: u64,
    /// How many have an audio level.
    pub with_level: u64,
}

/// What the bot read of the meeting.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadFinding {
    /// People in the roster, other than the bot.
    pub people: u64,
    /// People whose audio was recorded.
    pub speakers: u64,
    /// Lines of captions.
    pub captions: u64,
    /// Chat messages.
    pub messages: u64,
}

impl Examination {
    /// Nothing was found yet.
    pub(super) fn new(landmarks: &Landmarks) -> Self {
        let states = landmarks.states.iter();
        let controls = landmarks.controls.lists().into_iter();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            landmarks: landmarks.version.clone(),
            states: states
                .map(|state| StateFinding { name: state.name.clone(), first_ms: None })
                .collect(),
            controls: controls
                .map(|(name, _)| ControlFinding { name: name.to_owned(), text: None })
                .collect(),
            ..Self::default()
        }
    }

    /// Adds a look at the page, which was opened at `opened`.
    pub(super) fn look(
        &mut self,
        landmarks: &Landmarks,
        survey: &Survey,
        opened: Instant,
        now: Instant,
    ) {
        if let Some(state) = self.history.look(landmarks, survey, self.is_in, now) {
            self.is_in = state.verdict == Verdict::Inside;
            let finding = self.states.iter_mut().find(|it| it.name == state.name);
            if let Some(finding) = finding {
                finding.first_ms.get_or_insert(ms_between(opened, now));
            }
        }
        for ((_, texts), finding) in landmarks.controls.lists().into_iter().zip(&mut self.controls)
        {
            let has = |text: &&String| survey.controls.iter().any(|it| begins(&it.name, text));
            if finding.text.is_none() {
                finding.text = texts.iter().find(has).cloned();
            }
        }
    }

    /// Adds a record of the page's script.
    pub(super) fn record(&mut self, record: &Record) {
        match record {
            Record::Sound(sound) => {
                self.lanes.insert(sound.lane);
                let found = &mut self.sound;
                found.lanes = self.lanes.len();
                found.packets += 1;
                found.encoded_again += u64::from(self.lanes_encoded_again.contains(&sound.lane));
                let others = sound.sources.iter().filter(|source| **source != LOUDEST).count();
                match others {
                    0 => found.of_none += 1,
                    1 => found.of_one += 1,
                    _ => found.of_several += 1,
                }
                found.of_loudest += u64::from(others < sound.sources.len());
                found.with_level += u64::from(sound.level_dbov.is_some());
            }
            Record::Picture(picture) => {
                let format = match picture.format {
                    Format::Known(codec) => codec.name(),
                    Format::Other(name) => name,
                };
                *self.pictures.entry(format.to_owned()).or_default() += 1;
            }
            Record::Message { channel, bytes } => {
                if let Some(label) = self.labels.get(channel).cloned() {
                    self.message(&label, bytes);
                }
            }
            Record::Answer(bytes) => self.message(CALL, bytes),
            Record::PageEvent(event) => self.event(event),
        }
    }

    fn event(&mut self, event: &PageEvent) {
        match event {
            PageEvent::Peer { state, .. } => {
                let state = evidence::label(state);
                if self.connections.len() < MOST_NAMES {
                    *self.connections.entry(state).or_default() += 1;
                }
            }
            PageEvent::Channel { id, label, open: true } => {
                let label = evidence::label(label);
                if self.channels.len() < MOST_NAMES {
                    self.channels.entry(label.clone()).or_default();
                    self.labels.insert(*id, label);
                }
            }
            PageEvent::Uncaptured { lane, kind, encoded } if self.uncaptured.len() < MOST_NAMES => {
                *self.uncaptured.entry(evidence::label(kind)).or_default() += 1;
                if *encoded {
                    self.lanes_encoded_again.insert(*lane);
                }
            }
            PageEvent::Format { mime, .. } if self.unknown_formats.len() < MOST_NAMES => {
                self.unknown_formats
                    .insert(mime.split('/').map(evidence::label).collect::<Vec<_>>().join("/"));
            }
            PageEvent::Fault { message } if self.errors.len() < MOST_NAMES => {
                self.errors.extend(evidence::kinds(message));
            }
            _ => {}
        }
    }

    fn message(&mut self, channel: &str, bytes: &[u8]) {
        let found = self.channels.entry(channel.to_owned()).or_default();
        found.messages += 1;
        let counts = self.counts.entry(channel.to_owned()).or_default();
        if !fields::count(channel, bytes, counts) {
            found.unreadable += 1;
        }
    }

    /// The join is over; `evidence` is that of a failed one.
    pub(super) fn finish(&mut self, evidence: Option<&Evidence>) {
        if let Some(evidence) = evidence {
            self.ended.clone_from(&evidence.ended);
            self.page = evidence.page.as_ref().and_then(|page| serde_json::to_value(page).ok());
        }
    }

    /// Lists the fields, known ones first.
    pub(super) fn list_fields(&mut self) {
        for (channel, found) in &mut self.channels {
            let mut counts = self.counts.remove(channel).unwrap_or_default();
            let known = fields::known(channel);
            let of_known = known.iter().map(|(meaning, path)| FieldFinding {
                path: joined(path),
                meaning: Some(*meaning),
                count: counts.remove(path).unwrap_or_default(),
            });
            found.fields = of_known.collect();
            let on_the_way = |path: &[u32]| known.iter().any(|(_, of)| of.starts_with(path));
            let others = counts.iter().filter(|(path, _)| !on_the_way(path));
            found.fields.extend(others.map(|(path, count)| FieldFinding {
                path: joined(path),
                meaning: None,
                count: *count,
            }));
        }
    }
}

fn joined(path: &[u32]) -> String {
    path.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}
