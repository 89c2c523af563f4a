//! Fetches recorded files; a connection that breaks is taken up where it broke.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, header::RANGE};
use meetbot_types::signature::Digest;
use tokio::{
    fs::File,
    io::{AsyncSeekExt as _, AsyncWriteExt as _},
};

use crate::{
    Error, ErrorKind, clock,
    connections::Received,
    endpoint,
    models::{Manifest, manifest},
    pieces::{Piece, Progress},
    retry::{self, Outcome},
    settings::{random, random_key},
    transport::{MAX_ANSWER_BYTES, Transport},
};

/// How long a download waits at most for a mix that is still to be made.
const LONGEST_MIX: Duration = Duration::from_mins(10);
/// The shortest and the longest pause between two looks whether it is.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// The destination of downloaded bytes.
trait Sink {
    /// The largest size that it accepts where the total size is unknown.
    const MOST_WITHOUT_LENGTH: u64;
    /// Takes the next bytes.
    async fn push(&mut self, bytes: &[u8]) -> Result<(), Error>;
    /// Discards all bytes so far: the server restarts from the beginning.
    async fn restart(&mut self) -> Result<(), Error>;
}

pub(crate) async fn to_memory(transport: &Transport, path: &str) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    fetch(transport, path, None, &mut bytes).await?;
    Ok(bytes.freeze())
}

/// A file that is what the manifest says of it, in memory.
pub(crate) async fn checked(
    transport: &Transport,
    path: &str,
    expected: &manifest::File,
) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    fetch(transport, path, expected.bytes, &mut bytes).await?;
    let mut digest = Digest::default();
    digest.add(&bytes);
    judge(digest, expected, expected.name.as_deref().unwrap_or(path))?;
    Ok(bytes.freeze())
}

/// Whether the file is what the manifest says.
fn judge(digest: Digest, expected: &manifest::File, file: &str) -> Result<(), Error> {
    let found = digest.finish();
    match expected.sha256.as_deref() {
        Some(sha256) if found != sha256 => {
            let message =
                format!("{file} is not what the manifest says: SHA-256 {found}, not {sha256}");
            Err(Error::new(ErrorKind::Decode, message).with_call(1, None))
        }
        _ => Ok(()),
    }
}

/// All files of a recording into a folder, the manifest last; answers where they are.
pub(crate) async fn all(
    transport: &Transport,
    job_id: &str,
    folder: &Path,
    wait_for_mix: bool,
) -> Result<Vec<PathBuf>, Error> {
    let manifest = manifest(transport, job_id, wait_for_mix).await?;
    tokio::fs::create_dir_all(folder).await.map_err(|error| unwritable(folder, error))?;
    let mut paths = Vec::new();
    for file in &manifest.files {
        let Some(name) = file.name.as_deref().filter(|name| is_flat(name)) else {
            let message =
                format!("the manifest names a file {:?}, which is no file's name", file.name);
            return Err(Error::new(ErrorKind::Decode, message).with_call(1, None));
        };
        let target = folder.join(name);
        let path = endpoint::artifact_path(job_id, name)?;
        fetch_file(transport, &path, &target, Some(file)).await?;
        paths.push(target);
    }
    let target = folder.join("manifest.json");
    to_file(transport, &endpoint::artifact_path(job_id, "manifest.json")?, &target).await?;
    paths.push(target);
    Ok(paths)
}

/// The manifest; where that is wanted, once its mix is pending no more, or has been for too long.
async fn manifest(
    transport: &Transport,
    job_id: &str,
    wait_for_mix: bool,
) -> Result<Manifest, Error> {
    let began = clock::now();
    loop {
        let manifest = transport.call(endpoint::manifest(job_id)?).await?;
        let waits = wait_for_mix && manifest.mixed.is_pending();
        let Some(pause) = waits.then(|| mix_pause(clock::now() - began)).flatten() else {
            return Ok(manifest);
        };
        tokio::time::sleep(pause).await;
    }
}

