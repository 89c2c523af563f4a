//! Keys and servers that workers are refused with, and the errors.

use std::fs;

use meetbot::{Request, blocking::MeetBot};
use meetbot_testkit::scripted::{Reply, Server};
use meetbot_types::work::VERSION;
use serde_json::json;
use tempfile::TempDir;

use super::{Setup, key_file};
use crate::program::{CommandOutput, client, create, meetbot, run};

fn refused(output: &CommandOutput, code: i32, words: &[&str]) {
    assert_eq!(output.code, Some(code), "{output:?}");
    for word in words {
        assert!(output.err.contains(word), "{word} is missing in {output:?}");
    }
}

#[test]
fn a_worker_reports_wrong_settings_at_its_start() {
    let setup = Setup::new();
    let (_server, url) = setup.serve(0);
    let data = setup.data.path();
    let works = |servers: &str, key: &std::path::Path, data: &std::path::Path| {
        let mut command = meetbot();
        command.args(["worker", "--servers", servers, "--key-file"]).arg(key);
        run(command.arg("--data-dir").arg(data))
    };
    let writer = key_file(data, &["--scope", "write"]);
    refused(&works(&url, &writer, data), 1, &["`write`", "`worker`", "--scope worker"]);
    let operator = key_file(data, &["--scope", "operator"]);
    let other = TempDir::new().unwrap();
    refused(&works(&url, &operator, other.path()), 1, &["data folder", "--data-dir", &url]);
    let unknown = data.join("unknown");
    fs::write(&unknown, format!("mb_live_{}", "x".repeat(48))).unwrap();
    refused(&works(&url, &unknown, data), 1, &["--key-file", "not known"]);
    fs::write(&unknown, "").unwrap();
    refused(&works(&url, &unknown, data), 2, &["holds no key", "keys create"]);
    refused(&works(&url, &data.join("missing"), data), 1, &["--key-file", "missing"]);
    let key = &setup.worker_key;
    refused(&works(&url, key, other.path()), 1, &["data folder", "--data-dir", &url]);
    refused(&works("meetbot.example.com", key, data), 2, &["is not the URL of a server"]);
    let (server, away) = setup.serve_elsewhere();
    server.kill();
    refused(&works(&away, key, data), 1, &["no server answers", &away]);
    let page = Server::start(vec![Reply::answer(200, &[], "<html>")]).unwrap();
    refused(&works(&page.url(), key, data), 1, &["no meetbot server", &page.url()]);
    let body = json!({"error": "no_such_path", "message": "there is nothing", "requestId": "r"});
    let older = Reply::answer(404, &[("content-type", "application/json")], &body.to_string());
    let older = Server::start(vec![older]).unwrap();
    refused(&works(&older.url(), key, data), 1, &["older than this program", "upgrade"]);
    let output = run(meetbot()
        .args(["keys", "create", "--test", "--scope", "worker", "--data-dir"])
        .arg(data));
    refused(&output, 2, &["--live"]);
}

/// Status and error code of the answer to a POST.
fn asked(client: &MeetBot, path: &str, body: &serde_json::Value) -> (u16, String) {
    let request = Request::new("POST", path).unwrap().json(body.to_string());
    match client.request(request) {
        Ok(answer) => (answer.status(), String::new()),
        Err(error) => {
            let code = error.code().map(ToString::to_string);
            (error.status().unwrap_or(0), code.unwrap_or_default())
        }
    }
}

#[test]
fn worker_keys_only_work_for_workers_and_others_do_not() {
    let setup = Setup::new();
    let (_server, url) = setup.serve(0);
    let worker = json!({"version": VERSION, "worker": "w1", "folder": meetbot_orchestrator::name_of(setup.data.path())});
    let with = |more: serde_json::Value| {
        let mut all = worker.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let job = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ";
    // The last two are of workers with data folders of their own.
    let calls = [
        ("/api/v1/work/claim", with(json!({"room": 0})), (200, "")),
        ("/api/v1/work/gone", json!({"jobId": job, "epoch": 1}), (200, "")),
        ("/api/v1/work/beat", with(json!({})), (200, "")),
        ("/api/v1/work/spool", with(json!({"jobs": [job]})), (409, "conflict")),
        ("/api/v1/work/uploaded", with(json!({"jobId": job, "nonce": "n"})), (409, "conflict")),
    ];
    for scope in ["read", "write", "admin", "operator", "worker"] {
        let (key, _) = create("--live", setup.data.path(), &["--scope", scope]);
        let client = client(&url, &key);
        let works = matches!(scope, "operator" | "worker");
        for (path, body, answer) in &calls {
            let expected = if works { *answer } else { (403, "forbidden") };
            let (status, code) = asked(&client, path, body);
            assert_eq!((status, code.as_str()), expected, "{scope} {path}");
        }
    }
    let (test, _) = create("--test", setup.data.path(), &["--scope", "admin"]);
    let nobody = format!("mb_live_{}", "x".repeat(48));
    for (path, body, _) in &calls {
        assert_eq!(asked(&client(&url, &test), path, body).0, 403, "{path}");
        assert_eq!(asked(&client(&url, &nobody), path, body).0, 401, "{path}");
    }
    let own = client(&url, fs::read_to_string(&setup.worker_key).unwrap().trim());
    assert!(own.list_bots(&meetbot::ListBots::default()).is_err());
    assert_eq!(
        asked(&own, "/api/v1/jobs", &json!({"meetingUrl": "https://sandbox.meetbot.dev/x"})).0,
        403
    );
    assert_eq!(asked(&own, "/api/v1/admin/keys", &json!({"consumer": "a", "live": true})).0, 403);
    for (body, status) in [
        (with(json!({"version": VERSION - 1, "room": 0})), 409),
        (with(json!({"worker": "", "room": 0})), 400),
        (with(json!({"worker": "a/b", "room": 0})), 400),
        (with(json!({"worker": "w".repeat(65), "room": 0})), 400),
        (with(json!({"folder": "another", "room": 0})), 409),
        (json!({}), 400),
    ] {
        assert_eq!(asked(&own, "/api/v1/work/claim", &body).0, status, "{body}");
    }
}
