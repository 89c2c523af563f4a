//! Google Meet through the server: a bot with Debian's Chromium in the imitation. Chromium is led there by the program that stands in `bots.browser.binary`, a script of this test, so
//! that the server is the released program.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use meetbot::{JobStatus, LeaveReason, NewJob, Webhooks};
use meetbot_imitation::{Action, Dialect, Imitation, Scenario, Screen, Signal, Step};
use meetbot_testkit::{polling::poll_until, scripted::Receiver};
use tempfile::TempDir;

use crate::{
    processes::{bots, gone},
    program::{PATIENCE, await_job, client, create, manifest_of, meetbot, run, serve_with},
};

/// Whether there is a browser. Where CI expects one, a test without it fails.
pub(crate) fn has_chromium() -> bool {
    let found = Command::new("chromium").arg("--version").output().is_ok();
    assert!(
        found || std::env::var_os("MEETBOT_TEST_AS_ROOT").is_none(),
        "Chromium is not installed"
    );
    found
}

/// A Chromium that connects to the imitation only.
pub(crate) fn led_to(imitation: &Imitation, folder: &Path) -> PathBuf {
    let program = folder.join("chromium-of-the-test");
    let (rules, key) = (imitation.resolver_rules(), imitation.spki_sha256());
    let space = format!("--ip-address-space-overrides={}=public", imitation.address());
    let script = format!(
        "#!/bin/sh\nexec chromium '--host-resolver-rules={rules}' '--ignore-certificate-errors-spki-list={key}' '{space}' \"$@\"\n"
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// The processes whose arguments name the imitation.
fn browsers(imitation: &Imitation) -> usize {
    let address = imitation.address().to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let command = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).contains(&address))
    });
    processes.filter(|ours| *ours).count()
}

#[test]
fn a_google_meet_job_completes_while_its_server_is_killed_repeatedly() {
    if !has_chromium() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let people = ["Ann Host", "Ben Weber"];
    let steps = vec![Step { on: Signal::Knocked, then: vec![Action::Admit] }];
    let scenario = Scenario { steps, ..Scenario::default() };
    let imitation = runtime.block_on(meetbot_imitation::serve(scenario)).unwrap();
    let (data, tools) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let chromium = led_to(&imitation, tools.path());
    let settings = [
        ("MEETBOT_BOTS_BROWSER_ENABLED", "true"),
        ("MEETBOT_BOTS_BROWSER_NO_SANDBOX", "true"),
        ("MEETBOT_BOTS_BROWSER_BINARY", chromium.to_str().unwrap()),
    ];
    let (server, url) = serve_with(data.path(), None, &settings);
    let (key, _) = create("--live", data.path(), &[]);
    let one = client(&url, &key);
    let mut receiver = Receiver::start([]).unwrap();
    let webhook = Some(receiver.url_of("/"));
    let job = one
        .dispatch_bot(NewJob {
            meeting_url: "https://meet.google.com/abc-mnop-xyz".to_owned(),
            webhooks: Some(Webhooks { on_status_change: None, on_finalize: webhook }),
            ..NewJob::default()
        })
        .unwrap();
    let id = job.id;
    await_job(&one, &id, |job| job.status == JobStatus::InCall);
    let says = |person: &str, ms| imitation.act(Action::Say { person: person.to_owned(), ms });
    says(people[0], 4_000);
    runtime.block_on(imitation.until(|seen| seen.takes_captions));
    let caption = |line, text: &str, last| {
        let (person, text) = (people[0].to_owned(), text.to_owned());
        imitation.act(Action::Caption { person, line, version: 1, text, last });
    };
    await_job(&one, &id, |job| job.status == JobStatus::Recording);
    caption(1, "Shall we begin?", true);
    let [bot] = bots(&id)[..] else { panic!("one process") };
    server.kill();
    // While there is no server.
    caption(2, "Nobody is listening", false);
    says(people[1], 4_000);
    let said = |name: &'static str| {
        move |seen: &meetbot_imitation::Observed| {
            seen.sent.get(name).is_some_and(|packets| *packets >= 200)
        }
    };
    runtime.block_on(imitation.until(said(people[1])));
    let (_server, url) = serve_with(data.path(), None, &settings);
    let next = client(&url, &key);
    assert_eq!(bots(&id), [bot]);
    next.leave_bot(&id).unwrap();
    let job = await_job(&next, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
    assert_eq!(job.leave_reason, Some(LeaveReason::Requested));
    let manifest = manifest_of(&next, &id);
    assert!(manifest.complete && manifest.attempts.len() == 1, "{manifest:#?}");
    let captions = next.captions(&id).unwrap().into_iter();
    let captions: Vec<_> =
        captions.map(|line| (line.speaker.unwrap(), line.text.unwrap())).collect();
    let said = ["Shall we begin?", "Nobody is listening"];
    assert_eq!(captions, said.map(|text| (people[0].to_owned(), text.to_owned())));
    let seen = imitation.observed();
    assert!(seen.faults.is_empty() && seen.left, "{:#?}", seen.faults);
    for name in people {
        let person = manifest.participants.iter().find(|person| person.name == name).unwrap();
        let mut tracks = manifest.tracks.iter();
        let track = tracks.find(|track| track.participant_id == person.id).unwrap();
        let sent = seen.sent[name];
        assert!(track.packets * 100 >= sent * 99, "{name}: {sent} were sent: {track:?}");
    }
    assert_eq!(receiver.wait().json()["event"], "job.finalized");
    gone(&id);
    poll_until(PATIENCE, || match browsers(&imitation) {
        0 => Ok(()),
        left => Err(format!("{left} processes of the browser are left")),
    });
    runtime.block_on(imitation.stop());
}

