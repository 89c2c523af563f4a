//! The logs of the servers that tests start: at `debug`, so that a search for secrets covers everything.

use std::{
    fs::{self, File},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::spec_file;

/// The folder of all logs; `cargo xtask test` begins with none.
pub fn folder() -> PathBuf {
    spec_file::path("target/test-logs")
}

/// A new log of this process.
///
/// # Panics
/// When it cannot be made.
pub fn create(name: &str) -> (File, PathBuf) {
    static LOGS: AtomicU32 = AtomicU32::new(0);
    fs::create_dir_all(folder()).expect("the folder of logs can be made");
    let number = LOGS.fetch_add(1, Ordering::Relaxed);
    let path = folder().join(format!("{name}-{}-{number}.log", std::process::id()));
    (File::create(&path).expect("a log can be made"), path)
}
