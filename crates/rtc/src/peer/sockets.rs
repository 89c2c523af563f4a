//! The UDP sockets of a peer: one for each address of this machine from which it reaches the other side.
//!
//! The routing table names the local address for each address of the other side. Binding every address of every interface instead would waste sockets:
//! an address without a route out (a bridge of containers, a link-local address, an interface that is down) reaches nothing, and
//! a server with hundreds of bots would have thousands of sockets.

use std::{
    future::poll_fn,
    io::{self, IoSliceMut},
    mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    task::Poll,
    time::{Duration, SystemTime},
};

use nix::sys::{
    socket::{
        ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
        sockopt::{ReceiveTimestamp, RxqOvfl},
    },
    time::{TimeVal, TimeValLike as _},
};
use rustix::net::SendFlags;
use tokio::io::Interest;

/// The receive buffer of a socket. It holds some seconds of a small meeting while the peer is delayed, for example by a slow disk; the system's
/// default holds a fraction of a second.
const SOCKET_BYTES: usize = 1 << 20;

/// If a server's candidates are reached from more local addresses than this, only the first ones are bound.
const MOST_SOCKETS: usize = 4;

/// Any port: a route lookup sends nothing.
const ANY_PORT: u16 = 9;

/// The sockets of a peer.
pub(super) struct Sockets {
    open: Vec<Socket>,
    /// The index of the socket that is read next.
    next: usize,
    /// The buffer into which the system writes a datagram's time of arrival, and how many were dropped before it.
    control: Vec<u8>,
    /// Datagrams that the system dropped because a socket was full.
    dropped: u64,
}

/// A datagram that was taken out of a socket.
pub(super) struct Received {
    pub(super) length: usize,
    /// Where it came from.
    pub(super) source: SocketAddr,
    /// Which of this machine's addresses it came to.
    pub(super) destination: SocketAddr,
    /// When it came into the socket, by the wall clock. `None` if the system gives no timestamp.
    pub(super) arrived: Option<SystemTime>,
}

impl Default for Sockets {
    fn default() -> Self {
        let control = nix::cmsg_space!(TimeVal, u32);
        Self { open: Vec::new(), next: 0, control, dropped: 0 }
    }
}

struct Socket {
    udp: Udp,
    address: SocketAddr,
    /// The system's last count of dropped datagrams, which wraps.
    dropped: u32,
}

enum Udp {
    /// Each datagram wakes a thread of the runtime, even if no task waits for it.
    Watched(tokio::net::UdpSocket),
    /// Datagrams wake nothing.
    Unwatched(UdpSocket),
}

impl Udp {
    fn watched(self) -> io::Result<Self> {
        match self {
            Self::Unwatched(udp) => tokio::net::UdpSocket::from_std(udp).map(Self::Watched),
            Self::Watched(_) => Ok(self),
        }
    }

    fn unwatched(self) -> io::Result<Self> {
        match self {
            Self::Watched(udp) => udp.into_std().map(Self::Unwatched),
            Self::Unwatched(_) => Ok(self),
        }
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Watched(udp) => udp.as_fd(),
            Self::Unwatched(udp) => udp.as_fd(),
        }
    }
}

