//! Webhook events: the envelope, version 2, and what each event carries.

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    DeliveryId, FailureCode, JobId, JobStatus, LeaveReason, Metadata, Permission, Timestamp, Via,
    bot::{ChatMessage, Participant},
    manifest::File,
};

/// The version of the envelope.
pub const ENVELOPE_VERSION: u32 = 2;

words! {
    /// The name of a webhook event.
    pub enum EventName {
        /// A job's status changed.
        StatusChanged = "job.status_changed",
        /// A job completed and its manifest is written; exactly once per successful job.
        Finalized = "job.finalized",
        /// A job failed.
        Failed = "job.failed",
        /// A file that is made after the job has ended (the mix) is there; once per file.
        ArtifactReady = "job.artifact_ready",
        /// The bot asked the host for permission to record.
        PermissionRequested = "bot.recording_permission_requested",
        /// The host permits the recording.
        PermissionGranted = "bot.recording_permission_granted",
        /// The host refuses the recording.
        PermissionDenied = "bot.recording_permission_denied",
        /// Someone wrote into the meeting's chat.
        ChatMessage = "bot.chat_message",
        /// Nothing was to be recorded for a while, which is over: how much chat and how many captions came meanwhile. In the timeline only.
        ChatWithheld = "bot.chat_withheld",
        /// There were more chat messages, or comings and goings of people, than are reported: how many are in the recording's files alone. In the timeline only.
        EventsLeftOut = "bot.events_left_out",
        /// Someone joined the meeting.
        ParticipantJoined = "bot.participant_joined",
        /// Someone in the meeting has another name.
        ParticipantRenamed = "bot.participant_renamed",
        /// Someone left the meeting.
        ParticipantLeft = "bot.participant_left",
    }
}

