//! The permissions of files that a server makes and finds: readable for the owner only.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use meetbot::{JobStatus, NewJob};
use tempfile::TempDir;

use crate::program::{Running, client, create_key, meetbot, mixed, run, serve};

/// A command of the program in a shell with the umask 0.
fn with_umask_0(command: &Command) -> Command {
    let mut open = Command::new("sh");
    open.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(command.get_program());
    open.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => open.env(name, value),
            None => open.env_remove(name),
        };
    }
    open
}

/// Everything under a folder, and the folder itself.
fn all_under(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(all_under(&path)) } else { found.push(path) }
    }
    found
}

#[track_caller]
fn only_the_owner_can_read(folder: &Path) {
    for path in all_under(folder) {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{} has mode {mode:03o}", path.display());
    }
}

fn open_to_all(folder: &Path) {
    for path in all_under(folder) {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn all_files_of_a_server_are_private() {
    let parent = TempDir::new().unwrap();
    let data = parent.path().join("new/data");
    let mut command = meetbot();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
    let (server, started) = Running::start(&mut with_umask_0(&command));
    let (key, _) = create_key(&data, &[]);
    let client = client(started["url"].as_str().unwrap(), &key);
    // One with chat, captions and a mix; and one whose bot is lost, so that the next attempt copies what the first one recorded.
    let jobs = ["chatty", "bot-crashes?seconds=3"].map(|scenario| {
        let meeting_url = format!("https://sandbox.meetbot.dev/{scenario}");
        client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id
    });
    for job in &jobs {
        let ended = client.wait_for_bot(job, None).unwrap();
        assert_eq!(ended.status, JobStatus::Completed, "{ended:#?}");
        assert!(mixed(&client, job).mixed.file.is_some(), "it has a mix");
    }
    let backup = data.join("backup.db");
    let mut command = meetbot();
    command.args(["backup", "--data-dir"]).arg(&data).arg(&backup);
    let output = run(&mut with_umask_0(&command));
    assert_eq!(output.code, Some(0), "{output:?}");
    let names: Vec<String> = all_under(&data)
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    for name in [
        "meetbot.db",
        "meetbot.db-wal",
        "lock",
        "events.jsonl",
        "manifest.json",
        "chat.jsonl",
        "audio.mixed.webm",
        "backup.db",
        "e2",
    ] {
        assert!(names.iter().any(|found| found == name), "{name} is not there: {names:?}");
    }
    only_the_owner_can_read(&data);
    only_the_owner_can_read(&parent.path().join("new"));

    // As `cp -r` restores it, the recordings on another disk.
    server.kill();
    let disk = parent.path().join("disk");
    fs::rename(data.join("recordings"), &disk).unwrap();
    symlink(&disk, data.join("recordings")).unwrap();
    open_to_all(&data);
    let doctor = || {
        let mut command = meetbot();
        run(command.args(["doctor", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data))
    };
    let output = doctor();
    assert!(output.out.contains("warn  recordings"), "{output:?}");
    let (server, _) = serve(&data, None);
    only_the_owner_can_read(&disk);
    for name in ["", "meetbot.db", "lock"] {
        let mode = fs::metadata(data.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    assert!(doctor().out.contains("ok    recordings"));
    server.kill();

    // A disk that is not meetbot's alone.
    fs::write(disk.join("photos"), b"").unwrap();
    open_to_all(&disk);
    let error = refused_by_server_and_doctor(&data, "recordings");
    assert!(error.contains("chmod 700") && error.contains("recordings"), "{error}");
}

/// Why a server does not start on a data folder; `doctor` has to report the same text.
#[track_caller]
fn refused_by_server_and_doctor(data: &Path, check: &str) -> String {
    let run_on = |program: &str| {
        let mut command = meetbot();
        run(command.args([program, "--listen", "127.0.0.1:0", "--data-dir"]).arg(data))
    };
    let (server, doctor) = (run_on("serve"), run_on("doctor"));
    assert_eq!(server.code, Some(1), "{server:?}");
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    let error = server.err.trim().trim_start_matches("error: ").to_owned();
    let found = format!("FAIL  {check:<12}  {error}");
    assert!(doctor.out.contains(&found), "{error}\n{doctor:?}");
    error
}

#[test]
fn doctor_reports_the_servers_error_for_a_refused_folder() {
    let parent = TempDir::new().unwrap();
    let parent = parent.path().canonicalize().unwrap();
    let data = parent.join("data");
    fs::create_dir(&data).unwrap();
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    // Others may enter the folder, and it holds other things.
    fs::write(data.join("notes.txt"), b"").unwrap();
    set(&data, 0o755);
    let error = refused_by_server_and_doctor(&data, "data folder");
    assert!(error.contains("chmod 700") && error.contains("--data-dir"), "{error}");
    set(&data, 0o700);
    // Its database lies behind a link that leads nowhere.
    symlink(parent.join("no disk"), data.join("meetbot.db")).unwrap();
    refused_by_server_and_doctor(&data, "data folder");
    fs::remove_file(data.join("meetbot.db")).unwrap();
    // Something else has the name of its lock.
    fs::remove_file(data.join("lock")).unwrap();
    fs::create_dir(data.join("lock")).unwrap();
    refused_by_server_and_doctor(&data, "data folder");
    fs::remove_dir(data.join("lock")).unwrap();
    // A link to recordings that lie among other things.
    let shared = parent.join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("photos"), b"").unwrap();
    set(&shared, 0o755);
    symlink(&shared, data.join("recordings")).unwrap();
    refused_by_server_and_doctor(&data, "recordings");
    assert_eq!(fs::metadata(&shared).unwrap().permissions().mode() & 0o777, 0o755);
    // Modes that a server corrects at its start are a warning.
    set(&shared, 0o700);
    fs::write(data.join("lock"), b"").unwrap();
    set(&data.join("lock"), 0o644);
    let mut command = meetbot();
    let output = run(command.args(["doctor", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data));
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.out.contains("warn  data folder") && output.out.contains("lock"), "{output:?}");
}
