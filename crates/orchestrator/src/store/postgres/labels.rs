//! The labels that workers must have to run the bots of some consumers.

use meetbot_types::Labels;
use tokio_postgres::Row;

use super::{Outcome, transaction::Transaction, values::read_as};

/// Those of all consumers that require some, each once.
pub(super) async fn required(transaction: &Transaction) -> Outcome<Vec<Labels>> {
    let required =
        "SELECT DISTINCT worker_labels FROM consumers WHERE worker_labels IS NOT NULL ORDER BY 1";
    let rows = transaction.rows(required, &[]).await?;
    rows.iter().map(|row| read(row, 0)).collect()
}

/// The labels in a column.
pub(super) fn read(row: &Row, column: usize) -> Outcome<Labels> {
    let stored: Option<&str> = row.try_get(column)?;
    read_as(stored.unwrap_or_default().parse(), "the labels of workers")
}

/// As a column.
pub(super) fn column(labels: &Labels) -> Option<String> {
    (!labels.is_empty()).then(|| labels.to_string())
}
