//! Hostile inputs for the parsers of untrusted data: a hand-written corpus and generated inputs.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant},
};

/// How many inputs are generated for a parser.
const GENERATED: usize = 10_000;
/// The seed of all of them: the same inputs in each run.
const SEED: u64 = 0x006d_6565_7462_6f74;
/// The largest input. A parser of quadratic time needs many minutes for it, and one of linear time milliseconds.
const LARGE: usize = 1 << 18;
/// The time limit of one input, far beyond the time of a linear parser on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pieces that are inserted into inputs: ends of ranges, separators, and text that other layers interpret.
const PIECES: &[&str] = &[
    "",
    "\0",
    "\t",
    "\r\n",
    " ",
    "\u{a0}",
    "\u{feff}",
    "\u{202e}",
    "é",
    "💩",
    "\u{10ffff}",
    "ß",
    "İ",
    "%",
    "%00",
    "%2e%2e",
    "%FF",
    "%u0041",
    "+",
    "&",
    "=",
    "?",
    "#",
    "/",
    "//",
    "\\",
    "..",
    ":",
    "@",
    ";",
    ",",
    "-",
    "_",
    ".",
    "'",
    "\"",
    "{",
    "}",
    "[",
    "]",
    "null",
    "true",
    "NaN",
    "0",
    "-0",
    "-1",
    "1e400",
    "0x10",
    "18446744073709551616",
    "9223372036854775808",
    "4294967296",
    "1.5",
    "\\u0000",
    "\\ud800",
    "$(id)",
    "{{7*7}}",
    "<script>",
    "' OR 1=1 --",
];

/// Feeds `parse` every input of `corpus`, long and deep ones made of them, and 10,000 that are changed at random.
///
/// # Panics
/// When `parse` does, after printing the input; and when it takes more than linear time.
#[expect(clippy::disallowed_methods, reason = "a parser's patience is counted on the clock")]
pub fn feed(corpus: &[&str], mut parse: impl FnMut(&str)) {
    let mut give = |input: &str| {
        let started = Instant::now();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| parse(input))) {
            show(input);
            resume_unwind(panic);
        }
        if started.elapsed() > PATIENCE {
            show(input);
            panic!("{} bytes took {:?}", input.len(), started.elapsed());
        }
    };
    for input in corpus.iter().chain(PIECES) {
        give(input);
    }
    for piece in corpus.iter().chain(PIECES).filter(|piece| !piece.is_empty()) {
        give(&piece.repeat(LARGE / piece.len()));
    }
    let mut random = Random(SEED);
    for _ in 0..GENERATED {
        let mut input: Vec<char> = corpus[random.below(corpus.len())].chars().collect();
        for _ in 0..=random.below(4) {
            change(&mut input, corpus, &mut random);
        }
        give(&input.iter().collect::<String>());
    }
}

/// [`feed`], for a parser of bytes.
pub fn feed_bytes(corpus: &[&[u8]], mut parse: impl FnMut(&[u8])) {
    // Each byte is changed as a character; of inserted characters the low byte is taken.
    let as_text = |bytes: &&[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    let corpus: Vec<String> = corpus.iter().map(as_text).collect();
    let corpus: Vec<&str> = corpus.iter().map(String::as_str).collect();
    feed(&corpus, |input| {
        let bytes: Vec<u8> =
            input.chars().map(|character| u32::from(character).to_le_bytes()[0]).collect();
        parse(&bytes);
    });
}

#[expect(clippy::print_stderr, reason = "a test that fails says with what")]
fn show(input: &str) {
    let start: String = input.chars().take(2_000).collect();
    eprintln!("the input (seed {SEED}, {} bytes): {start:?}", input.len());
}

fn change(input: &mut Vec<char>, corpus: &[&str], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let to = at + random.below(input.len() + 1 - at);
    match random.below(6) {
        0 => drop(input.drain(at..to)),
        1 => {
            let again: Vec<char> = input[at..to].repeat(1 + random.below(8));
            input.splice(at..at, again);
        }
        2 => {
            let piece = PIECES[random.below(PIECES.len())].chars();
            input.splice(at..at, piece);
        }
        3 => {
            let other: Vec<char> = corpus[random.below(corpus.len())].chars().collect();
            let from = random.below(other.len() + 1);
            input.splice(at..to, other[from..].iter().copied());
        }
        4 => {
            if let Some(character) = input.get_mut(at) {
                *character = char::from_u32(u32::try_from(random.below(0x11_0000)).unwrap_or(0))
                    .unwrap_or('\u{fffd}');
            }
        }
        _ => {
            if let Some(character) = input.get_mut(at) {
                *character = char::from(u8::try_from(random.below(128)).unwrap_or(0));
            }
        }
    }
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % (bound.max(1) as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_inputs_come_each_time_and_few_of_them_twice() {
        let inputs = || {
            let mut inputs = Vec::new();
            feed(&["https://example.com/a?b=c", "x"], |input| inputs.push(input.to_owned()));
            inputs
        };
        let (first, second) = (inputs(), inputs());
        assert!(first == second && first.len() > GENERATED);
        let different: std::collections::HashSet<_> = first.iter().collect();
        assert!(different.len() > GENERATED / 2, "{}", different.len());
    }

    #[test]
    #[should_panic(expected = "a defect")]
    fn a_parser_that_panics_fails_the_test() {
        feed(&["abc"], |input| assert!(!input.contains("cc"), "a defect"));
    }
}
