//! [`NoProxy`]: the servers that are reached without the proxies of the environment. Pure.
//!
//! As curl and Python read `NO_PROXY`: names with all that is below them, addresses, and `*` for everything. As Go reads it: networks as
//! `10.0.0.0/8`, ports, and `*.example.com` for `example.com`.

use std::net::{IpAddr, Ipv6Addr};

use url::Host;

/// The entries of a `NO_PROXY`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NoProxy(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Everything,
    /// The addresses whose first so many bits are those of this one.
    Network(IpAddr, u32),
    /// A server, on every port where there is none.
    Server(Name, Option<u16>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Address(IpAddr),
    /// In small letters, in ASCII, without a dot at its ends.
    Domain(String),
}

impl NoProxy {
    /// Reads entries with commas or white space between them. What cannot be a server excepts none.
    pub(crate) fn parse(text: &str) -> Self {
        let entries = text.split(|letter: char| letter == ',' || letter.is_whitespace());
        Self(entries.filter_map(entry).collect())
    }

    /// Whether this server is excepted; `host` as a URL has it, an IPv6 address in brackets.
    pub(crate) fn excepts(&self, host: &str, port: u16) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let server = name(host);
        self.0.iter().any(|entry| match (entry, &server) {
            (Entry::Everything, _) => true,
            (_, None) | (Entry::Network(..), Some(Name::Domain(_))) => false,
            (Entry::Network(network, bits), Some(Name::Address(address))) => {
                within(*address, *network, *bits)
            }
            (Entry::Server(excepted, only), Some(server)) => {
                only.is_none_or(|only| only == port) && covers(excepted, server)
            }
        })
    }
}

fn entry(text: &str) -> Option<Entry> {
    if text == "*" {
        return Some(Entry::Everything);
    }
    if let Some((address, bits)) = text.split_once('/') {
        let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
        let bits =
            bits.parse().ok().filter(|bits| *bits <= if address.is_ipv4() { 32 } else { 128 });
        return Some(Entry::Network(address, bits?));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some(Entry::Server(name(text)?, None));
    }
    // The colons of an address in brackets lead to no port.
    let (host, port) = match text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (text, None),
    };
    let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    Some(Entry::Server(name(host.trim_start_matches('.'))?, port))
}

/// A host as it is compared: the names of one address, and of one domain, are equal.
fn name(host: &str) -> Option<Name> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Name::Address(address.to_canonical()));
    }
    match Host::parse(host.trim_end_matches('.')).ok()? {
        Host::Domain(domain) => Some(Name::Domain(domain)),
        Host::Ipv4(address) => Some(Name::Address(address.into())),
        Host::Ipv6(address) => Some(Name::Address(IpAddr::from(address).to_canonical())),
    }
}

/// Whether a server is on this machine by its name: an address of loopback, `localhost`, or a name below that (RFC 6761, section 6.3).
pub(crate) fn is_loopback(host: &str) -> bool {
    match name(host) {
        Some(Name::Address(address)) => address.is_loopback(),
        Some(Name::Domain(domain)) => domain == "localhost" || domain.ends_with(".localhost"),
        None => false,
    }
}

/// Whether the server is the excepted one, or below it.
fn covers(excepted: &Name, server: &Name) -> bool {
    match (excepted, server) {
        (Name::Domain(excepted), Name::Domain(server)) => {
            let above = server.strip_suffix(excepted.as_str());
            above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
        }
        _ => excepted == server,
    }
}

fn within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let differ = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (address.to_bits() ^ network.to_bits()).leading_zeros()
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            (address.to_bits() ^ network.to_bits()).leading_zeros()
        }
        _ => return false,
    };
    differ >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_parsed_as_by_curl_python_and_go() {
        for (text, excepted, others) in [
            ("*", &["127.0.0.1", "[::1]", "a.example", "localhost"][..], &[][..]),
            ("other.example, *", &["127.0.0.1", "a.example"], &[]),
            ("", &[], &["localhost", "127.0.0.1"]),
            (" ,\n,\t", &[], &["localhost"]),
            ("localhost", &["localhost"], &["127.0.0.1", "notlocalhost", "localhost.example"]),
            ("example.com", &["example.com", "a.b.example.com"], &["badexample.com", "com"]),
            (".example.com", &["example.com", "a.example.com"], &["badexample.com"]),
            ("..example.com", &["example.com"], &["badexample.com"]),
            ("*.example.com", &["example.com", "a.example.com"], &["badexample.com"]),
            ("*example.com", &[], &["badexample.com", "example.com"]),
            ("EXAMPLE.com.", &["example.com"], &["example.org"]),
            ("example.com", &["example.com."], &["example.com.evil"]),
            (
                "a.example b.example\nc.example,d.example",
                &["a.example", "b.example", "c.example", "d.example"],
                &["e.example"],
            ),
            ("bücher.example", &["xn--bcher-kva.example"], &["bcher.example"]),
            (
                "127.0.0.1",
                &["127.0.0.1"],
                &["127.0.0.2", "localhost", "[::1]", "1.127.0.0.1.example"],
            ),
            ("0.0.1", &[], &["127.0.0.1"]),
            ("::1", &["[::1]"], &["127.0.0.1", "[::2]"]),
            ("[::1]", &["[::1]"], &["[::2]"]),
            ("0:0:0:0:0:0:0:1", &["[::1]"], &["[::2]"]),
            ("127.0.0.1", &["[::ffff:127.0.0.1]"], &[]),
            ("10.0.0.0/8", &["10.255.0.1"], &["11.0.0.1", "a.example"]),
            ("10.1.2.3/8", &["10.255.0.1"], &["11.0.0.1"]),
            ("0.0.0.0/0", &["8.8.8.8"], &["[::1]"]),
            ("10.0.0.1/32", &["10.0.0.1"], &["10.0.0.2"]),
            ("fd00::/8", &["[fd12::1]"], &["[fe80::1]", "10.0.0.1"]),
            ("[fd00::]/8", &["[fd12::1]"], &["[fe80::1]"]),
            // What cannot be read excepts nothing.
            ("10.0.0.0/33,10.0.0.0/x,/8,10.0.0.0/", &[], &["10.0.0.0"]),
            (
                "http://a.example,[::1,:80,a.example:http,a.example:99999,.",
                &[],
                &["a.example", "[::1]"],
            ),
        ] {
            let found = NoProxy::parse(text);
            for host in excepted {
                assert!(found.excepts(host, 80), "{text:?} excepts {host}");
            }
            for host in others {
                assert!(!found.excepts(host, 80), "{text:?} does not except {host}");
            }
        }
    }

    #[test]
    fn loopback_is_known_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.1.2.3",
            "127.1",
            "0x7f000001",
            "2130706433",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "128.0.0.1",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "[::2]",
            "[::ffff:10.0.0.1]",
            "localhost.example",
            "notlocalhost",
            "127.0.0.1.example",
            "ip6-localhost",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn an_exception_with_a_port_is_for_that_port_alone() {
        for (text, host) in [
            ("127.0.0.1:3010", "127.0.0.1"),
            ("localhost:3010", "localhost"),
            ("[::1]:3010", "[::1]"),
            (".example.com:3010", "a.example.com"),
        ] {
            let found = NoProxy::parse(text);
            assert!(found.excepts(host, 3010), "{text}");
            assert!(!found.excepts(host, 3011), "{text}");
        }
    }
}
