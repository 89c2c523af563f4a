//! File names made of what people call themselves.

const MAX_CHARACTERS: usize = 60;
/// File systems take 255 bytes for a whole file name.
const MAX_BYTES: usize = 180;
const NAMELESS: &str = "participant";

/// A name for a file of a `kind` (`audio`, `video`, `screen`), which is not among those `taken` (on file systems that tell no case either).
pub(crate) fn unique(kind: &str, name: &str, attempt: u32, taken: impl Fn(&str) -> bool) -> String {
    let speaker = safe(name);
    let attempt = if attempt > 1 { format!(".a{attempt}") } else { String::new() };
    let numbered = (1..).map(|number| match number {
        1 => format!("{kind}.{speaker}{attempt}.webm"),
        _ => format!("{kind}.{speaker}-{number}{attempt}.webm"),
    });
    let mut free = numbered.skip_while(|file| taken(&file.to_lowercase()));
    free.next().unwrap_or_else(|| unreachable!("there are more numbers than files"))
}

/// Letters and digits of any script stay; all else becomes a dash.
fn safe(name: &str) -> String {
    let mut safe = String::new();
    for character in name.chars().take(MAX_CHARACTERS) {
        if safe.len() + character.len_utf8() > MAX_BYTES {
            break;
        }
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
        ] {
            assert_eq!(safe(name), expected, "{name:?}");
        }
        assert_eq!(safe(&"x".repeat(500)).len(), MAX_CHARACTERS);
    }

    #[test]
    fn a_file_system_takes_the_longest_name() {
        let folder = tempfile::tempdir().unwrap();
        for letter in ["\u{1D400}", "田", "é", "x"] {
            let name = letter.repeat(MAX_CHARACTERS);
            let first = unique("screen", &name, 99, |_| false);
            let second = unique("screen", &name, 99, |file| *file == first.to_lowercase());
            for file in [first, second] {
                let path = folder.path().join(file);
                std::fs::write(&path, b"").unwrap_or_else(|error| panic!("{path:?}: {error}"));
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 8);
    }

    #[test]
    fn two_of_one_name_get_two_files() {
        let mut taken: Vec<String> = Vec::new();
        for expected in ["audio.Ann.webm", "audio.ann-2.webm", "audio.ANN-3.webm"] {
            let name = expected.split('.').nth(1).unwrap().split('-').next().unwrap();
            let file = unique("audio", name, 1, |file| taken.contains(&file.to_owned()));
            assert_eq!(file, expected);
            taken.push(file.to_lowercase());
        }
        assert_eq!(unique("screen", "Ann", 2, |_| false), "screen.Ann.a2.webm");
    }
}
