//! Commands: what bots are asked to do, and how far they have come. Their job's row is their lock.

use meetbot_types::{CommandId, ControlAction, Job, JobId, Timestamp, bot::BotCommand};

use super::{
    Outcome, records,
    transaction::Transaction,
    values::{escaped, number, parsed, stored, text, time, unescaped},
};
use crate::{
    jobs::{Command, CommandChange, Settlement},
    store::Tenant,
};

/// Writes what becomes of a job's commands, in this order.
pub(super) async fn write(
    transaction: &Transaction,
    job: JobId,
    changes: Vec<CommandChange>,
    now: Timestamp,
) -> Outcome<()> {
    let job = job.to_string();
    for change in changes {
        match change {
            CommandChange::Issued { command, message } => {
                give(transaction, &job, &command, message.as_deref()).await?;
            }
            CommandChange::Answered { id, state } => {
                transaction
                    .run(
                        "UPDATE commands SET state = $3, updated_at = $4
                         WHERE id = $1 AND job = $2 AND state = 'pending'",
                        &[&id.to_string(), &job, &state.as_str(), &now.as_millis()],
                    )
                    .await?;
            }
            CommandChange::Settled(settlement) => {
                settle(transaction, &job, &settlement, now).await?;
            }
        }
    }
    Ok(())
}

async fn give(
    transaction: &Transaction,
    job: &str,
    command: &Command,
    message: Option<&str>,
) -> Outcome<()> {
    transaction
        .run(
            "INSERT INTO commands (id, job, sequence, action, message, state, requested_at, updated_at)
             VALUES ($1, $2, (SELECT coalesce(max(sequence), 0) + 1 FROM commands WHERE job = $2), $3, $4, $5, $6, $7)",
            &[
                &command.id.to_string(),
                &job,
                &command.action.as_str(),
                &message.map(escaped),
                &command.state.as_str(),
                &command.requested_at.as_millis(),
                &command.updated_at.as_millis(),
            ],
        )
        .await?;
    Ok(())
}

async fn settle(
    transaction: &Transaction,
    job: &str,
    settlement: &Settlement,
    now: Timestamp,
) -> Outcome<()> {
    let Settlement { actions, state, others } = settlement;
    let actions: Vec<&str> = actions.iter().map(ControlAction::as_str).collect();
    let others = others.as_ref().map(ToString::to_string);
    transaction
        .run(
            "UPDATE commands SET updated_at = $2, state = CASE WHEN action = ANY ($5) THEN $3 ELSE $4::TEXT END
             WHERE job = $1 AND state = 'pending' AND ($4::TEXT IS NOT NULL OR action = ANY ($5))",
            &[&job, &now.as_millis(), &state.as_str(), &others, &actions],
        )
        .await?;
    Ok(())
}

/// What a bot is to do, after the command `after`.
pub(super) async fn pending(
    transaction: &Transaction,
    job: JobId,
    after: u64,
) -> Outcome<Vec<BotCommand>> {
    let rows = transaction
        .rows(
            "SELECT id, sequence, action, message FROM commands
             WHERE job = $1 AND sequence > $2 AND state = 'pending' ORDER BY sequence",
            &[&job.to_string(), &stored(after.min(i64::MAX as u64))?],
        )
        .await?;
    let command = |row: &tokio_postgres::Row| {
        Ok(BotCommand {
            id: parsed(row, 0, "a command's id")?,
            seq: number(row, 1)?,
            action: text(row, 2)?.as_str().into(),
            message: row.try_get::<_, Option<String>>(3)?.map(unescaped),
        })
    };
    rows.iter().map(command).collect()
}

pub(super) async fn commanded(
    transaction: &Transaction,
    tenant: Tenant,
    id: CommandId,
) -> Outcome<Option<(Command, Job)>> {
    let found = transaction
        .row(
            "SELECT job, action, state, requested_at, updated_at FROM commands WHERE id = $1",
            &[&id.to_string()],
        )
        .await?;
    let Some(row) = found else { return Ok(None) };
    let job_id: JobId = parsed(&row, 0, "a command's job")?;
    let Some(record) = records::of_tenant(transaction, tenant, job_id).await? else {
        return Ok(None);
    };
    let command = Command {
        id,
        job_id,
        action: text(&row, 1)?.as_str().into(),
        state: text(&row, 2)?.as_str().into(),
        requested_at: time(&row, 3)?,
        updated_at: time(&row, 4)?,
    };
    Ok(Some((command, record.job)))
}
