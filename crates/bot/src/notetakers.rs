//! Recognises names of notetaker bots. Pure; the words are in `notetakers.txt`.
//!
//! A person who counts as a bot can cost a recording; a bot that counts as a person costs some minutes in an empty room. So an ambiguous name is a
//! person's: "Anna (ASL notetaker)", "Otter Smith", "Assembly Room 3", "Ben Carter (Fireflies.ai)".

use std::sync::LazyLock;

use meetbot_types::visible::is_invisible;

/// How many characters of a name are considered.
const LONGEST: usize = 256;
/// The word for a person or a bot that takes notes.
const NOTETAKER: &str = "notetaker";

static WORDS: LazyLock<Words> = LazyLock::new(|| Words::read(include_str!("notetakers.txt")));

/// The contents of `notetakers.txt`, normalised by [`parts`].
struct Words {
    names: Vec<String>,
    everyday: Vec<String>,
    roles: Vec<String>,
    more_roles: Vec<String>,
    phrases: Vec<String>,
    endings: Vec<String>,
    ignored: Vec<String>,
}

impl Words {
    fn read(text: &str) -> Self {
        let section = |name: &str| {
            let lines = text.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
            let lines = lines.take_while(|line| !line.starts_with('['));
            let words = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            words.flat_map(parts).collect()
        };
        Self {
            names: section("names"),
            everyday: section("words"),
            roles: section("roles"),
            more_roles: section("more roles"),
            phrases: section("phrases"),
            endings: section("endings"),
            ignored: section("ignored"),
        }
    }

    /// Whether a part of a name alone shows that the name is a bot's.
    fn is_decisive(&self, part: &str) -> bool {
        let is_role = |rest: &str, role: &String| whole(rest, role).next() == Some(1);
        let product_at_work = self.names.iter().any(|name| {
            whole(part, name).any(|at| {
                let mut roles = self.roles.iter().chain(&self.more_roles);
                roles.any(|role| is_role(&part[at + name.len()..], role))
            })
        });
        // "Wei Gong Assistant" is a person: a product's name that is also a word must begin the part, or follow a possessive.
        let begins = |at: &usize| *at == 0 || owned(&part[..*at]) == Some("");
        let word_at_work = self.everyday.iter().any(|word| {
            whole(part, word)
                .filter(begins)
                .any(|at| self.roles.iter().any(|role| is_role(&part[at + word.len()..], role)))
        });
        let phrase = self.phrases.iter().any(|phrase| whole(part, phrase).next().is_some());
        let ending =
            |ending: &String| whole(part, ending).any(|at| at + ending.len() == part.len());
        product_at_work || word_at_work || phrase || self.endings.iter().any(ending)
    }