impl Sockets {
    pub(super) const fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.open.iter().map(|socket| socket.address)
    }

    /// Binds a free port of `ip`. Returns its address; `None` if a socket has `ip` already, or there are [`MOST_SOCKETS`].
    pub(super) fn bind(&mut self, ip: IpAddr) -> io::Result<Option<SocketAddr>> {
        if self.open.len() == MOST_SOCKETS || self.addresses().any(|bound| bound.ip() == ip) {
            return Ok(None);
        }
        let udp = UdpSocket::bind((ip, 0))?;
        udp.set_nonblocking(true)?;
        // Best effort: the system may grant less (`net.core.rmem_max`).
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&udp, SOCKET_BYTES);
        // Without it a datagram counts as arrived when it is read.
        let _ = setsockopt(&udp, ReceiveTimestamp, &true);
        // Without it nothing counts as dropped.
        let _ = setsockopt(&udp, RxqOvfl, &1);
        let address = udp.local_addr()?;
        self.open.push(Socket { udp: Udp::Unwatched(udp), address, dropped: 0 });
        Ok(Some(address))
    }

    /// How many datagrams the system has dropped because a socket was full, as far as later datagrams have shown.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Waits until a datagram can be read from one of them.
    pub(super) async fn readable(&mut self) -> io::Result<()> {
        self.change(Udp::watched)?;
        poll_fn(|context| {
            let mut readable = Poll::Pending;
            for socket in &self.open {
                let Udp::Watched(udp) = &socket.udp else { continue };
                // Each is polled, so that each wakes this task.
                match udp.poll_recv_ready(context) {
                    Poll::Ready(Ok(())) => readable = Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
            }
            readable
        })
        .await
    }

    /// From now on datagrams wake nothing, until [`Sockets::readable`] is called.
    pub(super) fn unwatch(&mut self) -> io::Result<()> {
        self.change(Udp::unwatched)
    }

    fn change(&mut self, change: impl Fn(Udp) -> io::Result<Udp>) -> io::Result<()> {
        let change = |socket: Socket| Ok(Socket { udp: change(socket.udp)?, ..socket });
        self.open = mem::take(&mut self.open).into_iter().map(change).collect::<io::Result<_>>()?;
        Ok(())
    }

    /// The next datagram of any of them.
    pub(super) fn receive(&mut self, datagram: &mut [u8]) -> io::Result<Option<Received>> {
        while let Some(Socket { udp, address, dropped }) = self.open.get_mut(self.next) {
            let control = &mut self.control;
            let taken = match udp {
                Udp::Watched(udp) => {
                    udp.try_io(Interest::READABLE, || take(udp.as_fd(), datagram, control))
                }
                Udp::Unwatched(udp) => take(udp.as_fd(), datagram, control),
            };
            match taken {
                Ok(Taken { length, source, arrived, dropped: count }) => {
                    if let Some(count) = count {
                        self.dropped += u64::from(count.wrapping_sub(*dropped));
                        *dropped = count;
                    }
                    let destination = *address;
                    return Ok(Some(Received { length, source, destination, arrived }));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.next += 1,
                // An ICMP answer to a packet of ours: the other side's socket is closed. The silence timeout will detect it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
        self.next = 0;
        Ok(None)
    }

    /// Sends a datagram from one of our addresses.
    pub(super) fn send(
        &self,
        datagram: &[u8],
        source: SocketAddr,
        destination: SocketAddr,
    ) -> io::Result<()> {
        let socket = self.open.iter().find(|socket| socket.address == source);
        let socket = socket.ok_or(io::ErrorKind::AddrNotAvailable)?;
        rustix::net::sendto(&socket.udp, datagram, SendFlags::DONTWAIT, &destination)?;
        Ok(())
    }
}

/// What one reading of a socket gives.
struct Taken {
    length: usize,
    source: SocketAddr,
    arrived: Option<SystemTime>,
    /// How many datagrams the socket has dropped before this one, if any.
    dropped: Option<u32>,
}

/// Reads a datagram from a socket.
fn take(udp: BorrowedFd<'_>, datagram: &mut [u8], control: &mut [u8]) -> io::Result<Taken> {
    let mut parts = [IoSliceMut::new(datagram)];
    let message = recvmsg::<SockaddrStorage>(
        udp.as_raw_fd(),
        &mut parts,
        Some(control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let source = message.address.and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
    });
    let source = source.ok_or(io::ErrorKind::AddrNotAvailable)?;
    let (mut arrived, mut dropped) = (None, None);
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::ScmTimestamp(time) => arrived = wall_time(time),
            ControlMessageOwned::RxqOvfl(count) => dropped = Some(count),
            _ => {}
        }
    }
    Ok(Taken { length: message.bytes, source, arrived, dropped })
}

fn wall_time(time: TimeVal) -> Option<SystemTime> {
    let micros = time.num_microseconds().try_into().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros))
}

