//! Profiles of accounts that are signed in. A browser runs on a copy, so that bots of one account do not share a folder and a killed browser leaves the profile as it was. What the
//! browser has changed is put back after a meeting, since sites renew their cookies.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// The parts of a profile that are kept: cookies, what pages have stored, and settings. Saved passwords, the history and caches are not.
const KEPT: [&str; 6] = [
    "Local State",
    "Default/Preferences",
    "Default/Cookies",
    "Default/Cookies-journal",
    "Default/Network",
    "Default/Local Storage",
];
/// Where Chromium has the cookies, by version.
const COOKIES: [&str; 2] = ["Default/Cookies", "Default/Network/Cookies"];
/// A cookie that Google sets for who is signed in. The names of cookies are not encrypted.
const OF_GOOGLE: &[u8] = b"SAPISID";

/// The file with a profile's cookies, if it has one.
pub fn cookies_of(profile: &Path) -> Option<PathBuf> {
    COOKIES.iter().map(|name| profile.join(name)).find(|path| path.is_file())
}

/// Whether a profile has the cookie of somebody who is signed in to Google. Google may have ended that session.
pub fn is_signed_in_to_google(profile: &Path) -> io::Result<bool> {
    let Some(cookies) = cookies_of(profile) else { return Ok(false) };
    Ok(fs::read(cookies)?.windows(OF_GOOGLE.len()).any(|bytes| bytes == OF_GOOGLE))
}

/// Saves the parts of a browser's profile that are kept as the profile of an account, in place of an older one. It is whole at every moment.
///
/// # Errors
/// It has no cookies, or a file cannot be read or written.
pub fn save_profile(from: &Path, account: &Path) -> io::Result<()> {
    if cookies_of(from).is_none() {
        let why = format!("{} is no profile of Chromium with cookies", from.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    if let Some(parent) = account.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let lock = lock_file(account)?;
    lock.lock()?;
    let next = account.with_extension("next");
    match fs::remove_dir_all(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    copy_kept(from, &next)?;
    if account.exists() {
        renameat_with(CWD, &next, CWD, account, RenameFlags::EXCHANGE)?;
        fs::remove_dir_all(&next)
    } else {
        fs::rename(&next, account)
    }
}

/// Copies the profile of an account into the empty profile of a browser.
pub(super) fn copy_profile(account: &Path, to: &Path) -> io::Result<()> {
    let lock = lock_file(account)?;
    lock.lock_shared()?;
    copy_kept(account, to)
}

/// The file that is locked while a profile is read or replaced.
fn lock_file(account: &Path) -> io::Result<File> {
    let path = account.with_extension("lock");
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn copy_kept(from: &Path, to: &Path) -> io::Result<()> {
    for part in KEPT {
        if let Some(parent) = to.join(part).parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        copy(&from.join(part), &to.join(part))?;
    }
    Ok(())
}

/// Copies a file or a folder, if it exists. Links are left out.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
    } else if found.is_file() {
        let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut File::open(from)?, &mut written)?;
        written.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use tempfile::TempDir;

    use super::*;

    /// A browser's profile with this text as its cookies.
    fn profile(cookies: &str) -> TempDir {
        let folder = TempDir::new().unwrap();
        fs::create_dir_all(folder.path().join("Default/Local Storage/leveldb")).unwrap();
        for (name, text) in [
            ("Local State", "{}"),
            ("Default/Cookies", cookies),
            ("Default/Login Data", "a password"),
            ("Default/History", "a page"),
            ("Default/Local Storage/leveldb/000003.log", "a key"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        symlink("/etc/passwd", folder.path().join("Default/Local Storage/link")).unwrap();
        folder
    }

    fn files(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![folder.to_owned()];
        while let Some(next) = open.pop() {
            let about = fs::symlink_metadata(&next).unwrap();
            assert_eq!(about.mode() & 0o077, 0, "{}", next.display());
            if about.is_dir() {
                open.extend(fs::read_dir(&next).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                found.push(next.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_saved_profile_is_private_and_has_no_passwords_or_history() {
        let data = TempDir::new().unwrap();
        let account = data.path().join("accounts/notes");
        save_profile(profile("SAPISID first").path(), &account).unwrap();
        let kept = ["Default/Cookies", "Default/Local Storage/leveldb/000003.log", "Local State"];
        assert_eq!(files(&account), kept);
        assert!(is_signed_in_to_google(&account).unwrap());
        // A newer one takes its place, and nothing else is left beside it.
        save_profile(profile("second").path(), &account).unwrap();
        assert_eq!(fs::read_to_string(account.join("Default/Cookies")).unwrap(), "second");
        assert!(!is_signed_in_to_google(&account).unwrap());
        assert_eq!(files(account.parent().unwrap()).len(), kept.len() + 1, "and the lock");
    }

    #[test]
    fn a_browser_gets_a_copy_and_a_folder_without_cookies_is_refused() {
        let data = TempDir::new().unwrap();
        let account = data.path().join("notes");
        assert!(save_profile(data.path(), &account).is_err() && !account.exists());
        save_profile(profile("first").path(), &account).unwrap();
        let browser = TempDir::new().unwrap();
        copy_profile(&account, browser.path()).unwrap();
        fs::write(browser.path().join("Default/Cookies"), "second").unwrap();
        assert_eq!(fs::read_to_string(account.join("Default/Cookies")).unwrap(), "first");
    }
}
