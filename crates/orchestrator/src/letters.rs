//! Random letters and digits for keys, tokens and codes.

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Uniformly distributed random letters and digits.
pub(crate) fn letters(count: usize) -> String {
    let mut text = String::with_capacity(count);
    let mut bytes = [0; 64];
    while text.len() < count {
        getrandom::fill(&mut bytes).expect("the operating system gives randomness");
        text.extend(as_letters(&bytes).take(count - text.len()));
    }
    text
}

/// Converts random bytes to uniformly distributed letters and digits. Bytes from 248 on, the largest multiple of 62 in a byte, are skipped to avoid a bias.
pub(crate) fn as_letters(bytes: &[u8]) -> impl Iterator<Item = char> {
    let letters = bytes.iter().filter(|byte| **byte < 248);
    letters.map(|byte| char::from(LETTERS[usize::from(*byte) % 62]))
}

/// Letters for codes that people read and type: no vowels, so that they form no words, and no letters that look alike (RFC 8628, 6.1).
const CODE_LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// A random code of `length` uniformly distributed letters. Bytes from 240 on, the largest multiple of 20 in a byte, are skipped to avoid a bias.
pub(crate) fn code(count: usize) -> String {
    let mut text = String::with_capacity(count);
    let mut bytes = [0; 64];
    while text.len() < count {
        getrandom::fill(&mut bytes).expect("the operating system gives randomness");
        let letters = bytes.iter().filter(|byte| **byte < 240);
        let letters = letters.map(|byte| char::from(CODE_LETTERS[usize::from(*byte) % 20]));
        text.extend(letters.take(count - text.len()));
    }
    text
}
