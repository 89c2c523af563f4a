//! File names from participants' names.

use std::collections::{HashMap, HashSet};

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::{
    CodePointMapData,
    props::{CanonicalCombiningClass, GeneralCategory, JoiningType},
};
use meetbot_types::visible::is_invisible;

const MAX_CHARACTERS: usize = 60;
/// File systems accept 255 bytes for a whole file name.
const MAX_BYTES: usize = 180;
/// Combining marks on one letter. Scripts need up to four (a Hebrew letter with its points); hundreds are decoration that no file manager can show.
const MAX_MARKS: usize = 8;
const NAMELESS: &str = "participant";
/// Zero width non-joiner and zero width joiner.
const ZWNJ: char = '\u{200C}';
const ZWJ: char = '\u{200D}';

/// The names of a recording's files.
#[derive(Debug, Default)]
pub(crate) struct FileNames {
    /// Existing names, [`folded`].
    taken: HashSet<String>,
    /// The next number to try, by [`folded`] names without a number.
    numbers: HashMap<String, u32>,
    begun: usize,
}

impl FileNames {
    /// The names of a recording with these files.
    pub(crate) fn with<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        Self { taken: files.into_iter().map(folded).collect(), ..Self::default() }
    }

    /// An unused name for a file of a `kind` (`audio`, `video`, `screen`).
    pub(crate) fn unique(&mut self, kind: &str, name: &str, attempt: u32) -> String {
        let speaker = safe(name);
        let attempt = if attempt > 1 { format!(".a{attempt}") } else { String::new() };
        let first = format!("{kind}.{speaker}{attempt}.webm");
        if !self.taken.contains(&folded(&first)) {
            return first;
        }
        let number = self.numbers.entry(folded(&first)).or_insert(2);
        loop {
            let numbered = format!("{kind}.{speaker}-{number}{attempt}.webm");
            if !self.taken.contains(&folded(&numbered)) {
                return numbered;
            }
            *number += 1;
        }
    }

    /// Registers a file's name.
    pub(crate) fn take(&mut self, file: &str) {
        self.taken.insert(folded(file));
        self.begun += 1;
    }

    /// How many files were begun.
    pub(crate) const fn begun(&self) -> usize {
        self.begun
    }
}

/// The form in which two file names are compared: names with the same form look alike, and are the same file on file systems that ignore case, normal forms
/// (APFS, HFS+, NTFS) or joiners (HFS+).
fn folded(file: &str) -> String {
    // Upper case first, as in Unicode's full case folding: `ß` equals `ss`, and both small sigmas are equal.
    composed(&file.replace([ZWNJ, ZWJ], "").to_uppercase().to_lowercase())
}

/// Normal form C: a letter with an accent is one character.
fn composed(text: &str) -> String {
    ComposingNormalizerBorrowed::new_nfc().normalize(text).into_owned()
}

/// Whether a joiner between these texts changes the letters around it (RFC 5892, appendix A.1 and A.2): after a virama it selects the form of a
/// conjunct, and a ZWNJ separates letters that would be joined. Elsewhere it is invisible.
fn shapes(joiner: char, before: &str, after: &[char]) -> bool {
    let classes = CodePointMapData::<CanonicalCombiningClass>::new();
    let last = before.chars().next_back();
    if last.is_some_and(|last| classes.get(last) == CanonicalCombiningClass::Virama) {
        // With a ZWJ a word can end in a half form.
        return joiner == ZWJ || after.first().is_some_and(|next| next.is_alphabetic());
    }
    let (left, right) = (joining(before.chars().rev()), joining(after.iter().copied()));
    joiner == ZWNJ
        && matches!(left, JoiningType::LeftJoining | JoiningType::DualJoining)
        && matches!(right, JoiningType::RightJoining | JoiningType::DualJoining)
}

/// The joining type of the first letter; marks before it are transparent.
fn joining(characters: impl Iterator<Item = char>) -> JoiningType {
    let types = CodePointMapData::<JoiningType>::new();
    let mut types = characters.map(|character| types.get(character));
    types.find(|of| *of != JoiningType::Transparent).unwrap_or_default()
}

