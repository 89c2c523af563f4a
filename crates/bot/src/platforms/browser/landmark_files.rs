//! Loads landmarks: built-in ones, or files in a folder of the operator, which override them without a rebuild.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
};

use super::landmarks::{Landmarks, Mistake};

/// The file in a folder.
const FILE: &str = "google-meet.toml";

/// The built-in landmarks of Google Meet, which a test validates.
pub(crate) static GOOGLE_MEET: LazyLock<Landmarks> = LazyLock::new(|| {
    let text = include_str!("products/google_meet/landmarks.toml");
    Landmarks::read(text).expect("the landmarks that are built in are right")
});

/// Landmarks that were read, with their texts. They are leaked, since bots keep references; an unchanged file is read once only, so the memory is bounded.
static READ: Mutex<Vec<(String, &'static Landmarks)>> = Mutex::new(Vec::new());

/// Why a folder's landmarks cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The folder, or its file, cannot be read.
    #[error("{}: {error}", path.display())]
    Unread {
        /// The folder or the file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There are no landmarks of this name.
    #[error("{}: there are no landmarks of this name; the file has to be called {FILE}", .0.display())]
    Unknown(PathBuf),
    /// The file holds a mistake.
    #[error("{}: {mistake}", path.display())]
    Mistake {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        mistake: String,
    },
}

/// The landmarks of Google Meet: those of the folder, or the built-in ones.
pub(crate) fn of_google_meet(folder: Option<&Path>) -> Result<&'static Landmarks, Unusable> {
    let Some(folder) = folder else { return Ok(&GOOGLE_MEET) };
    let unread = |path: &Path| {
        let path = path.to_owned();
        |error| Unusable::Unread { path, error }
    };
    for entry in fs::read_dir(folder).map_err(unread(folder))? {
        let path = entry.map_err(unread(folder))?.path();
        // Other extensions are ignored: editors leave such files there.
        if path.extension().is_some_and(|ending| ending == "toml") && !path.ends_with(FILE) {
            return Err(Unusable::Unknown(path));
        }
    }
    let path = folder.join(FILE);
    let text = fs::read_to_string(&path).map_err(unread(&path))?;
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, landmarks)) = read.iter().find(|(earlier, _)| *earlier == text) {
        return Ok(landmarks);
    }
    let landmarks = Landmarks::read(&text)
        .map_err(|mistake: Mistake| Unusable::Mistake { path, mistake: mistake.to_string() })?;
    let landmarks: &'static Landmarks = Box::leak(Box::new(landmarks));
    read.push((text, landmarks));
    Ok(landmarks)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{super::landmarks::tests::GOOGLE_MEET as TEXT, *};

    #[test]
    fn a_folder_overrides_the_built_in_landmarks_and_an_edit_applies_to_the_next_bot() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join(FILE);
        assert_eq!(of_google_meet(None).unwrap().host, "meet.google.com");
        let with = |version: &str| {
            let changed = TEXT.replacen("version = \"", &format!("version = \"{version}-"), 1);
            fs::write(&file, changed).unwrap();
            of_google_meet(Some(folder.path())).unwrap()
        };
        let first = with("first");
        assert!(first.version.starts_with("first-"));
        // The same text is not read twice.
        assert!(std::ptr::eq(first, with("first")));
        assert!(with("second").version.starts_with("second-"));
    }

    #[test]
    fn errors_of_a_folder_name_the_file() {
        let folder = TempDir::new().unwrap();
        let error = || of_google_meet(Some(folder.path())).unwrap_err().to_string();
        assert!(error().contains("google-meet.toml: "), "{}", error());
        let file = folder.path().join(FILE);
        fs::write(&file, TEXT.replacen("reads = 2", "raeds = 2", 1)).unwrap();
        assert!(error().contains("google-meet.toml: ") && error().contains("raeds"), "{}", error());
        fs::write(&file, TEXT).unwrap();
        fs::write(folder.path().join("google_meet.toml"), TEXT).unwrap();
        assert!(error().contains("has to be called google-meet.toml"), "{}", error());
        let nowhere = folder.path().join("nowhere");
        let error = of_google_meet(Some(&nowhere)).unwrap_err().to_string();
        assert!(error.contains("nowhere: "), "{error}");
    }
}
