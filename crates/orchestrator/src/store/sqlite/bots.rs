//! Bots: given a job, heard, told what to do, and given up.

use meetbot_types::{
    Cause, JobId, Timestamp,
    bot::{BotCommand, BotReport, IngestAnswer, IngestRequest, LEASE_SECONDS},
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Outcome,
    jobs::{self, Stored},
    quotas, read_as, room_bots,
    writer::Transaction,
};
use crate::{
    clock::Now,
    jobs::advance,
    store::{Claim, Claimed, Expired, MAX_ATTEMPTS, Reported},
};

fn lease_from(now: Now) -> i64 {
    now.steady_ms() + i64::from(LEASE_SECONDS) * 1000
}

pub(super) fn claim(
    transaction: &Transaction<'_>,
    token_hash: [u8; 32],
    now: Now,
) -> Outcome<Claim> {
    let due = now.wall.as_millis();
    let lost = "status = 'queued' AND epoch > 0 AND run_at <= ?1 ORDER BY run_at, id LIMIT 1";
    let mut found = jobs::load(transaction, lost, &[&due])?;
    if found.is_none()
        && let Some((consumer, live)) = quotas::next_tenant(transaction, due)?
    {
        let first = "consumer = ?1 AND live = ?2 AND status = 'queued' AND epoch = 0 ORDER BY run_at, id LIMIT 1";
        found = jobs::load(transaction, first, &[&consumer, &live])?;
    }
    let Some(mut stored) = found else { return Ok(Claim::Nothing) };
    // Who is in a meeting stays there.
    if stored.epoch == 0
        && let Some(minutes) =
            quotas::used_up(transaction, stored.tenant, &stored.job.platform, now.wall, now.wall)?
    {
        let told = advance::refuse_for_minutes(&mut stored.job, minutes, now.wall);
        jobs::save(transaction, &mut stored, told, now)?;
        return Ok(Claim::NoMinutes(stored.job.id));
    }
    let (cause, lost) = (stored.cause.clone(), stored.lost());
    let finalize = advance::finalize_only(&stored.job, cause, lost, MAX_ATTEMPTS);
    stored.epoch += 1;
    if let Some(earlier) = stored.token_hash.replace(token_hash) {
        stored.past_tokens.extend(earlier);
    }
    stored.lease_until = Some(lease_from(now));
    stored.applied = 0;
    let told = advance::claim(&mut stored.job, stored.epoch, finalize.is_some(), now.wall);
    jobs::save(transaction, &mut stored, told, now)?;
    let Stored { job, tenant, link, .. } = stored;
    Ok(Claim::Bot(Box::new(Claimed { job, tenant, link, finalize })))
}

fn of_any(connection: &Connection, id: JobId) -> Outcome<Option<Stored>> {
    jobs::load(connection, "id = ?1", &[&id.to_string()])
}

pub(super) fn has_had_bot(
    connection: &Connection,
    job: JobId,
    token_hash: &[u8; 32],
) -> Outcome<bool> {
    Ok(of_any(connection, job)?.is_some_and(|stored| stored.has_had_bot(token_hash)))
}

/// Whether a lease is over. Nobody was heard while the store was away: whoever has not been given up since has a lease from then on.
fn is_over(until: Option<i64>, away: Option<Now>, now: Now) -> bool {
    let until = until.max(until.and(away.map(lease_from)));
    until.is_none_or(|until| until <= now.steady_ms())
}

pub(super) fn report(
    transaction: &Transaction<'_>,
    request: IngestRequest,
    token_hash: [u8; 32],
    away: Option<Now>,
    now: Now,
) -> Outcome<Reported> {
    let Some(mut stored) = of_any(transaction, request.job_id)? else {
        return Ok(Reported::Unknown);
    };
    if stored.epoch > request.epoch && stored.has_had_bot(&token_hash) {
        return Ok(Reported::Superseded);
    }
    if stored.epoch != request.epoch || !stored.has_bot(&token_hash) {
        return Ok(Reported::Unknown);
    }
    if !stored.job.status.is_final() {
        // A late sign of life does not revive a lease.
        if is_over(stored.lease_until, away, now) {
            return Ok(Reported::Superseded);
        }
        stored.lease_until = Some(lease_from(now));
        apply(transaction, &mut stored, request, now)?;
    }
    Ok(Reported::Applied(IngestAnswer { status: stored.job.status, acknowledged: stored.applied }))
}

fn apply(
    transaction: &Transaction<'_>,
    stored: &mut Stored,
    request: IngestRequest,
    now: Now,
) -> Outcome<()> {
    let mut told = Vec::new();
    for numbered in request.reports {
        if numbered.seq != stored.applied + 1 {
            continue;
        }
        stored.applied = numbered.seq;
        let (job, withheld) = (&mut stored.job, &mut stored.withheld);
        told.extend(advance::report(job, withheld, &numbered.report, numbered.at, now.wall));
        match &numbered.report {
            BotReport::Leaving { reason, failure } if stored.cause.is_none() => {
                stored.cause = advance::cause_of_leaving(reason.as_ref(), failure.as_ref());
            }
            BotReport::JoiningAs { platform, room, participant_id } => {
                room_bots::join(transaction, stored, platform, room, participant_id, now.wall)?;
            }
            BotReport::CommandDone { command_id, state } => {
                transaction
                    .prepare_cached(
                        "UPDATE commands SET state = ?3, updated_at = ?4
                         WHERE id = ?1 AND job = ?2 AND state = 'pending'",
                    )?
                    .execute(params![
                        command_id.to_string(),
                        stored.job.id.to_string(),
                        state.as_str(),
                        now.wall.as_millis()
                    ])?;
            }
            _ => {}
        }
    }
    stored.stay.heard(&stored.job, now.steady_ms());
    jobs::save(transaction, stored, told, now)
}

