//! The fields of a request's body: known, misspelt, or ignored.

mod ignored;
mod known;
mod other_names;
pub(crate) mod parameter;
mod shape;
mod spelling;

use meetbot_types::Issue;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

pub(crate) use self::{
    ignored::Ignored,
    shape::{
        CHAT_MESSAGE, IDEMPOTENCY_KEY, LOGIN_CODE, LOGIN_DECISION, NEW_JOB, NEW_KEY, NEW_LOGIN,
        QUOTA_CHANGE, REDELIVER, SECRET_ROTATION, Shape, TEST_WEBHOOK,
    },
};

/// The most issues of one code: more would make the response larger than the request.
const MOST_ISSUES: usize = 20;

/// The issues of a request, in the order in which they were found.
#[derive(Debug, Default)]
pub(crate) struct Issues(Vec<Issue>);

impl Issues {
    pub(crate) fn add(&mut self, path: &[&str], code: &str, message: impl Into<String>) {
        let path = path.iter().map(ToString::to_string).collect();
        self.0.push(Issue { path, code: code.to_owned(), message: message.into() });
    }

    pub(crate) fn wrong_type(&mut self, path: &[&str], wanted: &str) {
        self.add(path, "invalid_type", format!("must be {wanted}"));
    }

    /// Adds an issue of a kind that may occur any number of times. From the 21st on, one issue says that there are more.
    fn add_one_of_many(&mut self, path: &[&str], code: &str, message: impl Into<String>) {
        match self.0.iter().filter(|issue| issue.code == code).count() {
            0..MOST_ISSUES => self.add(path, code, message),
            MOST_ISSUES => self.add(&[], code, "there are more of these than are listed here"),
            _ => {}
        }
    }

    /// Adds an unknown field or query parameter; `hint` names the right one.
    pub(crate) fn unknown(&mut self, path: &[&str], hint: &str) {
        let message = format!("is not known here; {hint}");
        self.add_one_of_many(path, "unknown_field", message);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_vec(self) -> Vec<Issue> {
        self.0
    }
}

/// The fields of a JSON object, in order. A name may occur more than once.
pub(crate) struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Parses a JSON object; for any other text the error is one issue.
    pub(crate) fn read(body: &'a str) -> Result<Self, Issues> {
        serde_json::from_str(body).map_err(|error| {
            let mut issues = Issues::default();
            issues.add(&[], "invalid_json", format!("the body is not a JSON object: {error}"));
            issues
        })
    }

    /// The JSON text of a field; `None` if it is absent or `null`.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        let (_, raw) = self.0.iter().find(|(known, _)| known == name)?;
        Some(raw.get()).filter(|raw| *raw != "null")
    }

    /// The value of a field; `None` when it is absent or `null`, or cannot be read (a number beyond all bounds, a hundred brackets deep).
    pub(crate) fn value(&self, name: &str, issues: &mut Issues) -> Option<Value> {
        match serde_json::from_str::<Value>(self.raw(name)?) {
            Ok(value) => Some(value),
            Err(error) => {
                issues.add(&[name], "invalid_type", format!("cannot be read: {error}"));
                None
            }
        }
    }

    /// A string of 1 to `longest` characters without control characters; `None` if it is absent, `null` or invalid.
    pub(crate) fn text(&self, name: &str, longest: usize, issues: &mut Issues) -> Option<String> {
        match self.value(name, issues)? {
            Value::String(text) if text.trim().is_empty() => {
                issues.add(&[name], "too_short", "must not be empty");
                None
            }
            Value::String(text) if text.chars().count() > longest => {
                issues.add(&[name], "too_long", format!("must have at most {longest} characters"));
                None
            }
            Value::String(text) if text.chars().any(char::is_control) => {
                issues.add(&[name], "invalid_characters", "must not hold control characters");
                None
            }
            Value::String(text) => Some(text),
            _ => {
                issues.wrong_type(&[name], "a string");
                None
            }
        }
    }

    /// The value of a required field.
    pub(crate) fn required(&self, name: &str, what: &str, issues: &mut Issues) -> Option<Value> {
        if self.raw(name).is_none() {
            issues.add(&[name], "required", format!("is required: {what}"));
        }
        self.value(name, issues)
    }

    /// Whether a field is present as `null`.
    pub(crate) fn is_null(&self, name: &str) -> bool {
        self.0.iter().any(|(known, raw)| known == name && raw.get() == "null")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }

        deserializer.deserialize_map(Pairs).map(Self)
    }
}

/// Checks the body of a call without fields; all its fields are ignored. A body that is not JSON is ignored too.
pub(crate) fn check_unused_body(body: &str) -> Result<Ignored, Vec<Issue>> {
    let (mut issues, mut ignored) = (Issues::default(), Ignored::default());
    if let Ok(fields) = Fields::read(body) {
        shape::NO_FIELDS.check_names(&fields, &mut issues, &mut ignored);
    }
    if issues.is_empty() { Ok(ignored) } else { Err(issues.into_vec()) }
}
