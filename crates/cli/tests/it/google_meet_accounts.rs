//! Accounts with Debian's Chromium in the imitation of Google Meet: a person signs in, bots join as the account, and its login is lost.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use meetbot::{Error, FailureCode, Job, JobStatus, NewJob, blocking::MeetBot};
use meetbot_imitation::{Action, Imitation, Scenario, Signal, Step};
use tempfile::TempDir;

use crate::{
    google_meet::{has_chromium, led_to},
    program::{PATIENCE, await_job, client, create, meetbot, run, serve_with},
    scenarios::ending,
};

const ACCOUNT: &str = "Notes of Acme";
/// The value of the cookie by which the imitation knows the account's browsers.
const LOGIN: &str = "hush-hush-login";

/// A meeting of people who admit everybody; the page of a browser with this login shows the account.
fn scenario(login: &str) -> Scenario {
    let admits = || Step { on: Signal::Knocked, then: vec![Action::Admit] };
    Scenario {
        account: Some(ACCOUNT.to_owned()),
        login: Some(login.to_owned()),
        join_button: "Join now".to_owned(),
        steps: vec![admits(), Step { on: Signal::Left, then: Vec::new() }, admits()],
        ..Scenario::default()
    }
}

/// A Chromium for a person without a screen, who signs in and closes the window as soon as the file `done` exists.
fn window(chromium: &Path, folder: &Path) -> PathBuf {
    let program = folder.join("window-of-the-test");
    let script = format!(
        "#!/bin/sh
mkfifo '{folder}/pipe'
'{chromium}' --headless=new --remote-debugging-pipe \"$@\" 3<'{folder}/pipe' 4>/dev/null &
exec 9>'{folder}/pipe'
until [ -f '{folder}/done' ]; do sleep 0.1; done
printf '{{\"id\":1,\"method\":\"Browser.close\"}}\\0' >&9
wait $!
",
        chromium = chromium.display(),
        folder = folder.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn sign_in(imitation: &Imitation, data: &Path, tools: &Path, settings: &[(&str, &str)]) {
    let window = window(&led_to(imitation, tools), tools);
    let mut command = meetbot();
    command.args(["browser", "login", "google", "--json", "--data-dir"]).arg(data);
    command.envs(settings.iter().copied()).env("MEETBOT_BOTS_BROWSER_BINARY", window);
    command.env("DISPLAY", ":99").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let signed_in = imitation.until(|seen| seen.sign_ins > 0);
    let seen = runtime.block_on(async { tokio::time::timeout(PATIENCE, signed_in).await });
    fs::write(tools.join("done"), "").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(seen.is_ok() && output.status.success(), "{out} {err}");
    assert!(!(out + &err).contains(LOGIN));
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}

fn dispatch(client: &MeetBot, account: &str) -> Result<Job, Error> {
    client.dispatch_bot(NewJob {
        meeting_url: "https://meet.google.com/abc-mnop-xyz".to_owned(),
        account: Some(account.to_owned()),
        ..NewJob::default()
    })
}

#[test]
fn bots_join_as_an_account_one_after_another_until_its_login_is_lost() {
    if !has_chromium() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let imitation = runtime.block_on(meetbot_imitation::serve(scenario(LOGIN))).unwrap();
    let (data, tools) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let chromium = led_to(&imitation, tools.path());
    let config = tools.path().join("meetbot.toml");
    let consumer = "consumers = [\"acme\"]";
    fs::write(&config, format!("[bots.browser.accounts.notes]\n{consumer}")).unwrap();
    let settings = [
        ("MEETBOT_CONFIG", config.to_str().unwrap()),
        ("MEETBOT_BOTS_BROWSER_ENABLED", "true"),
        ("MEETBOT_BOTS_BROWSER_NO_SANDBOX", "true"),
        ("MEETBOT_BOTS_BROWSER_BINARY", chromium.to_str().unwrap()),
    ];
    let (_server, url) = serve_with(data.path(), None, &settings);
    let (key, _) = create("--live", data.path(), &["--consumer", "acme"]);
    let (others, _) = create("--live", data.path(), &["--consumer", "other"]);
    let acme = client(&url, &key);
    let refused = |client: &MeetBot, account: &str| {
        let refused = dispatch(client, account).unwrap_err().to_string();
        assert!(refused.contains("account"), "{refused}");
        refused
    };
    assert!(refused(&acme, "notes").contains("nobody has signed in"));
    sign_in(&imitation, data.path(), tools.path(), &settings);
    let profile = data.path().join("accounts/notes");
    for file in files(&profile) {
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o077, 0, "{}", file.display());
    }
    assert!(refused(&client(&url, &others), "notes").contains("may not use"));
    assert!(refused(&acme, "desk").contains("there is no account"));
    let doctor = || {
        let mut command = meetbot();
        command.args(["doctor", "--json", "--data-dir"]).arg(data.path());
        let checks = run(command.envs(settings)).json()["checks"].clone();
        let of_account = checks.as_array().unwrap().iter().find(|it| it["check"] == "account");
        of_account.unwrap()["found"].as_str().unwrap().to_owned()
    };
    assert!(doctor().starts_with("notes: signed in, its cookies are of this hour"), "{}", doctor());

    let jobs = [(), ()].map(|()| dispatch(&acme, "notes").unwrap());
    let [first, second] = jobs.map(|job| job.id);
    let inside = |job: &Job| matches!(job.status, JobStatus::InCall | JobStatus::Recording);
    let job = await_job(&acme, &first, |job| inside(job) || job.status.is_final());
    assert!(inside(&job) && job.account.as_deref() == Some("notes"), "{job:#?}");
    assert_eq!(imitation.observed().name.as_deref(), Some(ACCOUNT));
    let waits = acme.get_bot(&second).unwrap().unwrap();
    assert_eq!(
        (&waits.status, waits.status_detail.as_deref()),
        (&JobStatus::Queued, Some("at_account_limit"))
    );
    acme.leave_bot(&first).unwrap();
    assert_eq!(
        ending(&await_job(&acme, &first, |job| job.status.is_final())),
        "cancelled requested -"
    );
    let job = await_job(&acme, &second, |job| inside(job) || job.status.is_final());
    assert!(inside(&job), "{job:#?}");
    acme.leave_bot(&second).unwrap();
    await_job(&acme, &second, |job| job.status.is_final());
    let seen = imitation.observed();
    assert_eq!(seen.faults, []);
    // The second browser has the cookie that the first one got: what a site renews is kept.
    assert_eq!(seen.renewed, [None, Some("1".to_owned())]);
    runtime.block_on(imitation.stop());

    // The site has ended the session: it shows the page of a guest.
    let imitation = runtime.block_on(meetbot_imitation::serve(scenario("another"))).unwrap();
    led_to(&imitation, tools.path());
    let third = dispatch(&acme, "notes").unwrap().id;
    let job = await_job(&acme, &third, |job| job.status.is_final());
    assert_eq!(job.failure_code, Some(FailureCode::AuthFailure), "{job:#?}");
    let detail = job.failure_detail.unwrap();
    assert!(detail.contains("browser login google --account notes"), "{detail}");
    assert_eq!(imitation.observed().knocks, 0, "nobody asks to join as a guest");
    let names = acme.artifacts(&third).unwrap().into_iter().filter_map(|file| file.name);
    let evidence: Vec<String> = names.filter(|name| name.starts_with("evidence-")).collect();
    assert!(evidence.len() == 2, "{evidence:?}");
    for name in evidence {
        let bytes = acme.artifact(&third, &name).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("hush"), "{name}");
    }
    runtime.block_on(imitation.stop());
}

