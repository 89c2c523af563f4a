//! Every scenario of the sandbox, all at once: statuses, reasons, codes, webhooks and manifests. `servers::meetings` runs them on two servers.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    thread,
};

use meetbot::{AutoLeaveConfig, EventName, Job, NewJob, Rule, Webhooks, blocking::MeetBot};
use meetbot_types::Manifest;
use serde_json::Value;
use tempfile::TempDir;
use xtask::{ffmpeg::decodes, spec_file};

use crate::program::{
    PATIENCE, client, create_key, downloaded_tracks, listen, manifest_of, meetbot, run, serve,
};
use crate::schema;

/// How a scenario has to end.
pub(crate) struct Case {
    pub(crate) scenario: &'static str,
    rules: AutoLeaveConfig,
    /// Status, leave reason, failure code.
    pub(crate) ending: &'static str,
    /// Whether there is a manifest, and whether it says that it is complete.
    manifest: Option<bool>,
    attempts: u32,
    /// Calls for the job, each when it reaches this status.
    acts: Vec<(&'static str, Action)>,
}

type Action = fn(&MeetBot, &str);

impl Case {
    /// The job that plays it.
    pub(crate) fn new_job(&self) -> NewJob {
        NewJob {
            meeting_url: format!("https://sandbox.meetbot.dev/{}", self.scenario),
            auto_leave: (self.rules != AutoLeaveConfig::default()).then(|| self.rules.clone()),
            ..NewJob::default()
        }
    }
}

/// Status, leave reason and failure code of a job.
pub(crate) fn ending(job: &Job) -> String {
    let word = |word: Option<String>| word.unwrap_or("-".to_owned());
    let reason = word(job.leave_reason.as_ref().map(ToString::to_string));
    let code = word(job.failure_code.as_ref().map(ToString::to_string));
    format!("{} {reason} {code}", job.status)
}

fn case(scenario: &'static str, ending: &'static str, manifest: Option<bool>) -> Case {
    Case {
        scenario,
        rules: AutoLeaveConfig::default(),
        ending,
        manifest,
        attempts: 1,
        acts: Vec::new(),
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let rules = AutoLeaveConfig::default;
    vec![
        case("two-speakers?seconds=3", "completed meeting_ended -", Some(true)),
        case(
            "two-speakers?seconds=6&speakers=7&admitAfter=1",
            "completed meeting_ended -",
            Some(true),
        ),
        Case {
            rules: AutoLeaveConfig { after_max_seconds: Rule::After(2), ..rules() },
            ..case("two-speakers?seconds=600", "completed max_duration -", Some(true))
        },
        case("conversation?seconds=12", "completed meeting_ended -", Some(true)),
        case("ends", "completed meeting_ended -", Some(true)),
        Case {
            rules: AutoLeaveConfig { after_solo_seconds: Rule::After(1), ..rules() },
            ..case("everyone-leaves?seconds=3", "completed solo -", Some(true))
        },
        Case {
            rules: AutoLeaveConfig { after_silence_seconds: Rule::After(2), ..rules() },
            ..case("silence", "completed silence -", Some(true))
        },
        // A minute of noise is a minute of silence; a minute of quiet speech is none.
        Case {
            rules: AutoLeaveConfig { after_silence_seconds: Rule::After(60), ..rules() },
            ..case("quiet-room", "completed silence -", Some(true))
        },
        Case {
            rules: AutoLeaveConfig { after_silence_seconds: Rule::After(60), ..rules() },
            ..case("quiet-speech?seconds=63", "completed meeting_ended -", Some(true))
        },
        case("another-bot?seconds=4", "completed meeting_ended -", Some(true)),
        Case {
            rules: AutoLeaveConfig { on_bot_detected: Some(true), ..rules() },
            ..case("another-bot?seconds=6", "completed bot_detected -", Some(true))
        },
        case("kicked", "failed removed removed_from_meeting", Some(false)),
        case("host-denies", "failed not_admitted host_denied_admission", None),
        Case {
            rules: AutoLeaveConfig { after_entry_delay_seconds: Rule::After(1), ..rules() },
            ..case("nobody-admits", "failed not_admitted lobby_timeout", None)
        },
        Case {
            rules: AutoLeaveConfig { after_entry_delay_seconds: Rule::After(6), ..rules() },
            ..case("host-absent", "failed not_admitted waiting_for_host", None)
        },
        case("no-such-meeting", "failed - meeting_not_found", None),
        case("bad-passcode", "failed - auth_failure", None),
        case("already-ended", "failed - meeting_ended", None),
        case("asks-permission?seconds=4", "completed meeting_ended -", Some(true)),
        case(
            "asks-permission?seconds=3&answer=deny",
            "failed meeting_ended recording_disabled",
            None,
        ),
        case("asks-permission?seconds=3&answer=none", "failed meeting_ended meeting_ended", None),
        case("recording-disabled", "failed - recording_disabled", None),
        case("network-loss", "completed meeting_ended -", Some(false)),
        case("media-stops", "completed meeting_ended -", Some(true)),
        case("network-lost", "failed - network_loss", Some(false)),
        Case { attempts: 6, ..case("bot-crashes", "failed - internal_error", Some(false)) },
        Case { attempts: 0, ..case("no-worker", "failed - dispatch_timeout", None) },
        case("over-quota", "failed - quota_exceeded", None),
        case("bot-blocked", "failed - bot_blocked", None),
        case("registration-required", "failed - registration_required", None),
        case("meeting-full", "failed - meeting_full", None),
        case("beep?seconds=3", "completed meeting_ended -", Some(true)),
        case("chatty", "completed meeting_ended -", Some(true)),
    ]
}

/// Cases in which a control call changes the course.
fn acted_cases() -> Vec<Case> {
    let endless = "two-speakers?seconds=600";
    let acted = |scenario, ending, manifest, acts: &[(&'static str, Action)]| Case {
        acts: acts.to_vec(),
        ..case(scenario, ending, manifest)
    };
    let cancel: Action = |client, id| client.cancel_bot(id).unwrap();
    let leave: Action = |client, id| assert_eq!(client.leave_bot(id).unwrap().state, "done");
    let stop: Action = |client, id| assert_eq!(client.stop_recording(id).unwrap().state, "done");
    let each: Action = |client, id| {
        for call in [
            MeetBot::pause_recording,
            MeetBot::resume_recording,
            |client: &MeetBot, id: &str| client.send_chat_message(id, "still here"),
            MeetBot::request_recording_permission,
            MeetBot::stop_recording,
            MeetBot::leave_bot,
        ] {
            assert_eq!(call(client, id).unwrap().state, "done");
        }
    };
    vec![
        acted(endless, "cancelled cancelled -", Some(false), &[("recording", cancel)]),
        acted(endless, "completed requested -", Some(true), &[("recording", leave)]),
        acted(endless, "completed requested -", Some(true), &[("recording", each)]),
        acted(
            endless,
            "completed requested -",
            Some(true),
            &[("recording", stop), ("in_call", leave)],
        ),
        Case {
            attempts: 0,
            ..acted("no-worker", "cancelled cancelled -", None, &[("queued", cancel)])
        },
        acted("nobody-admits", "cancelled cancelled -", None, &[("joining", cancel)]),
    ]
}

/// Transitions that no scenario reaches, since a bot would have to die between two reports: the orchestrator's tests cover them
/// (`a_bot_may_be_lost_in_any_status`).
const UNPLAYED: [&str; 4] =
    ["joining --> queued", "in_call --> queued", "finalizing --> queued", "recording --> failed"];

#[test]
fn every_scenario_has_a_test() {
    let listed = run(meetbot().args(["sandbox", "list", "--json"]));
    let played: Vec<&str> =
        cases().iter().map(|case| case.scenario.split('?').next().unwrap()).collect();
    for line in listed.out.lines() {
        let scenario: Value = serde_json::from_str(line).unwrap();
        let name = scenario["url"].as_str().unwrap().rsplit('/').next().unwrap();
        assert!(played.contains(&name), "{name} is in no case");
    }
}

#[test]
fn a_bot_that_receives_nothing_is_detected_within_fifteen_seconds() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let meeting_url = "https://sandbox.meetbot.dev/media-stops".to_owned();
    let id = client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id;
    let mut details = Vec::new();
    let job = client.wait_for_bot_with(&id, Some(PATIENCE), |job| {
        let since =
            job.recording.started_at.map(|started| job.updated_at.unwrap().millis_since(started));
        details.push((job.status_detail.clone(), since));
    });
    assert_eq!(job.unwrap().status, meetbot::JobStatus::Completed);
    let stalled = details.iter().position(|(detail, _)| detail.as_deref() == Some("no_media"));
    let stalled = stalled.unwrap_or_else(|| panic!("{details:?}"));
    let since = details[stalled].1.unwrap();
    assert!(since <= 17_000, "nothing came from the second second on: {details:?}");
    assert!(
        details[stalled..].iter().any(|(detail, _)| detail.is_none()),
        "and it came again: {details:?}"
    );
}

#[test]
fn every_scenario_ends_as_documented() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, secret) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    play_all([&client, &client], &secret);
}

