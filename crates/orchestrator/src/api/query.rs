//! Strict parsing of a URL's query; all issues are reported together.

use std::{convert::Infallible, str::FromStr};

use axum::{extract::FromRequestParts, http::request::Parts};
use meetbot_types::Issue;

use super::{Server, error::ApiError, parameters::Misspelt};
use crate::{fields::Issues, jobs::create::MAX_EXTERNAL_ID, store::Window};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// A URL's query, with the issues found so far.
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    issues: Issues,
}

impl FromRequestParts<Server> for Query {
    type Rejection = Infallible;

    /// With the misspelt names that [`super::parameters`] found.
    async fn from_request_parts(parts: &mut Parts, _: &Server) -> Result<Self, Infallible> {
        let mut query = Self::new(parts.uri.query());
        query.issues = parts.extensions.get().map(Misspelt::issues).unwrap_or_default();
        Ok(query)
    }
}

impl Query {
    pub(crate) fn new(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self { pairs: pairs.into_owned().collect(), issues: Issues::default() }
    }

    fn wrong(&mut self, name: &str, message: String) {
        self.refuse(name, "invalid_parameter", message);
    }

    pub(crate) fn refuse(&mut self, name: &str, code: &str, message: impl Into<String>) {
        self.issues.add(&[name], code, message);
    }

    /// The value of a parameter, which may occur only once.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let mut values = self.pairs.iter().filter(|(key, _)| key == name);
        let (first, second) = (values.next()?.1.clone(), values.next());
        if second.is_some() {
            self.refuse(name, "duplicate_field", "stands more than once; which one counts?");
        }
        Some(first)
    }

    /// The parsed value of a parameter.
    pub(crate) fn one<T: FromStr>(&mut self, name: &str, wanted: &str) -> Option<T> {
        let text = self.text(name)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.wrong(name, format!("{text:?} is not {wanted}"));
        }
        value
    }

    /// The value of `externalId`, which has a maximum length.
    pub(crate) fn external_id(&mut self) -> Option<String> {
        const NAME: &str = "externalId";
        let text = self.text(NAME)?;
        if !(1..=MAX_EXTERNAL_ID).contains(&text.chars().count()) {
            self.wrong(NAME, format!("must have 1 to {MAX_EXTERNAL_ID} characters"));
        }
        Some(text)
    }

    /// The value as a plain number.
    pub(crate) fn number(&mut self, name: &str) -> Option<u64> {
        let text = self.text(name)?;
        let number = digits(&text);
        if number.is_none() {
            self.wrong(name, format!("{text:?} is not a number of at most 18 digits"));
        }
        number
    }

    /// The value as one of a set of words.
    pub(crate) fn word<T>(
        &mut self,
        name: &str,
        known: impl Fn(&str) -> Option<T>,
        all: &str,
    ) -> Option<T> {
        let text = self.text(name)?;
        let word = known(&text);
        if word.is_none() {
            self.wrong(name, format!("{text:?} is none of {all}"));
        }
        word
    }

    /// All values of a parameter, each one of a set of words.
    pub(crate) fn words<T>(
        &mut self,
        name: &str,
        known: impl Fn(&str) -> Option<T>,
        all: &str,
    ) -> Vec<T> {
        let mut found = Vec::new();
        for (key, value) in self.pairs.clone() {
            if key != name {
                continue;
            }
            match known(&value) {
                Some(word) => found.push(word),
                None => self.wrong(name, format!("{value:?} is none of {all}")),
            }
        }
        found
    }

    /// The part of the list that `limit` and `cursor` select.
    pub(crate) fn window<C: FromStr>(&mut self) -> Window<C> {
        let number = |text: &str| digits(text).and_then(|limit| u32::try_from(limit).ok());
        let limit = match self.text("limit").as_deref().map(number) {
            None => DEFAULT_LIMIT,
            Some(Some(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
            Some(_) => {
                self.wrong("limit", format!("must be a number from 1 to {MAX_LIMIT}"));
                DEFAULT_LIMIT
            }
        };
        Window { limit, after: self.one("cursor", "a cursor that this list gave") }
    }

    pub(crate) fn finish(self) -> Result<(), ApiError> {
        self.with(Ok(()))
    }

    /// The parsed body, unless the body or the query has issues; both are reported together.
    pub(crate) fn with<T>(self, body: Result<T, Vec<Issue>>) -> Result<T, ApiError> {
        let mut issues = self.issues.into_vec();
        match body {
            Ok(read) if issues.is_empty() => return Ok(read),
            Ok(_) => {}
            Err(more) => issues.extend(more),
        }
        Err(ApiError::invalid_input(issues))
    }
}

/// An unsigned number of at most 18 digits, which fits the store's integers.
pub(crate) fn digits(text: &str) -> Option<u64> {
    let plain = (1..=18).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// The words, separated by commas.
pub(crate) fn listed<T: std::fmt::Display>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