/// How long to wait before the manifest of a pending mix is asked for again, after having waited for so long: a tenth of that. `None` after the longest time.
pub(crate) fn mix_pause(waited: Duration) -> Option<Duration> {
    let left = LONGEST_MIX.saturating_sub(waited);
    (!left.is_zero()).then(|| (waited / 10).clamp(PAUSES.0, PAUSES.1).min(left))
}

/// Whether it is the name of a file in a folder, and leads nowhere else.
fn is_flat(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '\0'])
}

pub(crate) async fn to_file(
    transport: &Transport,
    path: &str,
    target: &Path,
) -> Result<u64, Error> {
    fetch_file(transport, path, target, None).await
}

/// Downloads a file; a known size and hash are checked before it is moved to its place.
async fn fetch_file(
    transport: &Transport,
    path: &str,
    target: &Path,
    expected: Option<&manifest::File>,
) -> Result<u64, Error> {
    let part = part_of(target)?;
    // A unique name: two downloads of one file do not share it, and no existing file is overwritten.
    let file = File::create_new(&part).await.map_err(|error| unwritable(&part, error))?;
    let mut sink = FileSink { file, part: Part(part), digest: Digest::default() };
    let size = fetch(transport, path, expected.and_then(|file| file.bytes), &mut sink).await?;
    if let Some(expected) = expected {
        let digest = std::mem::take(&mut sink.digest);
        judge(digest, expected, &target.display().to_string())?;
    }
    let keep = async {
        sink.file.flush().await?;
        sink.file.sync_all().await?;
        tokio::fs::rename(&sink.part.0, target).await
    };
    keep.await.map(|()| size).map_err(|error| unwritable(target, error))
}

/// `name.`, random characters, `.part` beside it.
fn part_of(target: &Path) -> Result<PathBuf, Error> {
    let name = target.file_name().ok_or_else(|| {
        Error::configuration(format!("{} is not the name of a file", target.display()))
    })?;
    let mut part = name.to_owned();
    part.push(format!(".{}.part", &random_key()[..8]));
    Ok(target.with_file_name(part))
}

/// The whole file, of the size that is expected where one is; answers its size. An error says how many connections were tried since the last byte came.
async fn fetch<S: Sink>(
    transport: &Transport,
    path: &str,
    expected: Option<u64>,
    sink: &mut S,
) -> Result<u64, Error> {
    let mut tried = 0;
    let fetched = fetch_counted(transport, path, expected, sink, &mut tried).await;
    fetched.map_err(|error| error.with_call(tried, None))
}

async fn fetch_counted<S: Sink>(
    transport: &Transport,
    path: &str,
    expected: Option<u64>,
    sink: &mut S,
    tried: &mut u32,
) -> Result<u64, Error> {
    let mut furthest = 0;
    let mut progress = Progress { expected, ..Progress::default() };
    loop {
        *tried += 1;
        let (error, outcome) = match transport.open(path, from(progress.received)).await {
            Ok(response) if response.status().is_success() => {
                let piece = Piece::read(&progress, response.status().as_u16(), response.headers())
                    .map_err(|why| Error::new(ErrorKind::Decode, format!("{path}: {why}")))?;
                if piece.anew {
                    sink.restart().await?;
                    progress.received = 0;
                }
                progress.said = piece.total;
                let poured =
                    read_body(transport, path, response, &piece, sink, &mut progress.received)
                        .await;
                let error = match poured {
                    Ok(()) if piece.completes(progress.received) => return Ok(progress.received),
                    // A server may give less than was asked for.
                    Ok(()) if progress.received > furthest => {
                        (*tried, furthest) = (0, progress.received);
                        continue;
                    }
                    Ok(()) => {
                        let message = format!("{path}: the answer ended before the file did");
                        Error::new(ErrorKind::Connection, message)
                    }
                    // All that was said has come.
                    Err(error)
                        if error.is_transient() && piece.total == Some(progress.received) =>
                    {
                        return Ok(progress.received);
                    }
                    Err(error) => error,
                };
                (error, Outcome::Broken)
            }
            Ok(response) => {
                let outcome = Outcome::Answer(response.status().as_u16());
                (transport.refuse(response).await, outcome)
            }
            Err(error) => (error, Outcome::Broken),
        };
        if outcome == Outcome::Broken && !error.is_transient() {
            return Err(error);
        }
        // Progress resets the count of failures.
        if progress.received > furthest {
            (*tried, furthest) = (1, progress.received);
        }
        let Some(wait) = retry::decide(
            *tried,
            transport.settings.max_retries(),
            outcome,
            error.retry_after(),
            random(),
        ) else {
            return Err(error);
        };
        tokio::time::sleep(wait).await;
    }
}