/// Plays all scenarios at once. Jobs are created at each server in turn; the calls for a job and all reads go to the server that did not create it.
pub(crate) fn play_all(servers: [&MeetBot; 2], secret: &str) {
    let (receiver, webhook) = listen(secret);
    let mut acts = HashMap::new();
    let played: HashMap<String, (Case, &MeetBot)> = cases()
        .into_iter()
        .chain(acted_cases())
        .zip([servers, [servers[1], servers[0]]].into_iter().cycle())
        .map(|(mut case, [creating, other])| {
            let job = creating.dispatch_bot(NewJob {
                webhooks: Some(Webhooks {
                    on_status_change: Some(webhook.clone()),
                    on_finalize: Some(webhook.clone()),
                }),
                ..case.new_job()
            });
            let id = job.unwrap().id;
            acts.insert(id.clone(), VecDeque::from(std::mem::take(&mut case.acts)));
            (id, (case, other))
        })
        .collect();
    let mut observed = ReceivedEvents::default();
    let mut statuses: Vec<(String, String)> =
        played.keys().map(|id| (id.clone(), "queued".to_owned())).collect();
    thread::scope(|scope| {
        loop {
            for (id, status) in statuses.drain(..) {
                let next = acts.get_mut(&id).unwrap().pop_front_if(|(when, _)| *when == status);
                if let Some((_, act)) = next {
                    act(played[&id].1, &id);
                }
            }
            if observed.ended == played.len() {
                break;
            }
            let (data, ended) = observed.add(&receiver.next());
            let word = |name: &str| data[name].as_str().unwrap().to_owned();
            let id = word("jobId");
            if ended {
                let (case, client) = &played[&id];
                let events = observed.events[&id].clone();
                // Files are read while others play: the longest scenario lasts a minute.
                scope.spawn(move || check_recording(case, &id, &events, client));
            } else {
                statuses.push((id, word("status")));
            }
        }
    });
    observed.match_the_documented_lifecycle();
    for (id, (case, client)) in &played {
        let job = client.get_bot(id).unwrap().unwrap();
        assert_eq!(ending(&job), case.ending, "{}: {job:#?}", case.scenario);
        assert_eq!(job.attempt, case.attempts, "{}", case.scenario);
        observed.check(case, &job, client);
    }
}

