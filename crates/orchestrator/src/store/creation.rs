//! The result of the creation of a job. Pure.

use std::num::NonZeroU32;

use meetbot_types::Job;

use super::PriorRequest;

/// The result of the creation of a job.
#[derive(Debug, Clone)]
pub enum Creation {
    /// It is there.
    Created(Box<Job>),
    /// One with this `externalId` was there before.
    Existing(Box<Job>),
    /// The same `Idempotency-Key` was used before.
    Prior(PriorRequest),
    /// The consumer has used up so many minutes, which are all it has in this month.
    NoMinutes(NonZeroU32),
    /// The consumer has so many jobs in the queue, which are all that it may have there.
    QueueFull(NonZeroU32),
}

impl Creation {
    /// What becomes of a job where one with its `externalId` may be there. A new one is refused where its consumer has used up its minutes, or else has a full queue; the
    /// one that is there is answered all the same.
    pub(crate) fn of(
        job: Job,
        existing: Option<Job>,
        used_up: Option<NonZeroU32>,
        full_queue: Option<NonZeroU32>,
    ) -> Self {
        match (existing, used_up, full_queue) {
            (Some(existing), ..) => Self::Existing(Box::new(existing)),
            (None, Some(minutes), _) => Self::NoMinutes(minutes),
            (None, None, Some(limit)) => Self::QueueFull(limit),
            (None, None, None) => Self::Created(Box::new(job)),
        }
    }

    /// The job that answers the request, with the HTTP status; `None` where it is refused, or came before.
    pub(crate) fn answered(&self) -> Option<(u16, &Job)> {
        match self {
            Self::Created(job) => Some((201, job)),
            Self::Existing(job) => Some((200, job)),
            Self::Prior(_) | Self::NoMinutes(_) | Self::QueueFull(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{at, new_job};

    #[test]
    fn an_existing_job_is_returned_even_above_the_limits() {
        let (job, existing) = (new_job(at(1)), new_job(at(2)));
        let [minutes, queue] = [NonZeroU32::new(5), NonZeroU32::new(7)];
        for (existing, used_up, full, expected) in [
            (None, None, None, Some((201, job.id))),
            (Some(&existing), minutes, queue, Some((200, existing.id))),
            (None, minutes, queue, None),
            (None, None, queue, None),
        ] {
            let creation = Creation::of(job.clone(), existing.cloned(), used_up, full);
            let answered = creation.answered().map(|(status, job)| (status, job.id));
            assert_eq!(answered, expected, "{creation:?}");
            if existing.is_none() && used_up.is_some() {
                assert!(matches!(creation, Creation::NoMinutes(_)), "{creation:?}");
            }
        }
    }
}