/// Asks for the bytes from here on, if the server can.
fn from(offset: u64) -> HeaderMap {
    let range =
        HeaderValue::from_str(&format!("bytes={offset}-")).expect("digits are a header's value");
    (offset > 0).then_some((RANGE, range)).into_iter().collect()
}

/// Takes an answer in, as far as it is what it says.
async fn read_body<S: Sink>(
    transport: &Transport,
    path: &str,
    mut response: Received,
    piece: &Piece,
    sink: &mut S,
    received: &mut u64,
) -> Result<(), Error> {
    let (url, patience) = (response.url().clone(), transport.settings.timeout());
    let most = piece.total.unwrap_or(S::MOST_WITHOUT_LENGTH);
    loop {
        // A file may be large, so the limit of a try holds from one piece to the next.
        let Ok(chunk) = tokio::time::timeout(patience, response.chunk()).await else {
            let url = transport.settings.shown(&url);
            let message = format!("GET {url}: nothing came for {} s", patience.as_secs_f64());
            return Err(Error::new(ErrorKind::Timeout, message));
        };
        let Some(chunk) = chunk.map_err(|error| transport.broken(error, &Method::GET, &url))?
        else {
            return Ok(());
        };
        let after = *received + chunk.len() as u64;
        if !piece.reaches(after) {
            let message = format!("{path}: the server sent more than it said");
            return Err(Error::new(ErrorKind::Decode, message));
        }
        if after > most {
            let message = format!(
                "{path} is larger than {} MiB, and the server did not say how large: download it to a file",
                most >> 20
            );
            return Err(Error::new(ErrorKind::Decode, message));
        }
        sink.push(&chunk).await?;
        *received = after;
    }
}

impl Sink for BytesMut {
    const MOST_WITHOUT_LENGTH: u64 = MAX_ANSWER_BYTES as u64;

    async fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), Error> {
        self.clear();
        Ok(())
    }
}

struct FileSink {
    file: File,
    part: Part,
    digest: Digest,
}

/// A temporary file. Dropping this removes it, unless it was moved to its target: errors and cancelled calls leave no file behind.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Sink for FileSink {
    const MOST_WITHOUT_LENGTH: u64 = u64::MAX;

    async fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.digest.add(bytes);
        self.file.write_all(bytes).await.map_err(|error| unwritable(&self.part.0, error))
    }

    async fn restart(&mut self) -> Result<(), Error> {
        self.digest = Digest::default();
        let begin_anew = async {
            self.file.flush().await?;
            self.file.set_len(0).await?;
            self.file.rewind().await
        };
        begin_anew.await.map(drop).map_err(|error| unwritable(&self.part.0, error))
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::File, format!("{} cannot be written", path.display())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_none() {
        for name in ["", ".", "..", "../a", "a/b", "a\\b", "/a", "a\0"] {
            assert!(!is_flat(name), "{name:?}");
        }
        assert!(is_flat("audio.Alice.webm") && is_flat("..a"));
    }
}
