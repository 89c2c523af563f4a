//! The labels that workers must have to run the bots of some consumers.

use meetbot_types::Labels;
use rusqlite::Connection;

use super::{Outcome, read_as};

/// Those of all consumers that require some, each once.
pub(super) fn required(connection: &Connection) -> Outcome<Vec<Labels>> {
    let mut required = connection.prepare_cached(
        "SELECT DISTINCT worker_labels FROM consumers WHERE worker_labels IS NOT NULL ORDER BY 1",
    )?;
    let required = required.query_map([], |row| row.get(0))?;
    required.map(|stored| read(stored?)).collect()
}

/// The labels in a column.
pub(super) fn read(stored: Option<String>) -> Outcome<Labels> {
    read_as(stored.unwrap_or_default().parse(), "the labels of workers")
}

/// As a column.
pub(super) fn column(labels: &Labels) -> Option<String> {
    (!labels.is_empty()).then(|| labels.to_string())
}
