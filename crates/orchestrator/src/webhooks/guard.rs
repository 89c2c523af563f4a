//! Which addresses the server may be made to reach. Names are checked when they are resolved, at each connection.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::{Host, Url};

/// The longest webhook URL, in characters.
const MAX_URL_CHARACTERS: usize = 2_048;

/// A block of addresses, as in `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        if prefix > bits { Err(wrong()) } else { Ok(Self { address, prefix }) }
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
}

/// What is wrong with a webhook's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlProblem {
    /// It is none.
    #[error("is not an http or https URL, as in https://example.com/hooks/meetbot")]
    NotHttp,
    /// It is too long.
    #[error("is longer than {MAX_URL_CHARACTERS} characters")]
    TooLong,
    /// It holds a name or a password.
    #[error("must not hold a name or password before the host")]
    Userinfo,
    /// It names an address that is not reached from here.
    #[error(
        "names {0}, which is not a public address; an operator can allow it in `webhooks.allow_networks`"
    )]
    Address(IpAddr),
}

impl UrlProblem {
    /// The word in the API's `issues`.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NotHttp | Self::Userinfo => "invalid_url",
            Self::TooLong => "too_long",
            Self::Address(_) => "address_not_allowed",
        }
    }
}

/// The rule.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    loopback: bool,
    allowed: Vec<Network>,
}

impl Guard {
    /// Public addresses, those of `allowed`, and loopback when the server itself listens there only.
    pub(crate) fn new(loopback: bool, allowed: &[Network]) -> Self {
        Self { loopback, allowed: allowed.to_vec() }
    }

    /// Whether an address may be reached.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address)
            || (self.loopback && address.is_loopback())
            || self.allowed.iter().any(|network| network.contains(address))
    }

    /// Checks a webhook's URL without asking DNS.
    pub(crate) fn check(&self, url: &str) -> Result<(), UrlProblem> {
        if url.chars().count() > MAX_URL_CHARACTERS {
            return Err(UrlProblem::TooLong);
        }
        let url = Url::parse(url).map_err(|_| UrlProblem::NotHttp)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlProblem::NotHttp);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlProblem::Userinfo);
        }
        // `Url` has read the octal, decimal and hexadecimal spellings of an address by now.
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(UrlProblem::NotHttp),
        };
        if self.allows(literal) { Ok(()) } else { Err(UrlProblem::Address(literal)) }
    }
}

/// Whether an address is of the public internet (IANA's special-purpose registries).
fn is_public(address: IpAddr) -> bool {
    match address {
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

/// How many names are looked up at once: each lookup may hold a thread for as long as a name server keeps silent.
const LOOKUPS: usize = 64;

/// Asks for the addresses of a name.
pub(super) type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Asks the operating system.
pub(super) fn system_lookup() -> Lookup {
    Arc::new(|host| {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
    })
}

/// Resolves names to addresses that the guard allows, so that no name leads around it. What it answers is what is connected to: a name
/// that says something else a moment later has been asked in vain.
pub(super) struct GuardedResolver {
    guard: Arc<Guard>,
    lookup: Lookup,
    turns: Arc<Semaphore>,
}

impl GuardedResolver {
    pub(super) fn new(guard: Arc<Guard>, lookup: Lookup) -> Self {
        Self { guard, lookup, turns: Arc::new(Semaphore::new(LOOKUPS)) }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, turns) = (Arc::clone(&self.guard), Arc::clone(&self.turns));
        let lookup = Arc::clone(&self.lookup);
        Box::pin(async move {
            let _turn = turns.acquire().await?;
            let host = name.as_str().to_owned();
            let found = lookup(host.clone()).await?;
            let allowed: Vec<SocketAddr> =
                found.iter().copied().filter(|address| guard.allows(address.ip())).collect();
            if allowed.is_empty() {
                let error = format!("{host} has no public address ({} refused)", found.len());
                return Err(error.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_and_names_pass() {
        let guard = Guard::new(false, &[]);
        for url in [
            "https://example.com/x",
            "http://93.184.216.34",
            "https://[2606:4700::1111]/",
            "http://localhost/",
        ] {
            assert_eq!(guard.check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn what_is_no_webhook_url_is_refused() {
        let guard = Guard::new(true, &[]);
        for url in
            ["", "example.com", "ftp://example.com", "file:///etc/passwd", "javascript:alert(1)"]
        {
            assert_eq!(guard.check(url), Err(UrlProblem::NotHttp), "{url}");
        }
        assert_eq!(guard.check("https://user:secret@example.com"), Err(UrlProblem::Userinfo));
        assert_eq!(
            guard.check(&format!("https://example.com/{}", "x".repeat(2048))),
            Err(UrlProblem::TooLong)
        );
    }

    #[test]
    fn loopback_and_listed_networks_are_allowed_where_said() {
        let local = Guard::new(true, &[]);
        assert_eq!(local.check("http://127.0.0.1:9000"), Ok(()));
        assert!(local.check("http://10.0.0.1").is_err());
        let listed =
            Guard::new(false, &["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        assert_eq!(listed.check("http://10.1.2.3"), Ok(()));
        assert_eq!(listed.check("http://[fd00::5]"), Ok(()));
        assert!(listed.check("http://10.2.0.1").is_err());
    }

    #[test]
    fn networks_are_read_strictly() {
        assert!("10.0.0.0/33".parse::<Network>().is_err());
        assert!("ten".parse::<Network>().is_err());
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains("8.8.8.8".parse().unwrap()));
    }
}
