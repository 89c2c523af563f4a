//! The scripted meeting: the other side of a call, played over real WebRTC, so that every branch can be tested without a meeting.

mod meeting;
pub mod scenario;
mod script;
mod serve;
mod speech;
mod stage;

pub use self::serve::Sandbox;
