//! A camera that is sent in several sizes at once.

use std::collections::BTreeSet;

use meetbot::{AutoLeaveConfig, JobStatus, NewJob, Rule};
use meetbot_types::bot::MediaKind;
use tempfile::TempDir;
use xtask::{
    ffmpeg::{decodes, sizes},
    janus::{Janus, ROOM},
};

use super::{
    chromium::{Chromium, hears, sees},
    made,
    pages::{Pages, join_video, stop},
    talk, tone, track,
};
use crate::program::{PATIENCE, client, manifest_of, meetbot, run, serve_with};

/// How many sizes the browser sends by now, the largest among them.
const SENT_IN_FULL: &str = "(sfutest.webrtcStuff.pc.getStats().then(stats => {
    const sent = [...stats.values()].filter(one => one.type === 'outbound-rtp' && one.framesSent > 0);
    window.sizes = sent.some(one => one.frameHeight === 480) ? sent.length : 0;
}), window.sizes > 1)";

#[test]
fn only_the_largest_simulcast_layer_of_a_camera_is_recorded() {
    let Some(janus) = Janus::start() else { return };
    let _pages = Pages::serve(&janus);
    let scratch = TempDir::new().unwrap();
    let source = ["-f", "lavfi", "-i", "testsrc2=s=640x480:r=15:d=2", "-pix_fmt", "yuv420p"];
    let camera = made(scratch.path().join("camera.y4m"), &source);
    let flags = [hears(&tone(&scratch, 440)), sees(&camera)];
    let mut browser = Chromium::start(&janus, &flags);
    let room = join_video(&mut browser, "Alice", "&simulcast=true");
    browser.until(&room, SENT_IN_FULL);

    let data = TempDir::new().unwrap();
    let settings = [("MEETBOT_BOTS_ALLOW_NETWORKS", "10.213.0.0/16")];
    let (_server, url) = serve_with(data.path(), None, &settings);
    let output = run(meetbot()
        .args(["keys", "create", "--live", "--init", "--json", "--data-dir"])
        .arg(data.path()));
    let client = client(&url, output.json()["key"].as_str().unwrap());
    let auto_leave =
        AutoLeaveConfig { after_solo_seconds: Rule::After(1), ..AutoLeaveConfig::default() };
    let order = NewJob {
        meeting_url: janus.link(ROOM, ""),
        auto_leave: Some(auto_leave),
        ..NewJob::default()
    };
    let id = client.dispatch_bot(order).unwrap().id;
    let mut events = client.watch(&id).unwrap().map(Result::unwrap);
    events.find(|event| event.data.status == Some(JobStatus::Recording)).expect("it records");
    talk(&mut browser, &room, 8);
    stop(&mut browser, &room);
    let job = client.wait_for_bot(&id, Some(PATIENCE)).unwrap();
    assert_eq!(job.status, JobStatus::Completed, "{job:#?}");
    let manifest = manifest_of(&client, &id);
    let face = track(&manifest, "Alice", &MediaKind::Video);
    let path = data.path().join(format!("recordings/{id}/e1/{}", face.file));
    decodes(&path);
    assert_eq!(sizes(&path).into_iter().collect::<BTreeSet<_>>(), [(640, 480)].into());
    assert!(face.start_ms <= 2_000 && face.duration_ms >= 6_000, "{face:#?}");
}
