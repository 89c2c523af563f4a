//! Tests wait for a signal, or poll with `poll_until`; a fixed pause is not allowed.

use crate::{files_under, sources, without_tests};

/// The exceptions: files whose tests pause, and why. The Go SDK's tests are not searched: most of them run in simulated time (`synctest`).
const ALLOWED: [(&str, &str); 28] = [
    ("crates/testkit/src/polling.rs", "it is `poll_until`"),
    ("crates/testkit/src/hostile_server/mod.rs", "a flood lasts as long as its test says"),
    ("crates/bot/tests/it/janus/proxy.rs", "packets are held up on their way"),
    ("crates/cli/tests/it/stopped.rs", "a lease runs out while the server is stopped"),
    ("crates/cli/tests/it/suspended.rs", "a server is stopped for a while"),
    ("crates/cli/tests/it/cluster.rs", "the database cuts connections every 5 ms"),
    ("crates/cli/tests/it/servers/dead.rs", "a server is stopped for a while"),
    ("crates/cli/tests/it/janus.rs", "the server is killed at a random moment"),
    ("crates/cli/tests/it/cluster_kills/faults.rs", "faults come and go at random moments"),
    ("crates/cli/tests/it/load.rs", "the server is killed at a random moment"),
    ("crates/cli/tests/it/backup_rounds.rs", "a backup is made at a random moment"),
    ("crates/cli/tests/it/disk_lost.rs", "a lease would run out while the database is away"),
    ("crates/cli/tests/it/postgres/away.rs", "a lease would run out while the database is away"),
    ("crates/cli/tests/it/disk_full.rs", "files do not grow for 5 s"),
    ("crates/cli/tests/it/restore.rs", "nothing happens in a paused database"),
    ("crates/cli/tests/it/postgres/restored.rs", "nothing happens in a paused database"),
    ("crates/cli/tests/it/bots_in_one_room.rs", "nobody leaves"),
    ("crates/cli/tests/it/pause.rs", "the scenario runs by the clock, and nothing is recorded"),
    ("crates/cli/tests/it/bad_input.rs", "a key is refused within a second of its end"),
    ("crates/cli/tests/it/hostile.rs", "a consumer calls every 20 ms"),
    ("crates/cli/tests/it/browsers/chromium.rs", "a page looks again by itself"),
    ("crates/imitation/tests/chromium/browser.rs", "a page looks again by itself"),
    ("sdks/python/tests/test_streams.py", "the loop has one turn"),
    ("sdks/python/tests/test_gevent.py", "turns of the hub are counted"),
    ("sdks/python/tests/test_processes.py", "no signal says how far the runtime's thread is"),
    ("sdks/typescript/test/streams.test.ts", "it is about a race with a timer"),
    ("sdks/typescript/test/cancelling.test.ts", "what is given up ends before a timer"),
    ("sdks/typescript/test/conformance.ts", "it asks again as a user does"),
];

/// The calls that pause.
const WAITS: [&str; 4] = ["park_timeout(", "sleep(", "sleep_until(", "setTimeout"];

#[test]
fn tests_let_no_time_pass_but_where_it_is_said_why() {
    let rust = sources().into_iter().map(|(name, text)| {
        let whole = ["crates/testkit/src/"].iter().any(|folder| name.starts_with(folder))
            || name.contains("/tests/");
        let code = if whole { text } else { text[without_tests(&text).len()..].to_owned() };
        (name, code)
    });
    let python = files_under(&["sdks/python/tests"], "py");
    let typescript = files_under(&["sdks/typescript/test"], "ts");
    let mut waiting = Vec::new();
    for (name, code) in rust.chain(python).chain(typescript) {
        // This file contains the words.
        if !name.starts_with("xtask/tests/tidy") && WAITS.iter().any(|wait| code.contains(wait)) {
            let allowed = ALLOWED.iter().any(|(file, _)| *file == name);
            assert!(
                allowed,
                "{name}: a test waits for a signal, or with `poll_until`; or say why not here"
            );
            waiting.push(name);
        }
    }
    for (file, why) in ALLOWED {
        let waits = waiting.iter().any(|name| name == file);
        assert!(waits, "{file} ({why}) lets no time pass any more: take it from the list");
    }
}
