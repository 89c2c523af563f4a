//! One task, one meeting: joins, records, decides when to leave, reports.

mod attempt;
mod attend;
#[cfg(feature = "bench")]
pub mod bench;
mod bounds;
mod clock;
mod commands;
mod connect;
mod lateness;
mod leave_policy;
#[cfg(feature = "bench")]
pub mod long_recording;
mod media;
mod meeting;
mod notetakers;
mod platforms;
mod recording;
mod refusal;
mod reporter;

pub use self::{
    attempt::run,
    connect::Connect,
    lateness::Lateness,
    platforms::{
        Machine, available,
        browser::{
            Unusable,
            account::{cookies_of, is_signed_in_to_google, save_profile},
            chromium_version,
            examination::Examination,
            examine::examine,
            landmarks_of,
            needs::user_namespaces,
            remove_left_browsers,
            sign_in::{SignInError, sign_in_to_google},
        },
        needs_browser,
    },
    recording::{files::has_begun, mix::mix},
};

/// Entry points for the fuzz targets in `fuzz/`.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::{
        platforms::{browser::untrusted::*, janus::untrusted::*, rtms::untrusted::*},
        recording::untrusted::*,
    };
}
