//! Events of jobs: lines of a timeline, and webhooks.

use std::collections::HashMap;

use meetbot_types::{
    EventName, FailureCode, JobStatus, LeaveReason, Metadata, Permission, Timestamp, Via,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap as _};
use serde_json::{Map, Value, value::RawValue};

use super::{Object, manifest::File, or_default};

/// One line of a job's timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimelineEvent {
    /// Its id.
    pub id: Option<String>,
    /// What happened.
    pub event: EventName,
    /// When.
    pub emitted_at: Option<Timestamp>,
    /// What the webhook says about it.
    pub data: EventData,
}

/// A webhook event as it is sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookEvent {
    /// The delivery; the same over all its tries.
    pub delivery_id: Option<String>,
    /// What happened.
    pub event: EventName,
    /// When it happened.
    pub emitted_at: Option<Timestamp>,
    /// Which try this is, from 1; 0 where it is not said.
    pub attempt: u32,
    /// The version of the envelope: 2; 0 where it is not said.
    pub version: u32,
    /// The event itself.
    pub data: EventData,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventData {
    /// The event's name once more.
    pub event: EventName,
    /// Counts a job's events up from 1; an endpoint that gets only some of them sees holes. 0 in a webhook that does not say it.
    pub sequence: u64,
    /// The job's id; empty in a timeline that does not repeat it.
    pub job_id: String,
    /// Your own id for it.
    pub external_id: Option<String>,
    /// The job's status after the event.
    pub status: Option<JobStatus>,
    /// Your own data.
    pub metadata: Metadata,
    /// What is particular to the event.
    #[serde(flatten)]
    pub details: EventDetails,
}

/// What is particular to an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum EventDetails {
    /// Of `job.status_changed`.
    StatusChanged {
        /// The status before; `None` for a new job.
        previous_status: Option<JobStatus>,
        /// A hint about what the status is busy with.
        status_detail: Option<String>,
        /// Why the bot left.
        leave_reason: Option<LeaveReason>,
        /// How the bot has got in; `None` in all but the change to `in_call`.
        via: Option<Via>,
    },
    /// Of `job.finalized`.
    Finalized {
        /// Where the manifest is.
        manifest_uri: Option<String>,
        /// Why the bot left.
        leave_reason: Option<LeaveReason>,
        /// How long the recording is, in milliseconds.
        duration_ms: u64,
    },
    /// Of `job.failed`. The wire has code and detail as `failureCode` and `failureDetail`, and in the older spelling as `failure_code` and `failure_detail` too.
    #[serde(serialize_with = "failed_in_both_spellings")]
    Failed {
        /// Why.
        failure_code: Option<FailureCode>,
        /// Why, in a sentence.
        failure_detail: Option<String>,
        /// The same sentence, for receivers of version 1.
        failure_reason: Option<String>,
        /// Where the manifest is, when something was recorded.
        manifest_uri: Option<String>,
    },
    /// Of `job.artifact_ready`.
    ArtifactReady {
        /// The file, as the manifest lists it from now on.
        artifact: File,
        /// Where the manifest is; the same as when the job ended.
        manifest_uri: Option<String>,
    },
    /// Of the three `bot.recording_permission_*`.
    Permission {
        /// Whether the meeting allows the recording.
        permission: Option<Permission>,
    },
    /// Of `bot.chat_message`.
    Chat {
        /// The message.
        message: ChatMessage,
    },
    /// Of `bot.chat_withheld`, which only the timeline has: nothing was to be recorded for a while, and that is over.
    ChatWithheld {
        /// How many messages of the chat are in no file and no event.
        messages: u64,
        /// How many captions are in no file.
        captions: u64,
    },
    /// Of `bot.events_left_out`, which only the timeline has: too much happened in the meeting to report all of it.
    EventsLeftOut {
        /// How many messages of the chat are in `chat.jsonl` and have no event.
        messages: u64,
        /// How often somebody joined, left or changed their name, which is in `events.jsonl` and has no event.
        participant_events: u64,
    },
    /// Of `bot.participant_joined` and `bot.participant_left`.
    Participant {
        /// Who.
        participant: Participant,
    },
    /// Of `bot.participant_renamed`.
    ParticipantRenamed {
        /// Who, under their new name.
        participant: Participant,
        /// The name before.
        previous_name: Option<String>,
    },
    /// Of an event that this version does not know: all its fields.
    Other(Map<String, Value>),
}