/// Checks the recording of a job that has ended.
fn check_recording(case: &Case, id: &str, events: &[Value], client: &MeetBot) {
    let job = client.get_bot(id).unwrap().unwrap();
    assert_eq!(job.manifest_uri.is_some(), case.manifest.is_some(), "{}: {job:#?}", case.scenario);
    let Some(complete) = case.manifest else { return };
    let manifest = manifest_of(client, id);
    schema::recording_fits(client, id);
    assert_eq!(manifest.complete, complete, "{}: {manifest:#?}", case.scenario);
    check_scenario(case.scenario, &manifest, events, client);
    for file in downloaded_tracks(client, &manifest) {
        decodes(file.path());
    }
}

/// The webhooks of all jobs.
#[derive(Default)]
struct ReceivedEvents {
    events: HashMap<String, Vec<Value>>,
    /// How many jobs have ended.
    ended: usize,
}

impl ReceivedEvents {
    /// The data of the event, and whether its job has ended with it.
    fn add(&mut self, line: &Value) -> (Value, bool) {
        assert_eq!(line["verified"], true, "{line}");
        let data = line["event"]["data"].clone();
        // A cancelled job has no event but the change of its status.
        let last = match data["event"].as_str() {
            Some("job.finalized" | "job.failed") => true,
            Some("job.artifact_ready") => false,
            _ => data["status"] == "cancelled",
        };
        self.ended += usize::from(last);
        let job = data["jobId"].as_str().unwrap().to_owned();
        self.events.entry(job).or_default().push(data.clone());
        (data, last)
    }

