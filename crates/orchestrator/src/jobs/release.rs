//! A job's bot is gone, and the job waits for the next one.

use meetbot_types::{Cause, Failure, FailureCode, Timestamp, bot::LAST_ATTEMPT, job::JobEvent};

use super::{
    change::{Change, Changes, RoomChange},
    command::{self, CommandChange},
    record::JobRecord,
};
use crate::clock::StoreNow;

impl JobRecord {
    /// The bot of an attempt is known to be gone. `None` where it does not have the job.
    pub(crate) fn release(&mut self, epoch: u32, now: StoreNow) -> Option<Changes> {
        self.is_leased_to(epoch).then(|| self.lease_ran_out(now))
    }

    /// The bot of an attempt has left its files whole because its server stops: it was not lost. `None` where it does not have the job.
    pub(crate) fn hand_over(&mut self, epoch: u32, now: StoreNow) -> Option<Changes> {
        self.is_leased_to(epoch).then(|| {
            self.handovers += 1;
            self.lose(now.wall, now.wall)
        })
    }

    /// Its bot sent no report for the length of a lease. The more bots were lost in quick succession, the later the job is due again. After the last one it
    /// ends.
    pub(crate) fn lease_ran_out(&mut self, now: StoreNow) -> Changes {
        if self.lost() >= LAST_ATTEMPT {
            return self.give_up(now.wall);
        }
        self.lose(next_start(self.run_at, self.lost(), now), now.wall)
    }

    /// Its bot lives on after its server. Lease times of two servers cannot be compared, so all of them begin anew.
    pub(crate) fn outlived_server(&mut self, now: StoreNow) -> Changes {
        self.lease_until = Some(now.lease + now.timing.lease());
        self.metered.resume(now.lease);
        Changes { record: true, ..Changes::default() }
    }

    /// Its bot died with its server, which is no failure of the bot.
    pub(crate) fn died_with_server(&mut self, now: StoreNow) -> Changes {
        self.lose(now.wall, now.wall)
    }

    /// No bot could finish its recording, as where the log of another worker cannot be fetched. The files stay where they are.
    fn give_up(&mut self, now: Timestamp) -> Changes {
        let detail = format!(
            "{LAST_ATTEMPT} bots were lost one after the other, and none of them could finish the recording; whatever was recorded stays where it is until the recording is deleted"
        );
        let cause = match self.cause {
            Some(Cause::Cancelled) => Cause::Cancelled,
            _ => Cause::Failed(Failure::new(FailureCode::InternalError, detail)),
        };
        let ending = cause.ending(self.has_media(), false);
        self.change(now, |change| change.end(&ending, None, 0))
    }

    pub(super) fn lose(&mut self, run_at: Timestamp, now: Timestamp) -> Changes {
        self.change(now, |change| {
            change.record.run_at = run_at;
            change.lose_bot();
        })
    }
}

impl Change<'_> {
    /// The job has no bot from now on.
    pub(super) fn lose_bot(&mut self) {
        self.record.metered.lost();
        self.record.lease_until = None;
        self.changes.rooms.push(RoomChange::Leaves);
        self.changes.commands.push(CommandChange::Settled(command::ON_BOT_LOST));
        self.step(JobEvent::Lose, Some("reconnecting"));
    }
}

/// When the next bot may come, after so many were lost, of which the last could start at `before`: the wait counts from there, so that one that lived for
/// longer is replaced at once, too.
fn next_start(before: Timestamp, lost: u32, now: StoreNow) -> Timestamp {
    let wait = now.timing.longest_pause(lost);
    (before + wait).clamp(now.wall, now.wall + wait)
}
