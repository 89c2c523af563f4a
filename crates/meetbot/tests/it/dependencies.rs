//! The dependencies of the SDK, and TLS without a crypto provider of the process.

use std::{collections::BTreeSet, process::Command};

/// The present number, with a small margin: a commit that adds to it says why.
const MOST_CRATES: usize = 130;

/// The crates that a user compiles, by name.
fn tree() -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "meetbot",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .args(["--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let names = String::from_utf8(tree.stdout).unwrap();
    names
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn a_user_compiles_few_crates_and_none_of_the_servers() {
    let crates = tree();
    assert!(crates.len() <= MOST_CRATES, "{} crates: {crates:?}", crates.len());
    for servers in ["axum", "rusqlite", "str0m", "utoipa", "clap", "openssl", "ring", "meetbot-bot"]
    {
        assert!(!crates.contains(servers), "{servers}");
    }
}

#[test]
fn tls_needs_no_provider_of_the_process() {
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    meetbot::MeetBot::builder()
        .api_key("mb_test_x")
        .base_url("https://127.0.0.1:1")
        .build()
        .unwrap();
}
