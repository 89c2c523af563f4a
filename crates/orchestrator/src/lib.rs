//! The server: jobs, store, dispatch, webhooks.
