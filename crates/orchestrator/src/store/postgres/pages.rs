//! Pages of rows.

use meetbot_types::Page;
use tokio_postgres::Row;

use super::Outcome;
use crate::store::pages::{Entry, PageBuilder};

/// Puts at most `limit` rows into a page; one more, where there is one, shows that there are others.
pub(super) fn page<T>(
    rows: Vec<Row>,
    limit: u32,
    entry: impl Fn(Row) -> Outcome<Entry<T>>,
) -> Outcome<Page<T>> {
    let mut page = PageBuilder::new(limit);
    for row in rows {
        if page.is_full() {
            return Ok(page.end(true));
        }
        page.push(entry(row)?);
    }
    Ok(page.end(false))
}