/// The address of this machine from which `destination` is reached, by its routing table.
pub(super) fn source_towards(destination: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match destination {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // The system regards 0.0.0.0 as this machine.
    if destination == any || destination.is_multicast() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is the address of no host"));
    }
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((destination, ANY_PORT))?;
    let source = socket.local_addr()?.ip();
    // A link-local address is valid on one link only, and a candidate cannot name the link.
    let link_local = match source {
        IpAddr::V4(source) => source.is_link_local(),
        IpAddr::V6(source) => source.is_unicast_link_local(),
    };
    if link_local {
        let why = format!("{source} is a link-local address");
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, why));
    }
    Ok(source)
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn this_machine_is_reached_from_loopback_and_no_source_reaches_an_address_of_no_host() {
        assert_eq!(source_towards(ip("127.0.0.1")).unwrap(), ip("127.0.0.1"));
        assert_eq!(source_towards(ip("127.0.0.7")).unwrap(), ip("127.0.0.1"));
        for no_host in ["0.0.0.0", "::", "224.0.0.251", "ff02::fb"] {
            assert!(source_towards(ip(no_host)).is_err(), "{no_host}");
        }
        // A link-local address without its interface has no route.
        assert!(source_towards(ip("fe80::1")).is_err());
    }

    #[tokio::test]
    async fn an_address_has_one_socket_and_a_peer_has_at_most_four() {
        let mut sockets = Sockets::default();
        assert!(sockets.bind(ip("127.0.0.1")).unwrap().is_some());
        assert!(sockets.bind(ip("127.0.0.1")).unwrap().is_none());
        for host in 2..20 {
            let _ = sockets.bind(ip(&format!("127.0.0.{host}"))).unwrap();
        }
        assert_eq!(sockets.addresses().count(), MOST_SOCKETS);
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the system's clock is what is tested")]
    async fn a_datagram_arrives_when_it_comes_into_the_socket_and_not_when_it_is_read() {
        for host in ["127.0.0.1", "::1"] {
            let mut sockets = Sockets::default();
            let to = sockets.bind(ip(host)).unwrap().unwrap();
            let sender = UdpSocket::bind((ip(host), 0)).await.unwrap();
            // Linux switches timestamps on in a work queue: until then a datagram has the time at which it is read.
            let mut tries = 0;
            loop {
                let before = SystemTime::now();
                sender.send_to(b"word", to).await.unwrap();
                sockets.readable().await.unwrap();
                let there = SystemTime::now();
                while there.elapsed().unwrap() < Duration::from_millis(20) {
                    std::thread::yield_now();
                }
                let arrived = sockets.receive(&mut [0; 10]).unwrap().unwrap().arrived.unwrap();
                if (before..=there).contains(&arrived) {
                    break;
                }
                tries += 1;
                assert!(tries < 50, "{before:?} {arrived:?} {there:?}");
            }
        }
    }

    #[tokio::test]
    async fn each_socket_is_read_and_wakes_the_waiting_task() {
        let mut sockets = Sockets::default();
        let first = sockets.bind(ip("127.0.0.1")).unwrap().unwrap();
        let second = sockets.bind(ip("127.0.0.2")).unwrap().unwrap();
        let mut datagram = [0; 10];
        for (word, to) in [(b"one", first), (b"two", second)] {
            assert!(sockets.receive(&mut datagram).unwrap().is_none());
            let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let sent = async { sender.send_to(word, to).await.unwrap() };
            let (readable, _) = tokio::join!(sockets.readable(), sent);
            readable.unwrap();
            let received = sockets.receive(&mut datagram).unwrap().unwrap();
            assert_eq!(&datagram[..received.length], word);
            let Received { source, destination, .. } = received;
            assert_eq!((source, destination), (sender.local_addr().unwrap(), to));
            sockets.send(b"back", destination, source).unwrap();
            let (_, from) = sender.recv_from(&mut datagram).await.unwrap();
            assert_eq!(from, to, "the answer comes from the address that was written to");
        }
    }

    #[tokio::test]
    async fn a_socket_is_read_while_it_is_not_watched_and_then_wakes_the_task_again() {
        let mut sockets = Sockets::default();
        let to = sockets.bind(ip("127.0.0.1")).unwrap().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for _ in 0..2 {
            // It came before the socket was watched.
            sender.send_to(b"one", to).await.unwrap();
            sockets.readable().await.unwrap();
            assert!(sockets.receive(&mut [0; 10]).unwrap().is_some());
            assert!(sockets.receive(&mut [0; 10]).unwrap().is_none());
            sockets.unwatch().unwrap();
            assert!(matches!(sockets.open[0].udp, Udp::Unwatched(_)));
            sender.send_to(b"two", to).await.unwrap();
            assert!(sockets.receive(&mut [0; 10]).unwrap().is_some());
            assert!(sockets.receive(&mut [0; 10]).unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn datagrams_for_which_a_socket_has_no_room_are_counted() {
        const SENT: u64 = SOCKET_BYTES as u64 / 100;
        let mut sockets = Sockets::default();
        let to = sockets.bind(ip("127.0.0.1")).unwrap().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (mut datagram, mut missing) = ([0; 1_000], SENT);
        for _ in 0..2 {
            for _ in 0..SENT {
                sender.send_to(&datagram, to).await.unwrap();
            }
            sockets.readable().await.unwrap();
            while sockets.receive(&mut datagram).unwrap().is_some() {
                missing -= 1;
            }
            assert!(missing > 0, "the socket holds all");
            // The count comes with the first datagram that is received after the drop.
            sender.send_to(b"later", to).await.unwrap();
            sockets.readable().await.unwrap();
            assert!(sockets.receive(&mut datagram).unwrap().is_some());
            assert_eq!(sockets.dropped(), missing);
            missing += SENT;
        }
    }
}
