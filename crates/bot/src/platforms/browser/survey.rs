//! The visible content of a page, as `survey.js` reads it: by role, by accessible name, and by the few attributes that were stable over years.

use serde::Deserialize;

/// The visible content of the page.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Survey {
    /// The page's path, without its query, which may contain a passcode.
    pub(crate) host: String,
    pub(crate) path: String,
    /// Visible headings.
    pub(crate) headings: Vec<String>,
    /// Visible lines of text, without dialogs and without people's messages.
    pub(crate) lines: Vec<String>,
    /// Modal dialogs, the topmost last.
    pub(crate) dialogs: Vec<Dialog>,
    pub(crate) controls: Vec<Control>,
    /// Visible frames.
    pub(crate) frames: Vec<Frame>,
}

/// A modal dialog.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Dialog {
    pub(crate) lines: Vec<String>,
}

/// A button or a text field.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "each is so or not, whatever the others are")]
pub(crate) struct Control {
    /// The key by which `survey.js` finds it again.
    pub(crate) key: String,
    /// A text field; else a button.
    pub(crate) is_field: bool,
    /// Its accessible name.
    pub(crate) name: String,
    /// The text of a field.
    pub(crate) value: String,
    pub(crate) disabled: bool,
    /// It has a size and is not transparent. A hidden toolbar's button is not shown.
    pub(crate) shown: bool,
    /// Its middle is not covered by another element.
    pub(crate) free: bool,
    /// The index in [`Survey::dialogs`] of its dialog.
    pub(crate) dialog: Option<usize>,
    /// It accepts its dialog (`data-mdc-dialog-action="ok"`).
    pub(crate) accepts: bool,
}

/// A frame of another page.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Frame {
    /// Its address, without a query.
    pub(crate) address: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Survey {
    /// The usable control whose name begins with one of these; earlier names have priority.
    pub(crate) fn control(&self, is_field: bool, names: &[String]) -> Option<&Control> {
        let controls = self.controls.iter().filter(|it| it.is_field == is_field && it.shown);
        names.iter().find_map(|name| controls.clone().find(|control| begins(&control.name, name)))
    }

    /// A summary of the page for an error text: headings and buttons, without people's texts.
    pub(crate) fn summary(&self) -> String {
        let buttons = self.controls.iter().filter(|it| it.shown && !it.is_field).map(|it| &it.name);
        let list = |names: Vec<&String>| {
            let names: Vec<_> =
                names.into_iter().take(12).map(|name| format!("{name:?}")).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        format!(
            "headings: {}; buttons: {}",
            list(self.headings.iter().collect()),
            list(buttons.collect())
        )
    }
}

/// Normalises a text for comparison: lower case, straight apostrophes, one space between words.
pub(crate) fn plain(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").replace(['\u{2019}', '\u{2018}'], "'").to_lowercase()
}

/// Whether a text begins with these words.
pub(crate) fn begins(text: &str, words: &str) -> bool {
    let (text, words) = (plain(text), plain(words));
    text.strip_prefix(&words).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}

/// Whether a text contains these words, as whole words.
pub(crate) fn holds(text: &str, words: &str) -> bool {
    let (text, words) = (plain(text), plain(words));
    text.match_indices(&words).any(|(at, found)| {
        !text[..at].ends_with(char::is_alphanumeric)
            && !text[at + found.len()..].starts_with(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_spacing_and_apostrophe_style() {
        assert!(holds("You can\u{2019}t  join this\nvideo call", "You can't join this video call"));
        assert!(holds(
            "Someone in the call denied your request to join.",
            "denied your request to join"
        ));
        assert!(!holds("Turn on captions", "urn on"));
        assert!(!holds("Leaves", "leave"));
        assert!(
            begins("Ask to join", "ask to join") && begins("Join now without camera", "Join now")
        );
        assert!(!begins("Join nowhere", "Join now") && !begins("Please join now", "Join now"));
    }
}
