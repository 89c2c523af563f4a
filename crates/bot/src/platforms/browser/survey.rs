//! What a page shows, as `survey.js` reads it: by role, by accessible name, and by the few attributes that held over years.

use serde::Deserialize;

/// A look at the page.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Survey {
    /// Of the page, without its query: that may hold a passcode.
    pub(crate) host: String,
    pub(crate) path: String,
    /// Headings that can be seen.
    pub(crate) headings: Vec<String>,
    /// Lines of text that can be seen, dialogs left out, without what people wrote.
    pub(crate) lines: Vec<String>,
    /// Modal dialogs, the topmost last.
    pub(crate) dialogs: Vec<Dialog>,
    pub(crate) controls: Vec<Control>,
    /// Frames that can be seen.
    pub(crate) frames: Vec<Frame>,
}

/// A modal dialog.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Dialog {
    pub(crate) lines: Vec<String>,
}

/// What is pressed or written into.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "each is so or not, whatever the others are")]
pub(crate) struct Control {
    /// `survey.js` finds it again by it.
    pub(crate) key: String,
    /// A text is written into it; else it is pressed.
    pub(crate) is_field: bool,
    /// Its accessible name.
    pub(crate) name: String,
    /// What stands in a field.
    pub(crate) value: String,
    pub(crate) disabled: bool,
    /// It has a size and is not transparent. A toolbar that hides is not.
    pub(crate) shown: bool,
    /// Nothing lies over its middle.
    pub(crate) free: bool,
    /// The place in [`Survey::dialogs`] of the dialog that it belongs to.
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
    /// The control that can be pressed or written into and whose name begins with one of these, the first of them first.
    pub(crate) fn control(&self, is_field: bool, names: &[String]) -> Option<&Control> {
        let controls = self.controls.iter().filter(|it| it.is_field == is_field && it.shown);
        names.iter().find_map(|name| controls.clone().find(|control| begins(&control.name, name)))
    }

    /// What the page shows, for who has to find out what it was: headings and buttons, and nothing that people wrote.
    pub(crate) fn in_short(&self) -> String {
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

/// A text for comparing: small letters, straight apostrophes, one space between words.
pub(crate) fn plain(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").replace(['\u{2019}', '\u{2018}'], "'").to_lowercase()
}

/// Whether a text begins with these words.
pub(crate) fn begins(text: &str, words: &str) -> bool {
    let (text, words) = (plain(text), plain(words));
    text.strip_prefix(&words).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}

/// Whether a text holds these words, as whole words.
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
    fn words_are_compared_as_people_read_them() {
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
