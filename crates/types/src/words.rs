//! `words!`: a set of wire words that is known here and may grow on the other side.

/// Declares an enum of wire words.
///
/// The generated enum lists what this version knows and keeps any other word as `Other`, so that a newer
/// server never breaks an older SDK. It compares with `&str`, prints and (de)serialises as its word.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$vmeta:meta])* $variant:ident = $word:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$vmeta])* $variant, )+
            /// A word that this version does not know, passed through as it came.
            Other(Box<str>),
        }

        impl $name {
            /// Every word that this version knows, in the order of declaration.
            pub const ALL: &[Self] = &[$( Self::$variant, )+];

            /// The word as it goes over the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$variant => $word, )+
                    Self::Other(word) => word,
                }
            }

            /// The known value for `word`, or `None` where this version does not know it.
            pub fn known(word: &str) -> Option<Self> {
                match word {
                    $( $word => Some(Self::$variant), )+
                    _ => None,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                Self::known(word).unwrap_or_else(|| Self::Other(word.into()))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, word: &&str) -> bool {
                self.as_str() == *word
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Ok(Self::from(word.as_ref()))
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .enum_values(Some([$( $word ),+]))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

#[cfg(test)]
mod tests {
    use crate::JobStatus;

    #[test]
    fn an_unknown_word_is_kept_unchanged() {
        let status: JobStatus = serde_json::from_str("\"paused_by_host\"").unwrap();
        assert_eq!(status, "paused_by_host");
        assert_eq!(JobStatus::known("paused_by_host"), None);
        assert_eq!(serde_json::to_string(&status).unwrap(), "\"paused_by_host\"");
    }

    #[test]
    fn known_words_survive_the_wire() {
        for status in JobStatus::ALL {
            let wire = serde_json::to_string(status).unwrap();
            assert_eq!(&serde_json::from_str::<JobStatus>(&wire).unwrap(), status);
        }
    }
}