    /// The transitions that occurred are exactly those that `docs/job-lifecycle.md` draws.
    fn match_the_documented_lifecycle(&self) {
        let page = std::fs::read_to_string(spec_file::path("docs/job-lifecycle.md")).unwrap();
        let drawn: BTreeSet<String> = page
            .lines()
            .filter(|line| line.contains(" --> ") && !line.contains("[*]"))
            .map(|line| line.split(':').next().unwrap().trim().to_owned())
            .collect();
        let mut seen: BTreeSet<String> = UNPLAYED.map(ToOwned::to_owned).into();
        for events in self.events.values() {
            let mut from = "queued";
            for to in events.iter().map(|data| data["status"].as_str().unwrap()) {
                if to != from {
                    seen.insert(format!("{from} --> {to}"));
                }
                from = to;
            }
        }
        let missing: Vec<_> = drawn.difference(&seen).collect();
        let unknown: Vec<_> = seen.difference(&drawn).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "unseen {missing:?}, undrawn {unknown:?}"
        );
    }

    /// Each event comes once and in order; only events of the timeline are missing. After the one end there is at most the event of the mix.
    fn check(&self, case: &Case, job: &Job, client: &MeetBot) {
        let timeline = client.events(&job.id, None).unwrap().data;
        let apart: Vec<u64> = timeline
            .iter()
            .filter(|event| event.event == EventName::ChatWithheld)
            .map(|event| event.data.sequence)
            .collect();
        let mut events = self.events[&job.id].as_slice();
        let all = 1..=(events.len() + apart.len()) as u64;
        if let Some((mix, before)) =
            events.split_last().filter(|(last, _)| last["event"] == "job.artifact_ready")
        {
            assert_eq!(mix["sequence"], *all.end(), "{}: {events:#?}", case.scenario);
            events = before;
        }
        let sequences: Vec<u64> =
            events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
        let all = all.filter(|sequence| !apart.contains(sequence));
        let expected: Vec<u64> = all.take(events.len()).collect();
        assert_eq!(sequences, expected, "{}: {events:#?}", case.scenario);
        let last = events.last().unwrap();
        let end = match job.status.as_str() {
            "completed" => "job.finalized",
            "failed" => "job.failed",
            _ => "job.status_changed",
        };
        assert_eq!(last["event"], end, "{}", case.scenario);
        // A cancelled job ends with a change of its status alone, which names no manifest.
        let named = job.manifest_uri.as_deref().filter(|_| job.status != "cancelled");
        assert_eq!(last["manifestUri"].as_str(), named, "{}", case.scenario);
        // No status twice in a row, and every one is what the one before could become.
        let statuses: Vec<&str> = events
            .iter()
            .filter(|event| event["event"] == "job.status_changed")
            .map(|event| {
                assert_ne!(event["previousStatus"], event["status"], "{}", case.scenario);
                event["status"].as_str().unwrap()
            })
            .collect();
        assert!(statuses.windows(2).all(|two| two[0] != two[1]), "{}: {statuses:?}", case.scenario);
    }
}

/// Checks that apply to some scenarios only.
fn check_scenario(scenario: &str, manifest: &Manifest, events: &[Value], client: &MeetBot) {
    let id = manifest.job_id.to_string();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    match scenario.split('?').next().unwrap() {
        "asks-permission" => {
            assert_eq!(
                (of("bot.recording_permission_requested"), of("bot.recording_permission_granted")),
                (1, 1)
            );
            let job = client.get_bot(&id).unwrap().unwrap();
            assert_eq!(job.recording.permission.unwrap(), "granted");
            // Nothing of the first second, in which it was not permitted, is in a file.
            assert!(manifest.tracks.iter().all(|track| track.start_ms >= 900), "{manifest:#?}");
        }
        "network-loss" => {
            assert!(
                events.iter().all(|event| event["status"] != "queued"),
                "it came back by itself"
            );
            let gaps: Vec<_> = manifest
                .tracks
                .iter()
                .flat_map(|track| &track.gaps)
                .filter(|gap| gap.reason == "network_loss")
                .collect();
            assert!(
                !gaps.is_empty() && gaps.iter().all(|gap| gap.end_ms - gap.start_ms >= 1_500),
                "{manifest:#?}"
            );
            assert_eq!(manifest.tracks.len(), 2, "the same files go on: {manifest:#?}");
        }
        "bot-crashes" => {
            assert_eq!(manifest.attempts.len(), 5, "the sixth only finalised: {manifest:#?}");
            assert!(manifest.tracks.len() >= 5, "what each bot recorded is kept: {manifest:#?}");
        }
        "conversation" => {
            let captions = client.artifact(&id, manifest.captions.as_deref().unwrap()).unwrap();
            let output: Vec<Value> = std::str::from_utf8(&captions)
                .unwrap()
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            let bob = output.iter().find(|line| line["speaker"] == "Bob").expect("Bob's sentence");
            assert_eq!(bob["text"], "Thank you, Alice.", "{output:#?}");
            assert!(output.iter().all(|line| line["text"].as_str().unwrap().ends_with('.')));
            // A caption has the time of its sentence.
            let (start, end) = (bob["startMs"].as_u64().unwrap(), bob["endMs"].as_u64().unwrap());
            assert!((1_000..2_200).contains(&(end - start)), "{bob}");
        }
        "chatty" => {
            let chat = client.artifact(&id, manifest.chat.as_deref().unwrap()).unwrap();
            let lines: Vec<Value> = std::str::from_utf8(&chat)
                .unwrap()
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert!(
                (25..=30).contains(&lines.len()) && lines.len() == of("bot.chat_message"),
                "{lines:#?}"
            );
            assert!(lines.iter().any(|line| line["private"] == true));
            assert!(lines.iter().any(|line| line["text"].as_str().unwrap().contains('\n')));
            let bob = manifest.participants.iter().find(|person| person.id == "p-bob").unwrap();
            assert_eq!(bob.names, ["Bob", "Bob (he/him)"]);
        }
        _ => {}
    }
}
