//! Tests of meetings of the imitation of Google Meet, joined with Debian's Chromium.

use std::{collections::BTreeMap, process::Command};

use meetbot_imitation::{
    Action, Chat, Compression, Decoys, Dialect, Imitation, LeavingShown, Observed, Person,
    Scenario, Screen, Signal, Sound, Step,
};
use meetbot_types::{
    ControlAction, ControlState, JobStatus, LeaveReason,
    bot::{BotOrder, BotReport, BrowserSettings, EVIDENCE_FOLDER, ImitationSeat, Lobby},
};
use serde_json::Value;

use crate::{
    google_meet_files::{captions, tone_db},
    orchestrator::{Fixture, TIMEOUT, command, ended},
};

/// A secret in the meeting's address that must not appear anywhere.
const SECRET: &str = "hush-hush";

/// Whether Chromium is installed. If CI expects it, a test without it fails.
pub(crate) fn has_chromium() -> bool {
    let found = Command::new("chromium").arg("--version").output().is_ok();
    assert!(
        found || std::env::var_os("MEETBOT_TEST_AS_ROOT").is_none(),
        "Chromium is not installed"
    );
    found
}

pub(crate) fn order(fixture: &Fixture, imitation: &Imitation) -> BotOrder {
    let seat = ImitationSeat {
        address: imitation.address(),
        spki_sha256: imitation.spki_sha256().to_owned(),
    };
    let browser = BrowserSettings { no_sandbox: true, ..BrowserSettings::default() };
    BotOrder {
        browser: Some(browser),
        imitation: Some(seat),
        ..fixture.order_for(1, &format!("https://meet.google.com/abc-mnop-xyz?pwd={SECRET}"))
    }
}

/// The processes of this test's browsers, recognised by the imitation's address.
fn browsers(imitation: &Imitation) -> Vec<String> {
    let address = imitation.address().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let command = std::fs::read(path.join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).into_owned())
    });
    processes.filter(|command| command.contains(&address)).collect()
}

pub(crate) fn step(on: Signal, then: &[Action]) -> Step {
    Step { on, then: then.to_vec() }
}

pub(crate) fn says(person: &str, ms: u64) -> Action {
    Action::Say { person: person.to_owned(), ms }
}

