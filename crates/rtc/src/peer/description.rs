//! Checks of the other side's session description before the session reads it: its size, its ICE credentials, its candidates.
//!
//! Descriptions are untrusted, and the libraries that read them (str0m 0.25, is 0.12) trust them in two places: they send connectivity checks to every
//! candidate, and panic on a long `ice-ufrag`.

use crate::Error;

/// The most bytes of a session description. An offer of Janus has about 2 kB for each person with audio and video.
pub const DESCRIPTION_BYTES: usize = 512 * 1024;
/// The most tracks of a session description.
pub const DESCRIPTION_TRACKS: usize = 1_000;
/// RFC 8839, 5.4: `ice-ufrag` has 4 to 256 characters, `ice-pwd` 22 to 256.
const SHORTEST_UFRAG: usize = 4;
const SHORTEST_PASSWORD: usize = 22;
const LONGEST_PASSWORD: usize = 256;
/// Shorter than the limit of RFC 8839. ICE writes `UFRAG:OURS` into the user name of a check, ours has 16 characters, and is 0.12 refuses to write one of more than
/// 128 bytes (`stun.rs`, `encode_str_no_len`), an error that `IceAgent::stun_client_binding_request` does not expect (`agent.rs`, `expect`).
const LONGEST_UFRAG: usize = 128 - ":".len() - 16;
/// The most characters that an error repeats of the other side's text.
const MOST_CHARACTERS: usize = 200;

/// The user name and the password of the other side's checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    ufrag: String,
    password: String,
}

/// A description that passed the checks.
#[derive(Debug)]
pub(super) struct Description<'a> {
    /// The description without its candidates.
    pub(super) sdp: String,
    /// The credentials that the session will use.
    pub(super) credentials: Option<Credentials>,
    /// The candidates, without `a=`.
    pub(super) candidates: Vec<&'a str>,
}

/// Checks a description, and separates its candidates and credentials.
pub(super) fn read(text: &str) -> Result<Description<'_>, Error> {
    let refuse = |why: String| Err(Error::Description(why));
    if text.len() > DESCRIPTION_BYTES {
        return refuse(format!("it has {} bytes; {DESCRIPTION_BYTES} can be used", text.len()));
    }
    let (mut sdp, mut candidates) = (String::with_capacity(text.len()), Vec::new());
    let (mut media, mut ufrag, mut password, mut credentials) = (0, None, None, None);
    // The session splits lines in the same way.
    for line in text.split_inclusive('\n') {
        let value = line.trim_end_matches('\n').trim_end_matches('\r');
        if let Some(candidate) = value.strip_prefix("a=").filter(|it| it.starts_with("candidate:"))
        {
            candidates.push(candidate);
            continue;
        }
        sdp.push_str(line);
        if value.starts_with("m=") {
            media += 1;
            (ufrag, password) = (None, None);
        } else if let Some(value) = value.strip_prefix("a=ice-ufrag:") {
            check("ice-ufrag", value, SHORTEST_UFRAG, LONGEST_UFRAG)?;
            ufrag.get_or_insert(value);
        } else if let Some(value) = value.strip_prefix("a=ice-pwd:") {
            check("ice-pwd", value, SHORTEST_PASSWORD, LONGEST_PASSWORD)?;
            password.get_or_insert(value);
        }
        // The session uses the first complete pair: of the session level, or of one track.
        if let (None, Some(ufrag), Some(password)) = (&credentials, ufrag, password) {
            credentials =
                Some(Credentials { ufrag: ufrag.to_owned(), password: password.to_owned() });
        }
    }
    if media > DESCRIPTION_TRACKS {
        return refuse(format!("it has {media} tracks; {DESCRIPTION_TRACKS} can be used"));
    }
    candidates.sort_unstable();
    candidates.dedup();
    Ok(Description { sdp, credentials, candidates })
}

/// An error of the session about a description, with its text truncated.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
pub(super) fn unusable<E: ToString>(error: E) -> Error {
    Error::Description(error.to_string().chars().take(MOST_CHARACTERS).collect())
}

/// RFC 8839, 5.4: these values consist of letters, digits, `+` and `/`.
fn check(name: &str, value: &str, shortest: usize, longest: usize) -> Result<(), Error> {
    let length = value.chars().count();
    if !(shortest..=longest).contains(&length) {
        let why =
            format!("its {name} has {length} characters; {shortest} to {longest} can be used");
        return Err(Error::Description(why));
    }
    if !value.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '+' | '/')) {
        let why = format!("its {name} has other characters than letters, digits, + and /");
        return Err(Error::Description(why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(ufrag: &str, password: &str) -> String {
        format!("v=0\r\nm=audio 9 X 1\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n")
    }

    #[test]
    fn credentials_have_the_length_and_the_characters_of_the_standard() {
        let (ufrag, password) = ("aB9+".to_owned(), "aB9/".repeat(6));
        for (ufrag, password, error) in [
            (ufrag.clone(), password.clone(), None),
            ("a".repeat(111), "b".repeat(256), None),
            ("aB9".to_owned(), password.clone(), Some("3 characters")),
            ("a".repeat(112), password.clone(), Some("112 characters")),
            ("a".repeat(160), password.clone(), Some("160 characters")),
            ("a".repeat(100_000), password.clone(), Some("100000 characters")),
            (String::new(), password.clone(), Some("0 characters")),
            ("a b:".to_owned(), password.clone(), Some("other characters")),
            ("ufräg".to_owned(), password.clone(), Some("other characters")),
            ("aB9+\0".to_owned(), password.clone(), Some("other characters")),
            ("aB9+\rx".to_owned(), password, Some("other characters")),
            (ufrag.clone(), "b".repeat(21), Some("21 characters")),
            (ufrag.clone(), "b".repeat(257), Some("257 characters")),
            (ufrag, format!("{} ", "b".repeat(22)), Some("other characters")),
        ] {
            let text = with(&ufrag, &password);
            let read = read(&text).map(|description| description.credentials);
            match error {
                None => assert_eq!(read.unwrap(), Some(Credentials { ufrag, password })),
                Some(why) => assert!(read.unwrap_err().to_string().contains(why), "{why}"),
            }
        }
    }

    #[test]
    fn candidates_are_removed_from_every_place_and_the_rest_is_kept() {
        let text = "v=0\na=candidate:1\r\nm=audio 9 X 1\r\na=candidate:2\na=candidate:1\r\na=mid:0\r\na=candidate:3";
        let description = read(text).unwrap();
        assert_eq!(description.candidates, ["candidate:1", "candidate:2", "candidate:3"]);
        assert_eq!(description.sdp, "v=0\nm=audio 9 X 1\r\na=mid:0\r\n");
    }

    #[test]
    fn the_first_complete_credentials_are_those_of_the_session() {
        let half = "v=0\r\na=ice-ufrag:half\r\n";
        let text =
            format!("{half}{}{}", with("full", &"p".repeat(22)), with("more", &"q".repeat(22)));
        let found = read(&text).unwrap().credentials.unwrap();
        assert_eq!((found.ufrag.as_str(), found.password), ("full", "p".repeat(22)));
    }

    #[test]
    fn a_description_that_is_too_large_is_refused() {
        let tracks = |count| "m=audio 9 X 1\r\n".repeat(count);
        assert!(read(&tracks(DESCRIPTION_TRACKS)).is_ok());
        assert!(
            read(&tracks(DESCRIPTION_TRACKS + 1)).unwrap_err().to_string().contains("1001 tracks")
        );
        assert!(
            read(&"x".repeat(DESCRIPTION_BYTES + 1)).unwrap_err().to_string().contains("bytes")
        );
    }
}
