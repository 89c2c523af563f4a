//! Backups at random moments, each restored and compared.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use meetbot::{JobStatus, ListBots, ListDeliveries, NewJob, Webhooks, blocking::MeetBot};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{
    CommandOutput, await_job, create_key, manifest_of, meetbot, mixed, run, serve,
};

/// Dumps a database without the names of its feeds: a restored database has new ones, so that it refuses older cursors.
const DUMP: &str = "
import sqlite3, sys
held = sqlite3.connect(':memory:')
sqlite3.connect(sys.argv[1]).backup(held)
assert held.execute(\"UPDATE feeds SET origin = ''\").rowcount
print(chr(10).join(held.iterdump()))
";

pub(crate) fn backup(data: &Path, file: &Path) -> CommandOutput {
    run(meetbot().args(["backup", "--json", "--data-dir"]).arg(data).arg(file))
}

pub(crate) fn restore(file: &Path, data: &Path, more: &[&str]) -> CommandOutput {
    run(meetbot().args(["restore", "--json"]).arg(file).arg("--data-dir").arg(data).args(more))
}

pub(crate) fn dispatch(client: &MeetBot, scenario: &str, webhook: Option<&str>) -> String {
    let webhook = webhook.map(ToOwned::to_owned);
    let webhooks = webhook.map(|url| Webhooks { on_finalize: Some(url), ..Webhooks::default() });
    let meeting_url = format!("https://sandbox.meetbot.dev/{scenario}");
    client.dispatch_bot(NewJob { meeting_url, webhooks, ..NewJob::default() }).unwrap().id
}

/// The names in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every file below a folder, by its path in it.
fn files(folder: &Path, within: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for name in names(folder) {
        let (path, name) = (folder.join(&name), format!("{within}{name}"));
        if path.is_dir() {
            files(&path, &format!("{name}/"), found);
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
}

pub(crate) fn recordings(data: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    files(&data.join("recordings"), "", &mut found);
    found
}

/// A job that has ended, its deliveries with every try, and its timeline.
pub(crate) fn of_job(client: &MeetBot, id: &str) -> Value {
    let filter = ListDeliveries { job_id: Some(id.to_owned()), ..ListDeliveries::default() };
    let deliveries = client.deliveries(&filter).unwrap();
    serde_json::json!([
        client.get_bot(id).unwrap(),
        deliveries.data,
        client.events(id, None).unwrap().data
    ])
}

/// The keys, but for when each was used last.
pub(crate) fn keys(data: &Path) -> Vec<Value> {
    let output = run(meetbot().args(["keys", "list", "--json", "--data-dir"]).arg(data));
    assert_eq!(output.code, Some(0), "{output:?}");
    let key = |line: &str| {
        let mut key: Value = serde_json::from_str(line).unwrap();
        key.as_object_mut().unwrap().remove("lastUsedAt");
        key
    };
    output.out.lines().map(key).collect()
}

/// The content of a database's file.
fn held(file: &Path) -> Vec<u8> {
    let dumped = Command::new("python3").args(["-c", DUMP]).arg(file).output().unwrap();
    assert!(dumped.status.success(), "{dumped:?}");
    dumped.stdout
}

/// Backs a server up at a random moment of its meetings, stops or kills it, restores that, and starts the next server on it.
pub(crate) fn rounds(rounds: u32) {
    let home = TempDir::new().unwrap();
    let mut data = home.path().join("0");
    let mut ended: Vec<String> = Vec::new();
    let mut key = String::new();
    for round in 1..=rounds {
        let (server, url) = serve(&data, None);
        if round == 1 {
            key = create_key(&data, &[]).0;
        }
        create_key(&data, &["--consumer", &format!("consumer-{round}")]);
        let client = crate::program::client(&url, &key);
        // Nothing listens there: its tries are in the ledger.
        let webhook = Some("http://127.0.0.1:9/");
        let done = dispatch(&client, "ends?seconds=1", webhook);
        client.wait_for_bot(&done, None).unwrap();
        // Nothing writes into the recordings of jobs that have ended after their mixes are made.
        mixed(&client, &done);
        ended.push(done);
        let running = dispatch(&client, "two-speakers?seconds=600", webhook);
        // Two speakers' files have been begun.
        await_job(&client, &running, |job| job.status == JobStatus::Recording);
        std::thread::park_timeout(Duration::from_millis(
            u64::from(random()) * 300 / u64::from(u32::MAX),
        ));
        let file = home.path().join(format!("{round}.db"));
        let output = backup(&data, &file);
        assert_eq!(output.code, Some(0), "{output:?}");
        let wanted_keys = keys(&data);
        if random().is_multiple_of(2) {
            server.kill();
        } else {
            assert_eq!(server.terminate(), Some(0));
        }
        let next = home.path().join(round.to_string());
        let output = restore(&file, &next, &["--end-running"]);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!(output.json()["jobs"], 2 * u64::from(round), "{output:?}");
        assert_eq!(keys(&next), wanted_keys);
        // What the database of the backup holds is what the restored one holds.
        let again = home.path().join(format!("{round}-again.db"));
        let output = restore(&file, &home.path().join(format!("{round}-again")), &[]);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!(backup(&home.path().join(format!("{round}-again")), &again).code, Some(0));
        assert!(held(&again) == held(&file), "round {round}");
        let copied = Command::new("cp")
            .args(["-a"])
            .args([data.join("recordings"), next.clone()])
            .status()
            .unwrap();
        assert!(copied.success());
        let kept = recordings(&data);
        assert_eq!(recordings(&next), kept, "round {round}");

        let (server, url) = serve(&next, None);
        let after = crate::program::client(&url, &key);
        let ids: Vec<String> =
            after.bots(&ListBots::default()).map(|job| job.unwrap().id).collect();
        assert!(ended.iter().chain([&running]).all(|id| ids.contains(id)), "{ids:?}");
        let job = after.wait_for_bot(&running, None).unwrap();
        assert_eq!(job.status, JobStatus::Failed, "{job:#?}");
        assert_eq!(
            job.failure_code.map(|code| code.to_string()).as_deref(),
            Some("internal_error")
        );
        assert!(!mixed(&after, &running).tracks.is_empty());
        for id in &ended {
            assert_eq!(after.get_bot(id).unwrap().unwrap().status, JobStatus::Completed);
            for file in manifest_of(&after, id).files {
                assert_eq!(after.artifact(id, &file.name).unwrap().len() as u64, file.bytes);
            }
        }
        assert_eq!(server.terminate(), Some(0));
        data = next;
    }
}

fn random() -> u32 {
    let mut file = fs::File::open("/dev/urandom").unwrap();
    let mut bytes = [0; 4];
    std::io::Read::read_exact(&mut file, &mut bytes).unwrap();
    u32::from_le_bytes(bytes)
}
