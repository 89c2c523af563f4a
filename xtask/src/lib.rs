//! What the project's own commands and the tests of every crate share.

pub mod ffmpeg;
pub mod spec_file;
pub mod standard_webhooks;
