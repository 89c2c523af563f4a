//! What the tests of several crates meet. A module is one thing that they meet; none knows another.

pub mod certificate;
pub mod liar;
pub mod polling;
pub mod scripted;
pub mod zoom;
