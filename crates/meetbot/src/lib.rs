//! The Rust SDK of meetbot: dispatch bots to video meetings and verify their webhooks.
