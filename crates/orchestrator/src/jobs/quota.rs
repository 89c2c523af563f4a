//! How many bots a consumer may have at once, how many minutes in a month, and how many jobs in the queue. Pure; each of a consumer's worlds is counted apart.

use std::num::NonZeroU32;

use meetbot_types::{FailureCode, Job, JobStatus, Platform, Timestamp, work::Pool};

use crate::clock::{LeaseTime, StoreNow};

/// What a consumer may use in a world. `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bots at the same time.
    pub bots: Option<NonZeroU32>,
    /// Minutes in meetings in a month; they limit the live world only.
    pub minutes: Option<NonZeroU32>,
    /// Jobs that wait for their first bot, whenever their time is.
    pub queued: Option<NonZeroU32>,
}

/// Whether a job holds one of its consumer's slots. A slot allows one concurrent bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// It waits in the queue for its first bot.
    Waiting,
    /// It holds a slot: from its first bot to its end, also while a lost bot is replaced, so that no other job takes the slot of a running meeting.
    Held,
    /// It has ended.
    None,
}

/// The change of the number of a tenant's jobs that hold a slot, and that wait for one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SlotChange {
    pub(crate) bots: i64,
    pub(crate) waiting: i64,
}

impl SlotChange {
    /// The change when a job goes from one state to the other.
    pub(crate) fn between(before: Slot, after: Slot) -> Self {
        let change = |slot| i64::from(after == slot) - i64::from(before == slot);
        Self { bots: change(Slot::Held), waiting: change(Slot::Waiting) }
    }
}

/// What is counted of a consumer's jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those that hold a slot.
    pub(crate) bots: u32,
    /// Those that wait for their first bot.
    pub(crate) waiting: u32,
}

impl Counts {
    /// After a change. `None` where it leads below nothing: then the counts are wrong.
    pub(crate) fn after(self, change: SlotChange) -> Option<Self> {
        let changed = |count: u32, change| u32::try_from(i64::from(count) + change).ok();
        let bots = changed(self.bots, change.bots)?;
        Some(Self { bots, waiting: changed(self.waiting, change.waiting)? })
    }
}

/// Which jobs wait for their first bot, as a condition in SQL: [`Slot::Waiting`].
pub(crate) const WAITING: &str = "status = 'queued' AND epoch = 0";
/// Which jobs hold a slot, as a condition in SQL: [`Slot::Held`].
pub(crate) const HOLDS_SLOT: &str = "epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled') AND id NOT IN (SELECT job FROM uploads)";

/// The slot state of a job that has had `epoch` bots.
pub(crate) fn slot(status: &JobStatus, epoch: u32) -> Slot {
    match (status.is_final(), epoch) {
        (true, _) => Slot::None,
        (false, 0) => Slot::Waiting,
        (false, _) => Slot::Held,
    }
}

/// Which jobs wait for their first bot as a guest. Those with an account have a queue of their own, since they wait for its place too.
pub(crate) const GUEST_WAITING: &str = "account IS NULL AND status = 'queued' AND epoch = 0";
/// Which jobs wait for their first bot with an account.
pub(crate) const ACCOUNT_WAITING: &str = "account IS NOT NULL AND status = 'queued' AND epoch = 0";

/// Which jobs need a browser, as a condition in SQL: [`Pool::of`]. Those whose cause to end is known are only finalised.
pub(crate) fn in_browser() -> String {
    let platforms = Platform::ALL.iter().filter(|it| Pool::of(it, true) == Pool::Browser);
    let platforms: Vec<_> = platforms.map(|platform| format!("'{platform}'")).collect();
    format!("(live AND cause IS NULL AND platform IN ({}))", platforms.join(", "))
}

/// The jobs of one consumer in one world and one pool that have not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenJobs {
    /// Their consumer, and its world.
    pub(crate) tenant: (String, bool),
    pub(crate) pool: Pool,
    /// Those that hold a slot.
    pub(crate) held: u64,
    /// Those that wait for one and are due soon.
    pub(crate) due: u64,
    /// How many slots the consumer has in this world.
    pub(crate) slots: Option<NonZeroU32>,
}

/// The same as a query, with the moment until which a job is due soon as its only parameter; `parameter` is how the database writes that. A job that waits for its upload needs no bot.
pub(crate) fn open_jobs(parameter: &str) -> String {
    format!(
        "SELECT o.consumer, o.live, o.browser, o.held, o.due, coalesce(c.max_bots, d.max_bots) FROM (
             SELECT consumer, live, {} AS browser, count(*) FILTER (WHERE {HOLDS_SLOT}) AS held,
                 count(*) FILTER (WHERE {WAITING} AND run_at <= {parameter}) AS due
             FROM jobs WHERE status NOT IN ('completed', 'failed', 'cancelled') GROUP BY 1, 2, 3) o
         LEFT JOIN consumers c ON c.id = o.consumer CROSS JOIN default_quota d ORDER BY 1, 2, 3",
        in_browser()
    )
}

