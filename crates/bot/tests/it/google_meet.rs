//! Meetings of the imitation of Google Meet, joined with Debian's Chromium.

use std::{collections::BTreeMap, path::Path, process::Command};

use meetbot_imitation::{Act, Decoys, Dialect, Imitation, Scenario, Screen, Signal, Sound, Step};
use meetbot_types::{
    CommandId, ControlAction, JobStatus, LeaveReason,
    bot::{
        BotCommand, BotOrder, BotReport, BrowserSettings, EVIDENCE_FOLDER, ImitationSeat, Lobby,
    },
};
use serde_json::Value;

use crate::orchestrator::{Stage, ended, now};

/// What stands in the meeting's address and is to be seen nowhere.
const HUSH: &str = "hush-hush";

/// Whether there is a browser. Where CI expects one, a test without it fails.
fn has_chromium() -> bool {
    let found = Command::new("chromium").arg("--version").output().is_ok();
    assert!(
        found || std::env::var_os("MEETBOT_TEST_AS_ROOT").is_none(),
        "Chromium is not installed"
    );
    found
}

fn order(stage: &Stage, imitation: &Imitation) -> BotOrder {
    let seat = ImitationSeat {
        address: imitation.address(),
        spki_sha256: imitation.spki_sha256().to_owned(),
    };
    let browser = BrowserSettings { no_sandbox: true, ..BrowserSettings::default() };
    BotOrder {
        browser: Some(browser),
        imitation: Some(seat),
        ..stage.order_for(1, &format!("https://meet.google.com/abc-mnop-xyz?pwd={HUSH}"))
    }
}

/// The processes of this test's browsers: each names the imitation that it leads to.
fn browsers(imitation: &Imitation) -> Vec<String> {
    let address = imitation.address().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let command = std::fs::read(path.join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).into_owned())
    });
    processes.filter(|command| command.contains(&address)).collect()
}

fn step(on: Signal, then: &[Act]) -> Step {
    Step { on, then: then.to_vec() }
}

fn says(person: &str, ms: u64) -> Act {
    Act::Say { person: person.to_owned(), ms }
}

/// The files of evidence of the first attempt's joins, by name; each is whole, and holds nothing that is nobody else's business.
fn evidence(stage: &Stage) -> BTreeMap<String, Vec<u8>> {
    let folder = stage.folder(1).with_file_name(EVIDENCE_FOLDER);
    let files = std::fs::read_dir(folder).into_iter().flatten().map(|entry| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
    });
    let files: BTreeMap<_, _> = files.collect();
    for (name, bytes) in &files {
        if name.split('.').nth(1) == Some("png") {
            assert!(bytes.starts_with(b"\x89PNG"), "{name}");
            continue;
        }
        let text = String::from_utf8(bytes.clone()).unwrap();
        for secret in [HUSH, "imitation-cookie", "a token", "Ann Host", "meetbot"] {
            assert!(!text.contains(secret), "{name} holds {secret}: {text}");
        }
    }
    files
}

/// The JSON of a file of evidence.
fn shown(evidence: &BTreeMap<String, Vec<u8>>, name: &str) -> Value {
    serde_json::from_slice(evidence.get(name).unwrap_or_else(|| panic!("{:?}", evidence.keys())))
        .unwrap()
}