pub(super) fn commands(
    connection: &Connection,
    job: JobId,
    epoch: u32,
    token_hash: [u8; 32],
    after: u64,
) -> Outcome<Option<Vec<BotCommand>>> {
    let found = of_any(connection, job)?.filter(|stored| stored.has_bot(&token_hash));
    let Some(stored) = found else { return Ok(None) };
    if stored.epoch != epoch || stored.lease_until.is_none() {
        return Ok(None);
    }
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
    Ok(Some(commands))
}

fn of_attempt(connection: &Connection, job: JobId, epoch: u32) -> Outcome<Option<Stored>> {
    let leased = "id = ?1 AND epoch = ?2 AND lease_until IS NOT NULL";
    jobs::load(connection, leased, &[&job.to_string(), &epoch])
}

pub(super) fn release(
    transaction: &Transaction<'_>,
    job: JobId,
    epoch: u32,
    now: Now,
) -> Outcome<bool> {
    let Some(mut stored) = of_attempt(transaction, job, epoch)? else { return Ok(false) };
    stored.run_at = next_start(&stored, now);
    lose(transaction, stored, now)?;
    Ok(true)
}

fn next_start(stored: &Stored, now: Now) -> Timestamp {
    advance::next_start(stored.run_at, stored.lost(), now.wall)
}

pub(super) fn hand_over(
    transaction: &Transaction<'_>,
    job: JobId,
    epoch: u32,
    now: Now,
) -> Outcome<bool> {
    let Some(mut stored) = of_attempt(transaction, job, epoch)? else { return Ok(false) };
    stored.handovers += 1;
    stored.run_at = now.wall;
    lose(transaction, stored, now)?;
    Ok(true)
}

pub(super) fn reap(transaction: &Transaction<'_>, all: bool, now: Now) -> Outcome<Vec<JobId>> {
    let before = if all { i64::MAX } else { now.steady_ms() };
    let mut lost = Vec::new();
    while let Some(mut stored) = jobs::load(transaction, "lease_until <= ?1 LIMIT 1", &[&before])? {
        lost.push(stored.job.id);
        // Bots that died with their server were not at fault.
        stored.run_at = if all { now.wall } else { next_start(&stored, now) };
        lose(transaction, stored, now)?;
    }
    Ok(lost)
}

/// Ends all jobs that have had a bot, without another one that joins their meeting: at once where nothing was recorded. What was recorded is made whole by a
/// bot that joins nothing, and the job fails then.
pub(super) fn end_all(transaction: &Transaction<'_>, now: Now) -> Outcome<()> {
    let mut open = transaction.prepare(
        "SELECT id FROM jobs WHERE epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled')",
    )?;
    let open = open.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    for id in open {
        let Some(mut stored) = jobs::load(transaction, "id = ?1", &[&id])? else { continue };
        if stored.job.recording.started_at.is_some() {
            stored.cause.get_or_insert_with(|| Cause::Failed(advance::ended_by_restore()));
            stored.run_at = now.wall;
            lose(transaction, stored, now)?;
        } else {
            let told = advance::end_by_restore(&mut stored.job, now.wall);
            jobs::save(transaction, &mut stored, told, now)?;
        }
    }
    Ok(())
}

pub(super) fn expire(transaction: &Transaction<'_>, now: Now) -> Outcome<Vec<Expired>> {
    let mut expired = Vec::new();
    let due = now.wall.as_millis();
    let next = "status = 'queued' AND epoch = 0 AND start_by <= ?1 LIMIT 1";
    while let Some(mut stored) = jobs::load(transaction, next, &[&due])? {
        let at_bot_limit = quotas::at_bot_limit(transaction, stored.tenant)?;
        expired.push(Expired { job: stored.job.id, at_bot_limit });
        let told = advance::expire(&mut stored.job, at_bot_limit, now.wall);
        jobs::save(transaction, &mut stored, told, now)?;
    }
    Ok(expired)
}

fn lose(transaction: &Transaction<'_>, mut stored: Stored, now: Now) -> Outcome<()> {
    stored.lease_until = None;
    stored.stay.lost();
    room_bots::leave(transaction, stored.job.id, now.wall)?;
    // What may have been done must not be done twice; the others do no harm.
    transaction.execute(
        "UPDATE commands SET state = 'expired', updated_at = ?2 WHERE job = ?1 AND state = 'pending'
            AND action IN ('send_chat_message', 'request_recording_permission')",
        params![stored.job.id.to_string(), now.wall.as_millis()],
    )?;
    let told = advance::lose(&mut stored.job, now.wall);
    jobs::save(transaction, &mut stored, told, now)
}

pub(super) fn first_start(connection: &Connection) -> Outcome<Option<Timestamp>> {
    let next: Option<i64> = connection
        .prepare_cached(
            "SELECT min(at) FROM (
                SELECT min(run_at) AS at FROM jobs WHERE status = 'queued' AND epoch > 0
                UNION ALL SELECT min(due_at) FROM tenants WHERE due_at IS NOT NULL)",
        )?
        .query_row([], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(next.map(Timestamp::from_millis))
}
