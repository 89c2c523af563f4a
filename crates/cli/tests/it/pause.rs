//! Pausing: content of a pause is in no file of any format. `servers::meetings` runs the same meetings on two servers.

use std::{process::Command, time::Duration};

use meetbot::{
    ControlState, JobStatus, NewJob, RecordingState, Timestamp, blocking::MeetBot,
    webhook::EventDetails,
};
use meetbot_types::Manifest;
use tempfile::TempDir;

use crate::program::{
    PATIENCE, await_job, client, create_key, downloaded_tracks, manifest_of, serve,
};

/// The meeting's length; the tone sounds in the second third of it.
const SECONDS: u64 = 9;

fn dispatch(client: &MeetBot) -> String {
    let meeting_url = format!("https://sandbox.meetbot.dev/beep?seconds={SECONDS}");
    client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id
}

/// The loudest there is around 1 kHz in all files, in dB of full scale.
fn loudest_tone(client: &MeetBot, manifest: &Manifest) -> f64 {
    let volumes = downloaded_tracks(client, manifest).into_iter().map(|file| {
        let measured = Command::new("ffmpeg")
            .arg("-i")
            .arg(file.path())
            .args([
                "-af",
                "bandpass=frequency=1000:width_type=h:width=100,volumedetect",
                "-f",
                "null",
                "-",
            ])
            .output()
            .expect("this test needs ffmpeg: apt-get install ffmpeg");
        let said = String::from_utf8_lossy(&measured.stderr).into_owned();
        let volume = said.split("max_volume: ").nth(1).unwrap_or_else(|| panic!("{said}"));
        volume.split(' ').next().unwrap().parse::<f64>().unwrap()
    });
    volumes.fold(-200.0, f64::max)
}

/// Plays it on one server, on SQLite unless [`crate::program::POSTGRES`] is set.
fn on_one_server(play: impl FnOnce([&MeetBot; 2])) {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    play([&client, &client]);
}

#[expect(clippy::disallowed_methods, reason = "the scenario runs by the clock")]
fn wait_until(time: Timestamp) {
    let now = Timestamp::from(std::time::SystemTime::now());
    std::thread::park_timeout(Duration::from_millis(
        u64::try_from(time.millis_since(now)).unwrap_or(0),
    ));
}

#[test]
fn audio_during_a_pause_is_in_no_file() {
    on_one_server(pause_the_tone);
}

/// Meetings in which a tone sounds, once in a pause. Jobs are created at the first server and controlled and read at the second one.
pub(crate) fn pause_the_tone([creating, client]: [&MeetBot; 2]) {
    let (paused, heard) = (dispatch(creating), dispatch(creating));
    let started = |id: &str| {
        loop {
            let job = client.get_bot(id).unwrap().unwrap();
            if let Some(started) = job.recording.started_at {
                return started;
            }
            assert!(!job.status.is_final(), "{job:#?}");
        }
    };
    started(&heard);
    let result = client.resume_recording(&heard).unwrap();
    assert_eq!(result.state, ControlState::Done, "resuming what goes on changes nothing");
    let started = started(&paused);
    wait_until(started + Duration::from_millis(SECONDS * 1000 / 3 - 900));
    let result = client.pause_recording(&paused).unwrap();
    assert_eq!(
        (result.state, result.recording.state),
        (ControlState::Done, Some(RecordingState::Paused))
    );
    let again = client.pause_recording(&paused).unwrap();
    assert_eq!(
        (again.state, again.recording.state),
        (ControlState::Done, Some(RecordingState::Paused)),
        "twice is once"
    );
    wait_until(started + Duration::from_millis(SECONDS * 2000 / 3 + 900));
    let result = client.resume_recording(&paused).unwrap();
    assert_eq!(
        (result.state, result.recording.state),
        (ControlState::Done, Some(RecordingState::On))
    );

    let end = |id: &str| {
        let job = client.wait_for_bot(id, Some(PATIENCE)).unwrap();
        let manifest = manifest_of(client, id);
        (loudest_tone(client, &manifest), job, manifest)
    };
    let (there, ..) = end(&heard);
    let (gone, job, manifest) = end(&paused);
    assert!(there > -30.0, "the tone sounds: {there} dB");
    assert!(gone < there - 40.0, "{gone} dB with the pause, {there} dB without");
    let [pause] = manifest.pauses.as_slice() else { panic!("{manifest:#?}") };
    let length = pause.end_ms - pause.start_ms;
    assert!((4_000..=7_000).contains(&length), "{pause:?}");
    assert_eq!(job.recording.paused_ms, length);
    for track in &manifest.tracks {
        let gap =
            track.gaps.iter().find(|gap| gap.reason == "paused").expect("the gap has its reason");
        // What waits in the socket when the pause begins or ends is left out too: the gap may be wider than the pause, and narrower only by a packet at
        // each end. A file's time begins with its first packet, which comes late on a busy machine: by that much the gap stands later than the pause.
        assert!(gap.end_ms - gap.start_ms + 40 >= length, "{gap:?} {pause:?}");
        let begins =
            (pause.start_ms.saturating_sub(500)..=pause.start_ms + 150).contains(&gap.start_ms);
        let ends = (pause.end_ms - 20..=pause.end_ms + 500).contains(&gap.end_ms);
        assert!(begins && ends, "{gap:?} {pause:?}");
        assert_eq!(track.lost_packets, 0, "what came in the pause is not lost: {track:?}");
    }
}