/// How many bots each pool would run if no job had to wait for a worker. Where a consumer's last slot may go to a bot of either pool, both count it.
pub(crate) fn places_wanted(open: &[OpenJobs]) -> Vec<(Pool, u64)> {
    let held_by = |tenant: &(String, bool)| -> u64 {
        open.iter().filter(|jobs| jobs.tenant == *tenant).map(|jobs| jobs.held).sum()
    };
    let wanted = |jobs: &OpenJobs| {
        let free =
            jobs.slots.map(|slots| u64::from(slots.get()).saturating_sub(held_by(&jobs.tenant)));
        jobs.held + free.map_or(jobs.due, |free| jobs.due.min(free))
    };
    let of = |pool| open.iter().filter(move |jobs| jobs.pool == pool).map(wanted).sum();
    Pool::ALL.into_iter().map(|pool| (pool, of(pool))).collect()
}

/// Whether all places of an account are taken. Jobs that hold a slot hold the place of their account. An account that the settings no longer have holds up nothing: its jobs fail
/// when they are claimed.
pub(crate) fn account_is_full(bots: u32, limit: Option<u32>) -> bool {
    limit.is_some_and(|limit| bots >= limit)
}

/// When a consumer's first waiting job may start: not while all slots are taken.
pub(crate) fn due(bots: u32, limit: Option<NonZeroU32>, first: Option<i64>) -> Option<i64> {
    first.filter(|_| limit.is_none_or(|limit| bots < limit.get()))
}

/// The `statusDetail` of a job that waits for a slot.
const AT_BOT_LIMIT: &str = "at_bot_limit";
/// The `statusDetail` of a job that waits for a place of its account.
const AT_ACCOUNT_LIMIT: &str = "at_account_limit";

/// What a due job waits for, besides a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// A slot of its consumer.
    Slot,
    /// A place of its account.
    Account,
}

impl Awaited {
    /// What a job waits for whose consumer has all its bots, or whose account has.
    pub(crate) const fn of(at_bot_limit: bool, account_is_full: bool) -> Option<Self> {
        match (at_bot_limit, account_is_full) {
            (true, _) => Some(Self::Slot),
            (false, true) => Some(Self::Account),
            (false, false) => None,
        }
    }
}

/// Whether a job would start now if a slot were free.
pub(crate) fn wants_slot(job: &Job, now: Timestamp) -> bool {
    slot(&job.status, job.attempt) == Slot::Waiting && job.join_at.is_none_or(|at| at <= now)
}

/// Marks a job that [`wants_slot`] with what is not free. Only shown, never stored: otherwise each waiting job would have to be written whenever a slot is
/// taken or becomes free.
pub(crate) fn mark_waiting(job: &mut Job, awaited: Awaited) {
    let detail = match awaited {
        Awaited::Slot => AT_BOT_LIMIT,
        Awaited::Account => AT_ACCOUNT_LIMIT,
    };
    job.status_detail = Some(detail.to_owned());
}

/// The billed time of a job's bots in its meeting. Time without a report is not counted: after a bot was lost, until its replacement is in the meeting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MeteredTime {
    /// In milliseconds, until a bot's last report; `None` before one was admitted.
    pub(crate) ms: Option<i64>,
    /// The time of the last report from within the meeting.
    pub(crate) since: Option<LeaseTime>,
}

impl MeteredTime {
    /// Adds the time since the last report; `job` is the state after this one.
    pub(crate) fn heard(&mut self, job: &Job, now: StoreNow) {
        if let (Some(ms), Some(since)) = (&mut self.ms, self.since) {
            // A bot without a report for longer than its lease has lost the job.
            let heard = now.lease.since(since).min(now.timing.lease());
            *ms += i64::try_from(heard.as_millis()).unwrap_or(0);
        }
        if job.joined_at.is_some() {
            self.ms.get_or_insert(0);
        }
        let in_meeting = matches!(job.status, JobStatus::InCall | JobStatus::Recording);
        self.since = in_meeting.then_some(now.lease);
    }

    /// From now on another server hears the bot, if it is in the meeting.
    pub(crate) fn resume(&mut self, now: LeaseTime) {
        self.since = self.since.map(|_| now);
    }

    /// The bot is gone.
    pub(crate) fn lost(&mut self) {
        self.since = None;
    }

    /// The minutes that were begun: being let in begins the first.
    pub(crate) fn minutes(self) -> u64 {
        self.ms.map_or(0, |ms| u64::try_from(ms).unwrap_or(0).div_ceil(60_000).max(1))
    }
}

