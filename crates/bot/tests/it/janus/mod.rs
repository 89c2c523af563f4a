//! Tests of a whole bot with a real Janus server; the people use our `rtc`.

mod addresses;
mod joining;
mod many;
mod media;
mod meetings;
mod missing;
mod own_bots;
mod person;
mod proxy;
mod stalls;
mod video;
