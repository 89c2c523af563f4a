//! Bots in the rooms of meetings, of all consumers: how bots in one room learn of each other.

use meetbot_types::{JobId, Platform, Timestamp};

use super::{
    Outcome,
    transaction::Transaction,
    values::{escaped, text, unescaped},
};
use crate::jobs::{JobRecord, KEEP_ROOM_ID, ROOM_IDS, RoomChange};

/// The job's bot has entered or left rooms, in this order.
pub(super) async fn write(
    transaction: &Transaction,
    record: &JobRecord,
    changes: &[RoomChange],
    now: Timestamp,
) -> Outcome<()> {
    for change in changes {
        match change {
            RoomChange::Joins { platform, room, participant_id } => {
                join(transaction, record, platform, room, participant_id, now).await?;
            }
            RoomChange::Leaves => leave(transaction, record.job.id, now).await?,
        }
    }
    Ok(())
}

async fn join(
    transaction: &Transaction,
    record: &JobRecord,
    platform: &Platform,
    room: &str,
    participant: &str,
    now: Timestamp,
) -> Outcome<()> {
    leave(transaction, record.job.id, now).await?;
    transaction
        .run(
            "INSERT INTO room_bots (platform, room, participant, job, epoch, gives_way, since)
             VALUES ($1, $2, $3, $4, $5, $6, coalesce((SELECT min(since) FROM room_bots WHERE job = $4), $7))
             ON CONFLICT (platform, room, participant) DO UPDATE SET job = excluded.job, epoch = excluded.epoch,
                gives_way = excluded.gives_way, since = excluded.since, gone_at = NULL",
            &[
                &platform.as_str(),
                &escaped(room),
                &escaped(participant),
                &record.job.id.to_string(),
                &i64::from(record.epoch),
                &record.job.auto_leave.on_bot_detected,
                &now.as_millis(),
            ],
        )
        .await?;
    Ok(())
}

async fn leave(transaction: &Transaction, job: JobId, now: Timestamp) -> Outcome<()> {
    let leave = "UPDATE room_bots SET gone_at = $2 WHERE job = $1 AND gone_at IS NULL";
    transaction.run(leave, &[&job.to_string(), &now.as_millis()]).await?;
    Ok(())
}

/// The ids of all bots in the room in which the attempt's bot is, in the order of [`meetbot_types::bot::OwnBots`].
pub(super) async fn own_bots(
    transaction: &Transaction,
    job: JobId,
    epoch: u32,
) -> Outcome<Vec<String>> {
    let rows = transaction
        .rows(
            "SELECT other.participant FROM room_bots own
             JOIN room_bots other ON other.platform = own.platform AND other.room = own.room
             WHERE own.job = $1 AND own.epoch = $2 AND own.gone_at IS NULL
             ORDER BY other.gone_at IS NOT NULL, other.gives_way, other.since, other.job, other.participant
             LIMIT $3",
            &[&job.to_string(), &i64::from(epoch), &i64::from(ROOM_IDS)],
        )
        .await?;
    rows.iter().map(|row| text(row, 0).map(unescaped)).collect()
}

/// Forgets ids that no meeting shows any more.
pub(super) async fn sweep(transaction: &Transaction, now: Timestamp) -> Outcome<()> {
    let gone = "DELETE FROM room_bots WHERE gone_at <= $1";
    transaction.run(gone, &[&(now - KEEP_ROOM_ID).as_millis()]).await?;
    Ok(())
}
