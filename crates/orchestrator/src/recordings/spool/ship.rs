//! Uploads what the files of attempts gain, so that another worker can continue or finish the recording.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use meetbot_types::{JobId, signature::sha256};
use serde::{Deserialize, Serialize};

use super::{
    Spool, SpoolError,
    folder::{read_state, write_state},
    log::{self, Piece},
};
use crate::recordings::{LOG, LOG_END, bucket::BucketError, local, of_job};

/// The most bytes of one object.
const MOST: u64 = 8 << 20;
/// How much of the end of a file is compared with what was uploaded of it: a bot writes the first packets of a stream provisionally, and again when their place is certain.
const COMPARED: u64 = 256 << 10;
const MEDIA_TYPE: &str = "application/octet-stream";

/// How much of an attempt is uploaded. It is stored beside the attempt's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Shipped {
    /// The number of the next object.
    next: u64,
    /// Each file that was uploaded, by its name.
    files: BTreeMap<String, Mark>,
    /// Whether the log has its end.
    #[serde(default)]
    ended: bool,
}

/// How much of a file is uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    bytes: u64,
    /// The SHA-256 of the last of them, at most [`COMPARED`].
    end: String,
}

impl Spool {
    /// Uploads what this worker's attempts at a job wrote since the last call, and answers how many bytes. The log of an attempt that has finished the recording
    /// gets its end once everything is there.
    pub async fn ship(&self, job: JobId) -> Result<u64, SpoolError> {
        let lock = self.lock(job);
        let _one_at_a_time = lock.lock().await;
        let mut bytes = 0;
        let epochs = self.own_attempts(job).map_err(BucketError::Disk)?;
        // Looked at before: a bot writes its manifest last.
        let finished: Vec<u32> =
            epochs.iter().copied().filter(|epoch| self.is_finished(job, *epoch)).collect();
        for epoch in epochs {
            bytes += self.ship_attempt(job, epoch).await?;
        }
        for epoch in finished {
            self.end_log(job, epoch).await?;
        }
        Ok(bytes)
    }

    async fn end_log(&self, job: JobId, epoch: u32) -> Result<(), BucketError> {
        let state = self.state_file(job, epoch, "log");
        let shipped = read_state::<Shipped>(&state)?.unwrap_or_default();
        if shipped.ended {
            return Ok(());
        }
        let name = self.log_object(job, epoch, LOG_END);
        match self.bucket.put_new(&name, Vec::new(), MEDIA_TYPE).await {
            Ok(()) | Err(BucketError::Exists) => {}
            Err(error) => return Err(error),
        }
        Ok(write_state(&state, &Shipped { ended: true, ..shipped })?)
    }

    fn log_object(&self, job: JobId, epoch: u32, name: &str) -> String {
        of_job(job, &format!("{LOG}/{epoch}.{}/{name}", self.name))
    }

    async fn ship_attempt(&self, job: JobId, epoch: u32) -> Result<u64, BucketError> {
        let (folder, state) = (self.of_attempt(job, epoch), self.state_file(job, epoch, "log"));
        let (mut shipped, mut bytes) = (read_state::<Shipped>(&state)?.unwrap_or_default(), 0);
        let earlier: Vec<PathBuf> = (1..epoch).map(|epoch| self.of_attempt(job, epoch)).collect();
        loop {
            let (from, earlier, before) = (folder.clone(), earlier.clone(), shipped.clone());
            let gathered =
                tokio::task::spawn_blocking(move || gather(&from, &earlier, &before, MOST)).await;
            let Some((object, after)) = gathered.map_err(io::Error::other)?? else {
                return Ok(bytes);
            };
            let name = self.log_object(job, epoch, &format!("{:08}", shipped.next));
            let size = object.len() as u64;
            shipped = match self.bucket.put_new(&name, object, MEDIA_TYPE).await {
                Ok(()) => after,
                // As after an answer that was lost: what is there counts.
                Err(BucketError::Exists) => {
                    let (there, _) = self.bucket.get(&name).await?;
                    let from = folder.clone();
                    tokio::task::spawn_blocking(move || mark(&from, shipped, &there))
                        .await
                        .map_err(io::Error::other)??
                }
                Err(error) => return Err(error),
            };
            write_state(&state, &shipped)?;
            bytes += size;
            self.shipped.fetch_add(size, Ordering::Relaxed);
        }
    }
}