#[test]
fn the_doctor_joins_a_meeting_and_reports_what_it_recognises_without_words_of_people() {
    if !has_chromium() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let said = |text: &str| Action::Write { person: "Ann Host".to_owned(), text: text.to_owned() };
    let speaks = Action::Say { person: "Ann Host".to_owned(), ms: 20_000 };
    let steps = vec![
        Step { on: Signal::Knocked, then: vec![Action::Admit] },
        Step { on: Signal::Joined, then: vec![said("hush one"), speaks] },
    ];
    let scenario = Scenario { steps, dialect: Dialect::Text, ..Scenario::default() };
    let imitation = runtime.block_on(meetbot_imitation::serve(scenario)).unwrap();
    let (data, tools) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let chromium = led_to(&imitation, tools.path());
    let doctor = |link: &str, seconds: &str, json: bool| {
        let mut command = meetbot();
        command.args(["doctor", "join", link, "--seconds", seconds, "--data-dir"]).arg(data.path());
        command.args(json.then_some("--json"));
        command.env("MEETBOT_BOTS_BROWSER_ENABLED", "true");
        command.env("MEETBOT_BOTS_BROWSER_NO_SANDBOX", "true");
        run(command.env("MEETBOT_BOTS_BROWSER_BINARY", &chromium))
    };
    let link = "https://meet.google.com/abc-mnop-xyz?pwd=hush-hush";
    let output = doctor(link, "6", true);
    assert_eq!(output.code, Some(0), "{output:?}");
    let report = output.json();
    let found = |list: &str, name: &str, value: &str| {
        let all = report[list].as_array().unwrap().iter();
        all.clone().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name}: {report:#}"))
            [value]
            .clone()
    };
    assert!(found("states", "prejoin", "firstMs").is_u64(), "{report:#}");
    assert!(found("states", "inside", "firstMs").is_u64(), "{report:#}");
    assert!(found("states", "denied", "firstMs").is_null(), "{report:#}");
    assert_eq!(found("controls", "controls.join", "text"), "Ask to join");
    assert!(found("controls", "controls.compose", "text").is_null(), "{report:#}");
    let collections = report["channels"]["collections"]["fields"].as_array().unwrap();
    let count = |path: &str| {
        let field = collections.iter().find(|field| field["path"] == path);
        field.unwrap_or_else(|| panic!("{path}: {report:#}"))["count"].as_u64().unwrap()
    };
    // A name, and the text of a message; a field that the bot does not read; one that never came.
    assert!(count("1.2.13.1.2.2") > 0 && count("1.2.13.4.2.5.1") == 1, "{report:#}");
    assert!(count("1.2.13.1.2.11") > 0 && count("1.2.13.1.2.21") == 0, "{report:#}");
    assert!(report["sound"]["ofOne"].as_u64().unwrap() > 100, "{report:#}");
    assert_eq!((&report["read"]["people"], &report["read"]["messages"]), (&3.into(), &1.into()));
    for secret in ["hush", "Ann", "imitation-cookie", "spaces/"] {
        assert!(!output.out.contains(secret), "{secret}: {}", output.out);
    }
    assert_eq!(imitation.observed().faults, []);
    runtime.block_on(imitation.stop());

    let scenario = Scenario { opens: Screen::Full, ..Scenario::default() };
    let imitation = runtime.block_on(meetbot_imitation::serve(scenario)).unwrap();
    led_to(&imitation, tools.path());
    let output = doctor(link, "6", false);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.out.contains("not joined"), "{output:?}");
    assert!(output.out.lines().any(|line| line.contains("  seen      full, after ")), "{output:?}");
    assert!(!output.out.contains("hush"), "{output:?}");
    for (link, seconds) in [("https://example.com/", "6"), (link, "0")] {
        let output = doctor(link, seconds, false);
        assert_eq!(output.code, Some(2), "{output:?}");
    }
    runtime.block_on(imitation.stop());
}
