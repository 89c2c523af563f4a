//! Documents: ARCHITECTURE.md stays a map, each decision is a file of one form, terms of the glossary exist, links and paths resolve.

use std::{collections::BTreeMap, fs, path::Path};

use xtask::spec_file;

/// Lines of ARCHITECTURE.md: a map that is read at once. Reasons belong into `docs/decisions`.
const MOST_LINES: usize = 150;
/// The sections of a decision, in this order; `Measured` only where there are numbers.
const SECTIONS: [&str; 4] = ["Context", "Decision", "Consequences", "Measured"];
/// Words that hide the subject of a sentence, in parts, so that a search for them does not find this file.
const UNCLEAR: [&str; 4] = [
    concat!("to", "ld"),
    concat!("who", "ever"),
    concat!("for", " ever"),
    concat!("of one", "'s own"),
];
/// Folders of documents that link to each other.
const FOLDERS: [&str; 5] = ["", "docs", "docs/decisions", "docs/platforms", "spec"];

/// The documents in these folders, not below them, by their path from the root.
fn documents(folders: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in folders {
        for entry in fs::read_dir(spec_file::path(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(spec_file::path("")).unwrap();
                let text = fs::read_to_string(&path).unwrap();
                found.insert(name.to_str().unwrap().to_owned(), text);
            }
        }
    }
    found
}

/// The targets of a document's links, as written. Code blocks have none.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

/// The decisions by their file names, without the index.
fn decisions() -> BTreeMap<String, String> {
    let all = documents(&["docs/decisions"]).into_iter();
    let named = all.map(|(path, text)| (path.rsplit_once('/').unwrap().1.to_owned(), text));
    named.filter(|(name, _)| name != "README.md").collect()
}

/// The errors in the form of a decision.
fn mistake(name: &str, text: &str) -> Option<String> {
    let (number, slug) = name.strip_suffix(".md")?.split_once('-')?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if number.len() != 4 || number.parse::<u32>().is_err() || !slug.bytes().all(plain) {
        return Some("is not named NNNN-title.md".to_owned());
    }
    let title = text.strip_prefix(&format!("# {number}. ")).and_then(|rest| rest.lines().next());
    if title.is_none_or(|title| title.trim().is_empty()) {
        return Some(format!("does not begin with `# {number}. Title`"));
    }
    let sections: Vec<&str> = text.split("\n## ").skip(1).collect();
    let headings: Vec<&str> = sections.iter().filter_map(|part| part.lines().next()).collect();
    if headings != SECTIONS[..3] && headings != SECTIONS {
        return Some(format!("has the headings {headings:?}, not {SECTIONS:?}"));
    }
    let empty = sections.iter().find(|part| part.lines().skip(1).all(str::is_empty));
    empty.map(|part| format!("says nothing under {:?}", part.trim()))
}

#[test]
fn architecture_is_a_map() {
    let text = fs::read_to_string(spec_file::path("ARCHITECTURE.md")).unwrap();
    let lines = text.lines().count();
    assert!(lines <= MOST_LINES, "ARCHITECTURE.md has {lines} lines, more than {MOST_LINES}");
    assert!(links(&text).contains(&"docs/decisions/README.md"), "it links to the decisions");
}

#[test]
fn every_decision_has_a_number_the_headings_and_a_line_in_the_index() {
    let index = fs::read_to_string(spec_file::path("docs/decisions/README.md")).unwrap();
    let listed = links(&index);
    let decisions = decisions();
    assert!(decisions.len() > 70, "the search finds the decisions");
    let mut numbers: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, text) in &decisions {
        assert_eq!(mistake(name, text), None, "docs/decisions/{name}");
        let other = numbers.insert(&name[..4], name);
        assert_eq!(other, None, "the number of {name} is used once");
        let lines = listed.iter().filter(|link| **link == name.as_str()).count();
        assert_eq!(lines, 1, "the index lists {name} once");
    }
}

#[test]
fn a_decision_of_another_form_is_found() {
    let good =
        "# 0007. A title\n\n## Context\n\nA.\n\n## Decision\n\nB.\n\n## Consequences\n\nC.\n";
    assert_eq!(mistake("0007-a-title.md", good), None);
    assert_eq!(mistake("0007-a-title.md", &format!("{good}\n## Measured\n\n3 ms.\n")), None);
    let bad = [
        ("0008-a-title.md", good.to_owned()),
        ("7-a-title.md", good.replace("0007", "7")),
        ("0007-A_title.md", good.to_owned()),
        ("0007-a-title.md", good.replace("## Context", "## Reasons")),
        ("0007-a-title.md", good.replace("\nB.\n", "")),
        ("0007-a-title.md", good.replace("\n## Consequences\n\nC.\n", "")),
        ("0007-a-title.md", format!("{good}\n## Notes\n\nD.\n")),
        ("0007-a-title.md", good.replace(" A title", " ")),
    ];
    for (name, text) in bad {
        assert!(mistake(name, &text).is_some(), "{name}: {text}");
    }
}

