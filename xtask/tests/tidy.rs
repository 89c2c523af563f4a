//! The rules of the repository that a search can check: `ARCHITECTURE.md` lists them, `docs/decisions` has the reasons.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/waits.rs"]
mod waits;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Command,
};

use serde_json::Value;
use xtask::spec_file;

/// The allowed dependencies: a crate, and the crates of the workspace that it may use.
const ARROWS: [(&str, &[&str]); 11] = [
    ("meetbot-types", &[]),
    ("meetbot", &["meetbot-types"]),
    ("meetbot-python", &["meetbot"]),
    ("meetbot-rtc", &[]),
    ("meetbot-bot", &["meetbot-types", "meetbot-rtc"]),
    ("meetbot-sandbox", &["meetbot-types", "meetbot-rtc"]),
    ("meetbot-orchestrator", &["meetbot-types"]),
    (
        "meetbot-cli",
        &[
            "meetbot-types",
            "meetbot",
            "meetbot-bot",
            "meetbot-sandbox",
            "meetbot-imitation",
            "meetbot-orchestrator",
        ],
    ),
    ("meetbot-imitation", &[]),
    ("meetbot-testkit", &["meetbot-types", "meetbot-rtc"]),
    ("xtask", &["meetbot-testkit"]),
];

/// Crates that may be named in these files only.
const ONLY_UNDER: [(&str, &[&str]); 9] = [
    (
        "axum",
        &[
            "crates/orchestrator/src/api/",
            "crates/cli/src/webhooks/receiver.rs",
            "crates/cli/src/worker/metrics.rs",
        ],
    ),
    ("object_store", &["crates/orchestrator/src/recordings/bucket/"]),
    ("rusqlite", &["crates/orchestrator/src/store/"]),
    ("prometheus_client", &["crates/orchestrator/src/metrics/"]),
    ("str0m", &["crates/rtc/", "crates/imitation/src/media.rs"]),
    (
        "meetbot_rtc",
        &[
            "crates/bot/src/platforms/",
            "crates/bot/src/bounds.rs",
            "crates/sandbox/",
            "crates/testkit/",
            "fuzz/",
        ],
    ),
    ("clap", &["crates/cli/"]),
    ("pyo3", &["sdks/python/src/"]),
    ("utoipa", &["crates/orchestrator/src/api/", "crates/types/src/"]),
];

/// Calls that make files or folders that others can read, as far as the umask allows.
const READABLE: [&str; 4] = ["File::create", "fs::write(", "fs::create_dir", "fs::copy("];

/// Lines of a file without its tests.
const MOST_LINES: usize = 500;

/// Names without meaning.
const EMPTY_NAMES: [&str; 7] = ["utils", "util", "helpers", "common", "core", "misc", "manager"];

/// The workspace's source files, by their path from the root.
fn sources() -> BTreeMap<String, String> {
    let sources = files_under(&["crates", "sdks/python/src", "xtask"], "rs");
    assert!(sources.len() > 80, "the search finds the sources");
    sources
}

/// The files with this extension in these folders, by their path from the root.
fn files_under(folders: &[&str], extension: &str) -> BTreeMap<String, String> {
    let root = spec_file::path("");
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut sources = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                sources.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    sources
}

/// The code before the inline tests.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

#[test]
fn crates_depend_only_on_whom_they_may() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline", "--locked"])
        .current_dir(spec_file::path(""))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), ARROWS.len(), "every crate has its arrows");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let (_, allowed) = ARROWS.iter().find(|(known, _)| *known == name).unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = dependency["name"].as_str().unwrap();
            let ours = ARROWS.iter().any(|(known, _)| *known == other);
            let for_tests = dependency["kind"] == "dev";
            assert!(
                !ours || for_tests || allowed.contains(&other),
                "{name} must not depend on {other}"
            );
        }
    }
}

#[test]
fn some_crates_are_named_in_one_place_only() {
    for (name, text) in sources() {
        for (library, places) in ONLY_UNDER {
            let named = without_tests(&text).lines().any(|line| {
                !line.trim_start().starts_with("//") && line.contains(&format!("{library}::"))
            });
            let allowed =
                places.iter().any(|place| name.starts_with(place)) || name.contains("/tests/");
            assert!(!named || allowed, "{name} names {library}, which belongs under {places:?}");
        }
    }
}

#[test]
fn files_are_short_begin_with_what_they_hold_and_have_names_that_say_something() {
    for (name, text) in sources() {
        let lines = without_tests(&text).lines().count();
        assert!(
            lines <= MOST_LINES || name.ends_with("store/contract.rs"),
            "{name} has {lines} lines"
        );
        assert!(
            text.starts_with("//! "),
            "{name} does not begin with a line that says what it holds"
        );
        let parts: Vec<&str> = name.trim_end_matches(".rs").split('/').collect();
        let empty = parts.iter().find(|part| EMPTY_NAMES.contains(part));
        assert!(empty.is_none(), "{name}: {empty:?} is no name");
    }
}

