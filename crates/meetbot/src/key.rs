//! The API key: sent with each call, and never shown.

use std::fmt;

use http::HeaderValue;
use meetbot_types::pasted::{InvalidCharacter, trimmed};

use crate::Error;

/// An API key whose `Debug` does not show it.
#[derive(Clone)]
pub(crate) struct Key {
    text: String,
    header: HeaderValue,
}

impl Key {
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        // A key read from a file ends with a line break more often than not.
        let text = trimmed(text);
        if let Some(invalid) = InvalidCharacter::within(text) {
            return Err(Error::configuration(format!(
                "the API key holds {invalid}, which no key has and which may not show: remove it, or copy the key again"
            )));
        }
        let usable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let header =
            usable.then(|| HeaderValue::from_str(&format!("Bearer {text}")).ok()).flatten();
        let mut header = header.ok_or_else(|| {
            Error::configuration(
                "the API key is empty or holds a character that no key has (a space? a quote?)",
            )
        })?;
        header.set_sensitive(true);
        Ok(Self { text: text.to_owned(), header })
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// `text` without the key, should a server have sent it back.
    pub(crate) fn redact(&self, text: String) -> String {
        if text.contains(&self.text) { text.replace(&self.text, "mb_…") } else { text }
    }

    /// The same of a text that may be cut in the middle of a key.
    pub(crate) fn redact_beginning(&self, text: String) -> String {
        let mut text = self.redact(text);
        // The prefix that all keys share is no secret.
        let cut = (4..self.text.len()).rev().find(|length| text.ends_with(&self.text[..*length]));
        text.truncate(text.len() - cut.unwrap_or(0));
        text
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}
