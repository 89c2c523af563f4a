//! `spec/surface/rust.txt`: all that programs can name of this crate, so that no name and no signature changes by accident. Read from the source, which rustfmt
//! has formatted and whose `pub` items are public (`unreachable_pub`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use xtask::spec_file;

/// The Rust files of a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// A definition's name, as in `pub struct Job<T> {`.
fn name(definition: &str) -> &str {
    let words = definition.split(['<', '(', '{', ';', ':', ' ']).filter(|word| !word.is_empty());
    let kinds = ["pub", "struct", "enum", "trait", "type", "const", "fn", "async", "mod", "unsafe"];
    words.into_iter().find(|word| !kinds.contains(word)).unwrap_or_default()
}

/// What a file makes public: under the name of each type its definition, its fields or variants, its methods and its traits; under no name what belongs to none.
fn items(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut items: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // The blocks around a line: how far each is indented, whose it is, and whether all in it is public.
    let mut blocks: Vec<(usize, String, bool)> = Vec::new();
    let (mut lines, mut derived) = (text.lines(), None);
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let code = line.trim();
        if ["#[cfg(test)]", "#[cfg(fuzzing)]"].contains(&code) {
            // The item extends to the first later line with the same indentation.
            let ends = |line: &&str| {
                line.len() - line.trim_start().len() == indent
                    && (line.ends_with('}') || line.ends_with(';'))
            };
            lines.by_ref().find(ends);
            continue;
        }
        while blocks.last().is_some_and(|(outer, ..)| indent <= *outer && code.starts_with('}')) {
            blocks.pop();
        }
        if code.starts_with("#[derive(") {
            derived = Some(code.to_owned());
        }
        if code.is_empty() || code.starts_with(['#', '/', '}', ')', ']']) {
            continue;
        }
        let derived = derived.take();
        let around = blocks.last().filter(|(outer, ..)| indent == outer + 4).cloned();
        // A line in the body of a function, or of what is not public.
        if indent > 0 && around.is_none() {
            continue;
        }
        let (owner, open) = around.map_or((String::new(), false), |(_, name, open)| (name, open));
        let begins_impl = code.starts_with("impl ") || code.starts_with("impl<");
        let is_public = code.starts_with("pub ") || begins_impl || (open && !owner.is_empty());
        if !is_public || code.starts_with("pub use") {
            continue;
        }
        // A signature ends at its body, its semicolon or the next field.
        let mut whole = code.to_owned();
        let ended = |text: &str| {
            let depth = |open, close| text.matches(open).count() == text.matches(close).count();
            text.ends_with(['{', ';', '}'])
                || (text.ends_with(',') && depth('(', ')') && depth('<', '>'))
        };
        while !ended(&whole) {
            let Some(next) = lines.next() else { break };
            whole.push(' ');
            whole.push_str(next.trim());
        }
        let opens = whole.ends_with('{');
        let mut shown = whole.trim_end_matches(['{', ';', ',']).trim().replace("( ", "(");
        shown = shown.replace(", )", ")").replace(",)", ")");
        if begins_impl {
            let (of, subject) = match shown.rsplit_once(" for ") {
                Some((of, subject)) => (Some(of), subject),
                None => (None, shown.split_once(' ').map_or("", |(_, subject)| subject)),
            };
            let subject = name(subject).to_owned();
            if of.is_some() {
                items.entry(subject.clone()).or_default().insert(shown.clone());
            }
            blocks.push((indent, subject, false));
            continue;
        }
        let is_type =
            ["pub struct ", "pub enum ", "pub trait "].iter().any(|kind| shown.starts_with(kind));
        let key = if is_type { name(&shown).to_owned() } else { owner };
        if opens && is_type {
            blocks.push((indent, key.clone(), !shown.starts_with("pub struct")));
        } else if opens && shown.starts_with("pub mod") {
            blocks.push((indent, String::new(), false));
        }
        if let Some(derived) = derived.filter(|_| is_type) {
            items.entry(key.clone()).or_default().insert(derived);
        }
        items.entry(key).or_default().insert(shown);
    }
    items
}

/// The names in the `pub use` of a file that begins so.
fn uses(text: &str, begins: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for part in text.split("pub use ").skip(1) {
        let used = part.split(';').next().unwrap_or_default();
        if let Some(list) = used.strip_prefix(begins) {
            let words = list.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            names.extend(words.filter(|word| !word.is_empty()).map(ToOwned::to_owned));
        }
    }
    names
}

fn surface() -> String {
    let library = fs::read_to_string(spec_file::path("crates/meetbot/src/lib.rs")).unwrap();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let own = files(&spec_file::path("crates/meetbot/src")).into_iter();
    let tests = ["surface.rs", "untrusted.rs", "answers.rs", "vectors.rs"];
    for path in own.filter(|path| !tests.iter().any(|test| path.ends_with(test))) {
        // The blocking client has types of the same names as the other one.
        let module = if path.ends_with("blocking.rs") { "blocking::" } else { "" };
        for (owner, found) in items(&fs::read_to_string(path).unwrap()) {
            let owner = if owner.is_empty() { owner } else { format!("{module}{owner}") };
            all.entry(owner).or_default().extend(found);
        }
    }
    let shared = uses(&library, "meetbot_types::");
    for path in files(&spec_file::path("crates/types/src")) {
        for (owner, found) in items(&fs::read_to_string(path).unwrap()) {
            if shared.contains(&owner) {
                all.entry(owner).or_default().extend(found);
            }
        }
    }
    // Private traits for types of this crate do not count.
    all.retain(|_, found| found.iter().any(|line| line.starts_with("pub ")));
    let mut text =
        "What programs can name of the crate meetbot. Made from the code by a test.\n\n".to_owned();
    let reexported = uses(&library, "crate::").into_iter().chain(shared);
    let names: Vec<String> =
        reexported.filter(|name| name.starts_with(char::is_uppercase)).collect();
    text.extend(["meetbot: ", &names.join(", "), "\n"]);
    for (owner, found) in all {
        text.extend(["\n", if owner.is_empty() { "items" } else { &owner }, "\n"]);
        for line in found {
            text.extend(["  ", &line, "\n"]);
        }
    }
    text
}

#[test]
fn no_public_name_changes_by_accident() {
    spec_file::check("spec/surface/rust.txt", &surface());
}

#[test]
fn the_listing_finds_exactly_the_public_items() {
    let text = "
#[derive(Debug)]
pub struct Job<T> {
    /// Its id.
    pub id: String,
    pub(crate) hidden: T,
}

impl<T> Job<T> {
    pub fn new(
        id: String,
        hidden: T,
    ) -> Self {
        pub struct Inner;
        Self { id, hidden }
    }

    fn private(&self) {}
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {}
}

pub enum Verdict {
    Done(Response),
    Again { after: Duration },
}

pub(crate) fn hidden() {}

pub const MOST: u32 = 5;

#[cfg(test)]
mod tests {
    pub fn helper() {}
}
";
    let found = items(text);
    let of = |name: &str| found[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(
        of("Job"),
        [
            "#[derive(Debug)]",
            "impl<T> Drop for Job<T>",
            "pub fn new(id: String, hidden: T) -> Self",
            "pub id: String",
            "pub struct Job<T>"
        ]
    );
    assert_eq!(of("Verdict"), ["Again { after: Duration }", "Done(Response)", "pub enum Verdict"]);
    assert_eq!(of(""), ["pub const MOST: u32 = 5"]);
    assert_eq!(found.len(), 3);
}
