//! Commands: what bots are asked to do, and how far they have come.

use meetbot_types::{CommandId, Job, JobId, Timestamp, bot::BotCommand};
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter, types::Value};

use super::{Outcome, read_as, records};
use crate::{
    jobs::{Command, CommandChange, Settlement},
    store::Tenant,
};

/// Writes what becomes of a job's commands, in this order.
pub(super) fn write(
    connection: &Connection,
    job: JobId,
    changes: Vec<CommandChange>,
    now: Timestamp,
) -> Outcome<()> {
    let job = job.to_string();
    for change in changes {
        match change {
            CommandChange::Issued { command, message } => {
                give(connection, &job, &command, message.as_deref())?;
            }
            CommandChange::Answered { id, state } => {
                connection
                    .prepare_cached(
                        "UPDATE commands SET state = ?3, updated_at = ?4
                         WHERE id = ?1 AND job = ?2 AND state = 'pending'",
                    )?
                    .execute(params![id.to_string(), job, state.as_str(), now.as_millis()])?;
            }
            CommandChange::Settled(settlement) => settle(connection, &job, &settlement, now)?,
        }
    }
    Ok(())
}

fn give(
    connection: &Connection,
    job: &str,
    command: &Command,
    message: Option<&str>,
) -> Outcome<()> {
    connection
        .prepare_cached(
            "INSERT INTO commands (id, job, sequence, action, message, state, requested_at, updated_at)
             VALUES (?1, ?2, (SELECT coalesce(max(sequence), 0) + 1 FROM commands WHERE job = ?2), ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            command.id.to_string(),
            job,
            command.action.as_str(),
            message,
            command.state.as_str(),
            command.requested_at.as_millis(),
            command.updated_at.as_millis()
        ])?;
    Ok(())
}

fn settle(
    connection: &Connection,
    job: &str,
    settlement: &Settlement,
    now: Timestamp,
) -> Outcome<()> {
    let Settlement { actions, state, others } = settlement;
    let places: Vec<String> = (5..).zip(*actions).map(|(place, _)| format!("?{place}")).collect();
    let list = places.join(", ");
    let mut values: Vec<Value> = vec![job.to_owned().into(), now.as_millis().into()];
    values.push(state.to_string().into());
    values.push(others.as_ref().map(ToString::to_string).into());
    values.extend(actions.iter().map(|action| Value::from(action.to_string())));
    connection
        .prepare_cached(&format!(
            "UPDATE commands SET updated_at = ?2, state = CASE WHEN action IN ({list}) THEN ?3 ELSE ?4 END
             WHERE job = ?1 AND state = 'pending' AND (?4 IS NOT NULL OR action IN ({list}))",
        ))?
        .execute(params_from_iter(values))?;
    Ok(())
}

/// What a bot is to do, after the command `after`.
pub(super) fn pending(connection: &Connection, job: JobId, after: u64) -> Outcome<Vec<BotCommand>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, sequence, action, message FROM commands
         WHERE job = ?1 AND sequence > ?2 AND state = 'pending' ORDER BY sequence",
    )?;
    let mut rows = statement.query(params![job.to_string(), after])?;
    let mut commands = Vec::new();
    while let Some(row) = rows.next()? {
        commands.push(BotCommand {
            id: read_as(row.get::<_, String>(0)?.parse(), "a command's id")?,
            seq: row.get(1)?,
            action: row.get::<_, String>(2)?.as_str().into(),
            message: row.get(3)?,
        });
    }
    Ok(commands)
}

pub(super) fn commanded(
    connection: &Connection,
    tenant: Tenant,
    id: CommandId,
) -> Outcome<Option<(Command, Job)>> {
    let mut statement = connection.prepare_cached(
        "SELECT job, action, state, requested_at, updated_at FROM commands WHERE id = ?1",
    )?;
    let found = statement
        .query_row(
            [id.to_string()],
            |row| -> rusqlite::Result<(String, String, String, i64, i64)> {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            },
        )
        .optional()?;
    let Some((job_id, action, state, requested_at, updated_at)) = found else { return Ok(None) };
    let job_id: JobId = read_as(job_id.parse(), "a command's job")?;
    let Some(record) = records::of_tenant(connection, tenant, job_id)? else { return Ok(None) };
    let command = Command {
        id,
        job_id,
        action: action.as_str().into(),
        state: state.as_str().into(),
        requested_at: Timestamp::from_millis(requested_at),
        updated_at: Timestamp::from_millis(updated_at),
    };
    Ok(Some((command, record.job)))
}
