//! `meetbot webhooks`: the ledger from the command line.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
};

use meetbot::{NewJob, Webhooks};
use meetbot_testkit::scripted::Receiver;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{CommandOutput, Running, client, create_key, meetbot, run, serve};

#[test]
fn a_dead_delivery_is_listed_shown_and_redelivered() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let mut receiver = Receiver::start([410]).unwrap();
    let job = client(&url, &key)
        .dispatch_bot(NewJob {
            meeting_url: "https://sandbox.meetbot.dev/no-such-meeting".to_owned(),
            webhooks: Some(Webhooks {
                on_status_change: None,
                on_finalize: Some(receiver.url.clone()),
            }),
            ..NewJob::default()
        })
        .unwrap();
    let first = receiver.wait().json();
    let webhooks = |arguments: &[&str]| -> CommandOutput {
        let mut command: Command = meetbot();
        command
            .env("MEETBOT_API_KEY", &key)
            .env("MEETBOT_API_BASE_URL", &url)
            .args(["--json", "webhooks"]);
        run(command.args(arguments))
    };
    let id = job.id.clone();
    let dead = loop {
        let said = webhooks(&["list", "--job", &id, "--state", "dead"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        if !said.out.is_empty() {
            break said.json();
        }
    };
    assert_eq!(dead["id"], first["deliveryId"]);
    let shown = webhooks(&["show", first["deliveryId"].as_str().unwrap()]).json();
    assert_eq!(
        (&shown["tries"][0]["status"], &shown["tries"][0]["answer"]),
        (&410.into(), &Value::Null),
        "what an endpoint on loopback answers is not shown"
    );
    let again = webhooks(&["redeliver", "--dead", "--job", &id]);
    assert_eq!((again.code, &again.json()["id"]), (Some(0), &dead["id"]), "{again:?}");
    let second = receiver.wait().json();
    assert_eq!((&second["deliveryId"], &second["attempt"]), (&first["deliveryId"], &2.into()));
    let url = receiver.url.clone();
    let url = url.as_str();
    let all = webhooks(&["redeliver", "--endpoint", url, "--since", "1h"]);
    assert_eq!((all.code, &all.json()["count"]), (Some(0), &1.into()), "{all:?}");
    let third = receiver.wait().json();
    assert_eq!((&third["deliveryId"], &third["attempt"]), (&first["deliveryId"], &3.into()));
    let tested = webhooks(&["test", url]);
    assert_eq!((tested.code, &tested.json()["delivered"]), (Some(0), &true.into()), "{tested:?}");
    assert_eq!(receiver.wait().json()["event"], "webhook.test");
    let nobody = webhooks(&["test", "http://127.0.0.1:1/"]);
    assert_eq!((nobody.code, &nobody.json()["delivered"]), (Some(1), &false.into()), "{nobody:?}");
    for wrong in [
        &["redeliver", "--endpoint", url][..],
        &["redeliver", "--since", "1h"],
        &["redeliver", "--endpoint", url, "--since", "yesterday"],
        &["redeliver", "--endpoint", url, "--since", "1h", "--dead"],
        &["test"],
    ] {
        assert_eq!(webhooks(wrong).code, Some(2), "{wrong:?}");
    }
    let unknown = webhooks(&["show", "dlv_01KAB1CDEFGHJKMNPQRSTVWXYZ"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("there is no delivery"), "{unknown:?}");
}

#[test]
fn a_secret_is_shown_and_rotated_with_one_overlap_at_a_time() {
    let data = TempDir::new().unwrap();
    let (_, first) = create_key(data.path(), &[]);
    let webhooks = |arguments: &[&str]| -> CommandOutput {
        run(meetbot()
            .arg("webhooks")
            .args(arguments)
            .arg("--json")
            .arg("--data-dir")
            .arg(data.path()))
    };
    assert_eq!(webhooks(&["secret"]).json()["webhookSecret"], *first);
    let rotated = webhooks(&["rotate"]).json();
    assert_eq!(rotated["previousSecret"], *first);
    assert_eq!(webhooks(&["secret"]).json(), rotated);
    let refused = webhooks(&["rotate", "--overlap", "1h"]);
    assert!(refused.code == Some(1) && refused.err.contains("under way"), "{refused:?}");
    let cut = webhooks(&["rotate", "--overlap", "0"]).json();
    assert_eq!(cut["previousSecret"], Value::Null);
    let secrets = [&first.into(), &rotated["webhookSecret"], &cut["webhookSecret"]];
    assert!(secrets[0] != secrets[1] && secrets[1] != secrets[2] && secrets[2] != secrets[0]);
    assert_eq!(webhooks(&["secret", "--consumer", "nobody"]).code, Some(2));
}

/// Posts to a receiver; returns the head and the body of its response.
fn post(url: &str, headers: &str, body: &str) -> (String, String) {
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "POST /webhook HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n"
    );
    stream.write_all(format!("{head}{headers}\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn the_receiver_accepts_each_secret_forwards_and_reports_by_its_exit_code() {
    let mut app = Receiver::start([422]).unwrap();
    let mut command = meetbot();
    command
        .args([
            "webhooks",
            "listen",
            "--listen",
            "127.0.0.1:0",
            "--count",
            "3",
            "--forward-to",
            &app.url,
        ])
        .env("MEETBOT_WEBHOOK_SECRET", "whsec_b2xk,whsec_bmV3\n");
    let (mut receiver, started) = Running::start(&mut command);
    let url = started["url"].as_str().unwrap();
    let body = r#"{"note":"of a newer server"}"#;
    for (secret, number, answer) in [
        ("whsec_bmV3", 2, "HTTP/1.1 422 Unprocessable Entity"),
        ("whsec_b2xk", 1, "HTTP/1.1 200 OK"),
    ] {
        let signature = meetbot_types::signature::sign(body.as_bytes(), secret);
        let (status, said) = post(url, &format!("X-Meetbot-Signature: {signature}\r\n"), body);
        assert_eq!((status.as_str(), said.as_str()), (answer, "thanks"));
        assert_eq!(app.wait().json()["note"], "of a newer server");
        let shown = receiver.next();
        assert_eq!(
            (&shown["verified"], &shown["signatures"]["meetbot"]["good"]),
            (&true.into(), &number.into())
        );
    }
    assert_eq!(post(url, "", body).0, "HTTP/1.1 401 Unauthorized");
    assert!(app.so_far().is_empty(), "what is refused is not handed on");
    assert_eq!(receiver.next()["signatures"]["standard"], "missing");
    assert_eq!(receiver.child.wait().unwrap().code(), Some(1));
    for wrong in ["mb_live_x", "whsec_b2xk,", "whsec_b2xk,whsec_mb_live_x"] {
        let usage = run(meetbot().args(["webhooks", "listen", "--secret", wrong]));
        assert!(usage.code == Some(2) && !usage.err.contains("mb_live_x"), "{usage:?}");
    }
}
