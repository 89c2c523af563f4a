//! The tables, and how a database of an older program gets them.

use rusqlite::Connection;

use super::{Outcome, Problem};

/// Every change of the tables since the first, in order. A database counts in `user_version` those that it has had; a step that was released never
/// changes again.
const STEPS: &[&str] = &[include_str!("first.sql"), include_str!("answers.sql")];

/// Brings a database to the newest tables, in one transaction.
pub(super) fn bring_up(connection: &Connection) -> Outcome<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    take(connection, STEPS)?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

fn take(connection: &Connection, steps: &[&str]) -> Outcome<()> {
    let version: usize = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let Some(missing) = steps.get(version..) else {
        return Err(Problem::Corrupt(format!(
            "its schema has version {version}, this program knows {}: use a newer meetbot",
            steps.len()
        )));
    };
    for step in missing {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "user_version", steps.len())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(connection: &Connection) -> String {
        let all =
            "SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_schema ORDER BY name)";
        connection.query_row(all, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_database_of_any_older_program_ends_with_the_newest_tables() {
        let newest = Connection::open_in_memory().unwrap();
        bring_up(&newest).unwrap();
        for known in 1..=STEPS.len() {
            let older = Connection::open_in_memory().unwrap();
            take(&older, &STEPS[..known]).unwrap();
            bring_up(&older).unwrap();
            bring_up(&older).unwrap();
            assert_eq!(tables(&older), tables(&newest), "from version {known}");
        }
    }

    #[test]
    fn a_database_of_a_newer_program_is_left_alone() {
        let newer = Connection::open_in_memory().unwrap();
        newer.pragma_update(None, "user_version", STEPS.len() + 1).unwrap();
        let Err(Problem::Corrupt(refusal)) = bring_up(&newer) else { panic!("it is taken") };
        assert!(refusal.contains("use a newer meetbot"), "{refusal}");
    }
}
