//! A whole bot against a real Janus server, with people made of our own `rtc`.

mod addresses;
mod doors;
mod many;
mod media;
mod meetings;
mod missing;
mod own_bots;
mod person;
mod proxy;
mod stalls;
mod video;