/// A webhook event as it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookEvent {
    /// The delivery; the same over all its tries.
    pub delivery_id: DeliveryId,
    /// What happened.
    pub event: EventName,
    /// When it happened.
    pub emitted_at: Timestamp,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// The version of the envelope: 2.
    pub version: u32,
    /// The event itself.
    pub data: EventData,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventData {
    /// The event's name once more.
    pub event: EventName,
    /// Counts a job's events up from 1; an endpoint that gets only some of them sees holes.
    pub sequence: u64,
    /// The job.
    pub job_id: JobId,
    /// The caller's own id for it.
    pub external_id: Option<String>,
    /// The job's status after the event.
    pub status: JobStatus,
    /// The caller's own data.
    pub metadata: Metadata,
    /// What is particular to the event.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, Value>))]
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
        permission: Permission,
    },
    /// Of `bot.chat_message`.
    Chat {
        /// The message.
        message: ChatMessage,
    },
    /// Of `bot.chat_withheld`.
    ChatWithheld {
        /// How many messages of the chat are in no file and no event.
        messages: u64,
        /// How many captions are in no file.
        captions: u64,
    },
    /// Of `bot.events_left_out`.
    EventsLeftOut {
        /// How many messages of the chat have no `bot.chat_message`.
        messages: u64,
        /// How often somebody came, went or changed their name without a `bot.participant_joined`, `…_left` or `…_renamed`.
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
        previous_name: String,
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

impl<'de> Deserialize<'de> for EventData {
    /// The event's name decides what else is read; `flatten` cannot, and would spoil the metadata's numbers.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Frame {
            event: EventName,
            sequence: u64,
            job_id: JobId,
            #[serde(default)]
            external_id: Option<String>,
            status: JobStatus,
            #[serde(default)]
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct StatusChanged {
            previous_status: Option<JobStatus>,
            status_detail: Option<String>,
            leave_reason: Option<LeaveReason>,
            #[serde(default)]
            via: Option<Via>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Finalized {
            manifest_uri: Option<String>,
            leave_reason: Option<LeaveReason>,
            #[serde(default)]
            duration_ms: u64,
        }
        #[derive(Deserialize)]
        struct Failed {
            failure_code: Option<FailureCode>,
            failure_detail: Option<String>,
            failure_reason: Option<String>,
            #[serde(rename = "manifestUri")]
            manifest_uri: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct ArtifactReady {
            artifact: File,
            manifest_uri: Option<String>,
        }
        #[derive(Deserialize)]
        struct WithPermission {
            permission: Permission,
        }
        #[derive(Deserialize)]
        struct WithMessage {
            message: ChatMessage,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Withheld {
            messages: u64,
            captions: u64,
        }
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct LeftOut {
            messages: u64,
            participant_events: u64,
        }
        #[derive(Deserialize)]
        struct WithParticipant {
            participant: Participant,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Renamed {
            participant: Participant,
            #[serde(default)]
            previous_name: String,
        }

        fn read<T: for<'a> Deserialize<'a>, E: Error>(raw: &RawValue) -> Result<T, E> {
            serde_json::from_str(raw.get()).map_err(E::custom)
        }

        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        let frame: Frame = read(&raw)?;
        let details = match &frame.event {
            EventName::StatusChanged => {
                let StatusChanged { previous_status, status_detail, leave_reason, via } =
                    read(&raw)?;
                EventDetails::StatusChanged { previous_status, status_detail, leave_reason, via }
            }
            EventName::Finalized => {
                let Finalized { manifest_uri, leave_reason, duration_ms } = read(&raw)?;
                EventDetails::Finalized { manifest_uri, leave_reason, duration_ms }
            }
            EventName::Failed => {
                let Failed { failure_code, failure_detail, failure_reason, manifest_uri } =
                    read(&raw)?;
                EventDetails::Failed { failure_code, failure_detail, failure_reason, manifest_uri }
            }
            EventName::ArtifactReady => {
                let ArtifactReady { artifact, manifest_uri } = read(&raw)?;
                EventDetails::ArtifactReady { artifact, manifest_uri }
            }
            EventName::PermissionRequested
            | EventName::PermissionGranted
            | EventName::PermissionDenied => {
                EventDetails::Permission { permission: read::<WithPermission, _>(&raw)?.permission }
            }
            EventName::ChatMessage => {
                EventDetails::Chat { message: read::<WithMessage, _>(&raw)?.message }
            }
            EventName::ChatWithheld => {
                let Withheld { messages, captions } = read(&raw)?;
                EventDetails::ChatWithheld { messages, captions }
            }
            EventName::EventsLeftOut => {
                let LeftOut { messages, participant_events } = read(&raw)?;
                EventDetails::EventsLeftOut { messages, participant_events }
            }
            EventName::ParticipantJoined | EventName::ParticipantLeft => {
                EventDetails::Participant {
                    participant: read::<WithParticipant, _>(&raw)?.participant,
                }
            }
            EventName::ParticipantRenamed => {
                let Renamed { participant, previous_name } = read(&raw)?;
                EventDetails::ParticipantRenamed { participant, previous_name }
            }
            EventName::Other(_) => {
                let mut fields: Map<String, Value> = read(&raw)?;
                for known in ["event", "sequence", "jobId", "externalId", "status", "metadata"] {
                    fields.remove(known);
                }
                EventDetails::Other(fields)
            }
        };
        let Frame { event, sequence, job_id, external_id, status, metadata } = frame;
        Ok(Self { event, sequence, job_id, external_id, status, metadata, details })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(event: &str, details: &str) -> String {
        format!(
            r#"{{"deliveryId":"dlv_01KAB1CDEFGHJKMNPQRSTVWXYZ","event":"{event}","emittedAt":"2026-11-23T10:00:00.000Z","attempt":1,"version":2,"data":{{"event":"{event}","sequence":3,"jobId":"job_01KAB1CDEFGHJKMNPQRSTVWXYZ","externalId":null,"status":"failed","metadata":{{"n":12345678901234567890123}},{details}}}}}"#
        )
    }

    #[test]
    fn events_are_read_back_unchanged() {
        let cases = [
            envelope(
                "job.status_changed",
                r#""previousStatus":"joining","statusDetail":null,"leaveReason":"solo","via":"rtms""#,
            ),
            envelope(
                "job.finalized",
                r#""manifestUri":"file:///m.json","leaveReason":"solo","durationMs":20000"#,
            ),
            envelope(
                "job.failed",
                r#""failureCode":"network_loss","failureDetail":"gone","failure_code":"network_loss","failure_detail":"gone","failure_reason":"gone","manifestUri":null"#,
            ),
            envelope(
                "job.artifact_ready",
                r#""artifact":{"name":"audio.mixed.webm","mediaType":"audio/webm","bytes":7,"sha256":"ab"},"manifestUri":"file:///m.json""#,
            ),
            envelope("bot.recording_permission_denied", r#""permission":"denied""#),
            envelope(
                "bot.participant_renamed",
                r#""participant":{"id":"p","name":"Bo","isHost":false,"isBot":false},"previousName":"Bob""#,
            ),
            envelope("bot.chat_withheld", r#""messages":2,"captions":0"#),
            envelope("bot.events_left_out", r#""messages":2,"participantEvents":7"#),
            envelope("job.some_new_event", r#""answer":42"#),
        ];
        for text in cases {
            let event: WebhookEvent =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(serde_json::to_string(&event).unwrap(), text);
        }
    }

    #[test]
    fn a_failure_of_an_older_store_is_read() {
        let old = envelope(
            "job.failed",
            r#""failure_code":"network_loss","failure_detail":"gone","failure_reason":"gone","manifestUri":null"#,
        );
        let event: WebhookEvent = serde_json::from_str(&old).unwrap();
        let written = serde_json::to_value(&event).unwrap();
        for name in ["failureCode", "failure_code"] {
            assert_eq!(written["data"][name], "network_loss", "{name}");
        }
        assert_eq!(written["data"]["failureDetail"], "gone");
    }

    #[test]
    fn a_new_event_keeps_its_fields() {
        let event: WebhookEvent =
            serde_json::from_str(&envelope("job.some_new_event", r#""answer":42"#)).unwrap();
        let EventDetails::Other(fields) = event.data.details else { panic!("{event:?}") };
        assert_eq!(serde_json::to_string(&fields).unwrap(), r#"{"answer":42}"#);
    }
}