/// `job.failed` with each of its words in both spellings.
#[expect(clippy::ref_option, reason = "serde hands fields over like this")]
fn failed_in_both_spellings<S: Serializer>(
    code: &Option<FailureCode>,
    detail: &Option<String>,
    reason: &Option<String>,
    manifest_uri: &Option<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_map(Some(6))?;
    fields.serialize_entry("failureCode", code)?;
    fields.serialize_entry("failureDetail", detail)?;
    fields.serialize_entry("failure_code", code)?;
    fields.serialize_entry("failure_detail", detail)?;
    fields.serialize_entry("failure_reason", reason)?;
    fields.serialize_entry("manifestUri", manifest_uri)?;
    fields.end()
}

/// A message of the meeting's chat.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatMessage {
    /// The message's id.
    pub id: Option<String>,
    /// Who wrote it.
    pub sender_id: Option<String>,
    /// Their name.
    pub sender: Option<String>,
    /// The text.
    pub text: Option<String>,
    /// Whether only the bot was written to.
    #[serde(default, deserialize_with = "or_default")]
    pub private: bool,
    /// When, in milliseconds from the recording's start.
    #[serde(default, deserialize_with = "or_default")]
    pub at_ms: u64,
}

/// Someone in the meeting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    /// The meeting's id for them.
    pub id: Option<String>,
    /// Their name.
    pub name: Option<String>,
    /// Whether they are a host.
    #[serde(default, deserialize_with = "or_default")]
    pub is_host: bool,
    /// Whether it is another bot.
    #[serde(default, deserialize_with = "or_default")]
    pub is_bot: bool,
}

impl<'de> Deserialize<'de> for TimelineEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Envelope {
            id: Option<String>,
            event: EventName,
            emitted_at: Option<Timestamp>,
            data: Box<RawValue>,
        }
        let Envelope { id, event, emitted_at, data } = Envelope::deserialize(deserializer)?;
        let data = EventData::read(&data, &event).map_err(de::Error::custom)?;
        if data.sequence == 0 {
            return Err(de::Error::missing_field("data.sequence"));
        }
        Ok(Self { id, event, emitted_at, data })
    }
}

impl<'de> Deserialize<'de> for WebhookEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Envelope {
            delivery_id: Option<String>,
            event: EventName,
            emitted_at: Option<Timestamp>,
            #[serde(default, deserialize_with = "or_default")]
            attempt: u32,
            #[serde(default, deserialize_with = "or_default")]
            version: u32,
            data: Box<RawValue>,
        }
        let Envelope { delivery_id, event, emitted_at, attempt, version, data } =
            Envelope::deserialize(deserializer)?;
        let data = EventData::read(&data, &event).map_err(de::Error::custom)?;
        if data.job_id.is_empty() {
            return Err(de::Error::missing_field("data.jobId"));
        }
        Ok(Self { delivery_id, event, emitted_at, attempt, version, data })
    }
}

impl EventData {
    /// The event's name decides what else is read; the envelope's, where the data does not repeat it. `flatten` would spoil the metadata's numbers.
    fn read(raw: &RawValue, envelope: &EventName) -> serde_json::Result<Self> {
        let mut fields = Fields(serde_json::from_str(raw.get())?);
        let event = fields.take::<Option<_>>("event")?.unwrap_or_else(|| envelope.clone());
        Ok(Self {
            sequence: fields.take("sequence")?,
            job_id: fields.take("jobId")?,
            external_id: fields.take("externalId")?,
            status: fields.take("status")?,
            metadata: fields.take("metadata")?,
            details: EventDetails::read(&event, fields)?,
            event,
        })
    }
}