#[test]
fn what_a_server_makes_is_made_for_its_owner_alone() {
    let of_server = ["crates/bot/src/", "crates/orchestrator/src/", "crates/cli/src/"];
    for (name, text) in sources() {
        if !of_server.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        let code = without_tests(&text);
        // A `VideoFile` is another type.
        let called = |call: &&&str| {
            let mut places = code.match_indices(**call).map(|(at, _)| &code[..at]);
            places.any(|before| !before.ends_with(char::is_alphanumeric))
        };
        let found = READABLE.iter().find(called);
        assert!(found.is_none(), "{name}: {found:?} leaves the mode to the umask");
        let opens = code.contains("OpenOptions::new()");
        assert!(!opens || code.contains("mode(0o600)"), "{name} opens files without a mode");
    }
}

#[test]
fn nothing_is_ignored_or_put_off() {
    // Built here, so that the search does not find itself.
    let forbidden = [
        ["#[ign", "ore"].concat(),
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["unimpl", "emented!"].concat(),
    ];
    for (name, text) in sources() {
        for word in &forbidden {
            assert!(!text.contains(word.as_str()), "{name} holds {word}");
        }
    }
}

#[test]
fn python_files_are_short_and_begin_with_what_they_hold() {
    let files = files_under(&["sdks/python/python", "sdks/python/tests"], "py");
    assert!(files.len() > 12, "the search finds the files");
    let put_off = [["TO", "DO"].concat(), ["mark.sk", "ip"].concat(), ["xfa", "il"].concat()];
    for (name, text) in files {
        assert!(
            text.starts_with("\"\"\""),
            "{name} does not begin with a line that says what it holds"
        );
        // Docstrings are every second piece: they are as long as they need to be.
        let lines: usize = text.split("\"\"\"").step_by(2).map(|code| code.lines().count()).sum();
        assert!(lines <= MOST_LINES, "{name} has {lines} lines");
        for word in &put_off {
            assert!(!text.contains(word.as_str()), "{name} holds {word}");
        }
    }
}

#[test]
fn go_files_are_short_and_the_sdk_requires_no_module() {
    let files = files_under(&["sdk-go"], "go");
    assert!(files.len() > 40, "the search finds the files");
    let put_off = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
    for (name, text) in files {
        let generated = name.ends_with("requests.gen.go");
        assert!(generated || text.lines().count() <= MOST_LINES, "{name} is too long");
        for word in &put_off {
            assert!(!text.contains(word.as_str()), "{name} holds {word}");
        }
        for word in ["func init(", "http.DefaultClient"] {
            let test = name.ends_with("_test.go");
            assert!(test || !text.contains(word), "{name} holds {word}");
        }
    }
    let module = fs::read_to_string(spec_file::path("sdk-go/go.mod")).unwrap();
    assert!(!module.contains("require"), "{module}");
    assert!(!spec_file::path("sdk-go/go.sum").exists(), "a go.sum is of what is required");
}

#[test]
fn typescript_files_are_short_and_begin_with_what_they_hold() {
    let files = files_under(&["sdks/typescript"], "ts");
    assert!(files.len() > 25, "the search finds the files");
    let put_off = [["TO", "DO"].concat(), ["test.sk", "ip"].concat(), ["test.on", "ly"].concat()];
    for (name, text) in files {
        assert!(
            text.starts_with("/** "),
            "{name} does not begin with a line that says what it holds"
        );
        // Comments on what is public are as long as they need to be.
        let code =
            text.split("/**").map(|piece| piece.split_once("*/").map_or(piece, |(_, code)| code));
        let lines: usize = code.map(|code| code.lines().count()).sum();
        assert!(lines <= MOST_LINES, "{name} has {lines} lines");
        for word in &put_off {
            assert!(!text.contains(word.as_str()), "{name} holds {word}");
        }
    }
}

/// Names, chat and captions are untrusted text: the dashboard must not make markup or code of text.
#[test]
fn modules_of_the_dashboard_are_short_and_make_no_markup_of_text() {
    let files = files_under(&["dashboard"], "js");
    assert!(files.len() > 15, "the search finds the files");
    let forbidden = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "srcdoc",
        "DOMParser",
        "createContextualFragment",
        "test.only",
        "test.skip",
    ];
    for (name, text) in files {
        assert!(
            text.starts_with("// "),
            "{name} does not begin with a line that says what it holds"
        );
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "{name} has {lines} lines");
        for word in forbidden {
            assert!(!text.contains(word), "{name} holds {word}");
        }
    }
}

/// The names of all properties in all schemas of the document.
fn properties(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(properties)) = fields.get("properties") {
                found.extend(properties.keys().cloned());
            }
            fields.values().for_each(|value| properties(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| properties(value, found)),
        _ => {}
    }
}

/// The names of all fields, those in texts that are JSON themselves included.
fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.keys().cloned());
            object.values().for_each(|value| fields(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, found)),
        Value::String(text) if text.starts_with('{') => {
            if let Ok(inner) = serde_json::from_str(text) {
                fields(&inner, found);
            }
        }
        _ => {}
    }
}

