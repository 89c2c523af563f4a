//! `meetbot doctor` on PostgreSQL: what it finds, and that it changes nothing.

use serde_json::Value;
use tempfile::TempDir;
use xtask::postgres::Postgres;

use crate::{
    doctor::check,
    program::{CommandOutput, create_with, meetbot, run, serve_with},
};

fn doctor(data: &TempDir, store: &str, more: &[&str]) -> CommandOutput {
    let mut command = meetbot();
    command.args(["doctor", "--json", "--listen", "127.0.0.1:0", "--store", store, "--data-dir"]);
    run(command.arg(data.path()).args(more))
}

/// All findings of the database: their states, and what was found.
fn findings(output: &CommandOutput) -> Vec<(String, String)> {
    let report = output.json();
    let all = report["checks"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.filter(|check| check["check"] == "database")
        .map(|check| (text(&check["state"]), text(&check["found"])))
        .collect()
}

#[test]
fn doctor_examines_a_database_and_leaves_it_as_it_is() {
    let (data, database) = (TempDir::new().unwrap(), Postgres::start());
    database.sql("postgres", &["CREATE ROLE ann LOGIN", "CREATE DATABASE meetbot OWNER ann"]);
    let socket = database.socket().replace('/', "%2F");
    let store = format!("postgres://ann@{socket}/meetbot");
    let tables =
        || database.sql("meetbot", &["SELECT count(*) FROM pg_class WHERE relname = 'jobs'"]);

    let output = doctor(&data, &store, &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let first = &findings(&output)[0];
    assert!(first.0 == "ok" && first.1.contains("made at the first start"), "{first:?}");
    assert_eq!(tables(), "0", "doctor makes no tables");

    // Beside a server, whose live keys count where loopback is open.
    let settings = [("MEETBOT_STORE_URL", store.as_str())];
    let (server, _) = serve_with(data.path(), None, &settings);
    create_with("--live", data.path(), &[], &settings);
    let output = doctor(&data, &store, &["--dev"]);
    let first = &findings(&output)[0];
    assert!(first.1.contains("this program can work on it; a server on "), "{first:?}");
    let (state, found, _) = check(&output, "loopback");
    assert!(state == "warn" && found.contains("1 live keys"), "{found}");
    assert_eq!(server.terminate(), Some(0));
    let first = &findings(&doctor(&data, &store, &[]))[0];
    assert!(first.1.contains("no server runs on it"), "{first:?}");

    // Each danger is a finding more than that of this database, whose fsync may be off.
    let dangers = |store: &str| findings(&doctor(&data, store, &[]))[1..].to_vec();
    let before = dangers(&store).len();
    let finds = |statement: &str, undo: &str, state: &str, found: &str| {
        database.sql("postgres", &[statement, "SELECT pg_reload_conf()"]);
        let all = dangers(&store);
        assert_eq!(all.len(), before + 1, "{statement}: {all:?}");
        let is = |it: &&(String, String)| it.0 == state && it.1.contains(found);
        assert!(all.iter().any(|it| is(&it)), "{statement}: {all:?}");
        database.sql("postgres", &[undo, "SELECT pg_reload_conf()"]);
    };
    let names = |names: &str| format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
    finds(
        "ALTER ROLE ann CONNECTION LIMIT 9",
        "ALTER ROLE ann CONNECTION LIMIT -1",
        "warn",
        "a server needs 16",
    );
    finds(&names("other"), &names(""), "fail", "every write waits");

    // Tables of an older program, and of another user.
    let steps = "SELECT steps FROM meetbot_schema";
    let now = database.sql("meetbot", &[steps]);
    database.sql("meetbot", &["UPDATE meetbot_schema SET steps = 1"]);
    let first = &findings(&doctor(&data, &store, &[]))[0];
    assert!(first.1.contains("an older meetbot's tables"), "{first:?}");
    assert_eq!(database.sql("meetbot", &[steps]), "1", "doctor migrates nothing");
    database.sql("meetbot", &[&format!("UPDATE meetbot_schema SET steps = {now}")]);
    database.sql("postgres", &["CREATE ROLE ben LOGIN", "GRANT pg_read_all_data TO ben"]);
    let output = doctor(&data, &format!("postgres://ben@{socket}/meetbot"), &[]);
    let (state, found, _) = check(&output, "database");
    assert!(state == "fail" && found.contains("belong to another user"), "{found}");
    assert_eq!(output.code, Some(1));
}
