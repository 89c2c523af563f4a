//! The data folder of a server on this machine, for commands that work on it, also while the server runs.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use meetbot_orchestrator::{
    Config, FoundFolder,
    config::SettingsFile,
    prepare,
    store::{Found, PostgresStore, SqliteStore, Store},
};

use crate::output::{Output, Usage};

/// Which server: where its settings are, and its data folder.
#[derive(Debug, clap::Args)]
pub(crate) struct FolderArgs {
    /// The server's data folder [env: `MEETBOT_SERVER_DATA_DIR`] [default: meetbot-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The server's file with settings, like the one that `serve --print-config` prints [env: `MEETBOT_CONFIG`]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The PostgreSQL database of the server, without a password, which is in the file that the setting `store.password_file` names [env: `MEETBOT_STORE_URL`] [default: the database in the data folder]
    #[arg(long, value_name = "postgres://USER@HOST/DATABASE")]
    store: Option<String>,
}

impl FolderArgs {
    /// The arguments of a worker, which has no database.
    pub(crate) const fn of_worker(data_dir: Option<PathBuf>, config: Option<PathBuf>) -> Self {
        Self { data_dir, config, store: None }
    }

    /// The arguments of a command on a PostgreSQL database.
    pub(crate) const fn of_database(store: String, config: Option<PathBuf>) -> Self {
        Self { data_dir: None, config, store: Some(store) }
    }

    /// The settings: the command line wins over the environment, which wins over the file.
    pub(crate) fn settings(&self) -> anyhow::Result<Config> {
        let named = env::var_os("MEETBOT_CONFIG").filter(|name| !name.is_empty());
        let path = self.config.clone().or_else(|| named.map(PathBuf::from));
        let text = match &path {
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?,
            ),
            None => None,
        };
        let name = path.as_deref().map(|path| path.display().to_string());
        let file = name.as_deref().zip(text.as_deref());
        let file = file.map(|(name, text)| SettingsFile { name, text });
        let variables: Vec<(String, String)> = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let pairs = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let wrong = |error: meetbot_orchestrator::config::ConfigError| Usage(error.to_string());
        Config::check_variables(pairs).map_err(wrong)?;
        let setting = |name: &str| match &self.store {
            Some(url) if name == "MEETBOT_STORE_URL" => Some(url.clone()),
            _ => env::var(name).ok(),
        };
        let mut config = Config::load(file, setting).map_err(wrong)?;
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        if let Some(store) = &config.store {
            store.check().map_err(|error| Usage(error.to_string()))?;
        }
        Ok(config)
    }

    /// The absolute path.
    pub(crate) fn path(&self) -> anyhow::Result<PathBuf> {
        let path = self.settings()?.data_dir;
        std::path::absolute(&path).with_context(|| format!("{}", path.display()))
    }

    /// Calls `work` with the folder's store, then closes the store. A folder without a server's data is refused.
    pub(crate) async fn with_store<T>(
        &self,
        work: impl AsyncFnOnce(&dyn Store) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if let Some(url) = self.settings()?.store {
            return work_in(&PostgresStore::open(&url).await?, work).await;
        }
        let path = self.path()?;
        if look(&path)? == Found::Nothing {
            return Err(no_data(&path, ""));
        }
        work_on(&path, work).await
    }

    /// The same; with `init` a missing folder is made.
    pub(crate) async fn with_new_store<T>(
        &self,
        init: bool,
        output: Output,
        work: impl AsyncFnOnce(&dyn Store) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if let Some(url) = self.settings()?.store {
            return work_in(&PostgresStore::open(&url).await?, work).await;
        }
        let path = self.path()?;
        if look(&path)? == Found::Nothing {
            if !init {
                return Err(no_data(&path, "; --init makes a new one there"));
            }
            output.remark(format_args!(
                "made a new data folder {} (no server uses it yet)",
                path.display()
            ));
        }
        prepare(&path)?;
        work_on(&path, work).await
    }
}

async fn work_on<T>(
    path: &Path,
    work: impl AsyncFnOnce(&dyn Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    work_in(&SqliteStore::open(path)?, work).await
}

async fn work_in<T>(
    store: &dyn Store,
    work: impl AsyncFnOnce(&dyn Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let done = work(store).await;
    store.close().await;
    done
}

/// The database that is in the folder. A folder on which an older server runs is refused: the command would migrate its tables.
fn look(path: &Path) -> anyhow::Result<Found> {
    let found = SqliteStore::check(path)?;
    let folder = FoundFolder::look(path).context("the data folder")?;
    if found == Found::Older && folder.is_some_and(|folder| folder.in_use) {
        anyhow::bail!(
            "an older meetbot runs on {}: restart the server with this program first",
            path.display()
        );
    }
    Ok(found)
}

fn no_data(path: &Path, more: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "there is no server's data in {}: give --data-dir (or MEETBOT_SERVER_DATA_DIR) the folder that `meetbot serve` works in, or --config its settings{more}",
        path.display()
    )
}

/// A path, quoted for a shell.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@%:,".contains(letter);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_if_a_shell_would_split_it() {
        assert_eq!(quoted(Path::new("/var/lib/meetbot-1")), "/var/lib/meetbot-1");
        assert_eq!(quoted(Path::new("/my data/$x")), "'/my data/$x'");
        assert_eq!(quoted(Path::new("/it's")), r"'/it'\''s'");
    }
}
