//! Runs `spec/vectors/answers.json`: what is required of an answer, and how the rest reads where it is missing.

use std::cell::Cell;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRng, TestRunner},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use xtask::spec_file;

use crate::{
    models::{self, Delivery, TimelineEvent, WebhookEvent},
    untrusted,
};

/// An answer as the SDK reads it, written as JSON again.
pub(crate) fn read(model: &str, body: &[u8]) -> serde_json::Result<Value> {
    fn plain<T: DeserializeOwned + Serialize>(body: &[u8]) -> serde_json::Result<Value> {
        serde_json::to_value(models::plain::<T>(body)?)
    }
    match model {
        "job" => {
            let job = models::job(body)?;
            let mut written = serde_json::to_value(&job)?;
            written.as_object_mut().expect("a job is an object").extend(job.extra);
            Ok(written)
        }
        "control_result" => plain::<models::ControlResult>(body),
        "manifest" => plain::<models::Manifest>(body),
        "delivery" => plain::<Delivery>(body),
        "timeline_event" => plain::<TimelineEvent>(body),
        "webhook_event" => plain::<WebhookEvent>(body),
        "deletion_receipt" => plain::<models::DeletionReceipt>(body),
        "erasure_receipt" => plain::<models::ErasureReceipt>(body),
        "host" => plain::<models::Host>(body),
        "usage" => plain::<models::Usage>(body),
        "platform" => plain::<models::PlatformAvailability>(body),
        "job_page" => serde_json::to_value(models::jobs(body)?),
        "event_page" => serde_json::to_value(models::page::<TimelineEvent>(body)?),
        "platform_page" => {
            serde_json::to_value(models::page::<models::PlatformAvailability>(body)?)
        }
        "delivery_page" => serde_json::to_value(models::page::<Delivery>(body)?),
        _ => panic!("no SDK knows the model {model:?}"),
    }
}

/// Each case reads as it says, or not at all.
pub(crate) fn hold(vectors: &Value) {
    for case in vectors["cases"].as_array().unwrap() {
        let name = &case["name"];
        let read = read(case["model"].as_str().unwrap(), case["json"].to_string().as_bytes());
        match (read, &case["reads"]) {
            (Ok(read), reads) if !reads.is_null() => {
                assert!(holds(&read, reads), "{name}: {read:#}");
            }
            (Err(_), Value::Null) => assert_eq!(case["error"], true, "{name}"),
            (read, _) => panic!("{name}: {read:?}"),
        }
    }
}

/// Recorded responses of a server survive a round trip.
pub(crate) fn recorded(vectors: &Value) {
    for answer in vectors["answers"].as_array().unwrap() {
        let read = read(answer["model"].as_str().unwrap(), answer["json"].to_string().as_bytes());
        assert!(holds(&read.unwrap(), &answer["json"]), "{answer:#}");
    }
}

/// Whether all that `expected` holds is in `found`, which may hold more fields.
fn holds(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => expected
            .iter()
            .all(|(name, value)| found.get(name).is_some_and(|found| holds(found, value))),
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, value)| holds(found, value))
        }
        _ => found == expected,
    }
}

/// How a field of a response is changed.
#[derive(Debug, Clone, Copy)]
enum FieldChange {
    Kept,
    Removed,
    Null,
}

/// Applies the changes to the fields of a response in turn; returns whether a required field was removed.
fn without(
    value: &mut Value,
    path: &str,
    required: &[&str],
    changes: &mut impl Iterator<Item = FieldChange>,
) -> bool {
    match value {
        Value::Object(object) if !path.ends_with("metadata") => {
            let mut lacks = false;
            for (name, mut value) in std::mem::take(object) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match changes.next().unwrap_or(FieldChange::Kept) {
                    FieldChange::Kept => {
                        lacks |= without(&mut value, &path, required, changes);
                        object.insert(name, value);
                    }
                    FieldChange::Removed => lacks |= required.contains(&&*path),
                    FieldChange::Null => {
                        lacks |= required.contains(&&*path);
                        object.insert(name, Value::Null);
                    }
                }
            }
            lacks
        }
        Value::Array(list) => list.iter_mut().fold(false, |lacks, value| {
            without(value, &format!("{path}[]"), required, changes) | lacks
        }),
        _ => false,
    }
}

