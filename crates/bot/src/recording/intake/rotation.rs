//! Tests of pictures with a rotation: late, frequent, lost and hostile changes.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use meetbot_types::{
    Cause, LeaveReason, Manifest, Timestamp,
    bot::{BotOrder, Participant},
};
use tokio_util::sync::CancellationToken;

use crate::{
    media::{Codec, Frame},
    meeting::Source,
    recording::{
        Counters, Recording,
        files::{MANIFEST, folder_of},
        finalize,
        frames::picture,
        orders::order,
    },
};

/// A recording of Ann's camera.
struct Camera {
    order: BotOrder,
    start: Instant,
    recording: Recording,
    pictures: u64,
}

impl Camera {
    fn open(folder: &Path, epoch: u32, start: Instant) -> Self {
        let order = order(&folder.join("job"), epoch);
        let admitted = (start, Timestamp::UNIX_EPOCH);
        let mut recording = Recording::open(&order, admitted, Counters::default()).unwrap();
        let ann = Participant { id: "5".into(), name: "Ann".into(), is_host: false, is_bot: false };
        recording.joined(&ann, start).unwrap();
        Self { order, start, recording, pictures: 0 }
    }

    /// Records a picture 40 ms after the previous one; returns whether a keyframe is requested.
    fn takes(&mut self, keyframe: bool, rotation: Option<u16>) -> bool {
        self.takes_frame(keyframe, |frame| frame.rotation = rotation)
    }

    fn takes_frame(&mut self, keyframe: bool, with: impl FnOnce(&mut Frame)) -> bool {
        self.pictures += 1;
        let arrived =
            self.start + Duration::from_millis(40) * u32::try_from(self.pictures).unwrap();
        let mut frame = picture(self.pictures, keyframe, arrived);
        with(&mut frame);
        self.recording.frame("5", Source::Camera, &frame).unwrap().keyframe_wanted
    }

    /// Ends the meeting; returns the rotation and the number of pictures of each file in the manifest.
    fn ends(self) -> Vec<(u16, u64)> {
        let at = self.start + Duration::from_mins(100);
        self.recording.close(at, Some(LeaveReason::MeetingEnded)).unwrap();
        let end = |has_media| Cause::Left(LeaveReason::MeetingEnded).ending(has_media, false);
        finalize::finalize(&self.order, true, &CancellationToken::new(), end).unwrap().unwrap();
        let path = folder_of(&self.order, self.order.epoch).join(MANIFEST);
        let manifest: Manifest = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        manifest.tracks.iter().map(|track| (track.rotation, track.packets)).collect()
    }
}

#[test]
fn a_rotation_begins_a_file_with_the_next_keyframe_and_loses_no_picture() {
    let folder = tempfile::tempdir().unwrap();
    let mut camera = Camera::open(folder.path(), 1, crate::clock::now());
    assert!(!camera.takes(true, Some(0)));
    assert!(!camera.takes(false, None));
    assert!(camera.takes(false, Some(90)), "a keyframe is requested");
    assert!(!camera.takes(false, None), "once in a second");
    assert!(!camera.takes(true, None), "the rotation is kept");
    assert!(!camera.takes(false, None));
    assert_eq!(camera.ends(), [(0, 4), (90, 2)]);
}

#[test]
fn a_rotation_after_the_first_pictures_holds_from_the_next_keyframe_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut camera = Camera::open(folder.path(), 1, crate::clock::now());
    for (keyframe, rotation, wanted) in
        [(true, None, false), (false, None, false), (false, Some(270), true), (true, None, false)]
    {
        assert_eq!(camera.takes(keyframe, rotation), wanted);
    }
    assert_eq!(camera.ends(), [(0, 3), (270, 1)]);
}

#[test]
fn a_rotation_that_is_reverted_before_a_keyframe_begins_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut camera = Camera::open(folder.path(), 1, crate::clock::now());
    for (keyframe, rotation) in [(true, 180), (false, 90), (false, 180), (true, 180)] {
        camera.takes(keyframe, Some(rotation));
    }
    assert_eq!(camera.ends(), [(180, 4)]);
}

#[test]
fn a_rotation_before_the_first_keyframe_or_in_a_pause_applies_to_later_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let mut camera = Camera::open(folder.path(), 1, crate::clock::now());
    camera.takes(false, Some(90));
    camera.takes(true, None);
    let at = camera.start + Duration::from_millis(100);
    camera.recording.pause(at).unwrap();
    assert!(!camera.takes(false, Some(0)), "no keyframe is requested in a pause");
    camera.recording.resume(at + Duration::from_millis(40)).unwrap();
    camera.takes(true, None);
    assert_eq!(camera.ends(), [(90, 1), (0, 1)]);
}

#[test]
fn a_lost_connection_resets_the_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let mut camera = Camera::open(folder.path(), 1, crate::clock::now());
    camera.takes(true, Some(90));
    let at = camera.start + Duration::from_millis(50);
    camera.recording.connection_lost(at).unwrap();
    camera.takes(true, None);
    assert_eq!(camera.ends(), [(90, 1), (0, 1)]);
}

#[test]
fn a_sender_that_rotates_with_each_picture_begins_few_files_and_loses_no_picture() {
    let folder = tempfile::tempdir().unwrap();
    let mut camera = Camera::open(folder.path(), 1, crate::clock::now());
    for number in 0..3_000_u16 {
        camera.takes(true, Some(number % 4 * 90));
    }
    let files = camera.ends();
    assert_eq!(files.len(), 22, "twenty, and one for each of two minutes: {files:?}");
    assert_eq!(files.iter().map(|(_, pictures)| pictures).sum::<u64>(), 3_000);

    let folder = tempfile::tempdir().unwrap();
    let mut camera = Camera::open(folder.path(), 1, crate::clock::now());
    camera.takes(true, Some(0));
    let asked = (0..3_000_u16).filter(|number| camera.takes(false, Some(number % 4 * 90))).count();
    assert!((50..=120).contains(&asked), "once in a second at most: {asked}");
    assert_eq!(camera.ends(), [(0, 3_001)]);
}

#[test]
fn a_sender_that_changes_the_codec_with_each_picture_begins_few_files() {
    const H264: &[u8] = b"\0\0\0\x01\x67\x42\xC0\x1F\xD9\0\xA0\x2F\xF9\x70\x11\0\0\x03\0\x01\0\0\x03\0\x32\x0F\x18\x32\x48\0\0\0\x01\x68\xCB\x8C\xB2\0\0\x01\x65\x88\x84";
    let folder = tempfile::tempdir().unwrap();
    let mut camera = Camera::open(folder.path(), 1, crate::clock::now());
    for number in 0..1_000 {
        camera.takes_frame(true, |frame| {
            if number % 2 == 1 {
                (frame.codec, frame.data) = (Codec::H264, H264.into());
            }
        });
    }
    assert_eq!(camera.ends().len(), 20);
}

#[test]
fn the_rotation_recorded_by_a_crashed_bot_is_in_the_next_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let start = crate::clock::now();
    let mut camera = Camera::open(folder.path(), 1, start);
    for keyframe in [true, false, true, false] {
        camera.takes(keyframe, Some(if camera.pictures < 2 { 0 } else { 90 }));
    }
    camera.recording.flush().unwrap();
    drop(camera);
    let mut camera = Camera::open(folder.path(), 2, start + Duration::from_secs(10));
    camera.takes(true, Some(180));
    assert_eq!(camera.ends(), [(0, 2), (90, 2), (180, 1)]);
}