#[test]
fn without_a_screen_a_profile_is_made_elsewhere_and_brought() {
    let (data, tools) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let login = |more: &[&str]| {
        let mut command = meetbot();
        command.args(["browser", "login", "google", "--data-dir"]).arg(data.path()).args(more);
        run(command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY"))
    };
    let output = login(&["--account", "notes"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    for part in ["--out meetbot-account", "--account notes --profile meetbot-account"] {
        assert!(output.err.contains(part), "{output:?}");
    }
    for wrong in [&[][..], &["--account", "../notes"], &["--account", "a", "--out", "b"]] {
        assert_eq!(login(wrong).code, Some(2), "{wrong:?}");
    }
    let default = tools.path().join("Default");
    fs::create_dir(&default).unwrap();
    let brought = ["--account", "notes", "--profile", tools.path().to_str().unwrap()];
    assert!(login(&brought).err.contains("no profile of Chromium with cookies"));
    fs::write(default.join("Cookies"), "SAPISID").unwrap();
    let output = login(&brought);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.err.contains("[bots.browser.accounts.notes]"), "{output:?}");
    let kept = data.path().join("accounts/notes/Default/Cookies");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "SAPISID");
    assert_eq!(fs::metadata(kept).unwrap().mode() & 0o777, 0o600);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(data.path().join("accounts")), 0o700);
}