/// The object with what the files gained, and how much is uploaded after it; `None` if they gained nothing.
fn gather(
    folder: &Path,
    earlier: &[PathBuf],
    shipped: &Shipped,
    most: u64,
) -> io::Result<Option<(Vec<u8>, Shipped)>> {
    let (mut pieces, mut contents) = (Vec::new(), Vec::new());
    let mut after = Shipped { next: shipped.next + 1, ..shipped.clone() };
    for path in files(folder, earlier)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let size = file.metadata()?.len();
        let room = most.saturating_sub(contents.len() as u64);
        let mark = shipped.files.get(&name);
        let offset = next_offset(&mut file, size, mark, is_lines(&path))?;
        let is_new = mark.is_none_or(|mark| (offset, size) != (mark.bytes, mark.bytes));
        if !is_new || room == 0 {
            continue;
        }
        let before = contents.len();
        file.seek(SeekFrom::Start(offset))?;
        (&file).take(room.min(size - offset)).read_to_end(&mut contents)?;
        let content = &contents[before..];
        // Of the bytes that were read: others may have replaced them meanwhile.
        let end = end_with(&mut file, offset, content)?;
        let bytes = content.len() as u64;
        after.files.insert(name.clone(), Mark { bytes: offset + bytes, end });
        pieces.push(Piece { name, offset, bytes });
    }
    if pieces.is_empty() {
        return Ok(None);
    }
    Ok(Some((log::write(pieces, &contents)?, after)))
}

/// From where on a file is uploaded: from where it was before, unless the last bytes have changed since. A file of lines that has changed was replaced, when the
/// recording was finalised: all its lines may have moved.
fn next_offset(file: &mut File, size: u64, mark: Option<&Mark>, lines: bool) -> io::Result<u64> {
    let Some(mark) = mark else { return Ok(0) };
    if size >= mark.bytes && end_of(file, mark.bytes)? == mark.end {
        return Ok(mark.bytes);
    }
    Ok(if lines { 0 } else { mark.bytes.saturating_sub(COMPARED).min(size) })
}

/// After this object.
fn mark(folder: &Path, mut shipped: Shipped, object: &[u8]) -> io::Result<Shipped> {
    shipped.next += 1;
    for (Piece { name, offset, bytes }, content) in log::read(object)? {
        let bytes = offset + bytes;
        let end = match File::open(folder.join(&name)) {
            // Of the bytes that are there: the file may have changed since.
            Ok(mut file) => end_with(&mut file, offset, content)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        shipped.files.insert(name, Mark { bytes, end });
    }
    Ok(shipped)
}

/// The SHA-256 of the bytes before this offset.
fn end_of(file: &mut File, offset: u64) -> io::Result<String> {
    end_with(file, offset, &[])
}

/// The same, with this content after them.
fn end_with(file: &mut File, offset: u64, content: &[u8]) -> io::Result<String> {
    let before = COMPARED.saturating_sub(content.len() as u64).min(offset);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset - before))?;
    file.take(before).read_to_end(&mut bytes)?;
    let skipped = content.len().saturating_sub(usize::try_from(COMPARED).unwrap_or(usize::MAX));
    bytes.extend(&content[skipped..]);
    Ok(sha256(&bytes))
}

/// The files of a log: those of lines first, which a bot needs before it can continue. Media that were copied from the folders of earlier attempts are in those
/// attempts' logs.
fn files(folder: &Path, earlier: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut files = local::entries(folder)?;
    files.retain(|path| {
        let Some(name) = path.file_name() else { return false };
        let is_media = path.extension().is_some_and(|extension| extension == "webm");
        let is_copy = || is_media && earlier.iter().any(|folder| folder.join(name).exists());
        path.is_file() && log::is_logged(&name.to_string_lossy()) && !is_copy()
    });
    files.sort_by_key(|path| !is_lines(path));
    Ok(files)
}