    /// Whether a part is exactly a bot's name, or "…'s notetaker".
    fn is_name(&self, part: &str) -> bool {
        let name = without_number(part);
        let of_somebody = owned(name).is_some_and(|owned| owned == NOTETAKER || self.has(owned));
        of_somebody || self.has(name)
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

/// Whether a name is a bot's.
pub(crate) fn is_bots_name(name: &str) -> bool {
    let mut parts = parts(name);
    parts.retain(|part| !WORDS.ignored.contains(part) && !part.chars().all(char::is_numeric));
    if parts.iter().any(|part| WORDS.is_decisive(part)) {
        return true;
    }
    let is_notetaker = |part: &String| without_number(part) == NOTETAKER;
    parts.iter().any(|part| WORDS.is_name(part))
        && parts.iter().all(|part| is_notetaker(part) || WORDS.is_name(part))
}

/// The part after a possessive: `notetaker` of `ann's notetaker`.
fn owned(part: &str) -> Option<&str> {
    let after = |mark: &str| part.rfind(mark).map(|at| at + mark.len());
    after("'s ").max(after("s' ")).map(|at| &part[at..])
}

/// `otter.ai` of `otter.ai 2`.
fn without_number(part: &str) -> &str {
    let rest = part.trim_end_matches(char::is_numeric);
    if rest.ends_with(' ') { rest.trim_end() } else { part }
}

/// The parts of a name, split at brackets, dashes and the like, each normalised for comparison.
fn parts(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().take(LONGEST).flat_map(plain).collect();
    let is_space = |at: Option<usize>| at.and_then(|at| letters.get(at)).is_none_or(|c| *c == ' ');
    let divided: String = letters
        .iter()
        .enumerate()
        .map(|(at, letter)| match letter {
            '-' if is_space(at.checked_sub(1)) || is_space(Some(at + 1)) => '\n',
            '-' => ' ',
            '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '|' | ',' | '/' | '\\' | ':' | '@'
            | '&' | '+' | '•' | '·' => '\n',
            letter => *letter,
        })
        .collect();
    let parts = divided.split('\n').map(|part| {
        let part = part.trim_matches(|letter| !is_word(letter) || letter == ' ');
        let words: Vec<_> = part.split(' ').filter(|word| !word.is_empty()).collect();
        words.join(" ").replace("note taker", NOTETAKER).replace("note taking", "notetaking")
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// A letter without case, width and style; nothing for an invisible one.
fn plain(letter: char) -> impl Iterator<Item = char> {
    let letter = match letter {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0).unwrap_or(letter),
        letter => letter,
    };
    let letter = match letter {
        letter if is_invisible(letter) => None,
        '’' | '‘' | 'ʼ' | '`' | '´' => Some('\''),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
        '_' | '#' => Some(' '),
        letter if letter.is_whitespace() => Some(' '),
        letter => Some(letter),
    };
    // "İ" decomposes into an "i" and a combining dot.
    letter.into_iter().flat_map(char::to_lowercase).filter(|letter| *letter != '\u{307}')
}

/// The positions of `wanted` in a text, with word boundaries on both sides.
fn whole(text: &str, wanted: &str) -> impl Iterator<Item = usize> {
    let is_whole = move |at: &usize| {
        let (before, rest) = text.split_at(*at);
        let (found, after) = rest.split_at(wanted.len());
        let (first, last) = (found.chars().next(), found.chars().next_back());
        !is_joined(before.chars().next_back(), first) && !is_joined(last, after.chars().next())
    };
    text.match_indices(wanted).map(|(at, _)| at).filter(is_whole)
}

/// Whether two letters belong to one word, by UAX #29; a change of script also separates words, as in `OtterPilotの会議`.
fn is_joined(left: Option<char>, right: Option<char>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return false };
    let word = |letter| is_word(letter) && !is_ideograph(letter);
    word(left) && word(right) && is_latin(left) == is_latin(right)
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || is_mark(letter)
}

/// A combining mark.
const fn is_mark(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}')
}

const fn is_latin(letter: char) -> bool {
    letter < '\u{250}' || is_mark(letter) || matches!(letter, '\u{1e00}'..='\u{1eff}')
}

/// Chinese and Japanese, written without spaces: each letter may begin a word.
const fn is_ideograph(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unambiguous_names_of_bots_are_recognised() {
        let names = [
            // Products alone, with a possessive, and numbered, as meetings show them.
            "Otter.ai",
            "OTTER.AI",
            "Ｏｔｔｅｒ．ａｉ",
            "Otter.ai 2",
            "Otter.ai (Guest)",
            "🤖 Otter.ai",
            "Otter\u{200b}.ai",
            "Ot\u{34f}ter\u{3164}.ai\u{e0020}",
            "OtterPilot",
            "Ann's OtterPilot",
            "Ann Lee’s Otter.ai",
            "OtterPilotの会議メモ",
            "Fireflies.ai",
            "FİREFLİES.AI Notetaker",
            "fathom.video",
            "Read.ai",
            "Read AI",
            "tl;dv",
            "TLDV",
            "MeetGeek",
            "Sembly",
            "sembly 3",
            "Sembly AI",
            "Gong.io",
            "Supernormal",
            "Recall.ai",
            "MEETBOT",
            "meetbot 2",
            "Otter Assistant",
            // Products with their function.
            "Fireflies.ai Notetaker",
            "Ann's Fireflies.ai Notetaker",
            "Fireflies.ai Notetaker Ann",
            "Fireflies Notetaker",
            "Fathom Notetaker",
            "Ann’s Fathom Notetaker",
            "fathom note-taker",
            "Avoma Notetaker",
            "Grain Notetaker",
            "Krisp Notetaker",
            "Claap Recorder",
            "Gong Recorder",
            "Otter Bot",
            "Otter.ai - Notetaker",
            "Notetaker (Otter.ai)",
            "Read.ai meeting notes",
            "Read.ai Meeting Notes (Ann Lee)",
            "Ann Lee (Fathom Notetaker)",
            "Sembly Assistant",
            "tl;dv Recorder",
            // Bots of any product.
            "AI notetaker",
            "AI Note Taker",
            "AI-Notetaker",
            "A.I. Notetaker",
            "AI-powered Notetaker",
            "Anna's AI Notetaker",
            "Acme AI Notetaker",
            "Notetaker AI",
            "notetaker bot",
            "Note-Taker Bot",
            "NotetakerBot",
            "Acme Recording Bot",
            "Zapier Meeting Bot",
            "Anna's Notetaker",
            "Anna’s note taker",
            "James' Notetaker",
            "Otter's Notetaker",
            "X's Notetaker",
            "Anna's Notetaker 2",
            "Anna's Notetaker (Otter.ai)",
            "Anna's AI Assistant",
            "KI-Notetaker",
            "Protokoll-Bot",
            "Preneur de notes IA",
            "Бот-секретарь",
            "AIノートテイカー",
            "議事録ボット",
            "AI議事録さん",
            "会议机器人",
            "회의록 봇",
        ];
        let missed: Vec<_> = names.into_iter().filter(|name| !is_bots_name(name)).collect();
        assert_eq!(missed, [""; 0]);
    }

    #[test]
    fn names_of_people_and_rooms_are_not_bots() {
        let names = [
            "",
            " ",
            "2",
            "()",
            "Bob",
            "🤖",
            // Names and rooms that contain a product's name.
            "Assembly Room 3",
            "General Assembly",
            "General-Assembly",
            "GENERAL ASSEMBLY",
            "Assemblyman Jones",
            "disassembly line 2",
            "Montagehalle/Assembly",
            "Assemblée nationale",
            "Sémbly",
            "Sembly\u{301}",
            "Semblya",
            "Sembly Room",
            "Sembly Jones",
            "Ann Otterman",
            "Potter.ai",
            "Otter.airport",
            "Harry Potter",
            "Otter Smith",
            "Otter",
            "Ms. Otter",
            "Otter Room",
            "Otter Creek Conference Room",
            "Avoma Smith",
            "Avoma",
            "Claap",
            "Bernard Fathom",
            "Fathom",
            "Gong Li",
            "Gong Ai",
            "Wei Gong Assistant",
            "Wei Gong - Assistant",
            "Grain Elevator 4",
            "Supernormal People Ltd",
            "Joan Read, AI team",
            "Joan Read AI Research",
            "Thread.ai",
            "Meetbotham",
            "Зал Assembly",
            "Сборочный цех (Assembly)",
            "集会室 Assembly",
            "アセンブリ",
            // People who work for a product.
            "Ben Carter (Fireflies.ai)",
            "Ben Carter | Otter.ai",
            "ben@otter.ai",
            "Ben from Read.ai",
            // People who take notes.
            "Anna (ASL notetaker)",
            "Ben - Note Taker",
            "Ben – Note-Taker",
            "Notetaker",
            "Note Taker",
            "Note Taker 2",
            "Student Notetaker",
            "Court Notetaker 2",
            "Ben (Anna's notetaker)",
            "Anna's Notetaker (Ben)",
            "Anna's notetaker Ben",
            "Notetaker for Anna",
            "Otter Smith (notetaker)",
            "Ai Tanaka (notetaker)",
            "Tanaka Ai - Notetaker",
            "Notetaker Ai Tanaka",
            "Protokoll",
            "Protokollantin",
            "議事録",
            "記録係",
            "секретарь",
            // Ambiguous names.
            "Acme Notetaker",
            "Acme Recorder",
            "Acme Recorder 1",
            "Anna's Assistant",
            "Meeting Assistant",
            // "Bot" is also a family name.
            "Ben Bot",
            "Bernard Bot",
            "Botánica",
            "Robot Chicken",
            "Abbot Note",
            "Talbot Recording",
            "Bob (AI Assistant Professor)",
        ];
        let taken: Vec<_> = names.into_iter().filter(|name| is_bots_name(name)).collect();
        assert_eq!(taken, [""; 0]);
    }

    #[test]
    fn a_name_of_any_length_is_read_in_bounded_time() {
        assert!(!is_bots_name(&"notetaker ".repeat(1_000_000)));
        assert!(!is_bots_name(&"(".repeat(1_000_000)));
        assert!(is_bots_name(&format!("Otter.ai Notetaker {}", "x".repeat(1_000_000))));
    }

    #[test]
    fn every_line_is_recognised_by_the_rule_of_its_section() {
        let all = [&WORDS.names, &WORDS.everyday, &WORDS.roles, &WORDS.more_roles, &WORDS.phrases];
        assert!(all.iter().all(|section| section.len() > 4));
        for name in WORDS.names.iter().chain(&WORDS.phrases).chain(&WORDS.endings) {
            assert!(is_bots_name(name), "{name}");
        }
        for word in &WORDS.everyday {
            assert!(!is_bots_name(word), "{word}");
            assert!(WORDS.roles.iter().all(|role| is_bots_name(&format!("{word} {role}"))));
        }
        for role in WORDS.roles.iter().chain(&WORDS.more_roles) {
            assert!(!is_bots_name(role), "{role}");
        }
    }
}
