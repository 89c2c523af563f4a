//! Makes one mix, on a server or a worker.

use std::{io, path::PathBuf};

use meetbot_types::{JobId, Manifest, bot::MixOrder};
use tokio_util::sync::CancellationToken;

use crate::{
    dispatch::Launcher,
    recordings::{Finished, Spool, bucket::BucketError},
};

/// Makes a mix in this folder, into which the files are fetched where the bucket alone has them, and uploads it there. Returns the manifest that lists it, or says
/// why there is none; `None` on `stop`.
pub(super) async fn make(
    finished: &Finished,
    folder: PathBuf,
    launcher: &dyn Launcher,
    unwanted: Option<String>,
    stop: &CancellationToken,
) -> io::Result<Option<Manifest>> {
    let made_before = tokio::select! {
        made = finished.copy_into(&folder) => made?,
        () = stop.cancelled() => return Ok(None),
    };
    if made_before.is_some() {
        return Ok(made_before);
    }
    let order = MixOrder { folder: folder.clone(), unwanted };
    let Some(manifest) = launcher.mix(order, stop.clone()).await? else { return Ok(None) };
    match finished.publish(&folder, manifest, stop).await {
        Ok(manifest) => Ok(Some(manifest)),
        Err(BucketError::Stopped) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes the mix of a recording that is in this folder of a job's in the bucket, from the worker's own files if they are still here, and uploads it. Returns the
/// manifest that is in the bucket then; `None` on `stop`.
///
/// # Errors
/// Files cannot be read or written, here or in the bucket; the same call may work later.
pub async fn make_on_worker(
    spool: &Spool,
    launcher: &dyn Launcher,
    (job, attempt): (JobId, &str),
    stop: &CancellationToken,
) -> io::Result<Option<Manifest>> {
    let folder = spool.mix_folder(job, attempt).await?;
    let made = make(&spool.finished(job, attempt), folder, launcher, None, stop).await;
    spool.remove_copy(job).await;
    made
}
