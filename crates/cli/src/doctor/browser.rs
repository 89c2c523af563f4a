//! The requirements of bots in browsers: Chromium and its dependencies.

use std::path::Path;

use meetbot_bot::{Machine, available, chromium_version, landmarks_of, user_namespaces};
use meetbot_types::{Missing, Via, bot::BrowserSettings};
use rustix::fs::statvfs;

use super::Finding;
use crate::output::{counted, size};

const CHROMIUM: &str = "chromium";
const SANDBOX: &str = "sandbox";
const MEMORY: &str = "shared memory";
const LANDMARKS: &str = "landmarks";
/// The space that a browser in a meeting needs there, with a margin.
const SHARED_BY_A_BROWSER: u64 = 256_000_000;

/// All checks, where browsers are switched on.
pub(super) fn look(settings: Option<&BrowserSettings>, max_browsers: usize) -> Vec<Finding> {
    let Some(settings) = settings else {
        return vec![switched_off(chromium_version(&BrowserSettings::default()))];
    };
    let ways = available(&Machine::look(), Some(settings));
    let missing =
        ways.into_iter().filter(|way| way.via == Via::Browser).flat_map(|way| way.missing);
    let mut findings = judge_programs(chromium_version(settings).as_deref(), missing.collect());
    findings.push(match landmarks_of(settings) {
        Ok(day) => Finding::ok(LANDMARKS, format!("those of {day}")),
        Err(unusable) => Finding::fail(
            LANDMARKS,
            format!("bots.browser.landmarks_dir: {unusable}"),
            "a server does not start like this: mend the file, or leave the setting empty for the landmarks that are built in",
        ),
    });
    if !settings.no_sandbox {
        findings.push(judge_sandbox(has_helper(settings), user_namespaces()));
    }
    let folder = std::env::temp_dir();
    let free = statvfs(&folder).ok().map(|about| about.f_bavail.saturating_mul(about.f_frsize));
    findings.extend(free.map(|free| judge_memory(&folder, free, max_browsers)));
    findings
}

fn switched_off(version: Option<String>) -> Finding {
    let found =
        version.map_or("it is not on PATH".to_owned(), |version| format!("Chromium {version}"));
    Finding::ok(CHROMIUM, format!("{found}; no bot needs it while bots.browser.enabled is false"))
}

fn judge_programs(version: Option<&str>, missing: Vec<Missing>) -> Vec<Finding> {
    if missing.is_empty() {
        return vec![Finding::ok(
            CHROMIUM,
            format!("Chromium {}", version.unwrap_or("of no known version")),
        )];
    }
    let remedy = "no bot joins with a browser like this: GET /api/v1/platforms says the same";
    missing.into_iter().map(|one| Finding::fail(CHROMIUM, one.message, remedy)).collect()
}

/// Whether a helper with the set-user-ID bit lies beside the program, which needs no user namespaces.
fn has_helper(settings: &BrowserSettings) -> bool {
    let beside = settings
        .binary
        .as_deref()
        .and_then(Path::parent)
        .map(|folder| folder.join("chrome-sandbox"));
    let known = ["/usr/lib/chromium/chrome-sandbox", "/opt/google/chrome/chrome-sandbox"];
    let is_set_uid = |helper: &Path| {
        rustix::fs::stat(helper).is_ok_and(|about| about.st_uid == 0 && about.st_mode & 0o4000 != 0)
    };
    known.iter().map(Path::new).chain(beside.as_deref()).any(is_set_uid)
}

fn judge_sandbox(has_helper: bool, namespaces: Option<bool>) -> Finding {
    match (has_helper, namespaces) {
        (true, _) => Finding::ok(SANDBOX, "Chromium has its helper with the set-user-ID bit"),
        (false, Some(true)) => Finding::ok(SANDBOX, "Chromium may have user namespaces"),
        (false, Some(false)) => Finding::warn(
            SANDBOX,
            "Chromium may have no user namespaces, which its sandbox is made of, and has no helper with the set-user-ID bit",
            "install Debian's chromium-sandbox, or allow them (sysctl kernel.unprivileged_userns_clone=1; on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0), or accept that with bots.browser.no_sandbox",
        ),
        (false, None) => {
            Finding::ok(SANDBOX, "whether Chromium may have user namespaces is unknown")
        }
    }
}

/// Bots run Chromium with its shared memory in the temporary folder (`--disable-dev-shm-usage`), since `/dev/shm` has 64 MB in most containers.
fn judge_memory(folder: &Path, free: u64, max_browsers: usize) -> Finding {
    let wanted = SHARED_BY_A_BROWSER.saturating_mul(max_browsers as u64);
    let found = format!(
        "{} free in {}, where Chromium keeps it (not in /dev/shm)",
        size(free),
        folder.display()
    );
    if free >= wanted {
        return Finding::ok(MEMORY, found);
    }
    let browsers = counted(max_browsers as u64, "browser");
    let remedy =
        format!("make room for {} ({browsers}), or name another folder in TMPDIR", size(wanted));
    Finding::warn(MEMORY, found, remedy)
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn without_browser_bots_no_check_of_chromium_fails() {
        for version in [None, Some("156.0.1".to_owned())] {
            assert_eq!(switched_off(version).state, State::Ok);
        }
    }

    #[test]
    fn each_missing_requirement_of_a_browser_fails_with_a_remedy() {
        let missing = ["no_setpriv", "chromium_as_root"]
            .map(|code| Missing { code: code.to_owned(), message: format!("{code}: install it") });
        let findings = judge_programs(None, missing.to_vec());
        assert_eq!(findings.len(), 2);
        assert!(findings.iter().all(|finding| finding.state == State::Fail));
        assert_eq!(judge_programs(Some("156.0"), Vec::new())[0].found, "Chromium 156.0");
    }

    #[test]
    fn a_sandbox_needs_namespaces_or_its_helper() {
        assert_eq!(judge_sandbox(true, Some(false)).state, State::Ok);
        assert_eq!(judge_sandbox(false, Some(true)).state, State::Ok);
        assert_eq!(judge_sandbox(false, None).state, State::Ok);
        let warned = judge_sandbox(false, Some(false));
        assert_eq!(warned.state, State::Warn);
        assert!(warned.remedy.unwrap().contains("chromium-sandbox"));
    }

    #[test]
    fn too_little_shared_memory_is_reported_with_the_required_size() {
        let judged = |free| judge_memory(Path::new("/tmp"), free, 4);
        assert_eq!(judged(1_024_000_000).state, State::Ok);
        let warned = judged(1_023_999_999);
        assert_eq!(warned.state, State::Warn);
        assert!(warned.found.contains("/tmp") && warned.remedy.unwrap().contains("TMPDIR"));
    }
}
