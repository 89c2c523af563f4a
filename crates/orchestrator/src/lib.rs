//! The server: jobs, store, dispatch, webhooks.

pub mod clock;
mod jobs;
pub mod keys;
pub mod store;
mod tls;
mod webhooks;
