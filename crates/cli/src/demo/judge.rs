//! Checks the results of the demo. Pure except for reading the files.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use meetbot::Manifest;
use meetbot_types::{sandbox::Inspection, signature::sha256};
use serde::Serialize;

use crate::demo::ReceivedWebhooks;

/// The statuses of a job that completes, in order.
const STATUSES: [&str; 6] =
    ["queued", "joining", "in_call", "recording", "finalizing", "completed"];
/// By how many ms a speaker's file may be shorter than their time in the meeting: connecting takes time, on a busy machine much.
const LATE_MS: u64 = 3_000;
/// By how many ms it may be longer.
const LONG_MS: u64 = 1_500;

/// The duration of a packet, in ms.
const PACKET_MS: u64 = 20;

/// A file as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct StoredFile {
    path: PathBuf,
    bytes: u64,
    sha256: String,
}

/// Reads a file whole.
pub(crate) fn read_file(path: &Path) -> anyhow::Result<StoredFile> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let sha256 = sha256(&bytes);
    Ok(StoredFile { path: path.to_owned(), bytes: bytes.len() as u64, sha256 })
}

/// The results of a demo.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    /// How long the meeting was to be.
    pub(crate) seconds: u32,
    /// The bot joined with a browser: a file then begins with its speaker's first word, and what is said before the bot is in is missing.
    pub(crate) in_browser: bool,
    /// Whether a webhook reported the end in time.
    pub(crate) in_time: bool,
    /// The webhooks that came.
    pub(crate) webhooks: ReceivedWebhooks,
    /// The packets that the meeting sent.
    pub(crate) sent: Inspection,
    /// The manifest, and the files beside it.
    pub(crate) recorded: Option<(&'a Manifest, &'a [StoredFile])>,
}

/// The checks that failed, a sentence each.
pub(crate) fn judge(evidence: &Evidence<'_>) -> Vec<String> {
    let mut missing = Vec::new();
    let webhooks = &evidence.webhooks;
    if !evidence.in_time {
        missing.push("no webhook reported the job's end in time".to_owned());
    }
    if webhooks.statuses != STATUSES {
        missing.push(format!(
            "the statuses were {}, not {}",
            webhooks.statuses.join(" → "),
            STATUSES.join(" → ")
        ));
    }
    if let Some(failure) = &webhooks.failure {
        missing.push(format!("the job failed: {failure}"));
    }
    if webhooks.finalized != 1 {
        missing.push(format!("job.finalized came {} times, not once", webhooks.finalized));
    }
    if webhooks.refused > 0 {
        missing.push(format!(
            "{} webhooks had a wrong signature or could not be read",
            webhooks.refused
        ));
    }
    match evidence.recorded {
        None => missing.push("there is no manifest".to_owned()),
        Some((manifest, files)) => judge_recording(evidence, manifest, files, &mut missing),
    }
    missing
}