/// The minutes that a job which has ended costs. A failure that is not billed costs none.
pub(crate) fn cost(job: &Job, live: bool, metered: MeteredTime) -> u64 {
    let billed = job.failure_code.as_ref().is_none_or(FailureCode::billed);
    if billed && costs_minutes(&job.platform, live) { metered.minutes() } else { 0 }
}

/// Whether a meeting costs minutes: those of the sandbox cost a live key none. With test keys all are counted, and none is limited.
pub(crate) fn costs_minutes(platform: &Platform, live: bool) -> bool {
    !live || *platform != Platform::Sandbox
}

/// The minutes that a consumer had, when there are none left for another meeting.
pub(crate) fn used_up(quota: Quota, live: bool, used: u64) -> Option<NonZeroU32> {
    quota.minutes.filter(|minutes| live && used >= u64::from(minutes.get()))
}

/// Whether the minutes that a consumer has had decide over a meeting in the month of `at`. Of months to come nothing is used yet.
pub(crate) fn minutes_decide(
    quota: Quota,
    live: bool,
    platform: &Platform,
    at: Timestamp,
    now: Timestamp,
) -> bool {
    used_up(quota, live, u64::MAX).is_some()
        && costs_minutes(platform, live)
        && month(at) == month(now)
}

/// The minutes of a month: those of the jobs that ended in it, and those that were begun in meetings that go on.
pub(crate) fn minutes<'a>(
    ended: u64,
    live: bool,
    going_on: impl Iterator<Item = (&'a Platform, Option<i64>)>,
) -> u64 {
    let costs = going_on.filter(|(platform, _)| costs_minutes(platform, live));
    ended + costs.map(|(_, ms)| MeteredTime { ms, since: None }.minutes()).sum::<u64>()
}

/// How many jobs a consumer may have in the queue, where it has so many.
pub(crate) fn full_queue(quota: Quota, waiting: u32) -> Option<NonZeroU32> {
    quota.queued.filter(|limit| waiting >= limit.get())
}

/// Whether jobs of a consumer with this number of bots have to wait for a slot.
pub(crate) fn at_bot_limit(quota: Quota, bots: u32) -> bool {
    due(bots, quota.bots, Some(0)).is_none()
}

/// The month of a moment in UTC, as in `2026-11`. A job counts in the month in which it ends, so the counts of past months do not change.
pub(crate) fn month(at: Timestamp) -> String {
    at.to_string().chars().take("2026-11".len()).collect()
}

