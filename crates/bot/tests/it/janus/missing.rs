//! Counts the missing packets of a recording in which all people send voice and camera without a break.

use meetbot_types::{Manifest, bot::MediaKind, manifest::Track};

/// The interval of voice packets and of pictures, in ms.
const VOICE_MS: u64 = 20;
const CAMERA_MS: u64 = 40;
/// A voice is recorded from its first packet, a camera from its next keyframe, of which there is one a second.
const FIRST_MS: u64 = 3_000;
/// The last packets may still be in transit when a bot leaves.
const LAST_MS: u64 = 500;

/// How many packets of voice and pictures of cameras are missing in the files, between the first one and the bot's leave.
pub(crate) fn missing(manifest: &Manifest, people: usize) -> u64 {
    let end_ms = manifest.attempts.iter().filter_map(|attempt| attempt.ended_ms).max().unwrap_or(0);
    let of = |kind: &MediaKind, every_ms: u64| {
        let tracks = manifest.tracks.iter().filter(|track| track.kind == *kind);
        let mut found: Vec<u64> = tracks.map(|track| in_track(track, every_ms, end_ms)).collect();
        // A person without any file.
        found.resize(people.max(found.len()), end_ms / every_ms);
        found.into_iter().sum::<u64>()
    };
    of(&MediaKind::Audio, VOICE_MS) + of(&MediaKind::Video, CAMERA_MS)
}

fn in_track(track: &Track, every_ms: u64, end_ms: u64) -> u64 {
    // By the sender's numbers, and by the packets that the recorder dropped.
    let gaps: u64 = track.gaps.iter().map(|gap| gap.end_ms - gap.start_ms).sum();
    let mut within = track.lost_packets.max(gaps.div_ceil(every_ms));
    if track.kind == MediaKind::Audio {
        // And by the file's duration compared to its contents. Pictures are aligned with the voice.
        within = within.max(track.duration_ms.div_ceil(every_ms).saturating_sub(track.packets));
    }
    let before = track.start_ms.saturating_sub(FIRST_MS);
    let after = end_ms.saturating_sub(track.start_ms + track.duration_ms + LAST_MS);
    within + before.div_ceil(every_ms) + after.div_ceil(every_ms)
}
