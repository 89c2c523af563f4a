//! Sockets at addresses that no bot may send to, and the datagrams that arrive there.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
};

/// UDP sockets that count datagrams. Clones share the sockets.
#[derive(Debug, Clone)]
pub struct Trap(Arc<[UdpSocket]>);

impl Trap {
    /// Binds so many free ports of an address of this machine.
    pub fn set(address: IpAddr, ports: usize) -> io::Result<Self> {
        let socket = |_| {
            let socket = UdpSocket::bind((address, 0))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        (0..ports).map(socket).collect::<io::Result<_>>().map(Self)
    }

    /// The addresses of the sockets.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().filter_map(|socket| socket.local_addr().ok())
    }

    /// The same as candidates, each with a higher priority than a valid one.
    pub fn candidates(&self) -> Vec<String> {
        let candidate = |(number, address): (usize, SocketAddr)| {
            let (ip, port) = (address.ip(), address.port());
            format!("candidate:9{number} 1 udp 2130706431 {ip} {port} typ host")
        };
        self.addresses().enumerate().map(candidate).collect()
    }

    /// How many datagrams have arrived since the last call.
    pub fn caught(&self) -> usize {
        self.by_port().sum()
    }

    /// On how many of the ports a datagram has arrived.
    pub fn reached(&self) -> usize {
        self.by_port().filter(|caught| *caught > 0).count()
    }

    fn by_port(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|socket| {
            let datagrams = std::iter::repeat_with(|| socket.recv_from(&mut [0; 2_000]));
            datagrams.take_while(Result::is_ok).count()
        })
    }
}