/// When the next month begins.
pub(crate) fn next_month(at: Timestamp) -> Timestamp {
    let text = at.to_string();
    let number = |range| text.get(range).and_then(|digits: &str| digits.parse::<u16>().ok());
    let (year, month) = (number(0..4).unwrap_or(0), number(5..7).unwrap_or(12));
    let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    // After the last month that can be written there is none.
    format!("{year:04}-{month:02}-01T00:00:00Z").parse().unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{at, new_job};

    fn limit(number: u32) -> Option<NonZeroU32> {
        NonZeroU32::new(number)
    }

    #[test]
    fn a_job_uses_a_slot_from_its_first_bot_to_its_end() {
        for status in JobStatus::ALL {
            let expected = if status.is_final() { Slot::None } else { Slot::Held };
            assert_eq!(slot(status, 1), expected, "{status}");
        }
        assert_eq!(slot(&JobStatus::Queued, 0), Slot::Waiting);
        assert_eq!(slot(&JobStatus::Cancelled, 0), Slot::None);
    }

    #[test]
    fn counts_follow_slots_and_never_go_below_zero() {
        let counts = Counts { bots: 1, waiting: 2 };
        let changed = counts.after(SlotChange { bots: 1, waiting: -1 });
        assert_eq!(changed, Some(Counts { bots: 2, waiting: 1 }));
        assert_eq!(counts.after(SlotChange { bots: -2, waiting: 0 }), None);
    }

    #[test]
    fn minutes_limit_only_jobs_that_cost_minutes_in_the_current_month() {
        let [month, next] = [at(0).wall, next_month(at(0).wall)];
        let limited = Quota { minutes: limit(5), ..Quota::default() };
        for (quota, live, platform, at, expected) in [
            (limited, true, Platform::Janus, month, true),
            (limited, true, Platform::Janus, next, false),
            (limited, true, Platform::Sandbox, month, false),
            (limited, false, Platform::Janus, month, false),
            (Quota::default(), true, Platform::Janus, month, false),
        ] {
            assert_eq!(minutes_decide(quota, live, &platform, at, month), expected, "{platform}");
        }
        let meetings = [(&Platform::Janus, Some(61_000)), (&Platform::Sandbox, Some(1))];
        let stays = || meetings.into_iter().chain([(&Platform::Janus, None)]);
        assert_eq!([true, false].map(|live| super::minutes(4, live, stays())), [6, 7]);
    }

    #[test]
    fn a_queue_is_full_at_its_limit_and_so_are_the_slots() {
        let quota = Quota { queued: limit(2), bots: limit(3), minutes: None };
        let full = [1, 2, 3].map(|waiting| full_queue(quota, waiting));
        assert_eq!(full, [None, limit(2), limit(2)]);
        assert_eq!(full_queue(Quota::default(), 9), None);
        assert_eq!([2, 3, 4].map(|bots| at_bot_limit(quota, bots)), [false, true, true]);
    }

    #[test]
    fn no_job_is_due_while_all_slots_are_used() {
        assert_eq!(due(1, limit(2), Some(7)), Some(7));
        assert_eq!(due(2, limit(2), Some(7)), None);
        assert_eq!(due(3, limit(2), Some(7)), None, "the limit was lowered");
        assert_eq!(due(3, None, Some(7)), Some(7));
        assert_eq!(due(0, None, None), None);
    }

    /// Plays the reports of a job's bots: the second, and the status; "lost" for a lost bot.
    fn minutes(timeline: &[(i64, &str)]) -> u64 {
        let (mut job, mut metered) = (new_job(at(0)), MeteredTime::default());
        for (second, what) in timeline {
            if *what == "lost" {
                metered.lost();
                continue;
            }
            job.status = (*what).into();
            if job.status == JobStatus::InCall {
                job.joined_at.get_or_insert(at(0).wall);
            }
            metered.heard(&job, at(u64::try_from(*second).unwrap()));
        }
        metered.minutes()
    }

    #[test]
    fn started_minutes_are_counted_up_to_the_last_report_in_the_meeting() {
        let beats = |from: i64, to: i64| (from..=to).step_by(5).map(|second| (second, "in_call"));
        let metered = |from, to| beats(from, to).chain([(to, "finalizing")]).collect::<Vec<_>>();
        assert_eq!(minutes(&[(0, "joining"), (500, "joining")]), 0, "the lobby is no meeting");
        assert_eq!(minutes(&metered(500, 560)), 1);
        assert_eq!(minutes(&metered(500, 565)), 2);
        let closing = [metered(0, 60), vec![(80, "finalizing"), (100, "completed")]].concat();
        assert_eq!(minutes(&closing), 1, "files are closed outside of the meeting");
        let lost = [metered(0, 60)[..12].to_vec(), vec![(90, "lost"), (7200, "joining")]].concat();
        assert_eq!(minutes(&lost), 1, "a dead bot costs nothing");
        let again = [lost, metered(7300, 7310)].concat();
        assert_eq!(minutes(&again), 2, "55 s and 10 s are more than a minute");
        assert_eq!(minutes(&[(0, "in_call"), (0, "completed")]), 1, "a minute was begun");
        assert_eq!(minutes(&[(0, "in_call"), (9_999, "recording")]), 1, "no longer than a lease");
        assert_eq!(minutes(&[(50, "in_call"), (10, "recording")]), 1, "nothing is taken away");
    }

    #[test]
    fn a_failure_that_is_not_billed_is_not_counted() {
        let (mut job, metered) = (new_job(at(0)), MeteredTime { ms: Some(61_000), since: None });
        assert_eq!(cost(&job, true, metered), 2);
        for code in FailureCode::ALL {
            job.failure_code = Some(code.clone());
            assert_eq!(cost(&job, true, metered), if code.billed() { 2 } else { 0 }, "{code}");
        }
    }

    #[test]
    fn a_meeting_of_the_sandbox_costs_a_live_key_no_minutes() {
        let (mut job, metered) = (new_job(at(0)), MeteredTime { ms: Some(61_000), since: None });
        job.platform = Platform::Sandbox;
        assert_eq!((cost(&job, true, metered), cost(&job, false, metered)), (0, 2));
    }

    #[test]
    fn minutes_limit_only_live_keys() {
        let quota = Quota { minutes: limit(10), ..Quota::default() };
        assert_eq!(used_up(quota, true, 9), None);
        assert_eq!(used_up(quota, true, 10), limit(10));
        assert_eq!(used_up(quota, false, 10), None);
        assert_eq!(used_up(Quota::default(), true, 10), None);
    }

    #[test]
    fn months_are_in_utc() {
        for (at, name, next) in [
            ("2026-11-30T23:59:59.999Z", "2026-11", "2026-12-01T00:00:00.000Z"),
            ("2026-12-01T00:59:59+01:00", "2026-11", "2026-12-01T00:00:00.000Z"),
            ("2026-12-01T00:00:00Z", "2026-12", "2027-01-01T00:00:00.000Z"),
            ("9999-12-01T00:00:00Z", "9999-12", "9999-12-01T00:00:00.000Z"),
        ] {
            let at: Timestamp = at.parse().unwrap();
            assert_eq!((month(at).as_str(), next_month(at).to_string().as_str()), (name, next));
        }
    }
}
