//! What is known of the way to the other side, to be said when none comes up.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
};

use crate::guard::Refused;

/// A description may name thousands of addresses; beyond this many of either kind none is looked at.
const MOST: usize = 32;
/// How many addresses a sentence names.
const NAMED: usize = 4;

/// Pure: it is told what happens before the media path is up.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// The other side's addresses, and why nothing can be sent to each of those to which nothing can.
    offered: Vec<(IpAddr, Option<String>)>,
    /// What datagrams were sent to.
    tried: Vec<SocketAddr>,
    /// Why the last datagram that was not sent was not.
    unsent: Option<(SocketAddr, String)>,
    /// Where datagrams of the session came from.
    answered: Vec<SocketAddr>,
}

impl Path {
    /// Whether an address of the other side is new, and to be looked at.
    pub(super) fn is_new(&self, address: IpAddr) -> bool {
        self.offered.len() < MOST && self.offered.iter().all(|(known, _)| *known != address)
    }

    /// The other side offers an address.
    pub(super) fn offered(&mut self, address: IpAddr, way: Result<(), &io::Error>) {
        let why = way.err().map(|error| format!("this machine has no way to them: {error}"));
        self.offered.push((address, why));
    }

    /// The other side offers an address that may not be sent to.
    pub(super) fn refused(&mut self, address: IpAddr, why: Refused) {
        self.offered.push((address, Some(format!("nothing may be sent there: {why}"))));
    }

    /// A datagram was sent, or not.
    pub(super) fn sent(&mut self, to: SocketAddr, outcome: Result<(), &io::Error>) {
        match outcome {
            Ok(()) => note(&mut self.tried, to),
            Err(error) => self.unsent = Some((to, error.to_string())),
        }
    }

    /// A datagram of the session came.
    pub(super) fn heard(&mut self, from: SocketAddr) {
        note(&mut self.answered, from);
    }
}

fn note(addresses: &mut Vec<SocketAddr>, address: SocketAddr) {
    if addresses.len() < MOST && !addresses.contains(&address) {
        addresses.push(address);
    }
}

/// The most that is known for certain: nothing that was not tried is called blocked.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.answered.is_empty() {
            let from = list(&self.answered);
            return write!(f, "{from} answered, but no keys were agreed on (DTLS)");
        }
        if !self.tried.is_empty() {
            return write!(f, "no UDP packet came back from {}", list(&self.tried));
        }
        if let Some((to, error)) = &self.unsent {
            return write!(f, "no UDP packet could be sent to {to}: {error}");
        }
        let addresses: Vec<IpAddr> = self.offered.iter().map(|(address, _)| *address).collect();
        let Some((_, first)) = self.offered.first() else {
            return f.write_str("the other side named no address to send media to");
        };
        let family =
            match (addresses.iter().any(IpAddr::is_ipv4), addresses.iter().any(IpAddr::is_ipv6)) {
                (true, false) => "IPv4 addresses only",
                (false, true) => "IPv6 addresses only",
                _ => "addresses",
            };
        let offers = format!("the other side offers {family} ({})", list(&addresses));
        match first {
            Some(why) if self.offered.iter().all(|(_, why)| why.is_some()) => {
                write!(f, "{offers}, and {why}")
            }
            _ => write!(f, "{offers}, and nothing was sent there yet"),
        }
    }
}

fn list<T: fmt::Display>(all: &[T]) -> String {
    let named: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    let more = all.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn unreachable() -> io::Error {
        io::Error::new(io::ErrorKind::NetworkUnreachable, "Network is unreachable")
    }

    #[test]
    fn a_server_that_names_no_address_is_said_to() {
        assert!(Path::default().to_string().contains("named no address"));
    }

    #[test]
    fn a_server_of_the_other_family_is_not_called_blocked() {
        let mut path = Path::default();
        path.offered(ip("192.0.2.2"), Err(&unreachable()));
        let expected = "the other side offers IPv4 addresses only (192.0.2.2), and this machine has no way to them: Network is unreachable";
        assert_eq!(path.to_string(), expected);
        path.offered(ip("2001:db8::2"), Err(&unreachable()));
        let both = path.to_string();
        assert!(both.contains("offers addresses (192.0.2.2, 2001:db8::2)"), "{both}");
    }

    #[test]
    fn addresses_that_may_not_be_sent_to_are_said_to_be_refused() {
        let mut path = Path::default();
        path.refused(ip("10.0.0.7"), Refused::Address("it is no public address"));
        let expected = "the other side offers IPv4 addresses only (10.0.0.7), and nothing may be sent there: it is no public address";
        assert_eq!(path.to_string(), expected);
    }

    #[test]
    fn what_was_sent_and_not_answered_is_named_and_what_could_not_be_sent_too() {
        let to = |port: u16| SocketAddr::new(ip("192.0.2.2"), port);
        let mut path = Path::default();
        path.offered(ip("192.0.2.2"), Ok(()));
        assert!(path.to_string().contains("nothing was sent"), "{path}");
        let denied = io::Error::new(io::ErrorKind::PermissionDenied, "not permitted");
        path.sent(to(1), Err(&denied));
        assert_eq!(path.to_string(), "no UDP packet could be sent to 192.0.2.2:1: not permitted");
        for port in [1, 2, 1, 2] {
            path.sent(to(port), Ok(()));
        }
        let expected = "no UDP packet came back from 192.0.2.2:1, 192.0.2.2:2";
        assert_eq!(path.to_string(), expected);
        path.heard(to(2));
        assert!(path.to_string().starts_with("192.0.2.2:2 answered"), "{path}");
    }

    #[test]
    fn a_server_with_a_thousand_addresses_is_a_short_sentence() {
        let mut path = Path::default();
        for host in 0..1_000_u32 {
            let address = IpAddr::from(host.to_be_bytes());
            if path.is_new(address) {
                path.offered(address, Ok(()));
            }
            path.sent(SocketAddr::new(address, 1), Ok(()));
        }
        assert_eq!((path.offered.len(), path.tried.len()), (MOST, MOST));
        assert!(path.to_string().contains("and 28 more"), "{path}");
    }
}
