//! A key gives no access to loopback unless the operator has allowed it.

use std::{net::TcpListener, path::Path, sync::mpsc};

use meetbot::{Error, ErrorKind, Job, ListDeliveries, NewJob, Webhooks, blocking::MeetBot};
use meetbot_testkit::scripted::Receiver;
use tempfile::TempDir;

use crate::program::{
    PATIENCE, client, create_key, create_live_key, meetbot, run, serve, serve_by_default,
};

/// A program on loopback that counts connections; returns its port.
fn program_on_loopback() -> (u16, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, visits) = mpsc::channel();
    std::thread::spawn(move || {
        for _visitor in listener.incoming() {
            if sender.send(()).is_err() {
                return;
            }
        }
    });
    (port, visits)
}

fn with_webhook(client: &MeetBot, url: &str) -> Result<Job, Error> {
    client.dispatch_bot(NewJob {
        meeting_url: "https://sandbox.meetbot.dev/no-such-meeting".to_owned(),
        webhooks: Some(Webhooks { on_status_change: None, on_finalize: Some(url.to_owned()) }),
        ..NewJob::default()
    })
}

fn meets(client: &MeetBot, host: &str) -> Result<Job, Error> {
    let meeting_url = format!("janus+ws://{host}/path?room=1");
    client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() })
}

#[test]
fn by_default_no_webhook_and_no_meeting_reaches_loopback() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve_by_default(data.path(), &[]);
    let (test, live) = (create_key(data.path(), &[]).0, create_live_key(data.path()));
    let (test, live) = (client(&url, &test), client(&url, &live));
    let (port, visits) = program_on_loopback();
    for host in ["127.0.0.1", "127.9.9.9", "2130706433", "localhost", "[::1]", "[::ffff:127.0.0.1]"]
    {
        let host = format!("{host}:{port}");
        let by_webhook = with_webhook(&test, &format!("http://{host}/hook"));
        for (refused, setting) in
            [(by_webhook, "webhooks.allow_networks"), (meets(&live, &host), "bots.allow_networks")]
        {
            let refused = refused.expect_err(&host);
            assert_eq!(refused.kind(), ErrorKind::Validation, "{host}: {refused}");
            let output = refused.to_string();
            assert!(output.contains("meetbot serve --dev") && output.contains(setting), "{output}");
        }
    }
    assert!(visits.try_recv().is_err(), "somebody came");
}

/// A webhook arrives, a bot comes, and the ledger shows the status of the answer alone.
fn is_open(data: &Path, url: &str) {
    let (test, live) = (create_key(data, &[]).0, create_live_key(data));
    let (test, live) = (client(url, &test), client(url, &live));
    let mut receiver = Receiver::start([]).unwrap();
    let job = with_webhook(&test, &receiver.url).unwrap();
    receiver.wait();
    let list = ListDeliveries { job_id: Some(job.id), ..ListDeliveries::default() };
    let tried = loop {
        let delivery = test.deliveries(&list).unwrap().data.remove(0);
        if let Some(tried) = delivery.tries.into_iter().next() {
            break tried;
        }
    };
    assert_eq!((tried.status, tried.answer), (Some(200), None));
    let (port, visits) = program_on_loopback();
    meets(&live, &format!("127.0.0.1:{port}")).unwrap();
    visits.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn in_development_webhooks_and_meetings_reach_loopback() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    is_open(data.path(), &url);
}

#[test]
fn webhooks_and_meetings_reach_loopback_if_allow_networks_lists_it() {
    let data = TempDir::new().unwrap();
    let settings = [
        ("MEETBOT_WEBHOOKS_ALLOW_NETWORKS", "127.0.0.0/8"),
        ("MEETBOT_BOTS_ALLOW_NETWORKS", "127.0.0.1"),
    ];
    let (_server, url) = serve_by_default(data.path(), &settings);
    is_open(data.path(), &url);
}

#[test]
fn in_development_a_server_listens_on_loopback_only() {
    let data = TempDir::new().unwrap();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let mut command = meetbot();
        command.args(["serve", "--dev", "--listen", listen, "--data-dir"]).arg(data.path());
        let output = run(&mut command);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.err.contains("--dev") && output.err.contains(listen), "{output:?}");
        let mut command = meetbot();
        command.args(["serve", "--listen", listen, "--data-dir"]).arg(data.path());
        let output = run(command.env("MEETBOT_SERVER_DEVELOPMENT", "true"));
        assert_eq!(output.code, Some(2), "{output:?}");
    }
    assert!(!data.path().join("meetbot.db").exists(), "nothing was begun");
}

#[test]
fn open_loopback_beside_live_keys_is_a_warning_in_the_log_and_of_doctor() {
    let data = TempDir::new().unwrap();
    let doctor = |more: &[&str]| {
        let mut command = meetbot();
        command.args(["doctor", "--json", "--listen", "127.0.0.1:0", "--data-dir"]);
        let report = run(command.arg(data.path()).args(more)).json();
        let checks = report["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["check"] == "loopback").unwrap()
    };
    let log = |name: &str, value: &str| {
        let (server, _) = serve_by_default(data.path(), &[(name, value)]);
        server.terminate_with_log().1
    };
    let warning = "can make this server call programs on loopback";
    create_key(data.path(), &[]);
    assert_eq!(doctor(&["--dev"])["state"], "ok", "there are only test keys");
    assert!(!log("MEETBOT_SERVER_DEVELOPMENT", "true").contains(warning));
    create_live_key(data.path());
    assert_eq!(doctor(&[])["state"], "ok", "it is closed");
    assert!(!log("MEETBOT_WEBHOOKS_ALLOW_NETWORKS", "10.0.0.0/8").contains(warning));
    let warns = doctor(&["--dev"]);
    assert_eq!(warns["state"], "warn");
    assert!(warns["found"].as_str().unwrap().contains("server.development"), "{warns}");
    for (name, value) in [
        ("MEETBOT_SERVER_DEVELOPMENT", "true"),
        ("MEETBOT_WEBHOOKS_ALLOW_NETWORKS", "10.0.0.0/8,127.0.0.1"),
        ("MEETBOT_BOTS_ALLOW_NETWORKS", "::1"),
    ] {
        assert!(log(name, value).contains(warning), "{name}");
    }
}
