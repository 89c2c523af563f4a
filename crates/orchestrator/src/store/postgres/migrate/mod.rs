//! A data folder's database, taken over into PostgreSQL: all of it in one transaction, or nothing.

mod tables;

use std::path::Path;

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use tokio::sync::mpsc;
use tokio_postgres::{
    Client,
    types::{ToSql, Type},
};

use self::tables::{Kind, STORAGE, TABLES, Table};
use super::{OpenError, StoreUrl, cluster, describe, open, schema, values::escaped};
use crate::store::FILE;

/// How many rows are written at once.
const ROWS: usize = 500;

/// New feeds and new numbers go on behind those that were taken over.
const SEQUENCES: &str = "SELECT setval('feed_numbers', coalesce(max(number), 0) + 1) FROM events;
    SELECT setval(pg_get_serial_sequence('feeds', 'id'), coalesce(max(id), 0) + 1) FROM feeds";

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeOverError {
    /// It cannot be read to its end.
    #[error("the data folder's database: {0}")]
    Read(String),
    /// PostgreSQL cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is something already.
    #[error(
        "the database {0} holds a server's data already: give --store an empty one; nothing was changed"
    )]
    NotEmpty(String),
    /// A server works on it.
    #[error("a meetbot server works on the database {0}: stop it first; nothing was changed")]
    Served(String),
    /// PostgreSQL refused rows.
    #[error("the table {table} was not taken over: {why}; nothing was changed")]
    Write {
        /// Which.
        table: &'static str,
        /// Why.
        why: String,
    },
    /// Not as many rows are there as were read.
    #[error("of {read} rows of the table {table} {written} are there: nothing was changed")]
    Rows {
        /// Which.
        table: &'static str,
        /// How many were read.
        read: u64,
        /// How many are there.
        written: u64,
    },
}

/// Takes all tables of this folder's database over into an empty one of PostgreSQL; `node` is the folder's name. Answers the tables, and how many rows of each.
/// A dry run does all of it and undoes it again.
pub(crate) async fn take_over(
    data: &Path,
    node: String,
    url: &StoreUrl,
    dry_run: bool,
) -> Result<Vec<(&'static str, u64)>, TakeOverError> {
    let client = open::connection(url).await?;
    let sql = |error: tokio_postgres::Error| TakeOverError::Open(error.into());
    client.batch_execute("BEGIN").await.map_err(sql)?;
    schema::take(&client).await.map_err(|error| open::with_rights(url, error))?;
    if cluster::is_served(&client).await.map_err(sql)? {
        return Err(TakeOverError::Served(url.shown().to_owned()));
    }
    for table in TABLES.iter().filter(|table| table.name != STORAGE) {
        let any = format!("SELECT 1 FROM {} LIMIT 1", table.name);
        if client.query_opt(&any, &[]).await.map_err(sql)?.is_some() {
            return Err(TakeOverError::NotEmpty(url.shown().to_owned()));
        }
    }
    client.execute("DELETE FROM storage", &[]).await.map_err(sql)?;
    let (sender, batches) = mpsc::channel(2);
    let path = data.join(FILE);
    let reading = tokio::task::spawn_blocking(move || read(&path, &node, &sender));
    let rows = write(&client, batches).await?;
    reading
        .await
        .map_err(|error| TakeOverError::Read(error.to_string()))?
        .map_err(|error| TakeOverError::Read(error.to_string()))?;
    for (table, read) in &rows {
        let count = format!("SELECT count(*) FROM {table}");
        let written: i64 =
            client.query_one(&count, &[]).await.and_then(|row| row.try_get(0)).map_err(sql)?;
        let written = u64::try_from(written).unwrap_or(0);
        if written != *read {
            return Err(TakeOverError::Rows { table, read: *read, written });
        }
    }
    client.batch_execute(SEQUENCES).await.map_err(sql)?;
    let end = if dry_run { "ROLLBACK" } else { "COMMIT" };
    client.batch_execute(end).await.map_err(sql)?;
    Ok(rows)
}

