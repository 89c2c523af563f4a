//! The rule to which addresses the server and its bots may connect on behalf of a caller.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use url::Host;

/// The addresses of this machine: loopback, and the unspecified address, which connects to loopback too.
const LOOPBACK: [Network; 4] = [
    Network { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
    Network { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 32 },
    Network { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
    Network { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), prefix: 128 },
];
/// Azure's metadata service and agents have this address. It looks public, and reaches only the host of the virtual machine
/// (<https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16>).
const AZURE_HOST: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// A block of addresses, as in `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The text is not a block of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network, as in 10.1.0.0/16 or 192.168.1.20")]
pub struct NotANetwork(String);

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let wrong = || NotANetwork(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), str::parse).map_err(|_| wrong())?;
        match (address.to_canonical(), prefix) {
            (_, prefix) if prefix > bits => Err(wrong()),
            // IPv4-mapped IPv6 addresses are checked as IPv4; so is a network of them.
            (canonical @ IpAddr::V4(_), prefix) if bits == 128 && prefix >= 96 => {
                Ok(Self { address: canonical, prefix: prefix - 96 })
            }
            _ => Ok(Self { address, prefix }),
        }
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let (network, address, bits) = match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (u128::from(network.to_bits()), u128::from(address.to_bits()), 32)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits(), address.to_bits(), 128)
            }
            _ => return false,
        };
        let shift = bits - u32::from(self.prefix);
        network.checked_shr(shift) == address.checked_shr(shift)
    }

    /// Whether some address is in both.
    fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

impl TryFrom<String> for Network {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, NotANetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The addresses that may be connected to: public ones, and the networks that an operator lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPolicy {
    /// Whether loopback is allowed, as on a server in development (`server.development`).
    pub loopback: bool,
    /// Networks that are allowed although they are not public.
    pub networks: Vec<Network>,
}

impl AddressPolicy {
    /// Whether an address is allowed.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address)
            || (self.loopback && address.is_loopback())
            || self.networks.iter().any(|network| network.contains(address))
    }

    /// Whether some loopback address is allowed.
    pub fn opens_loopback(&self) -> bool {
        self.loopback
            || self
                .networks
                .iter()
                .any(|network| LOOPBACK.iter().any(|home| network.overlaps(home)))
    }

    /// The refused address that a URL's host names, without a DNS query: an address in any spelling, or `localhost`, which is always this
    /// machine (RFC 6761).
    pub fn refused<S: AsRef<str>>(&self, host: &Host<S>) -> Option<IpAddr> {
        let named: [IpAddr; 2] = match host {
            Host::Ipv4(address) => [(*address).into(); 2],
            Host::Ipv6(address) => [(*address).into(); 2],
            Host::Domain(name) if is_localhost(name.as_ref()) => {
                [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            Host::Domain(_) => return None,
        };
        if named.iter().any(|address| self.allows(*address)) { None } else { Some(named[0]) }
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Why an address is refused, and how the operator allows it: by `setting`, as in `webhooks.allow_networks`.
pub fn refusal(address: IpAddr, setting: &str) -> String {
    if address.to_canonical().is_loopback() {
        format!(
            "{address} is the server's own machine, which is open in development only: start the server with `meetbot serve --dev`, or allow it in `{setting}`"
        )
    } else {
        format!("{address} is not a public address; an operator can allow it in `{setting}`")
    }
}

/// The error for an unknown host name and for a host whose addresses are all refused. It is the same text, so that a caller cannot find out
/// the names and addresses of a private network.
pub fn unreachable(setting: &str) -> String {
    format!(
        "there is no such host, or it has no address that may be reached: beyond public ones an operator allows them in `{setting}`, and `meetbot serve --dev` allows this machine's own"
    )
}

/// Whether an address is public by IANA's special-purpose registries.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || address == AZURE_HOST
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Global unicast, without documentation, Teredo and 6to4; NAT64 would reach private IPv4.
    segments[0] & 0xe000 == 0x2000
        && !(segments[0] == 0x2001 && (segments[1] == 0x0db8 || segments[1] < 0x0200))
        && segments[0] != 0x2002
        && segments[0] != 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_strictly() {
        assert!("10.0.0.0/33".parse::<Network>().is_err());
        assert!("ten".parse::<Network>().is_err());
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains("8.8.8.8".parse().unwrap()));
    }

    #[test]
    fn a_network_goes_over_the_wire_as_its_text() {
        let address_policy =
            AddressPolicy { loopback: true, networks: vec!["10.1.0.0/16".parse().unwrap()] };
        let wire = serde_json::to_string(&address_policy).unwrap();
        assert_eq!(wire, r#"{"loopback":true,"networks":["10.1.0.0/16"]}"#);
        assert_eq!(serde_json::from_str::<AddressPolicy>(&wire).unwrap(), address_policy);
    }

    #[test]
    fn private_addresses_are_reached_only_where_listed() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let address_policy =
            AddressPolicy { loopback: false, networks: vec!["10.1.0.0/16".parse().unwrap()] };
        for (text, allowed) in [
            ("93.184.216.34", true),
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("168.63.129.16", false),
        ] {
            assert_eq!(address_policy.allows(address(text)), allowed, "{text}");
        }
    }

    #[test]
    fn a_network_of_ipv4_addresses_is_the_same_in_the_notation_of_ipv6() {
        let network: Network = "::ffff:10.1.0.0/112".parse().unwrap();
        assert_eq!(network, "10.1.0.0/16".parse().unwrap());
        let all: Network = "::/0".parse().unwrap();
        assert!(all.contains("::1".parse().unwrap()) && all.contains("fd00::1".parse().unwrap()));
        assert!("::ffff:10.1.0.0/129".parse::<Network>().is_err());
    }

    #[test]
    fn loopback_is_open_in_development_and_where_a_network_holds_it() {
        let with = |network: &str| AddressPolicy {
            loopback: false,
            networks: vec![network.parse().unwrap()],
        };
        for open in [
            "127.0.0.1",
            "127.0.0.0/8",
            "0.0.0.0/0",
            "::1",
            "::/0",
            "::ffff:127.0.0.2",
            "0.0.0.0",
            "::",
        ] {
            assert!(with(open).opens_loopback(), "{open}");
        }
        for closed in ["10.0.0.0/8", "fd00::/8", "128.0.0.0/1", "::2"] {
            assert!(!with(closed).opens_loopback(), "{closed}");
        }
        assert!(AddressPolicy { loopback: true, networks: Vec::new() }.opens_loopback());
        assert!(!AddressPolicy::default().opens_loopback());
    }

    #[test]
    fn localhost_is_loopback_without_asking_dns() {
        let closed = AddressPolicy::default();
        for name in ["localhost", "LocalHost.", "hooks.localhost"] {
            assert!(closed.refused(&Host::Domain(name)).is_some(), "{name}");
        }
        for name in ["localhost.example.com", "mylocalhost", "example.com"] {
            assert_eq!(closed.refused(&Host::Domain(name)), None, "{name}");
        }
        let listed = AddressPolicy { loopback: false, networks: vec!["::1".parse().unwrap()] };
        assert_eq!(listed.refused(&Host::Domain("localhost")), None);
    }
}
