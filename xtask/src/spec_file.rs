//! Files that are made from code: checked by every test run, rewritten when `UPDATE` is set.

use std::{fs, path::PathBuf};

use serde_json::Value;

/// The path of a file of the repository, given from its root.
///
/// # Panics
/// When this crate does not lie one folder below the root.
pub fn path(file: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.parent().expect("xtask lies in the repository").join(file)
}

/// Fails unless `file` holds exactly `content`; with `UPDATE` in the environment it is written first.
///
/// # Panics
/// When they differ, or the file cannot be written.
#[track_caller]
pub fn check(file: &str, content: &str) {
    let path = path(file);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().expect("a file lies in a folder"))
            .expect("the folder can be made");
        fs::write(&path, content).expect("the file can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == content, "{file} is not what the code says: run `cargo xtask update`");
}

/// [`check`] for a part of a document that people write: what stands between `<!-- PART: made by a test -->` and `<!-- end of PART -->`.
///
/// # Panics
/// As [`check`], and when the document has no such part.
#[track_caller]
pub fn check_part(file: &str, part: &str, content: &str) {
    let found = fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (begin, end) =
        (format!("<!-- {part}: made by a test -->\n"), format!("<!-- end of {part} -->"));
    let around = found
        .split_once(&begin)
        .and_then(|(before, rest)| rest.split_once(&end).map(|(_, after)| (before, after)));
    let Some((before, after)) = around else { panic!("{file} has no part {part}") };
    check(file, &format!("{before}{begin}\n{content}\n{end}{after}"));
}

/// [`check`] for JSON, printed with indentation.
///
/// # Panics
/// As [`check`].
#[track_caller]
pub fn check_json(file: &str, value: &Value) {
    check(file, &format!("{value:#}\n"));
}

/// The JSON in a file of the repository.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn read_json(file: &str) -> Value {
    let text = fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}