/// Keeps letters and digits of any script, with their marks and the joiners that shape them; everything else becomes a dash.
fn safe(name: &str) -> String {
    let categories = CodePointMapData::<GeneralCategory>::new();
    let mut safe = String::new();
    let mut marks = 0;
    // Truncated first: a name may be as long as a message.
    let name: String = name.chars().take(MAX_CHARACTERS * (1 + MAX_MARKS)).collect();
    let name: Vec<char> = composed(&name).chars().take(MAX_CHARACTERS).collect();
    for (index, &character) in name.iter().enumerate() {
        let category = categories.get(character);
        let is_mark = matches!(
            category,
            GeneralCategory::NonspacingMark
                | GeneralCategory::SpacingMark
                | GeneralCategory::EnclosingMark
        );
        if safe.len() + character.len_utf8() > MAX_BYTES {
            break;
        }
        if matches!(character, ZWNJ | ZWJ) {
            if shapes(character, &safe, &name[index + 1..]) {
                safe.push(character);
            }
            continue;
        }
        // A direction mark does not split a word.
        if is_invisible(character) {
            continue;
        }
        if is_mark {
            // A mark belongs to the letter before it (UAX #29); without one it is dropped.
            let follows_a_letter = !safe.is_empty() && !safe.ends_with('-');
            if follows_a_letter && marks < MAX_MARKS {
                safe.push(character);
                marks += 1;
            }
            continue;
        }
        marks = 0;
        if character.is_alphanumeric() || character == '_' {
            safe.push(character);
        } else if !safe.ends_with('-') {
            safe.push('-');
        }
    }
    let safe = safe.trim_matches('-');
    if safe.is_empty() { NAMELESS.to_owned() } else { safe.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_safe_and_stay_readable() {
        for (name, expected) in [
            ("Alice", "Alice"),
            ("Jörg Müller", "Jörg-Müller"),
            ("田中 太郎", "田中-太郎"),
            ("../../etc/passwd", "etc-passwd"),
            ("a\0b\n\tc", "a-b-c"),
            (".hidden.", "hidden"),
            ("", "participant"),
            ("🎉🎉", "participant"),
            ("C:\\Windows", "C-Windows"),
            ("Ann\u{3164}\u{2800}\u{34f}\u{202e} Lee\u{e0020}", "Ann-Lee"),
        ] {
            assert_eq!(safe(name), expected, "{name:?}");
        }
        assert_eq!(safe(&"x".repeat(500)).len(), MAX_CHARACTERS);
    }

    #[test]
    fn words_of_every_script_are_kept() {
        for word in [
            "हिन्दी",
            "मराठी",
            "বাংলা",
            "தமிழ்",
            "తెలుగు",
            "ಕನ್ನಡ",
            "മലയാളം",
            "සිංහල",
            "ភាសាខ្មែរ",
            "ที่รัก",
            "مُحَمَّد",
            "שָׁלוֹם",
            "ລາວ",
            "မြန်မာ",
            "བོད་ཡིག",
        ] {
            let whole = composed(word).replace('་', "-");
            assert_eq!(safe(word), whole, "{word}");
        }
        assert_eq!(safe("हिन्दी वक्ता"), "हिन्दी-वक्ता");
        assert_eq!(safe("Jose\u{301}"), "José");
        let decomposed = "\u{1100}\u{1161}\u{1102}\u{1161}\u{1103}\u{1161}";
        assert_eq!(safe(decomposed), "가나다");
        assert_eq!(safe("\u{301}\u{302}Ann \u{301}"), "Ann", "marks without a letter");
        let zalgo = format!("Z{}oe", "\u{336}".repeat(1_000));
        assert!(safe(&zalgo).len() <= 1 + 2 * MAX_MARKS + 2, "{}", safe(&zalgo));
    }

    #[test]
    fn joiners_are_kept_only_where_they_shape_letters() {
        for shaped in [
            "می\u{200C}خواهم",
            "مَی\u{200C}ْخواهم",
            "ශ්\u{200D}රී",
            "ක්\u{200D}ෂ",
            "क्\u{200D}ष",
            "क्\u{200C}ष",
            "അവന്\u{200D}",
            "র\u{9CD}\u{200D}য",
        ] {
            assert_eq!(safe(shaped), composed(shaped), "{shaped:?}");
        }
        for (name, expected) in [
            ("Ann\u{200D}", "Ann"),
            ("A\u{200C}nn", "Ann"),
            ("\u{200D}\u{200C}Ann \u{200D}Lee", "Ann-Lee"),
            ("د\u{200C}م", "دم"),
            ("می\u{200C}", "می"),
            ("می\u{200D}خواهم", "میخواهم"),
            ("می\u{200C}1", "می1"),
            ("क\u{200D}ष", "कष"),
            ("क्\u{200C}", "क्"),
            ("क्\u{200C} ष", "क्-ष"),
            ("👩\u{200D}💻", "participant"),
            ("\u{94D}\u{200D}", "participant"),
        ] {
            assert_eq!(safe(name), expected, "{name:?}");
        }
        // Several in a row become one.
        let run = |joiner: &str| format!("ب{}ب", joiner.repeat(1_000));
        assert_eq!(safe(&format!("ب{}ب", "\u{200C}".repeat(40))), "ب\u{200C}ب");
        assert_eq!(safe(&run("\u{200C}")), "ب");
        let viramas = format!("क{}", "\u{94D}\u{200D}".repeat(1_000));
        assert!(safe(&viramas).chars().count() <= 1 + 2 * MAX_MARKS, "{:?}", safe(&viramas));
    }

    #[test]
    fn names_that_a_file_system_may_regard_as_equal_get_two_files() {
        for (first, second) in [
            ("می\u{200C}خواهم", "میخواهم"),
            ("가나다", "\u{1100}\u{1161}\u{1102}\u{1161}\u{1103}\u{1161}"),
            ("José", "JOSE\u{301}"),
            ("Weiß", "WEISS"),
            ("ΟΔΥΣΣΕΥΣ", "Οδυσσευς"),
        ] {
            let file = FileNames::default().unique("audio", first, 1);
            let other = FileNames::with([file.as_str()]).unique("audio", second, 1);
            assert!(other.ends_with("-2.webm"), "{file} {other}");
        }
    }

    #[test]
    fn a_file_system_accepts_the_longest_name() {
        let folder = tempfile::tempdir().unwrap();
        for letter in ["\u{1D400}", "田", "é", "x"] {
            let name = letter.repeat(MAX_CHARACTERS);
            let first = FileNames::default().unique("screen", &name, 99);
            let second = FileNames::with([first.as_str()]).unique("screen", &name, 99);
            for file in [first, second] {
                let path = folder.path().join(file);
                std::fs::write(&path, b"").unwrap_or_else(|error| panic!("{path:?}: {error}"));
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 8);
    }

    #[test]
    fn two_participants_of_one_name_get_two_files() {
        let mut files = FileNames::default();
        for expected in ["audio.Ann.webm", "audio.ann-2.webm", "audio.ANN-3.webm"] {
            let name = expected.split('.').nth(1).unwrap().split('-').next().unwrap();
            let file = files.unique("audio", name, 1);
            assert_eq!(file, expected);
            files.take(&file);
        }
        assert_eq!(files.begun(), 3);
        assert_eq!(files.unique("screen", "Ann", 2), "screen.Ann.a2.webm");
    }
}