/// Whether the text has this as a word, and not as a part of one.
fn has_word(text: &str, word: &str) -> bool {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

#[test]
fn every_term_of_the_glossary_names_something_in_the_code() {
    let glossary = fs::read_to_string(spec_file::path("docs/glossary.md")).unwrap();
    let rows: Vec<&str> = glossary.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(rows.len() > 30, "the search finds the terms");
    let mut before = String::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [term, meaning, code] = cells[..] else { panic!("not three cells: {row}") };
        assert!(!meaning.is_empty(), "{term} has no meaning");
        assert!(before <= term.to_lowercase(), "{term} is not in the order of the alphabet");
        before = term.to_lowercase();
        let name = code.split('`').nth(1).unwrap_or_else(|| panic!("{term} names nothing"));
        let [link] = links(code)[..] else { panic!("{term} does not name one file") };
        let path = link.strip_prefix("../").unwrap_or(link);
        assert!(code.contains(&format!("[{path}]")), "{term}: the link shows another path");
        let text = fs::read_to_string(spec_file::path(path));
        let text = text.unwrap_or_else(|error| panic!("{term} is in {path}: {error}"));
        assert!(has_word(&text, name), "{term}: no `{name}` in {path}");
    }
}

#[test]
fn the_map_the_decisions_and_the_glossary_have_clear_subjects() {
    let mut texts = documents(&["docs/decisions"]);
    for name in ["ARCHITECTURE.md", "docs/glossary.md"] {
        texts.insert(name.to_owned(), fs::read_to_string(spec_file::path(name)).unwrap());
    }
    for (name, text) in texts {
        let text = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        for word in UNCLEAR {
            assert!(!has_word(&text, word), "{name} has the words {word:?}");
        }
    }
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let documents = documents(&FOLDERS);
    assert!(documents.len() > 80, "the search finds the documents");
    for (name, text) in &documents {
        let folder = spec_file::path(name).parent().map(Path::to_owned).unwrap();
        for link in links(text) {
            let target = link.split('#').next().unwrap();
            let elsewhere =
                target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            assert!(elsewhere || folder.join(target).exists(), "{name}: {link} leads nowhere");
        }
    }
}

/// All files of the repository's own folders, by their path from the root.
fn files() -> Vec<String> {
    let root = spec_file::path("");
    let own = ["crates", "dashboard", "deploy", "docs", "fuzz", "sdk-go", "sdks", "spec", "xtask"];
    let mut folders: Vec<_> = own.iter().map(|folder| root.join(folder)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_dir() {
                files.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            } else if !["target", "node_modules"].iter().any(|made| path.ends_with(made)) {
                folders.push(path);
            }
        }
    }
    files
}

/// Whether a file or folder has this path, or ends with it; a Rust file may be named without its extension.
fn exists(files: &[String], path: &str) -> bool {
    let path = format!("/{}", path.trim_end_matches('/'));
    files.iter().map(|file| format!("/{file}")).any(|file| {
        file.match_indices(&path).any(|(at, _)| {
            let rest = &file[at + path.len()..];
            rest.is_empty() || rest.starts_with('/') || rest == ".rs"
        })
    })
}

#[test]
fn paths_in_the_map_and_the_decisions_exist() {
    let files = files();
    assert!(exists(&files, "xtask/tests/tidy") && exists(&files, "tidy/documents"));
    assert!(!exists(&files, "idy/documents") && !exists(&files, "tests/tid"));
    let mut texts = documents(&["docs/decisions"]);
    texts.insert("ARCHITECTURE.md".to_owned(), documents(&[""])["ARCHITECTURE.md"].clone());
    let mut seen = 0;
    for (name, text) in texts {
        for code in text.split('`').skip(1).step_by(2) {
            let of_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
            let is_path = code.contains('/') && !code.starts_with('/') && code.bytes().all(of_path);
            // Files of the crate `is`, which the repository does not hold.
            if is_path && !code.starts_with("is/src/") {
                assert!(exists(&files, code), "{name}: no `{code}`");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "the search finds the paths");
}