fn judge_recording(
    evidence: &Evidence<'_>,
    manifest: &Manifest,
    files: &[StoredFile],
    missing: &mut Vec<String>,
) {
    if !manifest.complete {
        missing.push("the manifest says that the recording is not complete".to_owned());
    }
    if evidence.sent.sent.is_empty() {
        missing.push("the meeting sent nothing".to_owned());
    }
    let mut whole = 0;
    let meeting_ms = u64::from(evidence.seconds) * 1000;
    for sent in &evidence.sent.sent {
        let name = &sent.name;
        let theirs = |id: &Option<String>| id.as_ref() == Some(&sent.participant_id);
        let tracks = || manifest.tracks.iter().filter(|track| theirs(&track.participant_id));
        let packets = tracks().map(|track| track.packets).sum::<u64>();
        if packets * 100 < sent.packets * 99 || packets > sent.packets {
            missing.push(format!(
                "{packets} of {name}'s {} packets are in the files: at least 99 % should be",
                sent.packets
            ));
        }
        if evidence.in_browser {
            continue;
        }
        // Someone who comes later or leaves earlier has a shorter file.
        let person = manifest.participants.iter().find(|person| theirs(&person.id));
        let there_ms = person.map_or(0, |person| {
            person.left_at.unwrap_or(manifest.duration_ms).saturating_sub(person.joined_at)
        });
        let ms = tracks().map(|track| track.duration_ms).sum::<u64>();
        if ms + LATE_MS < there_ms
            || ms > there_ms + LONG_MS
            || ms + PACKET_MS < packets * PACKET_MS
        {
            missing.push(format!(
                "{name}'s file lasts {ms} ms, and {name} was there for {there_ms} ms"
            ));
        }
        whole += usize::from(ms + LATE_MS >= meeting_ms && ms <= meeting_ms + LONG_MS);
    }
    if whole < 2 && !evidence.in_browser {
        missing.push(format!(
            "{whole} files have the meeting's length of {meeting_ms} ms: two speakers' should"
        ));
    }
    for file in &manifest.files {
        let name = file.name.as_deref().unwrap_or_default();
        let stored = files.iter().find(|stored| stored.path.ends_with(name));
        if !stored.is_some_and(|stored| {
            Some(stored.bytes) == file.bytes && Some(&stored.sha256) == file.sha256.as_ref()
        }) {
            missing.push(format!("{name} is not on disk as the manifest says"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_without_evidence_fails() {
        let evidence = Evidence {
            seconds: 20,
            in_browser: false,
            in_time: false,
            webhooks: ReceivedWebhooks { refused: 1, ..ReceivedWebhooks::default() },
            sent: Inspection::default(),
            recorded: None,
        };
        let missing = judge(&evidence).join("\n");
        for word in ["in time", "statuses", "0 times", "signature", "no manifest"] {
            assert!(missing.contains(word), "{word}: {missing}");
        }
    }

    #[test]
    fn missing_packets_a_changed_file_or_a_missing_speaker_fail_the_demo() {
        let manifest: Manifest = serde_json::from_value(serde_json::json!({
            "schemaVersion": 1, "jobId": "job_01KAB1CDEFGHJKMNPQRSTVWXYZ", "externalId": null, "meetingUrl": "u", "platform": "sandbox",
            "displayName": "d", "complete": true, "startedAt": "2026-11-23T10:00:00.000Z", "endedAt": "2026-11-23T10:00:20.000Z",
            "durationMs": 20_000, "leaveReason": null, "failureCode": null,
            "participants": [
                {"id": "p-a", "name": "Alice", "isBot": false, "isHost": true, "joinedAt": 0, "leftAt": null, "speakingMs": 1, "names": ["Alice"]},
                {"id": "p-c", "name": "Carol", "isBot": false, "isHost": false, "joinedAt": 15_000, "leftAt": 19_000, "speakingMs": 1, "names": ["Carol"]},
            ],
            "tracks": [{"file": "audio.a.webm", "participantId": "p-a", "kind": "audio", "source": "microphone", "codec": "opus",
                "container": "webm", "startMs": 0, "durationMs": 20_000, "packets": 980, "lostPackets": 20, "bytes": 5, "sha256": "aa", "gaps": []},
                {"file": "audio.c.webm", "participantId": "p-c", "kind": "audio", "source": "microphone", "codec": "opus",
                "container": "webm", "startMs": 15_000, "durationMs": 4_000, "packets": 200, "lostPackets": 0, "bytes": 5, "sha256": "cc", "gaps": []}],
            "files": [{"name": "audio.a.webm", "mediaType": "audio/webm", "bytes": 5, "sha256": "aa"}],
            "captions": null, "chat": null, "pauses": [], "attempts": [],
        }))
        .unwrap();
        let sent = serde_json::from_value(serde_json::json!({
            "joins": 1, "present": 0, "chat": [], "sent": [{"participantId": "p-a", "name": "Alice", "packets": 1000}, {"participantId": "p-c", "name": "Carol", "packets": 200}],
        }))
        .unwrap();
        let stored =
            StoredFile { path: "/x/audio.a.webm".into(), bytes: 5, sha256: "bb".to_owned() };
        let webhooks = ReceivedWebhooks {
            statuses: STATUSES.map(ToOwned::to_owned).to_vec(),
            finalized: 1,
            ..ReceivedWebhooks::default()
        };
        let evidence = Evidence {
            seconds: 20,
            in_browser: false,
            in_time: true,
            webhooks,
            sent,
            recorded: Some((&manifest, std::slice::from_ref(&stored))),
        };
        let missing = judge(&evidence);
        assert_eq!(missing.len(), 3, "{missing:?}");
        for (sentence, word) in
            missing.iter().zip(["980 of Alice's 1000", "1 files have", "audio.a.webm"])
        {
            assert!(sentence.contains(word), "{word}: {missing:?}");
        }
    }
}
