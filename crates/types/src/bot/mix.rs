//! The order for a mix.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The order to make the mix of a recording whose job has ended, or to give the mix up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MixOrder {
    /// The folder of the manifest, with the files that it lists.
    pub folder: PathBuf,
    /// Why no mix is to be made; `None`: make one.
    pub unwanted: Option<String>,
}
