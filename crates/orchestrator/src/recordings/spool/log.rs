//! An object of a log: what the files of an attempt have gained. The objects of an attempt, applied in their order, are its files. Pure.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

/// The version of the objects.
const VERSION: u32 = 1;

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// The file's name.
    pub(super) name: String,
    /// Where the piece begins in it.
    pub(super) offset: u64,
    /// How many bytes it has.
    pub(super) bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    version: u32,
    pieces: Vec<Piece>,
}

/// Whether a file is a part of a log. The others are made when the recording is finished.
pub(super) fn is_logged(name: &str) -> bool {
    let is_part = Path::new(name).extension().is_some_and(|extension| extension == "part");
    is_plain(name) && !is_part && !matches!(name, "manifest.json" | "audio.mixed.webm")
}

/// A name of a file, without a path.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

/// The object of these pieces and their contents, one behind the other.
pub(super) fn write(pieces: Vec<Piece>, contents: &[u8]) -> io::Result<Vec<u8>> {
    let mut object = serde_json::to_vec(&Header { version: VERSION, pieces })?;
    object.push(b'\n');
    object.extend(contents);
    Ok(object)
}

/// The pieces of an object, with their contents.
pub(super) fn read(object: &[u8]) -> io::Result<Vec<(Piece, &[u8])>> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let end = object.iter().position(|byte| *byte == b'\n');
    let (header, contents) = object.split_at(end.ok_or_else(|| wrong("a log without a header"))?);
    let Header { version, pieces } = serde_json::from_slice(header)?;
    if version != VERSION {
        return Err(wrong("a log of another version"));
    }
    let (mut found, mut rest) = (Vec::new(), &contents[1..]);
    for piece in pieces {
        let bytes = usize::try_from(piece.bytes).unwrap_or(usize::MAX);
        let Some((content, more)) = rest.split_at_checked(bytes) else {
            return Err(wrong("a log that is too short"));
        };
        if !is_logged(&piece.name) || piece.offset.checked_add(piece.bytes).is_none() {
            return Err(wrong("a log of a file that no bot writes"));
        }
        rest = more;
        found.push((piece, content));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(name: &str, offset: u64, bytes: u64) -> Piece {
        Piece { name: name.to_owned(), offset, bytes }
    }

    #[test]
    fn an_object_holds_pieces_of_files() {
        let pieces = vec![piece("events.jsonl", 7, 3), piece("audio.Ada.webm", 0, 2)];
        let object = write(pieces.clone(), b"abcde").unwrap();
        let read = read(&object).unwrap();
        assert_eq!(read, [(pieces[0].clone(), &b"abc"[..]), (pieces[1].clone(), b"de")]);
    }

    #[test]
    fn an_object_that_is_torn_or_names_another_place_is_refused() {
        let object = write(vec![piece("a.webm", 0, 3)], b"abc").unwrap();
        for end in 0..object.len() {
            assert!(read(&object[..end]).is_err(), "{end}");
        }
        for name in ["../a", "e2/a", "", ".", "manifest.json", "a.part"] {
            let object = write(vec![piece(name, 0, 1)], b"a").unwrap();
            assert!(read(&object).is_err(), "{name}");
        }
        let object = write(vec![piece("a", u64::MAX, 1)], b"a").unwrap();
        assert!(read(&object).is_err());
    }
}
