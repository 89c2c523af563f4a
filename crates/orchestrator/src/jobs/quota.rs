//! How many bots a consumer may have at once, how many minutes in a month, and how many jobs in the queue. Pure; each of a consumer's worlds is counted apart.

use std::num::NonZeroU32;

use meetbot_types::{FailureCode, Job, JobStatus, Platform, Timestamp};

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

/// Where a job stands in its consumer's number of bots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the queue, for its first bot.
    Waits,
    /// From its first bot to its end, also while a bot that was lost is replaced: nobody else gets the place of a meeting that goes on.
    Has,
    /// It has ended.
    None,
}

/// How the numbers of a tenant's jobs change that have a place and that wait for one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SlotChange {
    pub(crate) bots: i64,
    pub(crate) waiting: i64,
}

impl SlotChange {
    /// A job had one place and has another one now.
    pub(crate) fn between(before: Place, after: Place) -> Self {
        let change = |place| i64::from(after == place) - i64::from(before == place);
        Self { bots: change(Place::Has), waiting: change(Place::Waits) }
    }
}

/// What is counted of a consumer's jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those that have a place.
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

/// Which jobs wait for their first bot, as a condition in SQL: [`Place::Waits`].
pub(crate) const WAITING: &str = "status = 'queued' AND epoch = 0";
/// Which jobs have a place, as a condition in SQL: [`Place::Has`].
pub(crate) const PLACED: &str = "epoch > 0 AND status NOT IN ('completed', 'failed', 'cancelled') AND id NOT IN (SELECT job FROM uploads)";

/// The place of a job that has had so many bots.
pub(crate) fn place(status: &JobStatus, epoch: u32) -> Place {
    match (status.is_final(), epoch) {
        (true, _) => Place::None,
        (false, 0) => Place::Waits,
        (false, _) => Place::Has,
    }
}

/// When a consumer's first waiting job may start: not while all places are taken.
pub(crate) fn due(bots: u32, limit: Option<NonZeroU32>, first: Option<i64>) -> Option<i64> {
    first.filter(|_| limit.is_none_or(|limit| bots < limit.get()))
}

/// The hint of a job that waits for a place.
const AT_BOT_LIMIT: &str = "at_bot_limit";

/// Whether a job would start now if there were a place for it.
pub(crate) fn wants_a_place(job: &Job, now: Timestamp) -> bool {
    place(&job.status, job.attempt) == Place::Waits && job.join_at.is_none_or(|at| at <= now)
}

/// Says on a job that [`wants_a_place`] that there is none. Only shown, never stored: it would have to be written to each job that waits whenever a place is
/// taken or becomes free.
pub(crate) fn set_waiting_detail(job: &mut Job) {
    job.status_detail = Some(AT_BOT_LIMIT.to_owned());
}

/// For how long bots of a job were in its meeting. What nobody heard of is not counted: a bot that was lost, and the time until the next one is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stay {
    /// In milliseconds, until a bot was last heard; `None` before one was let in.
    pub(crate) ms: Option<i64>,
    /// When one was last heard in the meeting.
    pub(crate) since: Option<LeaseTime>,
}