/// The names of the schemas that a part of the document refers to, directly or by another schema.
fn schemas_of(document: &Value, part: &Value, found: &mut BTreeSet<String>) {
    match part {
        Value::Object(fields) => {
            let reference = fields.get("$ref").and_then(Value::as_str);
            let name = reference.and_then(|path| path.strip_prefix("#/components/schemas/"));
            if let Some(name) = name
                && found.insert(name.to_owned())
            {
                schemas_of(document, &document["components"]["schemas"][name], found);
            }
            fields.values().for_each(|value| schemas_of(document, value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| schemas_of(document, value, found)),
        _ => {}
    }
}

/// The schemas of calls for which the SDKs have no method, and of no other call: no SDK reads them.
fn schemas_that_no_sdk_reads(document: &Value) -> BTreeSet<String> {
    let (mut read, mut others) = (BTreeSet::new(), BTreeSet::new());
    let items = document["paths"].as_object().unwrap().values();
    for operation in items.flat_map(|item| item.as_object().unwrap().values()) {
        let has_method = operation["x-sdk-name"].is_string();
        schemas_of(document, operation, if has_method { &mut read } else { &mut others });
    }
    others.difference(&read).cloned().collect()
}

#[test]
fn every_property_of_the_api_that_sdks_read_is_in_a_vector() {
    let mut document = spec_file::read_json("spec/openapi.json");
    let unread = schemas_that_no_sdk_reads(&document);
    assert!(unread.contains("ApiKey") && !unread.contains("Job"), "{unread:?}");
    let schemas = document["components"]["schemas"].as_object_mut().unwrap();
    schemas.retain(|name, _| !unread.contains(name));
    let mut promised = BTreeSet::new();
    properties(&document["components"]["schemas"], &mut promised);
    assert!(promised.len() > 60, "the search finds the properties");
    let mut shown = BTreeSet::new();
    for file in fs::read_dir(spec_file::path("spec/vectors")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        fields(&spec_file::read_json(&format!("spec/vectors/{name}")), &mut shown);
    }
    let missing: Vec<_> = promised.difference(&shown).collect();
    assert!(
        missing.is_empty(),
        "properties of spec/openapi.json that no vector holds: {missing:?}"
    );
}

/// Every text that describes something in the document, with the place where it stands.
fn descriptions(value: &Value, place: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" || name == "summary" => {
                        found.push((place.to_owned(), text.clone()));
                    }
                    value => descriptions(value, &format!("{place}/{name}"), found),
                }
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                descriptions(value, &format!("{place}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_apis_document_is_fit_for_generators() {
    let document = spec_file::read_json("spec/openapi.json");
    let schemas = &document["components"]["schemas"];
    for (name, page) in schemas.as_object().unwrap() {
        if let Some(element) = name.strip_prefix("Page_") {
            let reference = format!("#/components/schemas/{element}");
            assert_eq!(page["properties"]["data"]["items"]["$ref"], reference, "{name}");
        }
    }
    assert!(
        !schemas["EventData"]["additionalProperties"].is_null(),
        "what is particular to an event is no field of EventData: a generated reader would drop it"
    );
    let rules = schemas["AutoLeaveConfig"]["properties"].as_object().unwrap();
    assert!(
        rules.values().all(|rule| rule.get("default").is_none()),
        "a rule that is not sent keeps the server's default; null would switch it off"
    );
    let mut found = Vec::new();
    descriptions(&document, "", &mut found);
    assert!(found.len() > 200, "the search finds the descriptions");
    for (place, text) in found {
        for word in ["`None`", "`Some", "```", "::", "`True`", "`False`", "Option<", "Vec<"] {
            assert!(!text.contains(word), "{place} speaks {word}, a word of one language: {text}");
        }
    }
}

#[test]
fn every_call_of_the_api_has_its_method_in_every_sdk() {
    let document = spec_file::read_json("spec/openapi.json");
    let methods = |file: &str, method: &dyn Fn(&str) -> String| {
        let text = if spec_file::path(file).is_dir() {
            let extension = if file == "sdk-go" { "go" } else { "py" };
            files_under(&[file], extension).into_values().collect()
        } else {
            fs::read_to_string(spec_file::path(file)).unwrap()
        };
        let missing: Vec<String> = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
            .filter_map(|operation| {
                let name = operation.get("x-sdk-name");
                let name = name.unwrap_or_else(|| panic!("no x-sdk-name in {operation:#}"));
                let method = method(name.as_str()?);
                (!text.contains(&method)).then_some(method)
            })
            .collect();
        assert!(missing.is_empty(), "{file} lacks {missing:?}");
    };
    methods("crates/meetbot/src/client.rs", &|name| format!(" fn {name}("));
    methods("sdks/python/python/meetbot/_sync", &|name| format!("    def {name}("));
    let pascal = |name: &str| -> String {
        name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
    };
    methods("sdk-go", &|name| format!("func (c *Client) {}(", pascal(name)));
    methods("sdks/typescript/src/client.ts", &|name| format!(" {}(", in_camel_case(name)));
}

/// `getBot` for `get_bot`.
fn in_camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(1);
        name + &initial.to_uppercase() + rest
    })
}
