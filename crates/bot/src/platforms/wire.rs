//! The connection to a meeting's server: TCP, with TLS or without, that wakes its task for what comes, or is looked into by it.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    net::{self, Shutdown},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// TCP, with TLS or without.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {
    /// From now on the connection wakes nothing: its task polls it from time to time.
    ///
    /// A task that is woken for each packet of a voice does little but wake up. Unlike a task that ignores wake-ups, a socket outside of the
    /// runtime's epoll does not wake the runtime's thread either.
    ///
    /// # Errors
    ///
    /// The operating system's; then the connection is closed.
    fn stop_waking(&mut self) -> io::Result<()>;
}

impl Wire for Tcp {
    fn stop_waking(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Closed) {
            Self::Waking(tcp) => Self::Silent(tcp.into_std()?),
            silent => silent,
        };
        Ok(())
    }
}

impl Wire for TlsStream<Tcp> {
    fn stop_waking(&mut self) -> io::Result<()> {
        self.get_mut().0.stop_waking()
    }
}

/// A TCP connection.
#[derive(Debug)]
pub(super) enum Tcp {
    /// It wakes its task.
    Waking(TcpStream),
    /// It does not: `Pending` is only the state of this moment. The socket does not block.
    Silent(net::TcpStream),
    /// It could not be taken out of the runtime.
    Closed,
}

/// The result of a call that does not block.
fn at_once<T>(call: impl FnOnce() -> io::Result<T>) -> Poll<io::Result<T>> {
    match call() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

fn closed<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Tcp {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Waking(tcp) => Pin::new(tcp).poll_read(context, into),
            Self::Silent(tcp) => at_once(|| {
                let count = tcp.read(into.initialize_unfilled())?;
                into.advance(count);
                Ok(())
            }),
            Self::Closed => closed(),
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Waking(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Silent(tcp) => at_once(|| tcp.write(bytes)),
            Self::Closed => closed(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Waking(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Self::Silent(tcp) => at_once(|| tcp.write_vectored(slices)),
            Self::Closed => closed(),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Waking(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Silent(_) | Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Waking(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Silent(tcp) => Poll::Ready(tcp.shutdown(Shutdown::Write)),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Wake, Waker},
        time::Duration,
    };

    use futures_util::FutureExt as _;
    use meetbot_testkit::polling::poll_until;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Counts how often a task was woken.
    #[derive(Debug, Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection, and its other end.
    async fn connection() -> (Tcp, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Tcp::Waking(tcp), listener.accept().await.unwrap().0)
    }

    /// How often a task is woken that reads before a message comes, and then what it can read.
    async fn wakes(tcp: &mut Tcp, server: &mut TcpStream) -> (usize, Vec<u8>) {
        let (counted, mut bytes) = (Arc::new(Wakes::default()), [0; 8]);
        let waker = Waker::from(Arc::clone(&counted));
        let read = pin!(tcp.read(&mut bytes)).poll(&mut Context::from_waker(&waker));
        assert!(read.is_pending());
        server.write_all(b"hello").await.unwrap();
        // Another message's wake-up shows that the runtime has seen this one.
        let (mut other, mut others_server) = connection().await;
        others_server.write_all(b"!").await.unwrap();
        assert_eq!(other.read_u8().await.unwrap(), b'!');
        let count = poll_until(PATIENCE, || {
            tcp.read(&mut bytes).now_or_never().ok_or("nothing has come").map(Result::unwrap)
        });
        (counted.0.load(Ordering::Relaxed), bytes[..count].to_vec())
    }

    #[tokio::test]
    async fn a_silent_connection_wakes_nothing_and_gives_what_has_come() {
        let (mut tcp, mut server) = connection().await;
        assert_eq!(wakes(&mut tcp, &mut server).await, (1, b"hello".to_vec()));
        for _ in 0..2 {
            tcp.stop_waking().unwrap();
            assert_eq!(wakes(&mut tcp, &mut server).await, (0, b"hello".to_vec()));
        }
        tcp.write_all(b"three").now_or_never().unwrap().unwrap();
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"three");
    }

    #[tokio::test]
    async fn a_silent_connection_with_a_full_buffer_waits_and_one_that_is_reset_fails() {
        let (mut tcp, server) = connection().await;
        tcp.stop_waking().unwrap();
        let much = vec![0; 65_536];
        while tcp.write(&much).now_or_never().transpose().unwrap().is_some() {}
        drop(server);
        let read = poll_until(PATIENCE, || {
            tcp.read(&mut [0; 8]).now_or_never().ok_or("the reset is not noticed")
        });
        assert!(read.is_err(), "{read:?}");
    }
}
