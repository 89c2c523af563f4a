//! Each state of Google Meet's page once in Chromium, half of them in each form of its DOM, from the job's creation to its webhook: status, detail, reason, failure
//! code and evidence. All jobs are of one server; each has an imitation of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use meetbot::{AutoLeaveConfig, Job, JobStatus, NewJob, Rule, Webhooks, blocking::MeetBot};
use meetbot_imitation::{Action, Decoys, Dialect, Scenario, Screen, Signal, Step};
use meetbot_testkit::scripted::Receiver;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    google_meet::has_chromium,
    led::{lead, led_by_job},
    program::{await_job, client, create, serve_with},
    scenarios::ending,
};

/// How many browsers run at the same time.
const AT_ONCE: &str = "3";
/// How long a bot that nobody admits waits, in seconds.
const LOBBY: u32 = 25;

/// A state, and the job that meets it.
struct Row {
    name: &'static str,
    dialect: Dialect,
    opens: Screen,
    steps: Vec<Step>,
    /// Status, leave reason and failure code of the job.
    ending: &'static str,
    /// A part of the failure's detail.
    detail: &'static str,
    /// The last state in the evidence of each join; `null` for an unknown page.
    evidence: &'static [&'static str],
}

fn row(name: &'static str, dialect: Dialect, opens: Screen, ending: &'static str) -> Row {
    Row { name, dialect, opens, steps: Vec::new(), ending, detail: "", evidence: &[] }
}

fn step(on: Signal, then: &[Action]) -> Step {
    Step { on, then: then.to_vec() }
}

fn show(screen: Screen) -> Action {
    Action::Show { screen, wording: 0 }
}

/// Steps of a meeting that admits the bot, in which Ann speaks before these acts.
fn inside(then: &[Action]) -> Vec<Step> {
    let ann = "Ann Host".to_owned();
    let says = Action::Say { person: ann.clone(), ms: 1_500 };
    vec![
        step(Signal::Knocked, &[Action::Admit]),
        step(Signal::Joined, std::slice::from_ref(&says)),
        step(Signal::Said(ann.clone()), &[says]),
        step(Signal::Said(ann), then),
    ]
}

fn rows() -> Vec<Row> {
    use Dialect::{Labels, Text};
    let knocked = |act| vec![step(Signal::Knocked, &[act])];
    let again = || step(Signal::Opened, &[]);
    vec![
        Row {
            detail: "knows no meeting",
            evidence: &["wrong_code"],
            ..row("wrong code", Labels, Screen::WrongCode, "failed - meeting_not_found")
        },
        Row {
            detail: "Google account",
            evidence: &["login_host"],
            ..row("login host", Text, Screen::SignInHost, "failed - auth_failure")
        },
        Row {
            detail: "Google account",
            evidence: &["login_asked"],
            ..row("login asked", Labels, Screen::SignIn, "failed - auth_failure")
        },
        Row {
            steps: knocked(Action::Deny),
            detail: "denied",
            evidence: &["denied"],
            ..row("denied", Text, Screen::PreJoin, "failed not_admitted host_denied_admission")
        },
        Row {
            steps: (0..8)
                .flat_map(|_| [again(), step(Signal::Knocked, &[show(Screen::Unanswered)])])
                .collect(),
            ..row("unanswered", Labels, Screen::PreJoin, "failed not_admitted lobby_timeout")
        },
        Row {
            detail: "You can't join this video call",
            evidence: &["blocked", "blocked"],
            ..row("blocked", Text, Screen::Blocked, "failed - bot_blocked")
        },
        Row {
            steps: vec![
                step(Signal::Opened, &[show(Screen::Trouble)]),
                step(Signal::Opened, &[show(Screen::Full)]),
            ],
            detail: "full",
            evidence: &["trouble", "full"],
            ..row("trouble, then full", Labels, Screen::PreJoin, "failed - meeting_full")
        },
        Row {
            detail: "captcha",
            evidence: &["captcha", "captcha"],
            ..row("captcha", Text, Screen::Captcha, "failed - bot_blocked")
        },
        Row {
            steps: knocked(show(Screen::HostAbsent)),
            evidence: &["host_absent"],
            ..row("host absent", Labels, Screen::PreJoin, "failed not_admitted waiting_for_host")
        },
        Row {
            evidence: &["waiting_room"],
            ..row("waiting room", Text, Screen::PreJoin, "failed not_admitted lobby_timeout")
        },
        Row {
            steps: vec![
                again(),
                step(Signal::Knocked, &[show(Screen::Dead)]),
                again(),
                step(Signal::Knocked, &[Action::Deny]),
            ],
            evidence: &["null", "denied"],
            ..row(
                "dead, then denied",
                Labels,
                Screen::PreJoin,
                "failed not_admitted host_denied_admission",
            )
        },
        Row {
            detail: "Something here is new",
            evidence: &["null"],
            ..row("unknown", Text, Screen::Unknown, "failed - internal_error")
        },
        Row {
            steps: inside(&[Action::Remove]),
            ..row("removed", Labels, Screen::PreJoin, "failed removed removed_from_meeting")
        },
        Row {
            steps: inside(&[show(Screen::Reconnecting), show(Screen::Meeting), Action::End]),
            ..row("reconnecting, then ended", Text, Screen::PreJoin, "completed meeting_ended -")
        },
        Row {
            steps: inside(&[show(Screen::Left)]),
            ..row("left page", Labels, Screen::PreJoin, "failed removed removed_from_meeting")
        },
    ]
}