impl Stay {
    /// The job's bot was heard, and the job is now like this.
    pub(crate) fn heard(&mut self, job: &Job, now: StoreNow) {
        if let (Some(ms), Some(since)) = (&mut self.ms, self.since) {
            // A bot that was silent for longer has lost the job.
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
pub(crate) fn cost(job: &Job, live: bool, stay: Stay) -> u64 {
    let billed = job.failure_code.as_ref().is_none_or(FailureCode::billed);
    if billed && costs_minutes(&job.platform, live) { stay.minutes() } else { 0 }
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
    ended + costs.map(|(_, ms)| Stay { ms, since: None }.minutes()).sum::<u64>()
}

/// How many jobs a consumer may have in the queue, where it has so many.
pub(crate) fn full_queue(quota: Quota, waiting: u32) -> Option<NonZeroU32> {
    quota.queued.filter(|limit| waiting >= limit.get())
}

/// Whether jobs wait for a place of a consumer that has so many bots.
pub(crate) fn at_bot_limit(quota: Quota, bots: u32) -> bool {
    due(bots, quota.bots, Some(0)).is_none()
}

/// The month of a moment in UTC, as in `2026-11`. A job counts in the month in which it ends, so that what was counted for a month that is over stays as it is.
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
    fn a_job_has_its_place_from_its_first_bot_to_its_end() {
        for status in JobStatus::ALL {
            let expected = if status.is_final() { Place::None } else { Place::Has };
            assert_eq!(place(status, 1), expected, "{status}");
        }
        assert_eq!(place(&JobStatus::Queued, 0), Place::Waits);
        assert_eq!(place(&JobStatus::Cancelled, 0), Place::None);
    }

    #[test]
    fn counts_change_with_places_and_never_below_nothing() {
        let counts = Counts { bots: 1, waiting: 2 };
        let changed = counts.after(SlotChange { bots: 1, waiting: -1 });
        assert_eq!(changed, Some(Counts { bots: 2, waiting: 1 }));
        assert_eq!(counts.after(SlotChange { bots: -2, waiting: 0 }), None);
    }

    #[test]
    fn minutes_decide_in_their_month_over_what_costs_some() {
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
    fn a_queue_is_full_at_its_limit_and_places_are_taken_at_theirs() {
        let quota = Quota { queued: limit(2), bots: limit(3), minutes: None };
        let full = [1, 2, 3].map(|waiting| full_queue(quota, waiting));
        assert_eq!(full, [None, limit(2), limit(2)]);
        assert_eq!(full_queue(Quota::default(), 9), None);
        assert_eq!([2, 3, 4].map(|bots| at_bot_limit(quota, bots)), [false, true, true]);
    }

    #[test]
    fn while_all_places_are_taken_nothing_is_due() {
        assert_eq!(due(1, limit(2), Some(7)), Some(7));
        assert_eq!(due(2, limit(2), Some(7)), None);
        assert_eq!(due(3, limit(2), Some(7)), None, "the limit was lowered");
        assert_eq!(due(3, None, Some(7)), Some(7));
        assert_eq!(due(0, None, None), None);
    }

    /// Plays what is heard of a job's bots: at which second, in which status; "lost" for one that is gone.
    fn minutes(timeline: &[(i64, &str)]) -> u64 {
        let (mut job, mut stay) = (new_job(at(0)), Stay::default());
        for (second, what) in timeline {
            if *what == "lost" {
                stay.lost();
                continue;
            }
            job.status = (*what).into();
            if job.status == JobStatus::InCall {
                job.joined_at.get_or_insert(at(0).wall);
            }
            stay.heard(&job, at(u64::try_from(*second).unwrap()));
        }
        stay.minutes()
    }

    #[test]
    fn started_minutes_of_bots_that_were_heard_in_the_meeting_are_counted() {
        let beats = |from: i64, to: i64| (from..=to).step_by(5).map(|second| (second, "in_call"));
        let stay = |from, to| beats(from, to).chain([(to, "finalizing")]).collect::<Vec<_>>();
        assert_eq!(minutes(&[(0, "joining"), (500, "joining")]), 0, "the lobby is no meeting");
        assert_eq!(minutes(&stay(500, 560)), 1);
        assert_eq!(minutes(&stay(500, 565)), 2);
        let closing = [stay(0, 60), vec![(80, "finalizing"), (100, "completed")]].concat();
        assert_eq!(minutes(&closing), 1, "files are closed outside of the meeting");
        let lost = [stay(0, 60)[..12].to_vec(), vec![(90, "lost"), (7200, "joining")]].concat();
        assert_eq!(minutes(&lost), 1, "a dead bot costs nothing");
        let again = [lost, stay(7300, 7310)].concat();
        assert_eq!(minutes(&again), 2, "55 s and 10 s are more than a minute");
        assert_eq!(minutes(&[(0, "in_call"), (0, "completed")]), 1, "a minute was begun");
        assert_eq!(minutes(&[(0, "in_call"), (9_999, "recording")]), 1, "no longer than a lease");
        assert_eq!(minutes(&[(50, "in_call"), (10, "recording")]), 1, "nothing is taken away");
    }

    #[test]
    fn what_is_not_billed_is_not_counted() {
        let (mut job, stay) = (new_job(at(0)), Stay { ms: Some(61_000), since: None });
        assert_eq!(cost(&job, true, stay), 2);
        for code in FailureCode::ALL {
            job.failure_code = Some(code.clone());
            assert_eq!(cost(&job, true, stay), if code.billed() { 2 } else { 0 }, "{code}");
        }
    }

    #[test]
    fn a_meeting_of_the_sandbox_costs_a_live_key_no_minutes() {
        let (mut job, stay) = (new_job(at(0)), Stay { ms: Some(61_000), since: None });
        job.platform = Platform::Sandbox;
        assert_eq!((cost(&job, true, stay), cost(&job, false, stay)), (0, 2));
    }

    #[test]
    fn minutes_are_used_up_in_the_live_world_only() {
        let quota = Quota { minutes: limit(10), ..Quota::default() };
        assert_eq!(used_up(quota, true, 9), None);
        assert_eq!(used_up(quota, true, 10), limit(10));
        assert_eq!(used_up(quota, false, 10), None);
        assert_eq!(used_up(Quota::default(), true, 10), None);
    }

    #[test]
    fn a_month_is_one_of_utc() {
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
