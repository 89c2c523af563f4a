//! Labels of workers: what an operator says of them, so that the bots of some consumers run only on some workers.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The most labels of a worker, and of a consumer.
pub const MOST_LABELS: usize = 16;
/// The most characters of a label.
pub const LONGEST_LABEL: usize = 63;
/// What a label must be, for people.
const LABEL_WANTED: &str = "1 to 63 of the characters a-z 0-9 . - _ = /, the first a letter or a digit, as in eu or net=fast";

/// The labels of a worker, or those that the workers of a consumer must have: in alphabetical order, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Labels(BTreeSet<String>);

/// Why some texts are not [`Labels`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabels {
    /// This text is no label.
    #[error("{0:?} is not a label; a label is {LABEL_WANTED}")]
    Label(String),
    /// There are so many different ones.
    #[error("{0} labels are too many; at most {MOST_LABELS} are allowed")]
    TooMany(usize),
}

impl Labels {
    /// Reads labels; one that is named twice counts once.
    pub fn read<T: Into<String>>(
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidLabels> {
        let labels: BTreeSet<String> = texts.into_iter().map(Into::into).collect();
        if let Some(wrong) = labels.iter().find(|label| !is_label(label)) {
            return Err(InvalidLabels::Label(wrong.clone()));
        }
        match labels.len() {
            0..=MOST_LABELS => Ok(Self(labels)),
            count => Err(InvalidLabels::TooMany(count)),
        }
    }

    /// Whether all of the others are among these.
    pub fn include(&self, others: &Self) -> bool {
        others.0.is_subset(&self.0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn is_label(text: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=LONGEST_LABEL).contains(&text.len())
        && text.bytes().next().is_some_and(is_alphanumeric)
        && text.bytes().all(|byte| is_alphanumeric(byte) || b".-_=/".contains(&byte))
}

impl fmt::Display for Labels {
    /// As in `eu,net=fast`; nothing where there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, label) in self.0.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { "," })?;
            f.write_str(label)?;
        }
        Ok(())
    }
}

impl FromStr for Labels {
    type Err = InvalidLabels;

    /// Reads what [`fmt::Display`] writes. Spaces around a label do not count.
    fn from_str(text: &str) -> Result<Self, InvalidLabels> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        Self::read(text.split(',').map(str::trim))
    }
}

impl TryFrom<Vec<String>> for Labels {
    type Error = InvalidLabels;

    fn try_from(texts: Vec<String>) -> Result<Self, InvalidLabels> {
        Self::read(texts)
    }
}

impl From<Labels> for Vec<String> {
    fn from(labels: Labels) -> Self {
        labels.0.into_iter().collect()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Labels {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::{ArrayBuilder, ObjectBuilder, schema::Type};
        let label = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[a-z0-9][a-z0-9._=/-]{0,62}$"));
        let description =
            "Labels of workers: 1 to 63 characters each, of which the first is a letter or a digit";
        let labels = ArrayBuilder::new().items(label).max_items(Some(MOST_LABELS));
        labels.description(Some(description)).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Labels {}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.parse().unwrap()
    }

    #[test]
    fn labels_are_sorted_and_each_counts_once() {
        for (text, read) in [
            ("", ""),
            ("  ", ""),
            ("eu", "eu"),
            ("net=fast, eu,eu", "eu,net=fast"),
            ("1,a.b-c_d/e", "1,a.b-c_d/e"),
        ] {
            assert_eq!(labels(text).to_string(), read, "{text:?}");
        }
        let sixteen: Vec<String> = (0..16).map(|number| format!("l{number}")).collect();
        assert!(Labels::read(sixteen.iter().chain(&sixteen).cloned()).is_ok());
        assert_eq!(Labels::read(["x".repeat(63)]).unwrap().to_string(), "x".repeat(63));
    }

    #[test]
    fn a_text_that_is_no_label_is_named_with_what_would_be_right() {
        for wrong in ["EU", "-eu", "e u", "é", ".", &"x".repeat(64), "a'b"] {
            let error = wrong.parse::<Labels>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{wrong:?} is not a label; a label is")), "{error}");
        }
        assert_eq!("eu,,us".parse::<Labels>(), Err(InvalidLabels::Label(String::new())));
        let many = (0..17).map(|number| format!("l{number}"));
        let error = Labels::read(many).unwrap_err().to_string();
        assert_eq!(error, "17 labels are too many; at most 16 are allowed");
    }

    #[test]
    fn labels_include_those_that_are_all_among_them() {
        for (worker, wanted, includes) in [
            ("", "", true),
            ("eu", "", true),
            ("", "eu", false),
            ("eu,net=fast", "eu", true),
            ("eu,net=fast", "eu,net=fast", true),
            ("eu", "eu,net=fast", false),
            ("us", "eu", false),
        ] {
            assert_eq!(labels(worker).include(&labels(wanted)), includes, "{worker} {wanted}");
        }
    }

    #[test]
    fn labels_are_a_list_in_json() {
        let read: Labels = serde_json::from_str(r#"["us","eu"]"#).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"["eu","us"]"#);
        let error = serde_json::from_str::<Labels>(r#"["EU"]"#).unwrap_err().to_string();
        assert!(error.contains("\"EU\" is not a label"), "{error}");
    }
}
