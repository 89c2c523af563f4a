//! Tests with a browser that is killed in a meeting.

use std::path::Path;

use meetbot_imitation::{Action, Imitation, Observed, Scenario, Signal};
use meetbot_types::{ControlAction, JobStatus, bot::BotReport};

use crate::{
    google_meet::{evidence, has_chromium, order, says, step},
    orchestrator::{Fixture, command, ended},
};

/// The processes of this test's browsers, with their groups.
fn groups(imitation: &Imitation) -> Vec<(i32, String)> {
    let address = imitation.address().to_string();
    let read = |path: &Path, name: &str| {
        std::fs::read(path.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let group = |path: &Path| -> Option<i32> {
        let stat = read(path, "stat").ok()?;
        // After the name: state, parent, group.
        stat.rsplit_once(") ")?.1.split(' ').nth(2)?.parse().ok()
    };
    let paths: Vec<_> =
        std::fs::read_dir("/proc").unwrap().map(|one| one.unwrap().path()).collect();
    let leads = |path: &&std::path::PathBuf| {
        read(path, "cmdline").is_ok_and(|command| command.contains(&address))
    };
    let of_browsers: Vec<_> = paths.iter().filter(leads).filter_map(|path| group(path)).collect();
    let members =
        paths.iter().filter(|path| group(path).is_some_and(|it| of_browsers.contains(&it)));
    let process = |path: &std::path::PathBuf| {
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        Some((pid, read(path, "cmdline").ok()?))
    };
    members.filter_map(process).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_uses_too_much_memory_is_replaced() {
    if !has_chromium() {
        return;
    }
    let imitation = meetbot_imitation::serve(Scenario::default()).await.unwrap();
    let fixture = Fixture::start().await;
    let mut order = order(&fixture, &imitation);
    if let Some(browser) = &mut order.browser {
        browser.memory_mb = 60;
    }
    let bot = Fixture::run(order);
    let reconnecting =
        |all: &[BotReport]| all.iter().filter(|it| matches!(it, BotReport::Reconnecting)).count();
    fixture.wait_until(|all| reconnecting(all) == 2).await;
    fixture.command(command(1, ControlAction::LeaveCall, None));
    bot.finish().await;
    assert_eq!(groups(&imitation), vec![]);
    imitation.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_browser_is_replaced_and_the_gap_is_in_the_manifest() {
    if !has_chromium() {
        return;
    }
    let admits = step(Signal::Knocked, &[Action::Admit]);
    let steps = vec![admits.clone(), admits.clone(), admits];
    let imitation =
        meetbot_imitation::serve(Scenario { steps, ..Scenario::default() }).await.unwrap();
    let fixture = Fixture::start().await;
    let bot = Fixture::run(order(&fixture, &imitation));
    // First the process of its page, then all of its processes.
    for (killed, visits) in [("--type=renderer", 1), ("--remote-debugging-pipe", 2), ("", 3)] {
        imitation.until(|seen| seen.visits as usize == visits && seen.joined).await;
        let admitted = |report: &&BotReport| matches!(report, BotReport::Admitted);
        fixture.wait_until(|all| all.iter().filter(admitted).count() == visits).await;
        let before = imitation.observed().sent.get("Ann Host").copied().unwrap_or_default();
        imitation.act(says("Ann Host", 1_500));
        let after = move |seen: &Observed| seen.sent.get("Ann Host") >= Some(&(before + 75));
        imitation.until(after).await;
        if killed.is_empty() {
            break;
        }
        let processes = groups(&imitation);
        let victims: Vec<_> = processes.iter().filter(|one| one.1.contains(killed)).collect();
        assert!(!victims.is_empty(), "{processes:#?}");
        for (pid, _) in victims {
            let pid = rustix::process::Pid::from_raw(*pid).unwrap();
            // Some end together with the first one.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    imitation.act(Action::End);
    bot.finish().await;
    assert_eq!(groups(&imitation), vec![]);
    let (ending, _) = ended(&fixture.take_reports());
    assert_eq!(ending.status, JobStatus::Completed);
    let manifest = fixture.manifest(1);
    assert!(!manifest.complete, "{manifest:#?}");
    let ann = manifest.participants.iter().find(|one| one.name == "Ann Host").unwrap();
    let tracks = manifest.tracks.iter().filter(|track| track.participant_id == ann.id);
    let gaps = tracks.flat_map(|track| &track.gaps).filter(|gap| gap.reason == "network_loss");
    assert_eq!(gaps.count(), 2, "{manifest:#?}");
    assert!(evidence(&fixture).is_empty(), "it was in each time");
    imitation.stop().await;
}
