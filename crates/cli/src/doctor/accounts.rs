//! The accounts as which bots join: whether somebody has signed in, and who can read the profiles.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use meetbot_bot::{cookies_of, is_signed_in_to_google};
use meetbot_orchestrator::{Accounts, profile_folder};
use meetbot_types::Timestamp;

use super::Finding;
use crate::output::counted;

const ACCOUNT: &str = "account";
/// The permission bits of group and others.
const OTHERS: u32 = 0o077;

/// A finding for each account of the settings.
pub(super) fn look(accounts: &Accounts, data_dir: &Path, now: Timestamp) -> Vec<Finding> {
    accounts
        .iter()
        .map(|(name, account)| {
            let places = counted(account.bots.into(), "bot");
            judge(name, &format!("at most {places} at once"), &profile_folder(data_dir, name), now)
        })
        .collect()
}

fn judge(name: &str, places: &str, profile: &Path, now: Timestamp) -> Finding {
    let sign_in = format!("run `meetbot browser login google --account {name}`");
    let Some(cookies) = cookies_of(profile) else {
        return Finding::warn(ACCOUNT, format!("{name}: nobody has signed in yet"), sign_in);
    };
    match is_signed_in_to_google(profile) {
        Ok(true) => {}
        Ok(false) => {
            return Finding::warn(ACCOUNT, format!("{name}: its profile is signed out"), sign_in);
        }
        Err(error) => {
            let found = format!("{name}: {}: {error}", cookies.display());
            return Finding::warn(ACCOUNT, found, "make it readable for the server's user");
        }
    }
    let is_open = |path: &Path| fs::metadata(path).is_ok_and(|about| about.mode() & OTHERS != 0);
    if let Some(open) = [profile, &cookies].into_iter().find(|path| is_open(path)) {
        return Finding::warn(
            ACCOUNT,
            format!("{name}: others on this machine may be able to read {}", open.display()),
            format!("chmod -R go= {}", profile.display()),
        );
    }
    let changed = fs::metadata(&cookies).and_then(|about| about.modified());
    let changed = changed.ok().and_then(|changed| changed.duration_since(UNIX_EPOCH).ok());
    let now = Duration::from_millis(now.as_millis().unsigned_abs());
    let age = changed.map(|changed| now.saturating_sub(changed));
    let age = age.map_or_else(String::new, |age| format!(", its cookies are of {}", ago(age)));
    Finding::ok(
        ACCOUNT,
        format!(
            "{name}: signed in{age}, {places}; `meetbot doctor join LINK --account {name}` shows whether Google agrees"
        ),
    )
}

fn ago(age: Duration) -> String {
    match age.as_secs() / 3_600 {
        0 => "this hour".to_owned(),
        hours @ 1..48 => format!("{} ago", counted(hours, "hour")),
        hours => format!("{} ago", counted(hours / 24, "day")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{super::State, *};

    #[test]
    fn a_profile_is_judged_by_its_cookies_and_modes() {
        let data = tempfile::tempdir().unwrap();
        let profile = data.path().join("notes");
        let now = Timestamp::UNIX_EPOCH + Duration::from_hours(500_000);
        let judged = || judge("notes", "at most 1 bot at once", &profile, now);
        assert!(judged().found.contains("nobody has signed in"));
        fs::create_dir_all(profile.join("Default")).unwrap();
        let cookies = profile.join("Default/Cookies");
        fs::write(&cookies, "SID").unwrap();
        assert!(judged().found.contains("signed out"));
        assert!(judged().remedy.unwrap().contains("browser login google --account notes"));
        fs::write(&cookies, "SAPISID").unwrap();
        fs::set_permissions(&cookies, fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(&profile, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!((judged().state, judged().found.contains("Cookies")), (State::Warn, true));
        fs::set_permissions(&cookies, fs::Permissions::from_mode(0o600)).unwrap();
        let before = UNIX_EPOCH + Duration::from_hours(500_000 - 5);
        fs::OpenOptions::new().write(true).open(&cookies).unwrap().set_modified(before).unwrap();
        let found = judged();
        assert_eq!(found.state, State::Ok, "{found:?}");
        assert!(found.found.contains("of 5 hours ago, at most 1 bot at once"), "{found:?}");
    }

    #[test]
    fn an_age_is_in_hours_and_then_in_days() {
        let hours = |hours| ago(Duration::from_hours(hours));
        assert_eq!([hours(0), hours(5), hours(72)], ["this hour", "5 hours ago", "3 days ago"]);
    }
}
