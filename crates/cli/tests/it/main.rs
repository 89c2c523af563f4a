//! The program as a user runs it: the real binary, its output, its exit codes, and what is on disk when it is killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod backup;
mod bad_input;
mod browsers;
mod commands;
mod company;
mod consumers;
mod crowd;
mod deletion;
mod demo;
mod disk_full;
mod disk_lost;
mod disk_use;
mod doctor;
mod drain;
mod first_key;
mod google_meet;
mod held_up;
mod hostile;
mod hostile_text;
mod janus;
mod kills;
mod logs;
mod loopback;
mod nginx;
mod operator;
mod passed_over;
mod pause;
mod platforms;
mod private_files;
mod processes;
mod program;
mod recorded;
mod restore;
mod rounds;
mod rust_examples;
mod scenarios;
mod schema;
mod stopped;
mod storm;
mod systemd;
mod typed;
mod usage;
mod webhooks;
mod zoom;
