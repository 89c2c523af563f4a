//! [`Page`]: one answer of a list.

use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// What is on this page.
    pub data: Vec<T>,
    /// What to pass as `cursor` for the next page; `null` on the last.
    pub next_cursor: Option<String>,
}
