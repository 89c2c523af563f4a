//! Opens the store and the bucket that the settings name.

use std::{sync::Arc, time::Duration};

use meetbot_types::Timestamp;

use super::StartError;
use crate::{
    config::{Config, ConfigError, Workers},
    data_folder::DataFolder,
    keys,
    recordings::{
        self, Claimed,
        bucket::{Bucket, StorageSettings},
    },
    store::{Observer, PostgresStore, SqliteStore, Store, StoreError},
};

/// How often a start calls a store that is not available. A transaction of a server that was cut off holds its locks for up to 10 s, and a call waits 2 s for
/// them.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(500);

/// What a call of the store gives, repeated while the store is not available.
pub(super) async fn retried<T, F>(mut call: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for _ in 1..TRIES {
        match call().await {
            Err(StoreError::Unavailable(problem)) => {
                tracing::warn!(problem, "the start waits: the store is not available");
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
    call().await
}

/// The store that the settings name: a database, or the data folder.
pub(super) async fn open(
    config: &Config,
    folder: &DataFolder,
    observer: Observer,
) -> Result<(Arc<dyn Store>, Option<PostgresStore>), StartError> {
    if let Some(url) = &config.store {
        let bucket = config.storage.as_ref().filter(|_| config.workers == Workers::None);
        let bucket = bucket.map(StorageSettings::url);
        let store = PostgresStore::serve(url, &folder.node()?, bucket, observer).await?;
        let store = store.with_timing(config.timing);
        return Ok((Arc::new(store.clone()), Some(store)));
    }
    let store = SqliteStore::observed(folder.path(), observer)?;
    Ok((Arc::new(store.with_timing(config.timing)), None))
}

/// The bucket of the settings, claimed for this store unless it is not available now.
pub(super) async fn open_bucket(
    config: &Config,
    store: &dyn Store,
) -> Result<(Option<Arc<Bucket>>, Claimed), StartError> {
    let Some(settings) = &config.storage else {
        return match store.storage().await?.url {
            Some(url) => Err(StartError::NoBucket(url)),
            None => Ok((None, Claimed::NotYet)),
        };
    };
    let bucket = Bucket::open(settings).map_err(|(setting, problem)| ConfigError::Invalid {
        place: String::new(),
        setting,
        problem,
    })?;
    let claimed = recordings::claim(&bucket, store).await?;
    Ok((Some(Arc::new(bucket)), claimed))
}

/// Warns where live keys exist and loopback is allowed: keys may belong to others, and programs on loopback often require no authentication.
pub(super) async fn warn_of_open_loopback(
    config: &Config,
    store: &dyn Store,
    now: Timestamp,
) -> Result<(), StoreError> {
    let settings = config.open_loopback();
    if settings.is_empty() {
        return Ok(());
    }
    let live = keys::count_live(&store.keys().await?, now);
    if live > 0 {
        tracing::warn!(
            live_keys = live,
            settings = settings.join(", "),
            "callers with a live key can make this server call programs on loopback; disable these settings if others have keys"
        );
    }
    Ok(())
}
