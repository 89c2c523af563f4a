//! [`Metadata`]: the caller's JSON object, stored verbatim.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value, value::RawValue};

/// A JSON object that is given back exactly as it was sent: numbers of many digits, order and spelling included.
#[derive(Debug, Clone)]
pub struct Metadata(Box<RawValue>);

/// Why a text cannot be metadata.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadata {
    /// It is something else than an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// It is no JSON, or JSON that many readers refuse.
    #[error("cannot be read as JSON: {0}")]
    Unreadable(String),
}

impl Metadata {
    /// Reads the text of a JSON object. Refused is also what the standard's grammar allows and common readers do not take (127 brackets deep, a number
    /// beyond a double, half of a surrogate pair): one such job would spoil every list that it is in.
    pub fn from_json(text: &str) -> Result<Self, InvalidMetadata> {
        let unreadable = |error: serde_json::Error| InvalidMetadata::Unreadable(error.to_string());
        serde_json::from_str::<Value>(text).map_err(unreadable)?;
        let raw: Box<RawValue> = serde_json::from_str(text).map_err(unreadable)?;
        if raw.get().starts_with('{') { Ok(Self(raw)) } else { Err(InvalidMetadata::NotAnObject) }
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// The value under `key`, read anew at each call; `None` where there is none.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.to_map().remove(key)
    }

    /// All of it, read anew at each call. Numbers beyond 64 bits lose precision here, not in [`Metadata::as_json`].
    pub fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Self(RawValue::from_string("{}".to_owned()).expect("an empty object is JSON"))
    }
}

impl From<Map<String, Value>> for Metadata {
    fn from(map: Map<String, Value>) -> Self {
        Self(
            RawValue::from_string(Value::Object(map).to_string())
                .expect("a JSON value prints as JSON"),
        )
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json() || self.to_map() == other.to_map()
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        if raw.get().starts_with('{') {
            Ok(Self(raw))
        } else {
            Err(de::Error::custom(InvalidMetadata::NotAnObject))
        }
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Metadata {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::Object)
            .additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::FreeForm(
                true,
            )))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Metadata {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_returned_unchanged() {
        let text = r#"{"n":12345678901234567890123,"f":1.50,"z":null,"a":[1,{"b":"é"}]}"#;
        assert_eq!(serde_json::to_string(&Metadata::from_json(text).unwrap()).unwrap(), text);
    }

    #[test]
    fn metadata_must_be_an_object() {
        for text in ["[]", "1", "null", "\"{}\""] {
            assert_eq!(Metadata::from_json(text), Err(InvalidMetadata::NotAnObject), "{text}");
        }
    }

    #[test]
    fn metadata_that_common_parsers_refuse_is_refused_with_its_position() {
        let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let metadata = Metadata::from_json(&nested(127)).unwrap();
        assert_eq!(metadata.to_map().len(), 1);
        let texts = [nested(128), r#"{"a":1e400}"#.into(), r#"{"a":"\ud800"}"#.into(), "{".into()];
        for text in texts {
            let error = Metadata::from_json(&text).unwrap_err().to_string();
            assert!(
                error.contains("cannot be read as JSON") && error.contains("line 1"),
                "{error}"
            );
        }
    }
}
