//! What is known of the network path to the other side, for the error text when none comes up.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
};

use crate::guard::Refused;

/// The most addresses of either kind that are kept: a description may name thousands.
const MOST: usize = 32;
/// How many addresses the text names.
const NAMED: usize = 4;

/// Pure: the peer reports each step here until the media path is up.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// The other side's addresses, each with the reason why nothing can be sent to it, if so.
    offered: Vec<(IpAddr, Option<String>)>,
    /// Addresses to which datagrams were sent.
    tried: Vec<SocketAddr>,
    /// The last send that failed, and its error.
    unsent: Option<(SocketAddr, String)>,
    /// Addresses from which datagrams of the session came.
    answered: Vec<SocketAddr>,
}

impl Path {
    /// Whether an address of the other side is new, and there is room for it.
    pub(super) fn is_new(&self, address: IpAddr) -> bool {
        self.offered.len() < MOST && self.offered.iter().all(|(known, _)| *known != address)
    }

    /// The other side offers an address.
    pub(super) fn offered(&mut self, address: IpAddr, route: Result<(), &io::Error>) {
        let why = route.err().map(|error| format!("this machine has no route to them: {error}"));
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

/// The furthest step that is certain: an address that was not tried is not called blocked.
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
    fn the_text_says_that_the_server_named_no_address() {
        assert!(Path::default().to_string().contains("named no address"));
    }

    #[test]
    fn a_server_of_the_other_family_is_not_called_blocked() {
        let mut path = Path::default();
        path.offered(ip("192.0.2.2"), Err(&unreachable()));
        let expected = "the other side offers IPv4 addresses only (192.0.2.2), and this machine has no route to them: Network is unreachable";
        assert_eq!(path.to_string(), expected);
        path.offered(ip("2001:db8::2"), Err(&unreachable()));
        let both = path.to_string();
        assert!(both.contains("offers addresses (192.0.2.2, 2001:db8::2)"), "{both}");
    }

    #[test]
    fn the_text_says_that_addresses_are_refused() {
        let mut path = Path::default();
        path.refused(ip("10.0.0.7"), Refused::Address("it is no public address"));
        let expected = "the other side offers IPv4 addresses only (10.0.0.7), and nothing may be sent there: it is no public address";
        assert_eq!(path.to_string(), expected);
    }

    #[test]
    fn unanswered_addresses_and_failed_sends_are_named() {
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
    fn the_text_about_a_thousand_addresses_is_short() {
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
