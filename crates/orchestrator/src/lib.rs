//! The server: jobs, store, dispatch, webhooks.

mod accounts;
mod api;
mod audit;
mod change_notifier;
pub mod clock;
pub mod config;
mod connections;
mod data_folder;
mod deliveries;
mod dispatch;
mod egress;
mod fields;
mod jobs;
pub mod keys;
mod letters;
mod limits;
mod logins;
mod machine;
mod metrics;
mod migrate;
mod mixes;
mod other_servers;
mod private;
mod recordings;
mod restore;
mod retention;
mod running_tasks;
mod sessions;
mod setting_names;
mod shares;
mod start;
pub mod store;
mod store_outage;
mod timing;
pub mod tls;
mod webhooks;
mod worker_statuses;
pub mod zoom;

pub use self::{
    accounts::{AccountSettings, Accounts, is_account_name, profile_folder},
    config::Config,
    data_folder::{DataFolder, DataFolderError, FoundFolder, Space, bots_folder, name_of, prepare},
    dispatch::{Attempt, BotExit, JobSource, Launcher, Room, Stop, Work},
    limits::Limits,
    metrics::{METRICS_TYPE, WorkerMachine, WorkerMetrics},
    migrate::{MigrateError, Migrated, migrate},
    mixes::make_on_worker,
    private::ReadableByOthers,
    recordings::{
        ClaimError, Spool, SpoolError,
        bucket::{Bucket, BucketError, Checked, Serve, StorageSettings},
    },
    restore::{RestoreError, Restored, make_ready, restore},
    start::{Orchestrator, SandboxLink, StartError},
    timing::Timing,
};

/// The functions that the targets in `fuzz/` call.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::api::untrusted::*;
}
