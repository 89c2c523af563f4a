//! Keeps the first bytes that a connection received, for the error where they are no HTTP response.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

/// How many bytes are kept: more than an error shows, so that a key among them is found and redacted whole.
const MOST: usize = 1024;
/// How much is read at once until the buffer is full.
const PIECE: usize = 4096;

/// The first bytes that a connection received since the last send. Clones share the buffer.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReceivedBytes(Arc<Mutex<Buffer>>);

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Whether something was sent after these bytes.
    is_stale: bool,
}

impl ReceivedBytes {
    /// The bytes received since the last send.
    pub(crate) fn since_last_send(&self) -> Vec<u8> {
        let buffer = self.buffer();
        if buffer.is_stale { Vec::new() } else { buffer.bytes.clone() }
    }

    /// The last bytes received, also when something was sent after them, as TLS does to report an error.
    pub(crate) fn last(&self) -> Vec<u8> {
        self.buffer().bytes.clone()
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self) -> bool {
        let buffer = self.buffer();
        buffer.bytes.len() >= MOST && !buffer.is_stale
    }

    fn add(&self, bytes: &[u8]) {
        let mut buffer = self.buffer();
        if buffer.is_stale {
            buffer.bytes.clear();
            buffer.is_stale = false;
        }
        let room = MOST.saturating_sub(buffer.bytes.len());
        buffer.bytes.extend(bytes.iter().take(room));
    }

    fn mark_sent(&self) {
        self.buffer().is_stale = true;
    }
}

/// A connection whose first received bytes are recorded.
pub(crate) struct RecordingStream<S> {
    stream: S,
    received: ReceivedBytes,
}

impl<S> RecordingStream<S> {
    pub(crate) const fn new(stream: S, received: ReceivedBytes) -> Self {
        Self { stream, received }
    }
}

impl<S: Connection> Connection for RecordingStream<S> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.received.clone())
    }
}

impl<S: Read + Unpin> Read for RecordingStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.received.is_full() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let mut bytes = [0; PIECE];
        let most = buffer.remaining().min(PIECE);
        let mut piece = ReadBuf::new(&mut bytes[..most]);
        ready!(Pin::new(&mut self.stream).poll_read(context, piece.unfilled()))?;
        self.received.add(piece.filled());
        buffer.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for RecordingStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.received.mark_sent();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, pieces))?;
        self.received.mark_sent();
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
