//! Modules beside each other in a folder use each other in one direction only. A folder counts as one module, with all that is below it; between a module and its
//! own parts both directions are free, since a part may use what its parent holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::{sources, without_tests};

/// A module's names from the crate's root.
type Path = Vec<String>;

/// The modules of a crate that are not for tests alone, with their code. `files` are named from the crate's `src`.
fn modules(files: &BTreeMap<String, String>) -> BTreeMap<Path, &str> {
    let mut modules = BTreeMap::new();
    let mut for_tests = Vec::new();
    for (name, text) in files {
        let name = name.trim_end_matches(".rs");
        let name = name.strip_suffix("/mod").unwrap_or(name);
        let root = ["lib", "main", "mod"].contains(&name);
        let path: Path =
            if root { Path::new() } else { name.split('/').map(str::to_owned).collect() };
        let mut test = false;
        for line in text.lines().map(str::trim) {
            let declared = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod "));
            match declared {
                Some((_, part)) if test => for_tests.push([&path[..], &[part.to_owned()]].concat()),
                _ if line.starts_with("#[cfg(") => {
                    test = line.contains("test") || line.contains("fuzzing");
                    continue;
                }
                _ if line.starts_with("#[") => continue,
                _ => {}
            }
            test = false;
        }
        modules.insert(path, without_tests(text));
    }
    modules.retain(|path, _| !for_tests.iter().any(|test| path.starts_with(test)));
    modules
}

/// Words, `::` and single signs.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let mut in_word = false;
        for letter in line.chars() {
            let of_word = letter.is_alphanumeric() || letter == '_';
            match tokens.last_mut() {
                Some(last) if (of_word && in_word) || (letter == ':' && last == ":") => {
                    last.push(letter);
                }
                _ if !letter.is_whitespace() => tokens.push(letter.to_string()),
                _ => {}
            }
            in_word = of_word;
        }
    }
    tokens
}

/// Every path of the crate that the code names: what stands in braces is a path each.
fn paths(code: &str) -> Vec<Path> {
    let tokens = tokens(code);
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let begins = ["crate", "super", "self"].contains(&tokens[at].as_str());
        if begins && tokens.get(at + 1).is_some_and(|next| next == "::") {
            read(&tokens, &mut at, Path::new(), &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads on from a path's beginning.
fn read(tokens: &[String], at: &mut usize, mut path: Path, found: &mut Vec<Path>) {
    let is_word =
        |token: &String| token.starts_with(|first: char| first.is_alphabetic() || first == '_');
    while let Some(word) = tokens.get(*at).filter(|token| is_word(token)) {
        path.push(word.clone());
        *at += 1;
        if tokens.get(*at).is_none_or(|next| next != "::") {
            return found.push(path);
        }
        *at += 1;
    }
    if tokens.get(*at).is_none_or(|next| next != "{") {
        return found.push(path);
    }
    while tokens.get(*at).is_some_and(|next| next != "}") {
        *at += 1;
        read(tokens, at, path.clone(), found);
        // As of `as name` and `*`.
        while tokens.get(*at).is_some_and(|next| next != "," && next != "}") {
            *at += 1;
        }
    }
    *at += 1;
}

/// The module that a path leads into, as it is named in `from`.
fn target(modules: &BTreeMap<Path, &str>, from: &Path, path: &[String]) -> Path {
    let mut module = if path[0] == "crate" { Path::new() } else { from.clone() };
    for name in path {
        match name.as_str() {
            "crate" | "self" => {}
            "super" => drop(module.pop()),
            name => {
                module.push(name.to_owned());
                if !modules.contains_key(&module) {
                    module.pop();
                    break;
                }
            }
        }
    }
    module
}

/// The circles of a crate: for each the arrows that it consists of, and those that lead into it or from one to another.
fn circles(files: &BTreeMap<String, String>) -> Vec<String> {
    let modules = modules(files);
    // In a folder: from which part to which, and where.
    let mut folders: BTreeMap<Path, BTreeMap<(String, String), String>> = BTreeMap::new();
    for (from, code) in &modules {
        for path in paths(code) {
            let to = target(&modules, from, &path);
            let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
            if let (Some(one), Some(other)) = (from.get(shared), to.get(shared)) {
                let arrow = (one.clone(), other.clone());
                let place = format!("{} names {}", from.join("/"), path.join("::"));
                folders.entry(from[..shared].to_vec()).or_default().insert(arrow, place);
            }
        }
    }
    for arrows in folders.values_mut() {
        loop {
            let users: BTreeSet<String> = arrows.keys().map(|(from, _)| from.clone()).collect();
            let before = arrows.len();
            arrows.retain(|(_, to), _| users.contains(to));
            if arrows.len() == before {
                break;
            }
        }
    }
    folders.into_values().flat_map(BTreeMap::into_values).collect()
}

#[test]
fn modules_beside_each_other_use_each_other_in_one_direction() {
    let mut crates: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (name, text) in sources() {
        if let Some((folder, file)) = name.split_once("/src/")
            && !file.starts_with("bin/")
        {
            crates.entry(folder.to_owned()).or_default().insert(file.to_owned(), text);
        }
    }
    assert!(crates.len() > 8, "the search finds the crates");
    for (name, files) in crates {
        let circles = circles(&files);
        assert!(circles.is_empty(), "{name}: these arrows close a circle: {circles:#?}");
    }
}

#[test]
fn a_circle_is_found_in_whatever_way_its_modules_are_named() {
    let files = |files: &[(&str, &str)]| {
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    let root = ("lib.rs", "mod a;\nmod b;\n#[cfg(test)]\nmod tests;\nuse a::One;");
    for (one, other, is_circle) in [
        ("use crate::b::Two;", "use super::a::One;", true),
        ("use crate::{\n    x,\n    b::{self, Two as Too},\n};", "fn f() { crate::a::f() }", true),
        ("use crate::b::Two;", "use std::fmt;", false),
        ("use crate::b::Two;", "// crate::a\nuse crate::One;\npub(crate) fn a() {}", false),
        (
            "use crate::b::Two;",
            "use x;\n\n#[cfg(test)]\nmod tests {\n    use crate::a::One;\n}",
            false,
        ),
        ("use crate::b::*;", "use crate::tests::a;", false),
    ] {
        let tests = ("tests.rs", "use crate::a::One;\nuse crate::b::Two;");
        let found = circles(&files(&[root, tests, ("a.rs", one), ("b.rs", other)]));
        assert_eq!(!found.is_empty(), is_circle, "{one} {other}: {found:?}");
        // The same between folders, wherever below them.
        let below = ("a/part/deep.rs", one);
        let found =
            circles(&files(&[root, ("a/mod.rs", ""), ("a/part.rs", ""), below, ("b.rs", other)]));
        assert_eq!(!found.is_empty(), is_circle, "{one} {other}: {found:?}");
    }
    let parent = ("a/mod.rs", "mod part;\nuse part::f;\npub struct One;");
    let part = ("a/part.rs", "use super::One;");
    assert_eq!(circles(&files(&[root, parent, part])), Vec::<String>::new());
}