/// Values of a column.
enum Values {
    Number(Vec<Option<i64>>),
    Truth(Vec<Option<bool>>),
    Text(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

/// A few rows of a table, a column after the other.
struct Batch {
    table: &'static Table,
    rows: usize,
    values: Vec<Values>,
}

impl Batch {
    fn new(table: &'static Table) -> Self {
        let empty = |(_, kind): &(&str, Kind)| match kind {
            Kind::Number => Values::Number(Vec::new()),
            Kind::Truth => Values::Truth(Vec::new()),
            Kind::Text | Kind::Escaped => Values::Text(Vec::new()),
            Kind::Bytes => Values::Bytes(Vec::new()),
        };
        Self { table, rows: 0, values: table.columns.iter().map(empty).collect() }
    }

    fn push(&mut self, row: &rusqlite::Row<'_>) -> rusqlite::Result<()> {
        for (index, (values, (_, kind))) in
            self.values.iter_mut().zip(self.table.columns).enumerate()
        {
            match values {
                Values::Number(numbers) => numbers.push(row.get(index)?),
                Values::Truth(truths) => truths.push(row.get(index)?),
                Values::Text(texts) => {
                    let text: Option<String> = row.get(index)?;
                    let is_escaped = matches!(kind, Kind::Escaped);
                    texts.push(
                        text.map(
                            |text| {
                                if is_escaped { escaped(&text).into_owned() } else { text }
                            },
                        ),
                    );
                }
                Values::Bytes(all) => all.push(match row.get_ref(index)? {
                    ValueRef::Null => None,
                    bytes => Some(bytes.as_bytes().map_err(rusqlite::Error::from)?.to_vec()),
                }),
            }
        }
        self.rows += 1;
        Ok(())
    }
}

/// Reads all tables as they are at one moment.
fn read(path: &Path, node: &str, batches: &mpsc::Sender<Batch>) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.execute_batch("BEGIN")?;
    for table in TABLES {
        let mut query = connection.prepare(&table.rows.replace("$NODE", &format!("'{node}'")))?;
        let mut rows = query.query([])?;
        let mut batch = Batch::new(table);
        while let Some(row) = rows.next()? {
            batch.push(row)?;
            if batch.rows == ROWS {
                let full = std::mem::replace(&mut batch, Batch::new(table));
                if batches.blocking_send(full).is_err() {
                    return Ok(());
                }
            }
        }
        // An empty one too: each table is counted.
        if batches.blocking_send(batch).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes what is read, and counts it.
async fn write(
    client: &Client,
    mut batches: mpsc::Receiver<Batch>,
) -> Result<Vec<(&'static str, u64)>, TakeOverError> {
    let mut counts: Vec<(&'static str, u64)> = Vec::new();
    while let Some(batch) = batches.recv().await {
        let table = batch.table.name;
        let failed =
            |error: tokio_postgres::Error| TakeOverError::Write { table, why: describe(&error) };
        if batch.rows > 0 {
            let values: Vec<(&(dyn ToSql + Sync), Type)> = batch
                .values
                .iter()
                .map(|values| match values {
                    Values::Number(all) => (all as &(dyn ToSql + Sync), Type::INT8_ARRAY),
                    Values::Truth(all) => (all as _, Type::BOOL_ARRAY),
                    Values::Text(all) => (all as _, Type::TEXT_ARRAY),
                    Values::Bytes(all) => (all as _, Type::BYTEA_ARRAY),
                })
                .collect();
            client.query_typed(&insert(batch.table), &values).await.map_err(failed)?;
        }
        let rows = u64::try_from(batch.rows).unwrap_or(u64::MAX);
        match counts.last_mut() {
            Some((last, count)) if *last == table => *count += rows,
            _ => counts.push((table, rows)),
        }
    }
    Ok(counts)
}

/// The statement that writes rows, each parameter the values of a column, in their order.
fn insert(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let parameters: Vec<String> =
        (1..=table.columns.len()).map(|number| format!("${number}")).collect();
    let (more, computed) = match table.computed {
        Some((name, how)) => (format!(", {name}"), format!(", {how}")),
        None => (String::new(), String::new()),
    };
    format!(
        "INSERT INTO {} ({names}{more}) OVERRIDING SYSTEM VALUE SELECT {names}{computed} FROM unnest({}) WITH ORDINALITY AS given ({names}, place) ORDER BY place",
        table.name,
        parameters.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::SqliteStore;

    /// Tables and columns that each side has alone, and why they are not taken over.
    const OF_SQLITE: [&str; 13] = [
        // PostgreSQL has a sequence, and `gone_number`.
        "feeds.last",
        "feeds.gone",
        // In `leases`, and without its clock's meaning.
        "jobs.lease_until",
        "jobs.stay_since",
        // The lease's `node`.
        "jobs.worker",
        // Each server sets it at its start.
        "default_quota.max_bots",
        "default_quota.max_minutes",
        "default_quota.max_queued",
        "accounts.name",
        "accounts.bots",
        // The clock of the process before.
        "signs_of_life.name",
        "signs_of_life.at",
        // Each database makes its own.
        "storage.claim_secret",
    ];

    #[test]
    fn every_column_of_sqlite_is_migrated_or_listed_as_an_exception() {
        let folder = tempfile::tempdir().unwrap();
        drop(SqliteStore::open(folder.path()).unwrap());
        let connection = Connection::open(folder.path().join(FILE)).unwrap();
        let mut query = connection
            .prepare("SELECT m.name || '.' || c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'")
            .unwrap();
        let there: BTreeSet<String> =
            query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let taken = TABLES.iter().flat_map(|table| {
            table.columns.iter().map(move |(column, _)| format!("{}.{column}", table.name))
        });
        let known: BTreeSet<String> = taken.chain(OF_SQLITE.map(ToOwned::to_owned)).collect();
        let left_out: Vec<_> = there.difference(&known).collect();
        assert!(left_out.is_empty(), "{left_out:?}");
        // Each query has the columns that it says.
        for table in TABLES {
            let query = connection.prepare(&table.rows.replace("$NODE", "'node'")).unwrap();
            assert_eq!(query.column_count(), table.columns.len(), "{}", table.name);
        }
    }
}
