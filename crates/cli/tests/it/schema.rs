//! Manifests as others read them: by `spec/manifest.schema.json`.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;
use xtask::spec_file;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::validator_for(&spec_file::read_json("spec/manifest.schema.json")).unwrap()
});

/// Fails unless the manifest is what the schema says.
#[track_caller]
pub(crate) fn fits(manifest: &Value) {
    let problems: Vec<String> = SCHEMA
        .iter_errors(manifest)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{problems:#?} in {manifest:#}");
}

#[test]
fn the_schema_tells_a_manifest_from_what_is_none() {
    let vectors = spec_file::read_json("spec/vectors/models.json");
    let case = vectors["cases"]
        .as_array()
        .unwrap()
        .iter()
        .find(|case| case["model"] == "manifest")
        .unwrap();
    let mut manifest = case["json"].clone();
    fits(&manifest);
    manifest["tracks"][0]["packets"] = "many".into();
    assert!(!SCHEMA.is_valid(&manifest));
    manifest.as_object_mut().unwrap().remove("tracks");
    assert!(!SCHEMA.is_valid(&manifest));
}
