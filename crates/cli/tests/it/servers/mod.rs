//! Several servers on one PostgreSQL database and one bucket, with workers that have data folders of their own.

mod dead;
mod drained;
mod kills;
mod meetings;
mod promoted;
mod refused;
mod reports;
mod shared;

use crate::cluster::{Cluster, DATABASE, meeting, recording};
