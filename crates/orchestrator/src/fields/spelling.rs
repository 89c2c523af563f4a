//! Decides whether a name is probably a misspelling of a known one.

/// The shortest name for which one edit is tolerated: shorter names have too many neighbours.
const SHORTEST: usize = 6;
/// No known name is longer. Only this many characters of an unknown name are compared, which may be as long as a body.
const LONGEST: usize = 64;
/// The units at the end of names of durations.
const UNITS: &[&str] = &[
    "",
    "s",
    "sec",
    "secs",
    "second",
    "seconds",
    "ms",
    "millis",
    "milliseconds",
    "m",
    "min",
    "mins",
    "minute",
    "minutes",
    "h",
    "hour",
    "hours",
];

/// The letters of a name in lower case, without underscores and hyphens.
fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|letter| !matches!(letter, '_' | '-')).flat_map(char::to_lowercase)
}

/// A normalized name, for comparison with known ones.
pub(crate) struct Spelling(Vec<char>);

impl Spelling {
    pub(crate) fn of(name: &str) -> Self {
        Self(letters(name).take(LONGEST + 1).collect())
    }

    /// Whether the other name differs only in case, underscores and hyphens.
    pub(crate) fn is(&self, other: &str) -> bool {
        letters(other).eq(self.0.iter().copied())
    }

    /// Whether this is `base`, with or without a unit at its end: `after_solo_secs`, `afterSoloMinutes`, `after_solo`.
    pub(crate) fn is_in_some_unit(&self, base: &str) -> bool {
        let mut rest = self.0.iter().copied();
        letters(base).all(|letter| rest.next() == Some(letter))
            && UNITS.iter().any(|unit| unit.chars().eq(rest.clone()))
    }

    /// Whether this differs from a known name, of at least [`SHORTEST`] letters, by one missing, extra, replaced or swapped letter.
    pub(crate) fn is_near(&self, known: &str) -> bool {
        letters(known).count() >= SHORTEST && self.is_one_edit_away(known)
    }

    fn is_one_edit_away(&self, known: &str) -> bool {
        let mut rest = letters(known);
        let mut same = 0;
        // The rest of both after their common prefix.
        let first = loop {
            match rest.next() {
                Some(letter) if self.0.get(same) == Some(&letter) => same += 1,
                other => break other,
            }
        };
        let name = &self.0[same..];
        // Cheap check first: most names differ in length by more than one.
        let known: Vec<char> = first.into_iter().chain(rest).collect();
        if name.len().abs_diff(known.len()) > 1 {
            return false;
        }
        match (name, known.as_slice()) {
            ([a, b, rest @ ..], [c, d, others @ ..]) if (a, b) == (d, c) && rest == others => true,
            (name, known) => {
                let (less_name, less_known) = (name.get(1..), known.get(1..));
                less_name == Some(known)
                    || Some(name) == less_known
                    || (less_name.is_some() && less_name == less_known)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Option<&'static str> {
        let known = ["meetingUrl", "displayName", "joinAt", "limit"];
        let name = Spelling::of(name);
        known.into_iter().find(|known| name.is(known) || name.is_near(known))
    }

    #[test]
    fn a_known_name_in_another_spelling_is_found() {
        for name in ["join_at", "JoinAt", "JOIN-AT", "joinat", "_joinAt", "join__at-"] {
            assert_eq!(found(name), Some("joinAt"), "{name}");
        }
        assert_eq!(found("Limit"), Some("limit"));
    }

    #[test]
    fn one_missing_extra_replaced_or_swapped_letter_is_tolerated() {
        for name in [
            "isplayName",
            "displyName",
            "displayNam",
            "xdisplayName",
            "displayyName",
            "displayNames",
            "bisplayName",
            "displayNeme",
            "displayNamé",
            "idsplayName",
            "dispalyName",
            "displayNaem",
            "display_nmae",
            "display name",
        ] {
            assert_eq!(found(name), Some("displayName"), "{name}");
        }
    }

    #[test]
    fn a_duration_may_have_any_unit_at_its_end() {
        for name in [
            "afterSolo",
            "after_solo_secs",
            "after_solo_seconds",
            "afterSoloS",
            "after-solo-ms",
            "AFTER_SOLO_MINUTES",
        ] {
            assert!(Spelling::of(name).is_in_some_unit("afterSolo"), "{name}");
        }
        for name in ["after", "afterSol", "afterSoloSong", "afterSoloSecondsMs", "solo", ""] {
            assert!(!Spelling::of(name).is_in_some_unit("afterSolo"), "{name}");
        }
    }

    #[test]
    fn short_names_and_larger_differences_do_not_match() {
        for name in [
            "",
            "_",
            "displayNa",
            "displayName12",
            "dipslayNmae",
            "joinedAt",
            "limits",
            "lmit",
            "colour",
            "name",
        ] {
            assert_eq!(found(name), None, "{name}");
        }
        assert_eq!(found(&"a".repeat(200_000)), None);
    }
}
