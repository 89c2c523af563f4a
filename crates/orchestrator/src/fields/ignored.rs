//! The value of the header `X-Meetbot-Ignored`: names of ignored fields and parameters.

use std::fmt::Write as _;

/// The most names in the header.
const MOST_NAMES: usize = 20;
/// The most bytes of the header, commas included.
const MOST_BYTES: usize = 1024;

/// The header's form of an empty name. Quotation marks in other names are encoded.
const EMPTY: &str = "\"\"";

/// Percent-encoded names, separated by commas; names beyond the limits are omitted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ignored(String);

impl Ignored {
    /// From the value that was stored with a response.
    pub(crate) fn kept(header: String) -> Self {
        Self(header)
    }

    /// Adds a name, given as its path, unless it is there already.
    pub(crate) fn add(&mut self, path: &[&str]) {
        let longest = path.iter().map(|name| name.len() + 1).sum::<usize>();
        if longest > MOST_BYTES || self.names().count() == MOST_NAMES {
            return;
        }
        let name: Vec<String> = path.iter().map(|name| encoded(name)).collect();
        let name = name.join(".");
        let comma = usize::from(!self.0.is_empty());
        let fits = self.0.len() + comma + name.len() <= MOST_BYTES;
        if !fits || self.names().any(|known| known == name) {
            return;
        }
        if comma > 0 {
            self.0.push(',');
        }
        self.0.push_str(&name);
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split(',').filter(|name| !name.is_empty())
    }

    /// The header's value; `None` if nothing was ignored.
    pub(crate) fn header(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|value| !value.is_empty())
    }

    /// The value to store with a response.
    pub(crate) fn into_header(self) -> String {
        self.0
    }
}

/// Percent-encodes dots, commas, quotation marks, and characters that a header must not contain.
fn encoded(name: &str) -> String {
    if name.is_empty() {
        return EMPTY.to_owned();
    }
    let mut encoded = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'~' => {
                encoded.push(byte.into());
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_invisible_names_are_listed_too() {
        let mut ignored = Ignored::default();
        for path in [
            &[""][..],
            &["autoLeave", ""],
            &[" "],
            &["\t\r\n"],
            &["\0"],
            &["\u{7f}\u{200b}"],
            &["\"\""],
            &["."],
            &[""],
        ] {
            ignored.add(path);
        }
        let header = r#""",autoLeave."",%20,%09%0D%0A,%00,%7F%E2%80%8B,%22%22,%2E"#;
        assert_eq!(ignored.header(), Some(header));
    }

    #[test]
    fn there_are_at_most_twenty_names_and_a_kibibyte() {
        let mut ignored = Ignored::default();
        for number in 0..100 {
            ignored.add(&[&format!("name-{number}")]);
            ignored.add(&["name-0"]);
        }
        assert_eq!(ignored.names().count(), 20);
        assert!(ignored.header().unwrap().ends_with(",name-19"));
        let mut ignored = Ignored::default();
        for name in ["\u{1f600}".repeat(80), "a".repeat(100_000), "\0".repeat(30), "b".repeat(30)] {
            ignored.add(&["autoLeave", &name]);
        }
        let header = ignored.header().unwrap();
        assert!(header.len() <= 1024 && header.ends_with('b'), "{header}");
        assert!(header.bytes().all(|byte| byte.is_ascii_graphic()), "{header}");
    }
}
