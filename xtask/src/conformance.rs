//! One story in four languages against a real server: what each SDK's program prints must be `spec/conformance.txt`, byte for byte.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use xtask::{spec_file, test_log};

use crate::{cargo, go, python, server::Server, step, typescript};

/// The expected output of all SDKs. `UPDATE=1` rewrites it with the output of the Rust SDK.
const OUTCOME: &str = "spec/conformance.txt";

/// Builds all SDKs and runs their stories.
pub(crate) fn test() -> anyhow::Result<()> {
    python::build_programs()?;
    python::build()?;
    typescript::prepare()?;
    test_with_sdks()
}

/// [`test`] where the Python and the TypeScript package are built already.
pub(crate) fn test_with_sdks() -> anyhow::Result<()> {
    // All of the workspace, so that nothing is built with other features than the tests.
    let rust = ["build", "--workspace", "--example", "conformance", "--locked"];
    step("conformance in Rust", cargo(&rust))?;
    let rust = Command::new(python::target().join("debug/examples/conformance"));
    let stories = [
        ("rust", rust),
        ("python", python::story()?),
        ("typescript", typescript::story()),
        ("go", go::story()?),
    ];
    crate::timed("conformance", || run(stories))
}

fn run(stories: [(&str, Command); 4]) -> anyhow::Result<()> {
    let folder = spec_file::path("target/conformance");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let (log, _) = test_log::create("conformance");
    let server = Server::start(folder.join("data"), log)?;
    let mut running = Vec::new();
    for (language, mut story) in stories {
        // Lists, quotas and the erasure at the end are of a consumer.
        let consumer = format!("conformance-{language}");
        let (admin, reader) = (server.key(&consumer, "admin")?, server.key(&consumer, "read")?);
        story.env("MEETBOT_API_BASE_URL", &server.url).env("MEETBOT_API_KEY", admin.key);
        story.env("MEETBOT_WEBHOOK_SECRET", admin.webhook_secret);
        story.env("MEETBOT_READ_KEY", reader.key).env("MEETBOT_CONSUMER", consumer);
        let story = story.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        running.push((language, story.with_context(|| format!("{language} does not start"))?));
    }
    let mut outcomes = Vec::new();
    for (language, story) in running {
        let ended = story.wait_with_output()?;
        fs::write(folder.join(language).with_extension("txt"), &ended.stdout)?;
        outcomes.push((language, ended));
    }
    server.stop()?;
    for (language, ended) in outcomes {
        let printed = String::from_utf8_lossy(&ended.stdout);
        if !ended.status.success() {
            bail!("the story in {language} failed, {}, after\n{printed}", ended.status);
        }
        if language == "rust" && std::env::var_os("UPDATE").is_some() {
            fs::write(spec_file::path(OUTCOME), printed.as_bytes())?;
        }
        let expected = fs::read_to_string(spec_file::path(OUTCOME)).unwrap_or_default();
        if let Some(difference) = difference(&expected, &printed) {
            bail!(
                "{language} prints something else than {OUTCOME} (all of it is in {}):\n{difference}",
                folder.display()
            );
        }
    }
    Ok(())
}

/// The first line that differs, of both.
fn difference(expected: &str, printed: &str) -> Option<String> {
    if expected == printed {
        return None;
    }
    let (mut ours, mut theirs) = (expected.lines(), printed.lines());
    for number in 1.. {
        let (expected, printed) = (ours.next(), theirs.next());
        if expected != printed || expected.is_none() {
            let line = |line: Option<&str>| line.unwrap_or("(nothing more)").to_owned();
            return Some(format!("line {number}\n- {}\n+ {}", line(expected), line(printed)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn the_first_line_that_differs_is_shown() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\nb\n", "a\nc\n").unwrap(), "line 2\n- b\n+ c");
        assert_eq!(difference("a\n", "a\nb\n").unwrap(), "line 2\n- (nothing more)\n+ b");
        let end = "line 2\n- (nothing more)\n+ (nothing more)";
        assert_eq!(difference("a\n", "a").unwrap(), end, "a line that does not end differs too");
    }
}
