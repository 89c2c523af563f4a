//! When a name is probably another one misspelt.

/// Shorter names are one edit away from too many others.
const SHORTEST: usize = 6;

/// The letters of a name, without what people write differently: case, underscores, hyphens.
fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|letter| !matches!(letter, '_' | '-')).flat_map(char::to_lowercase)
}

/// Whether two names differ in case, underscores and hyphens alone.
pub(crate) fn is_same(name: &str, other: &str) -> bool {
    letters(name).eq(letters(other))
}

/// The known name that this one is probably meant to be: one that differs in case, underscores and hyphens alone, or else by one letter that is
/// missing, too many, another one or swapped with its neighbour.
pub(crate) fn meant<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    known.clone().find(|other| is_same(name, other)).or_else(|| {
        let mut known = known.filter(|other| letters(other).count() >= SHORTEST);
        known.find(|other| is_one_edit_away(name, other))
    })
}

fn is_one_edit_away(name: &str, known: &str) -> bool {
    let known: Vec<char> = letters(known).collect();
    // A name may be as long as a body.
    let name: Vec<char> = letters(name).take(known.len() + 2).collect();
    let same = name.iter().zip(&known).take_while(|(one, other)| one == other).count();
    let (name, known) = (&name[same..], &known[same..]);
    match (name, known) {
        ([a, b, rest @ ..], [c, d, others @ ..]) if (a, b) == (d, c) && rest == others => true,
        _ => {
            let (less_name, less_known) = (name.get(1..), known.get(1..));
            less_name == Some(known)
                || Some(name) == less_known
                || (less_name.is_some() && less_name == less_known)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Option<&'static str> {
        meant(name, ["meetingUrl", "displayName", "joinAt", "limit"].into_iter())
    }

    #[test]
    fn a_known_name_in_another_spelling_is_found() {
        for name in ["join_at", "JoinAt", "JOIN-AT", "joinat", "_joinAt", "join__at-"] {
            assert_eq!(found(name), Some("joinAt"), "{name}");
        }
        assert_eq!(found("Limit"), Some("limit"));
    }

    #[test]
    fn one_letter_is_missing_too_many_another_or_swapped() {
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
    fn names_that_are_further_away_or_short_are_others() {
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