/// How loud a tone is in a file, in dB below full scale.
fn tone_db(file: &Path, hz: u32) -> f64 {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-f", "s16le", "-ac", "1", "-ar", "16000", "-"])
        .output()
        .unwrap();
    let samples: Vec<f64> = decoded
        .stdout
        .as_chunks::<2>()
        .0
        .iter()
        .map(|sample| f64::from(i16::from_le_bytes(*sample)) / 32_768.0)
        .collect();
    // Goertzel's filter, over pieces of 100 ms; the loudest counts.
    let coefficient = 2.0 * (std::f64::consts::TAU * f64::from(hz) / 16_000.0).cos();
    let power = samples.chunks_exact(1_600).map(|piece| {
        let (one, two) = piece
            .iter()
            .fold((0.0, 0.0), |(one, two), sample| (sample + coefficient * one - two, one));
        (one * one + two * two - coefficient * one * two) / (1_600.0 * 1_600.0 / 4.0)
    });
    10.0 * power.fold(1e-12, f64::max).log10()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_speaker_of_a_meeting_in_a_browser_is_recorded_into_a_file_of_their_own() {
    if !has_chromium() {
        return;
    }
    for (dialect, sound, red) in
        [(Dialect::Labels, Sound::Native, false), (Dialect::Text, Sound::NetEq, true)]
    {
        let people = ["Ann Host", "Ben Weber", "Cleo Jones"];
        let turns = people.map(|person| says(person, 4_000));
        let scenario = Scenario {
            dialect,
            sound,
            red,
            decoys: Decoys::all(),
            steps: vec![
                step(Signal::Knocked, &[Act::Admit]),
                step(Signal::Said(people[0].to_owned()), &turns[1..]),
                step(
                    Signal::Said(people[2].to_owned()),
                    &[Act::Write {
                        person: people[1].to_owned(),
                        text: "You were removed from the meeting".to_owned(),
                    }],
                ),
            ],
            ..Scenario::default()
        };
        let imitation = meetbot_imitation::serve(scenario).await.unwrap();
        let stage = Stage::set().await;
        let bot = Stage::run(order(&stage, &imitation));
        // What is said before the bot has seen that it is in, is not recorded.
        stage.hears(|report| matches!(report, BotReport::Admitted)).await;
        imitation.act(turns[0].clone());
        stage.hears(|report| matches!(report, BotReport::Chat { .. })).await;
        let command = |seq, action, message: Option<&str>| {
            let (id, message) = (CommandId::generate(now()), message.map(ToOwned::to_owned));
            BotCommand { id, seq, action, message }
        };
        stage.command(command(1, ControlAction::SendChatMessage, Some("good bye")));
        stage.hears(|report| matches!(report, BotReport::CommandDone { .. })).await;
        stage.command(command(2, ControlAction::RequestRecordingPermission, None));
        let answers = |reports: &[BotReport]| {
            let done = |report: &&BotReport| matches!(report, BotReport::CommandDone { .. });
            reports.iter().filter(done).count() == 2
        };
        stage.hears_all(answers).await;
        stage.command(command(3, ControlAction::LeaveCall, None));
        bot.ends().await;

        let seen = imitation.observed();
        assert!(seen.faults.is_empty(), "{:#?}", seen.faults);
        assert_eq!((seen.knocks, seen.left, seen.written), (1, true, vec!["good bye".to_owned()]));
        assert_eq!(browsers(&imitation), Vec::<String>::new());
        assert!(evidence(&stage).is_empty(), "it was in");
        let (ending, _) = ended(&stage.reports());
        assert_eq!(
            (ending.status, ending.leave_reason),
            (JobStatus::Completed, Some(LeaveReason::Requested))
        );
        let manifest = stage.manifest(1);
        assert_eq!(manifest.tracks.len(), 3, "{manifest:#?}");
        for (name, hz) in people.into_iter().zip([500, 700, 1_100]) {
            let person = manifest.participants.iter().find(|person| person.name == name).unwrap();
            let mut tracks = manifest.tracks.iter();
            let track = tracks.find(|track| track.participant_id == person.id).unwrap();
            let sent = seen.sent[name];
            assert!(track.packets * 100 >= sent * 99, "{name}: {sent} were sent: {track:?}");
            let file = stage.folder(1).join(&track.file);
            let own = tone_db(&file, hz);
            for other in [500, 700, 1_100].into_iter().filter(|other| *other != hz) {
                let apart = own - tone_db(&file, other);
                assert!(apart >= 40.0, "{name}: {other} Hz is {apart} dB below, {own}");
            }
        }
        imitation.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_not_to_get_in_has_its_code() {
    if !has_chromium() {
        return;
    }
    let denied = vec![step(Signal::Knocked, &[Act::Deny])];
    for (dialect, opens, steps, code, joins, state) in [
        (Dialect::Labels, Screen::WrongCode, vec![], "meeting_not_found", 1, "wrong_code"),
        (Dialect::Text, Screen::SignInHost, vec![], "auth_failure", 1, "login_host"),
        (Dialect::Text, Screen::Blocked, vec![], "bot_blocked", 2, "blocked"),
        (Dialect::Labels, Screen::Captcha, vec![], "bot_blocked", 2, "captcha"),
        (Dialect::Text, Screen::Full, vec![], "meeting_full", 1, "full"),
        (Dialect::Labels, Screen::PreJoin, denied, "host_denied_admission", 1, "denied"),
    ] {
        let scenario = Scenario { dialect, opens, steps, ..Scenario::default() };
        let imitation = meetbot_imitation::serve(scenario).await.unwrap();
        let stage = Stage::set().await;
        Stage::run(order(&stage, &imitation)).ends().await;
        assert_eq!(browsers(&imitation), Vec::<String>::new());
        let failure = ended(&stage.reports()).0.failure.unwrap();
        assert_eq!(failure.code.as_str(), code, "{opens:?}: {}", failure.detail);
        let kept = evidence(&stage);
        let names = (1..=joins)
            .flat_map(|join| [format!("evidence-1-{join}.json"), format!("evidence-1-{join}.png")]);
        assert_eq!(kept.keys().cloned().collect::<Vec<_>>(), names.collect::<Vec<_>>());
        let last = shown(&kept, &format!("evidence-1-{joins}.json"));
        assert_eq!(last["states"].as_array().unwrap().last().unwrap()["state"], state, "{last:#}");
        assert_eq!(last["ended"], failure.detail);
        assert!(last["page"]["controls"].is_array(), "{last:#}");
        imitation.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_in_a_browser_says_why_it_waits_at_the_door() {
    if !has_chromium() {
        return;
    }
    let absent = Act::Show { screen: Screen::HostAbsent, wording: 0 };
    for (dialect, steps, lobby) in [
        (Dialect::Text, vec![], Lobby::WaitingRoom),
        (Dialect::Labels, vec![step(Signal::Knocked, &[absent])], Lobby::WaitingForHost),
    ] {
        let scenario = Scenario { dialect, steps, decoys: Decoys::all(), ..Scenario::default() };
        let imitation = meetbot_imitation::serve(scenario).await.unwrap();
        let stage = Stage::set().await;
        let bot = Stage::run(order(&stage, &imitation));
        let waits = |report: &BotReport| matches!(report, BotReport::Waiting { lobby: why } if *why == lobby);
        stage.hears(waits).await;
        assert!(imitation.observed().faults.is_empty(), "{:#?}", imitation.observed().faults);
        let id = CommandId::generate(now());
        stage.command(BotCommand { id, seq: 1, action: ControlAction::LeaveCall, message: None });
        bot.ends().await;
        assert_eq!(browsers(&imitation), Vec::<String>::new());
        assert_eq!(ended(&stage.reports()).0.status, JobStatus::Cancelled);
        let kept = evidence(&stage);
        assert_eq!(shown(&kept, "evidence-1-1.json")["ended"], Value::Null);
        assert!(kept.contains_key("evidence-1-1.png"), "{:?}", kept.keys());
        imitation.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_in_a_browser_that_is_removed_or_sees_the_end_says_so() {
    if !has_chromium() {
        return;
    }
    for (act, status, reason) in [
        (Act::Remove, JobStatus::Failed, LeaveReason::Removed),
        (Act::End, JobStatus::Completed, LeaveReason::MeetingEnded),
    ] {
        let ann = "Ann Host".to_owned();
        let scenario = Scenario {
            steps: vec![
                step(Signal::Knocked, &[Act::Admit]),
                step(Signal::Joined, &[says(&ann, 4_000)]),
                step(Signal::Said(ann), &[act]),
            ],
            ..Scenario::default()
        };
        let imitation = meetbot_imitation::serve(scenario).await.unwrap();
        let stage = Stage::set().await;
        Stage::run(order(&stage, &imitation)).ends().await;
        let (ending, has_manifest) = ended(&stage.reports());
        assert_eq!(
            (ending.status, ending.leave_reason, has_manifest),
            (status, Some(reason), true)
        );
        assert_eq!(browsers(&imitation), Vec::<String>::new());
        imitation.stop().await;
    }
}
