//! The tables, and how a database of an older program gets them.

use rusqlite::Connection;

use super::{Outcome, Problem};

/// Every change of the tables since the first, in order. A database counts in `user_version` those that it has had; a step that was released never
/// changes again.
const STEPS: &[&str] = &[
    include_str!("first.sql"),
    include_str!("answers.sql"),
    include_str!("endpoints.sql"),
    include_str!("rotation.sql"),
    include_str!("tally.sql"),
    include_str!("handovers.sql"),
    include_str!("retention.sql"),
    include_str!("audit.sql"),
    include_str!("quotas.sql"),
    include_str!("pending.sql"),
    include_str!("pruning.sql"),
    include_str!("mixes.sql"),
    include_str!("ignored.sql"),
    include_str!("withheld.sql"),
    include_str!("room_bots.sql"),
    include_str!("mix_turns.sql"),
    include_str!("past_tokens.sql"),
    include_str!("repeats.sql"),
    include_str!("queued.sql"),
    include_str!("paused.sql"),
    include_str!("recording_bytes.sql"),
    include_str!("sessions.sql"),
    include_str!("zoom.sql"),
    include_str!("feed.sql"),
    include_str!("redeliveries.sql"),
    include_str!("uploads.sql"),
    include_str!("workers.sql"),
    include_str!("accounts.sql"),
    include_str!("removals.sql"),
    include_str!("worker_labels.sql"),
    include_str!("adoption.sql"),
    include_str!("mix_leases.sql"),
];

/// Brings a database to the newest tables, in one transaction.
pub(super) fn bring_up(connection: &Connection) -> Outcome<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    take(connection, STEPS)?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// Whether a database has the newest tables. One that a newer program has changed is refused.
pub(super) fn is_newest(connection: &Connection) -> Outcome<bool> {
    missing(connection, STEPS).map(<[_]>::is_empty)
}

fn missing<'a>(connection: &Connection, steps: &'a [&'a str]) -> Outcome<&'a [&'a str]> {
    let version: usize = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    steps.get(version..).ok_or_else(|| {
        Problem::Corrupt(format!(
            "its schema has version {version}, this program knows {}: use a newer meetbot",
            steps.len()
        ))
    })
}

fn take(connection: &Connection, steps: &[&str]) -> Outcome<()> {
    for step in missing(connection, steps)? {
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

    /// The data of the first version: one job with two deliveries in flight to one endpoint and one delivered.
    #[test]
    fn deliveries_in_flight_keep_their_order_over_an_upgrade() {
        let older = Connection::open_in_memory().unwrap();
        take(&older, &STEPS[..1]).unwrap();
        older
            .execute_batch(
                "INSERT INTO consumers VALUES ('c', 'acme', 'whsec_', 0);
                 INSERT INTO jobs (id, consumer, live, platform, status, created_at, run_at, start_by, link, job)
                    VALUES ('j', 'c', 1, 'sandbox', 'queued', 0, 0, 0, '', '');
                 INSERT INTO events VALUES ('j', 1, 'a', '', 0, ''), ('j', 2, 'b', '', 0, ''), ('j', 3, 'c', '', 0, '');
                 INSERT INTO deliveries (id, job, sequence, consumer, live, url, state, tries, next_at) VALUES
                    ('d1', 'j', 1, 'c', 1, 'http://a.example/x?k=1', 'delivered', 1, 5),
                    ('d2', 'j', 2, 'c', 1, 'http://a.example/x?k=1', 'pending', 2, 70),
                    ('d3', 'j', 3, 'c', 1, 'http://a.example/x?k=1', 'pending', 0, 60);",
            )
            .unwrap();
        bring_up(&older).unwrap();
        let all = |sql: &str| -> Vec<String> {
            let mut statement = older.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let turns = all(
            "SELECT id || ' ' || coalesce(due_at, '-') || ' ' || holds FROM deliveries ORDER BY id",
        );
        assert_eq!(turns, ["d1 - 0", "d2 70 1", "d3 - 1"]);
        assert_eq!(all("SELECT url || ' ' || due_at FROM endpoints"), ["http://a.example/x 70"]);
    }

    #[test]
    fn jobs_that_ended_before_they_were_counted_are_counted() {
        let older = Connection::open_in_memory().unwrap();
        take(&older, &STEPS[..1]).unwrap();
        older
            .execute_batch(
                "INSERT INTO consumers VALUES ('c', 'acme', 'whsec_', 0);
                 INSERT INTO jobs (id, consumer, live, platform, status, created_at, run_at, start_by, link, job) VALUES
                    ('1', 'c', 1, 'sandbox', 'queued', 0, 0, 0, '', '{\"failureCode\":null}'),
                    ('2', 'c', 1, 'sandbox', 'completed', 0, 0, 0, '', '{\"failureCode\":null}'),
                    ('3', 'c', 1, 'sandbox', 'failed', 0, 0, 0, '', '{\"failureCode\":\"lobby_timeout\"}'),
                    ('4', 'c', 1, 'sandbox', 'failed', 0, 0, 0, '', '{\"failureCode\":\"lobby_timeout\"}');",
            )
            .unwrap();
        bring_up(&older).unwrap();
        let counted: String = older
            .query_row(
                "SELECT group_concat(status || ' ' || failure_code || ' ' || jobs, ', ') FROM endings",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(counted, "completed  1, failed lobby_timeout 2");
    }

    #[test]
    fn recordings_of_older_jobs_are_counted_after_an_upgrade() {
        let older = Connection::open_in_memory().unwrap();
        let before = STEPS.iter().position(|step| step.contains("recording_bytes")).unwrap();
        take(&older, &STEPS[..before]).unwrap();
        older
            .execute_batch(
                "INSERT INTO consumers (id, name, webhook_secret, created_at) VALUES ('c', 'acme', 'whsec_', 0);
                 INSERT INTO jobs (id, consumer, live, platform, status, created_at, run_at, start_by, link, job, files_since) VALUES
                    ('running', 'c', 1, 'sandbox', 'recording', 0, 0, 0, '', '', NULL),
                    ('recorded', 'c', 1, 'sandbox', 'completed', 0, 0, 0, '', '', 5),
                    ('removed', 'c', 1, 'sandbox', 'failed', 0, 0, 0, '', '', NULL);",
            )
            .unwrap();
        bring_up(&older).unwrap();
        let jobs: String = older
            .query_row(
                "SELECT group_concat(id || ' ' || coalesce(recording_bytes, '-'), ', ') FROM (SELECT * FROM jobs ORDER BY id)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(jobs, "recorded -, removed 0, running -");
    }

    #[test]
    fn a_database_of_a_newer_program_is_refused_and_not_changed() {
        let newer = Connection::open_in_memory().unwrap();
        newer.pragma_update(None, "user_version", STEPS.len() + 1).unwrap();
        let refusal = bring_up(&newer).unwrap_err();
        assert!(matches!(refusal, Problem::Corrupt(_)), "{refusal:?}");
    }
}
