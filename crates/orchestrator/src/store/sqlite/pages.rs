//! Pages of rows.

use meetbot_types::Page;
use rusqlite::{Row, Rows};

use super::Outcome;
use crate::store::pages::{Entry, PageBuilder};

/// Reads at most `limit` rows into a page; one more, where there is one, shows that there are others.
pub(super) fn page<T>(
    mut rows: Rows<'_>,
    limit: u32,
    entry: impl Fn(&Row<'_>) -> Outcome<Entry<T>>,
) -> Outcome<Page<T>> {
    let mut page = PageBuilder::new(limit);
    while let Some(row) = rows.next()? {
        if page.is_full() {
            return Ok(page.end(true));
        }
        page.push(entry(row)?);
    }
    Ok(page.end(false))
}