impl EventDetails {
    fn read(event: &EventName, mut fields: Fields<'_>) -> serde_json::Result<Self> {
        Ok(match event {
            EventName::StatusChanged => Self::StatusChanged {
                previous_status: fields.take("previousStatus")?,
                status_detail: fields.take("statusDetail")?,
                leave_reason: fields.take("leaveReason")?,
                via: fields.take("via")?,
            },
            EventName::Finalized => Self::Finalized {
                manifest_uri: fields.take("manifestUri")?,
                leave_reason: fields.take("leaveReason")?,
                duration_ms: fields.take("durationMs")?,
            },
            EventName::Failed => Self::Failed {
                failure_code: fields.either("failureCode", "failure_code")?,
                failure_detail: fields.either("failureDetail", "failure_detail")?,
                failure_reason: fields.take("failure_reason")?,
                manifest_uri: fields.take("manifestUri")?,
            },
            EventName::ArtifactReady => Self::ArtifactReady {
                artifact: fields.object("artifact")?,
                manifest_uri: fields.take("manifestUri")?,
            },
            EventName::PermissionRequested
            | EventName::PermissionGranted
            | EventName::PermissionDenied => {
                Self::Permission { permission: fields.take("permission")? }
            }
            EventName::ChatMessage => Self::Chat { message: fields.object("message")? },
            EventName::ChatWithheld => Self::ChatWithheld {
                messages: fields.take("messages")?,
                captions: fields.take("captions")?,
            },
            EventName::EventsLeftOut => Self::EventsLeftOut {
                messages: fields.take("messages")?,
                participant_events: fields.take("participantEvents")?,
            },
            EventName::ParticipantJoined | EventName::ParticipantLeft => {
                Self::Participant { participant: fields.object("participant")? }
            }
            EventName::ParticipantRenamed => Self::ParticipantRenamed {
                participant: fields.object("participant")?,
                previous_name: fields.take("previousName")?,
            },
            _ => Self::Other(fields.rest()?),
        })
    }
}

/// What an object holds, by name.
pub(super) struct Fields<'a>(pub(super) HashMap<String, &'a RawValue>);

impl Fields<'_> {
    /// The field, or its default where it is missing or `null`.
    pub(super) fn take<T: for<'a> Deserialize<'a> + Default>(
        &mut self,
        name: &str,
    ) -> serde_json::Result<T> {
        let raw = self.0.remove(name).map_or("null", RawValue::get);
        Ok(serde_json::from_str::<Option<T>>(raw)?.unwrap_or_default())
    }

    /// The field under the first name that has it.
    fn either<T: for<'a> Deserialize<'a>>(
        &mut self,
        name: &str,
        older: &str,
    ) -> serde_json::Result<Option<T>> {
        let older = self.take::<Option<T>>(older)?;
        Ok(self.take::<Option<T>>(name)?.or(older))
    }

    /// The object of this name; where it is missing or `null`, one of which nothing is known.
    fn object<T: for<'a> Deserialize<'a> + Default>(
        &mut self,
        name: &str,
    ) -> serde_json::Result<T> {
        Ok(self.optional_object(name)?.unwrap_or_default())
    }

    /// The object of this name, if there is one.
    pub(super) fn optional_object<T: for<'a> Deserialize<'a>>(
        &mut self,
        name: &str,
    ) -> serde_json::Result<Option<T>> {
        let raw = self.0.remove(name).map_or("null", RawValue::get);
        let object: Option<Object<T>> = serde_json::from_str(raw)?;
        Ok(object.map(|object| object.0))
    }

    /// What has not been taken.
    pub(super) fn rest(self) -> serde_json::Result<Map<String, Value>> {
        let fields = self.0.into_iter();
        fields.map(|(name, raw)| Ok((name, serde_json::from_str(raw.get())?))).collect()
    }
}
