//! The bucket of the recordings: whether it can be reached, which server owns it, and whether all operations of a server succeed.

use meetbot_orchestrator::{Bucket, Config, store::Storage};

use super::Finding;

const STORAGE: &str = "storage";

/// The bucket, where there is one. `storage` is what the database says of it.
pub(super) async fn look(config: &Config, storage: Option<Storage>) -> Option<Finding> {
    let Some(settings) = &config.storage else {
        let url = storage?.url?;
        let found = format!("recordings of this data folder are in {url}, and no bucket is set");
        return Some(Finding::fail(STORAGE, found, "set storage.url to where they are"));
    };
    let bucket = match Bucket::open(settings) {
        Ok(bucket) => bucket,
        Err((setting, problem)) => {
            let remedy = "a server does not start like this; `meetbot serve --print-config` says what the setting has to be";
            return Some(Finding::fail(STORAGE, format!("{setting}: {problem}"), remedy));
        }
    };
    let cluster = storage.map(|storage| storage.cluster);
    Some(match bucket.check(cluster.as_deref()).await {
        Ok(checked) => {
            let whose = if checked.cluster.is_some() { "" } else { "; no server has used it yet" };
            Finding::ok(
                STORAGE,
                format!(
                    "{}: objects can be put, put only once, replaced, listed, read in parts and removed{whose}",
                    bucket.url()
                ),
            )
        }
        Err(error) => Finding::fail(
            STORAGE,
            format!("{}: {error}", bucket.url()),
            "mend what it names: docs/object-storage.md says what a server needs",
        ),
    })
}
