//! The labels that workers must have to run the bots of some consumers.

use meetbot_types::Labels;
use tokio_postgres::Row;

use super::{Outcome, transaction::Transaction, values::read_as};

/// The query of [`required`].
pub(super) const REQUIRED: &str =
    "SELECT DISTINCT worker_labels FROM consumers WHERE worker_labels IS NOT NULL ORDER BY 1";

/// Those of all consumers that require some, each set once.
pub(super) async fn required(transaction: &Transaction) -> Outcome<Vec<Labels>> {
    let rows = transaction.rows(REQUIRED, &[]).await?;
    rows.iter().map(|row| read(row, 0)).collect()
}

/// Labels as they are stored.
pub(super) fn parse(stored: &str) -> Outcome<Labels> {
    read_as(stored.parse(), "the labels of workers")
}

/// The labels in a column.
pub(super) fn read(row: &Row, column: usize) -> Outcome<Labels> {
    let stored: Option<&str> = row.try_get(column)?;
    parse(stored.unwrap_or_default())
}

/// As a column.
pub(super) fn column(labels: &Labels) -> Option<String> {
    (!labels.is_empty()).then(|| labels.to_string())
}
