//! Test doubles that the tests of several crates share. The modules do not use each other.

pub mod certificate;
pub mod hostile_server;
pub mod polling;
pub mod scripted;
pub mod zoom;