#[test]
fn a_pause_that_ends_by_stop_or_leave_is_counted() {
    on_one_server(end_pauses_otherwise);
}

/// Pauses that end by stopping the recording, and by leaving. Jobs are created at the first server and controlled and read at the second one.
pub(crate) fn end_pauses_otherwise([creating, client]: [&MeetBot; 2]) {
    let ids = [(); 2].map(|()| {
        let meeting_url = "https://sandbox.meetbot.dev/two-speakers?seconds=600".to_owned();
        creating.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id
    });
    for id in &ids {
        await_job(client, id, |job| job.status == JobStatus::Recording);
        let result = client.pause_recording(id).unwrap();
        assert_eq!(result.recording.state, Some(RecordingState::Paused));
    }
    std::thread::park_timeout(Duration::from_millis(300));
    let [stopped, left] = &ids;
    let result = client.stop_recording(stopped).unwrap();
    assert_eq!(
        (result.state, result.recording.state),
        (ControlState::Done, Some(RecordingState::Stopped))
    );
    let counted = result.recording.paused_ms;
    for id in &ids {
        client.leave_bot(id).unwrap();
        let job = client.wait_for_bot(id, Some(PATIENCE)).unwrap();
        let pauses = manifest_of(client, id).pauses;
        let [pause] = pauses.as_slice() else { panic!("{pauses:?}") };
        assert!(pause.end_ms - pause.start_ms >= 300, "{pause:?}");
        assert_eq!(job.recording.paused_ms, pause.end_ms - pause.start_ms, "{job:#?}");
        assert!(id == left || job.recording.paused_ms == counted, "{counted} ms, {job:#?}");
    }
}

#[test]
fn chat_of_a_pause_is_in_no_file_and_no_event_and_is_counted_once() {
    on_one_server(pause_chat);
}

/// A meeting in which people write in a pause. Jobs are created at the first server and controlled and read at the second one.
pub(crate) fn pause_chat([creating, client]: [&MeetBot; 2]) {
    let meeting_url = "https://sandbox.meetbot.dev/chatty?seconds=12".to_owned();
    let id = creating.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id;
    await_job(client, &id, |job| job.status == JobStatus::Recording);
    let started = client.get_bot(&id).unwrap().unwrap().recording.started_at.unwrap();
    wait_until(started + Duration::from_secs(2));
    let paused = client.pause_recording(&id).unwrap();
    assert_eq!(paused.recording.state, Some(RecordingState::Paused));
    assert_eq!(client.send_chat_message(&id, "still here").unwrap().state, ControlState::Done);
    wait_until(started + Duration::from_secs(7));
    client.resume_recording(&id).unwrap();
    client.wait_for_bot(&id, Some(PATIENCE)).unwrap();

    let events = client.events(&id, None).unwrap().data;
    let ids = events.iter().filter_map(|event| match &event.data.details {
        EventDetails::Chat { message } => message.id.as_deref(),
        _ => None,
    });
    let heard: Vec<_> = ids.collect();
    // A bot that was admitted late was not there for the first ones.
    let first: u64 = heard[0].strip_prefix("chat-").unwrap().parse().unwrap();
    assert!(first <= 5, "the pause began after 2 s: {heard:?}");
    let counts: Vec<_> = events
        .iter()
        .filter_map(|event| match event.data.details {
            EventDetails::ChatWithheld { messages, captions } => Some((messages, captions)),
            _ => None,
        })
        .collect();
    let [(messages, captions)] = counts[..] else { panic!("{counts:?}") };
    assert!(messages >= 5 && captions >= 1, "{counts:?}");
    let all = heard.len() as u64 + messages;
    assert_eq!(all, 31 - first, "each message is an event or is counted: {heard:?}, {messages}");
    let manifest = manifest_of(client, &id);
    let chat = client.artifact(&id, manifest.chat.as_deref().unwrap()).unwrap();
    assert_eq!(std::str::from_utf8(&chat).unwrap().lines().count(), heard.len());
}
