//! The servers that this user has logged in to, each with its key, in a file of the user's configuration that only the user can read. Only the
//! commands of this program read it. No SDK does, so that a program never runs with the rights of the person who started it.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::output::{Output, Usage, table};

const FILE: &str = "credentials.toml";
/// The longest name of a profile: a host's name and a port.
const LONGEST_NAME: usize = 260;

/// A server with a key of it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) url: String,
    pub(crate) key: String,
    /// Certificates that are trusted beside the system's, as a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_bundle: Option<PathBuf>,
    pub(crate) consumer: String,
    pub(crate) world: String,
    pub(crate) scope: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<String>,
}

/// The content of the file.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Profiles {
    /// The name of the default profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// What to do with profiles.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the servers that you have logged in to.
    List,
    /// Say which of them commands use where neither --profile nor the environment names one.
    Default {
        /// Its name, as `profiles list` shows it.
        name: String,
    },
}

/// The folder of the user's configuration, after the XDG Base Directory Specification.
fn folder() -> anyhow::Result<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let config = config.ok_or_else(|| {
        Usage("there is no place for a login: set HOME, or XDG_CONFIG_HOME to a folder".to_owned())
    })?;
    Ok(config.join("meetbot"))
}

impl Profiles {
    /// Reads the file; empty where there was no login.
    pub(crate) fn read() -> anyhow::Result<Self> {
        // Without a home nobody has logged in.
        folder().map_or_else(|_| Ok(Self::default()), |folder| Self::read_from(&folder.join(FILE)))
    }

    fn read_from(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).context(format!("{shown} cannot be read")),
        };
        let mode = fs::metadata(path)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let message = format!(
                "{shown} holds keys and is open to others (mode {mode:03o}): chmod 600 {shown}"
            );
            return Err(Usage(message).into());
        }
        // The error of a TOML file quotes its line, which may hold a key.
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            let (what, line) = (error.message(), format!("{shown}, line {line}"));
            Usage(format!("{line}: {what}; mend it, or remove the file and log in again")).into()
        })
    }

    /// Changes the file. Concurrent commands wait for each other.
    pub(crate) fn change<T>(change: impl FnOnce(&mut Self) -> T) -> anyhow::Result<T> {
        let folder = folder()?;
        let path = folder.join(FILE);
        let at = || format!("{} cannot be written", path.display());
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder).with_context(at)?;
        let lock = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join("credentials.lock"))
            .with_context(at)?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).with_context(at)?;
        let mut profiles = Self::read_from(&path)?;
        let answer = change(&mut profiles);
        // A new file with the mode 0600 replaces the old one: a crash leaves one of them whole.
        let mut file = tempfile::NamedTempFile::new_in(&folder).with_context(at)?;
        file.write_all(toml::to_string(&profiles)?.as_bytes()).with_context(at)?;
        file.as_file().sync_all().with_context(at)?;
        file.persist(&path).with_context(at)?;
        Ok(answer)
    }

    /// The profile with this name.
    pub(crate) fn named(&self, name: &str) -> anyhow::Result<&Profile> {
        self.profiles.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
            let known = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
            Usage(format!("there is no profile {name:?} ({known}): `meetbot login --profile {name} --server URL` makes it")).into()
        })
    }

    /// The one of the server at this URL, as the SDK writes it: the default one rather than another.
    pub(crate) fn of_server(&self, url: &str) -> Option<&Profile> {
        let default = self.default.as_ref().and_then(|name| self.profiles.get(name));
        default.into_iter().chain(self.profiles.values()).find(|profile| profile.url == url)
    }

    /// The default name for a login to this server: its present name, or `default` for the first login, or the server's host.
    pub(crate) fn name_for(&self, url: &str) -> String {
        let before = self.profiles.iter().find(|(_, profile)| profile.url == url);
        match before {
            Some((name, _)) => name.clone(),
            None if self.profiles.is_empty() => "default".to_owned(),
            None => url.split("://").last().unwrap_or(url).to_owned(),
        }
    }
}

/// Why a profile's name is invalid.
pub(crate) fn name_problem(name: &str) -> Option<&'static str> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._:-/[]".contains(letter);
    let good = (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(plain);
    (!good).then_some("a profile's name has letters, digits, dots, hyphens and underscores")
}

/// Runs one of them.
pub(crate) fn run(command: &Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::List => list(output)?,
        Command::Default { name } => {
            Profiles::read()?.named(name)?;
            Profiles::change(|profiles| profiles.default = Some(name.clone()))?;
            output.object(&json!({"default": name}))?;
            output.remark(format_args!("commands use {name} now"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(output: Output) -> anyhow::Result<()> {
    let profiles = Profiles::read()?;
    let mut rows = Vec::new();
    for (name, profile) in &profiles.profiles {
        let Profile { url, consumer, world, scope, expires_at, .. } = profile;
        let is_default = profiles.default.as_ref() == Some(name);
        output.object(&json!({
            "profile": name, "default": is_default, "url": url, "consumer": consumer,
            "world": world, "scope": scope, "expiresAt": expires_at,
        }))?;
        let mark = if is_default { "*" } else { "" };
        let ends = expires_at.clone().unwrap_or_else(|| "-".to_owned());
        let cells = [mark, name, url, consumer, world, scope, &ends];
        rows.push(cells.map(ToOwned::to_owned).to_vec());
    }
    if rows.is_empty() {
        output.remark("You have logged in to no server: `meetbot login --server URL`");
        return Ok(());
    }
    let header = ["", "profile", "server", "consumer", "world", "scope", "ends"];
    output.lines(table(&header, &rows));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(url: &str) -> Profile {
        Profile {
            url: url.to_owned(),
            key: format!("mb_test_{}", "k".repeat(48)),
            ca_bundle: None,
            consumer: "acme".to_owned(),
            world: "test".to_owned(),
            scope: "write".to_owned(),
            expires_at: None,
        }
    }

    #[test]
    fn each_server_has_a_profile_name_of_its_host() {
        let mut profiles = Profiles::default();
        let (first, second) = ("http://127.0.0.1:3010", "https://meet.example.com");
        assert_eq!(profiles.name_for(first), "default");
        profiles.profiles.insert("default".to_owned(), profile(first));
        assert_eq!(profiles.name_for(first), "default");
        assert_eq!(profiles.name_for(second), "meet.example.com");
        assert!(name_problem(&profiles.name_for(second)).is_none());
        assert!(profiles.of_server(first).is_some() && profiles.of_server(second).is_none());
        assert!(profiles.named("staging").is_err());
        for wrong in ["", "a b", "a\nb", "é", &"x".repeat(261)] {
            assert!(name_problem(wrong).is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn a_readable_or_broken_profile_file_is_refused_without_showing_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert!(Profiles::read_from(&path).unwrap().profiles.is_empty());
        let mut profiles = Profiles::default();
        profiles.profiles.insert("host:3010".to_owned(), profile("http://host:3010"));
        let text = toml::to_string(&profiles).unwrap();
        fs::write(&path, &text).unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o600);
        assert_eq!(Profiles::read_from(&path).unwrap().profiles["host:3010"].consumer, "acme");
        for open in [0o644, 0o640, 0o606] {
            mode(open);
            let error = Profiles::read_from(&path).err().unwrap().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
        mode(0o600);
        for broken in [text.replace("key = \"", "key = "), text.replace("url", "ulr")] {
            fs::write(&path, broken).unwrap();
            let error = format!("{:?}", Profiles::read_from(&path).err().unwrap());
            assert!(error.contains("log in again") && !error.contains("kkkk"), "{error}");
        }
    }
}
