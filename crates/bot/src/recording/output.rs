//! A buffered output file.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write},
    path::Path,
};

use super::files::private;

/// A file, and the bytes that are not written to it yet.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    pub(crate) buffer: Vec<u8>,
    /// How many bytes were written, without [`Output::write_ahead`]. For a file that is appended to: since it was opened.
    length: u64,
    /// How many bytes behind these were written ahead, and will be overwritten.
    ahead: u64,
}

impl Output {
    /// Creates a new file, with its header.
    pub(crate) fn create(path: &Path, header: Vec<u8>) -> io::Result<Self> {
        let file = private().create_new(true).open(path)?;
        Ok(Self { file, buffer: header, length: 0, ahead: 0 })
    }

    /// Opens a file for appending, and creates it if it is missing.
    pub(crate) fn append(path: &Path) -> io::Result<Self> {
        let file = private().create(true).append(true).open(path)?;
        Ok(Self { file, buffer: Vec::new(), length: 0, ahead: 0 })
    }

    /// Writes the buffer to the file; returns how many bytes.
    pub(crate) fn flush(&mut self) -> io::Result<u64> {
        let before = self.buffer.len() as u64;
        let written = write_all(&mut self.file, &mut self.buffer);
        let bytes = before - self.buffer.len() as u64;
        self.length += bytes;
        self.ahead = self.ahead.saturating_sub(bytes);
        written?;
        if self.ahead > 0 {
            self.file.set_len(self.length)?;
            self.ahead = 0;
        }
        Ok(bytes)
    }

    /// Writes provisional bytes behind the end of a file that was made with [`Output::create`], in case the process dies: the next flush
    /// overwrites them.
    pub(crate) fn write_ahead(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.ahead = self.ahead.max(bytes.len() as u64);
        let written = self.file.write_all(bytes);
        self.file.seek(SeekFrom::Start(self.length))?;
        written
    }

    /// Closes the file. It is synced when the recording is finalised, on a blocking thread.
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.flush().map(drop)
    }
}

/// Writes the buffer. Bytes that were written before an error are removed from it: when a full disk has room again, the rest is written, and nothing twice.
fn write_all(file: &mut impl Write, buffer: &mut Vec<u8>) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.write(buffer) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => drop(buffer.drain(..taken)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{Output, write_all};

    /// A disk with a limited number of free bytes.
    struct Disk(Vec<u8>, usize);

    impl io::Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.1 - self.0.len());
            self.0.extend(&bytes[..taken]);
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bytes_written_ahead_are_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let read = || std::fs::read(&path).unwrap();
        let mut output = Output::create(&path, b"head".to_vec()).unwrap();
        output.flush().unwrap();
        output.write_ahead(b"uncertain").unwrap();
        assert_eq!(read(), b"headuncertain");
        output.write_ahead(b"uncertain, and more").unwrap();
        output.buffer.extend(b" and ");
        output.flush().unwrap();
        assert_eq!(read(), b"head and ", "nothing of it is left");
        output.write_ahead(b"tai").unwrap();
        output.buffer.extend(b"tail");
        output.close().unwrap();
        assert_eq!(read(), b"head and tail");
    }

    #[test]
    fn bytes_written_before_the_disk_was_full_are_not_written_again() {
        let (mut disk, mut buffer) = (Disk(Vec::new(), 3), b"hello".to_vec());
        let full = write_all(&mut disk, &mut buffer).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        disk.1 = 100;
        buffer.extend(b", world");
        write_all(&mut disk, &mut buffer).unwrap();
        assert_eq!(disk.0, b"hello, world");
    }
}
