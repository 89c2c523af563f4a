//! The rules of a job's life: what a request makes of it, and what follows when something happens to it. [`JobRecord`](record::JobRecord) is the job, and
//! each file beside it is a verb that changes it.

mod adopt;
mod cancel;
mod change;
mod claim;
mod command;
mod control;
pub(crate) mod create;
mod delete;
pub(crate) mod derive;
mod eligible;
mod end;
mod expire;
mod hold;
pub(crate) mod quota;
mod record;
pub(crate) mod refusal;
mod release;
pub(crate) mod removal;
mod report;
mod restore;
pub(crate) mod upload;
pub(crate) mod withheld;

#[cfg(test)]
pub(crate) use self::claim::all_available;
pub use self::{
    adopt::BotCredentials,
    claim::AvailabilityLookup,
    command::Command,
    derive::DueMix,
    quota::Awaited,
    record::{MAX_ATTEMPTS, Start, Tenant},
    report::{Recorded, Reported},
    upload::{Spooled, Upload},
};
pub(crate) use self::{
    adopt::sign_claim,
    change::{Changes, EmittedEvent, KEEP_ROOM_ID, MixChange, ROOM_IDS, RoomChange, UploadChange},
    claim::minutes_are_used_up,
    command::{CommandChange, Settlement},
    delete::has_no_more_bots,
    eligible::Eligible,
    end::JobEnd,
    record::JobRecord,
};

#[cfg(test)]
mod tests;