/// The files of evidence of the first attempt's joins, by name; each is complete, and contains no secrets.
pub(crate) fn evidence(fixture: &Fixture) -> BTreeMap<String, Vec<u8>> {
    let folder = fixture.folder(1).with_file_name(EVIDENCE_FOLDER);
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
        for secret in [SECRET, "imitation-cookie", "a token", "Ann Host", "meetbot"] {
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

#[tokio::test(flavor = "multi_thread")]
async fn each_speaker_of_a_meeting_in_a_browser_is_recorded_into_a_separate_file() {
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
            captions_v2: dialect == Dialect::Text,
            decoys: Decoys::all(),
            steps: vec![
                step(Signal::Knocked, &[Action::Admit]),
                step(Signal::Said(people[0].to_owned()), &turns[1..]),
                step(
                    Signal::Said(people[2].to_owned()),
                    &[Action::Write {
                        person: people[1].to_owned(),
                        text: "You were removed from the meeting".to_owned(),
                    }],
                ),
            ],
            ..Scenario::default()
        };
        let imitation = meetbot_imitation::serve(scenario).await.unwrap();
        let fixture = Fixture::start().await;
        let bot = Fixture::run(order(&fixture, &imitation));
        // Audio from before the admission is not recorded.
        fixture.wait_for(|report| matches!(report, BotReport::Admitted)).await;
        imitation.act(turns[0].clone());
        fixture.wait_for(|report| matches!(report, BotReport::Chat { .. })).await;
        // Captions are on by now, and the last line is incomplete when the bot leaves.
        imitation.until(|seen| seen.takes_captions).await;
        for (person, version, text, last) in [
            (people[0], 1, "Shall we", false),
            (people[0], 3, "Shall we begin?", true),
            (people[0], 2, "Shall wee", false),
            (people[1], 1, "Gr\u{fc}\u{df} Gott, \u{65e5}\u{672c}", false),
        ] {
            let (person, text) = (person.to_owned(), text.to_owned());
            imitation.act(Action::Caption { person, line: 7, version, text, last });
        }
        fixture.command(command(1, ControlAction::SendChatMessage, Some("good bye")));
        fixture.wait_for(|report| matches!(report, BotReport::CommandDone { .. })).await;
        fixture.command(command(2, ControlAction::RequestRecordingPermission, None));
        let answers = |reports: &[BotReport]| {
            let done = |report: &&BotReport| matches!(report, BotReport::CommandDone { .. });
            reports.iter().filter(done).count() == 2
        };
        fixture.wait_until(answers).await;
        fixture.command(command(3, ControlAction::LeaveCall, None));
        bot.finish().await;

        let seen = imitation.observed();
        assert!(seen.faults.is_empty(), "{:#?}", seen.faults);
        assert_eq!((seen.knocks, seen.left, seen.written), (1, true, vec!["good bye".to_owned()]));
        assert_eq!(browsers(&imitation), Vec::<String>::new());
        assert!(evidence(&fixture).is_empty(), "it was in");
        assert_eq!(seen.takes_video, Some(false), "the page is set to audio only");
        let (ending, _) = ended(&fixture.take_reports());
        assert_eq!(
            (ending.status, ending.leave_reason),
            (JobStatus::Completed, Some(LeaveReason::Requested))
        );
        let manifest = fixture.manifest(1);
        let lines = captions(&fixture, &manifest);
        let said: Vec<_> =
            lines.iter().map(|line| (line.speaker.as_str(), line.text.as_str())).collect();
        let expected =
            [(people[0], "Shall we begin?"), (people[1], "Gr\u{fc}\u{df} Gott, \u{65e5}\u{672c}")];
        assert_eq!(said, expected);
        for line in &lines {
            let speaker = manifest.participants.iter().find(|one| one.id == line.speaker_id);
            assert_eq!(speaker.map(|one| &one.name), Some(&line.speaker));
            assert!(line.end_ms <= manifest.duration_ms && line.start_ms > 8_000, "{line:?}");
        }
        assert_eq!(manifest.tracks.len(), 3, "{manifest:#?}");
        for (name, hz) in people.into_iter().zip([500, 700, 1_100]) {
            let person = manifest.participants.iter().find(|person| person.name == name).unwrap();
            let mut tracks = manifest.tracks.iter();
            let track = tracks.find(|track| track.participant_id == person.id).unwrap();
            let sent = seen.sent[name];
            assert!(track.packets * 100 >= sent * 99, "{name}: {sent} were sent: {track:?}");
            let file = fixture.folder(1).join(&track.file);
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
async fn every_refused_join_has_its_failure_code() {
    if !has_chromium() {
        return;
    }
    let denied = vec![step(Signal::Knocked, &[Action::Deny])];
    for (dialect, opens, steps, code, joins, state) in [
        (Dialect::Labels, Screen::WrongCode, vec![], "meeting_not_found", 1, "wrong_code"),
        (Dialect::Text, Screen::SignInHost, vec![], "auth_failure", 1, "login_host"),
        (Dialect::Labels, Screen::SignIn, vec![], "auth_failure", 1, "login_asked"),
        (Dialect::Text, Screen::Blocked, vec![], "bot_blocked", 2, "blocked"),
        (Dialect::Labels, Screen::Captcha, vec![], "bot_blocked", 2, "captcha"),
        (Dialect::Text, Screen::Full, vec![], "meeting_full", 1, "full"),
        (Dialect::Labels, Screen::PreJoin, denied, "host_denied_admission", 1, "denied"),
    ] {
        let scenario = Scenario { dialect, opens, steps, ..Scenario::default() };
        let imitation = meetbot_imitation::serve(scenario).await.unwrap();
        let fixture = Fixture::start().await;
        Fixture::run(order(&fixture, &imitation)).finish().await;
        assert_eq!(browsers(&imitation), Vec::<String>::new());
        let failure = ended(&fixture.take_reports()).0.failure.unwrap();
        assert_eq!(failure.code.as_str(), code, "{opens:?}: {}", failure.detail);
        let kept = evidence(&fixture);
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
async fn a_bot_in_a_browser_reports_why_it_waits_in_the_lobby() {
    if !has_chromium() {
        return;
    }
    let absent = Action::Show { screen: Screen::HostAbsent, wording: 0 };
    for (dialect, steps, lobby) in [
        (Dialect::Text, vec![], Lobby::WaitingRoom),
        (Dialect::Labels, vec![step(Signal::Knocked, &[absent])], Lobby::WaitingForHost),
    ] {
        let scenario = Scenario { dialect, steps, decoys: Decoys::all(), ..Scenario::default() };
        let imitation = meetbot_imitation::serve(scenario).await.unwrap();
        let fixture = Fixture::start().await;
        let bot = Fixture::run(order(&fixture, &imitation));
        let waits = |report: &BotReport| matches!(report, BotReport::Waiting { lobby: why } if *why == lobby);
        fixture.wait_for(waits).await;
        assert!(imitation.observed().faults.is_empty(), "{:#?}", imitation.observed().faults);
        fixture.command(command(1, ControlAction::LeaveCall, None));
        bot.finish().await;
        assert_eq!(browsers(&imitation), Vec::<String>::new());
        assert_eq!(ended(&fixture.take_reports()).0.status, JobStatus::Cancelled);
        let kept = evidence(&fixture);
        assert_eq!(shown(&kept, "evidence-1-1.json")["ended"], Value::Null);
        assert!(kept.contains_key("evidence-1-1.png"), "{:?}", kept.keys());
        imitation.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_in_a_browser_reports_its_removal_and_the_end() {
    if !has_chromium() {
        return;
    }
    for (act, status, reason, dialect, chat) in [
        (Action::Remove, JobStatus::Failed, LeaveReason::Removed, Dialect::Text, Chat::Disabled),
        (
            Action::End,
            JobStatus::Completed,
            LeaveReason::MeetingEnded,
            Dialect::Labels,
            Chat::Disabled,
        ),
    ] {
        let steps = vec![step(Signal::Knocked, &[Action::Admit])];
        let scenario = Scenario { dialect, chat, steps, ..Scenario::default() };
        let imitation = meetbot_imitation::serve(scenario).await.unwrap();
        let fixture = Fixture::start().await;
        let bot = Fixture::run(order(&fixture, &imitation));
        fixture.wait_for(|report| matches!(report, BotReport::Admitted)).await;
        fixture.command(command(1, ControlAction::SendChatMessage, Some("hello")));
        fixture
            .wait_for(|report| {
                matches!(report, BotReport::CommandDone { state: ControlState::Denied, .. })
            })
            .await;
        imitation.act(says("Ann Host", 500));
        imitation.until(|seen| seen.sent.get("Ann Host") >= Some(&25)).await;
        fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
        imitation.act(act);
        bot.finish().await;
        let (ending, has_manifest) = ended(&fixture.take_reports());
        assert_eq!(
            (ending.status, ending.leave_reason, has_manifest),
            (status, Some(reason), true)
        );
        assert_eq!(browsers(&imitation), Vec::<String>::new());
        imitation.stop().await;
    }
}

fn show(screen: Screen) -> Action {
    Action::Show { screen, wording: 0 }
}

/// The states of a join, from a file of evidence.
fn states(evidence: &Value) -> Vec<Option<&str>> {
    evidence["states"].as_array().unwrap().iter().map(|seen| seen["state"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_a_crashed_page_and_an_unanswered_request_are_not_denials() {
    if !has_chromium() {
        return;
    }
    let scenario = Scenario {
        dialect: Dialect::Labels,
        decoys: Decoys::all(),
        steps: vec![
            step(Signal::Opened, &[show(Screen::Trouble)]),
            step(Signal::Opened, &[]),
            step(Signal::Knocked, &[show(Screen::Dead)]),
            step(Signal::Opened, &[]),
            // The bot asks once more in the same browser.
            step(Signal::Knocked, &[show(Screen::Unanswered)]),
            step(Signal::Opened, &[]),
            step(Signal::Knocked, &[Action::Admit]),
        ],
        ..Scenario::default()
    };
    let imitation = meetbot_imitation::serve(scenario).await.unwrap();
    let fixture = Fixture::start().await;
    let bot = Fixture::run(order(&fixture, &imitation));
    fixture.wait_for(|report| matches!(report, BotReport::Admitted)).await;
    let seen = imitation.until(|seen| seen.joined).await;
    assert_eq!((seen.visits, seen.knocks, seen.faults), (4, 3, vec![]));
    imitation.act(Action::End);
    bot.finish().await;
    let kept = evidence(&fixture);
    let names = ["evidence-1-1.json", "evidence-1-1.png", "evidence-1-2.json", "evidence-1-2.png"];
    assert_eq!(kept.keys().collect::<Vec<_>>(), names);
    assert_eq!(states(&shown(&kept, "evidence-1-1.json")).last(), Some(&Some("trouble")));
    let dead = shown(&kept, "evidence-1-2.json");
    assert_eq!((states(&dead).last(), &dead["knocks"]), (Some(&None), &1.into()), "{dead:#}");
    assert_eq!(dead["errors"], serde_json::json!(["DisconnectedError"]));
    assert_eq!(browsers(&imitation), Vec::<String>::new());
    imitation.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_page_ends_the_join_after_a_timeout_and_is_described() {
    if !has_chromium() {
        return;
    }
    let (dialect, opens) = (Dialect::Text, Screen::Unknown);
    let scenario = Scenario { dialect, opens, ..Scenario::default() };
    let imitation = meetbot_imitation::serve(scenario).await.unwrap();
    let fixture = Fixture::start().await;
    let bot = Fixture::run(order(&fixture, &imitation));
    // A page may take a minute to show something.
    fixture.wait_for_within(TIMEOUT * 3, |report| matches!(report, BotReport::Ended { .. })).await;
    bot.finish().await;
    let failure = ended(&fixture.take_reports()).0.failure.unwrap();
    assert_eq!(failure.code.as_str(), "internal_error");
    assert!(failure.detail.contains("Something here is new"), "{}", failure.detail);
    let kept = evidence(&fixture);
    let unknown = shown(&kept, "evidence-1-1.json");
    assert_eq!(states(&unknown), [None], "{unknown:#}");
    assert_eq!(unknown["page"]["headings"], serde_json::json!(["Something here is new"]));
    let text = unknown["page"]["lines"].to_string();
    assert!(text.contains("[32 characters]") && !text.contains("Nobody has seen"), "{text}");
    imitation.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn voices_stay_separate_while_connections_sources_and_names_change() {
    if !has_chromium() {
        return;
    }
    let people = vec![
        Person::new("Ann Host", 1001, 500).host(),
        Person::new("Ben Weber", 1002, 700),
        Person::new("Cleo Jones", 4_294_967_295, 1_100),
        Person::new("Dan Quiet", 1004, 1_300).level(-60),
        Person::new("Eve Late", 1002, 1_700).later(),
    ];
    let scenario = Scenario {
        dialect: Dialect::Text,
        people,
        late_names: true,
        leaving_shown: LeavingShown::Channel,
        compression: Compression::Gzip,
        steps: vec![step(Signal::Knocked, &[Action::Admit])],
        ..Scenario::default()
    };
    let imitation = meetbot_imitation::serve(scenario).await.unwrap();
    let fixture = Fixture::start().await;
    let bot = Fixture::run(order(&fixture, &imitation));
    fixture.wait_for(|report| matches!(report, BotReport::Admitted)).await;
    // Four simultaneous speakers on three lanes.
    for person in ["Ann Host", "Ben Weber", "Cleo Jones", "Dan Quiet"] {
        imitation.act(says(person, 3_000));
    }
    let said = |person: &'static str, packets: u64| {
        move |seen: &Observed| seen.sent.get(person).is_some_and(|sent| *sent >= packets)
    };
    for person in ["Ann Host", "Ben Weber", "Cleo Jones"] {
        imitation.until(said(person, 150)).await;
    }
    // The page shows that it reconnects, and makes another connection.
    imitation.act(show(Screen::Reconnecting));
    imitation.act(Action::NewPeerConnection);
    imitation.until(|seen| seen.sessions == 2 && seen.connected).await;
    imitation.act(show(Screen::Meeting));
    imitation.until(|seen| seen.joined).await;
    // A new participant gets the source of one who has left; the name comes after the audio.
    imitation.act(Action::Leave("Ben Weber".to_owned()));
    fixture.wait_for(|report| matches!(report, BotReport::ParticipantLeft { .. })).await;
    imitation.act(Action::Join("Eve Late".to_owned()));
    imitation.act(says("Eve Late", 4_000));
    imitation.act(says("Ann Host", 3_000));
    imitation.until(said("Eve Late", 200)).await;
    imitation.until(said("Ann Host", 300)).await;
    let named = |report: &BotReport| format!("{report:?}").contains("Eve Late");
    fixture.wait_for(named).await;
    let sent = imitation.observed().sent;
    // The page has opened the channel for captions again.
    imitation.until(|seen| seen.takes_captions).await;
    let text = "I came late".to_owned();
    let person = "Eve Late".to_owned();
    imitation.act(Action::Caption { person, line: 1, version: 1, text, last: true });
    // A mix has no single speaker.
    imitation.act(Action::Mix(true));
    imitation.act(says("Ann Host", 1_000));
    imitation.act(says("Cleo Jones", 1_000));
    imitation.until(said("Cleo Jones", sent["Cleo Jones"] + 50)).await;
    let long = format!("{}{}", "x".repeat(500), "y".repeat(20));
    fixture.command(command(1, ControlAction::SendChatMessage, Some(&long)));
    fixture.wait_for(|report| matches!(report, BotReport::CommandDone { .. })).await;
    fixture.command(command(2, ControlAction::LeaveCall, None));
    bot.finish().await;

    let seen = imitation.observed();
    assert_eq!(seen.faults, []);
    assert_eq!(seen.written, ["x".repeat(500), "y".repeat(20)]);
    assert!(seen.unsent["Dan Quiet"] > 0);
    let manifest = fixture.manifest(1);
    let packets = |name: &str| {
        let id = &manifest.participants.iter().find(|one| one.name == name).unwrap().id;
        let tracks = manifest.tracks.iter().filter(|track| track.participant_id == *id);
        tracks.map(|track| track.packets).sum::<u64>()
    };
    for name in ["Ann Host", "Ben Weber", "Cleo Jones", "Eve Late"] {
        let (packets, sent) = (packets(name), sent[name]);
        // Packets in transit while a connection is replaced are lost.
        assert!(packets * 100 >= sent * 97 && packets <= sent, "{name}: {packets} of {sent}");
    }
    for track in &manifest.tracks {
        let person = manifest.participants.iter().find(|one| one.id == track.participant_id);
        let is_mix = person.unwrap().name == "Several speakers";
        let expected = if is_mix { "mix" } else { "source" };
        assert_eq!(track.attributed_by.as_deref(), Some(expected), "{track:?}");
    }
    let captions = std::fs::read_to_string(fixture.folder(1).join("captions.jsonl")).unwrap();
    assert!(captions.contains("Eve Late") && captions.contains("I came late"), "{captions}");
    assert!(packets("Several speakers") >= 45, "{manifest:#?}");
    for (name, hz) in [("Ben Weber", 700), ("Eve Late", 1_700)] {
        let id = &manifest.participants.iter().find(|one| one.name == name).unwrap().id;
        for track in manifest.tracks.iter().filter(|track| track.participant_id == *id) {
            let file = fixture.folder(1).join(&track.file);
            for other in [500, 700, 1_100, 1_700].into_iter().filter(|other| *other != hz) {
                let apart = tone_db(&file, hz) - tone_db(&file, other);
                // One packet of another voice is 14 dB below the tone in its 100 ms. A lost packet is a step in the tone, whose other frequencies are 39 dB below.
                assert!(apart >= 30.0, "{name}: {other} Hz is {apart} dB below");
            }
        }
    }
    imitation.stop().await;
}