/// The last states of the joins of a job, from its evidence.
fn last_states(client: &MeetBot, job: &Job) -> Vec<String> {
    let files = client.artifacts(&job.id).unwrap();
    let names: BTreeSet<String> = files.into_iter().filter_map(|file| file.name).collect();
    let evidence = names.iter().filter(|name| name.starts_with("evidence-"));
    let states = evidence.filter(|name| !name.ends_with("png")).map(|name| {
        let json: Value = serde_json::from_slice(&client.artifact(&job.id, name).unwrap()).unwrap();
        let last = &json["states"].as_array().unwrap().last().unwrap()["state"];
        last.as_str().unwrap_or("null").to_owned()
    });
    states.collect()
}

#[test]
fn each_state_of_the_page_ends_its_job_as_documented() {
    if !has_chromium() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (data, tools, landmarks) =
        (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    // A page may take a minute to show something; here it has less.
    let built_in =
        include_str!("../../../bot/src/platforms/browser/products/google_meet/landmarks.toml");
    let short = built_in.replace("unknown_s = 60", "unknown_s = 8");
    assert_ne!(short, built_in);
    fs::write(landmarks.path().join("google-meet.toml"), short).unwrap();
    let chromium = led_by_job(tools.path());
    let settings = [
        ("MEETBOT_BOTS_BROWSER_ENABLED", "true"),
        ("MEETBOT_BOTS_BROWSER_NO_SANDBOX", "true"),
        ("MEETBOT_BOTS_BROWSER_MAX", AT_ONCE),
        ("MEETBOT_BOTS_BROWSER_LANDMARKS_DIR", landmarks.path().to_str().unwrap()),
        ("MEETBOT_BOTS_BROWSER_BINARY", chromium.to_str().unwrap()),
    ];
    let (_server, url) = serve_with(data.path(), None, &settings);
    let (key, _) = create("--live", data.path(), &[]);
    let client = client(&url, &key);
    let mut receiver = Receiver::start([]).unwrap();
    let started: Vec<_> = rows()
        .into_iter()
        .map(|row| {
            let scenario = Scenario {
                dialect: row.dialect,
                opens: row.opens,
                steps: row.steps.clone(),
                decoys: Decoys { toolbar_hides: false, ..Decoys::all() },
                ..Scenario::default()
            };
            let imitation = runtime.block_on(meetbot_imitation::serve(scenario)).unwrap();
            let webhooks =
                Webhooks { on_status_change: None, on_finalize: Some(receiver.url_of("/")) };
            let waits = ["lobby_timeout", "waiting_for_host"];
            let rules = AutoLeaveConfig {
                after_entry_delay_seconds: if waits.iter().any(|code| row.ending.ends_with(code)) {
                    Rule::After(LOBBY)
                } else {
                    Rule::Default
                },
                ..AutoLeaveConfig::default()
            };
            let job = client.dispatch_bot(NewJob {
                meeting_url: "https://meet.google.com/abc-mnop-xyz".to_owned(),
                webhooks: Some(webhooks),
                auto_leave: Some(rules),
                ..NewJob::default()
            });
            let job = job.unwrap();
            lead(&job.id, &imitation, tools.path());
            (row, imitation, job.id)
        })
        .collect();
    let mut expected = BTreeMap::new();
    for (row, imitation, id) in &started {
        let job = await_job(&client, id, |job| job.status.is_final());
        assert_eq!(ending(&job), row.ending, "{}: {job:#?}", row.name);
        let detail = job.failure_detail.clone().unwrap_or_default();
        assert!(detail.contains(row.detail), "{}: {detail}", row.name);
        let has_media = matches!(row.opens, Screen::PreJoin) && row.ending.contains("ended -")
            || row.ending.contains("removed");
        assert_eq!(job.manifest_uri.is_some(), has_media, "{}: {job:#?}", row.name);
        let states = last_states(&client, &job);
        if row.name == "unanswered" {
            // Its last join may be in the lobby or on the page before it.
            assert_eq!(states.len(), 1, "{states:?}");
            assert!(imitation.observed().knocks >= 2, "it asks again");
        } else {
            assert_eq!(states, row.evidence, "{}", row.name);
        }
        assert_eq!(imitation.observed().faults, [], "{}", row.name);
        let event = if job.status == JobStatus::Completed { "job.finalized" } else { "job.failed" };
        let code = job.failure_code.map(|code| code.to_string());
        expected.insert(id.clone(), (event.to_owned(), code));
    }
    // Recordings are mixed later, with a webhook each.
    let mut ends = BTreeMap::new();
    while ends.len() < expected.len() {
        let webhook = receiver.wait().json();
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let event = text(&webhook["event"]).unwrap();
        if event != "job.artifact_ready" {
            let code =
                text(&webhook["data"]["failure_code"]).or(text(&webhook["data"]["failureCode"]));
            ends.insert(text(&webhook["data"]["jobId"]).unwrap(), (event, code));
        }
    }
    assert_eq!(ends, expected);
    for (_, imitation, _) in started {
        runtime.block_on(imitation.stop());
    }
}
