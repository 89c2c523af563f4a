//! `meetbot platforms`.

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{create_key, create_live_key, meetbot, run, serve};

#[test]
fn platforms_are_listed_with_their_missing_requirements() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let list = |key: &str, more: &[&str]| {
        let mut command = meetbot();
        command.arg("platforms").args(more);
        let output = run(command.env("MEETBOT_API_KEY", key).env("MEETBOT_API_BASE_URL", &url));
        assert_eq!(output.code, Some(0), "{output:?}");
        output.out
    };
    let real = create_live_key(data.path());
    let text = list(&real, &[]);
    let line = |platform: &str| text.lines().find(|line| line.starts_with(platform)).unwrap();
    assert!(line("google-meet").contains("bots.browser.enabled"), "{text}");
    assert!(line("zoom-web").contains("[zoom.apps.NAME]"), "{text}");
    assert!(line("teams").contains("no bot"), "{text}");
    assert!(line("janus").contains("yes"), "{text}");
    let (played, _) = create_key(data.path(), &[]);
    for line in list(&played, &["--json"]).lines() {
        let way: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&way["via"], &way["joinable"]), (&"sandbox".into(), &true.into()), "{way}");
    }
}
