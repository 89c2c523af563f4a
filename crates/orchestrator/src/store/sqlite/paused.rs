//! A database that was restored with `--paused`: until it is resumed, no job gets a bot, nothing is sent, and nothing is deleted for its age.

use meetbot_types::Timestamp;
use rusqlite::Connection;

use super::Outcome;

pub(super) fn since(connection: &Connection) -> Outcome<Option<Timestamp>> {
    let since: Option<i64> = connection
        .prepare_cached("SELECT min(since) FROM paused")?
        .query_row([], |row| row.get(0))?;
    Ok(since.map(Timestamp::from_millis))
}

/// The result of a call, or an empty one while the database is paused.
pub(super) fn unless<T: Default>(
    connection: &Connection,
    verb: impl FnOnce() -> Outcome<T>,
) -> Outcome<T> {
    if since(connection)?.is_some() { Ok(T::default()) } else { verb() }
}

pub(super) fn begin(connection: &Connection, now: Timestamp) -> Outcome<()> {
    connection.execute("INSERT INTO paused (since) VALUES (?1)", [now.as_millis()])?;
    Ok(())
}

pub(super) fn end(connection: &Connection) -> Outcome<bool> {
    Ok(connection.execute("DELETE FROM paused", [])? > 0)
}