/// Every answer that the vectors show, with what is required of it; and pages of them.
fn shown() -> Vec<(String, Value, Vec<String>)> {
    let vectors = spec_file::read_json("spec/vectors/answers.json");
    let required = |model: &str| -> Vec<String> {
        serde_json::from_value(vectors["required"][model].clone()).unwrap()
    };
    let recorded = spec_file::read_json("spec/vectors/recorded_answers.json");
    let models = spec_file::read_json("spec/vectors/models.json");
    let cases = models["cases"].as_array().unwrap().iter().filter(|case| case["error"] != true);
    let mut shown: Vec<_> = cases
        .chain(recorded["answers"].as_array().unwrap())
        .map(|case| (case["model"].as_str().unwrap().to_owned(), case["json"].clone()))
        .collect();
    for (of, page) in [
        ("job", "job_page"),
        ("timeline_event", "event_page"),
        ("delivery", "delivery_page"),
        ("platform", "platform_page"),
    ] {
        let data: Vec<Value> = shown
            .iter()
            .filter(|(model, _)| model == of)
            .map(|(_, json)| json.clone())
            .take(2)
            .collect();
        shown.push((page.to_owned(), serde_json::json!({"data": data, "nextCursor": "next"})));
    }
    let with_required = shown.into_iter().map(|(model, json)| {
        let required = required(&model);
        (model, json, required)
    });
    with_required.collect()
}

#[test]
fn any_answer_reads_without_any_of_its_fields_but_those_that_are_required() {
    let change = prop_oneof![6 => Just(FieldChange::Kept), 1 => Just(FieldChange::Removed), 1 => Just(FieldChange::Null)];
    for (model, answer, required) in shown() {
        let required: Vec<&str> = required.iter().map(String::as_str).collect();
        let (accepted, refused) = (Cell::new(0), Cell::new(0));
        let check = |changes: Vec<FieldChange>| {
            let mut left = answer.clone();
            let lacks = without(&mut left, "", &required, &mut changes.into_iter());
            let read = read(&model, left.to_string().as_bytes());
            assert_eq!(read.is_err(), lacks, "{model}: {read:?}: {left}");
            let count = if lacks { &refused } else { &accepted };
            count.set(count.get() + 1);
        };
        let mut fields = 0;
        let mut counted = std::iter::repeat_with(|| {
            fields += 1;
            FieldChange::Kept
        });
        without(&mut answer.clone(), "", &required, &mut counted);
        for index in 0..fields {
            for change in [FieldChange::Removed, FieldChange::Null] {
                check([vec![FieldChange::Kept; index], vec![change]].concat());
            }
        }
        let config = Config { cases: 100, failure_persistence: None, ..Config::default() };
        let random = TestRng::deterministic_rng(config.rng_algorithm);
        TestRunner::new_with_rng(config, random)
            .run(&vec(change.clone(), 0..fields), |changes| {
                check(changes);
                Ok(())
            })
            .unwrap();
        assert!(accepted.get() > fields, "{model}: only {} were read", accepted.get());
        assert_eq!(required.is_empty(), refused.get() == 0, "{model}");
    }
}

#[test]
fn a_hostile_response_is_refused_or_survives_a_round_trip() {
    let shown: Vec<String> = shown().into_iter().map(|(_, json, _)| json.to_string()).collect();
    let corpus: Vec<&str> = shown.iter().map(String::as_str).collect();
    let mut read = 0;
    xtask::hostile_inputs::feed(&corpus, |text| {
        read += usize::from(untrusted::answer(text.as_bytes()));
    });
    assert!(read > 100, "only {read} were read");
}
