//! Tests of the lanes and data channels, with a hook in the page.

use meetbot_imitation::{
    Action, Compression, Imitation, LeavingShown, Person, Scenario, Signal, Sound, Step, serve,
};

use crate::{
    browser::{Browser, INCONSPICUOUS, LINK, seen},
    screens::meeting,
};

const TAPPED: &str = "https://meet.google.com/abc-defg-hij?hl=en&tap";

fn say(imitation: &Imitation, person: &str, ms: u64) {
    imitation.act(Action::Say { person: person.to_owned(), ms });
}

/// An expression that is true once a frame of this voice has arrived on any lane, with further conditions.
fn frame(csrc: u32, more: &str) -> String {
    format!("test.frames.flat().some(one => one.csrcs.includes({csrc}) && ({more}))")
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_carry_the_three_loudest_move_them_and_give_a_csrc_to_another() {
    let people = vec![
        Person::new("Ann Host", 1001, 500).host().level(-20),
        Person::new("Ben Weber", 1002, 700),
        Person::new("Cleo Jones", 4_294_967_295, 1100),
        Person::new("Dan Quiet", 1004, 1300).level(-60),
        Person::new("Eve Late", 1002, 1700).later(),
    ];
    let leaving_shown = LeavingShown::Channel;
    let imitation = meeting(Scenario { people, leaving_shown, ..Scenario::default() }).await;
    let Some(mut browser) = Browser::start(&imitation, &INCONSPICUOUS, true) else { return };
    browser.open(TAPPED);
    seen(&imitation, |observed| observed.joined).await;
    for person in ["Ann Host", "Ben Weber", "Cleo Jones", "Dan Quiet"] {
        say(&imitation, person, 600_000);
    }
    for csrc in [1001, 1002, 4_294_967_295] {
        browser.until(&frame(csrc, "one.payloadType === 111"));
    }
    browser.until(&frame(1001, "one.csrcs.includes(42) && one.csrcs.length === 2"));
    // -20 dBov is a tenth of full scale.
    browser.until(&frame(1001, "Math.abs(one.audioLevel - 0.1) < 0.01"));
    let unsent = seen(&imitation, |observed| observed.unsent.contains_key("Dan Quiet")).await;
    assert_eq!(unsent.unsent.len(), 1);
    assert_eq!(browser.value(&frame(1004, "true")), false);

    let on_lane = |csrc: u32| {
        format!("test.frames.filter(lane => lane.some(one => one.csrcs.includes({csrc}))).length")
    };
    assert_eq!(browser.value(&on_lane(1001)), 1);
    imitation.act(Action::ChangeLane("Ann Host".to_owned()));
    browser.until(&format!("{} === 2", on_lane(1001)));

    imitation.act(Action::Leave("Ben Weber".to_owned()));
    browser.until(&frame(1004, "true"));
    imitation.act(Action::Join("Eve Late".to_owned()));
    browser.until("test.collections.some(([, text]) => text.includes('Eve Late'))");
    browser.value("test.frames.forEach(lane => lane.length = 0)");
    say(&imitation, "Eve Late", 600_000);
    browser.until(&frame(1002, "true"));

    imitation.act(Action::Mix(true));
    browser.until("test.frames.flat().some(one => [1001, 1002, 1004].every(csrc => one.csrcs.includes(csrc)))");
    imitation.act(Action::Mix(false));

    imitation.act(Action::NewPeerConnection);
    seen(&imitation, |observed| observed.sessions == 2 && observed.joined).await;
    browser
        .until("test.connections.length === 2 && test.connections[0].connectionState === 'closed'");
    browser.until("test.frames.length === 6 && test.frames.slice(3).flat().some(one => one.csrcs.includes(1002))");
    assert_eq!(imitation.observed().faults, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn red_repeats_the_previous_packet() {
    let imitation = meeting(Scenario { red: true, ..Scenario::default() }).await;
    let Some(mut browser) = Browser::start(&imitation, &INCONSPICUOUS, true) else { return };
    browser.open(TAPPED);
    seen(&imitation, |observed| observed.joined).await;
    say(&imitation, "Ben Weber", 600_000);
    // The first has no redundancy; in all others a block of Opus (111) precedes the last one.
    browser.until(&frame(1002, "one.payloadType === 63 && one.first === 111"));
    browser.until(&frame(1002, "one.payloadType === 63 && one.first === 0xEF"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_sent_where_video_is_wanted_and_a_screen_is_a_separate_roster_entry() {
    let imitation = meeting(Scenario::default()).await;
    let Some(mut browser) = Browser::start(&imitation, &INCONSPICUOUS, true) else { return };
    browser.open(TAPPED);
    seen(&imitation, |observed| observed.joined).await;
    let camera = |on: bool| Action::Camera { person: "Ben Weber".to_owned(), on };
    imitation.act(camera(true));
    browser.until("test.pictures[0]?.join() === 'key,320' && test.pictures[1]?.[0] === 'delta'");
    browser.until("test.collections.some(([, text]) => text.includes(test.stream))");
    browser.value("test.pictures.length = 0");
    say(&imitation, "Ben Weber", 600_000);
    browser.until("test.pictures.some(([type]) => type === 'key')");

    let present = |on: bool| Action::Present { person: "Ann Host".to_owned(), on };
    let entries = "test.collections.at(-1)[1].split('Ann Host').length";
    imitation.act(present(true));
    browser.until(&format!("{entries} === 3"));
    imitation.act(present(false));
    browser.until(&format!("{entries} === 2"));
    imitation.act(Action::Raw(b"no message of Meet".to_vec()));
    browser.until("test.collections.at(-1)[1] === 'no message of Meet'");

    assert_eq!(imitation.observed().takes_video, Some(true));
    browser.open(&format!("{LINK}&audio"));
    imitation.until(|observed| observed.visits == 2).await;
    imitation.act(Action::Admit);
    let joined = seen(&imitation, |observed| observed.joined).await;
    assert_eq!((joined.takes_video, joined.faults), (Some(false), vec![]));
}

async fn plays(link: &str, sound: &str) {
    let imitation = meeting(Scenario { sound: Sound::NetEq, ..Scenario::default() }).await;
    let Some(mut browser) = Browser::start(&imitation, &INCONSPICUOUS, true) else { return };
    browser.open(link);
    seen(&imitation, |observed| observed.joined).await;
    say(&imitation, "Ben Weber", 600_000);
    let observed = seen(&imitation, |observed| {
        observed.worker_frames > 0 || observed.sound.as_deref() == Some("native")
    });
    assert_eq!(observed.await.sound.as_deref(), Some(sound));
    if sound == "native" {
        browser.until("test.named().some(lane => lane.includes(1002))");
        browser.until("document.querySelectorAll('audio').length === 3");
    }
    assert_eq!(imitation.observed().faults, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_with_neteq_reads_the_encoded_audio_in_its_worker() {
    plays(LINK, "neteq").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_with_neteq_plays_natively_if_encoded_streams_are_hidden() {
    plays(&format!("{LINK}&hide"), "native").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_have_every_compression_and_captions_are_in_both_channels() {
    let imitation = meeting(Scenario { captions_v2: true, ..Scenario::default() }).await;
    let Some(mut browser) = Browser::start(&imitation, &INCONSPICUOUS, true) else { return };
    browser.open(LINK);
    seen(&imitation, |observed| observed.joined).await;
    for (compression, packing) in
        Compression::ALL.into_iter().zip(["deflate0", "gzip0", "gzip3", "deflate-raw0", "plain0"])
    {
        imitation.act(Action::Pack(compression));
        let text = format!("packed as {packing}, packed as {packing}");
        imitation.act(Action::Write { person: "Ann Host".to_owned(), text: text.clone() });
        browser.until(&format!(
            "test.collections.some(([packing, text]) => packing === '{packing}' && text.includes('{text}'))"
        ));
    }
    browser.click("Turn on captions");
    seen(&imitation, |observed| observed.channels.iter().any(|label| label == "captions_v2")).await;
    imitation.act(Action::Caption {
        person: "Ben Weber".to_owned(),
        line: 1,
        version: 1,
        text: "so it is".to_owned(),
        last: true,
    });
    browser.until(
        "test.captions.some(text => text.includes('so it is') && text.includes('devices/'))",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_follow_signals_and_sent_packets_are_counted() {
    let script = r#"{
        "opens": "meeting",
        "red": false,
        "steps": [
            { "on": "opened", "then": ["admit"] },
            { "on": "joined", "then": [{ "say": { "person": "Ann Host", "ms": 400 } }] },
            { "on": { "said": "Ann Host" }, "then": [{ "say": { "person": "Ben Weber", "ms": 200 } }] },
            { "on": { "said": "Ben Weber" }, "then": ["end"] }
        ]
    }"#;
    let scenario: Scenario = serde_json::from_str(script).unwrap();
    assert_eq!(
        scenario.steps[2],
        Step {
            on: Signal::Said("Ann Host".to_owned()),
            then: vec![Action::Say { person: "Ben Weber".to_owned(), ms: 200 }],
        }
    );
    let imitation = serve(scenario).await.unwrap();
    let Some(mut browser) = Browser::start(&imitation, &INCONSPICUOUS, true) else { return };
    browser.open(LINK);
    browser.until("document.body.innerText.includes('Your host ended the meeting for everyone')");
    let sent = imitation.observed().sent;
    assert_eq!(
        sent.into_iter().collect::<Vec<_>>(),
        [("Ann Host".to_owned(), 20), ("Ben Weber".to_owned(), 10)]
    );
    imitation.stop().await;
}
