//! Bots in the rooms of meetings, of all consumers: how bots in one room learn of each other.

use meetbot_types::{JobId, Platform, Timestamp};
use rusqlite::{Connection, params};

use super::Outcome;
use crate::jobs::{JobRecord, KEEP_ROOM_ID, ROOM_IDS, RoomChange};

/// The job's bot has entered or left rooms, in this order.
pub(super) fn write(
    connection: &Connection,
    record: &JobRecord,
    changes: &[RoomChange],
    now: Timestamp,
) -> Outcome<()> {
    for change in changes {
        match change {
            RoomChange::Joins { platform, room, participant_id } => {
                join(connection, record, platform, room, participant_id, now)?;
            }
            RoomChange::Leaves => leave(connection, record.job.id, now)?,
        }
    }
    Ok(())
}

fn join(
    connection: &Connection,
    record: &JobRecord,
    platform: &Platform,
    room: &str,
    participant: &str,
    now: Timestamp,
) -> Outcome<()> {
    leave(connection, record.job.id, now)?;
    connection
        .prepare_cached(
            "INSERT INTO room_bots (platform, room, participant, job, epoch, gives_way, since)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, coalesce((SELECT min(since) FROM room_bots WHERE job = ?4), ?7))
             ON CONFLICT (platform, room, participant) DO UPDATE SET job = excluded.job, epoch = excluded.epoch,
                gives_way = excluded.gives_way, since = excluded.since, gone_at = NULL",
        )?
        .execute(params![
            platform.as_str(),
            room,
            participant,
            record.job.id.to_string(),
            record.epoch,
            record.job.auto_leave.on_bot_detected,
            now.as_millis()
        ])?;
    Ok(())
}

fn leave(connection: &Connection, job: JobId, now: Timestamp) -> Outcome<()> {
    connection
        .prepare_cached("UPDATE room_bots SET gone_at = ?2 WHERE job = ?1 AND gone_at IS NULL")?
        .execute(params![job.to_string(), now.as_millis()])?;
    Ok(())
}

/// The ids of all bots in the room in which the attempt's bot is, in the order of [`meetbot_types::bot::OwnBots`].
pub(super) fn own_bots(connection: &Connection, job: JobId, epoch: u32) -> Outcome<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT other.participant FROM room_bots own
         JOIN room_bots other ON other.platform = own.platform AND other.room = own.room
         WHERE own.job = ?1 AND own.epoch = ?2 AND own.gone_at IS NULL
         ORDER BY other.gone_at IS NOT NULL, other.gives_way, other.since, other.job, other.participant
         LIMIT ?3",
    )?;
    let rows = statement.query_map(params![job.to_string(), epoch, ROOM_IDS], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Forgets ids that no meeting shows any more.
pub(super) fn sweep(connection: &Connection, now: Timestamp) -> Outcome<()> {
    connection
        .prepare_cached("DELETE FROM room_bots WHERE gone_at <= ?1")?
        .execute([(now - KEEP_ROOM_ID).as_millis()])?;
    Ok(())
}
