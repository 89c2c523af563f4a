//! The table of addresses that a tenant can make the server and its bots connect to, computed from the rules and written into docs/operations.md.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use meetbot_types::{Availability, Platform, Timestamp, Via};
use reqwest::dns::Resolve as _;
use serde_json::json;
use url::{Host, Url};

use crate::{
    config::{Config, SettingsFile},
    egress::{Guard, GuardedResolver, Lookup},
    jobs::create::{CreationRules, create},
};

/// The settings of a server, as a column names them.
const SETTINGS: [(&str, &str); 4] = [
    ("default, on loopback behind a proxy", "[server]\nlisten = \"127.0.0.1:3010\""),
    ("default, on a public address", "[server]\nlisten = \"0.0.0.0:3010\""),
    ("`--dev`", "[server]\ndevelopment = true"),
    (
        "`allow_networks = [\"10.1.0.0/16\"]`",
        "[webhooks]\nallow_networks = [\"10.1.0.0/16\"]\n[bots]\nallow_networks = [\"10.1.0.0/16\"]",
    ),
];

/// Hosts of one kind; the rules decide equally for all of them.
const HOSTS: [(&str, &[&str]); 6] = [
    (
        "loopback",
        &["127.0.0.1", "127.255.255.254", "2130706433", "localhost", "[::1]", "[::ffff:127.0.0.1]"],
    ),
    ("private: 10.1.0.0/16", &["10.1.2.3", "[::ffff:10.1.2.3]"]),
    (
        "private: all else",
        &["10.2.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "[fc00::1]", "[::ffff:10.2.0.1]"],
    ),
    ("link-local", &["169.254.1.1", "[fe80::1]"]),
    (
        "metadata of clouds",
        &["169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "[fd00:ec2::254]"],
    ),
    ("public", &["93.184.216.34", "[2606:4700::1111]"]),
];

/// The addresses of a host in [`HOSTS`].
fn address(host: &str) -> IpAddr {
    match Url::parse(&format!("http://{host}/")).unwrap().host().unwrap() {
        Host::Ipv4(address) => address.into(),
        Host::Ipv6(address) => address.into(),
        Host::Domain(_) => [127, 0, 0, 1].into(),
    }
}

/// Whether a webhook may name this host, and may be connected to where another name leads there.
async fn webhook(config: &Config, host: &str) -> &'static str {
    let guard = Arc::new(Guard::new(config.webhook_address_policy()));
    let there = SocketAddr::new(address(host), 80);
    let lookup: Lookup = Arc::new(move |_| Box::pin(async move { Ok(vec![there]) }));
    let resolver = GuardedResolver::new(Arc::clone(&guard), lookup);
    let by_name = resolver.resolve("hooks.example.com".parse().unwrap()).await.is_ok();
    let named = guard.check(&format!("http://{host}:8080/hook")).is_ok();
    assert_eq!(by_name, named, "{host}: a name leads around the rule, or not where it may");
    match (named, Guard::shows_answers_of(there)) {
        (false, _) => "no",
        (true, true) => "yes",
        (true, false) => "yes; its answer is not shown",
    }
}

/// Whether a live key's meeting may be at this host.
fn meeting(config: &Config, host: &str) -> &'static str {
    let terms = CreationRules {
        live: true,
        available: &[Availability {
            platform: Platform::Janus,
            via: Via::Native,
            experimental: false,
            missing: Vec::new(),
        }],
        accounts: &[],
        scenario: |_| Ok(()),
        guard: &Guard::new(config.webhook_address_policy()),
        meetings: &config.meeting_address_policy(),
        start_within: Duration::from_mins(10),
        now: Timestamp::UNIX_EPOCH,
    };
    let body = json!({"meetingUrl": format!("janus+ws://{host}:8188/?room=1234")});
    match create(&body.to_string(), &terms) {
        Ok(_) => "yes",
        Err(issues) => {
            assert!(issues.iter().all(|issue| issue.code == "address_not_allowed"), "{issues:?}");
            "no"
        }
    }
}

/// Whether a bot may send media to this address: it asks what its order says.
fn media(config: &Config, host: &str) -> &'static str {
    if config.meeting_address_policy().allows(address(host)) { "yes" } else { "no" }
}

#[tokio::test]
async fn the_documented_table_of_reachable_addresses_is_that_of_the_code() {
    let configs = SETTINGS.map(|(_, file)| {
        Config::load(Some(SettingsFile { name: "a file", text: file }), |_| None).unwrap()
    });
    let mut lines = vec![
        format!("| what | leads to | {} |", SETTINGS.map(|(name, _)| name).join(" | ")),
        format!("| --- | --- |{}", " --- |".repeat(SETTINGS.len())),
    ];
    for what in ["a webhook", "a meeting's link", "a meeting's media candidate"] {
        for (kind, hosts) in HOSTS {
            let mut cells = Vec::new();
            for config in &configs {
                let mut answers = Vec::new();
                for host in hosts {
                    answers.push(match what {
                        "a webhook" => webhook(config, host).await,
                        "a meeting's link" => meeting(config, host),
                        _ => media(config, host),
                    });
                }
                assert!(
                    answers.iter().all(|answer| *answer == answers[0]),
                    "{what}, {kind}: {answers:?}"
                );
                cells.push(answers[0]);
            }
            lines.push(format!("| {what} | {kind} | {} |", cells.join(" | ")));
        }
    }
    xtask::spec_file::check_part(
        "docs/operations.md",
        "reach of a tenant",
        &(lines.join("\n") + "\n"),
    );
}
