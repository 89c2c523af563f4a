//! Random texts that can be typed.

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Random letters and digits, each as likely as any other.
pub(crate) fn letters(count: usize) -> String {
    let mut text = String::with_capacity(count);
    let mut bytes = [0; 64];
    while text.len() < count {
        getrandom::fill(&mut bytes).expect("the operating system gives randomness");
        text.extend(as_letters(&bytes).take(count - text.len()));
    }
    text
}

/// Bytes as letters and digits, each as likely as any other: 248 is the largest multiple of 62 that a byte holds, and others are left out.
pub(crate) fn as_letters(bytes: &[u8]) -> impl Iterator<Item = char> {
    let letters = bytes.iter().filter(|byte| **byte < 248);
    letters.map(|byte| char::from(LETTERS[usize::from(*byte) % 62]))
}

/// Letters for codes that people read and type: no vowels, so that no word comes out, and none that looks like another (RFC 8628, 6.1).
const CODE_LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// A random code of so many letters, each as likely as any other: 240 is the largest multiple of 20 that a byte holds.
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
