//! The rules of a job's life: what a request makes of it, and what follows when something happens to it. [`JobRecord`](record::JobRecord) is the job, and
//! each file beside it is a verb that changes it.

mod cancel;
mod change;
mod claim;
mod command;
pub(crate) mod create;
pub(crate) mod derive;
mod end;
mod expire;
pub(crate) mod quota;
mod record;
pub(crate) mod refusal;
mod release;
mod report;
pub(crate) mod withheld;

pub(crate) use self::{
    change::{Changes, CommandChange, Happened, MixChange, RoomChange, Settlement},
    claim::minutes_are_used_up,
    end::JobEnd,
    record::JobRecord,
};
pub use self::{
    command::Command,
    record::{MAX_ATTEMPTS, Start, Tenant},
    report::Reported,
};

#[cfg(test)]
mod tests;
