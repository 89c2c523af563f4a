//! What a connection brought last: an error shows it where that was no answer.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

/// How many bytes are kept: more than an error shows, so that a key among them is found whole.
const MOST: usize = 1024;
/// How much is read at once until they are there.
const PIECE: usize = 4096;

/// The beginning of what came over a connection since something was last sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Something was sent after these bytes.
    answered: bool,
}

impl Heard {
    /// What came since something was last sent.
    pub(crate) fn since_sent(&self) -> Vec<u8> {
        let kept = self.kept();
        if kept.answered { Vec::new() } else { kept.bytes.clone() }
    }

    /// What came last, also when something was sent after it: TLS says that it cannot be read.
    pub(crate) fn last(&self) -> Vec<u8> {
        self.kept().bytes.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self) -> bool {
        let kept = self.kept();
        kept.bytes.len() >= MOST && !kept.answered
    }

    fn add(&self, bytes: &[u8]) {
        let mut kept = self.kept();
        if kept.answered {
            kept.bytes.clear();
            kept.answered = false;
        }
        let room = MOST.saturating_sub(kept.bytes.len());
        kept.bytes.extend(bytes.iter().take(room));
    }

    fn send(&self) {
        self.kept().answered = true;
    }
}

/// A connection that is listened to.
pub(crate) struct Listened<S> {
    stream: S,
    heard: Heard,
}

impl<S> Listened<S> {
    pub(crate) const fn new(stream: S, heard: Heard) -> Self {
        Self { stream, heard }
    }
}

impl<S: Connection> Connection for Listened<S> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.heard.clone())
    }
}

impl<S: Read + Unpin> Read for Listened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.heard.is_full() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let mut bytes = [0; PIECE];
        let most = buffer.remaining().min(PIECE);
        let mut piece = ReadBuf::new(&mut bytes[..most]);
        ready!(Pin::new(&mut self.stream).poll_read(context, piece.unfilled()))?;
        self.heard.add(piece.filled());
        buffer.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for Listened<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.heard.send();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, pieces))?;
        self.heard.send();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