fn is_lines(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::recordings::spool::fetch::apply;

    /// A folder, what is uploaded of it, and the files that another worker makes of that.
    struct Logged {
        folder: tempfile::TempDir,
        shipped: Shipped,
        copy: tempfile::TempDir,
    }

    impl Logged {
        fn new() -> Self {
            let [folder, copy] = [(); 2].map(|()| tempfile::tempdir().unwrap());
            Self { folder, shipped: Shipped::default(), copy }
        }

        fn write(&self, name: &str, content: &[u8]) {
            fs::write(self.folder.path().join(name), content).unwrap();
        }

        /// Uploads all; answers how many objects it took.
        fn ship(&mut self, most: u64) -> u32 {
            let mut objects = 0;
            while let Some((object, shipped)) =
                gather(self.folder.path(), &[], &self.shipped, most).unwrap()
            {
                apply(self.copy.path(), &object).unwrap();
                (self.shipped, objects) = (shipped, objects + 1);
            }
            objects
        }

        #[track_caller]
        fn is_equal(&self, names: &[&str]) {
            let mut copied: Vec<_> = fs::read_dir(self.copy.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            copied.sort();
            assert_eq!(copied, names);
            for name in names {
                let read = |folder: &Path| fs::read(folder.join(name)).unwrap();
                assert!(read(self.folder.path()) == read(self.copy.path()), "{name}");
            }
        }
    }

    #[test]
    fn a_log_carries_what_files_gain_and_what_changes_at_their_ends() {
        let mut logged = Logged::new();
        logged.write("events.jsonl", b"one\n");
        logged.write("audio.Ada.webm", b"header, uncertain");
        logged.write("manifest.json", b"{}");
        logged.write("audio.Ada.part", b"half");
        assert_eq!(logged.ship(MOST), 1);
        logged.is_equal(&["audio.Ada.webm", "events.jsonl"]);
        assert_eq!(logged.ship(MOST), 0, "nothing is new");
        logged.write("events.jsonl", b"one\ntwo\n");
        // What was provisional is shorter than before, and other.
        logged.write("audio.Ada.webm", b"header, sure");
        assert_eq!(logged.ship(MOST), 1);
        logged.is_equal(&["audio.Ada.webm", "events.jsonl"]);
    }

    #[test]
    fn a_long_file_is_uploaded_in_several_objects_and_only_once() {
        let mut logged = Logged::new();
        let long: Vec<u8> = (0..2_000_000_u32).map(|at| (at % 251) as u8).collect();
        logged.write("video.Ada.webm", &long[..1_000_000]);
        assert_eq!(logged.ship(300_000), 4);
        logged.is_equal(&["video.Ada.webm"]);
        logged.write("video.Ada.webm", &long);
        let (object, _) =
            gather(logged.folder.path(), &[], &logged.shipped, MOST).unwrap().unwrap();
        assert!(object.len() < 1_000_200, "{}", object.len());
        logged.ship(MOST);
        logged.is_equal(&["video.Ada.webm"]);
    }

    #[test]
    fn media_that_were_copied_from_an_earlier_attempt_are_not_uploaded_again() {
        let [earlier, logged] = [(); 2].map(|()| Logged::new());
        for name in ["events.jsonl", "audio.Ada.webm"] {
            earlier.write(name, b"first");
            logged.write(name, b"first");
        }
        logged.write("audio.Ada.a2.webm", b"second");
        let earlier = [earlier.folder.path().to_owned()];
        let gathered = gather(logged.folder.path(), &earlier, &logged.shipped, MOST);
        let (object, shipped) = gathered.unwrap().unwrap();
        apply(logged.copy.path(), &object).unwrap();
        logged.is_equal(&["audio.Ada.a2.webm", "events.jsonl"]);
        let again = gather(logged.folder.path(), &earlier, &shipped, MOST).unwrap();
        assert!(again.is_none());
    }

    #[test]
    fn a_file_of_lines_that_was_replaced_is_uploaded_whole() {
        let mut logged = Logged::new();
        let lines = |late: bool| {
            let numbers = (0..100_000).filter(|number| late || *number != 7);
            numbers.map(|number: u32| number.to_string()).collect::<Vec<_>>().join("\n")
        };
        logged.write("events.jsonl", lines(false).as_bytes());
        logged.ship(MOST);
        logged.write("events.jsonl", lines(true).as_bytes());
        assert!(lines(true).len() as u64 > 2 * COMPARED);
        assert_eq!(logged.ship(MOST), 1);
        logged.is_equal(&["events.jsonl"]);
    }

    #[test]
    fn an_object_whose_answer_was_lost_counts() {
        let mut logged = Logged::new();
        logged.write("events.jsonl", b"one\n");
        let (object, _) =
            gather(logged.folder.path(), &[], &logged.shipped, MOST).unwrap().unwrap();
        apply(logged.copy.path(), &object).unwrap();
        // The second is what a file of lines is replaced by.
        for after in ["one\ntwo\n", "zero\none\n"] {
            logged.write("events.jsonl", after.as_bytes());
            logged.shipped = mark(logged.folder.path(), Shipped::default(), &object).unwrap();
            assert_eq!((logged.shipped.next, logged.ship(MOST)), (1, 1));
            logged.is_equal(&["events.jsonl"]);
        }
    }
}
