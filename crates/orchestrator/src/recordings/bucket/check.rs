//! Whether a bucket can be worked with: at the start of a server, and for `meetbot doctor`.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use super::{Bucket, BucketError, Part, Result};

/// The object that says whose the prefix is.
const MARKER: &str = "meetbot.json";
/// Where objects are made to try it.
const PROBES: &str = "probes";
const JSON: &str = "application/json";

#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    /// The id that a store has from its beginning.
    cluster: String,
}

/// The result of a check of a bucket that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whose the prefix is; `None` while no server has used it.
    pub cluster: Option<String>,
}

impl Bucket {
    /// Takes the prefix for the servers of a store, unless others have it, and tries all that is done with objects.
    pub(crate) async fn claim(&self, cluster: &str) -> Result<()> {
        let marker = Marker { cluster: cluster.to_owned() };
        let content =
            serde_json::to_vec(&marker).map_err(|error| BucketError::Wrong(error.to_string()))?;
        match self.owner().await? {
            Some(owner) => self.check_owner(owner, cluster)?,
            None => match self.put_new(MARKER, content.clone(), JSON).await {
                Ok(()) | Err(BucketError::Exists) => {}
                Err(error) => return Err(error),
            },
        }
        // A server without conditional writes would overwrite objects of others.
        match self.put_new(MARKER, content, JSON).await {
            Err(BucketError::Exists) => {}
            Ok(()) => {
                return Err(BucketError::Refused {
                    said: "it overwrites an object in spite of If-None-Match".to_owned(),
                    remedy: "meetbot needs a server that knows If-None-Match and If-Match",
                });
            }
            Err(error) => return Err(error),
        }
        match self.owner().await? {
            Some(owner) => self.check_owner(owner, cluster)?,
            None => return Err(BucketError::Wrong(format!("{MARKER} is gone that was put there"))),
        }
        self.try_out().await
    }

    /// Whether a worker can upload into it for the servers of this store. Puts one small object, which stays: a worker needs no right to remove objects.
    pub async fn check_for_worker(&self, cluster: &str) -> Result<()> {
        let Some(owner) = self.owner().await? else {
            let problem = format!("{} is not there: no server uses this bucket", self.uri(MARKER));
            return Err(BucketError::Wrong(problem));
        };
        self.check_owner(owner, cluster)?;
        let name = format!("{PROBES}/worker");
        self.put_over(&name, "a worker", JSON).await?;
        let (content, _) = self.get(&name).await?;
        let listed = self.list(PROBES).await?;
        if content != "a worker" || !listed.iter().any(|object| object.name == "worker") {
            let problem = format!("{} was put there, and is not read or listed", self.uri(&name));
            return Err(BucketError::Wrong(problem));
        }
        Ok(())
    }

    /// Tries all that is done with objects, without taking the prefix. `cluster`: the servers that may have it; `None` where they have no store yet.
    pub async fn check(&self, cluster: Option<&str>) -> Result<Checked> {
        let owner = self.owner().await?;
        if let (Some(owner), Some(cluster)) = (&owner, cluster) {
            self.check_owner(owner.clone(), cluster)?;
        }
        self.try_out().await?;
        Ok(Checked { cluster: owner })
    }

    fn check_owner(&self, owner: String, cluster: &str) -> Result<()> {
        if owner == cluster {
            return Ok(());
        }
        let url = self.url().to_owned();
        Err(BucketError::OtherCluster { url, other: owner, own: cluster.to_owned() })
    }

    /// Whose the prefix is.
    pub(crate) async fn owner(&self) -> Result<Option<String>> {
        let content = match self.get(MARKER).await {
            Ok((content, _)) => content,
            Err(BucketError::Missing) => return Ok(None),
            Err(error) => return Err(error),
        };
        let marker: Marker = serde_json::from_slice(&content).map_err(|_| {
            BucketError::Wrong(format!(
                "{} holds something that is not meetbot's",
                self.uri(MARKER)
            ))
        })?;
        Ok(Some(marker.cluster))
    }

    /// Puts an object, replaces it, lists it, reads a part of it and removes it.
    async fn try_out(&self) -> Result<()> {
        let name = format!("{PROBES}/{}", crate::letters::letters(20));
        let wrong = |what: &str| BucketError::Wrong(format!("an object that was put there {what}"));
        self.put_new(&name, "first", JSON).await?;
        let (_, e_tag) = self.get(&name).await?;
        self.replace(&name, "second", JSON, e_tag.clone()).await?;
        match self.replace(&name, "third", JSON, e_tag).await {
            Err(BucketError::Changed) => {}
            Ok(()) => {
                return Err(BucketError::Refused {
                    said: "it overwrites an object in spite of If-Match".to_owned(),
                    remedy: "meetbot needs a server that knows If-None-Match and If-Match",
                });
            }
            Err(error) => return Err(error),
        }
        let part = self.read(&name, Some(Part::FromTo(1, 3))).await?;
        let (range, bytes) = (part.range.clone(), part.bytes);
        let content: Vec<Bytes> = part.content.try_collect().await?;
        if (range, bytes, content.concat().as_slice()) != (1..4, 6, b"eco") {
            return Err(wrong("is not read by ranges"));
        }
        let listed = self.list(PROBES).await?;
        if !listed.iter().any(|object| name.ends_with(&object.name) && object.bytes == 6) {
            return Err(wrong("is not listed"));
        }
        self.remove(std::slice::from_ref(&name)).await?;
        match self.get(&name).await {
            Err(BucketError::Missing) => Ok(()),
            Ok(_) => Err(wrong("is there after it was removed")),
            Err(error) => Err(error),
        }
    }
}
